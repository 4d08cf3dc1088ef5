//! `vigie doctor --watch`: look after look, and only what has changed.

use std::io::Write as _;
use std::time::Duration;

use vigie_api::doctor::Changed;
use vigie_api::time::Millis;
use vigie_core::doctor::{Doctor, Scope, Watch};
use vigie_core::exit_code::ExitCode;
use vigie_core::ladder::Signal;
use vigie_os::poll::{Interest, PollSet};
use vigie_os::signals::SignalFd;

use super::collect::Collector;
use super::{Args, show};
use crate::failure::{Failure, Verdict};
use crate::out::Screen;
use crate::scene::Scene;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(3);

/// Looks until Ctrl-C, or until nobody reads any more. The exit code says what is open then.
pub(super) fn watch(args: &Args, scope: Scope, scene: &mut Scene) -> Verdict {
    let ends = [Signal::Int, Signal::Term, Signal::Hup].map(Signal::number);
    let failed = |errno| Failure::io("cannot wait", &std::io::Error::from(errno));
    let signals = SignalFd::take(&ends, &[]).map_err(failed)?;
    let mut doctor = Doctor::new(scope.clone());
    let mut collector = Collector::new(scope.clone());
    let mut watch = Watch::default();
    let mut first = true;
    loop {
        let facts = collector.look(scene)?;
        let now = vigie_os::clock::now().wall;
        let changes = watch.turn(doctor.look(&facts));
        let mut out = std::io::stdout().lock();
        if first && !args.json {
            writeln!(out, "{}", show::watched(&facts, &scope, EVERY))?;
        }
        for change in &changes {
            if args.json {
                serde_json::to_writer(&mut out, &Changed::new(Millis(now), change))
                    .map_err(|error| Failure::from(std::io::Error::from(error)))?;
                writeln!(out)?;
            } else {
                let text = show::change(change, now, Screen::stdout());
                out.write_all(text.as_bytes())?;
            }
        }
        out.flush()?;
        drop(out);
        first = false;
        // What needs a second look gets it soon.
        let span = if doctor.is_in_doubt() { super::SECOND_LOOK } else { EVERY };
        let mut set = PollSet::default();
        let place = set.add(&signals, Interest::Read);
        set.wait(Some(span)).map_err(failed)?;
        if set.ready(place) && signals.next().is_some() {
            let open = watch.open().is_empty();
            return Ok(if open { ExitCode::Done } else { ExitCode::No }.number());
        }
    }
}
