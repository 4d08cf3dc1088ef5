//! The contexts of the `docker` program: `docker context create nas --docker host=…`.
//!
//! Each is a folder `contexts/meta/ID` below `~/.docker` (or `DOCKER_CONFIG`) with a `meta.json`; the files for TLS lie in
//! `contexts/tls/ID/docker`. The folder's name is a hash of the context's; the name in the file decides here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use vigie_core::docker::endpoint::Endpoint;
use vigie_core::docker::source::{ClientCertificate, Tls};

/// A file that is larger is none of these.
const LARGEST: u64 = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    name: String,
    endpoints: Option<Endpoints>,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Option<Described>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    host: Option<String>,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_tls_verify: bool,
}

/// Where a context leads, and with which files.
///
/// # Errors
/// Says what is wrong: there is no such context, or it cannot be used.
pub(crate) fn find(name: &str, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<(Endpoint, Option<Tls>), String> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")));
    let Some(folder) = folder else { return Err("neither DOCKER_CONFIG nor HOME says where contexts are".to_owned()) };
    if name == "default" {
        return Ok((Endpoint::Unix("/var/run/docker.sock".into()), None));
    }
    let contexts = folder.join("contexts");
    let entries = std::fs::read_dir(contexts.join("meta")).into_iter().flatten().flatten();
    for entry in entries {
        let path = entry.path().join("meta.json");
        let Some(meta) = read(&path).filter(|meta| meta.name == name) else { continue };
        let described = meta.endpoints.and_then(|endpoints| endpoints.docker);
        let Some(described) = described else { return Err(format!("the context {name} names no engine")) };
        if described.skip_tls_verify {
            return Err(format!(
                "the context {name} does not want the engine's certificate to be checked: that is no TLS"
            ));
        }
        let host = described.host.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
        let endpoint = host.parse().map_err(|error: vigie_core::docker::endpoint::EndpointError| error.to_string())?;
        return Ok((endpoint, files(&contexts.join("tls").join(entry.file_name()).join("docker"))));
    }
    Err(format!("there is no context {name} in {}", contexts.display()))
}

fn read(path: &Path) -> Option<Meta> {
    let metadata = std::fs::metadata(path).ok().filter(|metadata| metadata.len() <= LARGEST)?;
    metadata.is_file().then(|| std::fs::read(path).ok()).flatten().and_then(|text| serde_json::from_slice(&text).ok())
}

fn files(folder: &Path) -> Option<Tls> {
    let file = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
    let client = file("cert.pem").zip(file("key.pem"));
    let client = client.map(|(cert, key)| ClientCertificate { cert: cert.into(), key: key.into() });
    Some(Tls { ca: file("ca.pem")?.into(), client })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(folder: &Path, id: &str, json: &str) {
        let dir = folder.join("contexts/meta").join(id);
        std::fs::create_dir_all(&dir).expect("folder");
        std::fs::write(dir.join("meta.json"), json).expect("file");
    }

    #[test]
    fn what_docker_knows() {
        let folder = tempfile::tempdir().expect("folder");
        let find =
            |name| find(name, &|variable| (variable == "DOCKER_CONFIG").then(|| folder.path().as_os_str().to_owned()));
        assert!(find("nas").expect_err("none").contains("no context nas"));
        context(folder.path(), "1", r#"{"Name":"other","Endpoints":{"docker":{"Host":"ssh://ana@other"}}}"#);
        context(
            folder.path(),
            "2",
            r#"{"Name":"nas","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://nas:2376","SkipTLSVerify":false}}}"#,
        );
        context(folder.path(), "3", "{");
        context(folder.path(), "4", r#"{"Name":"lax","Endpoints":{"docker":{"Host":"tcp://x","SkipTLSVerify":true}}}"#);
        let (endpoint, tls) = find("nas").expect("found");
        assert_eq!((endpoint.to_string().as_str(), tls), ("tcp://nas:2376", None));
        let files = folder.path().join("contexts/tls/2/docker");
        std::fs::create_dir_all(&files).expect("folder");
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            std::fs::write(files.join(name), "").expect("file");
        }
        let (_, tls) = find("nas").expect("found");
        assert_eq!(tls.and_then(|tls| tls.client).expect("files").key, files.join("key.pem").into());
        assert_eq!(find("other").expect("found").0.to_string(), "ssh://ana@other");
        assert_eq!(find("default").expect("found").0.to_string(), "unix:///var/run/docker.sock");
        assert!(find("lax").expect_err("refused").contains("certificate"));
    }
}
