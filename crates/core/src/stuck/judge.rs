//! The judgement of a whole process.

use super::facts::ProcessFacts;
use super::task::{self, KILL, TERM, TaskJudgement};
use super::{Cure, TaskVerdict, blame, cures, evidence};
use crate::protect::Asker;
use crate::why::facts::Process;
use crate::why::{Evidence, Remedy};

/// What a process is found to be, why, and what frees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What it is: the verdict of the thread that keeps it from ending, unless it holds for the process as a whole.
    pub verdict: TaskVerdict,
    /// The verdict with what it is about, as the end of a sentence about the process: `waits for the server of a FUSE file
    /// system at /mnt/x (connection 62)`.
    pub said: String,
    /// Whether KILL ends it. `None`: what was seen does not tell.
    pub killable: Option<bool>,
    /// What was seen proves the verdict.
    pub sure: bool,
    /// The thread that the verdict is about.
    pub decides: u32,
    /// Its threads, the main thread first.
    pub tasks: Vec<TaskJudgement>,
    /// Who it waits for, or who holds it; the nearest first.
    pub blamed: Vec<Blamed>,
    /// What the verdict follows from, one sentence a line.
    pub because: Vec<String>,
    /// The raw facts.
    pub evidence: Vec<Evidence>,
    /// What can be done, the mildest first.
    pub remedies: Vec<Remedy>,
    /// Something that the verdict rests on could not be seen.
    pub blind: bool,
}

impl Judgement {
    /// Adds what is found about somebody whom this one waits for, who may wait for another in turn: that is what holds
    /// both, and what frees it frees both.
    pub fn follow(&mut self, next: &Process, found: &Judgement) {
        let goes = matches!(found.verdict, TaskVerdict::Running | TaskVerdict::Sleeping);
        if goes || next.is_zombie() {
            return;
        }
        self.because.push(format!("{} {}", next.label(), found.said));
        for blamed in &found.blamed {
            let same = |known: &Blamed| known.role == blamed.role && known.process.key == blamed.process.key;
            if !self.blamed.iter().any(same) {
                self.blamed.push(blamed.clone());
            }
        }
        // Its end is no help when nothing ends it.
        if found.killable == Some(false) {
            let ends =
                |remedy: &Remedy| matches!(&remedy.cure, Some(Cure::End { process, .. }) if process.key == next.key);
            self.remedies.retain(|remedy| !ends(remedy));
        }
        // What ends the other one was offered here already, or is for the other to be told of.
        let news = found.remedies.iter().filter(|remedy| {
            let Some(cure) = &remedy.cure else { return false };
            let itself = matches!(cure, Cure::End { role: "itself", .. });
            !itself && !self.remedies.iter().filter_map(|known| known.cure.as_ref()).any(|known| known.is_same(cure))
        });
        let news: Vec<Remedy> = news.cloned().collect();
        self.remedies.retain(|remedy| remedy.name != "none" || news.is_empty());
        self.remedies.extend(news);
        self.blind |= found.blind;
    }
}

/// Somebody who is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blamed {
    /// Who.
    pub process: Process,
    /// What it is to the stuck one: `tracer`, `child`, `parent`, `reader`, `holder`, `owner`, `server`, `listener`,
    /// `supplier`
    pub role: &'static str,
}

/// Which of several threads tells what the process is, first to last: those that were held from outside, then those that
/// wait for something that has a name, then those that only wait. A dead main thread counts as long as no other thread
/// is held.
pub(super) const ORDER: &[TaskVerdict] = &[
    TaskVerdict::Traced,
    TaskVerdict::Frozen,
    TaskVerdict::Stopped,
    TaskVerdict::LeaderExited,
    TaskVerdict::VforkWait,
    TaskVerdict::PipeFull,
    TaskVerdict::FileLock,
    TaskVerdict::Fuse,
    TaskVerdict::Nfs,
    TaskVerdict::FrozenFilesystem,
    TaskVerdict::BlockDevice,
    TaskVerdict::Fanotify,
    TaskVerdict::Autofs,
    TaskVerdict::Userfault,
    TaskVerdict::Exiting,
    TaskVerdict::Uninterruptible,
    TaskVerdict::KillableWait,
    TaskVerdict::NamespaceInit,
    TaskVerdict::SignalBlocked,
    TaskVerdict::SignalIgnored,
    TaskVerdict::SignalSwallowed,
    TaskVerdict::Running,
    TaskVerdict::Sleeping,
    TaskVerdict::Zombie,
];

/// Judges a process. `asker`: who is to carry out the remedies.
pub fn judge(facts: &ProcessFacts, asker: &Asker<'_>) -> Judgement {
    let mut tasks: Vec<TaskJudgement> = facts.tasks.iter().map(|one| task::judge(one, facts)).collect();
    of_signals(facts, &mut tasks);
    let (verdict, sure, decides) = decide(facts, &tasks);
    let killable = killable(facts, &tasks, verdict);
    let mut judgement = Judgement {
        verdict,
        said: blame::said(facts, verdict, decides),
        killable,
        sure,
        decides,
        tasks,
        blamed: Vec::new(),
        because: Vec::new(),
        evidence: Vec::new(),
        remedies: Vec::new(),
        blind: false,
    };
    blame::tell(facts, &mut judgement);
    evidence::tell(facts, &mut judgement);
    cures::tell(facts, asker, &mut judgement);
    judgement
}

/// What the signal that is to end it meets: told of the first thread that lives, when that goes its way otherwise.
fn of_signals(facts: &ProcessFacts, tasks: &mut [TaskJudgement]) {
    let goes = |one: &TaskJudgement| matches!(one.verdict, TaskVerdict::Running | TaskVerdict::Sleeping);
    // A signal for the process waits only while every thread blocks it.
    let blocked =
        facts.tasks.iter().filter(|one| !matches!(one.state, 'Z' | 'X' | 'x')).all(|one| one.blocked.has(TERM));
    for (one, facts_of) in tasks.iter_mut().zip(&facts.tasks) {
        if goes(one) && facts_of.pending.has(TERM) && facts_of.blocked.has(TERM) {
            (one.verdict, one.sure) = (TaskVerdict::SignalBlocked, true);
        }
    }
    let Some(first) = tasks.iter_mut().find(|one| goes(one)) else { return };
    let verdict = if facts.namespace_init && !facts.caught.has(TERM) {
        TaskVerdict::NamespaceInit
    } else if facts.pending.has(TERM) && blocked {
        TaskVerdict::SignalBlocked
    } else if facts.ignored.has(TERM) {
        TaskVerdict::SignalIgnored
    } else if facts.sent.is_some_and(|(signal, _)| signal == TERM) && facts.caught.has(TERM) && !facts.pending.has(TERM)
    {
        TaskVerdict::SignalSwallowed
    } else {
        return;
    };
    (first.verdict, first.sure) = (verdict, true);
}

/// The verdict, whether it is sure, and the thread that it is about.
fn decide(facts: &ProcessFacts, tasks: &[TaskJudgement]) -> (TaskVerdict, bool, u32) {
    let dead = |one: &TaskJudgement| matches!(one.verdict, TaskVerdict::Zombie | TaskVerdict::LeaderExited);
    let pid = facts.process.pid();
    // No thread could be seen any more: as its main thread looked.
    let Some(first) = tasks.first() else {
        let verdict = if facts.process.is_zombie() { TaskVerdict::Zombie } else { TaskVerdict::Sleeping };
        return (verdict, facts.process.is_zombie(), pid);
    };
    let rank = |one: &TaskJudgement| ORDER.iter().position(|verdict| *verdict == one.verdict);
    // What no KILL ends keeps all of it.
    let holding = tasks.iter().filter(|one| one.killable == Some(false) && !dead(one)).min_by_key(|one| rank(one));
    let one = holding.or_else(|| tasks.iter().min_by_key(|one| rank(one))).unwrap_or(first);
    (one.verdict, one.sure, one.tid)
}

fn killable(facts: &ProcessFacts, tasks: &[TaskJudgement], verdict: TaskVerdict) -> Option<bool> {
    if facts.process.kernel || facts.process.pid() == 1 || verdict == TaskVerdict::Zombie {
        return Some(false);
    }
    let dead = |one: &&TaskJudgement| !matches!(one.verdict, TaskVerdict::Zombie | TaskVerdict::LeaderExited);
    let mut all = tasks.iter().filter(dead).map(|one| one.killable).peekable();
    all.peek()?;
    let all: Vec<Option<bool>> = all.collect();
    if all.contains(&Some(false)) {
        Some(false)
    } else if all.contains(&None) || facts.pending.has(KILL) {
        None
    } else {
        Some(true)
    }
}
