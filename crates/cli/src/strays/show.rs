//! Strays, orphans and leftovers for people and for programs.

use std::io::Write as _;

use anstyle::Style;

use vigie_api::strays::{Kind, Leftover, LeftoverKind, Orphan, Outcome, Report, Result as Came, Stray};
use vigie_api::time::Millis;
use vigie_core::clock::Wall;
use vigie_core::text::OsText;
use vigie_os::proc::{Proc, text};

use super::survey::Orphaned;
use super::{Found, Known, One};
use crate::out::{ABSENT, Align, Column, Screen, Table, command, or_absent, style, time};
use crate::plan::started;

/// For programs.
pub(crate) fn report(found: &Found, known: &[Known], proc: &Proc) -> Report {
    let (ignored, strays) = found.strays.iter().partition::<Vec<&One>, _>(|one| one.ignored);
    let shown = |strays: Vec<&One>| strays.into_iter().map(|one| json(one, known)).collect();
    Report {
        schema: vigie_api::SCHEMA,
        at: Millis(vigie_os::clock::now().wall),
        strays: shown(strays),
        orphans: found.orphans.iter().flat_map(|orphaned| orphans(orphaned, proc)).collect(),
        leftovers: found.leftovers.clone(),
        ignored: shown(ignored),
    }
}

/// One stray for programs.
pub(crate) fn json(one: &One, known: &[Known]) -> Stray {
    let (stray, of) = (&one.stray, &known[one.stray.of]);
    Stray {
        pid: stray.key.pid,
        project: of.project.clone(),
        service: of.key.service.clone(),
        kind: one.kind,
        boot_id: stray.key.boot_id.to_string(),
        start_ticks: stray.key.start_ticks,
        started_at: started(stray.key.start_ticks).map(Millis),
        user: vigie_os::user::name(stray.uid),
        matched: stray.matched.iter().map(|fact| (*fact).to_owned()).collect(),
        command: stray.argv.clone(),
        executable: stray.executable.clone().into(),
        directory: stray.cwd.clone().into(),
        processes: u32::try_from(stray.tree.len() + 1).unwrap_or(u32::MAX),
        tree: stray.tree.iter().map(|key| key.pid).collect(),
        deleted: stray.deleted,
        namespaces: stray.elsewhere.iter().map(|name| (*name).to_owned()).collect(),
        run_pid: of.main,
    }
}

fn orphans(orphaned: &Orphaned, proc: &Proc) -> Vec<Orphan> {
    let holder = &orphaned.record.state.holder;
    let mut buffer = Vec::new();
    let one = |key: &vigie_core::identity::ProcKey| Orphan {
        pid: key.pid,
        project: holder.project.clone(),
        service: holder.key.service.clone(),
        run: holder.run,
        keeper: holder.keeper.pid,
        started_at: started(key.start_ticks).map(Millis),
        command: argv(proc, key.pid, &mut buffer),
    };
    orphaned.processes.iter().map(one).collect()
}

fn argv(proc: &Proc, pid: u32, buffer: &mut Vec<u8>) -> Vec<OsText> {
    let content = proc.cmdline(pid, buffer).ok().flatten().unwrap_or_default();
    text::arguments(content).map(|word| OsText(word.to_vec())).collect()
}

/// For people.
pub(crate) fn render(report: &Report, screen: Screen, now: Wall) -> String {
    if report.strays.is_empty() && report.orphans.is_empty() && report.leftovers.is_empty() {
        let ignored = ignored(report);
        return format!("no strays, no orphans, nothing left behind\n{ignored}");
    }
    let mut table = Table::new(&[
        Column::new("KIND", Align::Left),
        Column::new("SERVICE", Align::Left),
        Column::new("PID", Align::Right),
        Column::spare("USER", Align::Left, 2),
        Column::spare("AGE", Align::Right, 1),
        Column::spare("PROC", Align::Right, 3),
        Column::text("WHAT"),
        Column::remark("WHY"),
    ]);
    let plain = Style::new();
    let line = |argv: &[OsText]| command(argv.iter().map(|word| &word.0[..]));
    let age = |started: Option<Millis>| started.map_or_else(|| ABSENT.to_owned(), |at| time::age(at.0, now));
    for stray in &report.strays {
        table.row(vec![
            (style::WARN, kind(stray.kind).to_owned()),
            (style::HEAD, format!("{}/{}", stray.project, stray.service)),
            (plain, stray.pid.to_string()),
            (plain, or_absent(stray.user.as_ref())),
            (plain, age(stray.started_at)),
            (plain, stray.processes.to_string()),
            (plain, line(&stray.command)),
            (style::DIM, why(stray)),
        ]);
    }
    for orphan in &report.orphans {
        table.row(vec![
            (style::WARN, "orphan".to_owned()),
            (style::HEAD, format!("{}/{}", orphan.project, orphan.service)),
            (plain, orphan.pid.to_string()),
            (plain, ABSENT.to_owned()),
            (plain, age(orphan.started_at)),
            (plain, "1".to_owned()),
            (plain, line(&orphan.command)),
            (style::DIM, format!("of run {}, whose keeper, PID {}, is gone", orphan.run, orphan.keeper)),
        ]);
    }
    for leftover in &report.leftovers {
        let what = leftover.path.as_ref().map_or_else(|| word(leftover.kind).to_owned(), OsText::to_string);
        table.row(vec![
            (style::DIM, word(leftover.kind).to_owned()),
            (style::HEAD, format!("{}/{}", leftover.project, leftover.service)),
            (plain, or_absent(leftover.pid)),
            (plain, ABSENT.to_owned()),
            (plain, ABSENT.to_owned()),
            (plain, ABSENT.to_owned()),
            (plain, what),
            (style::DIM, leftover.why.clone()),
        ]);
    }
    format!("{}{}{}", table.render(screen), screen.folded(&closing(report), 0, 2), ignored(report))
}

/// What can be done.
fn closing(report: &Report) -> String {
    let swept = report.strays.iter().any(|stray| stray.kind != Kind::Elsewhere)
        || !report.orphans.is_empty()
        || report.leftovers.iter().any(|leftover| leftover.removable);
    let mut text = String::new();
    if swept {
        text.push_str("'vigie sweep' ends and removes them");
        if let Some(stray) = report.strays.first() {
            text.push_str(&format!(
                "; 'vigie adopt pid:{pid}' takes one over, 'vigie ignore pid:{pid}' leaves it alone",
                pid = stray.pid
            ));
        }
        text.push('\n');
    }
    text
}

fn ignored(report: &Report) -> String {
    match report.ignored.len() {
        0 => String::new(),
        count => {
            format!("{count} more {} ignored: 'vigie ignore' lists what is\n", if count == 1 { "is" } else { "are" })
        }
    }
}

/// Why a stray is one: what matches, and how its service stands.
pub(crate) fn why(stray: &Stray) -> String {
    let facts = match &stray.matched[..] {
        [] => String::new(),
        [one] => one.clone(),
        [many @ .., last] => format!("{} and {last}", many.join(", ")),
    };
    let mut text = format!("same {facts}; ");
    match (stray.kind, stray.run_pid) {
        (Kind::Elsewhere, _) => {
            let namespaces = stray.namespaces.join(" and ");
            text.push_str(&format!(
                "it lives in another {namespaces} namespace, where its paths may mean other files; "
            ));
            text.push_str("it is left to whoever started that");
        }
        (Kind::Duplicate, Some(pid)) => {
            text.push_str(&format!("{}/{} itself runs as PID {pid}", stray.project, stray.service));
        }
        (Kind::Duplicate, None) => text.push_str("the service itself is on its way"),
        (Kind::Stray, _) => text.push_str("vigie did not start it, and the service does not run"),
    }
    if stray.deleted {
        text.push_str("; its executable was deleted or replaced since");
    }
    text
}

/// In a word.
pub(crate) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Stray => "stray",
        Kind::Duplicate => "duplicate",
        Kind::Elsewhere => "elsewhere",
    }
}

/// In a word.
pub(crate) fn word(kind: LeftoverKind) -> &'static str {
    match kind {
        LeftoverKind::Socket => "socket",
        LeftoverKind::PidFile => "pid file",
        LeftoverKind::Record => "record",
        LeftoverKind::DeletedExecutable => "executable",
    }
}

/// What came of each, one a line; what failed on standard error.
pub(crate) fn outcomes(outcomes: &[Outcome]) -> std::io::Result<()> {
    let screen = Screen::stdout();
    let mut out = std::io::stdout().lock();
    for outcome in outcomes {
        let text = screen.folded(&crate::out::safe(&outcome.text), 0, 2);
        match outcome.outcome {
            Came::Ended | Came::Removed => writeln!(out, "{}", screen.paint(style::GOOD, text))?,
            Came::Gone => writeln!(out, "{text}")?,
            Came::Left | Came::NotPermitted => eprintln!("{text}"),
        }
    }
    Ok(())
}

/// One line for `status`.
pub(crate) fn line(strays: &[Stray]) -> Option<String> {
    let shown = |stray: &Stray| format!("{}/{} as PID {}", stray.project, stray.service, stray.pid);
    let first: Vec<String> = strays.iter().take(3).map(shown).collect();
    let more = if strays.len() > first.len() { ", …" } else { "" };
    match strays.len() {
        0 => None,
        1 => Some(format!("1 stray: {}; 'vigie strays' says why", first.join(", "))),
        count => Some(format!("{count} strays: {}{more}; 'vigie strays' says why", first.join(", "))),
    }
}

/// What is left behind, in one line each.
pub(crate) fn leftover_line(leftover: &Leftover) -> String {
    let what = leftover.path.as_ref().map_or_else(String::new, |path| format!(" {path}"));
    format!("{}{what} of {}/{}: {}", word(leftover.kind), leftover.project, leftover.service, leftover.why)
}
