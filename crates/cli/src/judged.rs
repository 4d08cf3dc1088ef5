//! Why a process does not go on: looked at, judged, and followed to whom it waits for.

use std::time::Duration;

use vigie_core::identity::ProcKey;
use vigie_core::ladder::Signal;
use vigie_core::launch::ServiceKey;
use vigie_core::name::Name;
use vigie_core::protect::Asker;
use vigie_core::run::Left;
use vigie_core::stuck::facts::ProcessFacts;
use vigie_core::stuck::{Judgement, TaskVerdict, judge};
use vigie_core::why::facts::Story;
use vigie_core::why::unexamined;
use vigie_os::proc::Proc;
use vigie_os::{ancestry, strays, user};

use crate::context;
use crate::failure::Failure;
use crate::look;
use crate::out::safe;
use crate::verbs::why::service;

/// How long the kernel may take to tell of one process: much longer than it does, except when it holds up who asks. On a busy
/// machine the answers are late, and who is to blame is not to depend on that.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many are followed who wait for each other.
const FOLLOWED: usize = 4;

/// Who asks.
pub(crate) struct Judge<'a> {
    proc: &'a Proc,
    ancestors: Vec<u32>,
}

impl<'a> Judge<'a> {
    /// On behalf of this process.
    pub(crate) fn new(proc: &'a Proc) -> Result<Self, Failure> {
        Ok(Self { proc, ancestors: strays::ancestors(proc)? })
    }

    /// Judges the process of a story. `sent`: the signal that vigie has sent it, and how many seconds ago.
    pub(crate) fn judge(&self, story: &Story, sent: Option<(i32, u64)>) -> Judgement {
        let key = &story.process.key;
        let facts = self.look(key.pid).filter(|facts| facts.process.key == *key);
        let facts = facts.unwrap_or_else(|| unexamined(story));
        let mut judgement = judge(&ProcessFacts { sent, ..facts }, &self.asker());
        self.follow(key.pid, &mut judgement);
        judgement
    }

    /// Whoever holds what the kernel has locked may wait in turn.
    fn follow(&self, pid: u32, judgement: &mut Judgement) {
        let mut seen = vec![pid];
        for _ in 0..FOLLOWED {
            let owner =
                judgement.blamed.iter().rev().find(|one| one.role == "owner" && !seen.contains(&one.process.pid()));
            let Some(owner) = owner.map(|one| one.process.clone()) else { return };
            seen.push(owner.pid());
            let Some(facts) = self.look(owner.pid()).filter(|facts| facts.process.key == owner.key) else { continue };
            judgement.follow(&owner, &judge(&facts, &self.asker()));
        }
    }

    /// Nobody is told less because one process could not be looked at closely.
    fn look(&self, pid: u32) -> Option<ProcessFacts> {
        vigie_os::stuck::look(self.proc, pid, PATIENCE).ok().flatten()
    }

    fn asker(&self) -> Asker<'_> {
        Asker { pid: std::process::id(), ancestors: &self.ancestors, uid: user::uid() }
    }
}

/// How many processes that are left are explained.
const EXPLAINED: usize = 8;

/// Says of each process that is left what it waits for, on standard error: one line each. `sent`: the last signal that
/// they got.
pub(crate) fn explain_left(left: &[Left], sent: Option<Signal>, proc: &Proc) {
    tell(&judge_left(left, sent, proc));
}

/// What is found out of each process that is left.
pub(crate) fn judge_left(left: &[Left], sent: Option<Signal>, proc: &Proc) -> Vec<(Story, Judgement)> {
    let sent = sent.map(|signal| (signal.number(), 0));
    judge_each(left.iter().map(|one| (one.process.pid, Some(&one.process), sent)), proc)
}

/// As [`explain_left`], of one process that was killed.
pub(crate) fn explain_process(key: &ProcKey) {
    if let Ok(proc) = context::proc() {
        tell(&judge_each(std::iter::once((key.pid, Some(key), Some((Signal::Kill.number(), 0)))), &proc));
    }
}

/// As [`explain_left`], of what is left of the run of a service.
pub(crate) fn explain_service(project: &Name, key: &ServiceKey) {
    let (Ok(place), Ok(proc)) = (context::place(), context::proc()) else { return };
    let Ok(Some(record)) = look::record(&place.service_dir(key), &proc) else { return };
    let holder = &record.state.holder;
    let sent = service::sent(project, key, holder.run, &place, vigie_os::clock::now().wall);
    let main = holder.main.as_ref().map(|main| main.pid);
    let members = record.members(&proc).unwrap_or_default();
    let members = members.into_iter().map(|pid| (pid, None, sent.and_then(|sent| sent.to(main == Some(pid)))));
    tell(&judge_each(members, &proc));
}

/// What cannot be looked at is not explained; that it is left was said already.
fn judge_each<'a>(
    left: impl Iterator<Item = (u32, Option<&'a ProcKey>, Option<(i32, u64)>)>,
    proc: &Proc,
) -> Vec<(Story, Judgement)> {
    let mut judged = Vec::new();
    let Ok(judge) = Judge::new(proc) else { return judged };
    let deadline = vigie_os::clock::mono() + PATIENCE;
    for (pid, key, sent) in left.take(EXPLAINED) {
        // Whoever holds up who asks about it does not do so for each of them.
        if vigie_os::clock::mono() >= deadline {
            break;
        }
        let Ok(Some(story)) = ancestry::story(proc, pid) else { continue };
        if key.is_none_or(|key| story.process.key == *key) {
            let judgement = judge.judge(&story, sent);
            judged.push((story, judgement));
        }
    }
    judged
}

/// One line each, on standard error.
pub(crate) fn tell(judged: &[(Story, Judgement)]) {
    for (story, judgement) in judged {
        eprintln!("{}", safe(&line(story, judgement)));
    }
}

/// `PID 123 (dd) waits for the server of a FUSE file system at /mnt/x (connection 62); 'vigie why pid:123' explains it`
fn line(story: &Story, judgement: &Judgement) -> String {
    let pid = story.process.pid();
    let end = match (judgement.killable, judgement.verdict) {
        (Some(false), verdict) if verdict != TaskVerdict::Zombie => ", where KILL does not end it",
        _ => "",
    };
    format!("PID {pid} ({}) {}{end}; 'vigie why pid:{pid}' explains it", story.process.name, judgement.said)
}
