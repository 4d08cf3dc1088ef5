//! Manifests as people write them.

mod bad;
mod good;
mod properties;
mod schema;

use std::path::Path;

use super::*;

/// A world with a few variables and files.
fn read(text: &str) -> Result<Project, Vec<ManifestError>> {
    let env = |name: &str| match name {
        "HOME" => Some("/home/me".to_owned()),
        "USER_NAME" => Some("me".to_owned()),
        "PORT" => Some("8123".to_owned()),
        _ => None,
    };
    let file = |path: &Path| match path.to_str() {
        Some("/srv/demo/.env") => Ok("LOG=debug\nDB_HOST=db.local\nPORT=9000\n".to_owned()),
        Some("/srv/demo/more.env") => Ok("LOG=trace\n".to_owned()),
        Some("/srv/demo/bad.env") => Ok("A=1\nsecret stuff\n".to_owned()),
        Some("/srv/demo/locked.env") => Err(FileError::Unreadable("permission denied".to_owned())),
        _ => Err(FileError::Missing),
    };
    let around =
        Surroundings { dir: Path::new("/srv/demo"), manifest: Path::new("vigie.toml"), env: &env, file: &file };
    resolve(text, &around)
}

/// The errors as one text, a line for each.
fn errors(text: &str) -> String {
    match read(text) {
        Ok(_) => String::new(),
        Err(errors) => errors.iter().map(|error| format!("{error}\n")).collect(),
    }
}

/// A manifest that must be right.
fn good(text: &str) -> Project {
    read(text).unwrap_or_else(|_| panic!("{text}\n{}", errors(text)))
}

/// The service `a` of a manifest that must be right.
fn service(keys: &str) -> Service {
    let project = good(&format!("[service.a]\ncommand = [\"x\"]\n{keys}"));
    project.services[&Name::new("a").expect("name")].clone()
}
