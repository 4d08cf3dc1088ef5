//! Which processes the targets mean, and which of them are refused.

use vigie_api::status::{Report, Service};
use vigie_core::claim::PortClaim;
use vigie_core::exit_code::ExitCode;
use vigie_core::ports::Verdict;
use vigie_core::protect::{Asker, Facts, Protection, protection};
use vigie_core::target::Target;
use vigie_core::why::PortFacts;
use vigie_core::why::facts::{Belonging, Membership, Story};
use vigie_docker::holder::Role;
use vigie_os::remains::MARK;
use vigie_os::{ancestry, strays, user};

use crate::containers;
use crate::failure::Failure;
use crate::out::safe;
use crate::plan::label;
use crate::scene::Scene;
use crate::verbs::why::belonging::Known;
use crate::verbs::why::port;

/// A process that is to end.
#[derive(Debug)]
pub(super) struct Marked {
    /// It.
    pub(super) story: Story,
    /// Why it is meant.
    pub(super) why: String,
    /// The run that it is a part of; its main process stands for the whole run and is none of these.
    pub(super) of: Option<Membership>,
}

/// What the targets mean.
#[derive(Debug, Default)]
pub(super) struct Meant {
    /// Processes, each once.
    pub(super) processes: Vec<Marked>,
    /// Runs that are to be stopped.
    pub(super) services: Vec<Service>,
    /// Why whole runs are meant.
    pub(super) instead: Vec<String>,
    /// Ports that are to be free afterwards.
    pub(super) ports: Vec<PortClaim>,
}

/// Why a process is not ended: the code, the reason, what to do instead.
struct Refusal {
    code: ExitCode,
    why: String,
    instead: Option<String>,
}

impl Refusal {
    fn new(code: ExitCode, why: impl Into<String>) -> Self {
        Self { code, why: why.into(), instead: None }
    }

    fn instead(self, text: impl Into<String>) -> Self {
        Self { instead: Some(text.into()), ..self }
    }
}

/// Looks at every target before anything is done: one that is refused keeps the others from being ended, too.
pub(super) fn resolve(targets: &[Target], report: &Report, scene: &Scene) -> Result<Meant, Failure> {
    let known = Known::new(report, scene)?;
    let asker = Asked { ancestors: strays::ancestors(&scene.proc)?, uid: user::uid() };
    let mut meant = Meant::default();
    let mut refused: Option<ExitCode> = None;
    for target in targets {
        match add(target, report, &known, &asker, scene, &mut meant) {
            Ok(()) => {}
            Err(failure) => {
                crate::say(&failure);
                let code = failure.code();
                refused = Some(refused.filter(|worst| worst.number() >= code.number()).unwrap_or(code));
            }
        }
    }
    match refused {
        Some(code) => {
            eprintln!("nothing was done");
            Err(Failure::Told(code))
        }
        None => Ok(meant),
    }
}

/// Who asks.
struct Asked {
    ancestors: Vec<u32>,
    uid: u32,
}

fn add(
    target: &Target,
    report: &Report,
    known: &Known,
    asker: &Asked,
    scene: &Scene,
    meant: &mut Meant,
) -> Result<(), Failure> {
    match target {
        Target::Service(_) => {
            for service in scene.chosen(report, std::slice::from_ref(target), true)? {
                stop(service, None, meant);
            }
            Ok(())
        }
        Target::Pid(pid) => {
            scene.process(*pid)?;
            let story = ancestry::story(&scene.proc, *pid)?;
            let story = story.ok_or_else(|| Failure::not_found(format!("there is no process {pid}")))?;
            let belonging = known.belonging(&story, &scene.proc, &scene.place)?;
            process(story, belonging, "named".to_owned(), known, asker, scene, meant)
        }
        Target::Port(claim) => {
            let facts = port::look(claim, report, known, scene)?;
            listeners(&facts, known, asker, scene, meant)?;
            meant.ports.push(*claim);
            Ok(())
        }
        Target::Container { .. } | Target::Source(_) => Err(crate::select::elsewhere(target)),
    }
}

/// Those who hold a port; never who is connected with it.
fn listeners(facts: &PortFacts, known: &Known, asker: &Asked, scene: &Scene, meant: &mut Meant) -> Result<(), Failure> {
    let port = facts.port;
    match facts.verdict {
        Verdict::Used | Verdict::Shared | Verdict::Bound => {}
        Verdict::Ephemeral => {
            let message = format!("port {port} has no listener: it is the own end of a connection, which is not ended");
            return Err(Failure::not_found(message).hint(format!("'vigie why port:{port}' says whose it is")));
        }
        Verdict::Unknown => {
            return Err(Failure::new(
                ExitCode::NotPermitted,
                format!("who has port {port} cannot be seen: needs root"),
            ));
        }
        Verdict::Free | Verdict::TimeWait | Verdict::Reserved => {
            return Err(Failure::not_found(format!("nobody has port {port}")));
        }
    }
    if let Some(hidden) = facts.hidden.first() {
        let message = format!("port {port} is held by {hidden}; which one cannot be seen: needs root");
        return Err(Failure::new(ExitCode::NotPermitted, message));
    }
    for holder in &facts.holders {
        let why = format!("has {}", holder.socket);
        if let Some(container) = &holder.container {
            let message = format!("port {port} is held for the container {}; its proxy is not ended", safe(container));
            let hint = format!("'vigie free {port}' stops the container");
            return Err(Failure::new(ExitCode::NotPermitted, message).hint(hint));
        }
        process(holder.story.clone(), holder.belonging.clone(), why, known, asker, scene, meant)?;
    }
    Ok(())
}

/// A run is stopped as a whole.
fn stop(service: Service, because: Option<String>, meant: &mut Meant) {
    meant.instead.extend(because);
    if !meant.services.iter().any(|known| known.key == service.key) {
        meant.services.push(service);
    }
}

fn process(
    story: Story,
    belonging: Option<Belonging>,
    why: String,
    known: &Known,
    asker: &Asked,
    scene: &Scene,
    meant: &mut Meant,
) -> Result<(), Failure> {
    let name = format!("PID {} ({})", story.process.pid(), story.process.name);
    if let Some(refusal) = refusal(&story, belonging.as_ref(), asker, scene)? {
        let failure = Failure::new(refusal.code, format!("{name} is not ended: {}", refusal.why));
        return Err(match refusal.instead {
            Some(instead) => failure.hint(instead),
            None => failure,
        });
    }
    match belonging {
        Some(Belonging::Main(run)) => {
            let Some(service) = known.service(run.run).cloned() else {
                return Err(Failure::not_found(format!("{name} belongs to a run that is over")));
            };
            let elsewhere = if service.project_dir.as_path() == scene.here.dir { "" } else { " of another project" };
            let label = label(&service);
            let note = format!(
                "{name} is the main process of {label}{elsewhere}: the whole run is stopped, as 'vigie stop {label}' does"
            );
            stop(service, Some(note), meant);
        }
        Some(Belonging::Member(run)) => push(Marked { story, why, of: Some(run) }, meant),
        Some(Belonging::Stray { service, .. }) => {
            let why = format!("{why}; another copy of {service}");
            push(Marked { story, why, of: None }, meant);
        }
        Some(Belonging::Keeper(_) | Belonging::Daemon | Belonging::Ourselves) | None => {
            let unknown =
                story.variable(MARK).map(|run| format!("; of run {run} of another vigie")).unwrap_or_default();
            let why = format!("{why}{unknown}");
            push(Marked { story, why, of: None }, meant);
        }
    }
    Ok(())
}

fn push(marked: Marked, meant: &mut Meant) {
    if !meant.processes.iter().any(|known| known.story.process.key == marked.story.process.key) {
        meant.processes.push(marked);
    }
}

/// Why it is not ended, when it is not.
fn refusal(
    story: &Story,
    belonging: Option<&Belonging>,
    asker: &Asked,
    scene: &Scene,
) -> Result<Option<Refusal>, Failure> {
    let process = &story.process;
    match belonging {
        Some(Belonging::Ourselves) => {
            return Ok(Some(Refusal::new(ExitCode::NotPermitted, "it is this command itself")));
        }
        Some(Belonging::Daemon) => {
            let refusal = Refusal::new(ExitCode::NotPermitted, "it is vigie's daemon");
            return Ok(Some(refusal.instead("'vigie daemon stop' ends it in order")));
        }
        Some(Belonging::Keeper(run)) => {
            let refusal = Refusal::new(ExitCode::NotPermitted, format!("it is the process that holds {}", run.service));
            return Ok(Some(refusal.instead(format!("'vigie stop {}' stops what it holds, and ends it", run.service))));
        }
        _ => {}
    }
    if process.is_zombie() {
        let refusal = Refusal::new(
            ExitCode::NotFound,
            "it is dead already, and no signal reaches the dead; its parent must reap it",
        );
        return Ok(Some(match story.ancestors.first() {
            Some(parent) if parent.pid() != 1 => {
                refusal.instead(format!("its parent is {}; when that ends, PID 1 reaps both", safe(&parent.label())))
            }
            _ => refusal,
        }));
    }
    let mut buffer = Vec::new();
    let status = scene.proc.status(process.pid(), &mut buffer)?;
    let argv = process.argv.known().map(Vec::as_slice).unwrap_or_default();
    let facts = Facts {
        pid: process.pid(),
        uid: process.uid.unwrap_or(u32::MAX),
        kernel: process.kernel,
        init: status.is_some_and(|status| status.innermost_pid == Some(1)),
        executable: story.executable.known().map(vigie_core::text::OsText::as_path),
        name: &process.name.0,
        argv,
    };
    let asked = Asker { pid: std::process::id(), ancestors: &asker.ancestors, uid: asker.uid };
    // What somebody names by its number is meant, an editor or a shell as well.
    let found = protection(&facts, &asked).filter(|protection| !protection.yields_to_proof());
    Ok(found.map(|protection| protected(protection, story, scene)))
}

fn protected(protection: Protection, story: &Story, scene: &Scene) -> Refusal {
    let process = &story.process;
    let refusal = Refusal::new(ExitCode::NotPermitted, protection.to_string());
    match protection {
        Protection::OtherUser => {
            let owner = process.owner().unwrap_or_else(|| "another user".to_owned());
            Refusal::new(ExitCode::NotPermitted, format!("it belongs to {owner}")).instead("root may end it")
        }
        Protection::Vigie => refusal.instead("'vigie stop' and 'vigie daemon stop' end what is vigie's own, in order"),
        Protection::Containers => match containers::role(&scene.proc, process.pid()) {
            Some(Role::Proxy) => refusal.instead("'vigie free PORT' stops the container that it holds the port for"),
            _ => refusal.instead("'docker stop CONTAINER' ends what is in a container"),
        },
        Protection::Ancestor => refusal.instead("run this command from somewhere else"),
        Protection::Init if process.pid() != 1 => refusal.instead(match story.ancestors.first() {
            Some(parent) => format!("stop it by what started it: {}", safe(&parent.label())),
            None => "stop it by what started it".to_owned(),
        }),
        Protection::Ourselves
        | Protection::Init
        | Protection::Kernel
        | Protection::System
        | Protection::Session
        | Protection::Bystander
        | Protection::Shell => refusal,
    }
}
