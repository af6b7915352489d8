//! Argon2id in PHC form. Slow on purpose: call it in [`base::World::blocking`] only.

use argon2::{Algorithm, Argon2, Params, Version};
use base::{Error, Result, Secret};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

use crate::config::HashCost;

const LENGTH: usize = 32;

/// Hashes a password.
pub(crate) fn hash(password: &Secret, salt: [u8; 16], cost: HashCost) -> Result<String> {
    let hash = compute(password, &salt, cost)
        .ok_or_else(|| Error::internal("the cost of password hashes is set to what cannot be"))?;
    Ok(format!(
        "$argon2id$v=19$m={},t={},p={}${}${}",
        cost.memory_kib,
        cost.passes,
        cost.lanes,
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(hash)
    ))
}

/// Whether a password has this hash. A hash that cannot be read is of no password.
pub(crate) fn verify(password: &Secret, encoded: &str) -> bool {
    let Some((salt, hash, cost)) = parse(encoded) else { return false };
    let Some(found) = compute(password, &salt, cost) else { return false };
    hash.len() == LENGTH && hash.iter().zip(&found).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
}

fn compute(password: &Secret, salt: &[u8], cost: HashCost) -> Option<[u8; LENGTH]> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(LENGTH)).ok()?;
    let mut out = [0; LENGTH];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.expose().as_bytes(), salt, &mut out)
        .ok()?;
    Some(out)
}

fn parse(encoded: &str) -> Option<(Vec<u8>, Vec<u8>, HashCost)> {
    let mut parts = encoded.strip_prefix("$argon2id$v=19$")?.split('$');
    let (params, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
    let mut numbers = params
        .split(',')
        .zip(["m=", "t=", "p="])
        .map(|(text, name)| text.strip_prefix(name).and_then(|number| number.parse::<u32>().ok()));
    let mut next = || numbers.next().flatten();
    let cost = HashCost { memory_kib: next()?, passes: next()?, lanes: next()? };
    Some((STANDARD_NO_PAD.decode(salt).ok()?, STANDARD_NO_PAD.decode(hash).ok()?, cost))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: HashCost = HashCost { memory_kib: 8, passes: 1, lanes: 1 };

    #[test]
    fn verifies_its_own_and_nothing_else() {
        let encoded = hash(&Secret::new("right"), [1; 16], CHEAP).expect("hash");
        assert!(verify(&Secret::new("right"), &encoded));
        assert!(!verify(&Secret::new("wrong"), &encoded));
        assert!(!verify(&Secret::new(""), &encoded));
        for broken in ["", "$argon2id$v=19$", "x", &encoded[..encoded.len() - 4]] {
            assert!(!verify(&Secret::new("right"), broken), "{broken}");
        }
    }
}
