//! TLS, with the certificates that the machine trusts.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::dial::Failed;

/// A connection with TLS.
pub(crate) struct Tls<S: Read + Write>(StreamOwned<ClientConnection, S>);

impl Tls<TcpStream> {
    /// Shakes hands. `name` is what the certificate must be for.
    pub(crate) fn client(stream: TcpStream, name: &str, ca: Option<&Path>) -> Result<Self, Failed> {
        let server = ServerName::try_from(name.to_owned()).map_err(|_| Failed::Never(no_name(name)))?;
        let connection = ClientConnection::new(Arc::new(config(ca)?), server)
            .map_err(|error| Failed::Later(format!("TLS with {name}: {error}")))?;
        let mut stream = StreamOwned::new(connection, stream);
        // At once, so that what is wrong with the certificate is told as such.
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(Failed::io(format!("TLS with {name}")))?;
        }
        Ok(Self(stream))
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.0.sock
    }
}

/// The certificates of the machine, and those of `ca`.
pub(crate) fn trusted(ca: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, Failed> {
    let mut trusted = Vec::new();
    if let Some(path) = ca {
        let unreadable = |error| Failed::Never(format!("{} holds no certificates: {error}", path.display()));
        for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
            let certificate = certificate.map_err(unreadable)?;
            let added = RootCertStore::empty().add(certificate.clone());
            added.map_err(|error| Failed::Never(format!("{}: {error}", path.display())))?;
            trusted.push(certificate);
        }
    }
    let found = rustls_native_certs::load_native_certs();
    trusted.extend(found.certs);
    // Old ones that cannot be read are in many stores.
    if RootCertStore::empty().add_parsable_certificates(trusted.iter().cloned()).0 == 0 {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(Failed::Later(format!(
            "the machine trusts no certificate at all{why}; install ca-certificates, or set SSL_CERT_FILE"
        )));
    }
    Ok(trusted)
}

/// What is said of a name that no certificate could be for.
pub(crate) fn no_name(name: &str) -> String {
    format!("{name} is no name that a certificate could be for")
}

fn config(ca: Option<&Path>) -> Result<ClientConfig, Failed> {
    let mut roots = RootCertStore::empty();
    let (_, _) = roots.add_parsable_certificates(trusted(ca)?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failed::Later(format!("TLS: {error}")))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

impl<S: Read + Write> Read for Tls<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<S: Read + Write> Write for Tls<S> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
