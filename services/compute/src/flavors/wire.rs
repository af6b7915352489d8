//! Flavors as JSON, in and out.

use base::{Error, Map, Result, Timestamp};
use serde_json::{Value, json};
use web::{
    Request, v,
    validate::{self, Format, Literal, Prop, Schema, prop},
};

use super::record::FlavorRecord;
use crate::links;

const MAX: i64 = 0x7FFF_FFFF;
const POSITIVE: Schema = Schema::number_or_text().pattern("^[0-9]+$").min(1).max(MAX);
const NOT_NEGATIVE: Schema = Schema::number_or_text().pattern("^[0-9]+$").min(0).max(MAX);
const ID: Schema = Schema::any_of(&[
    Schema::string().len(1, 255).pattern("^[a-zA-Z0-9._-]([a-zA-Z0-9. _-]*[a-zA-Z0-9._-])?$"),
    Schema::number(),
    Schema::null(),
]);
const FACTOR: Schema =
    Schema::any_of(&[Schema::number(), Schema::string().pattern(r"^[0-9]+(\.[0-9]+)?$")]);
const DESCRIPTION: Schema =
    Schema::string().max_len(65_535).pattern(r"^[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]*$").nullable();

/// `POST /flavors`
pub(super) const CREATE: Schema = Schema::object(&[prop(
    "flavor",
    Schema::object(&[
        prop("name", Schema::name(1, 255)).required(),
        prop("id", ID),
        prop("ram", POSITIVE).required(),
        prop("vcpus", POSITIVE).required(),
        prop("disk", NOT_NEGATIVE).required(),
        prop("OS-FLV-EXT-DATA:ephemeral", NOT_NEGATIVE),
        prop("swap", NOT_NEGATIVE),
        prop("rxtx_factor", FACTOR),
        prop("os-flavor-access:is_public", Schema::boolean_or_text()),
        prop("description", DESCRIPTION).since("2.55"),
    ]),
)
.required()]);

/// `PUT /flavors/{id}`
pub(super) const UPDATE: Schema = Schema::object(&[prop(
    "flavor",
    Schema::object(&[prop("description", DESCRIPTION).required()]),
)
.required()]);

const SORT_KEYS: &[Literal] = &[
    Literal::Text("created_at"),
    Literal::Text("description"),
    Literal::Text("disabled"),
    Literal::Text("ephemeral_gb"),
    Literal::Text("flavorid"),
    Literal::Text("id"),
    Literal::Text("is_public"),
    Literal::Text("memory_mb"),
    Literal::Text("name"),
    Literal::Text("root_gb"),
    Literal::Text("rxtx_factor"),
    Literal::Text("swap"),
    Literal::Text("updated_at"),
    Literal::Text("vcpu_weight"),
    Literal::Text("vcpus"),
];
const LIST_PROPS: &[Prop] = &[
    prop("limit", Schema::number_or_text()),
    prop("marker", Schema::string()),
    prop("is_public", Schema::string()),
    prop("minRam", Schema::string()),
    prop("minDisk", Schema::string()),
    prop("sort_key", Schema::string().literals(SORT_KEYS)),
    prop("sort_dir", Schema::string().literals(&[Literal::Text("asc"), Literal::Text("desc")])),
];

/// `GET /flavors`
pub(super) const LIST: Schema = Schema::object(LIST_PROPS).open_until(v(2, 75));

const EXTRA_SPEC: Schema = Schema::any_of(&[Schema::string().max_len(255), Schema::number()]);
const EXTRA_SPECS: Schema = Schema::map("^[a-zA-Z0-9-_:. ]{1,255}$", &EXTRA_SPEC);

/// `POST /flavors/{id}/os-extra_specs`
pub(super) const SET_EXTRA_SPECS: Schema =
    Schema::object(&[prop("extra_specs", EXTRA_SPECS).required()]);
/// `PUT /flavors/{id}/os-extra_specs/{key}`
pub(super) const SET_EXTRA_SPEC: Schema = EXTRA_SPECS.len(1, 1);

const TENANT: Schema = Schema::object(&[prop("tenant", Schema::string().len(1, 255)).required()]);
/// `POST /flavors/{id}/action`
pub(super) const ADD_ACCESS: Schema = Schema::object(&[prop("addTenantAccess", TENANT).required()]);
/// `POST /flavors/{id}/action`
pub(super) const REMOVE_ACCESS: Schema =
    Schema::object(&[prop("removeTenantAccess", TENANT).required()]);

/// What a valid body asks for: the id if it names one, and the flavor.
pub(super) fn parse_create(body: &Value, now: Timestamp) -> Result<(Option<String>, FlavorRecord)> {
    let flavor = &body["flavor"];
    let number = |name: &str| {
        validate::integer(&flavor[name]).and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
    };
    let id = match &flavor["id"] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    if let Some(id) = &id
        && !Format::AzName.fits(id)
    {
        return Err(Error::bad_request(format!("The flavor id {id:?} is not usable.")));
    }
    let rxtx_factor = match &flavor["rxtx_factor"] {
        Value::Null => 1.0,
        Value::String(text) => text.parse().unwrap_or(0.0),
        other => other.as_f64().unwrap_or(0.0),
    };
    if !(rxtx_factor > 0.0 && rxtx_factor <= 3.40282e38) {
        return Err(Error::bad_request(format!(
            "Invalid input for field/attribute rxtx_factor. Value: {rxtx_factor}. {rxtx_factor} is \
             not a number between 0 and 3.40282e+38"
        )));
    }
    let record = FlavorRecord {
        name: flavor["name"].as_str().unwrap_or_default().to_owned(),
        ram: number("ram"),
        vcpus: u32::try_from(number("vcpus")).unwrap_or(u32::MAX),
        disk: number("disk"),
        ephemeral: number("OS-FLV-EXT-DATA:ephemeral"),
        swap: number("swap"),
        rxtx_factor,
        is_public: validate::boolean(&flavor["os-flavor-access:is_public"]).unwrap_or(true),
        description: flavor["description"].as_str().map(str::to_owned),
        extra_specs: Map::new(),
        projects: base::Set::new(),
        created_at: now,
        updated_at: None,
    };
    Ok((id, record))
}

/// The extra specs of a valid body; numbers become texts.
pub(super) fn parse_extra_specs(specs: &Value) -> Result<Map<String, String>> {
    let mut parsed = Map::new();
    for (name, value) in specs.as_object().into_iter().flatten() {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if text.chars().count() > 255 {
            return Err(Error::bad_request(
                "Invalid input received: extra_specs value has more than 255 characters.",
            ));
        }
        parsed.insert(name.clone(), text);
    }
    Ok(parsed)
}

/// A flavor in a short list.
pub(super) fn brief(call: &Request, id: &str, flavor: &FlavorRecord) -> Value {
    let mut shown = json!({
        "id": id,
        "name": flavor.name,
        "links": links::links(call, "flavors", id),
    });
    if call.version >= v(2, 55) {
        shown["description"] = json!(flavor.description);
    }
    shown
}

/// A flavor in full.
pub(super) fn full(call: &Request, id: &str, flavor: &FlavorRecord, extra_specs: bool) -> Value {
    let mut shown = json!({
        "id": id,
        "name": flavor.name,
        "ram": flavor.ram,
        "disk": flavor.disk,
        "swap": flavor.swap,
        "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral,
        "OS-FLV-DISABLED:disabled": false,
        "vcpus": flavor.vcpus,
        "os-flavor-access:is_public": flavor.is_public,
        "rxtx_factor": flavor.rxtx_factor,
        "links": links::links(call, "flavors", id),
    });
    if flavor.swap == 0 && call.version < v(2, 75) {
        shown["swap"] = json!("");
    }
    if call.version >= v(2, 55) {
        shown["description"] = json!(flavor.description);
    }
    if extra_specs {
        shown["extra_specs"] = json!(flavor.extra_specs);
    }
    shown
}

/// The projects that may use a flavor.
pub(super) fn access(id: &str, flavor: &FlavorRecord) -> Value {
    let list: Vec<Value> = flavor
        .projects
        .iter()
        .map(|project| json!({"flavor_id": id, "tenant_id": project}))
        .collect();
    json!({ "flavor_access": list })
}
