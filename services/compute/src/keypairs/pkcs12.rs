//! A private key and its certificate as one PKCS #12 file with an empty password, as Windows imports it.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const KEY_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x01];
const CERTIFICATE_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x03];
const X509: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const ROUNDS: u16 = 2048;

/// The file. `key` is PKCS #8, `salt` random.
pub(super) fn file(key: &[u8], certificate: &[u8], salt: [u8; 16]) -> Vec<u8> {
    let certificate = sequence(&[object(X509), explicit(&tagged(0x04, certificate))]);
    let certificates = bag(CERTIFICATE_BAG, &certificate);
    let keys = bag(KEY_BAG, key);
    let safe = sequence(&[data(&sequence(&[certificates])), data(&sequence(&[keys]))]);
    let seal = seal(&safe, &salt);
    let algorithm = sequence(&[object(SHA256), tagged(0x05, &[])]);
    let digest = sequence(&[algorithm, tagged(0x04, &seal)]);
    let mac = sequence(&[digest, tagged(0x04, &salt), tagged(0x02, &ROUNDS.to_be_bytes())]);
    sequence(&[tagged(0x02, &[3]), data(&safe), mac])
}

fn data(content: &[u8]) -> Vec<u8> {
    sequence(&[object(DATA), explicit(&tagged(0x04, content))])
}

fn bag(kind: &[u8], content: &[u8]) -> Vec<u8> {
    sequence(&[object(kind), explicit(content)])
}

fn object(id: &[u8]) -> Vec<u8> {
    tagged(0x06, id)
}

fn explicit(content: &[u8]) -> Vec<u8> {
    tagged(0xa0, content)
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tagged(0x30, &parts.concat())
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    let length = length.get(zeros..).unwrap_or_default();
    match length {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(content);
    out
}

/// The sum that shows that nothing was changed, under a key made from the empty password: RFC 7292, B.2.
fn seal(safe: &[u8], salt: &[u8; 16]) -> Vec<u8> {
    // 64 bytes that say what the key is for, the salt as often as it fits into 64, and so the password,
    // which is two zeros.
    let mut key = Sha256::new();
    key.update([3; 64]);
    for _ in 0..4 {
        key.update(salt);
    }
    key.update([0; 64]);
    let mut key = key.finalize();
    for _ in 1..ROUNDS {
        key = Sha256::digest(key);
    }
    // A key of any length is taken.
    match Hmac::<Sha256>::new_from_slice(&key) {
        Ok(mut mac) => {
            mac.update(safe);
            mac.finalize().into_bytes().to_vec()
        }
        Err(_) => Vec::new(),
    }
}
