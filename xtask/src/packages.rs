//! What must be on the machine beside the Rust toolchain: installed where it may be, named where it may not.

use std::path::Path;
use std::process::Command;

use crate::failure::Failure;

/// A file of the machine, and the Debian package that brings it.
struct Needed {
    package: &'static str,
    /// The name of a program on the `PATH`, or its path.
    program: &'static str,
    why: &'static str,
}

/// What nothing works without.
const NEEDED: &[Needed] =
    &[Needed { package: "gcc", program: "cc", why: "rustc links with it, and SQLite is compiled" }];

/// What some tests need. They start an engine of their own, in network, mount and PID namespaces of its own.
const FOR_TESTS: &[Needed] = &[
    // Where tests look for it: another one of the user's own would be another interpreter.
    Needed { package: "python3-minimal", program: "/usr/bin/python3", why: "copies of scripts are recognised" },
    Needed { package: "docker.io", program: "dockerd", why: "ports of real containers are tested" },
    Needed { package: "e2fsprogs", program: "mkfs.ext4", why: "a file system is frozen" },
    Needed { package: "openssl", program: "openssl", why: "certificates are made for receivers and engines of tests" },
    Needed { package: "podman", program: "podman", why: "the other engine is a source, too" },
    Needed { package: "openssh-server", program: "/usr/sbin/sshd", why: "an engine is reached over a real ssh" },
    Needed { package: "dbus-daemon", program: "dbus-daemon", why: "a desktop notification goes over a real bus" },
    Needed { package: "busybox-static", program: "busybox", why: "the image of these containers is made of it" },
];

/// Sees to it that all is there that nothing works without.
///
/// # Errors
/// Names what is missing and how to install it.
pub(crate) fn ensure() -> Result<(), Failure> {
    let left = install(NEEDED)?;
    if left.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("install them first, on Debian: apt-get install {}", left.join(" "))))
}

/// Sees to it that all is there that tests need, where it may be installed. Elsewhere these tests say why they do not run.
pub(crate) fn ensure_for_tests() {
    // Who may not start an engine does not need one.
    let left = if is_root() { install(FOR_TESTS) } else { Ok(Vec::new()) };
    match left {
        Ok(left) if left.is_empty() => {}
        Ok(left) => println!("tests that need them are skipped; on Debian: apt-get install {}", left.join(" ")),
        Err(failure) => println!("tests that need them are skipped: {failure}"),
    }
}

/// Installs what is missing, where that can be done; returns the packages that are missing all the same.
fn install(needed: &[Needed]) -> Result<Vec<&'static str>, Failure> {
    let missing = || needed.iter().filter(|needed| !on_path(needed.program));
    let names: Vec<&str> = missing().map(|needed| needed.package).collect();
    if names.is_empty() {
        return Ok(names);
    }
    for needed in missing() {
        println!("{} is missing ({})", needed.package, needed.why);
    }
    if is_root() && on_path("apt-get") {
        let install = |arguments: &[&str]| {
            let mut command = Command::new("apt-get");
            command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
            crate::process::run(command)
        };
        install(&["update", "--quiet"])?;
        let arguments = [&["install", "--yes", "--quiet", "--no-install-recommends"], names.as_slice()].concat();
        install(&arguments)?;
    }
    Ok(missing().map(|needed| needed.package).collect())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a program can be found.
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| Path::new(&dir).join(program).is_file())
}
