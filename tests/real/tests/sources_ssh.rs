//! An engine over a real ssh (R11.1): the system's client with its own settings, and a server that it starts itself, so that
//! no port is needed and nothing is left behind.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use vigie_real_tests::{Call, Engine, Process, World, skip, until};

const SSHD: &str = "/usr/sbin/sshd";

/// A machine called `far`, where the engine is.
struct Far {
    /// The folder with its keys and settings.
    dir: PathBuf,
}

impl Far {
    /// `None`: skipped.
    fn new(world: &World, engine: &Engine, test: &str) -> Option<Self> {
        if !Path::new(SSHD).is_file() {
            skip(test, "there is no sshd; on Debian: apt-get install openssh-server");
            return None;
        }
        let dir = world.path("far");
        std::fs::create_dir(&dir).expect("a folder");
        let far = Self { dir };
        for key in ["host", "user"] {
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(far.at(key)).status();
            assert!(made.expect("it comes with ssh").success());
        }
        std::fs::copy(far.at("user.pub"), far.at("authorized")).expect("copied");
        let host = std::fs::read_to_string(far.at("host.pub")).expect("a key");
        far.write("known", &format!("far {host}"));
        let at = |name: &str| far.at(name).display().to_string();
        far.write(
            "sshd_config",
            &format!(
                "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n\
                 SetEnv DOCKER_HOST={}\n",
                at("host"),
                at("authorized"),
                engine.host()
            ),
        );
        // It wants a folder below /run, and gets one that nobody else sees.
        let server = format!(
            "unshare --mount --propagation private sh -c 'mount -t tmpfs run /run && mkdir /run/sshd && exec {SSHD} -i -f {}'",
            at("sshd_config")
        );
        far.write(
            "ssh_config",
            &format!(
                "Host far stranger\n ProxyCommand {server}\n IdentityFile {}\n IdentitiesOnly yes\n UserKnownHostsFile {}\n \
                 GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking yes\n",
                at("user"),
                at("known")
            ),
        );
        // The system's ssh, with settings that are not the user's.
        let ssh = on_path("ssh").expect("looked for");
        far.write("bin/ssh", &format!("#!/bin/sh\nexec {} -F {} \"$@\"\n", ssh.display(), at("ssh_config")));
        std::fs::set_permissions(far.at("bin/ssh"), std::fs::Permissions::from_mode(0o755)).expect("ours");
        Some(far)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }

    /// `vigie ARGS`, with this ssh.
    fn vigie(&self, world: &World, args: &[&str]) -> Call {
        let path = std::env::var("PATH").expect("a PATH");
        world.vigie(args).env("PATH", format!("{}:{path}", self.at("bin").display()))
    }

    /// Those that carry connections now.
    fn clients(&self) -> Vec<Process> {
        let wanted = format!("-F\0{}\0", self.at("ssh_config").display());
        let is_it = |pid: u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&wanted)
        };
        let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| is_it(*pid)).filter_map(|pid| Process::open(pid, is_it)).collect()
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// What happened to the containers, by name and action.
fn told(world: &World) -> Vec<(String, String)> {
    let events = world.events().into_iter().filter(|event| event["kind"] == "container_event");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    events.map(|event| (text(&event["container"]), text(&event["detail"]["action"]))).collect()
}

#[test]
fn an_engine_over_ssh() {
    let name = "an_engine_over_ssh";
    let world = World::new();
    let Some(engine) = Engine::start(&world, name, &[]) else { return };
    let Some(far) = Far::new(&world, &engine, name) else { return };

    let test = far.vigie(&world, &["source", "test", "ssh://root@far", "--json"]).run().code(0);
    let test: Value = serde_json::from_slice(&test.out).expect("JSON");
    assert!(test["engine"]["id"].is_string(), "{test:#}");
    // What is wrong is said in ssh's own words: a host whose key nobody knows, a key that nobody lets in.
    let unknown = far.vigie(&world, &["source", "test", "ssh://root@stranger"]).run().code(9);
    assert!(unknown.errors().contains("Host key verification failed"), "{unknown}");
    let key = std::fs::read(far.at("authorized")).expect("a key");
    far.write("authorized", "");
    let refused = far.vigie(&world, &["source", "test", "ssh://root@far"]).run().code(9);
    assert!(refused.errors().contains("Permission denied (publickey"), "{refused}");
    std::fs::write(far.at("authorized"), key).expect("written");

    far.vigie(&world, &["source", "add", "nas", "ssh://root@far"]).run().code(0);
    let live = || {
        let done = world.vigie(&["source", "ls", "--json"]).run().code(0);
        let sources: Value = serde_json::from_slice(&done.out).expect("JSON");
        (sources["sources"][0]["stage"] == "live").then_some(())
    };
    until("it is followed", live);
    engine.run("web", &["--network", "none"], &["sleep", "1000"]);
    until("what happens there is told", || (told(&world).len() == 2).then_some(()));
    // The connection breaks while something happens; nothing is lost, and nothing comes twice.
    let clients = far.clients();
    assert!(!clients.is_empty(), "somebody carries the connection");
    clients.iter().for_each(Process::kill);
    for command in [&["kill", "web"][..], &["rename", "web", "api"]] {
        engine.docker(command).run().code(0);
    }
    until("it goes on", || told(&world).last().is_some_and(|(_, action)| action == "rename").then_some(()));
    let actions = [("web", "create"), ("web", "start"), ("web", "kill"), ("web", "die"), ("api", "rename")];
    assert_eq!(told(&world), actions.map(|(name, action)| (name.to_owned(), action.to_owned())));
    assert!(world.events().iter().all(|event| event["kind"] != "gap"), "{}", world.story());

    far.vigie(&world, &["source", "rm", "nas"]).run().code(0);
    until("nobody carries a connection any more", || far.clients().is_empty().then_some(()));
}
