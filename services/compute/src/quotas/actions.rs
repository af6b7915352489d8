//! Taking from a quota and giving back, inside the transaction that makes or deletes what is counted.

use base::{Error, Result};
use state::{Snapshot, Txn};

use super::{
    QuotaClassRecord, QuotaRecord, Resource, Set,
    record::{Limits, UsageRecord, user_usage_id},
};

/// What an action adds to a project's use. The counters' own shape.
pub type Delta = UsageRecord;

const OF_SERVERS: [Resource; 3] = [Resource::Cores, Resource::Instances, Resource::Ram];

/// Takes `delta` for servers: on success it is counted for the project and for the user in it.
///
/// # Errors
/// `OverQuota` with Nova's text when a limit of the project or of the user would be passed.
pub fn take(txn: &mut Txn, project: &str, user: &str, delta: &Delta) -> Result<()> {
    let standing = Standing::of(txn, project, user)?;
    let overs = standing.overs(delta);
    if !overs.is_empty() {
        return Err(standing.too_many(&overs, delta, None));
    }
    standing.add(txn, delta)
}

/// Takes `each` as often as the limits allow, at least `min` and at most `max` times, and says how often.
///
/// # Errors
/// `OverQuota` with Nova's text when `min` times are too many.
pub fn take_up_to(
    txn: &mut Txn,
    project: &str,
    user: &str,
    each: &Delta,
    min: u32,
    max: u32,
) -> Result<u32> {
    let standing = Standing::of(txn, project, user)?;
    let all = each.times(i64::from(max));
    let overs = standing.overs(&all);
    if overs.is_empty() {
        standing.add(txn, &all)?;
        return Ok(max);
    }
    let room = standing.room(each).min(i64::from(max));
    match u32::try_from(room) {
        Ok(room) if room > 0 && room >= min => {
            standing.add(txn, &each.times(i64::from(room)))?;
            Ok(room)
        }
        _ => Err(standing.too_many(&overs, &all, Some((min, max)))),
    }
}

/// Gives back what was taken, whatever the limits are now.
///
/// # Errors
/// `Internal` when more is given back than was taken: the counters stay as they are.
pub fn give_back(txn: &mut Txn, project: &str, user: &str, delta: &Delta) -> Result<()> {
    count(txn, project, &delta.times(-1))?;
    count(txn, &user_usage_id(project, user), &delta.times(-1))
}

/// Moves servers' use from one size to another (resize): growth must fit, shrinking always does.
///
/// # Errors
/// `OverQuota` with Nova's text when the growth does not fit.
pub fn change(txn: &mut Txn, project: &str, user: &str, from: &Delta, to: &Delta) -> Result<()> {
    let difference = Delta {
        instances: to.instances - from.instances,
        cores: to.cores - from.cores,
        ram: to.ram - from.ram,
        server_groups: to.server_groups - from.server_groups,
    };
    take(txn, project, user, &difference)
}

/// Takes one server group.
///
/// # Errors
/// `OverQuota` with Nova's text.
pub fn take_server_group(txn: &mut Txn, project: &str, user: &str) -> Result<()> {
    let standing = Standing::of(txn, project, user)?;
    let one = Delta { server_groups: 1, ..Delta::default() };
    if standing.is_over(Resource::ServerGroups, &one).is_some() {
        return Err(Error::over_quota("Quota exceeded, too many server groups."));
    }
    standing.add(txn, &one)
}

/// The limit of what is counted per thing and not per project (metadata items, key pairs, …): the
/// lower of the project's and the user's, as the commit must find it; -1 is none.
///
/// # Errors
/// `Unavailable` when the limits cannot be read.
pub fn limit(txn: &mut Txn, project: &str, user: &str, resource: Resource) -> Result<i64> {
    Ok(lower(&Limits::held(txn, project)?, user, resource))
}

/// As [`limit`], from a snapshot.
///
/// # Errors
/// `Unavailable` when the limits cannot be read.
pub fn limit_seen(
    snapshot: &Snapshot,
    project: &str,
    user: &str,
    resource: Resource,
) -> Result<i64> {
    Ok(lower(&Limits::seen(snapshot, project)?, user, resource))
}

/// Sets limits of a project, or of a user in it, and gives those that hold then. Unless forced: a
/// project's are not below what is used or given to its users, a user's not beyond what the project has
/// left.
///
/// # Errors
/// `BadRequest` with Nova's text.
pub(super) fn set(
    txn: &mut Txn,
    project: &str,
    user: Option<&str>,
    wanted: &Set,
    force: bool,
) -> Result<Limits> {
    let limits = Limits::held(txn, project)?;
    if !force {
        let id = user.map_or_else(|| project.to_owned(), |user| user_usage_id(project, user));
        let used = txn.get::<UsageRecord>(&id)?.map(|used| *used).unwrap_or_default();
        for (name, limit) in wanted {
            let Some(resource) = Resource::named(name) else { continue };
            let (least, most) = settable(&limits, &used, user, resource);
            check(resource, *limit, least, most)?;
        }
    }
    if !wanted.is_empty() {
        let mut quota =
            txn.get::<QuotaRecord>(project)?.map(|q| QuotaRecord::clone(&q)).unwrap_or_default();
        let set = match user {
            Some(user) => quota.users.entry(user.to_owned()).or_default(),
            None => &mut quota.limits,
        };
        set.extend(wanted.iter().map(|(name, limit)| (name.clone(), *limit)));
        txn.put(project, quota)?;
    }
    Limits::held(txn, project)
}

/// The least and the most that may be set; -1 is no bound.
fn settable(
    limits: &Limits,
    used: &UsageRecord,
    user: Option<&str>,
    resource: Resource,
) -> (i64, i64) {
    let limit = limits.project(resource);
    let given = limits.given_to_users(resource);
    match user {
        None if limit < 0 => (used.of(resource).max(-1), -1),
        None => (given.max(used.of(resource)), -1),
        Some(user) => {
            let left = limit.saturating_sub(given);
            let own = limits.set_for_user(user, resource).unwrap_or(0);
            let most = if left < 0 || own < 0 { -1 } else { left.saturating_add(own) };
            (used.of(resource), most)
        }
    }
}

fn check(resource: Resource, limit: i64, least: i64, most: i64) -> Result<()> {
    let number = |limit: i64| if limit < 0 { i64::MAX } else { limit };
    let name = resource.name();
    if number(limit) < number(least) {
        return Err(Error::bad_request(format!(
            "Quota limit {limit} for {name} must be greater than or equal to already used and reserved \
             {least}."
        )));
    }
    if number(limit) > number(most) {
        return Err(Error::bad_request(format!(
            "Quota limit {limit} for {name} must be less than or equal to {most}."
        )));
    }
    Ok(())
}

/// Takes back what was set for a project and its users, or for one user in it.
pub(super) fn unset(txn: &mut Txn, project: &str, user: Option<&str>) -> Result<()> {
    let Some(quota) = txn.get::<QuotaRecord>(project)? else { return Ok(()) };
    let mut quota = QuotaRecord::clone(&quota);
    match user {
        None => quota = QuotaRecord::default(),
        Some(user) => drop(quota.users.remove(user)),
    }
    if quota == QuotaRecord::default() {
        txn.delete::<QuotaRecord>(project)?;
        Ok(())
    } else {
        txn.put(project, quota)
    }
}

/// Sets limits of a class, and gives all that are set then.
pub(super) fn set_class(txn: &mut Txn, class: &str, wanted: &Set) -> Result<Set> {
    let found = txn.get::<QuotaClassRecord>(class)?;
    let mut limits = found.map(|class| class.limits.clone()).unwrap_or_default();
    if !wanted.is_empty() {
        limits.extend(wanted.iter().map(|(name, limit)| (name.clone(), *limit)));
        txn.put(class, QuotaClassRecord { limits: limits.clone() })?;
    }
    Ok(limits)
}

fn lower(limits: &Limits, user: &str, resource: Resource) -> i64 {
    match (limits.project(resource), limits.user(user, resource)) {
        (project, user) if user < 0 => project,
        (project, user) if project < 0 => user,
        (project, user) => project.min(user),
    }
}

/// A project's limits and use, and one user's, as the commit must find them.
struct Standing<'a> {
    project: &'a str,
    user: &'a str,
    limits: Limits,
    used: UsageRecord,
    used_by_user: UsageRecord,
}

impl<'a> Standing<'a> {
    fn of(txn: &mut Txn, project: &'a str, user: &'a str) -> Result<Standing<'a>> {
        let limits = Limits::held(txn, project)?;
        let used = txn.get::<UsageRecord>(project)?.map(|used| *used).unwrap_or_default();
        let by_user = txn.get::<UsageRecord>(&user_usage_id(project, user))?;
        let used_by_user = by_user.map(|used| *used).unwrap_or_default();
        Ok(Standing { project, user, limits, used, used_by_user })
    }

    /// The limit that would be passed and what is used of it.
    fn is_over(&self, resource: Resource, delta: &Delta) -> Option<(i64, i64)> {
        let more = delta.of(resource);
        let over = |limit: i64, used: i64| {
            (more > 0 && limit >= 0 && used.saturating_add(more) > limit).then_some((limit, used))
        };
        over(self.limits.project(resource), self.used.of(resource))
            .or_else(|| over(self.limits.user(self.user, resource), self.used_by_user.of(resource)))
    }

    fn overs(&self, delta: &Delta) -> Vec<(Resource, (i64, i64))> {
        OF_SERVERS
            .into_iter()
            .filter_map(|resource| Some((resource, self.is_over(resource, delta)?)))
            .collect()
    }

    /// How often `each` still fits.
    fn room(&self, each: &Delta) -> i64 {
        let fits = |limit: i64, used: i64, each: i64| {
            if limit < 0 || each <= 0 { i64::MAX } else { (limit - used).max(0) / each }
        };
        OF_SERVERS
            .into_iter()
            .map(|resource| {
                let project = self.limits.project(resource);
                let user = self.limits.user(self.user, resource);
                let each = each.of(resource);
                fits(project, self.used.of(resource), each).min(fits(
                    user,
                    self.used_by_user.of(resource),
                    each,
                ))
            })
            .min()
            .unwrap_or(0)
    }

    fn too_many(
        &self,
        overs: &[(Resource, (i64, i64))],
        asked: &Delta,
        times: Option<(u32, u32)>,
    ) -> Error {
        let list = |text: &dyn Fn(Resource, i64, i64) -> String| {
            let texts: Vec<_> = overs
                .iter()
                .map(|(resource, (limit, used))| text(*resource, *limit, *used))
                .collect();
            texts.join(", ")
        };
        let names = list(&|resource, _, _| resource.name().to_owned());
        let requested = list(&|resource, _, _| match times {
            Some((min, max)) if resource == Resource::Instances && min != max => {
                format!("{min}-{max}")
            }
            _ => asked.of(resource).to_string(),
        });
        let used = list(&|_, _, used| used.to_string());
        let allowed = list(&|_, limit, _| limit.to_string());
        Error::over_quota(format!(
            "Quota exceeded for {names}: Requested {requested}, but already used {used} of {allowed} {names}"
        ))
    }

    fn add(&self, txn: &mut Txn, delta: &Delta) -> Result<()> {
        count(txn, self.project, delta)?;
        count(txn, &user_usage_id(self.project, self.user), delta)
    }
}

/// Changes a counter; one that comes to nothing goes.
fn count(txn: &mut Txn, id: &str, delta: &Delta) -> Result<()> {
    let used = txn.get::<UsageRecord>(id)?.map(|used| *used).unwrap_or_default();
    let sum = used.plus(delta)?;
    if sum == UsageRecord::default() {
        txn.delete::<UsageRecord>(id)?;
        Ok(())
    } else {
        txn.put(id, sum)
    }
}
