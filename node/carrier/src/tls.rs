//! Who is who: certificates of the cloud's CA on both ends.

use base::{Error, Result};
use rustls_pki_types::CertificateDer;
use tonic::transport::{Certificate, ClientTlsConfig, ServerTlsConfig};

/// This end's certificate and key, and the CA that the other end's must be of. All PEM.
#[derive(Clone)]
pub struct Identity {
    /// The CA's certificate.
    pub ca: String,
    /// This end's certificate.
    pub cert: String,
    /// Its private key.
    pub key: base::Secret,
}

impl Identity {
    fn own(&self) -> tonic::transport::Identity {
        tonic::transport::Identity::from_pem(&self.cert, self.key.expose())
    }

    pub(crate) fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .identity(self.own())
            .client_ca_root(Certificate::from_pem(&self.ca))
            .client_auth_optional(false)
    }

    /// Controllers' certificates carry this name, whatever address they are reached at.
    pub(crate) fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .identity(self.own())
            .ca_certificate(Certificate::from_pem(&self.ca))
            .domain_name(CONTROLLER)
    }
}

/// The DNS name in every controller's certificate.
pub(crate) const CONTROLLER: &str = "controller.everstack.internal";

/// The name that a peer's certificate gives it: its one DNS name.
pub(crate) fn certified_name(certificate: &CertificateDer<'_>) -> Result<String> {
    let unreadable =
        |_| Error::forbidden("the peer's certificate cannot be read; issue it a new one");
    let parsed = webpki::EndEntityCert::try_from(certificate).map_err(unreadable)?;
    let mut names = parsed.valid_dns_names();
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name.to_owned()),
        _ => Err(Error::forbidden("a node's certificate must carry its name and no other")),
    }
}
