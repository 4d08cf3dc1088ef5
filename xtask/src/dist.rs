//! `cargo xtask dist`: what a package of vigie contains.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::failure::{Failure, Verdict};
use crate::workspace::Workspace;
use crate::{packages, process};

/// The shells that there are completions for, with the file name that each looks for.
const SHELLS: &[(&str, &str)] = &[("bash", "vigie"), ("zsh", "_vigie"), ("fish", "vigie.fish")];

/// Builds everything into `target/dist`.
pub(crate) fn run(workspace: &Workspace) -> Verdict {
    packages::ensure()?;
    let dist = workspace.target.join("dist");
    if dist.exists() {
        fs::remove_dir_all(&dist).map_err(Failure::io(format!("cannot empty {}", dist.display())))?;
    }
    build(workspace, &["build", "--release", "--locked", "-p", "vigie", "--bin", "vigie"])?;
    // Static: one keeper per service, and a dynamic one costs some hundred kilobytes more each, for libc's own pages.
    let target = ["-C", "target-feature=+crt-static", "-C", "relocation-model=static"];
    let keeper = ["rustc", "--release", "--locked", "-p", "vigie", "--bin", "vigie-keeper", "--"];
    build(workspace, &[&keeper[..], &target[..]].concat())?;
    let release = workspace.binaries("release");
    for name in ["vigie", "vigie-keeper"] {
        copy(&release.join(name), &dist.join("bin").join(name))?;
    }
    let vigie = dist.join("bin/vigie");
    let man = dist.join("share/man/man1");
    make(&man)?;
    process::output(program(&vigie, &[Path::new("man"), &man]))?;
    for (shell, file) in SHELLS {
        let script = process::output(program(&vigie, &[Path::new("completions"), Path::new(shell)]))?;
        write(&dist.join("share/completions").join(shell).join(file), &script)?;
    }
    for document in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "docs/vigie.schema.json"] {
        copy(&workspace.root.join(document), &dist.join("share/doc/vigie").join(document))?;
    }
    list(&dist, &dist)?;
    Ok(true)
}

fn build(workspace: &Workspace, arguments: &[&str]) -> Result<(), Failure> {
    if process::run(workspace.cargo(arguments))?.status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("cargo {} failed", arguments.join(" "))))
}

fn program(path: &Path, arguments: &[&Path]) -> Command {
    let mut command = Command::new(path);
    command.args(arguments);
    command
}

fn make(dir: &Path) -> Result<(), Failure> {
    fs::create_dir_all(dir).map_err(Failure::io(format!("cannot make {}", dir.display())))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    path.parent().map_or(Ok(()), make)?;
    fs::write(path, bytes).map_err(Failure::io(format!("cannot write {}", path.display())))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    to.parent().map_or(Ok(()), make)?;
    let failed = Failure::io(format!("cannot copy {} to {}", from.display(), to.display()));
    fs::copy(from, to).map(|_| ()).map_err(failed)
}

/// Every file with its size in bytes.
fn list(dist: &Path, dir: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::io(format!("cannot read {}", dir.display()))(error);
    let mut paths: Vec<_> = fs::read_dir(dir).map_err(failed)?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            list(dist, &path)?;
        } else {
            let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            println!("{size:>10}  {}", path.strip_prefix(dist).unwrap_or(&path).display());
        }
    }
    Ok(())
}
