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

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::PathBuf;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::server::WebPkiClientVerifier;

    use vigie_core::docker::source::ClientCertificate;
    use vigie_core::exit_code::ExitCode;

    use crate::fake::run;
    use crate::{Dial, Engine, Error};

    /// Made for these tests, of an authority whose key is gone, for `localhost` and `127.0.0.1`; valid for a hundred years.
    fn file(name: &str) -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata")).join(name)
    }

    fn tls(ca: &str, with_certificate: bool) -> Tls {
        let client = ClientCertificate { cert: file("client.pem").into(), key: file("client-key.pem").into() };
        Tls { ca: file(ca).into(), client: with_certificate.then_some(client) }
    }

    /// An engine that wants to know who asks. Its port.
    async fn engine() -> u16 {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&file("ca.pem")).expect("readable") {
            roots.add(certificate).expect("a certificate");
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let key = PrivateKeyDer::from_pem_file(file("engine-key.pem")).expect("a key");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.expect("a verifier"))
            .with_single_cert(certificates(&file("engine.pem")).expect("readable"), key)
            .expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("bound");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nApi-Version: 1.44\r\nContent-Length: 2\r\n\r\nOK").await;
            }
        });
        port
    }

    async fn ask(host: &str, port: u16, tls: Tls) -> Result<Option<String>, Error> {
        let endpoint = format!("tcp://{host}:{port}").parse().expect("an endpoint");
        let dial = Dial::resolve(&endpoint, Some(&tls), &|_| None)?;
        Engine::over(dial, Duration::from_secs(10)).api().await
    }

    #[test]
    fn both_sides_are_checked() {
        run(async {
            let port = engine().await;
            for host in ["localhost", "127.0.0.1"] {
                let api = ask(host, port, tls("ca.pem", true)).await.unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(api.as_deref(), Some("1.44"));
            }
            let unknown = ask("localhost", port, tls("ca.pem", false)).await.expect_err("who is that?");
            assert_eq!(unknown.exit_code(), ExitCode::Unreachable);
            // Signed by somebody else.
            let forged = ask("localhost", port, tls("client.pem", true)).await.expect_err("not the engine");
            assert!(forged.to_string().contains("certificate"), "{forged}");
        });
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        run(async {
            for (ca, wanted) in [("none.pem", "none.pem"), ("client-key.pem", "holds no certificate")] {
                let error = ask("localhost", 1, tls(ca, true)).await.expect_err("unusable");
                assert!(matches!(error, Error::Settings { .. }) && error.to_string().contains(wanted), "{error}");
                assert_eq!(error.exit_code(), ExitCode::Usage);
            }
        });
    }
}
