//! What is going to be done, and what came of it, for people and for programs.

use std::io::Write as _;

use vigie_api::free::{Port as PortReport, Report, Step, What};
use vigie_core::ports::Verdict;

use super::act::Fate;
use super::course::{Course, Planned, contained, ending, places, stopped};
use super::obstacle::{Obstacle, Port, Way};
use super::survey::{Housed, Survey};
use super::suspect::Suspect;
use super::verify::After;
use crate::args::Confirm;
use crate::failure::Failure;
use crate::judged;
use crate::out::{Screen, safe, style};
use crate::plan::{Plan, label};
use crate::scene::Scene;

/// The plan: who ends, which containers are stopped, what is left alone and why. How many processes end. `somebody`: there
/// is a person who will be asked about what belongs elsewhere.
pub(super) fn plan(
    survey: &Survey,
    planned: &[Planned<'_>],
    confirm: Confirm,
    somebody: bool,
    scene: &Scene,
) -> Result<usize, Failure> {
    let shown: Vec<&Planned<'_>> = planned
        .iter()
        .filter(|one| one.course == Course::Act || one.course == Course::NeedsOthers && somebody)
        .collect();
    let ending = ending(survey, &shown);
    let services: Vec<_> = places(&shown, stopped).into_iter().map(|place| &survey.services[place]).collect();
    let mut table = Plan::of(&services, &scene.place, &scene.proc)?;
    for place in &ending {
        let suspect = &survey.suspects[*place];
        table.push(suspect.process.pid(), suspect.why.clone(), &scene.proc)?;
    }
    let screen = Screen::stdout();
    if screen.terminal && !confirm.yes {
        table.measure(&scene.proc);
    }
    let mut out = std::io::stdout().lock();
    if !table.is_empty() {
        write!(out, "{}", table.render(screen, vigie_os::clock::now().wall))?;
    }
    for place in places(&shown, contained) {
        let housed = &survey.containers[place];
        writeln!(out, "{}", safe(&container(housed, through(&shown, place))))?;
    }
    for suspect in ending.iter().map(|place| &survey.suspects[*place]) {
        if let Some(remark) = &suspect.remark {
            writeln!(out, "{} {}", screen.paint(style::WARN, "note:"), safe(remark))?;
        }
    }
    out.flush()?;
    for one in planned {
        for line in remarks(one, survey) {
            let line = screen.folded(&format!("{}: {}", one.port.claim, safe(&line)), 0, 2);
            // Why it is not done is no part of what is done.
            if matches!(one.course, Course::Refused(_)) {
                eprintln!("{line}");
            } else {
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(table.count())
}

/// `container web (7eba73f2d123), image nginx: its engine stops it; docker-proxy (PID 9) listens on 0.0.0.0:8000/tcp`
fn container(housed: &Housed, holders: Vec<&Obstacle>) -> String {
    let container = &housed.found.container;
    let mut text = format!("container {container}, image {}: its engine stops it", container.image);
    if housed.details.as_ref().is_some_and(|details| details.removed_at_stop) {
        text.push_str(", and it is removed then (--rm)");
    }
    let mut told: Vec<String> = Vec::new();
    for holder in holders {
        let one = format!("{} {} {}", holder.who, holder.holds, holder.socket);
        if !told.contains(&one) {
            told.push(one);
        }
    }
    format!("{text}; {}", told.join(", "))
}

/// Those that hold ports for a container.
fn through<'a>(planned: &[&Planned<'a>], container: usize) -> Vec<&'a Obstacle> {
    let all = planned.iter().flat_map(|one| one.port.here.iter().chain(&one.port.beside));
    all.filter(|obstacle| obstacle.way == Way::StopContainer(container)).collect()
}

/// What is said of one port beside what ends.
fn remarks(one: &Planned<'_>, survey: &Survey) -> Vec<String> {
    let port = one.port;
    let mut lines = Vec::new();
    if port.judgement.verdict == Verdict::Shared && one.course == Course::Act {
        lines.push("several servers share it (SO_REUSEPORT); all of them end".to_owned());
    }
    for obstacle in &port.here {
        let Obstacle { who, holds, socket, .. } = obstacle;
        match &obstacle.way {
            Way::Refused(refusal) => lines.push(format!("{who} {holds} {socket}: {}", refusal.why)),
            Way::StopOther(place) => {
                let service = &survey.services[*place];
                let tail = if one.course == Course::NeedsOthers { "; --others stops it, too" } else { "" };
                lines.push(format!(
                    "{who} is a process of {}, a run of another project in {}{tail}",
                    label(service),
                    service.project_dir
                ));
            }
            _ => {}
        }
        if obstacle.tid.is_some() {
            lines.push(format!("the main thread of {who} has ended, and another one holds the port"));
        }
    }
    if matches!(one.course, Course::Refused(_)) {
        lines.push("left as it is".to_owned());
    }
    lines.extend(port.notes.iter().cloned());
    let left = |obstacle: &&Obstacle| !one.beside || matches!(obstacle.way, Way::Refused(_));
    for Obstacle { who, holds, socket, namespace, .. } in port.beside.iter().filter(left) {
        let namespace = namespace.map(|number| format!(" (net:[{number}])")).unwrap_or_default();
        lines.push(format!("{who} {holds} {socket} in another network namespace{namespace}, in nobody's way here"));
    }
    if let Course::Nothing(_) = one.course
        && matches!(port.judgement.verdict, Verdict::Free | Verdict::Reserved | Verdict::TimeWait)
    {
        lines.insert(0, "free".to_owned());
    }
    lines
}

/// What became of a process, when there is something to say.
pub(super) fn fate(suspect: &Suspect, fate: &Fate, aloud: bool) -> Result<(), Failure> {
    let who = safe(&suspect.process.label());
    let said = match fate {
        Fate::Gone => "had ended by itself",
        Fate::Ended => "ended",
        Fate::Killed => "killed: it did not end in time",
        Fate::LetGo => "has given the port up, and goes on",
        Fate::NotAllowed => {
            eprintln!("{who}: may not be ended by this user; this needs root");
            return Ok(());
        }
        Fate::Left { state, pending } => {
            let why = if *pending { "KILL is pending and the kernel does not end it" } else { "it is still there" };
            eprintln!("{who}: {why} (state {state})");
            judged::explain_process(suspect.target.key());
            return Ok(());
        }
    };
    if aloud {
        writeln!(std::io::stdout(), "{who}: {said}")?;
    }
    Ok(())
}

/// What became of a port.
pub(super) fn after(port: &Port, after: &After) -> Result<(), Failure> {
    let claim = port.claim;
    if !after.is_free() {
        let who: Vec<String> = after.left.iter().map(|who| safe(who)).collect();
        eprintln!("{claim}: not free: {} has it", who.join("; "));
        return Ok(());
    }
    let tail = match after.verdict {
        Verdict::TimeWait => {
            "; closed connections are kept by the kernel for a while, servers that set SO_REUSEADDR can have it"
        }
        Verdict::Ephemeral => {
            "; a connection that the last server accepted is still open, servers that set SO_REUSEADDR can have it"
        }
        _ => "",
    };
    let screen = Screen::stdout();
    writeln!(std::io::stdout(), "{claim}: {}{tail}", screen.paint(style::GOOD, "free"))?;
    Ok(())
}

/// For programs.
pub(super) fn report(survey: &Survey, dry_run: bool, planned: &[Planned<'_>], after: &[Option<After>]) -> Report {
    let ports = planned.iter().zip(after).map(|(one, after)| {
        let port = one.port;
        let steps = port.here.iter().chain(&port.beside).map(|obstacle| step(survey, obstacle)).collect();
        let held = port.is_held() || port.judgement.verdict == Verdict::Unknown;
        PortReport {
            port: port.claim.port,
            proto: port.claim.proto,
            address: port.claim.address,
            before: port.judgement.verdict,
            after: after.as_ref().map(|after| after.verdict),
            free: after.as_ref().map_or(!held && port.judgement.verdict != Verdict::Ephemeral, After::is_free),
            steps,
            note: (!port.notes.is_empty()).then(|| port.notes.join("; ")),
        }
    });
    Report { schema: vigie_api::SCHEMA, dry_run, ports: ports.collect() }
}

fn step(survey: &Survey, obstacle: &Obstacle) -> Step {
    let (what, mut service, mut container, mut why) = (what(&obstacle.way), None, None, None);
    match &obstacle.way {
        Way::End(_) => {}
        Way::Stop(place) | Way::StopOther(place) => service = Some(label(&survey.services[*place])),
        Way::StopContainer(place) => container = Some(survey.containers[*place].found.container.to_string()),
        Way::Refused(refusal) => why = Some(refusal.why.clone()),
    }
    Step {
        what,
        pid: obstacle.pid,
        tid: obstacle.tid,
        who: obstacle.who.clone(),
        socket: obstacle.socket.clone(),
        service: service.take(),
        container: container.take(),
        netns: obstacle.namespace,
        why: why.take(),
    }
}

fn what(way: &Way) -> What {
    match way {
        Way::End(_) => What::End,
        Way::Stop(_) => What::Stop,
        Way::StopOther(_) => What::StopOther,
        Way::StopContainer(_) => What::StopContainer,
        Way::Refused(_) => What::Refuse,
    }
}
