//! `cargo xtask bench`: builds what is measured and what measures, in a folder of their own, and runs it.

use std::process::Command;

use crate::failure::{Failure, Verdict};
use crate::workspace::Workspace;
use crate::{packages, process};

/// Builds, then hands `arguments` on to `vigie-bench`, which knows them.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Verdict {
    packages::ensure()?;
    // Of their own: what is measured is not built over by other work meanwhile.
    let folder = workspace.target.join("bench");
    let profile = ["--release", "--target-dir", &folder.to_string_lossy()];
    let build = |command: &str, rest: &[&str]| {
        let arguments = [&[command], &profile[..], rest].concat();
        match process::run(workspace.cargo(&arguments))?.status.success() {
            true => Ok(()),
            false => Err(Failure::new(format!("cargo {} failed", arguments.join(" ")))),
        }
    };
    build("build", &["-p", "vigie", "-p", "vigie-hostile", "--bin", "vigie", "--bin", "hostile"])?;
    // By itself: what it wants of the libraries is not to change what is measured.
    build("build", &["-p", "vigie-bench", "--bin", "vigie-bench", "--bin", "emit"])?;
    // As `dist` builds it; and the service that is not to cost more than its supervisor.
    let target = ["--", "-C", "target-feature=+crt-static", "-C", "relocation-model=static"];
    build("rustc", &[&["-p", "vigie", "--bin", "vigie-keeper"], &target[..]].concat())?;
    for service in ["idle", "crowd"] {
        build("rustc", &[&["-p", "vigie-bench", "--bin", service], &target[..]].concat())?;
    }
    let mut command = Command::new(folder.join("release/vigie-bench"));
    command.arg(&workspace.root).arg(folder.join("release")).args(arguments);
    Ok(process::run(command)?.status.success())
}
