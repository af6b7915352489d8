//! What can be done to trusts. Each is one transaction.

use base::Result;

use super::record::Trust;
use crate::{Identity, words};

/// Counts one use.
pub(crate) async fn consume(identity: &Identity, id: &str) -> Result<()> {
    let owned = id.to_owned();
    identity
        .state()
        .transact("trusts::consume", move |txn| {
            let Some(trust) = txn.get::<Trust>(&owned)? else {
                return Err(words::unauthorized());
            };
            match trust.remaining_uses {
                None => Ok(()),
                Some(0) => Err(words::refused(format!("No remaining uses for trust: {owned}."))),
                Some(left) => {
                    txn.update::<Trust, ()>(&owned, |trust| {
                        trust.remaining_uses = Some(left - 1);
                        Ok(())
                    })?;
                    Ok(())
                }
            }
        })
        .await
}
