//! Long texts that servers of one request share: kept until the last of them is gone.

use base::Result;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope, State, Txn};

use super::{create::BLOBS, record::Text};

/// How many servers use a blob. Its id: the blob's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobUsers {
    /// So many.
    pub users: u32,
}

impl Record for BlobUsers {
    const TABLE: &'static str = "compute.blob_users";
    const SCOPE: Scope = Scope::Cell;
    const INDEXES: &'static [Index<Self>] = &[];
}

/// Keeps a text for so many servers.
pub(super) fn put(txn: &mut Txn, name: &str, text: Bytes, users: u32) -> Result<()> {
    txn.create(name, BlobUsers { users })?;
    txn.put_blob(BLOBS, name, text);
    Ok(())
}

/// One server uses it no more.
pub(super) fn let_go(txn: &mut Txn, text: Option<&Text>) -> Result<()> {
    let Some(Text::Blob(name)) = text else { return Ok(()) };
    let Some(users) = txn.get::<BlobUsers>(name)? else { return Ok(()) };
    if users.users > 1 {
        return txn.put(name, BlobUsers { users: users.users - 1 });
    }
    txn.delete::<BlobUsers>(name)?;
    txn.delete_blob(BLOBS, name);
    Ok(())
}

/// The text itself; none when there is none (any more).
pub(super) async fn read(state: &State, text: Option<&Text>) -> Result<Option<String>> {
    Ok(match text {
        None => None,
        Some(Text::Here(text)) => Some(text.clone()),
        Some(Text::Blob(name)) => {
            let bytes = state.blob(BLOBS, name).await?;
            bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        }
    })
}
