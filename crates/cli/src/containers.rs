//! Which containers hold ports (R7.1): the engines of this machine, asked when the first holder looks like one of theirs.

use std::cell::OnceCell;
use std::sync::Arc;

use vigie_core::claim::{Held, PortClaim};
use vigie_docker::holder::{self, Process, Role};
use vigie_docker::{Container, Engine, Error};
use vigie_os::proc::Proc;
use vigie_os::proc::text::arguments;

use crate::daemon;

/// What the engines say, for one look: a container that was stopped since has given its port to somebody else.
#[derive(Debug, Default)]
pub(crate) struct Containers(OnceCell<Told>);

/// What all engines said.
#[derive(Debug, Default)]
struct Told {
    engines: Vec<Known>,
    /// Of those that are there and do not answer.
    errors: Vec<Error>,
}

/// An engine that answered.
#[derive(Debug)]
struct Known {
    engine: Arc<Engine>,
    /// The process that listens at its socket.
    listener: u32,
    containers: Vec<Container>,
}

/// A container, and the engine that has it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) engine: Arc<Engine>,
    pub(crate) container: Container,
}

impl Containers {
    /// The container behind a holder of a socket: `web (7eba73f2d123)`. Without a PID: of whoever cannot be seen.
    pub(crate) fn label(&self, proc: &Proc, pid: Option<u32>, held: &Held) -> Option<String> {
        self.behind(proc, pid, held).map(|found| found.container.to_string())
    }

    /// The container behind a holder of a socket.
    pub(crate) fn behind(&self, proc: &Proc, pid: Option<u32>, held: &Held) -> Option<Found> {
        let Some(pid) = pid else { return self.first(|all| holder::publishing(held, all)) };
        // What an engine publishes is about its own network. A proxy in another one is of another engine, which may well
        // publish the same port.
        if role(proc, pid)? != Role::Inside && !shares_network(proc, pid) {
            return None;
        }
        with(proc, pid, |process| self.first(|all| process.container(held, all)))
    }

    /// Those that publish what is claimed, with a socket or by a packet filter alone. Of engines in our own network only:
    /// nobody else's filter leads anything away here.
    pub(crate) fn publishing(&self, proc: &Proc, claim: &PortClaim) -> Vec<Found> {
        let near = |known: &&Known| shares_network(proc, known.listener);
        let of = |known: &Known| -> Vec<Found> {
            let found = holder::published(claim, &known.containers).into_iter();
            found.map(|container| Found { engine: Arc::clone(&known.engine), container: container.clone() }).collect()
        };
        self.told().engines.iter().filter(near).flat_map(of).collect()
    }

    /// Why some engines did not say anything, if they were asked.
    pub(crate) fn errors(&self) -> &[Error] {
        self.0.get().map_or(&[], |told| &told.errors)
    }

    /// How many engines have answered, if they were asked.
    pub(crate) fn answered(&self) -> usize {
        self.0.get().map_or(0, |told| told.engines.len())
    }

    fn first<'s>(&'s self, find: impl Fn(&'s [Container]) -> Option<&'s Container>) -> Option<Found> {
        let found = self.told().engines.iter().find_map(|known| Some((known, find(&known.containers)?)));
        found.map(|(known, container)| Found { engine: Arc::clone(&known.engine), container: container.clone() })
    }

    fn told(&self) -> &Told {
        self.0.get_or_init(|| {
            let engines = Engine::local(|name| std::env::var_os(name));
            if engines.is_empty() { Told::default() } else { ask(engines) }
        })
    }
}

/// What a process is to containers; absent: nothing. Who is in the very container that this command runs in is a
/// neighbour there: that container is the machine.
pub(crate) fn role(proc: &Proc, pid: u32) -> Option<Role> {
    let inside = |pid| with(proc, pid, |process| process.inside().map(<[u8]>::to_vec));
    let neighbour = || inside(pid) == inside(std::process::id());
    with(proc, pid, |process| process.role()).filter(|role| *role != Role::Inside || !neighbour())
}

/// Whether a process is in our own network namespace; one that does not show it is taken for a neighbour.
fn shares_network(proc: &Proc, pid: u32) -> bool {
    let namespace = |pid| proc.link(pid, "ns/net").ok().flatten();
    match (namespace(pid), namespace(std::process::id())) {
        (Some(theirs), Some(ours)) => theirs == ours,
        _ => true,
    }
}

/// All at the same time: one that hangs keeps nobody waiting but itself.
fn ask(engines: Vec<Engine>) -> Told {
    let mut told = Told::default();
    // Without a runtime nobody can be asked; then ports are shown without their containers.
    let Ok(runtime) = daemon::runtime() else { return told };
    runtime.block_on(async {
        let tasks: Vec<_> = engines
            .into_iter()
            .map(|engine| {
                let engine = Arc::new(engine);
                let asked = Arc::clone(&engine);
                let task = async move {
                    let Some(listener) = asked.listener().await? else { return Ok(None) };
                    Ok::<_, Error>(Some((listener, asked.containers().await?)))
                };
                (engine, tokio::spawn(task))
            })
            .collect();
        for (engine, task) in tasks {
            match task.await {
                Ok(Ok(Some((listener, containers)))) => told.engines.push(Known { engine, listener, containers }),
                // One of another machine, as seen from here.
                Ok(Ok(None)) => {}
                // A socket that an engine left behind is no engine.
                Ok(Err(error)) if error.is_absent() && !engine.is_named() => {}
                Ok(Err(error)) => told.errors.push(error),
                Err(_) => {}
            }
        }
    });
    told
}

/// What the kernel tells of a process. What it does not tell is empty: then it is no container's.
fn with<T>(proc: &Proc, pid: u32, decide: impl FnOnce(&Process<'_>) -> Option<T>) -> Option<T> {
    let (mut line, mut stat, mut cgroup) = (Vec::new(), Vec::new(), Vec::new());
    let name = proc.stat(pid, &mut stat).ok().flatten().map_or(&b""[..], |stat| stat.comm);
    let argv: Vec<&[u8]> =
        proc.cmdline(pid, &mut line).ok().flatten().map(|line| arguments(line).collect()).unwrap_or_default();
    let cgroup = proc.read(pid, "cgroup", &mut cgroup).ok().flatten().unwrap_or_default();
    decide(&Process { name, argv: &argv, cgroup })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `/proc` of two processes, this one and PID 2, in these cgroups.
    fn proc(ours: &str, theirs: &str) -> (tempfile::TempDir, Proc) {
        let root = tempfile::tempdir().expect("folder");
        let write = |path: String, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
            std::fs::write(path, text).expect("file");
        };
        write("sys/kernel/random/boot_id".to_owned(), "0123456789abcdef0123456789abcdef\n");
        for (pid, cgroup) in [(std::process::id(), ours), (2, theirs)] {
            write(format!("{pid}/cgroup"), &format!("0::{cgroup}\n"));
            let rest = "S 1 2 2 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 42 0 0";
            write(format!("{pid}/stat"), &format!("{pid} (server) {rest}\n"));
            write(format!("{pid}/cmdline"), "server\0");
        }
        let proc = Proc::open(root.path()).expect("a /proc");
        (root, proc)
    }

    /// In a container with the socket of its engine, as development containers are: to stop "the container behind the
    /// port" would be to stop the one that this command runs in.
    #[test]
    fn our_own_container_is_the_machine() {
        let (one, other) = (format!("/docker/{}", "a".repeat(64)), format!("/docker/{}", "b".repeat(64)));
        for (ours, theirs, wanted) in
            [("/", "/", None), ("/", &*one, Some(Role::Inside)), (&one, &one, None), (&one, &other, Some(Role::Inside))]
        {
            let (_root, proc) = proc(ours, theirs);
            assert_eq!(role(&proc, 2), wanted, "{ours} {theirs}");
        }
    }

    #[test]
    fn a_process_that_is_no_containers_needs_no_engine() {
        let proc = Proc::system().expect("/proc");
        let held = Held {
            address: "127.0.0.1".parse().expect("an address"),
            port: 1,
            proto: vigie_core::claim::Proto::Tcp,
            v6_only: false,
        };
        let containers = Containers::default();
        assert!(containers.behind(&proc, Some(std::process::id()), &held).is_none());
        assert!(containers.0.get().is_none(), "an engine was asked");
    }
}
