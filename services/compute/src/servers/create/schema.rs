//! The body of `POST /servers`, at every microversion.

use web::validate::{Format, Literal, Schema, prop};

/// A host name within a domain, or alone.
pub(in crate::servers) const HOSTNAME: Schema =
    Schema::string().len(2, 63).pattern("^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$");
/// A host name, perhaps with a domain.
pub(in crate::servers) const FQDN: Schema =
    Schema::string().len(1, 255).pattern("^[a-zA-Z0-9-._]*$");
/// Printable text.
pub(in crate::servers) const DESCRIPTION: Schema =
    Schema::string().max_len(255).pattern(r"^[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]*$").nullable();
/// `AUTO` or `MANUAL`.
pub(in crate::servers) const DISK_CONFIG: Schema =
    Schema::string().literals(&[Literal::Text("AUTO"), Literal::Text("MANUAL")]);
/// A tag.
pub(crate) const TAG: Schema = Schema::string().len(1, 60).pattern("^[^,/]*$");
/// So many tags at most.
pub(crate) const MAX_TAGS: usize = 50;
/// Metadata of a server.
pub(crate) const METADATA: Schema =
    Schema::map("^[a-zA-Z0-9-_:. ]{1,255}$", &Schema::string().max_len(255));
/// Ids of certificates.
pub(in crate::servers) const TRUSTED_CERTS: Schema =
    Schema::array(&Schema::string().min_len(1)).len(1, 50).unique().nullable();

const IP: Schema =
    Schema::any_of(&[Schema::string().format(Format::Ipv4), Schema::string().format(Format::Ipv6)]);
const UUID: Schema = Schema::uuid();
const UUID_OR_EMPTY: Schema = Schema::any_of(&[UUID, Schema::string().max_len(0)]);
const POSITIVE: Schema = Schema::number_or_text().min(1);
const TEXT_255: Schema = Schema::string().max_len(255);
const VOLUME_SIZE: Schema = Schema::number_or_text().pattern("^[0-9]+$").min(1).max(0x7FFF_FFFF);

const OLD_NETWORK: Schema = Schema::object(&[
    prop("fixed_ip", IP),
    prop("port", UUID.nullable()),
    prop("uuid", Schema::string()),
    prop("tag", TAG).since("2.32"),
]);
const NETWORK: Schema = Schema::object(&[
    prop("fixed_ip", IP),
    prop("port", UUID.nullable()),
    prop("uuid", UUID),
    prop("tag", TAG).since("2.42"),
]);
const NETWORKS: Schema = Schema::any_of(&[
    Schema::array(&NETWORK),
    Schema::string().literals(&[Literal::Text("none"), Literal::Text("auto")]),
]);

const DEVICE_NAME: Schema = Schema::string().len(1, 255).pattern("^[a-zA-Z0-9._/-]*$");
const MAPPING: Schema = Schema::object(&[
    prop("virtual_name", TEXT_255),
    prop("volume_id", UUID),
    prop("snapshot_id", UUID),
    prop("volume_size", VOLUME_SIZE),
    prop("device_name", DEVICE_NAME),
    prop("delete_on_termination", Schema::boolean_or_text()),
    prop("no_device", Schema::any()),
    prop("connection_info", Schema::string().max_len(16_777_215)),
]);
const MAPPING_V2: Schema = Schema::object(&[
    prop("virtual_name", TEXT_255),
    prop("volume_id", UUID),
    prop("snapshot_id", UUID),
    prop("volume_size", VOLUME_SIZE),
    prop("device_name", DEVICE_NAME),
    prop("delete_on_termination", Schema::boolean_or_text()),
    prop("no_device", Schema::any()),
    prop("connection_info", Schema::string().max_len(16_777_215)),
    prop(
        "source_type",
        Schema::string().literals(&[
            Literal::Text("volume"),
            Literal::Text("image"),
            Literal::Text("snapshot"),
            Literal::Text("blank"),
        ]),
    ),
    prop("uuid", Schema::string().len(1, 255).pattern("^[a-zA-Z0-9._-]*$")),
    prop("image_id", UUID),
    prop(
        "destination_type",
        Schema::string().literals(&[Literal::Text("local"), Literal::Text("volume")]),
    ),
    prop("guest_format", TEXT_255),
    prop("device_type", TEXT_255),
    prop("disk_bus", TEXT_255),
    prop(
        "boot_index",
        Schema::any_of(&[
            Schema::integer(),
            Schema::string().pattern("^-?[0-9]+$"),
            Schema::null(),
        ]),
    ),
    // 2.32 had it, by mistake 2.33 to 2.41 had not.
    prop("tag", TAG).since("2.32").until("2.32"),
    prop("tag", TAG).since("2.42"),
    prop("volume_type", TEXT_255.nullable()).since("2.67"),
]);

/// Injected files.
const PERSONALITY: Schema = Schema::array(&Schema::object(&[
    prop("path", Schema::string()),
    prop("contents", Schema::string().format(Format::Base64)),
]));

const HINTS: Schema = Schema::object(&[
    prop("group", Schema::any_of(&[UUID, Schema::array(&UUID)])),
    prop("different_host", Schema::any_of(&[UUID, Schema::array(&UUID)])),
    prop("same_host", Schema::any_of(&[Schema::string(), Schema::array(&UUID)])),
    prop("query", Schema::any_of(&[Schema::string(), Schema::object(&[]).open()])),
    prop("target_cell", Schema::name(1, 255)),
    prop("different_cell", Schema::any_of(&[Schema::string(), Schema::array(&Schema::string())])),
    prop("build_near_host_ip", IP),
    prop("cidr", Schema::string().pattern("^/[0-9a-f.:]+$")),
])
.open();

const SERVER: Schema = Schema::object(&[
    prop("name", Schema::name(1, 255)).required(),
    prop("imageRef", UUID_OR_EMPTY),
    prop("flavorRef", Schema::any_of(&[Schema::string().min_len(1), Schema::integer()])).required(),
    prop("adminPass", Schema::string()),
    prop("metadata", METADATA),
    prop("networks", Schema::array(&OLD_NETWORK)).until("2.36"),
    prop("networks", NETWORKS).since("2.37").required(),
    prop("OS-DCF:diskConfig", DISK_CONFIG),
    prop("accessIPv4", Schema::string().format(Format::Ipv4)),
    prop("accessIPv6", Schema::string().format(Format::Ipv6)),
    prop("personality", PERSONALITY).until("2.56"),
    prop("availability_zone", Schema::name(1, 255)),
    prop("block_device_mapping", Schema::array(&MAPPING)),
    prop("block_device_mapping_v2", Schema::array(&MAPPING_V2)),
    prop("config_drive", Schema::boolean_or_text()),
    prop("key_name", Schema::name(1, 255)),
    prop("min_count", POSITIVE),
    prop("max_count", POSITIVE),
    prop("return_reservation_id", Schema::boolean_or_text()),
    prop("security_groups", Schema::array(&Schema::object(&[prop("name", Schema::name(1, 255))]))),
    prop("user_data", Schema::string().max_len(65_535).format(Format::Base64)),
    prop("description", DESCRIPTION).since("2.19"),
    prop("tags", Schema::array(&TAG).max_len(MAX_TAGS)).since("2.52"),
    prop("trusted_image_certificates", TRUSTED_CERTS).since("2.63"),
    prop("host", FQDN).since("2.74"),
    prop("hypervisor_hostname", FQDN).since("2.74"),
    prop("hostname", HOSTNAME).since("2.90").until("2.93"),
    prop("hostname", FQDN).since("2.94"),
]);

/// `POST /servers`
pub(super) const CREATE: Schema = Schema::object(&[
    prop("server", SERVER).required(),
    prop("os:scheduler_hints", HINTS),
    prop("OS-SCH-HNT:scheduler_hints", HINTS),
]);
