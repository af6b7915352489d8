//! Images as JSON: what may be sent, and how an image is shown.

use base::{Error, Kind, Result, Set, Timestamp};
use serde_json::{Map, Value, json};
use web::{
    v,
    validate::{self, Literal, Schema, Style, prop},
};

use super::{ImageRecord, Visibility};

/// What may be sent for an image; names that are not listed are its own properties, all of them texts.
pub(crate) const IMAGE: Schema = Schema::object(&[
    prop("id", Schema::string().pattern(UUID)),
    prop("name", Schema::string().nullable().max_len(255)),
    prop("status", Schema::string()),
    prop("visibility", Schema::string().literals(VISIBILITIES)),
    prop("protected", Schema::boolean()),
    prop("os_hidden", Schema::boolean()),
    prop("checksum", Schema::string().nullable().max_len(32)),
    prop("os_hash_algo", Schema::string().nullable().max_len(64)),
    prop("os_hash_value", Schema::string().nullable().max_len(128)),
    prop("owner", Schema::string().nullable().max_len(255)),
    prop("size", Schema::integer().nullable()),
    prop("virtual_size", Schema::integer().nullable()),
    prop("container_format", Schema::string().nullable().literals(CONTAINERS)),
    prop("disk_format", Schema::string().nullable().literals(DISKS)),
    prop("created_at", Schema::string()),
    prop("updated_at", Schema::string()),
    prop("tags", Schema::array(&TAG)),
    prop("direct_url", Schema::string()),
    prop("min_ram", Schema::integer()),
    prop("min_disk", Schema::integer()),
    prop("self", Schema::string()),
    prop("file", Schema::string()),
    prop("stores", Schema::string()),
    prop("schema", Schema::string()),
    prop("locations", Schema::array(&LOCATION)),
    prop("kernel_id", Schema::string().nullable().pattern(UUID)),
    prop("ramdisk_id", Schema::string().nullable().pattern(UUID)),
])
.others("", &Schema::string());

const UUID: &str =
    "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$";
const TAG: Schema = Schema::string().max_len(255);
const LOCATION: Schema = Schema::object(&[
    prop("url", Schema::string().max_len(255)).required(),
    prop("metadata", Schema::object(&[]).open()).required(),
    prop("validation_data", Schema::object(&[]).open()),
])
.open();
const VISIBILITIES: &[Literal] = &[
    Literal::Text("community"),
    Literal::Text("public"),
    Literal::Text("private"),
    Literal::Text("shared"),
];
const CONTAINERS: &[Literal] = &[
    Literal::Null,
    Literal::Text("ami"),
    Literal::Text("ari"),
    Literal::Text("aki"),
    Literal::Text("bare"),
    Literal::Text("ovf"),
    Literal::Text("ova"),
    Literal::Text("docker"),
    Literal::Text("compressed"),
];
const DISKS: &[Literal] = &[
    Literal::Null,
    Literal::Text("ami"),
    Literal::Text("ari"),
    Literal::Text("aki"),
    Literal::Text("vhd"),
    Literal::Text("vhdx"),
    Literal::Text("vmdk"),
    Literal::Text("raw"),
    Literal::Text("qcow2"),
    Literal::Text("vdi"),
    Literal::Text("iso"),
    Literal::Text("ploop"),
];

/// Names that are shown and cannot be sent at all.
const SHOWN_ONLY: [&str; 5] = ["direct_url", "self", "file", "schema", "stores"];
/// Names that the service itself writes.
const READ_ONLY: [&str; 8] = [
    "created_at",
    "updated_at",
    "status",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
    "size",
    "virtual_size",
];
/// Names that mean something inside.
const RESERVED: [&str; 3] = ["location", "deleted", "deleted_at"];
const RESERVED_PREFIX: &str = "os_glance";

const MOST_TAGS: usize = 128;
const MOST_PROPERTIES: usize = 128;
const MOST_MEMBERS: usize = 128;
/// An image's record is one value of the store, which may have 512 KiB.
const MOST_TEXT: usize = 256 * 1024;

/// A name that a change may not touch, and why.
pub(super) fn check_name(name: &str) -> Result<()> {
    if SHOWN_ONLY.contains(&name) || READ_ONLY.contains(&name) || name == "id" {
        return Err(Error::forbidden(format!("Attribute '{name}' is read-only.")));
    }
    check_reserved(name)
}

fn check_reserved(name: &str) -> Result<()> {
    if RESERVED.contains(&name) || name.starts_with(RESERVED_PREFIX) {
        return Err(Error::forbidden(format!("Attribute '{name}' is reserved.")));
    }
    Ok(())
}

/// Checks a (part of a) body against [`IMAGE`].
pub(super) fn check(body: &Value) -> Result<()> {
    validate::check(&IMAGE, body, v(2, 16), Style::Glance)
        .map_err(|error| Error::bad_request(named("image", error.message())))
}

/// Glance names the schema in its sentence.
pub(crate) fn named(schema: &str, message: &str) -> String {
    message.replacen("match schema:", &format!("match schema '{schema}':"), 1)
}

/// What a `POST /images` asks for: an id if it names one, and the image.
pub(super) fn parse(
    body: Value,
    project: Option<&str>,
    now: Timestamp,
) -> Result<(Option<String>, ImageRecord)> {
    let Value::Object(fields) = &body else {
        return Err(Error::bad_request("Malformed JSON in request body."));
    };
    if let Some(name) = SHOWN_ONLY.iter().find(|name| fields.contains_key(**name)) {
        return Err(Error::forbidden(format!("Attribute '{name}' is read-only.")));
    }
    check(&body)?;
    let mut image = ImageRecord::new(project.map(str::to_owned), now);
    let mut id = None;
    for (name, value) in fields {
        if name == "id" {
            id = value.as_str().map(str::to_owned);
        } else if READ_ONLY.contains(&name.as_str()) {
            return Err(Error::forbidden(format!("Attribute '{name}' is read-only.")));
        } else if name == "locations" {
            return Err(Error::forbidden(
                "It's not allowed to add locations if locations are invisible.",
            ));
        } else {
            check_reserved(name)?;
            set(&mut image, name, value)?;
        }
    }
    check_amounts(&image)?;
    Ok((id, image))
}

/// Whether an image always has an attribute of this name.
pub(super) fn is_base(name: &str) -> bool {
    matches!(
        name,
        "name"
            | "visibility"
            | "protected"
            | "os_hidden"
            | "owner"
            | "container_format"
            | "disk_format"
            | "tags"
            | "min_ram"
            | "min_disk"
    )
}

/// Sets one attribute or property. The value fits the schema.
pub(super) fn set(image: &mut ImageRecord, name: &str, value: &Value) -> Result<()> {
    let text = || value.as_str().map(str::to_owned);
    match name {
        "name" => image.name = text(),
        "owner" => image.owner = text(),
        "container_format" => image.container_format = text(),
        "disk_format" => image.disk_format = text(),
        "protected" => image.protected = value.as_bool().unwrap_or(false),
        "os_hidden" => image.hidden = value.as_bool().unwrap_or(false),
        "visibility" => {
            if let Some(visibility) = value.as_str().and_then(Visibility::named) {
                image.visibility = visibility;
            }
        }
        "min_ram" => image.min_ram = amount(name, value)?,
        "min_disk" => image.min_disk = amount(name, value)?,
        "tags" => image.tags = tags(value),
        _ if name.chars().count() > 255 => {
            return Err(Error::bad_request(
                "Custom property should not be greater than 255 characters.",
            ));
        }
        _ => {
            // Only the ids of a kernel and a ramdisk may be null.
            match text() {
                Some(text) => image.properties.insert(name.to_owned(), text),
                None => image.properties.remove(name),
            };
        }
    }
    Ok(())
}

fn amount(name: &str, value: &Value) -> Result<i64> {
    let bad = |why: &str| {
        Error::bad_request(format!("Invalid value '{value}' for parameter '{name}': {why}"))
    };
    match value.as_i64() {
        Some(number) if number < 0 => Err(bad("Cannot be a negative value")),
        Some(number) if number <= i64::from(i32::MAX) => Ok(number),
        _ => Err(bad("Cannot be greater than 2147483647")),
    }
}

fn tags(value: &Value) -> Set<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Refuses more of anything than an image may have.
pub(crate) fn check_amounts(image: &ImageRecord) -> Result<()> {
    let limit = |what: &str, attempted: usize, maximum: usize| {
        if attempted <= maximum {
            return Ok(());
        }
        Err(Error::new(
            Kind::TooLarge,
            format!(
                "The limit has been exceeded on the number of allowed image {what}. Attempted: \
                 {attempted}, Maximum: {maximum}"
            ),
        ))
    };
    limit("tags", image.tags.len(), MOST_TAGS)?;
    limit("properties", image.properties.len(), MOST_PROPERTIES)?;
    limit("members for this image", image.members.len(), MOST_MEMBERS)?;
    let texts = image.properties.iter().map(|(name, value)| name.len() + value.len());
    let size: usize = texts.chain(image.tags.iter().map(String::len)).sum();
    if size > MOST_TEXT {
        return Err(Error::new(
            Kind::TooLarge,
            format!(
                "An image's properties and tags may have {MOST_TEXT} bytes together, not {size}."
            ),
        ));
    }
    Ok(())
}

/// A time as Glance shows it.
pub(crate) fn time(at: Timestamp) -> Value {
    at.iso().into()
}

/// The image as it is shown. `store`: the name under which its bytes' place is known outside.
pub(crate) fn show(id: &str, image: &ImageRecord, store: &str) -> Value {
    let mut view = Map::new();
    for (name, value) in &image.properties {
        view.insert(name.clone(), value.as_str().into());
    }
    let data = image.data.as_ref();
    // Staged bytes have a size, but nothing is promised about them yet.
    let whole = image.usable();
    let mut add = |name: &str, value: Value| drop(view.insert(name.to_owned(), value));
    add("name", image.name.as_deref().into());
    add("disk_format", image.disk_format.as_deref().into());
    add("container_format", image.container_format.as_deref().into());
    add("visibility", image.visibility.name().into());
    add("size", data.map(|data| data.size).into());
    add("virtual_size", whole.and_then(|data| data.virtual_size).into());
    add("status", image.status.name().into());
    add("checksum", whole.map(|data| data.md5.as_str()).into());
    add("protected", image.protected.into());
    add("min_ram", image.min_ram.into());
    add("min_disk", image.min_disk.into());
    add("owner", image.owner.as_deref().into());
    add("os_hidden", image.hidden.into());
    add("os_hash_algo", whole.map(|_| "sha512").into());
    add("os_hash_value", whole.map(|data| data.sha512.as_str()).into());
    add("id", id.into());
    add("created_at", time(image.created_at));
    add("updated_at", time(image.updated_at));
    add("tags", json!(image.tags));
    add("self", format!("/v2/images/{id}").into());
    add("file", format!("/v2/images/{id}/file").into());
    add("schema", "/v2/schemas/image".into());
    if whole.is_some() {
        add("stores", store.into());
    }
    if let Some(task) = &image.import {
        add("os_glance_import_task", task.as_str().into());
    }
    Value::Object(view)
}
