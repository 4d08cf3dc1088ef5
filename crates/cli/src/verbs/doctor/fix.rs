//! `vigie doctor --fix`: the plan of what mends, shown, asked, carried out, and seen to have mended.

use std::collections::HashSet;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use vigie_api::doctor::{Finding, Fixed, Step as Told};
use vigie_api::time::Millis;
use vigie_core::doctor::{Finding as Found, Kind, Scope};
use vigie_core::exit_code::ExitCode;
use vigie_core::stuck::Cure;

use super::{Args, Examined, examine, pause, show};
use crate::args::Confirm;
use crate::clear::{Cleared, end_survivors};
use crate::confirm::{self, Consent};
use crate::cure::{self, Doer};
use crate::failure::{Failure, Verdict};
use crate::look;
use crate::out::{Align, Column, Screen, Table, safe, style};
use crate::scene::Scene;
use crate::strays::{Found as Strays, act};
use crate::verbs::{forget, strays};

/// How long it may take until what was done shows.
const SHOWS: Duration = Duration::from_secs(5);

/// Between two looks whether it does.
const LOOK: Duration = Duration::from_millis(200);

/// What was seen longer ago is looked at again before anything is done to it: somebody may have thought about the question.
const FRESH: Duration = Duration::from_secs(1);

/// Something that vigie itself can do.
enum Deed {
    Cure(Cure),
    /// Removes the file that nobody stands behind.
    Remove(String),
    /// Clears the record of a run away of which nothing is left.
    Forget(String),
}

/// A deed, and what it is for.
struct Step {
    deed: Deed,
    name: &'static str,
    effect: String,
    needs: Option<&'static str>,
    /// The findings that it may mend.
    mends: Vec<Found>,
    /// Why it is asked about by itself, and `--yes` is no answer; absent when it is not.
    apart: Option<&'static str>,
}

/// What became of a step.
enum Came {
    Done(String),
    NotEnough(String),
    Failed(Failure),
    Needless,
    LeftOut(&'static str),
}

pub(super) fn fix(args: &Args, scope: &Scope, scene: &mut Scene) -> Verdict {
    let examined = examine(scope, scene)?;
    let mut looked = vigie_os::clock::mono();
    let mut steps = plan(&examined, scope);
    if !args.json {
        let mut out = std::io::stdout().lock();
        out.write_all(show::text(&examined, scope, Screen::stdout()).as_bytes())?;
        if !steps.is_empty() {
            write!(out, "\n{}", table(&steps, Screen::stdout()))?;
        } else if !examined.found.is_empty() {
            writeln!(out, "none of it is mended by vigie itself; what can be done by hand stands above")?;
        }
        out.flush()?;
    }
    if steps.is_empty() {
        if args.json {
            tell_json(args, &examined, Vec::new(), None)?;
        }
        return Ok(super::code(&examined.found, &examined.facts).number());
    }
    let agreed = agree(args.confirm, &steps)?;
    if agreed.is_empty() && args.confirm.dry_run {
        if args.json {
            let planned = steps.iter().map(|step| told(step, "planned", None)).collect();
            tell_json(args, &examined, planned, None)?;
        } else {
            writeln!(std::io::stdout(), "dry run: nothing was done")?;
        }
        return Ok(ExitCode::Done.number());
    }
    let named = if let Scope::Process(pid) = scope { Some(*pid) } else { None };
    let mut open = examined.found.clone();
    let mut told_steps = Vec::new();
    let mut worst = ExitCode::Done;
    let count = steps.len();
    for place in 0..count {
        let step = &steps[place];
        let may = agreed.contains(&place) || is_open(step, &open) && agree_apart(step, args.confirm)?;
        if may && vigie_os::clock::mono().since(looked) > FRESH {
            (open, looked) = (still(scope, scene)?, vigie_os::clock::mono());
        }
        let came = match step.apart {
            _ if !is_open(step, &open) || !is_offered(step, &open) => Came::Needless,
            Some(why) if !may => Came::LeftOut(why),
            _ => carry_out(step, named, scope, scene, &mut open)?,
        };
        if matches!(came, Came::Done(_) | Came::NotEnough(_)) {
            looked = vigie_os::clock::mono();
        }
        if let Came::Failed(failure) = &came
            && failure.code().number() > worst.number()
        {
            worst = failure.code();
        }
        let next = following(&steps, place, &open);
        if !args.json {
            say(&steps[place], &came, next)?;
        }
        told_steps.push(outcome(&steps[place], &came));
        // Only what is still there can be mended by what follows.
        steps[place].mends.retain(|found| open.iter().any(|other| other.is_same(found)));
    }
    let mut after = examine(scope, scene)?;
    // What has come up meanwhile is nothing that this was to mend: whoever was ended is a zombie for an instant.
    after.found.retain(|found| examined.found.iter().any(|before| before.is_same(found)));
    if args.json {
        tell_json(args, &examined, told_steps, Some(&after))?;
    } else if after.found.is_empty() {
        let line = "nothing is left of it";
        writeln!(std::io::stdout(), "{}", Screen::stdout().paint(style::GOOD, line))?;
    } else {
        let names: Vec<String> =
            after.found.iter().map(|found| format!("{} {}", found.kind.name(), found.subject)).collect();
        let line = safe(&format!("still open: {}", names.join(", ")));
        let screen = Screen::stdout();
        writeln!(std::io::stdout(), "{}", screen.paint(style::WARN, screen.folded(&line, 0, 2)))?;
    }
    Ok(match worst {
        _ if after.found.is_empty() => ExitCode::Done,
        ExitCode::NotPermitted | ExitCode::Stuck => worst,
        _ => ExitCode::No,
    }
    .number())
}

/// Everything that vigie can do itself, the mildest first; one deed that mends several findings once.
fn plan(examined: &Examined, scope: &Scope) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for found in &examined.found {
        for remedy in &found.remedies {
            let deed = match (&remedy.cure, found.kind, remedy.name) {
                (Some(cure), ..) => Deed::Cure(cure.clone()),
                (None, Kind::Leftover, "sweep") => Deed::Remove(found.subject.clone()),
                (None, Kind::Leftover, "forget") => Deed::Forget(found.service.clone().unwrap_or_default()),
                _ => continue,
            };
            if let Some(known) = steps.iter_mut().find(|known| is_same(&known.deed, &deed)) {
                known.mends.push(found.clone());
                // It is enough that one of those for whom it is done is ours.
                known.apart = known.apart.and(apart(&known.deed, found, scope));
                continue;
            }
            let apart = apart(&deed, found, scope);
            steps.push(Step {
                deed,
                name: remedy.name,
                effect: remedy.effect.clone(),
                needs: remedy.needs,
                mends: vec![found.clone()],
                apart,
            });
        }
    }
    // Stable: among equals the gravest finding comes first, as it was found.
    steps.sort_by_key(|step| match &step.deed {
        Deed::Remove(_) | Deed::Forget(_) => 0,
        Deed::Cure(cure) => cure::rank(cure),
    });
    steps
}

/// Why a deed is asked about by itself. What was stopped, frozen or made to wait may be so on purpose: somebody pressed
/// Ctrl-Z, paused a container, freezes a file system for a snapshot. Where nobody named anything, that is not undone, and
/// nothing is taken from anybody, by a yes to everything; what the runs of vigie need for themselves is another matter.
fn apart(deed: &Deed, found: &Found, scope: &Scope) -> Option<&'static str> {
    let Deed::Cure(cure) = deed else { return None };
    if let Some(process) = cure::ends(cure) {
        let is_named = *scope == Scope::Process(process.pid());
        return (!is_named).then_some("it ends a process that nobody named; that was not agreed to");
    }
    let ours = found.service.is_some() || matches!(found.kind, Kind::Daemon | Kind::Keeper);
    let all = match cure {
        // What these do, they do to everybody who uses it.
        Cure::AbortFuse { .. } | Cure::ThawFilesystem { .. } => true,
        Cure::Signal { .. } | Cure::ThawCgroup { .. } | Cure::DrainPipe { .. } => !ours,
        Cure::Tell { .. } | Cure::End { .. } => false,
    };
    (all && *scope == Scope::Machine)
        .then_some("it concerns what is not vigie's, and nobody named it; that was not agreed to")
}

fn is_same(one: &Deed, other: &Deed) -> bool {
    match (one, other) {
        (Deed::Cure(one), Deed::Cure(other)) => cure::is_same(one, other),
        (Deed::Remove(one), Deed::Remove(other)) | (Deed::Forget(one), Deed::Forget(other)) => one == other,
        _ => false,
    }
}

impl Step {
    fn what(&self) -> String {
        match &self.deed {
            Deed::Cure(cure) => cure::what(cure),
            Deed::Remove(_) => "remove".to_owned(),
            Deed::Forget(_) => "forget".to_owned(),
        }
    }

    fn whom(&self) -> String {
        match &self.deed {
            Deed::Cure(cure) => cure::whom(cure),
            Deed::Remove(path) => path.clone(),
            Deed::Forget(service) => format!("the record of {service}"),
        }
    }

    fn deed(&self) -> String {
        format!("{} {}", self.what(), self.whom())
    }
}

fn table(steps: &[Step], screen: Screen) -> String {
    let mut table = Table::new(&[
        Column::new("", Align::Right),
        Column::new("DO", Align::Left),
        Column::text("ON"),
        Column::text("EFFECT"),
        Column::new("NEEDS", Align::Left),
    ]);
    let plain = anstyle::Style::new();
    for (place, step) in steps.iter().enumerate() {
        let needs = match (step.needs, step.apart.is_some()) {
            (Some(needs), false) => needs.to_owned(),
            (Some(needs), true) => format!("{needs}, your word"),
            (None, true) => "your word".to_owned(),
            (None, false) => String::new(),
        };
        table.row(vec![
            (style::HEAD, (place + 1).to_string()),
            (plain, step.what()),
            (plain, step.whom()),
            (plain, step.effect.clone()),
            (plain, needs),
        ]);
    }
    table.drop_if_all("NEEDS", "");
    let mut text = table.render(screen);
    let line = "each only while what it is for is still there; what needs your word is asked about by itself";
    text.push_str(&format!("{}\n", screen.paint(style::DIM, screen.folded(line, 0, 0))));
    text
}

/// Which steps may be done.
fn agree(confirm: Confirm, steps: &[Step]) -> Result<HashSet<usize>, Failure> {
    let mild: Vec<usize> = (0..steps.len()).filter(|place| steps[*place].apart.is_none()).collect();
    let mut agreed = HashSet::new();
    if confirm.dry_run {
        return Ok(agreed);
    }
    if !mild.is_empty() {
        let question = match mild.len() {
            1 => format!("{}?", sentence(&steps[mild[0]].deed())),
            count => format!("Do these {count} steps, as far as they are needed?"),
        };
        confirm::ask(confirm, &question)?;
        agreed.extend(mild);
    }
    if agreed.is_empty() {
        // Nothing but what is asked about by itself, when its turn comes.
        let somebody = confirm.yes || std::io::stdin().is_terminal();
        if !somebody {
            confirm::ask(confirm, "")?;
        }
    }
    Ok(agreed)
}

/// Whether a step may be done that is asked about by itself: at a terminal, when it is to be done. No yes to everything
/// answers it.
fn agree_apart(step: &Step, confirm: Confirm) -> Result<bool, Failure> {
    if step.apart.is_none() || confirm.yes || !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    match confirm::ask(confirm, &format!("{}?", sentence(&step.deed()))) {
        Ok(consent) => Ok(consent == Consent::Given),
        Err(failure) if failure.code() == ExitCode::No => Ok(false),
        Err(failure) => Err(failure),
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Something that a step is for is still found.
fn is_open(step: &Step, open: &[Found]) -> bool {
    step.mends.iter().any(|found| open.iter().any(|other| other.is_same(found)))
}

/// It would be planned again: the number of a connection that has ended soon is that of another. Everything else is
/// compared by whoever touches it.
fn is_offered(step: &Step, open: &[Found]) -> bool {
    let Deed::Cure(deed @ Cure::AbortFuse { .. }) = &step.deed else { return true };
    let of_step = open.iter().filter(|found| step.mends.iter().any(|mends| mends.is_same(found)));
    of_step.flat_map(|found| &found.remedies).any(|remedy| remedy.cure.as_ref() == Some(deed))
}

/// What is found now.
fn still(scope: &Scope, scene: &mut Scene) -> Result<Vec<Found>, Failure> {
    match examine(scope, scene) {
        Ok(examined) => Ok(examined.found),
        // The process that was named has ended.
        Err(failure) if failure.code() == ExitCode::NotFound => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

/// Does a step, and looks whether it is gone then. `open`: what is found at this moment.
fn carry_out(
    step: &Step,
    named: Option<u32>,
    scope: &Scope,
    scene: &mut Scene,
    open: &mut Vec<Found>,
) -> Result<Came, Failure> {
    let done = match &step.deed {
        Deed::Cure(cure) => Doer::new(&scene.proc, named)?.perform(cure),
        Deed::Remove(path) => remove(path, scene),
        Deed::Forget(service) => forget(service, scene),
    };
    let line = match done {
        Ok(line) => line,
        Err(failure) => return Ok(Came::Failed(failure)),
    };
    let deadline = vigie_os::clock::mono() + SHOWS;
    loop {
        *open = still(scope, scene)?;
        if !is_open(step, open) {
            return Ok(Came::Done(line));
        }
        if vigie_os::clock::mono() >= deadline {
            return Ok(Came::NotEnough(line));
        }
        pause(LOOK)?;
    }
}

/// The next step that could mend what this one has not.
fn following<'a>(steps: &'a [Step], place: usize, open: &[Found]) -> Option<&'a Step> {
    let still: Vec<&Found> =
        steps[place].mends.iter().filter(|found| open.iter().any(|one| one.is_same(found))).collect();
    let helps = |step: &Step| step.mends.iter().any(|found| still.iter().any(|one| one.is_same(found)));
    steps.iter().skip(place + 1).find(|step| helps(step))
}

fn say(step: &Step, came: &Came, next: Option<&Step>) -> Result<(), Failure> {
    let screen = Screen::stdout();
    let mut out = std::io::stdout().lock();
    let deed = step.deed();
    let mut wrong = true;
    match came {
        Came::Done(line) => {
            wrong = false;
            let subjects: Vec<String> =
                step.mends.iter().map(|one| format!("{} {}", one.kind.name(), one.subject)).collect();
            let line = safe(&format!("{deed}: {line}; {} is resolved", subjects.join(", ")));
            writeln!(out, "{}", screen.paint(style::GOOD, screen.folded(&line, 0, 2)))?;
        }
        Came::NotEnough(line) => {
            let line = safe(&format!("{deed}: {line}; that was not enough"));
            writeln!(out, "{}", screen.paint(style::WARN, screen.folded(&line, 0, 2)))?;
        }
        Came::Failed(failure) => {
            out.flush()?;
            crate::say(failure);
        }
        Came::Needless => {
            wrong = false;
            writeln!(out, "{}", screen.paint(style::DIM, safe(&format!("{deed}: not needed any more"))))?;
        }
        Came::LeftOut(why) => {
            wrong = false;
            writeln!(out, "{}", screen.folded(&safe(&format!("{deed}: not done: {why}")), 0, 2))?;
        }
    }
    match next {
        Some(next) if wrong => writeln!(out, "  next: {}", safe(&next.deed()))?,
        None if wrong => writeln!(out, "  there is nothing milder or stronger left that vigie could do")?,
        _ => {}
    }
    out.flush()?;
    Ok(())
}

/// Removes a file as `vigie sweep` does: only if it still is what it was found to be.
fn remove(path: &str, scene: &mut Scene) -> Result<String, Failure> {
    let (known, mut found) = strays::look(scene, &[], true)?;
    found.leftovers.retain(|leftover| leftover.path.as_ref().is_some_and(|own| own.to_string() == path));
    let only = Strays { leftovers: found.leftovers, ..Strays::default() };
    let (outcomes, worst) = act::carry_out(&only, &known, None, scene)?;
    let line = outcomes.iter().map(|outcome| outcome.text.clone()).collect::<Vec<_>>().join("; ");
    match worst {
        ExitCode::Done if line.is_empty() => Ok("it was gone already".to_owned()),
        ExitCode::Done => Ok("it is removed".to_owned()),
        code => Err(Failure::new(code, line)),
    }
}

/// Clears records away as `vigie forget` does: under the lock of the service.
fn forget(service: &str, scene: &Scene) -> Result<String, Failure> {
    let records = look::records(&scene.place, &scene.proc, &HashSet::new())?;
    let label = |record: &look::Record| format!("{}/{}", record.state.holder.project, record.state.holder.key.service);
    for record in records.iter().filter(|record| label(record) == service && forget::is_stale(record)) {
        match end_survivors(record, &scene.place, &scene.proc)? {
            Cleared::Ended(_) => {}
            Cleared::Taken => return Ok("a new run has taken its place".to_owned()),
        }
    }
    Ok("it is cleared away".to_owned())
}

fn outcome(step: &Step, came: &Came) -> Told {
    match came {
        Came::Done(_) => told(step, "done", None),
        Came::NotEnough(line) => told(step, "not-enough", Some(line.clone())),
        Came::Failed(Failure::Error { message, .. }) => told(step, "failed", Some(message.clone())),
        Came::Failed(_) => told(step, "failed", None),
        Came::Needless => told(step, "needless", None),
        Came::LeftOut(why) => told(step, "left-out", Some((*why).to_owned())),
    }
}

fn told(step: &Step, outcome: &str, why: Option<String>) -> Told {
    let first = step.mends.first();
    Told {
        remedy: step.name.to_owned(),
        kind: first.map(|found| found.kind.name().to_owned()).unwrap_or_default(),
        subject: first.map(|found| found.subject.clone()).unwrap_or_default(),
        deed: step.deed(),
        outcome: outcome.to_owned(),
        why,
    }
}

fn tell_json(args: &Args, before: &Examined, steps: Vec<Told>, after: Option<&Examined>) -> Result<(), Failure> {
    let shown = |found: &[Found]| found.iter().map(Finding::from).collect::<Vec<_>>();
    let fixed = Fixed {
        schema: vigie_api::SCHEMA,
        at: Millis(vigie_os::clock::now().wall),
        dry_run: args.confirm.dry_run,
        findings: shown(&before.found),
        steps,
        left: after.map(|after| shown(&after.found)),
    };
    let text = serde_json::to_string(&fixed)
        .map_err(|error| Failure::io("cannot write JSON", &std::io::Error::other(error)))?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

#[cfg(test)]
mod tests;
