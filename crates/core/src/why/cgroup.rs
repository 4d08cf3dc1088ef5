//! What the path of a cgroup tells: the unit of systemd, the container, the run of vigie.
//!
//! A path is a name that somebody gave. Managers name their folders in known ways, and only those are read here.

use crate::identity::RunId;

/// What the path of a cgroup tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The innermost unit of systemd, a service or a scope: `cron.service`. Not that of a user's whole manager when there
    /// is one within it.
    pub unit: Option<String>,
    /// The container: the engine that names its folders so, and its id.
    pub container: Option<(&'static str, String)>,
    /// The run of vigie.
    pub run: Option<RunId>,
}

/// How engines name the scope of a container: `docker-<id>.scope`.
const SCOPES: &[(&str, &str)] =
    &[("docker-", "docker"), ("libpod-", "podman"), ("cri-containerd-", "containerd"), ("crio-", "cri-o")];

/// How long the id of a container is, in hexadecimal digits.
const ID: usize = 64;

/// Reads a path as it stands in `/proc/PID/cgroup`.
pub fn read(path: &[u8]) -> Place {
    let path = String::from_utf8_lossy(path);
    let mut place = Place::default();
    let mut before = "";
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if let Some(run) = run(part) {
            place.run = Some(run);
        }
        if let Some(container) = container(before, part) {
            place.container = Some(container);
        }
        if part.ends_with(".service") || part.ends_with(".scope") {
            place.unit = Some(part.to_owned());
        }
        before = part;
    }
    place
}

/// `vigie-<run>`, or `vigie-<run>-<maker>`.
fn run(part: &str) -> Option<RunId> {
    let rest = part.strip_prefix("vigie-")?;
    let (id, maker) = rest.split_at_checked(16)?;
    let maker_fits = maker.is_empty()
        || maker
            .strip_prefix('-')
            .is_some_and(|maker| !maker.is_empty() && maker.bytes().all(|byte| byte.is_ascii_digit()));
    (maker_fits && is_hexadecimal(id)).then(|| id.parse().ok())?
}

fn container(before: &str, part: &str) -> Option<(&'static str, String)> {
    if let Some(name) = part.strip_suffix(".scope") {
        return SCOPES.iter().find_map(|(prefix, engine)| {
            let id = name.strip_prefix(prefix)?;
            is_id(id).then(|| (*engine, id.to_owned()))
        });
    }
    // Without systemd: `/docker/<id>`, `/kubepods/…/<id>`, `/libpod_parent/libpod-<id>`.
    let id = part.strip_prefix("libpod-").unwrap_or(part);
    if !is_id(id) {
        return None;
    }
    let engine = match before {
        "docker" => "docker",
        _ if before.starts_with("libpod") || part.starts_with("libpod-") => "podman",
        _ if before.starts_with("pod") || before.starts_with("kubepods") => "kubernetes",
        _ => "an engine",
    };
    Some((engine, id.to_owned()))
}

fn is_id(text: &str) -> bool {
    text.len() == ID && is_hexadecimal(text)
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_paths_tell() {
        let id = "0123456789abcdef".repeat(4);
        let container = |engine| Some((engine, id.clone()));
        let run = Some(RunId(0xabc));
        for (path, expected) in [
            ("/".to_owned(), Place::default()),
            ("/system.slice/cron.service".to_owned(), Place { unit: Some("cron.service".into()), ..Place::default() }),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app-term.scope".to_owned(),
                Place { unit: Some("app-term.scope".into()), ..Place::default() },
            ),
            (
                format!("/system.slice/docker-{id}.scope"),
                Place { unit: Some(format!("docker-{id}.scope")), container: container("docker"), ..Place::default() },
            ),
            (format!("/docker/{id}"), Place { container: container("docker"), ..Place::default() }),
            (format!("/docker/{id}/inner"), Place { container: container("docker"), ..Place::default() }),
            (
                format!("/kubepods/burstable/pod12/{id}"),
                Place { container: container("kubernetes"), ..Place::default() },
            ),
            (format!("/libpod_parent/libpod-{id}"), Place { container: container("podman"), ..Place::default() }),
            (format!("/elsewhere/{id}"), Place { container: container("an engine"), ..Place::default() }),
            ("/a/vigie-0000000000000abc".to_owned(), Place { run, ..Place::default() }),
            ("/vigie-0000000000000abc-77".to_owned(), Place { run, ..Place::default() }),
            ("/vigie-0000000000000abc-x".to_owned(), Place::default()),
            ("/vigie-short".to_owned(), Place::default()),
            (format!("/docker/{}", &id[1..]), Place::default()),
            ("/docker-.scope".to_owned(), Place { unit: Some("docker-.scope".into()), ..Place::default() }),
        ] {
            assert_eq!(read(path.as_bytes()), expected, "{path}");
        }
        assert_eq!(read(b"/\xff\n/x"), Place::default());
    }
}
