//! From targets as they are written (R3.1) to services that are known.

use std::path::Path;

use vigie_api::status::{Report, Service};
use vigie_core::claim::PortClaim;
use vigie_core::name::Name;
use vigie_core::target::{ServiceTarget, Target};
use vigie_os::proc::Proc;
use vigie_os::remains::MARK;

use crate::failure::Failure;

/// The services of `report` that `targets` mean, each once, in the order of the targets. `here` is the folder that is
/// meant when a target names no project.
///
/// # Errors
/// Exit code 8 when a target means none, 2 when it could mean several.
pub(crate) fn services<'a>(
    report: &'a Report,
    here: &Path,
    targets: &[Target],
    proc: &Proc,
) -> Result<Vec<&'a Service>, Failure> {
    let mut found: Vec<&Service> = Vec::new();
    for target in targets {
        let service = match target {
            Target::Service(target) => named(report, here, target)?,
            Target::Pid(pid) => of_process(report, *pid, proc)?,
            Target::Port(port) => of_port(report, port)?,
            Target::Container { .. } | Target::Source(_) => return Err(elsewhere(target)),
        };
        if !found.iter().any(|known| known.key == service.key) {
            found.push(service);
        }
    }
    Ok(found)
}

/// Neither a service nor a process.
pub(crate) fn elsewhere(target: &Target) -> Failure {
    Failure::usage(format!("{target} is nothing that this verb can do something with"))
        .hint(format!("'vigie events {target}' shows what happened to it"))
}

/// Those that belong to the project in `dir`.
pub(crate) fn of_project<'a>(report: &'a Report, dir: &Path) -> Vec<&'a Service> {
    report.services.iter().filter(|service| service.project_dir.as_path() == dir).collect()
}

fn named<'a>(report: &'a Report, here: &Path, target: &ServiceTarget) -> Result<&'a Service, Failure> {
    let all = report.services.iter().filter(|service| service.service == target.service);
    let candidates: Vec<&Service> = match &target.project {
        Some(project) => all.filter(|service| service.project == *project).collect(),
        None => {
            let all: Vec<&Service> = all.collect();
            let local: Vec<&Service> =
                all.iter().copied().filter(|service| service.project_dir.as_path() == here).collect();
            if local.is_empty() { all } else { local }
        }
    };
    let service = match candidates[..] {
        [] => return Err(unknown(report, here, target)),
        [one] => one,
        // Two projects may bear one name; the one here is meant.
        _ => match candidates.iter().find(|service| service.project_dir.as_path() == here) {
            Some(one) => one,
            None => return Err(ambiguous(target, &candidates)),
        },
    };
    match &target.mode {
        Some(mode) if service.mode.as_ref() != Some(mode) => {
            let runs = service.mode.as_ref().map_or_else(|| "none".to_owned(), Name::to_string);
            Err(Failure::not_found(format!("{target} is not known: the mode of {} is {runs}", service.service)))
        }
        _ => Ok(service),
    }
}

fn unknown(report: &Report, here: &Path, target: &ServiceTarget) -> Failure {
    let mut known: Vec<String> = of_project(report, here).iter().map(|service| service.service.to_string()).collect();
    if known.is_empty() {
        known = report.services.iter().map(|service| format!("{}/{}", service.project, service.service)).collect();
    }
    let failure = Failure::not_found(format!("no service {target} is known here"));
    let number = target.service.as_str();
    if target.project.is_none() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return failure.hint(format!("a process is written as pid:{number}, a port as port:{number}"));
    }
    if known.is_empty() { failure } else { failure.hint(format!("known: {}", known.join(", "))) }
}

fn ambiguous(target: &ServiceTarget, candidates: &[&Service]) -> Failure {
    let places: Vec<String> = candidates
        .iter()
        .map(|service| format!("{}/{} in {}", service.project, service.service, service.project_dir))
        .collect();
    Failure::usage(format!("{target} could mean several services: {}", places.join(", ")))
        .hint("write PROJECT/SERVICE, or go into the project's folder")
}

/// A process belongs to the run whose main process it is, or whose mark it bears in its environment.
fn of_process<'a>(report: &'a Report, pid: u32, proc: &Proc) -> Result<&'a Service, Failure> {
    let runs = || report.services.iter().filter_map(|service| Some((service, service.run.as_ref()?)));
    if let Some((service, _)) = runs().find(|(_, run)| run.pid == Some(pid)) {
        return Ok(service);
    }
    let mut buffer = Vec::new();
    let mark = proc.variable(pid, MARK, &mut buffer).ok().flatten().map(<[u8]>::to_vec);
    runs()
        .find(|(_, run)| mark.as_deref() == Some(run.id.to_string().as_bytes()))
        .map(|(service, _)| service)
        .ok_or_else(|| Failure::not_found(format!("pid:{pid} belongs to no service that vigie runs")))
}

/// A port belongs to the run that holds it, else to the one that claims it.
fn of_port<'a>(report: &'a Report, port: &PortClaim) -> Result<&'a Service, Failure> {
    let same = |other: &PortClaim| {
        let addresses = (port.address, other.address);
        let meet = addresses.0.is_none() || addresses.1.is_none() || addresses.0 == addresses.1;
        other.port == port.port && other.proto == port.proto && meet
    };
    let running = || report.services.iter().filter(|service| service.run.is_some());
    let holds = |service: &&Service| {
        let ports = service.run.as_ref().and_then(|run| run.ports.as_ref());
        ports.is_some_and(|ports| ports.iter().filter_map(|port| port.parse().ok()).any(|held| same(&held)))
    };
    running()
        .find(holds)
        .or_else(|| running().find(|service| service.claims.iter().any(same)))
        .ok_or_else(|| Failure::not_found(format!("port:{port} belongs to no service that vigie runs")))
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_api::time::Millis;
    use vigie_core::clock::Wall;
    use vigie_core::exit_code::ExitCode;
    use vigie_core::identity::RunId;
    use vigie_core::launch::{Scope, ServiceKey};
    use vigie_core::service::State;

    fn name(text: &str) -> Name {
        Name::new(text).expect("name")
    }

    fn service(project: &str, text: &str, mode: Option<&str>, pid: u32) -> Service {
        let dir = format!("/srv/{project}");
        Service {
            project: name(project),
            service: name(text),
            mode: mode.map(name),
            wanted: None,
            state: State::Running,
            since: None,
            restarts: 0,
            run: Some(vigie_api::status::Run {
                id: RunId(u64::from(pid)),
                pid: Some(pid),
                boot_id: None,
                start_ticks: None,
                keeper: None,
                started_at: None,
                containment: None,
                cgroup: None,
                adopted: false,
                cpu_percent_of_core: None,
                memory_bytes: None,
                processes: None,
                threads: None,
                ports: Some(vec![format!("127.0.0.1:{pid}/tcp")]),
                left: Vec::new(),
            }),
            last_exit: None,
            findings: Vec::new(),
            why: None,
            claims: vec![format!("{}", pid + 1).parse().expect("port")],
            project_dir: dir.as_str().into(),
            scope: Scope::Project,
            key: ServiceKey::new(Scope::Project, Path::new(&dir), name(text)),
            ghosts: Vec::new(),
        }
    }

    fn pick(targets: &[&str], here: &str) -> Result<Vec<String>, ExitCode> {
        let report = Report {
            schema: 1,
            at: Millis(Wall(0)),
            daemon: None,
            services: vec![
                service("demo", "api", None, 8000),
                service("demo", "robot", Some("headless"), 8100),
                service("shop", "api", None, 8200),
                service("shop", "db", None, 8300),
            ],
            strays: Vec::new(),
        };
        let targets: Vec<Target> = targets.iter().map(|target| target.parse().expect("target")).collect();
        let proc = Proc::system().expect("/proc");
        let found = services(&report, Path::new(here), &targets, &proc).map_err(|failure| failure.code())?;
        Ok(found.iter().map(|service| format!("{}/{}", service.project, service.service)).collect())
    }

    /// R3.1
    #[test]
    fn targets_mean_services() {
        let one = |text: &str| Ok(vec![text.to_owned()]);
        assert_eq!(pick(&["api"], "/srv/demo"), one("demo/api"));
        assert_eq!(pick(&["api"], "/srv/shop"), one("shop/api"));
        assert_eq!(pick(&["shop/api"], "/srv/demo"), one("shop/api"));
        assert_eq!(pick(&["db"], "/srv/demo"), one("shop/db"), "the only one of that name");
        assert_eq!(pick(&["robot:headless"], "/srv/demo"), one("demo/robot"));
        assert_eq!(pick(&["pid:8300"], "/srv/demo"), one("shop/db"));
        assert_eq!(pick(&["port:8200"], "/srv/demo"), one("shop/api"));
        assert_eq!(pick(&["port:8301"], "/srv/demo"), one("shop/db"), "by its claim");
        assert_eq!(pick(&["api", "pid:8000", "demo/api"], "/srv/demo"), one("demo/api"), "each once");
    }

    #[test]
    fn what_is_not_there_or_not_clear() {
        assert_eq!(pick(&["nope"], "/srv/demo"), Err(ExitCode::NotFound));
        assert_eq!(pick(&["nope/api"], "/srv/demo"), Err(ExitCode::NotFound));
        assert_eq!(pick(&["robot:graphical"], "/srv/demo"), Err(ExitCode::NotFound));
        assert_eq!(pick(&["pid:1"], "/srv/demo"), Err(ExitCode::NotFound));
        assert_eq!(pick(&["port:8200/udp"], "/srv/demo"), Err(ExitCode::NotFound));
        assert_eq!(pick(&["port:127.0.0.2:8200"], "/srv/demo"), Err(ExitCode::NotFound));
        assert_eq!(pick(&["api"], "/tmp"), Err(ExitCode::Usage), "there are two");
    }
}
