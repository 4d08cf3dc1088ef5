//! `vigie.toml`: as written, as resolved, every error with its place (R2.1, R2.2).
//!
//! Reading goes in one pass over the parsed TOML. `written` holds one definition per table, from which parsing, the
//! list of known keys, the schema and `config show` come; `checks` and `graph` refuse what is impossible, in one
//! service and between services. An error never ends the reading: a part that is wrong is left out, everything else
//! is still looked at, and all errors come out together, sorted by place.
//!
//! Strings that reach a service may use variables (`expand` has the grammar). A string sees, the first one wins:
//! the `env` of its mode, the `env` of its service, its env files, the environment of the command that reads the
//! manifest. The values of an `env` table do not see each other, and values in env files are taken as they are.

mod asked;
mod checks;
mod envfile;
mod error;
mod expand;
mod graph;
mod programs;
mod reader;
mod resolved;
mod show;
mod shown;
mod split;
mod table;
mod values;
mod vocabulary;
mod written;

use std::ops::Range;

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use error::{ManifestError, Place};
pub use reader::{FileError, Surroundings};
pub use resolved::*;
pub use show::{Secrets, looks_secret, show};

use crate::name::Name;
use crate::text::OsText;
use reader::Reader;
use table::Value;
use written::ManifestTable;

/// Reads a manifest: every default filled in, every variable replaced, every name checked.
///
/// # Errors
/// Everything that is wrong, at least one error, sorted by place; those of env files after those of the manifest.
pub fn resolve(text: &str, around: &Surroundings<'_>) -> Result<Project, Vec<ManifestError>> {
    let (document, syntax) = DeTable::parse_recoverable(text);
    let span = document.span();
    let document = Spanned::new(span, DeValue::Table(document.into_inner()));
    let mut reader = Reader::new(text, around);
    reader.has_syntax_errors = !syntax.is_empty();
    let project = project(&mut reader, &document);
    let mut errors = reader.into_errors();
    if !syntax.is_empty() {
        let mut broken = syntax_errors(text, around, &syntax);
        // What the parser made of a line that it did not understand says nothing.
        errors.retain(|error| error.file != broken[0].file || !broken.iter().any(|b| b.place.line == error.place.line));
        let foreign = errors.iter().position(|error| error.file != broken[0].file).unwrap_or(errors.len());
        let foreign = errors.split_off(foreign);
        errors.append(&mut broken);
        errors.sort_by_key(|error| error.place);
        errors.extend(foreign);
    }
    match project {
        Some(project) if errors.is_empty() => Ok(project),
        _ => Err(errors),
    }
}

/// The JSON schema (draft 2020-12) of the manifest, for editors.
pub fn schema() -> Json {
    let mut schema = ManifestTable::schema();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("vigie.toml");
    schema
}

fn project(reader: &mut Reader<'_>, document: &Spanned<DeValue<'_>>) -> Option<Project> {
    let manifest = ManifestTable::read(reader, document)?;
    let name = manifest.project.optional().map(|project| project.and_then(|project| project.name.value));
    let services = manifest.service.value?.0;
    graph::check(reader, &services);
    let services: Vec<Option<Service>> =
        services.into_iter().map(|(name, table)| checks::service(reader, name, table)).collect();
    let dir = reader.around.dir;
    let folder = || Name::lossy(&dir.file_name().unwrap_or_default().to_string_lossy());
    Some(Project {
        name: name?.unwrap_or_else(folder),
        dir: dir.into(),
        manifest: OsText::from(reader.around.manifest),
        services: services
            .into_iter()
            .map(|service| Some((service.as_ref()?.name.clone(), service?)))
            .collect::<Option<_>>()?,
    })
}

/// One error per line: after the first one the parser guesses.
fn syntax_errors(text: &str, around: &Surroundings<'_>, syntax: &[toml::de::Error]) -> Vec<ManifestError> {
    let source = error::Source { file: around.manifest.into(), text };
    let mut errors: Vec<ManifestError> = Vec::new();
    for error in syntax {
        let span: Range<usize> = error.span().unwrap_or(0..0);
        let message = match (error.message(), text.get(span.clone())) {
            ("duplicate key", Some(key)) if !key.is_empty() => format!("`{key}` is defined twice"),
            (message, _) => message.to_owned(),
        };
        let error = source.error(span, message, None);
        if !errors.iter().any(|known| known.place.line == error.place.line) {
            errors.push(error);
        }
    }
    errors
}

#[cfg(test)]
mod tests;
