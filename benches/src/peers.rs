//! Installing the peers: below `target/peers`, so that deleting that folder undoes it; s6 alone into the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Result};
use crate::site::Site;

/// Debian's packages that are unpacked, not installed, so that none of their services is started and none replaces init.
const UNPACKED: &[&str] = &["runit", "daemontools"];

/// Debian's packages that are installed: their programs look for each other below `/usr/bin`. They start nothing.
const INSTALLED: &[&str] = &["s6", "procps", "psmisc", "lsof", "iproute2", "python3-psutil"];

/// What they bring, one each.
const BROUGHT: &[&str] =
    &["s6-svscan", "pgrep", "fuser", "lsof", "ss", "../lib/python3/dist-packages/psutil/__init__.py"];

/// Python's, with the versions that were read and tried.
const PYTHON: &[&str] = &["supervisor==4.3.0", "circus==0.19.0", "honcho==2.0.0"];

/// npm's.
const NPM: &[&str] = &["pm2@7.0.4"];

/// Installs what is missing. What cannot be installed is said, and left out.
///
/// # Errors
/// When it is not root: Debian's package manager keeps its lists only for root.
pub(crate) fn install(site: &Site) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new("--install-peers needs root: apt-get resolves and fetches Debian's packages"));
    }
    for (what, step) in [("Debian", debian_packages as fn(&Site) -> Result<()>), ("Python", python), ("npm", npm)] {
        if let Err(failure) = step(site) {
            eprintln!("peers of {what} are left out: {failure}");
        }
    }
    Ok(())
}

fn debian_packages(site: &Site) -> Result<()> {
    let root = site.peers.join("debian");
    let brought = BROUGHT.iter().all(|file| Path::new("/usr/bin").join(file).exists());
    if root.join("usr/bin/runsvdir").exists() && brought {
        return Ok(());
    }
    let archives = site.peers.join("archives");
    make(&archives.join("partial"))?;
    shown(Command::new("apt-get").args(["update", "--quiet"]))?;
    let get = ["install", "--yes", "--quiet", "--no-install-recommends"];
    shown(Command::new("apt-get").args(get).args(INSTALLED))?;
    let cache = format!("Dir::Cache::archives={}", archives.display());
    shown(Command::new("apt-get").args(get).args(["--download-only", "-o", &cache]).args(UNPACKED))?;
    make(&root)?;
    let failed = |error| Failure::io(format!("cannot read {}", archives.display()))(error);
    for entry in std::fs::read_dir(&archives).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            shown(Command::new("dpkg-deb").arg("--extract").args([&path, &root]))?;
        }
    }
    Ok(())
}

fn python(site: &Site) -> Result<()> {
    let folder = site.peers.join("python");
    if folder.join("bin/honcho").exists() {
        return Ok(());
    }
    shown(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    shown(Command::new(folder.join("bin/pip")).args(["install", "--quiet"]).args(PYTHON))
}

fn npm(site: &Site) -> Result<()> {
    let folder = site.peers.join("npm");
    if folder.join("node_modules/.bin/pm2").exists() {
        return Ok(());
    }
    make(&folder)?;
    shown(Command::new("npm").args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).args(NPM))
}

/// What version of a peer is there; empty when that cannot be told.
pub(crate) fn version(site: &Site, name: &str) -> String {
    let pinned = |list: &[&str], separator: &str, package: &str| {
        list.iter().find_map(|entry| entry.strip_prefix(package)?.strip_prefix(separator).map(str::to_owned))
    };
    match name {
        "supervisord" => pinned(PYTHON, "==", "supervisor"),
        "circus" | "honcho" => pinned(PYTHON, "==", name),
        "pm2" => pinned(NPM, "@", name),
        "s6" => installed_version(name),
        _ => archive_version(&site.peers.join("archives"), name),
    }
    .unwrap_or_default()
}

/// What version of one of Debian's packages is installed; empty when none is.
pub(crate) fn package_version(package: &str) -> String {
    installed_version(package).unwrap_or_default()
}

fn installed_version(package: &str) -> Option<String> {
    let output = Command::new("dpkg-query").args(["--show", "--showformat=${Version}", package]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// From the name of the archive: `s6_2.11.3.2-1_amd64.deb`. Colons are escaped in it: `daemontools_1%3a0.76-8.1`.
fn archive_version(archives: &Path, package: &str) -> Option<String> {
    std::fs::read_dir(archives).ok()?.flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let version = name.strip_prefix(package)?.strip_prefix('_')?.split('_').next()?;
        Some(version.rsplit("%3a").next().unwrap_or(version).to_owned())
    })
}

/// For programs of Debian's packages: they find each other where they were unpacked.
pub(crate) fn debian(mut command: Command, bin: &Path) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(bin.to_owned()).chain(std::env::split_paths(&path));
    if let Ok(path) = std::env::join_paths(folders) {
        command.env("PATH", path);
    }
    command
}

/// A program of Debian's packages, when it is there.
pub(crate) fn debian_program(site: &Site, name: &str) -> Option<PathBuf> {
    let folders = [site.peers.join("debian/usr/bin"), PathBuf::from("/usr/bin")];
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.exists())
}

fn shown(command: &mut Command) -> Result<()> {
    let text = format!("{command:?}");
    println!("{text}");
    let status = command.env("DEBIAN_FRONTEND", "noninteractive").status().map_err(Failure::io(&text))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("{text}: {status}"))) }
}

fn make(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(Failure::io(format!("cannot make {}", dir.display())))
}
