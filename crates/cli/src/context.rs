//! Where vigie's files lie, which project is meant, who asks.

use std::path::{Path, PathBuf};

use vigie_core::exit_code::ExitCode;
use vigie_core::launch::Origin;
use vigie_core::manifest::{FileError, ManifestError, Project, Surroundings, resolve};
use vigie_core::text::OsText;
use vigie_os::error::OsError;
use vigie_os::place::Place;
use vigie_os::proc::Proc;

use crate::failure::Failure;
use crate::out::{Screen, style};

/// The name of a manifest.
pub(crate) const MANIFEST: &str = "vigie.toml";

/// Where vigie's files lie. Nothing is made there.
pub(crate) fn place() -> Result<Place, Failure> {
    let uid = vigie_os::user::uid();
    let variable = |name: &str| match std::env::var_os(name).filter(|value| !value.is_empty()) {
        None if name == "HOME" => vigie_os::user::home(uid).map(Into::into),
        value => value,
    };
    Place::from_env(variable, uid).map_err(|error| Failure::usage(error.to_string()))
}

/// The kernel's view of processes.
pub(crate) fn proc() -> Result<Proc, Failure> {
    Ok(Proc::system()?)
}

/// Who asks, from where.
pub(crate) fn origin(proc: &Proc) -> Result<Origin, Failure> {
    Ok(vigie_os::user::origin(proc)?)
}

/// The environment of this process, for services.
pub(crate) fn environment() -> Vec<(OsText, OsText)> {
    std::env::vars_os().map(|(name, value)| (name.into(), value.into())).collect()
}

impl From<OsError> for Failure {
    fn from(error: OsError) -> Self {
        let code = match error.kind() {
            std::io::ErrorKind::PermissionDenied => ExitCode::NotPermitted,
            _ => ExitCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}

/// A manifest that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// As people call it: relative where that is shorter.
    pub(crate) path: PathBuf,
    /// The canonical folder of the project.
    pub(crate) dir: PathBuf,
}

/// The folder that is meant when nobody names one: that of the nearest manifest, else the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Here {
    /// The folder.
    pub(crate) dir: PathBuf,
    /// Its manifest, if it has one.
    pub(crate) manifest: Option<Manifest>,
}

/// Looks for the manifest: `file`, else the nearest one from the current folder upwards (R2.1).
///
/// # Errors
/// When `file` is not there, or the current folder has no name.
pub(crate) fn here(file: Option<&Path>) -> Result<Here, Failure> {
    if let Some(file) = file {
        let manifest = named(file)?;
        return Ok(Here { dir: manifest.dir.clone(), manifest: Some(manifest) });
    }
    let cwd = std::env::current_dir().map_err(|error| Failure::io("cannot tell the current folder", &error))?;
    Ok(match nearest(&cwd) {
        Some(manifest) => Here { dir: manifest.dir.clone(), manifest: Some(manifest) },
        None => Here { dir: cwd, manifest: None },
    })
}

fn named(file: &Path) -> Result<Manifest, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(ExitCode::Usage, format!("cannot read the manifest {}: {error}", file.display()))
    };
    // A folder stands for the manifest in it.
    let path = if file.is_dir() { file.join(MANIFEST) } else { file.to_owned() };
    let canonical = path.canonicalize().map_err(failed)?;
    let dir = canonical.parent().unwrap_or(Path::new("/")).to_owned();
    Ok(Manifest { path, dir })
}

fn nearest(cwd: &Path) -> Option<Manifest> {
    let dir = cwd.ancestors().find(|dir| dir.join(MANIFEST).is_file())?;
    let path = if dir == cwd { PathBuf::from(MANIFEST) } else { dir.join(MANIFEST) };
    Some(Manifest { path, dir: dir.to_owned() })
}

/// Reads a manifest with this process's environment.
///
/// # Errors
/// The first value: it could not be read. The second: everything that is wrong with it.
pub(crate) fn read(manifest: &Manifest) -> Result<Result<Project, Vec<ManifestError>>, Failure> {
    let text = std::fs::read_to_string(&manifest.path).map_err(|error| {
        Failure::new(ExitCode::Usage, format!("cannot read the manifest {}: {error}", manifest.path.display()))
    })?;
    let file = |path: &Path| match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(FileError::Missing),
        Err(error) => Err(FileError::Unreadable(error.to_string())),
    };
    let around = Surroundings {
        dir: &manifest.dir,
        manifest: &manifest.path,
        env: &|name| std::env::var(name).ok(),
        file: &file,
    };
    Ok(resolve(&text, &around))
}

/// The project here. What is wrong with its manifest is printed, all of it (R2.1).
///
/// # Errors
/// Exit code 2 when there is no manifest or anything is wrong with it.
pub(crate) fn project(file: Option<&Path>) -> Result<Project, Failure> {
    let Some(manifest) = here(file)?.manifest else { return Err(no_manifest()) };
    match read(&manifest)? {
        Ok(project) => Ok(project),
        Err(errors) => {
            print_errors(&errors);
            eprintln!("nothing was done");
            Err(Failure::Told(ExitCode::Usage))
        }
    }
}

/// There is no manifest.
pub(crate) fn no_manifest() -> Failure {
    Failure::usage("no vigie.toml in this folder or any above it")
        .hint("write one, name one with --file, or run a command without one: vigie run -n NAME -- CMD")
}

/// Says on standard error that a manifest is wrong, where looking goes on without it.
pub(crate) fn warn_of(errors: &[ManifestError]) {
    let count = errors.len();
    let errors = if count == 1 { "error" } else { "errors" };
    eprintln!("warning: the manifest has {count} {errors}; 'vigie config check' shows them");
}

/// Says everything that is wrong with a manifest, on standard error.
pub(crate) fn print_errors(errors: &[ManifestError]) {
    let screen = Screen::stderr();
    for error in errors {
        eprint!("{} {}", screen.paint(style::BAD, "error:"), error.render());
    }
    let count = errors.len();
    eprintln!("{count} {} in the manifest", if count == 1 { "error" } else { "errors" });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_manifest_counts() {
        let root = tempfile::tempdir().expect("folder");
        let root = root.path().canonicalize().expect("a path");
        let inner = root.join("a/b");
        std::fs::create_dir_all(&inner).expect("folders");
        assert_eq!(nearest(&inner).filter(|found| found.dir.starts_with(&root)), None);
        std::fs::write(root.join(MANIFEST), "").expect("file");
        assert_eq!(nearest(&inner), Some(Manifest { path: root.join(MANIFEST), dir: root.clone() }));
        std::fs::write(inner.join(MANIFEST), "").expect("file");
        assert_eq!(nearest(&inner), Some(Manifest { path: MANIFEST.into(), dir: inner.clone() }));
    }

    #[test]
    fn a_named_manifest_must_be_there() {
        let root = tempfile::tempdir().expect("folder");
        let file = root.path().join("other.toml");
        assert_eq!(named(&file).expect_err("missing").code(), ExitCode::Usage);
        std::fs::write(&file, "").expect("file");
        let found = named(&file).expect("found");
        assert_eq!(found.dir, root.path().canonicalize().expect("a path"));
        std::fs::write(root.path().join(MANIFEST), "").expect("file");
        assert_eq!(named(root.path()).expect("found").path, root.path().join(MANIFEST), "a folder stands for it");
    }
}
