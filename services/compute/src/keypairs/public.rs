//! Public keys that clients send: whether they are such, and their fingerprints.

use base::{Error, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use md5::{Digest, Md5};
use sha1::Sha1;

use super::Kind;

/// The longest key that is taken; RSA with 16,384 bits has less than 3 KiB.
const LONGEST: usize = 16 * 1024;

fn invalid(why: &str) -> Error {
    Error::bad_request(format!("Keypair data is invalid: {why}"))
}

/// The fingerprint of a key that was sent.
///
/// # Errors
/// `BadRequest` in Nova's words when it is no key of that kind.
pub(super) fn fingerprint(kind: Kind, key: &str) -> Result<String> {
    let refuse = || match kind {
        Kind::Ssh => invalid("failed to generate fingerprint"),
        Kind::X509 => invalid(
            "failed to generate X509 fingerprint. Error message: the certificate cannot be read",
        ),
    };
    if key.len() > LONGEST {
        return Err(refuse());
    }
    match kind {
        Kind::Ssh => ssh(key).map(|blob| colons(&Md5::digest(&blob))),
        Kind::X509 => certificate(key).map(|der| colons(&Sha1::digest(&der))),
    }
    .ok_or_else(refuse)
}

fn colons(bytes: &[u8]) -> String {
    let parts: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    parts.join(":")
}

/// The bytes of an SSH public key in a line: `ssh-rsa AAAA… comment`.
fn ssh(line: &str) -> Option<Vec<u8>> {
    let mut words = line.split([' ', '\t']);
    let (kind, text) = (words.next()?, words.next()?);
    let blob = BASE64_STANDARD.decode(text.trim_end()).ok()?;
    let mut rest = blob.as_slice();
    if field(&mut rest)? != kind.as_bytes() {
        return None;
    }
    let fine = match kind {
        "ssh-rsa" => {
            let (exponent, modulus) = (positive(&mut rest)?, positive(&mut rest)?);
            exponent.len() <= 8 && (64..=2049).contains(&modulus.len())
        }
        "ssh-ed25519" => field(&mut rest)?.len() == 32,
        "sk-ssh-ed25519@openssh.com" => {
            field(&mut rest)?.len() == 32 && !field(&mut rest)?.is_empty()
        }
        "ecdsa-sha2-nistp256" => point(&mut rest, b"nistp256", 65)?,
        "ecdsa-sha2-nistp384" => point(&mut rest, b"nistp384", 97)?,
        "ecdsa-sha2-nistp521" => point(&mut rest, b"nistp521", 133)?,
        "sk-ecdsa-sha2-nistp256@openssh.com" => {
            point(&mut rest, b"nistp256", 65)? && !field(&mut rest)?.is_empty()
        }
        _ => false,
    };
    (fine && rest.is_empty()).then_some(blob)
}

/// The next field: a length of four bytes and as many bytes.
fn field<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (field, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(field)
}

/// A number above zero.
fn positive<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let number = field(rest)?;
    let negative = number.first().is_none_or(|byte| byte & 0x80 != 0);
    (!negative && number.iter().any(|byte| *byte != 0)).then_some(number)
}

/// A curve's name and an uncompressed point on it.
fn point(rest: &mut &[u8], curve: &[u8], length: usize) -> Option<bool> {
    let (named, point) = (field(rest)?, field(rest)?);
    Some(named == curve && point.len() == length && point.first() == Some(&4))
}

/// The bytes of a certificate in PEM.
fn certificate(pem: &str) -> Option<Vec<u8>> {
    let (_, after) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = after.split_once("-----END CERTIFICATE-----")?;
    let text: String = body.split_ascii_whitespace().collect();
    let der = BASE64_STANDARD.decode(text).ok()?;
    // A sequence of what is signed, how, and the signature.
    let (0x30, content, []) = element(&der)? else { return None };
    let (0x30, signed, rest) = element(content)? else { return None };
    let (0x30, _, rest) = element(rest)? else { return None };
    let (0x03, _, []) = element(rest)? else { return None };
    (!signed.is_empty()).then_some(der)
}

/// The first DER element: its tag, its content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if length >= 0x80 {
        let (bytes, after) = rest.split_at_checked(length & 0x7f)?;
        if bytes.is_empty() || bytes.len() > 3 {
            return None;
        }
        length = bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCsNe3/1ILNCqFyfYWDeTKLD6jEXC2OQHLmietMWW+/vd\
        aZq7KZEwO0jhglaFjU1mpqq4Gz5RX156sCTNM9vRbwKAxfsdF9laBYVsex3m3Wmui3uYrKyumsoJn2g9GNnG1PI1mrVjZ61i0GY3khna+\
        wzlTpCCmy5HNlrmbj3XLqBUpipTOXmsnr4sChzC53KCd8LXuwc1i/CZPvF+3XipvAgFSE53pCtLOeB1kYMOBaiUPLQTWXR3JpckqFIQwhI\
        H0zoHlJvZE8hh90XcPojYN56tI0OlrGqojbediJYD0rUsJu4weZpbn8vilb3JuDY+jwssnSA8wzBx3A/8y9Pp1B nova@ubuntu";
    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn real_keys() {
        assert_eq!(
            fingerprint(Kind::Ssh, RSA).unwrap(),
            "61:5f:fe:c7:e0:fd:d7:4a:2b:52:6e:a6:f5:bf:da:27"
        );
        assert_eq!(fingerprint(Kind::Ssh, ED25519).unwrap().len(), 47);
        assert!(fingerprint(Kind::Ssh, &format!("{ED25519}\n")).is_ok());
    }

    #[test]
    fn no_keys() {
        let zeros = format!("ssh-rsa {} openstack@ubuntu", "A".repeat(2048));
        let twice = format!("{} {}", ED25519, RSA).replace("ssh-ed25519", "ssh-rsa");
        let cut = &ED25519[..ED25519.len() - 8];
        for key in [" ", "", "ssh-rsa", "ssh-rsa JUNK nova@ubuntu", &zeros, &twice, cut] {
            let error = fingerprint(Kind::Ssh, key).unwrap_err();
            assert_eq!(
                error.message(),
                "Keypair data is invalid: failed to generate fingerprint",
                "{key}"
            );
        }
        assert!(fingerprint(Kind::Ssh, &format!("{ED25519}{}", "A".repeat(20_000))).is_err());
        for pem in ["", RSA, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"] {
            assert!(fingerprint(Kind::X509, pem).is_err(), "{pem}");
        }
    }

    proptest! {
        #[test]
        fn noise_is_borne(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = BASE64_STANDARD.encode(&bytes);
            let _any = fingerprint(Kind::Ssh, &format!("ssh-rsa {text}"));
            let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----");
            let _any = fingerprint(Kind::X509, &pem);
        }
    }
}
