//! `vigie ports`: who holds which port, and whether a server can have it (R7).

mod survey;
mod text;

use std::collections::{HashMap, HashSet};

use vigie_api::ports::{Hidden, Port, Report};
use vigie_api::time::Millis;
use vigie_core::claim::PortClaim;
use vigie_core::exit_code::ExitCode;
use vigie_core::manifest::Project;
use vigie_core::ports::{Rights, Verdict as PortVerdict};
use vigie_core::target::Target;
use vigie_os::ports::{Ask, Table, rights};

use crate::args::{Manifest, target};
use crate::containers::Containers;
use crate::failure::{Failure, Verdict};
use crate::out::Screen;
use crate::runs::Runs;
use crate::scene::Scene;
use crate::{context, ghosts, select, watch};
use survey::{Asked, Survey};

/// Show who holds which port
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Show who holds which port, and whether a server could have it. Without PORT: in a project the ports that \
        its services claim, then everything else on this machine that holds a port; elsewhere all of the machine. It needs \
        neither daemon nor manifest.\n\n\
        The kernel is asked, nothing is tried: TCP and UDP, IPv4 and IPv6, sockets that are bound and do not listen, \
        those of threads whose process seems to have ended, and those of other network namespaces and containers. \
        Addresses count: 127.0.0.1:8000 does not use [::1]:8000.\n\n\
        Verdicts: free, used, shared (several servers at the same time, SO_REUSEPORT), bound (held, not listening), \
        used by a connection as its own end (ephemeral), time-wait (usable by servers that set SO_REUSEADDR), reserved \
        (takes a privilege), unknown. Exit code 0: all ports that were asked about or are claimed are free, time-wait \
        included; 1: some are not; 7: some could not be looked at. Whose process it is only root sees of all users.",
    after_help = "Examples:\n  \
        vigie ports\n  \
        vigie ports 8000 5004/udp '[::1]:9000/tcp'\n  \
        vigie ports --for api --json"
)]
pub(crate) struct Args {
    #[arg(help = "Only these: 8000, 5004/udp, 127.0.0.1:8000, [::1]:9000/tcp", value_name = "PORT", value_parser = port)]
    pub(crate) ports: Vec<PortClaim>,
    /// Only those that this service claims
    #[arg(long = "for", value_name = "TARGET", value_parser = target)]
    pub(crate) target: Option<Target>,
    /// For programs: schema 1; with --watch one object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Show it again every second
    #[arg(short, long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) manifest: Manifest,
}

/// A port as in targets; `port:` before it may be left out.
fn port(text: &str) -> Result<PortClaim, String> {
    let text = text.strip_prefix("port:").unwrap_or(text);
    text.parse().map_err(|error: vigie_core::claim::ClaimError| error.to_string())
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut view = View::new(args)?;
    let mut code = ExitCode::Done;
    watch::show(args.watch, args.json, |screen| {
        let report = view.look()?;
        code = exit_code(&View::about(&report));
        view.picture(&report, screen)
    })?;
    Ok(code.number())
}

/// Of what was asked about.
fn exit_code(ports: &[&Port]) -> ExitCode {
    let is_unknown = |port: &&Port| port.verdict == PortVerdict::Unknown;
    if ports.iter().any(|port| !port.verdict.is_free() && !is_unknown(port)) {
        ExitCode::No
    } else if ports.iter().any(is_unknown) {
        ExitCode::NotPermitted
    } else {
        ExitCode::Done
    }
}

/// What is looked at, again and again.
struct View<'a> {
    args: &'a Args,
    scene: Scene,
    /// What is asked about first.
    asked: Vec<Asked>,
    /// Then the rest of the machine.
    all: bool,
    rights: Rights,
}

impl<'a> View<'a> {
    fn new(args: &'a Args) -> Result<Self, Failure> {
        let mut scene = Scene::new(args.manifest.file.as_deref())?;
        let project = project(&scene)?;
        let claims = project.as_ref().map(claims).unwrap_or_default();
        let asked = match &args.target {
            Some(target) => of_target(&mut scene, project.as_ref(), target)?,
            None if args.ports.is_empty() => claims,
            None => args.ports.iter().map(|port| named(*port, &claims)).collect(),
        };
        let all = args.ports.is_empty() && args.target.is_none();
        let rights = rights(&scene.proc)?;
        Ok(Self { args, scene, asked, all, rights })
    }

    fn look(&mut self) -> Result<Report, Failure> {
        let proc = &self.scene.proc;
        let now = vigie_os::clock::now();
        let numbers: Vec<u16> = self.asked.iter().map(|asked| asked.claim.port).collect();
        let ask =
            if self.all { Ask { connections: !numbers.is_empty(), ..Ask::holding() } } else { Ask::about(&numbers) };
        let empty =
            |ports| Report { schema: vigie_api::SCHEMA, at: Millis(now.wall), ports, hidden: Hidden::default() };
        if !self.all && numbers.is_empty() {
            return Ok(empty(Vec::new()));
        }
        let table = match Table::read(proc, &ask) {
            Ok(table) => table,
            Err(error) if !self.all => {
                let why = error.to_string();
                return Ok(empty(self.asked.iter().map(|asked| unknown(asked, &why)).collect()));
            }
            Err(error) => return Err(error.into()),
        };
        // Whose runs they are is worth knowing, and nothing that keeps anybody from seeing the ports.
        let runs = Runs::read(&self.scene.place, proc).unwrap_or_else(|failure| {
            crate::warn(&failure);
            Runs::default()
        });
        let containers = Containers::default();
        let ghosts = ghosts::processes(&self.scene.place, proc).unwrap_or_else(|failure| {
            crate::warn(&failure);
            HashMap::new()
        });
        let survey = Survey {
            proc,
            table: &table,
            rights: self.rights,
            runs: &runs,
            containers: &containers,
            ghosts: &ghosts,
            now,
            is_root: vigie_os::user::uid() == 0,
        };
        let mut told = HashSet::new();
        let mut ports = Vec::new();
        // Of claims it is told what a start here would meet; where else a port of that number is held, who asks for it.
        let places = if self.args.ports.is_empty() { 1 } else { usize::MAX };
        for asked in &self.asked {
            for (port, by) in survey.about(asked).into_iter().take(places) {
                ports.push(port);
                told.extend(by);
            }
        }
        if self.all {
            ports.extend(survey.rest(&told));
        }
        let processes = u32::try_from(table.hidden.processes.len()).unwrap_or(u32::MAX);
        let hidden = Hidden { processes, namespaces: table.hidden.namespaces };
        Ok(Report { hidden, ..empty(ports) })
    }

    /// What was asked about, of this network namespace: that is where a server would be started.
    fn about(report: &Report) -> Vec<&Port> {
        report.ports.iter().filter(|port| port.asked.is_some() && port.netns.is_none()).collect()
    }

    fn picture(&self, report: &Report, screen: Screen) -> Result<String, Failure> {
        if self.args.json {
            let mut text = serde_json::to_string(report)
                .map_err(|error| Failure::io("cannot write JSON", &std::io::Error::other(error)))?;
            text.push('\n');
            return Ok(text);
        }
        let now = report.at.0;
        let mut text = String::new();
        let (asked, rest): (Vec<&Port>, Vec<&Port>) = report.ports.iter().partition(|port| port.asked.is_some());
        for port in &asked {
            text.push_str(&text::line(port, screen, now));
        }
        let about = Self::about(report);
        if !about.is_empty() && (self.all || self.args.target.is_some()) {
            text.push_str(&text::closing(&about, screen));
        }
        if asked.is_empty() && !self.all {
            text.push_str("no port is claimed\n");
        }
        let listed = if self.all { rest } else { Vec::new() };
        if !listed.is_empty() {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&text::table(&listed, screen, now));
        } else if self.all && asked.is_empty() {
            text.push_str("no port is held\n");
        }
        if report.hidden.namespaces && vigie_os::user::uid() != 0 {
            text.push_str(&text::unseen(screen));
        }
        Ok(text)
    }
}

/// The project here; without what is wrong with its manifest, because looking goes on.
fn project(scene: &Scene) -> Result<Option<Project>, Failure> {
    match scene.here.manifest.as_ref().map(context::read).transpose()? {
        Some(Ok(project)) => Ok(Some(project)),
        Some(Err(errors)) => {
            context::warn_of(&errors);
            Ok(None)
        }
        None => Ok(None),
    }
}

/// The claims of all services, by service and as they are written.
fn claims(project: &Project) -> Vec<Asked> {
    let of = |service: &vigie_core::manifest::Service| {
        let label = format!("{}/{}", project.name, service.name);
        service.ports.iter().map(move |&claim| Asked { claim, by: Some(label.clone()) }).collect::<Vec<_>>()
    };
    project.services.values().flat_map(of).collect()
}

/// A port that was named, with the service that claims it.
fn named(claim: PortClaim, claims: &[Asked]) -> Asked {
    let meets = |other: &&Asked| {
        let other = other.claim;
        let addresses = claim.address.is_none() || other.address.is_none() || claim.address == other.address;
        other.port == claim.port && other.proto == claim.proto && addresses
    };
    Asked { claim, by: claims.iter().find(meets).and_then(|asked| asked.by.clone()) }
}

/// What a service claims: as its manifest says, else as it runs.
fn of_target(scene: &mut Scene, project: Option<&Project>, target: &Target) -> Result<Vec<Asked>, Failure> {
    if let (Target::Service(named), Some(project)) = (target, project)
        && named.project.as_ref().is_none_or(|name| *name == project.name)
        && let Some(service) = project.services.get(&named.service)
    {
        let label = format!("{}/{}", project.name, service.name);
        return Ok(service.ports.iter().map(|&claim| Asked { claim, by: Some(label.clone()) }).collect());
    }
    let report = scene.report(false)?;
    let dir = &scene.here.dir;
    let services = select::services(&report, dir, std::slice::from_ref(target), &scene.proc)?;
    let of = |service: &&vigie_api::status::Service| {
        let label = format!("{}/{}", service.project, service.service);
        service.claims.iter().map(move |&claim| Asked { claim, by: Some(label.clone()) }).collect::<Vec<_>>()
    };
    Ok(services.iter().flat_map(of).collect())
}

fn unknown(asked: &Asked, why: &str) -> Port {
    Port {
        asked: Some(asked.claim),
        port: asked.claim.port,
        proto: asked.claim.proto,
        address: asked.claim.address,
        verdict: PortVerdict::Unknown,
        claimed_by: asked.by.clone(),
        holders: Vec::new(),
        note: Some(why.to_owned()),
        netns: None,
        until: None,
    }
}

#[cfg(test)]
mod tests;
