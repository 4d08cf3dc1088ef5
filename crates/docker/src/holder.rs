//! Which container is behind a port: decided from what the kernel and the engines say, without I/O.
//!
//! Three things lead from a socket to a container:
//!
//! - **The cgroup of the process** names its container by id, whatever engine driver made the path
//!   (`/docker/ID`, `/system.slice/docker-ID.scope`, `…/libpod-ID.scope`): the process is inside, as with
//!   `--network host`.
//! - **A proxy** holds the port outside and hands on what comes: `docker-proxy`, `rootlessport`, `pasta`, `slirp4netns`,
//!   `conmon`, the engine itself with `userland-proxy=false`. It belongs to the container that publishes this address,
//!   port and protocol now. To end the proxy would leave a container that looks healthy and that nobody can reach.
//! - **A process that cannot be seen** holds a port that a container publishes.
//!
//! A process that is none of these is never taken for a container, whatever is published: two containers of different
//! engines, or a container and a server on another address, may use one port number.

use std::net::IpAddr;

use vigie_core::claim::{Held, PortClaim};
use vigie_core::docker::cgroup::ids;

use crate::container::{Container, Published};

/// Programs that hold ports for containers, by name. The kernel cuts names after 15 bytes (proc_pid_comm(5)).
const PROXIES: [&str; 9] = [
    "docker-proxy",
    "rootlesskit",
    "rootlesskit-docker-proxy",
    "rootlessport",
    "rootlessport-child",
    "pasta",
    "pasta.avx2",
    "slirp4netns",
    "conmon",
];

/// Engines: with `userland-proxy=false` they hold the ports themselves.
const ENGINES: [&str; 2] = ["dockerd", "com.docker.backend"];

/// The kernel's limit for the name of a process, without the final NUL (`TASK_COMM_LEN`).
const NAME_LIMIT: usize = 15;

/// A process that holds a port, as the kernel tells it. What could not be read is empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct Process<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its arguments.
    pub argv: &'a [&'a [u8]],
    /// The content of `/proc/PID/cgroup`.
    pub cgroup: &'a [u8],
}

/// What a process is to containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It holds ports for containers.
    Proxy,
    /// It is an engine, which holds ports for containers, and much else.
    Engine,
    /// It is inside of one.
    Inside,
}

impl Process<'_> {
    /// What it is to containers; absent: nothing, no engine needs to be asked.
    pub fn role(&self) -> Option<Role> {
        let program = self.argv.first().map(|path| path.rsplit(|byte| *byte == b'/').next().unwrap_or(path));
        let is = |known: &&str| {
            let known = known.as_bytes();
            let cut = &known[..known.len().min(NAME_LIMIT)];
            // Some change their name; who has the arguments of a proxy is one nevertheless.
            self.name == cut || program == Some(known)
        };
        if PROXIES.iter().any(is) {
            Some(Role::Proxy)
        } else if ENGINES.iter().any(is) {
            Some(Role::Engine)
        } else {
            self.inside().map(|_| Role::Inside)
        }
    }

    /// The id of the container that it is inside of, whichever engine has it.
    pub fn inside(&self) -> Option<&[u8]> {
        ids(self.cgroup).next()
    }

    /// The container that it is inside of, or holds `held` for.
    pub fn container<'c>(&self, held: &Held, containers: &'c [Container]) -> Option<&'c Container> {
        let by_id = |id: &[u8]| containers.iter().find(|container| container.id.as_bytes() == id);
        match self.role()? {
            Role::Inside => ids(self.cgroup).find_map(by_id),
            // conmon(8): `-c`, `--cid` is the container that it watches.
            Role::Proxy if self.name == b"conmon" => self.option(&[b"-c", b"--cid"]).and_then(by_id),
            Role::Proxy | Role::Engine => None,
        }
        .or_else(|| publishing(held, containers).filter(|_| self.role() != Some(Role::Inside)))
    }

    fn option(&self, names: &[&[u8]]) -> Option<&[u8]> {
        let place = self.argv.iter().position(|word| names.contains(word))?;
        self.argv.get(place + 1).copied()
    }
}

/// The container that publishes what a socket holds: the one that names its very address, else one that publishes it on
/// every address.
pub fn publishing<'c>(held: &Held, containers: &'c [Container]) -> Option<&'c Container> {
    let with = |fits: &dyn Fn(&Published) -> bool| {
        let same = |port: &&Published| port.port == held.port && port.proto == held.proto;
        containers.iter().find(|container| container.ports.iter().filter(same).any(fits))
    };
    let address = held.address.to_canonical();
    with(&|port| port.address.is_some_and(|published| published.to_canonical() == address))
        .or_else(|| with(&|port| address.is_unspecified() && port.address.is_none_or(|other| other.is_unspecified())))
}

/// Those that publish what somebody claims, whether a socket holds it or not: a packet filter alone leads to them, too.
pub fn published<'c>(claim: &PortClaim, containers: &'c [Container]) -> Vec<&'c Container> {
    let meets = |port: &Published| {
        let any = match claim.address {
            Some(IpAddr::V6(_)) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
            _ => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        };
        let address = port.address.unwrap_or(any);
        claim.collides(&Held { address, port: port.port, proto: port.proto, v6_only: true })
    };
    containers.iter().filter(|container| container.ports.iter().any(meets)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vigie_core::claim::Proto;

    const WEB: &str = "7eba73f2d1234d1687ec85829aaa9f935f8070db64defe10572016d712082a93";
    const DB: &str = "a741527d78c087e698934c13fd73966d835f4a6cefd064a7063b68f2ede054ff";

    fn container(id: &str, ports: &[(&str, u16, Proto)]) -> Container {
        let published = |(address, port, proto): &(&str, u16, Proto)| Published {
            address: address.parse().ok(),
            port: *port,
            proto: *proto,
            inside: 80,
        };
        Container {
            id: id.to_owned(),
            name: id[..3].to_owned(),
            image: String::new(),
            state: "running".to_owned(),
            ports: ports.iter().map(published).collect(),
        }
    }

    fn held(text: &str) -> Held {
        let claim: PortClaim = text.parse().expect("a claim");
        Held { address: claim.address.expect("an address"), port: claim.port, proto: claim.proto, v6_only: true }
    }

    fn found(process: &Process<'_>, text: &str, containers: &[Container]) -> Option<String> {
        process.container(&held(text), containers).map(|container| container.id.clone())
    }

    fn web() -> Option<String> {
        Some(WEB.to_owned())
    }

    #[test]
    fn a_proxy_belongs_to_whoever_publishes_its_very_address() {
        use Proto::{Tcp, Udp};
        let all = [
            container(DB, &[("127.0.0.2", 8000, Tcp), ("127.0.0.1", 8000, Udp)]),
            container(WEB, &[("127.0.0.1", 8000, Tcp), ("0.0.0.0", 9000, Tcp), ("::", 9000, Tcp)]),
        ];
        let proxy = Process { name: b"docker-proxy", ..Process::default() };
        assert_eq!(found(&proxy, "127.0.0.1:8000", &all), web());
        assert_eq!(found(&proxy, "127.0.0.2:8000", &all), Some(DB.to_owned()));
        assert_eq!(found(&proxy, "127.0.0.1:8000/udp", &all), Some(DB.to_owned()));
        assert_eq!(found(&proxy, "0.0.0.0:9000", &all), web());
        assert_eq!(found(&proxy, "[::]:9000", &all), web());
        assert_eq!(found(&proxy, "127.0.0.3:8000", &all), None, "a proxy of nobody");
        assert_eq!(found(&proxy, "127.0.0.1:9000", &all), None, "a wildcard is not this address");
        let server = Process { name: b"nginx", ..Process::default() };
        assert_eq!(found(&server, "127.0.0.1:8000", &all), None, "a server is no proxy, whatever is published");
    }

    /// Podman publishes on no address, and its proxy listens on both families at once.
    #[test]
    fn every_address_is_a_wildcard_of_either_family() {
        let podman = [container(WEB, &[("", 8080, Proto::Tcp)])];
        let proxy = Process { name: b"rootlessport-ch", ..Process::default() };
        for socket in ["[::]:8080", "0.0.0.0:8080"] {
            assert_eq!(found(&proxy, socket, &podman), web(), "{socket}");
        }
        assert_eq!(found(&proxy, "127.0.0.1:8080", &podman), None);
        // The container that names the family comes before the one that names none.
        let both = [container(DB, &[("", 8080, Proto::Tcp)]), container(WEB, &[("::", 8080, Proto::Tcp)])];
        assert_eq!(found(&proxy, "[::]:8080", &both), web());
    }

    #[test]
    fn proxies_are_known_by_name_or_program() {
        let role = |name: &str, argv: &[&[u8]]| Process { name: name.as_bytes(), argv, cgroup: b"" }.role();
        assert_eq!(role("docker-proxy", &[]), Some(Role::Proxy));
        assert_eq!(role("rootlesskit-doc", &[]), Some(Role::Proxy), "names are cut");
        assert_eq!(role("x", &[b"/usr/libexec/podman/rootlessport-child"]), Some(Role::Proxy));
        assert_eq!(role("dockerd", &[]), Some(Role::Engine));
        assert_eq!(role("docker-proxy-x", &[]), None);
        assert_eq!(role("vim", &[b"vim", b"/usr/bin/docker-proxy"]), None);
        assert_eq!(role("", &[]), None);
    }

    #[test]
    fn who_is_inside_is_found_by_cgroup() {
        let all = [container(WEB, &[("0.0.0.0", 8000, Proto::Tcp)]), container(DB, &[])];
        for path in [
            format!("0::/docker/{DB}"),
            format!("0::/system.slice/docker-{DB}.scope"),
            format!("12:pids:/user.slice\n0::/machine.slice/libpod-{DB}.scope/container\n"),
            format!("0::/user.slice/libpod-payload-{DB}"),
            format!("0::/kubepods/burstable/pod1/{DB}"),
            format!("1:name=systemd:/docker/{DB}/init.scope"),
        ] {
            let process = Process { name: b"nginx", cgroup: path.as_bytes(), ..Process::default() };
            assert_eq!(process.role(), Some(Role::Inside), "{path}");
            assert_eq!(found(&process, "0.0.0.0:8000", &all), Some(DB.to_owned()), "{path}");
        }
        for path in [
            "0::/system.slice/docker.service".to_owned(),
            format!("0::/x/{}", &DB[1..]),
            format!("0::/x/ab{DB}"),
            format!("0::/machine.slice/libpod-conmon-{DB}.scope"),
            "0::/".to_owned(),
            DB.to_owned(),
        ] {
            assert_eq!(Process { cgroup: path.as_bytes(), ..Process::default() }.role(), None, "{path}");
        }
        // One of an engine that does not answer here: nobody else's.
        let unknown = format!("0::/docker/{}", "0".repeat(64));
        let process = Process { name: b"nginx", cgroup: unknown.as_bytes(), ..Process::default() };
        assert_eq!(found(&process, "0.0.0.0:8000", &all), None);
    }

    /// An engine in a container: its proxy is for the inner container.
    #[test]
    fn a_proxy_inside_of_a_container_is_a_proxy() {
        let inner = [container(WEB, &[("0.0.0.0", 8000, Proto::Tcp)])];
        let outer = format!("0::/docker/{DB}");
        let proxy = Process { name: b"docker-proxy", cgroup: outer.as_bytes(), ..Process::default() };
        assert_eq!(found(&proxy, "0.0.0.0:8000", &inner), web());
    }

    #[test]
    fn conmon_names_its_container() {
        let all = [container(DB, &[("0.0.0.0", 8000, Proto::Tcp)]), container(WEB, &[])];
        let argv: [&[u8]; 5] = [b"/usr/bin/conmon", b"--api-version", b"1", b"-c", WEB.as_bytes()];
        let conmon = Process { name: b"conmon", argv: &argv, cgroup: b"" };
        assert_eq!(found(&conmon, "0.0.0.0:8000", &all), web());
    }

    #[test]
    fn claims_meet_what_is_published() {
        let all = [
            container(WEB, &[("127.0.0.1", 8000, Proto::Tcp)]),
            container(DB, &[("", 8000, Proto::Tcp), ("::", 9000, Proto::Tcp)]),
        ];
        let count = |text: &str| published(&text.parse().expect("a claim"), &all).len();
        assert_eq!(count("8000"), 2);
        assert_eq!(count("127.0.0.1:8000"), 2);
        assert_eq!(count("127.0.0.2:8000"), 1);
        assert_eq!(count("[::1]:8000"), 1);
        assert_eq!(count("127.0.0.1:9000"), 0, "published for the other family only");
        assert_eq!(count("8000/udp"), 0);
    }
}
