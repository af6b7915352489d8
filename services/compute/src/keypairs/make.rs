//! Makes key pairs for clients that ask for a private key: RSA with 2048 bits, as Nova does. Takes up to a
//! second of work: called off the async threads.

use base::{Error, Result, Timestamp};
use base64::{Engine, prelude::BASE64_STANDARD};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, OtherNameValue, PKCS_RSA_SHA256,
    SanType, date_time_ymd,
};
use rsa::{
    RsaPrivateKey,
    pkcs1::EncodeRsaPrivateKey,
    pkcs8::{EncodePrivateKey, LineEnding},
    traits::PublicKeyParts,
};

use super::{Kind, pkcs12, public};

const BITS: usize = 2048;
/// The object of a principal's name in a certificate.
const PRINCIPAL: [u64; 10] = [1, 3, 6, 1, 4, 1, 311, 20, 2, 3];

/// A key pair that was made.
pub(super) struct Made {
    pub(super) private_key: String,
    pub(super) public_key: String,
    pub(super) fingerprint: String,
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::internal("a key pair could not be made").with_source(error)
}

/// A new pair from a random seed.
pub(super) fn make(kind: Kind, user: &str, now: Timestamp, seed: [u8; 32]) -> Result<Made> {
    let mut random = ChaCha20Rng::from_seed(seed);
    let key = RsaPrivateKey::new(&mut random, BITS).map_err(failed)?;
    let (private_key, public_key) = match kind {
        Kind::Ssh => {
            let pem = key.to_pkcs1_pem(LineEnding::LF).map_err(failed)?;
            let public = ssh(&key.e_bytes(), &key.n_bytes());
            (pem.to_string(), format!("ssh-rsa {public} Generated-by-Nova"))
        }
        Kind::X509 => {
            use rand::Rng;
            let der = key.to_pkcs8_der().map_err(failed)?;
            let (pem, certificate) = certificate(der.as_bytes(), user, now)?;
            let mut salt = [0; 16];
            random.fill_bytes(&mut salt);
            let file = pkcs12::file(der.as_bytes(), &certificate, salt);
            (BASE64_STANDARD.encode(file), pem)
        }
    };
    let fingerprint = public::fingerprint(kind, &public_key)?;
    Ok(Made { private_key, public_key, fingerprint })
}

/// An RSA key as SSH has it.
fn ssh(exponent: &[u8], modulus: &[u8]) -> String {
    let mut blob = Vec::new();
    let mut add = |number: bool, bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let bytes = bytes.get(zeros..).unwrap_or_default();
        // A number whose first bit is set would be below zero.
        let sign = number && bytes.first().is_some_and(|byte| byte & 0x80 != 0);
        let length = u32::try_from(bytes.len() + usize::from(sign)).unwrap_or(u32::MAX);
        blob.extend_from_slice(&length.to_be_bytes());
        blob.extend(sign.then_some(0));
        blob.extend_from_slice(bytes);
    };
    add(false, b"ssh-rsa");
    add(true, exponent);
    add(true, modulus);
    BASE64_STANDARD.encode(blob)
}

/// A certificate for logging in to Windows as that user, for ten years: PEM and DER.
fn certificate(key: &[u8], user: &str, now: Timestamp) -> Result<(String, Vec<u8>)> {
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key);
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_RSA_SHA256).map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    let principal = OtherNameValue::Utf8String(format!("{user}@localhost"));
    params.subject_alt_names = vec![SanType::OtherName((PRINCIPAL.to_vec(), principal))];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let year = now.iso().get(..4).and_then(|year| year.parse().ok()).unwrap_or(2026);
    params.not_before = date_time_ymd(year - 1, 12, 31);
    params.not_after = date_time_ymd(year + 10, 12, 31);
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.pem(), certificate.der().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_keys_are_keys() {
        let now = Timestamp::from_micros(1_790_000_000_000_000);
        let made = make(Kind::Ssh, "u", now, [7; 32]).unwrap();
        assert!(made.private_key.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        assert!(made.public_key.starts_with("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ"));
        assert_eq!(made.fingerprint, public::fingerprint(Kind::Ssh, &made.public_key).unwrap());
        let again = make(Kind::Ssh, "u", now, [7; 32]).unwrap();
        assert_eq!(made.public_key, again.public_key, "one seed, one key");
        let made = make(Kind::X509, "u", now, [8; 32]).unwrap();
        assert!(made.public_key.starts_with("-----BEGIN CERTIFICATE-----"));
        assert_eq!(made.fingerprint.len(), 59);
        let file = BASE64_STANDARD.decode(&made.private_key).unwrap();
        // A sequence as long as the file says, version 3 first.
        let length = usize::from(file[2]) << 8 | usize::from(file[3]);
        assert_eq!((file[0], file[1], file.len()), (0x30, 0x82, length + 4));
        assert_eq!(file[4..7], [2, 1, 3]);
    }
}
