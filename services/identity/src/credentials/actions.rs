//! What can be done to credentials. Each is one transaction; ids and sealed blobs are made outside.

use base::{Error, Result};
use sha2::{Digest, Sha256};
use state::{Entry, Txn};

use super::record::Credential;
use crate::{Identity, users::record::User, words};

/// The id of the credential of an EC2 access key.
pub(crate) fn ec2_id(access: &str) -> String {
    Sha256::digest(access.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes a credential.
pub(crate) fn create(txn: &mut Txn, id: &str, credential: Credential) -> Result<()> {
    if txn.alive::<User>(&credential.user_id)?.is_none() {
        return Err(Error::bad_request(
            words::not_found("user", &credential.user_id).message().to_owned(),
        ));
    }
    if txn.get::<Credential>(id)?.is_some() {
        return Err(words::conflict("credential", format!("Duplicate entry found with ID {id}")));
    }
    txn.create(id, credential)
}

impl Identity {
    /// Seals a blob for the credential of this id.
    pub(crate) fn seal_blob(&self, id: &str, blob: &str) -> Result<String> {
        self.sealer().seal(&place(id), "blob", blob.as_bytes())
    }

    /// What is in a credential.
    pub(crate) fn open_blob(&self, credential: &Entry<Credential>) -> Result<String> {
        let blob = self.sealer().unseal(&place(&credential.id), "blob", &credential.blob)?;
        String::from_utf8(blob)
            .map_err(|error| Error::internal("a credential is no text").with_source(error))
    }
}

fn place(id: &str) -> String {
    format!("identity.credentials/{id}")
}
