//! TLS with the files that a source names.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use vigie_core::docker::source::Tls;

/// What a connection needs to know.
///
/// # Errors
/// Which file cannot be used, and why. Nothing of a key is in it.
pub(crate) fn config(tls: &Tls) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(tls.ca.as_path())? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", tls.ca))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let path = client.key.as_path();
            let key = PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(path, "a private key", &error))?;
            builder
                .with_client_auth_cert(certificates(client.cert.as_path())?, key)
                .map_err(|error| format!("{} and {}: {error}", client.cert, client.key))?
        }
    };
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |error: rustls_pki_types::pem::Error| unreadable(path, "certificates", &error);
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if found.is_empty() {
        return Err(format!("{} holds no certificate", path.display()));
    }
    Ok(found)
}

fn unreadable(path: &Path, what: &str, error: &rustls_pki_types::pem::Error) -> String {
    format!("{} cannot be read for {what}: {error}", path.display())
}

/// Lets the kernel ask for a sign of life. Without it a connection that something between has forgotten waits for ever.
pub(crate) fn keep_alive(stream: &TcpStream, after: Duration) {
    // Where it cannot be set, silence is noticed later, by a ping.
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, after);
    let _ = sockopt::set_tcp_keepintvl(stream, after);
    let _ = sockopt::set_tcp_keepcnt(stream, 3);
}
