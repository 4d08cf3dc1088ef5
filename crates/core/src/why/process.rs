//! A process: what it does, since when, who started it.

use crate::ladder::Signal;
use crate::stuck::facts::{ProcessFacts, SignalSet, TaskFacts};
use crate::stuck::{Cure, Judgement};
use crate::why::facts::{Belonging, Hidden, Membership, Story, Task, Told, Top};
use crate::why::starter::{place, ssh_client, starter};
use crate::why::{Explanation, Remedy, Times, Verdict};

/// What a story alone tells of a process, where nobody could look closer: states, and that the rest did not answer.
pub fn unexamined(story: &Story) -> ProcessFacts {
    let none = SignalSet::default();
    let kill = SignalSet(if story.kill_pending { 1 << (Signal::Kill.number() - 1) } else { 0 });
    let task = |one: &Task| TaskFacts {
        tid: one.tid,
        name: one.name.clone(),
        state: one.state,
        raw_state: Told::Nothing,
        pending: none,
        blocked: none,
        wchan: Told::Hidden(Hidden::NoAnswer),
        call: Told::Hidden(Hidden::NoAnswer),
        stack: Told::Hidden(Hidden::NoAnswer),
        waits: Vec::new(),
    };
    ProcessFacts {
        process: story.process.clone(),
        parent: story.ancestors.first().cloned(),
        tracer: story.tracer.clone(),
        tasks: story.tasks.iter().map(task).collect(),
        pending: kill,
        ignored: none,
        caught: none,
        namespace_init: false,
        dumping: false,
        wait_status: Told::Nothing,
        frozen: Vec::new(),
        sent: None,
    }
}

/// Explains a process that was judged. `belonging`: what it is to vigie.
pub fn explain(story: &Story, judgement: &Judgement, belonging: Option<&Belonging>, times: Times<'_>) -> Explanation {
    let process = &story.process;
    let answer = answer(story, judgement, belonging, times);
    let mut told = Explanation::new(Verdict::Process(judgement.verdict), answer);
    told.because.extend(judgement.because.iter().cloned());
    because(story, &mut told);
    belongs(belonging, times, &mut told);
    if belonging.is_none()
        && let Some(run) = story.variable("VIGIE_RUN")
    {
        told.because.push(format!("its environment bears the mark of run {run} of vigie, which is not known here"));
    }
    told.evidence.extend(judgement.evidence.iter().cloned());
    evidence(story, times, &mut told);
    told.blind = judgement.blind || story.executable.hidden().is_some() || story.environment.hidden().is_some();
    remedies(story, judgement, belonging, &mut told);
    if told.remedies.is_empty() && process.pid() == 1 {
        told.because.push(
            "the kernel protects PID 1: it is the first of its PID namespace, and the others end with it".to_owned(),
        );
    }
    told
}

fn answer(story: &Story, judgement: &Judgement, belonging: Option<&Belonging>, times: Times<'_>) -> String {
    let process = &story.process;
    let mut text = format!("PID {} ({}) ", process.pid(), process.name);
    match belonging {
        Some(Belonging::Main(run)) => text.push_str(&format!("is {} and ", run.service)),
        Some(Belonging::Member(run)) => text.push_str(&format!("belongs to {} and ", run.service)),
        Some(Belonging::Keeper(run)) => text.push_str(&format!("is the keeper of {} and ", run.service)),
        Some(Belonging::Stray { service, .. }) => text.push_str(&format!("is another copy of {service}; it ")),
        Some(Belonging::Daemon) => text.push_str("is vigie's daemon and "),
        Some(Belonging::Ourselves) => text.push_str("is this very command and "),
        None => {}
    }
    text.push_str(&judgement.said);
    if let Some(started) = process.started {
        text.push_str(&format!("; started {}", times.moment(started)));
    } else {
        text.push_str("; started");
    }
    text.push_str(&format!(" {}", starter(story, belonging)));
    text
}

/// What else is worth a word about it.
fn because(story: &Story, told: &mut Explanation) {
    let process = &story.process;
    if process.kernel {
        told.because.push("it is a thread of the kernel; it runs no program".to_owned());
    }
    if story.executable.known().is_some_and(|path| path.0.ends_with(b" (deleted)")) {
        told.because.push("the file that it runs was deleted or replaced since it was started".to_owned());
    }
}

fn belongs(belonging: Option<&Belonging>, times: Times<'_>, told: &mut Explanation) {
    let run = |what: &str, run: &Membership, told: &mut Explanation| {
        told.because.push(format!("it is {what} {}, run {}, as {} tells", run.service, run.run, run.by));
        told.fact("run of vigie", format!("{} {}", run.service, run.run), run.source.clone());
    };
    match belonging {
        Some(Belonging::Main(membership)) => {
            run("the main process of", membership, told);
            if let Some(adopted) = membership.adopted {
                let (at, by) = (times.moment(adopted), &membership.asked_by);
                told.because.push(format!("vigie did not start it: it adopted it {at}, for {by}"));
                told.fact("adopted", at, membership.source.clone());
            }
        }
        Some(Belonging::Member(membership)) => run("a process of", membership, told),
        Some(Belonging::Keeper(membership)) => run("the process that holds", membership, told),
        Some(Belonging::Stray { service, matched }) => {
            told.because
                .push(format!("it is recognised as {service} by {}, and is not its run", super::listed(matched)));
        }
        Some(Belonging::Daemon | Belonging::Ourselves) | None => {}
    }
}

/// Every fact, with the place where it stands.
fn evidence(story: &Story, times: Times<'_>, told: &mut Explanation) {
    let process = &story.process;
    let pid = process.pid();
    let stat = format!("/proc/{pid}/stat");
    told.fact("command", told_text(&process.argv, |_| process.command()), format!("/proc/{pid}/cmdline"));
    told.fact("executable", told_text(&story.executable, ToString::to_string), format!("/proc/{pid}/exe"));
    told.fact("folder", told_text(&story.folder, ToString::to_string), format!("/proc/{pid}/cwd"));
    if let Some(owner) = process.owner() {
        told.fact("user", owner, format!("/proc/{pid}/status"));
    }
    if let Some(started) = process.started {
        told.fact("started", times.moment(started), stat.clone());
    }
    for (place, ancestor) in story.ancestors.iter().enumerate() {
        let fact = if place == 0 { "parent".to_owned() } else { format!("parent {}", place + 1) };
        told.fact(
            fact,
            format!("PID {}: {}", ancestor.pid(), ancestor.short_command()),
            format!("/proc/{}/stat", ancestor.pid()),
        );
    }
    if let Top::Vanished(gone) = story.top {
        told.fact("parent", format!("PID {gone}: ended while it was looked at, or hidden"), stat.clone());
    }
    match &story.session_leader {
        Some(leader) if leader.pid() == pid => told.fact("session", "it leads its own", stat.clone()),
        Some(leader) => {
            told.fact("session", format!("of PID {}: {}", leader.pid(), leader.short_command()), stat.clone());
        }
        None if process.session != 0 => {
            told.fact("session", format!("of PID {}, which has ended", process.session), stat.clone());
        }
        None => {}
    }
    told.fact("terminal", process.terminal.clone().unwrap_or_else(|| "none".to_owned()), stat);
    if let Some((uid, name)) = &story.login {
        told.fact("login", name.clone().unwrap_or_else(|| format!("uid {uid}")), format!("/proc/{pid}/loginuid"));
    }
    if let Some(client) = ssh_client(story) {
        told.fact("ssh connection", format!("from {client}"), format!("/proc/{pid}/environ: SSH_CONNECTION"));
    }
    for (name, fact) in [("TMUX", "tmux"), ("STY", "screen session"), ("npm_lifecycle_event", "npm script")] {
        if let Some(value) = story.variable(name) {
            told.fact(fact, value.to_string(), format!("/proc/{pid}/environ: {name}"));
        }
    }
    if let Some(why) = story.environment.hidden() {
        told.fact("environment", why.text(), format!("/proc/{pid}/environ"));
    }
    let source = format!("/proc/{pid}/cgroup");
    let place = place(story);
    if let Some(unit) = place.unit {
        told.fact("systemd unit", unit, source.clone());
    }
    if let Some((engine, id)) = place.container {
        told.fact("container", format!("{engine} {id}"), source.clone());
    }
    if let Some((_, path)) =
        story.cgroups.iter().find(|(controllers, _)| controllers.is_empty()).or(story.cgroups.first())
    {
        told.fact("cgroup", path.to_string(), source);
    }
    match &story.namespaces {
        Told::Known(others) => {
            for other in others {
                let value = format!("{} (vigie looks from {})", other.id, other.ours);
                told.fact(format!("{} namespace", other.kind), value, format!("/proc/{pid}/ns/{}", other.kind));
            }
        }
        Told::Nothing => {}
        Told::Hidden(why) => told.fact("namespaces", why.text(), format!("/proc/{pid}/ns")),
    }
    if let Some(tracer) = &story.tracer {
        told.fact("tracer", format!("PID {}: {}", tracer.pid(), tracer.short_command()), format!("/proc/{pid}/status"));
    }
}

fn told_text<T>(told: &Told<T>, text: impl FnOnce(&T) -> String) -> String {
    match told {
        Told::Known(value) => text(value),
        Told::Nothing => "none".to_owned(),
        Told::Hidden(why) => why.text().to_owned(),
    }
}

/// What frees it, with what belongs to vigie ended in its own way.
fn remedies(story: &Story, judgement: &Judgement, belonging: Option<&Belonging>, told: &mut Explanation) {
    let stop = match belonging {
        Some(Belonging::Main(run) | Belonging::Member(run) | Belonging::Keeper(run)) => {
            ("stops the whole run by its ladder, and sees that nothing is left", format!("vigie stop {}", run.service))
        }
        Some(Belonging::Daemon) => ("ends the daemon in order", "vigie daemon stop".to_owned()),
        Some(Belonging::Ourselves) => return,
        Some(Belonging::Stray { .. }) | None => {
            told.remedies.extend(judgement.remedies.iter().cloned());
            return;
        }
    };
    let itself = |remedy: &Remedy| match &remedy.cure {
        None => remedy.name == "protected",
        Some(Cure::End { process, .. }) => process.key == story.process.key,
        Some(Cure::Signal { process, signal }) => *signal != Signal::Cont && process.key == story.process.key,
        _ => false,
    };
    let at = judgement.remedies.iter().position(itself).unwrap_or(judgement.remedies.len());
    let (before, after) = judgement.remedies.split_at(at);
    told.remedies.extend(before.iter().cloned());
    told.remedy("stop", stop.0, stop.1);
    told.remedies.extend(after.iter().filter(|remedy| !itself(remedy)).cloned());
}
