//! Passwords: hashed off the async threads, a bounded number at once; a log-in takes as long for a user
//! who does not exist. Guards: the password's own record, whose id is the user's.
//!
//! ```text
//! set -> valid -> (expires) expired -> set
//!          | wrong n times -> locked -> (time) valid      (off by default)
//! ```

mod hash;
pub mod record;

use base::{Error, Result, Secret, Timestamp};
use state::{Entry, Snapshot, Txn};

use crate::{
    Identity,
    config::{Compliance, Config},
    tokens::revoke,
    users::record::User,
    words,
};
use record::Password;

/// What a password is checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To log in: an expired one does not do.
    LogIn,
    /// To set another one: an expired one does.
    Change,
}

const DAY: u64 = 24 * 3600;

impl Identity {
    /// Hashes a password that was checked for its length.
    pub(crate) async fn hash(&self, password: &Secret) -> Result<String> {
        let _turn = self.hashing_turn().await;
        let (password, cost) = (password.clone(), self.config().hash_cost);
        let salt = self.world().random();
        self.world().blocking(move || hash::hash(&password, salt, cost)).await
    }

    /// Whether a password has one of these hashes; takes as long when there are none.
    pub(crate) async fn verify(&self, password: &Secret, hashes: Vec<String>) -> Option<usize> {
        let _turn = self.hashing_turn().await;
        let (password, cost) = (password.clone(), self.config().hash_cost);
        let blocking = move || {
            if hashes.is_empty() {
                let _as_long = hash::hash(&password, [0; 16], cost);
            }
            hashes.iter().position(|encoded| hash::verify(&password, encoded))
        };
        self.world().blocking(blocking).await
    }

    /// Checks a user's password; none: there is no such user. Any failure is the same 401.
    pub(crate) async fn check_password(
        &self,
        snapshot: &Snapshot,
        user: Option<&Entry<User>>,
        password: &Secret,
        purpose: Purpose,
    ) -> Result<()> {
        let kept = user.and_then(|user| snapshot.get::<Password>(&user.id));
        let locked = match (user, &kept) {
            (Some(user), Some(kept)) => self.is_locked(user, kept),
            _ => false,
        };
        let fits = password.expose().len() <= self.config().password_max_length;
        let hashes = match &kept {
            Some(kept) if !locked && fits => vec![kept.hash.clone()],
            _ => Vec::new(),
        };
        let tried = if fits { password.clone() } else { Secret::default() };
        let right = self.verify(&tried, hashes).await.is_some();
        let (Some(user), Some(kept)) = (user, kept) else { return Err(words::unauthorized()) };
        if locked {
            return Err(words::unauthorized());
        }
        self.note_try(user, &kept, right).await?;
        if !right || !user.enabled {
            return Err(words::unauthorized());
        }
        let expired = kept.expires.is_some_and(|end| end <= self.world().wall());
        if expired && purpose == Purpose::LogIn && !user.option("ignore_password_expiry") {
            return Err(Error::unauthorized(format!(
                "The password is expired and needs to be changed for user: {}.",
                user.id
            )));
        }
        Ok(())
    }

    fn is_locked(&self, user: &User, kept: &Password) -> bool {
        let Compliance { lockout_failures: Some(most), lockout_duration, .. } =
            &self.config().compliance
        else {
            return false;
        };
        let recent = kept.failed.is_some_and(|at| self.world().wall() < at.plus(*lockout_duration));
        !user.option("ignore_lockout_failure_attempts") && kept.failures >= *most && recent
    }

    /// Counts wrong tries, if the operator wants accounts to lock.
    async fn note_try(&self, user: &Entry<User>, kept: &Password, right: bool) -> Result<()> {
        let Some(most) = self.config().compliance.lockout_failures else { return Ok(()) };
        if right && kept.failures == 0 {
            return Ok(());
        }
        let id = user.id.clone();
        let hash = kept.hash.clone();
        let duration = self.config().compliance.lockout_duration;
        self.state()
            .transact("passwords::note_try", move |txn| {
                let now = txn.now();
                txn.update::<Password, ()>(&id, |password| {
                    // A password set meanwhile is not to blame for tries of the old one.
                    if password.hash == hash {
                        let over = password.failed.is_none_or(|at| now >= at.plus(duration));
                        let before =
                            if over && password.failures >= most { 0 } else { password.failures };
                        password.failures = if right { 0 } else { before + 1 };
                        password.failed = (!right).then_some(now);
                    }
                    Ok(())
                })
            })
            .await?;
        Ok(())
    }

    /// Refuses what cannot be a password.
    pub(crate) fn check_new_password(&self, password: &Secret) -> Result<()> {
        let most = self.config().password_max_length;
        if password.expose().len() > most {
            return Err(words::refused(format!(
                "The password length must be less than or equal to {most}. The server could not \
                 comply with the request because the password is invalid."
            )));
        }
        Ok(())
    }
}

/// Sets a user's password within a transaction; `hash` was made before. All its tokens end.
pub(crate) fn set(
    txn: &mut Txn,
    config: &Config,
    user_id: &str,
    hash: String,
    self_service: bool,
) -> Result<()> {
    let rules = &config.compliance;
    let now = txn.now();
    let old = txn.get::<Password>(user_id)?;
    let user = txn.peek::<User>(user_id)?;
    let mut earlier = Vec::new();
    if let Some(old) = &old
        && rules.unique_last_passwords > 0
    {
        earlier.push(old.hash.clone());
        earlier.extend(old.earlier.iter().cloned());
        earlier.truncate(rules.unique_last_passwords as usize - 1);
    }
    let first_use = rules.change_upon_first_use
        && !self_service
        && !user.as_ref().is_some_and(|u| u.option("ignore_change_password_upon_first_use"));
    let expires = if first_use { Some(now) } else { expiry(rules, now) };
    let password =
        Password { hash, since: now, expires, self_service, earlier, failures: 0, failed: None };
    txn.put(user_id, password)?;
    if old.is_some() {
        revoke::revoke(txn, config, revoke::Of::User(user_id))?;
    }
    Ok(())
}

fn expiry(rules: &Compliance, now: Timestamp) -> Option<Timestamp> {
    let days = rules.password_expires_days?;
    Some(now.plus(std::time::Duration::from_secs(u64::from(days) * DAY)))
}

/// How long a password that its user set must still stay; none: it may be changed now.
pub(crate) fn too_young(rules: &Compliance, kept: &Password, now: Timestamp) -> Option<u64> {
    let least = u64::from(rules.password_minimum_age_days) * DAY;
    let left = least.checked_sub(now.since(kept.since).as_secs())?;
    (kept.self_service && left > 0).then(|| left.div_ceil(DAY))
}
