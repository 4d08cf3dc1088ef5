//! The paths of the API. Queries are written behind them as `?key=value&…`.

/// `GET`: who the daemon is ([`crate::report::Daemon`]).
pub const DAEMON: &str = "/v1/daemon";

/// `GET`: what runs ([`crate::status::Report`]). `?watch=1`: somebody looks at it again and again, so it is measured
/// every second for the next ten seconds.
pub const STATUS: &str = "/v1/status";

/// `POST` a [`vigie_core::supervisor::Request`]: a stream of the entries of the services that it is about, and at last
/// its outcome. Closing the connection does not cancel the request.
pub const REQUESTS: &str = "/v1/requests";

/// `POST` a [`crate::report::SessionOpened`]: a stream that first tells the number of the session, then the entries of
/// its services. When the connection closes, the session ends. `?resume=N`: take up session N of an earlier daemon.
pub const SESSIONS: &str = "/v1/sessions";

/// `GET`: a stream of journal entries. `?after=N`: those with a higher number; `?since=NANOS` and `?until=NANOS`: by
/// time, in nanoseconds of UTC since 1970; `?limit=N`: the last N of them; `?follow=1`: then those that follow, without
/// end.
pub const EVENTS: &str = "/v1/events";

/// `GET`: the projects that the daemon knows ([`crate::report::Projects`]).
pub const PROJECTS: &str = "/v1/projects";

/// `POST`: the samples that were taken until now are stored, so that whoever reads them sees the last. Answered with
/// [`crate::metrics::Flushed`] when they are.
pub const FLUSH_SAMPLES: &str = "/v1/samples/flush";
/// `POST` a [`crate::source::Watch`]: containers that somebody looks at.
pub const WATCH_SAMPLES: &str = "/v1/samples/watch";
/// `GET`: the settings of the whole ([`crate::settings::Report`]). `POST` a [`crate::settings::Change`]: its outcome ([`crate::settings::Changed`]), once it is stored.
pub const SETTINGS: &str = "/v1/settings";
/// `GET`: the sources ([`crate::source::Sources`]). `POST` a [`crate::source::Request`]: one line, a
/// [`crate::source::Answer`].
pub const SOURCES: &str = "/v1/sources";

/// The largest body that is taken, in bytes. A manifest with its environment is far below.
pub const BODY_LIMIT: usize = 8 << 20;
