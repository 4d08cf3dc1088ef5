//! Ending what a keeper that was killed left behind (R6.7), on a thread of its own: it looks through all processes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use vigie_core::exit::Exit;
use vigie_core::ghost::{self, Ghost};
use vigie_core::identity::{ProcKey, RunId};
use vigie_core::ladder::{Audience, Climb, Deed, Ladder, Signal};
use vigie_core::launch::{Scope, ServiceKey};
use vigie_core::run::{self, Left, Phase};
use vigie_core::supervisor::Event;
use vigie_os::cgroup::Cgroup;
use vigie_os::clock::mono;
use vigie_os::error::OsError;
use vigie_os::ghosts;
use vigie_os::lock::Lock;
use vigie_os::pidfd::Target;
use vigie_os::place::Place;
use vigie_os::poll::PollSet;
use vigie_os::proc::Proc;
use vigie_os::remains::Remains;
use vigie_wire::keeper::State;

use crate::input::Input;
use crate::log::Log;
use crate::record;
use crate::runs::LiveRun;

/// How long an empty cgroup may take to let itself be removed, and the first delay between two tries.
const ROUND: Duration = Duration::from_millis(100);

/// The longest delay between two tries when the kernel cannot be asked.
const LONGEST: Duration = Duration::from_secs(30);

/// How many of those that are left are named.
const NAMED: usize = 16;

/// Starts recoveries.
#[derive(Clone)]
pub(crate) struct Recoverer {
    pub(crate) place: Place,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) log: Log,
}

/// A run without a keeper.
pub(crate) struct Lost {
    pub(crate) run: RunId,
    /// What was known of it while it had one.
    pub(crate) live: Option<LiveRun>,
    /// A process of it that its record may not name.
    pub(crate) process: Option<ProcKey>,
}

impl Lost {
    /// Whether the record is its own, or that of a run before it which held the same process.
    fn is_told_by(&self, state: &State) -> bool {
        let same = self.process.is_some() && state.holder.main == self.process;
        // What was only about to be adopted is nobody's to end.
        same || state.holder.run == self.run && (state.phase != Phase::Locked || state.adopting.is_none())
    }
}

impl Recoverer {
    /// Ends what is left of a run, and tells the supervisor what could not be ended.
    pub(crate) fn recover(&self, key: ServiceKey, lost: Lost, ladder: Ladder) {
        let recoverer = self.clone();
        self.aside(move || {
            if ghosts::find(&recoverer.place.ghosts_dir(), lost.run).is_some() {
                // Its keeper was killed right after it had set aside what is left.
                return recoverer.set_aside(key, &lost);
            }
            let mut ladder = ladder;
            loop {
                let left = recoverer.end_surely(&key, &lost, &ladder);
                let event = Event::Recovered { key: key.clone(), run: lost.run, left: left.clone() };
                if recoverer.inputs.blocking_send(Input::Event(event)).is_err() || left.is_empty() {
                    return;
                }
                // Nobody else watches a ghost whose keeper is dead.
                outlast(&left);
                ladder = Ladder::kill();
            }
        });
    }

    /// Sets aside what no signal ends of a run whose keeper is dead, as that would have done it.
    pub(crate) fn quarantine(&self, key: ServiceKey, lost: Lost) {
        let recoverer = self.clone();
        self.aside(move || recoverer.set_aside(key, &lost));
    }

    fn aside(&self, work: impl FnOnce() + Send + 'static) {
        let spawned = std::thread::Builder::new().name("recover".to_owned()).stack_size(256 << 10).spawn(work);
        if let Err(error) = spawned {
            self.log.line(&format!("no thread for a recovery: {error}"));
        }
    }

    fn set_aside(&self, key: ServiceKey, lost: &Lost) {
        let run = lost.run;
        let event = match self.put_on_record(&key, lost) {
            Ok(event) => Event::Keeper { key, event },
            Err(why) => Event::QuarantineRefused { key, run, why },
        };
        let _ = self.inputs.blocking_send(Input::Event(event));
    }

    /// In the order of the keeper: first the record of the ghost, which decides; then the event and the record of the
    /// service; all of it under the lock.
    fn put_on_record(&self, key: &ServiceKey, lost: &Lost) -> Result<run::Event, String> {
        let told = |error: OsError| error.to_string();
        let folder = self.place.service_dir(key);
        let lock = self.lock(key).map_err(told)?;
        let Some(_lock) = lock else { return Err("another holds its lock by now".to_owned()) };
        let state = record::read(&folder).filter(|state| state.holder.run == lost.run);
        let Some(mut state) = state else { return Err(format!("the record of run {} is gone", lost.run)) };
        let (ghosts, now) = (self.place.ghosts_dir(), vigie_os::clock::now());
        let ghost = match ghosts::find(&ghosts, lost.run) {
            Some(ghost) => ghost,
            None => {
                let proc = Proc::system().map_err(told)?;
                let cgroup = state.cgroup.as_ref().and_then(|cgroup| Cgroup::existing(cgroup.as_path()));
                let remains = Remains::new(&proc, lost.run, cgroup.as_ref()).with_main(state.holder.main.as_ref());
                let left = remains.describe(&remains.find().map_err(told)?);
                if let Some(why) = ghost::obstacle(&left) {
                    return Err(why);
                }
                let ghost = Ghost {
                    version: ghost::VERSION,
                    holder: state.holder.clone(),
                    containment: state.containment,
                    cgroup: state.cgroup.clone(),
                    exit: state.exit,
                    left,
                    stuck: None,
                    quarantined: (now.wall, now.mono),
                };
                ghosts::write(&ghosts, &ghost).map_err(told)?;
                ghost
            }
        };
        let (left, count) = ghost::some(&ghost.left, NAMED);
        state.seq += 1;
        state.phase = Phase::Quarantined;
        state.holder.main = None;
        let what = run::What::Quarantined { left, count };
        let event = run::Event { run: lost.run, seq: state.seq, at: now.wall, mono: now.mono, what };
        // The ghost is on record: what cannot be written here is told all the same.
        for outcome in [record::append(&folder, &event), record::write(&folder, &state)] {
            if let Err(error) = outcome {
                self.log.line(&error.to_string());
            }
        }
        Ok(event)
    }

    fn lock(&self, key: &ServiceKey) -> Result<Option<Lock>, OsError> {
        let path = self.place.lock_path(key);
        match key.scope {
            Scope::Project | Scope::User => Lock::take(&path),
            Scope::Machine => Lock::take_shared(&path),
        }
    }

    /// Tries again until the kernel could be asked: unknown is not empty.
    fn end_surely(&self, key: &ServiceKey, lost: &Lost, ladder: &Ladder) -> Vec<Left> {
        let mut delay = ROUND;
        loop {
            match self.end(key, lost, ladder.clone()) {
                Ok(left) => return left,
                Err(error) => {
                    let (name, run) = (&key.service, lost.run);
                    self.log.line(&format!("{name}: what is left of run {run} cannot be found: {error}"));
                }
            }
            // Waits for nothing but the time; a signal only makes it look earlier.
            let _ = PollSet::default().wait(Some(delay));
            delay = (delay * 2).min(LONGEST);
        }
    }

    fn end(&self, key: &ServiceKey, lost: &Lost, ladder: Ladder) -> Result<Vec<Left>, OsError> {
        let proc = Proc::system()?;
        let folder = self.place.service_dir(key);
        let (run, live) = (lost.run, lost.live.as_ref());
        let record = record::read(&folder).filter(|state| lost.is_told_by(state));
        let run_of_record = record.as_ref().map_or(run, |state| state.holder.run);
        let recorded = record.as_ref().and_then(|state| state.cgroup.as_ref()).map(|path| path.as_path().to_owned());
        let cgroup_path: Option<PathBuf> = live.and_then(|live| live.cgroup.clone()).or(recorded);
        let cgroup = cgroup_path.as_deref().and_then(Cgroup::existing);
        let main = live.and_then(|live| live.main.clone()).or(record.and_then(|state| state.holder.main));
        let main = main.or_else(|| lost.process.clone());
        let remains = Remains::new(&proc, run, cgroup.as_ref()).with_main(main.as_ref());
        let main = main.as_ref().map(|main| Target::open(&proc, main)).transpose()?.flatten();
        let left = climb(&remains, main.as_ref(), ladder)?;
        if left.is_empty() {
            if let Some(cgroup) = &cgroup {
                // One that stays is an empty folder, and in nobody's way.
                let _ = cgroup.remove(mono() + ROUND);
            }
            self.write_down(key, run_of_record, &folder);
        }
        Ok(left)
    }

    /// So that nobody looks for it again. Only whoever holds the lock writes in the folder; when another has it, that one
    /// has written its own record.
    fn write_down(&self, key: &ServiceKey, run: RunId, folder: &Path) {
        if let Ok(Some(_lock)) = self.lock(key)
            && let Some(mut state) =
                record::read(folder).filter(|state| state.holder.run == run && !state.phase.is_over())
        {
            state.phase = Phase::Empty;
            state.exit.get_or_insert(Exit::Unknown);
            if let Err(error) = record::write(folder, &state) {
                self.log.line(&error.to_string());
            }
        }
    }
}

/// Waits until these have ended.
fn outlast(left: &[Left]) {
    let Ok(proc) = Proc::system() else { return };
    for left in left {
        while let Ok(Some(target)) = Target::open(&proc, &left.process)
            && !target.wait(mono() + LONGEST).unwrap_or(true)
        {}
    }
}

/// Climbs the ladder until nobody is left, or it is at its end. What closes an input, nobody can do any more; what goes
/// to a group goes to the tree.
fn climb(remains: &Remains<'_>, main: Option<&Target>, ladder: Ladder) -> Result<Vec<Left>, OsError> {
    let main_alive = || main.map_or(Ok(false), |main| main.is_dead().map(|dead| !dead));
    let mut climb = Climb::start(ladder, mono());
    loop {
        let mut deed = climb.deed(main_alive()?);
        perform(remains, main, deed)?;
        loop {
            let killing = matches!(deed, Deed::Signal(Signal::Kill, _));
            // Whoever was forked meanwhile is killed, too.
            let found = if killing { remains.signal(Signal::Kill)? } else { remains.find()? };
            if found.is_empty() && remains.none_left()? {
                return Ok(Vec::new());
            }
            let now = mono();
            if now >= climb.deadline() {
                if climb.up(now).is_some() {
                    break;
                }
                let mut left = remains.describe(&found);
                left.truncate(NAMED);
                // Nobody seen is not nobody there.
                return if left.is_empty() { Err(remains.unseen()) } else { Ok(left) };
            }
            if let Deed::Signal(_, Audience::Main) = deed
                && !main_alive()?
            {
                // The others hear at once what it heard.
                deed = climb.deed(false);
                perform(remains, main, deed)?;
            }
            remains.wait(&found, climb.deadline())?;
        }
    }
}

fn perform(remains: &Remains<'_>, main: Option<&Target>, deed: Deed) -> Result<(), OsError> {
    match (deed, main) {
        (Deed::Signal(signal, Audience::Main), Some(main)) => {
            // Who cannot be signalled is there afterwards, and is then named.
            let _ = main.send(signal);
            let _ = main.send(Signal::Cont);
        }
        (Deed::Signal(signal, _), _) => drop(remains.signal(signal)?),
        (Deed::CloseStdin, _) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use vigie_core::ladder::Rung;

    /// R6.7: what heeds TERM gets it first; what ignores it is killed, with its unmarked children.
    #[test]
    fn a_tree_without_a_keeper_is_ended() {
        let proc = Proc::system().expect("/proc");
        for (number, script) in
            ["echo; exec sleep 600", "sleep 600 & echo; wait", "trap '' TERM; env -u VIGIE_RUN sleep 600 & echo; wait"]
                .iter()
                .enumerate()
        {
            let run = RunId(0xaaaa_0000_0000_0000 | u64::from(std::process::id()) << 8 | number as u64);
            let mut child = Command::new("sh")
                .args(["-c", script])
                .env("VIGIE_RUN", run.to_string())
                .stdout(Stdio::piped())
                .spawn()
                .expect("sh");
            // A shell that is ended in the middle of its start leaves a child that nobody can tell to be of the run.
            child.stdout.take().expect("piped").read_exact(&mut [0]).expect("all of it is there");
            let key = proc.key(child.id()).expect("readable").expect("alive");
            let main = Target::open(&proc, &key).expect("opened").expect("alive");
            let rungs: Vec<Rung> = ["TERM 200ms", "KILL 60s"].map(|rung| rung.parse().expect("rung")).to_vec();
            let remains = Remains::new(&proc, run, None);
            let left = climb(&remains, Some(&main), Ladder::new(rungs).expect("ladder")).expect("climbed");
            assert_eq!(left, []);
            child.wait().expect("own child");
            assert!(remains.find().expect("found").is_empty());
        }
    }
}
