//! Where the engines of this machine listen.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Docker's own place (`dockerd --host`, dockerd(8)), and Podman's for root (podman-system-service(1)).
const OF_ROOT: [&str; 2] = ["/var/run/docker.sock", "/run/podman/podman.sock"];

/// Below `XDG_RUNTIME_DIR`: the same two, run by an ordinary user.
const OF_USER: [&str; 2] = ["docker.sock", "podman/podman.sock"];

/// A socket at which an engine may listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path.
    pub socket: PathBuf,
    /// Somebody named it in `DOCKER_HOST`: that nobody listens there is worth a word.
    pub named: bool,
}

/// All places, in the order in which they are to be asked. `variable` reads the environment.
///
/// What `DOCKER_HOST` names comes first, when it is a Unix socket. One over the network is left out: it is another
/// machine's, or cannot be told from one, and the ports of another machine are not those of this one.
pub fn all(variable: impl Fn(&str) -> Option<OsString>) -> Vec<Place> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let mut places: Vec<Place> = Vec::new();
    let mut add = |socket: PathBuf, named: bool| {
        if places.iter().all(|place| place.socket != socket) {
            places.push(Place { socket, named });
        }
    };
    if let Some(socket) = set("DOCKER_HOST").and_then(|host| unix(&host)) {
        add(socket, true);
    }
    for path in OF_ROOT {
        add(path.into(), false);
    }
    if let Some(dir) = set("XDG_RUNTIME_DIR") {
        for name in OF_USER {
            add(Path::new(&dir).join(name), false);
        }
    }
    places
}

/// The path in `unix:///run/x.sock`.
fn unix(host: &OsString) -> Option<PathBuf> {
    let path = host.to_str()?.strip_prefix("unix://")?;
    path.starts_with('/').then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(variables: &[(&str, &str)]) -> Vec<(String, bool)> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
        all(find).into_iter().map(|place| (place.socket.display().to_string(), place.named)).collect()
    }

    fn plain(path: &str) -> (String, bool) {
        (path.to_owned(), false)
    }

    #[test]
    fn what_somebody_names_comes_first() {
        let usual = [plain("/var/run/docker.sock"), plain("/run/podman/podman.sock")];
        assert_eq!(paths(&[]), usual);
        assert_eq!(paths(&[("DOCKER_HOST", "")]), usual);
        let named = paths(&[("DOCKER_HOST", "unix:///tmp/d.sock")]);
        assert_eq!(named[0], ("/tmp/d.sock".to_owned(), true));
        assert_eq!(named[1..], usual);
        assert_eq!(
            paths(&[("DOCKER_HOST", "unix:///var/run/docker.sock")]).len(),
            2,
            "a place is asked once, whoever names it"
        );
    }

    #[test]
    fn other_machines_are_not_this_one() {
        for host in ["tcp://10.0.0.7:2375", "ssh://nas", "unix://relative.sock", "/var/x.sock"] {
            assert!(paths(&[("DOCKER_HOST", host)]).iter().all(|(_, named)| !named), "{host}");
        }
    }

    #[test]
    fn ordinary_users_have_engines_of_their_own() {
        let all = paths(&[("XDG_RUNTIME_DIR", "/run/user/1000")]);
        assert_eq!(all[2..], [plain("/run/user/1000/docker.sock"), plain("/run/user/1000/podman/podman.sock")]);
    }
}
