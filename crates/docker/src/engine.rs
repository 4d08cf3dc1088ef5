//! What an engine is asked.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use vigie_core::docker::stats::Counters;

use crate::container::{Container, Details, Inspected, Listed};
use crate::dial::Dial;
use crate::error::Error;
use crate::http::{Answer, Asked};
use crate::place;

/// How long an engine may take for what it knows by heart. One that takes longer is stuck: nobody who only wants to see
/// ports waits for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long stopping may take beyond the time that the container has: the engine kills it then, and puts its network
/// away.
const AFTER_GRACE: Duration = Duration::from_secs(15);

/// The newest version of the API whose answers were read while this was written. Engines speak all older ones down to
/// one that they name.
const NEWEST: Version = Version(1, 53);

/// A container engine. Holds no connection.
#[derive(Debug)]
pub struct Engine {
    pub(crate) dial: Dial,
    named: bool,
    /// How long it may take for what it knows by heart.
    pub(crate) patience: Duration,
    spoken: OnceLock<Spoken>,
}

/// What `/_ping` tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spoken {
    version: Option<Version>,
    pub(crate) podman: bool,
}

impl Spoken {
    /// What an engine tells of a container, without what it means otherwise than others.
    pub(crate) fn counters(self, told: Counters) -> Counters {
        if self.podman { told.of_podman() } else { told }
    }
}

impl Spoken {
    /// A single sample can be had (API 1.41; Podman says 1.41 and does so since 4.0).
    pub(crate) fn knows_one_shot(&self) -> bool {
        self.version.is_none_or(|version| version >= Version(1, 41))
    }
}

/// What came of asking to stop a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It is stopped now.
    Now,
    /// It was already.
    Before,
}

impl Engine {
    /// The one that listens at this socket.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self::over(Dial::Unix(socket.into()), PATIENCE)
    }

    /// The one that is reached so. `patience`: for what it knows by heart.
    pub fn over(dial: Dial, patience: Duration) -> Self {
        Self { dial, named: false, patience, spoken: OnceLock::new() }
    }

    /// Those of this machine: whose sockets are there, or are named in `DOCKER_HOST`. Nobody is asked anything yet.
    pub fn local(variable: impl Fn(&str) -> Option<OsString>) -> Vec<Self> {
        let there = |place: &place::Place| place.named || place.socket.exists();
        place::all(variable)
            .into_iter()
            .filter(there)
            .map(|place| Self { named: place.named, ..Self::at(place.socket) })
            .collect()
    }

    /// How it is reached.
    pub fn dial(&self) -> &Dial {
        &self.dial
    }

    /// Somebody named it in `DOCKER_HOST`: that nobody listens there is worth a word.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// The process that listens. Absent when it cannot be seen: in a container that has the socket of the engine outside,
    /// what that engine publishes is held outside, whatever is held here.
    ///
    /// # Errors
    /// When nobody can be asked there.
    pub async fn listener(&self) -> Result<Option<u32>, Error> {
        Asked { dial: &self.dial, method: Method::GET, path: "/_ping" }.listener(self.patience).await
    }

    /// The containers that run or are paused, with what they publish.
    ///
    /// # Errors
    /// When it cannot be asked, or does not answer within two seconds.
    pub async fn containers(&self) -> Result<Vec<Container>, Error> {
        let listed: Vec<Listed> = self.get("/containers/json").await?;
        Ok(listed.into_iter().map(Container::from).collect())
    }

    /// More about one container.
    ///
    /// # Errors
    /// As of [`Engine::containers`]; with exit code 8 when there is no such container.
    pub async fn inspect(&self, id: &str) -> Result<Details, Error> {
        let inspected: Inspected = self.get(&format!("/containers/{}/json", segment(id))).await?;
        Ok(inspected.into())
    }

    /// Stops a container: TERM, or what its image asks for, and KILL after `grace`. Returns when the engine says that it is
    /// stopped. An engine rounds `grace` to whole seconds; it is rounded up here.
    ///
    /// # Errors
    /// As of [`Engine::inspect`]; [`Error::Late`] when it is not stopped a while after `grace`.
    pub async fn stop(&self, id: &str, grace: Duration) -> Result<Stopped, Error> {
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        let path = format!("/containers/{}/stop?t={seconds}", segment(id));
        let deadline = Duration::from_secs(seconds) + AFTER_GRACE;
        let answer = self.ask(Method::POST, &path, deadline).await?;
        Ok(if answer.status == StatusCode::NOT_MODIFIED { Stopped::Before } else { Stopped::Now })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.get_within(path, self.patience).await
    }

    pub(crate) async fn get_within<T: DeserializeOwned>(&self, path: &str, deadline: Duration) -> Result<T, Error> {
        let answer = self.ask(Method::GET, path, deadline).await?;
        let asked = Asked { dial: &self.dial, method: Method::GET, path };
        serde_json::from_slice(&answer.body).map_err(|error| asked.malformed(&error))
    }

    async fn ask(&self, method: Method, path: &str, deadline: Duration) -> Result<Answer, Error> {
        let path = self.versioned(path).await?;
        Asked { dial: &self.dial, method, path: &path }.within(deadline).await
    }

    /// A path in the version that is spoken.
    pub(crate) async fn versioned(&self, path: &str) -> Result<String, Error> {
        Ok(match self.spoken().await?.version {
            Some(version) => format!("/v{version}{path}"),
            None => path.to_owned(),
        })
    }

    /// The version that is spoken; absent when the engine names none.
    ///
    /// # Errors
    /// As of [`Engine::containers`].
    pub async fn api(&self) -> Result<Option<String>, Error> {
        Ok(self.spoken().await?.version.map(|version| version.to_string()))
    }

    /// The version to speak: the engine's newest, or ours when that is older. Absent when it names none: then it is asked
    /// without, and answers in its own.
    pub(crate) async fn spoken(&self) -> Result<Spoken, Error> {
        if let Some(spoken) = self.spoken.get() {
            return Ok(*spoken);
        }
        let answer = self.ping().await?;
        let named = answer.headers.get("api-version").and_then(|value| Version::parse(value.to_str().ok()?));
        let podman = answer.headers.contains_key("libpod-api-version");
        Ok(*self.spoken.get_or_init(|| Spoken { version: named.map(|version| version.min(NEWEST)), podman }))
    }

    pub(crate) async fn ping(&self) -> Result<Answer, Error> {
        Asked { dial: &self.dial, method: Method::GET, path: "/_ping" }.within(self.patience).await
    }
}

/// `1.41`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u16, u16);

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// An id or name as a part of a path; whatever else it is cannot lead elsewhere.
pub(crate) fn segment(id: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    id.chars().filter(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, run};
    use vigie_core::exit_code::ExitCode;

    const PING: &str = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK";

    fn json(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn it_is_asked_in_its_own_version() {
        run(async {
            let fake = Fake::start(&[("/_ping", PING), ("/v1.41/containers/json", &json(r#"[{"Id":"ab"}]"#))]);
            let engine = Engine::at(fake.socket());
            assert_eq!(engine.listener().await.expect("it listens"), Some(std::process::id()));
            assert_eq!(engine.containers().await.expect("answered")[0].id, "ab");
            engine.containers().await.expect("answered");
            assert_eq!(
                fake.requests(),
                ["GET /_ping", "GET /v1.41/containers/json", "GET /v1.41/containers/json"],
                "the version is asked for once"
            );
        });
    }

    #[test]
    fn a_newer_engine_is_asked_in_ours_and_a_mute_one_in_none() {
        for (ping, path) in [
            ("HTTP/1.1 200 OK\r\nApi-Version: 1.99\r\nContent-Length: 0\r\n\r\n", "/v1.53/containers/json"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "/containers/json"),
            ("HTTP/1.1 200 OK\r\nApi-Version: x\r\nContent-Length: 0\r\n\r\n", "/containers/json"),
        ] {
            run(async {
                let fake = Fake::start(&[("/_ping", ping), (path, &json("[]"))]);
                assert_eq!(Engine::at(fake.socket()).containers().await.expect("answered"), []);
            });
        }
    }

    #[test]
    fn stopping() {
        run(async {
            let fake = Fake::start(&[
                ("/_ping", PING),
                ("/v1.41/containers/ab/stop?t=3", "HTTP/1.1 204 No Content\r\n\r\n"),
                ("/v1.41/containers/cd/stop?t=0", "HTTP/1.1 304 Not Modified\r\n\r\n"),
                (
                    "/v1.41/containers/gone/stop?t=1",
                    "HTTP/1.1 404 Not Found\r\nContent-Length: 35\r\n\r\n{\"message\":\"No such container: go\"} ",
                ),
            ]);
            let engine = Engine::at(fake.socket());
            assert_eq!(engine.stop("ab", Duration::from_millis(2500)).await.expect("stopped"), Stopped::Now);
            assert_eq!(engine.stop("../cd", Duration::ZERO).await.ok(), None, "no path leads elsewhere");
            assert_eq!(engine.stop("cd", Duration::ZERO).await.expect("stopped"), Stopped::Before);
            let error = engine.stop("gone", Duration::from_secs(1)).await.expect_err("gone");
            assert_eq!(error.exit_code(), ExitCode::NotFound);
            assert!(error.to_string().contains("No such container: go"), "{error}");
            assert!(fake.requests().contains(&"POST /v1.41/containers/ab/stop?t=3".to_owned()));
        });
    }

    #[test]
    fn broken_answers_are_errors_that_name_the_socket() {
        let not_json = json("[{\"Id\":");
        let wrong = json(r#"[{"Id":"a","Ports":[{"PublicPort":"80"}]}]"#);
        for answer in
            [not_json.as_str(), &wrong, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]", "SSH-2.0\r\n\r\n", ""]
        {
            run(async {
                let fake = Fake::start(&[("/_ping", PING), ("/v1.41/containers/json", answer)]);
                let error = Engine::at(fake.socket()).containers().await.expect_err("broken");
                assert!(matches!(error, Error::Broken { .. } | Error::Malformed { .. }), "{error:?}");
                assert!(error.to_string().contains(&*fake.socket().to_string_lossy()), "{error}");
                assert_eq!(error.exit_code(), ExitCode::Unreachable);
            });
        }
    }

    #[test]
    fn what_it_says_cannot_draw() {
        run(async {
            let said = "HTTP/1.1 500 X\r\nContent-Length: 20\r\n\r\n{\"message\":\"\\u001b[\"}";
            let fake = Fake::start(&[("/_ping", said)]);
            let error = Engine::at(fake.socket()).containers().await.expect_err("refused");
            assert!(!error.to_string().contains('\x1b') && error.to_string().contains("status 500"), "{error}");
        });
    }

    /// One that hangs costs its deadline, wherever it hangs: before its answer, or in it.
    #[test]
    fn one_that_hangs_is_late() {
        for hangs in ["HANG", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nHANG"] {
            run(async {
                let fake = Fake::start(&[("/_ping", hangs)]);
                let error = Engine::at(fake.socket()).containers().await.expect_err("hangs");
                assert!(matches!(error, Error::Late { .. }), "{error:?}");
            });
        }
    }

    #[test]
    fn nobody_there_and_not_permitted() {
        run(async {
            let dir = tempfile::tempdir().expect("folder");
            let error = Engine::at(dir.path().join("d.sock")).containers().await.expect_err("nobody");
            assert!(error.is_absent());
            assert_eq!(error.exit_code(), ExitCode::Unreachable);
            let socket = dir.path().join("left.sock");
            drop(std::os::unix::net::UnixListener::bind(&socket).expect("bound"));
            assert!(Engine::at(&socket).containers().await.expect_err("nobody listens").is_absent());
        });
        let error = Error::NotPermitted { at: "/run/d.sock".into() };
        assert_eq!(error.exit_code(), ExitCode::NotPermitted);
        assert!(error.to_string().contains("/run/d.sock") && error.to_string().contains("root or the docker group"));
    }

    #[test]
    fn sockets_at_long_paths() {
        run(async {
            let fake = Fake::start_deep(&[("/_ping", PING), ("/v1.41/containers/json", &json("[]"))]);
            assert!(fake.socket().as_os_str().len() > 107);
            assert_eq!(Engine::at(fake.socket()).containers().await.expect("answered"), []);
        });
    }

    #[test]
    fn only_places_that_are_there_are_engines() {
        let dir = tempfile::tempdir().expect("folder");
        let host = format!("unix://{}/none.sock", dir.path().display());
        let runtime = dir.path().join("runtime");
        std::fs::create_dir(&runtime).expect("folder");
        let find = |name: &str| match name {
            "DOCKER_HOST" => Some(host.clone().into()),
            "XDG_RUNTIME_DIR" => Some(runtime.clone().into_os_string()),
            _ => None,
        };
        let socket = |engine: Engine| match engine.dial {
            Dial::Unix(path) => path,
            other => panic!("{other}"),
        };
        let sockets = || Engine::local(find).into_iter().map(socket).collect::<Vec<_>>();
        assert_eq!(sockets()[0], dir.path().join("none.sock"));
        assert!(Engine::local(find)[0].is_named(), "to be complained about");
        assert!(!sockets().contains(&runtime.join("docker.sock")));
        let _listener = std::os::unix::net::UnixListener::bind(runtime.join("docker.sock")).expect("bound");
        assert!(sockets().contains(&runtime.join("docker.sock")));
    }
}
