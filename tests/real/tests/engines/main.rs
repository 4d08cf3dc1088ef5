//! Sources (R11.4): the same cases on a real engine and on the fake one, and what only one of them can show.
//!
//! Which fault of the original is shown where (rows of its list; D: of its later form):
//!
//! | row | fault | shown by |
//! |---|---|---|
//! | 22, D2 | reconnect without `since` | `cases::broken_streams_lose_nothing`, `cases::away_for_a_hundred` |
//! | 23, D1 | 256 events, slow listeners, windows that leave out half | `cases::away_for_six_hundred`, `faults::a_change_that_nobody_told`, the worker's `a_poll`, the simulated engine of `core` |
//! | 24 | the wrong clock | `faults::an_engine_in_another_hour`, the worker's `a_poll` |
//! | 25, 28 | duplicates after a failed poll, keys before filters | `faults::an_engine_that_repeats_itself`, `sources_chaos` |
//! | 26 | times as doubles | `cases::each_thing_once`, which compares nanoseconds; `event::tests` of `core` |
//! | 27 | a window that forgets in the wrong order | `window::tests` of `core` |
//! | 29 | bad lines ignored, endless ones kept | `faults::an_endless_line`, the worker's `whatever_arrives` |
//! | 30 | half-open streams | `apart::one_stands_still`, the simulated engine of `core` |
//! | 31, D4 | the first "down", and an "online" with each change of settings | `faults::changed_settings_are_no_news` |
//! | 32 | offline after one failed connect | `away::an_engine_away_for_long`, `faults::changed_settings_are_no_news` |
//! | 33, 34 | signal and exit code are lost | `cases::each_thing_once` |
//! | 35 | each end of a crash loop is told | `incidents::stories` of `core` |
//! | 36 | a scanner by a part of its name | `filter::tests` of `core`, `cases::changed_while_it_runs` |
//! | D3 | a change of mode reaches no running stream | `cases::changed_while_it_runs` |
//! | D5 | what is switched off goes on | `sources::sources_come_and_go`, `cases::removed_while_it_is_asked`, `faults::removed_while_it_hangs` |
//! | D6 | a worker that cannot be started is not started again; races of status | `sources_chaos`; one task owns a source |
//! | D9 | disk in percent | not part of events |
//! | D10, D12, D13 | agents | there are none |
//! | D11 | no ids on the stream of a browser | `events` |

mod apart;
mod away;
mod cases;
mod faults;
mod fifty;
