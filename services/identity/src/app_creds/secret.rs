//! Secrets of application credentials. One that we made is 512 random bits, so a plain hash keeps it and
//! checking it is quick; one that the user chose is kept like a password.

use base::{Result, Secret, World};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::record::AppSecret;
use crate::Identity;

/// Makes a secret.
pub(crate) fn generate(world: &World) -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(world.random::<64>()))
}

/// What is kept of a secret that we made.
pub(crate) fn keep_random(secret: &Secret) -> AppSecret {
    AppSecret::Random(URL_SAFE_NO_PAD.encode(Sha256::digest(secret.expose().as_bytes())))
}

/// What is kept of a secret that its user chose.
pub(crate) async fn keep_chosen(identity: &Identity, secret: &Secret) -> Result<AppSecret> {
    identity.check_new_password(secret)?;
    identity.hash(secret).await.map(AppSecret::Chosen)
}

/// Whether this is the secret.
pub(crate) async fn matches(identity: &Identity, kept: &AppSecret, given: &Secret) -> bool {
    match kept {
        AppSecret::Random(_) => Secret::new(text(&keep_random(given))) == Secret::new(text(kept)),
        AppSecret::Chosen(hash) => {
            let fits = given.expose().len() <= identity.config().password_max_length;
            fits && identity.verify(given, vec![hash.clone()]).await.is_some()
        }
    }
}

fn text(kept: &AppSecret) -> &str {
    match kept {
        AppSecret::Random(text) | AppSecret::Chosen(text) => text,
    }
}
