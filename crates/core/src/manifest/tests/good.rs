//! Right manifests.

use std::collections::BTreeMap;

use super::*;
use crate::launch::{Limits, Orphans, Overflow, Scope, Tie};
use crate::units::Span;

fn name(text: &str) -> Name {
    Name::new(text).expect("name")
}

fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// R2.2, R2.3, R2.4
#[test]
fn every_key() {
    let project = good(
        r#"
[project]
name = "shop"

[service.api]
command  = ["python3", "-m", "http.server", "8000"]
cwd      = "."
env      = { LOG = "info" }
env_file = [".env", "?none.env"]
ports    = [8000, "5004/udp", "[::1]:9000/tcp"]
after    = { db = "ready", seed = "done" }
ready    = { http = "http://127.0.0.1:8000/", status = 204, every = "100ms", timeout = "1s", within = "10s" }
alive    = { http = "http://127.0.0.1:8000/", every = "11s", timeout = "3s", failures = 4 }
stop     = ["INT group 1s", "TERM 10s", "KILL 5s"]
restart  = { when = "always", delay = "1s", factor = 1.5, max_delay = "30s", jitter = 0, attempts = 3, stable = "2m", clean = [0, 143], fatal = [2] }
limits   = { files = 4096, nice = -5, oom_score_adj = 100 }
log      = { max_size = "1MiB", keep = 2, overflow = "drop" }
tie      = "none"
scope    = "user"
profiles = ["dev"]
orphans  = "keep"
legacy_pidfile = "~/.api.pid"
match = { script = "server.py", args = ["--api"] }

[service.db]
command = "redis-server --port '6379'"
ready = { tcp = "127.0.0.1:6379" }

[service.seed]
command = "echo ${LOG:-none} | cat > $HOME/x"
shell = true
kind = "task"

[service.robot]
command = ["launch"]
[service.robot.mode.graphical]
[service.robot.mode.headless]
args = ["--headless"]
env = { DISPLAY = "" }
duration = "10s"
"#,
    );
    assert_eq!(project.name, name("shop"));
    assert_eq!((project.dir, project.manifest), ("/srv/demo".into(), "vigie.toml".into()));
    assert_eq!(project.services.len(), 4);
    let api = Service {
        name: name("api"),
        kind: Kind::Service,
        command: ["python3", "-m", "http.server", "8000"].map(str::to_owned).to_vec(),
        cwd: "/srv/demo".into(),
        env: vars(&[("DB_HOST", "db.local"), ("LOG", "info"), ("PORT", "9000")]),
        ports: ["8000", "5004/udp", "[::1]:9000"].map(|port| port.parse().expect("port")).to_vec(),
        after: [(name("db"), Condition::Ready), (name("seed"), Condition::Done)].into(),
        ready: Some(Ready {
            probe: Probe::Http { url: "http://127.0.0.1:8000/".to_owned(), status: 204 },
            every: Span::millis(100),
            timeout: Span::secs(1),
            within: Span::secs(10),
        }),
        alive: Some(Alive {
            probe: Probe::Http { url: "http://127.0.0.1:8000/".to_owned(), status: 200 },
            every: Span::secs(11),
            timeout: Span::secs(3),
            failures: 4,
        }),
        stop: serde_json::from_str(r#"["INT group 1s", "TERM 10s", "KILL 5s"]"#).expect("ladder"),
        restart: Restart {
            when: When::Always,
            delay: Span::secs(1),
            factor: 1.5,
            max_delay: Span::secs(30),
            jitter: 0.0,
            attempts: 3,
            stable: Span::secs(120),
            clean: vec![0, 143],
            fatal: vec![2],
        },
        limits: Limits { files: Some(4096), nice: Some(-5), oom_score_adj: Some(100) },
        log: Log { max_size: 1 << 20, keep: 2, overflow: Overflow::Drop },
        tie: Some(Tie::None),
        scope: Scope::User,
        profiles: vec![name("dev")],
        orphans: Orphans::Keep,
        legacy_pidfile: Some("/home/me/.api.pid".into()),
        recognised_by: Some(Match {
            script: Some("/srv/demo/server.py".into()),
            args: vec!["--api".into()],
            ..Match::default()
        }),
        modes: Vec::new(),
    };
    assert_eq!(project.services["api"], api);
    assert_eq!(project.services["db"].command, ["redis-server", "--port", "6379"]);
    let seed = &project.services["seed"];
    assert_eq!(seed.command, ["/bin/sh", "-c", "echo none | cat > $HOME/x"]);
    assert_eq!((seed.kind, seed.restart.when), (Kind::Task, When::Never));
    let robot = &project.services["robot"];
    assert_eq!(robot.mode(None).map(|mode| mode.name.as_str()), Some("graphical"), "the first one is the default");
    let headless = Mode {
        name: name("headless"),
        args: vec!["--headless".to_owned()],
        env: vars(&[("DISPLAY", "")]),
        duration: Some(Span::secs(10)),
    };
    assert_eq!(robot.modes[1], headless);
}

#[test]
fn defaults_are_those_of_the_contract() {
    let service = service("");
    assert_eq!(service.restart, Restart::default());
    assert_eq!(service.log, Log::default());
    assert_eq!(service.stop, crate::ladder::Ladder::default());
    assert_eq!(service.limits, Limits::default());
    assert_eq!(service.cwd, "/srv/demo".into());
    assert_eq!((service.tie, service.scope, service.orphans), (None, Scope::Project, Orphans::End));
    assert_eq!((service.ready, service.alive, service.legacy_pidfile), (None, None, None));
    let ready = super::service("ready = { log = \"up\" }").ready.expect("ready");
    assert_eq!((ready.every, ready.timeout, ready.within), (Span::millis(200), Span::secs(2), Span::secs(30)));
    let alive = super::service("alive = { exec = \"true\" }").alive.expect("alive");
    assert_eq!((alive.every, alive.timeout, alive.failures), (Span::secs(10), Span::secs(2), 3));
    assert_eq!(good("").name.as_str(), "demo", "the name of the folder");
}

#[test]
fn probes() {
    let probe = |keys: &str| service(&format!("ready = {{ {keys} }}")).ready.expect("ready").probe;
    assert_eq!(probe("tcp = \"[::1]:${PORT}\""), Probe::Tcp { address: "[::1]:8123".to_owned() });
    assert_eq!(probe("unix = \"run/x.sock\""), Probe::Unix { path: "/srv/demo/run/x.sock".into() });
    assert_eq!(probe("exec = \"pg_isready -q\""), Probe::Exec { command: vec!["pg_isready".into(), "-q".into()] });
    assert_eq!(probe("log = \"^ready$\""), Probe::Log { pattern: "^ready$".to_owned() });
}

#[test]
fn a_word_stands_for_a_restart_policy() {
    let restart = service("restart = \"always\"").restart;
    assert_eq!(restart, Restart { when: When::Always, ..Restart::default() });
}

/// R2.2: the nearest definition wins.
#[test]
fn variables_come_from_env_then_env_files_then_the_process() {
    let service = service(
        r#"
env_file = [".env", "more.env"]
env = { PORT = "${PORT}1", HERE = "${USER_NAME}" }
cwd = "${HOME}/${HERE}"
ports = ["${PORT}"]
[service.a.mode.m]
args = ["${LOG}", "${PORT}", "$$5", "${NONE:-no ne}"]
env = { LOG = "${LOG}!" }
"#
        .replace("${PORT}1", "${PORT}")
        .as_str(),
    );
    assert_eq!(service.env["PORT"], "9000", "the env file hides the process");
    assert_eq!(service.env["LOG"], "trace", "later files win");
    assert_eq!(service.cwd, "/home/me/me".into());
    assert_eq!(service.ports[0].port, 9000);
    assert_eq!(service.modes[0].args, ["trace!", "9000", "$5", "no ne"]);
    assert_eq!(service.modes[0].env["LOG"], "trace!");
    let project = good("[service.a]\ncommand = ['x']\nenv = { A = 'x' }\n[service.b]\ncommand = ['${A:-unset}']");
    assert_eq!(project.services["b"].command, ["unset"], "variables of one service are not seen by others");
}

#[test]
fn ports_may_be_shared_by_services_that_never_run_together() {
    good(
        "[service.a]\ncommand = ['x']\nports = [80]\nprofiles = ['dev']\n\
         [service.b]\ncommand = ['x']\nports = [80]\nprofiles = ['live']\n\
         [service.c]\ncommand = ['x']\nports = ['127.0.0.1:81', '[::]:81', '81/udp', '127.0.0.2:81']",
    );
}

#[test]
fn done_may_wait_for_what_ends() {
    for keys in ["kind = 'task'", "restart = 'never'", "mode.m.duration = '1s'"] {
        good(&format!("[service.a]\ncommand = ['x']\n{keys}\n[service.b]\ncommand = ['x']\nafter.a = 'done'"));
    }
}
