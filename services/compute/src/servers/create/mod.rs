//! Making servers: `POST /servers` to one transaction that leaves them in the phase New, with their quota.

mod parse;
mod schema;

use std::sync::Arc;

use base::{Error, Map, Result, Timestamp};
use bytes::Bytes;
use placement::scheduler;
use serde_json::{Value, json};
use state::{Scope, Txn};
use web::{Actor, Call, Reply, Target};

pub(super) use schema::{DESCRIPTION, DISK_CONFIG, FQDN, HOSTNAME, TRUSTED_CERTS};
pub(crate) use schema::{MAX_TAGS, METADATA, TAG};

use super::{
    batch::{self, BatchRecord, Member},
    blobs,
    record::{FlavorCopy, ImageCopy, Intent, OnlyOn, Phase, Power, ServerRecord, Text, Wish},
};
use crate::{
    Compute, around,
    flavors::{self, FlavorRecord},
    instance_actions::{ActionsRecord, Doer},
    links,
    quotas::{self, Resource},
};
use parse::{Asked, Networks};

/// Policies that creating a server may ask.
pub(super) const POLICIES: &[(&str, &str)] = &[
    ("os_compute_api:servers:create", crate::policies::MEMBER),
    ("os_compute_api:servers:create:forced_host", crate::policies::ADMIN),
    ("compute:servers:create:requested_destination", crate::policies::ADMIN),
    ("os_compute_api:servers:create:attach_volume", crate::policies::MEMBER),
    ("os_compute_api:servers:create:attach_network", crate::policies::MEMBER),
    ("os_compute_api:servers:create:trusted_certs", crate::policies::MEMBER),
    ("os_compute_api:servers:create:zero_disk_flavor", crate::policies::ADMIN),
];

/// More servers than this become a batch: each takes two of a transaction's writes.
const AT_ONCE: u32 = 10;
/// More servers than this are no single request.
const MOST: u32 = 1000;
/// Longer texts are kept apart from the record.
const INLINE: usize = 4096;

/// `POST /servers`
pub(super) async fn create(call: Call<Compute>) -> Result<Reply> {
    let body = call.input(&schema::CREATE)?;
    let asked = Asked::parse(&body, call.version)?;
    let plan = Arc::new(Plan::of(&call, asked)?);
    let lane = format!("quota/{}", plan.actor.project_id());
    let made = {
        let plan = plan.clone();
        let transaction = move |txn: &mut Txn| plan.carry_out(txn);
        call.context.state.transact_in_lane(&lane, "servers::create", transaction).await?
    };
    if plan.asked.return_reservation_id {
        return Ok(Reply::json(202, json!({ "reservation_id": plan.reservation_id })));
    }
    let id = &plan.ids[0];
    let mut server = json!({
        "id": id,
        "links": links::links(&call, "servers", id),
        "OS-DCF:diskConfig": if made.auto_disk_config { "AUTO" } else { "MANUAL" },
        "security_groups": plan.asked.security_groups,
    });
    server["adminPass"] = match &plan.asked.admin_pass {
        Some(password) => json!(password),
        None => json!(password(call.world.random())),
    };
    Ok(Reply::json(202, json!({ "server": server }))
        .header("location", call.link(&format!("/servers/{id}"))))
}

/// Everything that is decided before the transaction, which may run several times.
struct Plan {
    asked: Asked,
    actor: Arc<Actor>,
    doer: Doer,
    /// One for each server that there may be.
    ids: Vec<String>,
    reservation_id: String,
    seed: String,
    now: Timestamp,
    zero_disk: bool,
    force_config_drive: bool,
    default_zone: String,
}

impl Plan {
    fn of(call: &Call<Compute>, asked: Asked) -> Result<Plan> {
        let zone = asked.zone.name.as_deref();
        let target: Target<'_> = call.own().with_some("availability_zone", zone);
        call.allow("os_compute_api:servers:create", &target)?;
        if asked.certificates {
            call.allow("os_compute_api:servers:create:trusted_certs", &target)?;
            return Err(Error::bad_request(
                "Image signature certificate validation failed for image: certificates of images are \
                 not supported in this cloud; leave trusted_image_certificates out.",
            ));
        }
        let forced = asked.zone.host.is_some() || asked.zone.node.is_some();
        if forced {
            call.allow("os_compute_api:servers:create:forced_host", &target)?;
        }
        if asked.host.is_some() || asked.hypervisor_hostname.is_some() {
            call.allow("compute:servers:create:requested_destination", &target)?;
            if forced {
                return Err(Error::bad_request(
                    "One mechanism with host and/or hypervisor_hostname and another mechanism with \
                     zone:host:node are mutually exclusive.",
                ));
            }
        }
        if asked.mapped {
            call.allow("os_compute_api:servers:create:attach_volume", &target)?;
        }
        if asked.image.is_none() {
            return Err(Error::bad_request("Missing imageRef attribute"));
        }
        if asked.networks != Networks::None {
            call.allow("os_compute_api:servers:create:attach_network", &target)?;
        }
        let zero_disk = call.allowed("os_compute_api:servers:create:zero_disk_flavor", &target);
        if asked.max_count > MOST {
            return Err(Error::bad_request(format!(
                "Invalid input for field/attribute max_count. Value: {}. At most {MOST} servers can be \
                 made by one request.",
                asked.max_count
            )));
        }
        let world = &call.world;
        let ids = (0..asked.max_count).map(|_| world.uuid().to_string()).collect();
        Ok(Plan {
            actor: call.actor.clone(),
            doer: Doer::of(call),
            ids,
            reservation_id: reservation_id(world.random()),
            seed: world.hex_id(),
            now: world.wall(),
            zero_disk,
            force_config_drive: call.context.config.force_config_drive,
            default_zone: call.context.config.default_zone.clone(),
            asked,
        })
    }

    /// The transaction.
    fn carry_out(&self, txn: &mut Txn) -> Result<Made> {
        let asked = &self.asked;
        let project = self.actor.project_id();
        let user = self.actor.user_id.as_str();
        // A flavor or an image that goes at this moment was there when it was asked for: the server
        // keeps a copy of what it needs.
        let flavor = txn
            .peek::<FlavorRecord>(&asked.flavor)?
            .filter(|f| self.actor.is_admin || f.is_open_to(project))
            .ok_or_else(|| Error::bad_request(flavors::not_found(&asked.flavor).message()))?
            .copy(&asked.flavor);
        if asked.hostname.is_some() && asked.max_count > 1 {
            return Err(Error::bad_request(
                "Unable to allocate a single hostname to multiple instances",
            ));
        }
        let (zone, only_on) = self.where_to(txn)?;
        let image = match &asked.image {
            Some(id) => around::image(txn.snapshot(), &self.actor, id)?,
            None => return Err(Error::bad_request("Missing imageRef attribute")),
        };
        let auto_disk_config = auto_disk_config(asked.auto_disk_config, &image)?;
        self.networks()?;
        let key = match &asked.key_name {
            None => None,
            Some(name) => Some(
                around::key_pair(txn.snapshot(), user, name)?
                    .ok_or_else(|| Error::bad_request("Invalid key_name provided."))?,
            ),
        };
        self.limits(txn)?;
        fits(&flavor, &image, self.zero_disk)?;
        scheduler::flavor_resources(0, 0, 0, &flavor.extra_specs)?;
        let group = around::group_hint(txn, &self.actor, &asked.hints)?;

        let count = quotas::actions::take_up_to(
            txn,
            project,
            user,
            &flavor.use_of_quota(),
            asked.min_count,
            asked.max_count,
        )?;
        let ids = &self.ids[..count as usize];
        if let Some(group) = &group {
            around::join_group(txn, group, user, ids)?;
        }
        let user_data = match &asked.user_data {
            None => None,
            Some(data) => Some(self.text(txn, "user-data", data.clone(), count)?),
        };
        let personality = match asked.personality.is_empty() {
            true => None,
            false => {
                let files = Value::from(asked.personality.clone()).to_string();
                Some(self.text(txn, "files", files, count)?)
            }
        };
        let wants_drive = asked.config_drive || self.force_config_drive;
        let mandatory = image.properties.get("img_config_drive").is_some_and(|p| p == "mandatory");
        let template = ServerRecord {
            project_id: project.to_owned(),
            user_id: user.to_owned(),
            created_at: self.now,
            reservation_id: self.reservation_id.clone(),
            launch_index: 0,
            image: Some(image),
            key,
            user_data,
            personality,
            config_drive: wants_drive || mandatory,
            availability_zone: zone,
            only_on,
            hints: asked.hints.clone(),
            group,
            seed: self.seed.clone(),
            name: asked.name.clone(),
            description: asked.description.clone(),
            hostname: String::new(),
            flavor,
            access_ip_v4: asked.access_ip_v4.clone(),
            access_ip_v6: asked.access_ip_v6.clone(),
            auto_disk_config,
            metadata: asked.metadata.clone(),
            tags: asked.tags.clone(),
            locked: None,
            intent: Intent {
                power: Power::On,
                wishes: 0,
                last: Wish::Start,
                reboots: 0,
                hard: false,
                version: base::Revision(0),
                deleted_at: None,
            },
            updated_at: self.now,
            launched_at: None,
            terminated_at: None,
            phase: Phase::New,
            fault: None,
            place: None,
            epoch: base::Epoch(0),
            on: false,
            answered: 0,
        };
        self.write(txn, template, ids)?;
        Ok(Made { auto_disk_config })
    }

    fn write(&self, txn: &mut Txn, template: ServerRecord, ids: &[String]) -> Result<()> {
        let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let hostname = match &self.asked.hostname {
            Some(hostname) => hostname.clone(),
            None => parse::sanitized(&self.asked.name),
        };
        let names = (self.asked.name.clone(), hostname);
        if count > AT_ONCE {
            let members = (0..).zip(ids).map(|(index, id)| Member { id: id.clone(), index });
            return txn.create(
                &self.reservation_id,
                BatchRecord {
                    template,
                    count,
                    names,
                    request_id: self.doer.request_id.clone(),
                    asked_by: (self.doer.user_id.clone(), self.doer.project_id.clone()),
                    members: members.collect(),
                },
            );
        }
        for (index, id) in (0..).zip(ids) {
            let (name, hostname) = batch::numbered(&names.0, &names.1, id, index, count);
            let server = ServerRecord { launch_index: index, name, hostname, ..template.clone() };
            let mut actions = ActionsRecord::default();
            actions.begin(
                &self.doer,
                "create",
                "compute__do_build_and_run_instance",
                None,
                self.now,
            );
            txn.create(id, actions)?;
            txn.create(id, server)?;
        }
        Ok(())
    }

    /// The zone that it is pinned to, and the one node that it may be on.
    fn where_to(&self, txn: &Txn) -> Result<(Option<String>, Option<OnlyOn>)> {
        let asked = &self.asked;
        let snapshot = txn.snapshot();
        let zone = asked.zone.name.clone();
        if let Some(node) = asked.zone.node.as_ref().or(asked.zone.host.as_ref()) {
            // A zone that the host is not in is passed over, as in Nova.
            let own = around::zone_of(snapshot, node, &self.default_zone);
            let only_on = OnlyOn { node: node.clone(), forced: true };
            return Ok((zone.filter(|zone| *zone == own), Some(only_on)));
        }
        if let Some(zone) = &zone
            && !around::zone_is_available(snapshot, zone, &self.default_zone)
        {
            return Err(Error::bad_request("The requested availability zone is not available"));
        }
        let mut only_on = None;
        for node in [&asked.host, &asked.hypervisor_hostname].into_iter().flatten() {
            if snapshot.get::<nodes::NodeRecord>(node).is_none() {
                return Err(Error::bad_request(format!("Compute host {node} could not be found.")));
            }
            if only_on.as_ref().is_some_and(|first: &OnlyOn| first.node != *node) {
                return Err(Error::bad_request(format!(
                    "Compute host {node} could not be found on host {}.",
                    asked.host.as_deref().unwrap_or_default()
                )));
            }
            only_on = Some(OnlyOn { node: node.clone(), forced: false });
        }
        Ok((zone, only_on))
    }

    fn networks(&self) -> Result<()> {
        match &self.asked.networks {
            Networks::None => Ok(()),
            Networks::Auto => Err(Error::bad_request(format!(
                "Unable to automatically allocate a network for project {}: there is no network \
                 service in this cloud, use --nic none",
                self.actor.project_id()
            ))),
            Networks::Network(id) => {
                Err(Error::bad_request(format!("Network {id} could not be found.")))
            }
            Networks::Port(id) => {
                Err(Error::bad_request(format!("Port id {id} could not be found.")))
            }
        }
    }

    /// Limits of one server's own things. They may be lowered at this moment: nothing is counted.
    fn limits(&self, txn: &Txn) -> Result<()> {
        let (project, user) = (self.actor.project_id(), self.actor.user_id.as_str());
        let limit = |resource| quotas::actions::limit_seen(txn.snapshot(), project, user, resource);
        metadata_fits(self.asked.metadata.len(), limit(Resource::MetadataItems)?)?;
        let files = &self.asked.personality;
        if files.is_empty() {
            return Ok(());
        }
        let over = |amount: usize, limit: i64| {
            limit >= 0 && i64::try_from(amount).unwrap_or(i64::MAX) > limit
        };
        if over(files.len(), limit(Resource::InjectedFiles)?) {
            return Err(Error::over_quota("Personality file limit exceeded"));
        }
        let longest = |part: &str| {
            files.iter().filter_map(|f| f[part].as_str()).map(str::len).max().unwrap_or(0)
        };
        let paths = limit(Resource::InjectedFilePathBytes)?;
        if over(longest("path"), paths) {
            return Err(Error::over_quota(format!(
                "Personality file path exceeds maximum {paths}"
            )));
        }
        let contents = limit(Resource::InjectedFileContentBytes)?;
        if over(longest("contents"), contents) {
            return Err(Error::over_quota(format!(
                "Personality file content exceeds maximum {contents}"
            )));
        }
        Ok(())
    }

    /// A text for the records of `count` servers; a long one is kept apart.
    fn text(&self, txn: &mut Txn, what: &str, text: String, count: u32) -> Result<Text> {
        if text.len() <= INLINE {
            return Ok(Text::Here(text));
        }
        let name = format!("{what}/{}", self.reservation_id);
        blobs::put(txn, &name, Bytes::from(text), count)?;
        Ok(Text::Blob(name))
    }
}

struct Made {
    auto_disk_config: bool,
}

/// 403 when a server would have too many metadata items.
pub(crate) fn metadata_fits(items: usize, limit: i64) -> Result<()> {
    if limit >= 0 && i64::try_from(items).unwrap_or(i64::MAX) > limit {
        return Err(Error::over_quota(format!("Maximum number of metadata items exceeds {limit}")));
    }
    Ok(())
}

fn auto_disk_config(asked: Option<bool>, image: &ImageCopy) -> Result<bool> {
    let property = image.properties.get("auto_disk_config").map(|p| p.trim().to_lowercase());
    if asked == Some(true) && property.as_deref() == Some("disabled") {
        return Err(Error::bad_request(format!(
            "Requested image {} has automatic disk resize disabled.",
            image.id
        )));
    }
    Ok(asked.unwrap_or_else(|| {
        property.as_deref().and_then(web::validate::boolean_word).unwrap_or(false)
    }))
}

const GIB: u64 = 1024 * 1024 * 1024;

/// Refuses a flavor that is too small for the image, in Nova's words.
fn fits(flavor: &FlavorCopy, image: &ImageCopy, zero_disk: bool) -> Result<()> {
    if let Some(drive) = image.properties.get("img_config_drive")
        && !matches!(drive.as_str(), "optional" | "mandatory")
    {
        return Err(Error::bad_request(format!(
            "Image's config drive option '{drive}' is invalid"
        )));
    }
    if image.properties.contains_key("cinder_encryption_key_id") {
        return Err(Error::bad_request(format!(
            "Image {} is unacceptable: Direct booting of an image uploaded from an encrypted volume is \
             unsupported.",
            image.id
        )));
    }
    if flavor.ram < image.min_ram {
        return Err(Error::bad_request("Flavor's memory is too small for requested image."));
    }
    if flavor.disk == 0 {
        return match zero_disk {
            true => Ok(()),
            false => Err(Error::forbidden(
                "Only volume-backed servers are allowed for flavors with zero disk.",
            )),
        };
    }
    let disk = flavor.disk * GIB;
    // The guest's size counts: a disk of fewer bytes cannot hold it.
    let size = image.size.max(image.virtual_size);
    if size > disk {
        return Err(Error::bad_request(format!(
            "Flavor's disk is too small for requested image. Flavor disk is {disk} bytes, image is \
             {size} bytes."
        )));
    }
    let least = image.min_disk * GIB;
    if least > disk {
        return Err(Error::bad_request(format!(
            "Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is \
             {disk} bytes, minimum size is {least} bytes."
        )));
    }
    Ok(())
}

fn reservation_id(random: [u8; 8]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";
    let letters = random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    format!("r-{}", letters.collect::<String>())
}

/// Twelve letters and digits that are not mistaken for one another, some of each kind.
fn password(random: [u8; 12]) -> String {
    const DIGITS: &[u8] = b"23456789";
    const UPPER: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";
    const LOWER: &[u8] = b"abcdefghijkmnopqrstuvwxyz";
    let kinds = [DIGITS, UPPER, LOWER];
    let start = usize::from(random[0] >> 5);
    let pick = |(at, byte): (usize, &u8)| {
        let kind = kinds[(at + start) % 3];
        char::from(kind[usize::from(*byte) % kind.len()])
    };
    random.iter().enumerate().map(pick).collect()
}

/// What a flavor takes of a node.
pub(super) fn resources(flavor: &FlavorCopy) -> Result<placement::Resources> {
    let swap = flavor.swap.div_ceil(1024);
    let disk = flavor.disk + flavor.ephemeral + swap;
    let specs: &Map<String, String> = &flavor.extra_specs;
    scheduler::flavor_resources(u64::from(flavor.vcpus), flavor.ram, disk, specs)
}

/// Where the blobs of servers are.
pub(super) const BLOBS: Scope = Scope::Cell;
