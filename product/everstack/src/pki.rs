//! The cloud's own CA: certificates for the APIs beyond loopback, for controllers and for nodes.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use base::{Error, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};

use crate::credentials::write_private;

/// The CA in a directory: `ca.pem`, `ca.key`.
pub struct Authority {
    dir: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, both PEM.
pub struct Issued {
    /// The certificate.
    pub cert: String,
    /// The private key.
    pub key: String,
}

fn broken(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal(format!("{what}: {error}")).with_source(error)
}

fn ca_params() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::<String>::new()).map_err(|e| broken("CA", e))?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "Everstack cloud CA");
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

impl Authority {
    /// The CA in the directory, made if there is none.
    ///
    /// # Errors
    /// When its files can be neither read nor made.
    pub fn open_or_make(dir: &Path) -> Result<Authority> {
        fs::create_dir_all(dir).map_err(|e| broken(&dir.display().to_string(), e))?;
        let (cert, key) = (dir.join("ca.pem"), dir.join("ca.key"));
        let params = ca_params()?;
        let pair = if key.exists() {
            let text =
                fs::read_to_string(&key).map_err(|e| broken(&key.display().to_string(), e))?;
            KeyPair::from_pem(&text).map_err(|e| broken(&key.display().to_string(), e))?
        } else {
            let pair = KeyPair::generate().map_err(|e| broken("a new key", e))?;
            write_private(&key, &pair.serialize_pem())?;
            pair
        };
        let issuer = CertifiedIssuer::self_signed(params, pair)
            .map_err(|e| broken("the CA's certificate", e))?;
        if !cert.exists() {
            write_private(&cert, &issuer.pem())?;
        }
        Ok(Authority { dir: dir.to_owned(), issuer })
    }

    /// The CA certificate's file.
    pub fn cert_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The CA's certificate, PEM, as it was first made.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn cert(&self) -> Result<String> {
        let path = self.cert_file();
        fs::read_to_string(&path).map_err(|e| broken(&path.display().to_string(), e))
    }

    /// Issues a certificate for a peer of that name, reachable as `hosts` (names or addresses).
    ///
    /// # Errors
    /// When a host is neither a name nor an address.
    pub fn issue(&self, name: &str, hosts: &[String]) -> Result<Issued> {
        let mut params = CertificateParams::default();
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, name);
        params.distinguished_name = subject;
        for host in hosts {
            params.subject_alt_names.push(match host.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(
                    host.as_str().try_into().map_err(|e| broken(&format!("the host {host}"), e))?,
                ),
            });
        }
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let pair = KeyPair::generate().map_err(|e| broken("a new key", e))?;
        let cert = params
            .signed_by(&pair, &self.issuer)
            .map_err(|e| broken(&format!("a certificate for {name}"), e))?;
        Ok(Issued { cert: cert.pem(), key: pair.serialize_pem() })
    }

    /// The files of a certificate that is issued once and kept.
    ///
    /// # Errors
    /// When they can be neither read nor made.
    pub fn issued_files(&self, name: &str, hosts: &[String]) -> Result<(PathBuf, PathBuf)> {
        let (cert, key) =
            (self.dir.join(format!("{name}.pem")), self.dir.join(format!("{name}.key")));
        if !cert.exists() || !key.exists() {
            let issued = self.issue(name, hosts)?;
            write_private(&key, &issued.key)?;
            write_private(&cert, &issued.cert)?;
        }
        Ok((cert, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ca_stays_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::open_or_make(dir.path()).unwrap().cert().unwrap();
        let again = Authority::open_or_make(dir.path()).unwrap();
        assert_eq!(again.cert().unwrap(), first);
        let issued = again.issue("n1", &["localhost".into(), "127.0.0.1".into()]).unwrap();
        assert!(issued.cert.contains("BEGIN CERTIFICATE"));
    }
}
