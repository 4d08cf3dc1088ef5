//! `vigie why`: one explanation, with its evidence and what can be done.

pub(crate) mod again;
pub(crate) mod belonging;
pub(crate) mod described;
pub(crate) mod port;
pub(crate) mod service;
mod show;

use std::io::Write as _;

use vigie_api::status::Report;
use vigie_api::time::Millis;
use vigie_api::why::Why;
use vigie_core::clock::Wall;
use vigie_core::exit_code::ExitCode;
use vigie_core::stuck::Judgement;
use vigie_core::target::Target;
use vigie_core::why::{Explanation, Times, explain_port, explain_process, explain_service};
use vigie_os::ancestry;

use crate::args::{ManifestLong, target};
use crate::failure::{Failure, Verdict};
use crate::judged::Judge;
use crate::out::{Screen, time};
use crate::scene::Scene;
use crate::select;
use belonging::Known;
use service::Subjected;

/// Explain why something is as it is
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Explain one thing: why a service runs twice, cannot start, is not ready or was restarted; who has a port; \
        what a process does, since when it runs and who started it. Every fact comes with the place where it can be read \
        again; what cannot be seen is said, and why. It only looks, and needs neither daemon nor manifest.\n\n\
        Exit code 0: it is explained. 1: there is nothing to explain, since the service is well or the port free. 7: what \
        matters cannot be seen by this user. 8: there is no such process or service.",
    after_help = "Examples:\n  \
        vigie why api                 why it stands where it stands\n  \
        vigie why port:8000           who has the port, since when, and what frees it\n  \
        vigie why pid:4711            what the process does, and who started it\n  \
        vigie why api --json          the same for programs"
)]
pub(crate) struct Args {
    /// A service, pid:N or port:N
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) target: Target,
    /// For programs: schema 1
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) manifest: ManifestLong,
}

/// What is found: the gravest explanation, the others, and of a process what only processes have.
struct Found {
    told: Explanation,
    also: Vec<Explanation>,
    process: Option<Judgement>,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut scene = Scene::new(args.manifest.file.as_deref())?;
    let report = scene.report(false)?;
    let now = vigie_os::clock::now().wall;
    let for_people = |at: Wall| time::local(at);
    let for_programs = |at: Wall| Millis(at).to_string();
    let shown: &dyn Fn(Wall) -> String = if args.json { &for_programs } else { &for_people };
    let found = explain(&args.target, &report, &scene, Times { now, shown })?;
    let mut out = std::io::stdout().lock();
    if args.json {
        let mut why = Why::new(args.target.to_string(), Millis(now), &found.told, &found.also);
        if let Some(judgement) = &found.process {
            why = why.of_process(judgement);
        }
        serde_json::to_writer(&mut out, &why).map_err(|error| Failure::from(std::io::Error::from(error)))?;
        writeln!(out)?;
    } else {
        out.write_all(show::text(&found.told, &found.also, Screen::stdout()).as_bytes())?;
    }
    out.flush()?;
    Ok(code(&found).number())
}

/// What a script learns.
fn code(found: &Found) -> ExitCode {
    let is_port = matches!(found.told.verdict, vigie_core::why::Verdict::Port(_));
    if is_port && found.told.blind {
        return ExitCode::NotPermitted;
    }
    if found.told.verdict.is_well() { ExitCode::No } else { ExitCode::Done }
}

fn explain(target: &Target, report: &Report, scene: &Scene, times: Times<'_>) -> Result<Found, Failure> {
    let known = Known::new(report, scene)?;
    match target {
        Target::Pid(pid) => {
            scene.process(*pid)?;
            let story = ancestry::story(&scene.proc, *pid)?;
            let story = story.ok_or_else(|| Failure::not_found(format!("there is no process {pid}")))?;
            let belonging = known.belonging(&story, &scene.proc, &scene.place)?;
            let sent = service::asked_to_end(belonging.as_ref(), &known, scene, times.now);
            let judgement = Judge::new(&scene.proc)?.judge(&story, sent);
            let mut told = explain_process(&story, &judgement, belonging.as_ref(), times);
            if told.remedies.iter().any(|remedy| remedy.name == "end")
                && let Some((reason, command)) = again::again(&story)
            {
                told.because.push(reason);
                if let Some(command) = command {
                    told.remedy("stop-starter", "ends who would start it again, and with that the process", command);
                }
            }
            Ok(Found { told, also: Vec::new(), process: Some(judgement) })
        }
        Target::Port(port) => {
            let facts = port::look(port, report, &known, scene)?;
            Ok(Found { told: explain_port(&facts, times), also: Vec::new(), process: None })
        }
        Target::Container { .. } | Target::Source(_) => Err(crate::select::elsewhere(target)),
        Target::Service(_) => {
            let subject = subject(target, report, scene)?;
            let mut all = explain_service(&service::look(&subject, report, &known, scene)?, times).into_iter();
            let told = all.next().ok_or_else(|| Failure::new(ExitCode::Internal, "a service has no explanation"))?;
            Ok(Found { told, also: all.collect(), process: None })
        }
    }
}

/// The service that is meant: one that is known, or one that only the manifest here names.
fn subject(target: &Target, report: &Report, scene: &Scene) -> Result<Subjected, Failure> {
    match select::services(report, &scene.here.dir, std::slice::from_ref(target), &scene.proc) {
        Ok(services) => match services.first() {
            Some(service) => Ok(Subjected::Known(Box::new((*service).clone()))),
            None => Err(Failure::not_found(format!("no service {target} is known here"))),
        },
        Err(failure) if failure.code() == ExitCode::NotFound => {
            let Target::Service(wanted) = target else { return Err(failure) };
            let all = described::all(report, scene);
            let fits = |described: &&described::Described| {
                described.service.name == wanted.service
                    && wanted.project.as_ref().is_none_or(|project| *project == described.project)
                    && report.services.iter().all(|service| service.key != described.key)
            };
            let only = all.into_iter().find(|described| fits(&described)).ok_or(failure)?;
            Ok(Subjected::Only(Box::new(only)))
        }
        Err(failure) => Err(failure),
    }
}
