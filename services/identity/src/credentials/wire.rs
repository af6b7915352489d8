//! Credentials as JSON.

use base::{Error, Result};
use serde_json::{Map, Value, json};
use state::Entry;
use web::{Schema, validate::prop};

use super::record::Credential;
use crate::{
    Identity,
    manners::take_text,
    projects::wire::{ID, add_extra},
};

const TEXT: Schema = Schema::string();
const CREDENTIAL: Schema = Schema::object(&[
    prop("blob", TEXT).required(),
    prop("type", Schema::string().len(1, 255)).required(),
    prop("user_id", Schema::string().len(1, 64)).required(),
    prop("project_id", ID.nullable()),
    prop("id", TEXT),
])
.open();
const CHANGE: Schema = Schema::object(&[
    prop("blob", TEXT),
    prop("type", Schema::string().len(1, 255)),
    prop("user_id", Schema::string().len(1, 64)),
    prop("project_id", ID.nullable()),
])
.open()
.min_len(1);

pub(crate) const CREATE: Schema = Schema::object(&[prop("credential", CREDENTIAL).required()]);
pub(crate) const UPDATE: Schema = Schema::object(&[prop("credential", CHANGE).required()]);

const EC2: Schema = Schema::object(&[prop("tenant_id", ID).required()]).open();
/// The body of a new EC2 key, which has no name around it.
pub(crate) const CREATE_EC2: Schema = EC2;

/// A credential as the API shows it, but its link.
pub(crate) fn show(identity: &Identity, credential: &Entry<Credential>) -> Result<Value> {
    let mut shown = json!({
        "id": &*credential.id,
        "type": credential.kind,
        "blob": identity.open_blob(credential)?,
        "user_id": credential.user_id,
        "project_id": credential.project_id,
    });
    add_extra(&mut shown, &credential.extra);
    Ok(shown)
}

/// A credential to be made, from a checked body; its blob is not sealed yet.
pub(crate) fn parse(mut body: Map<String, Value>) -> Result<Credential> {
    body.shift_remove("id");
    body.shift_remove("links");
    let credential = Credential {
        user_id: take_text(&mut body, "user_id").unwrap_or_default(),
        project_id: take_text(&mut body, "project_id"),
        kind: take_text(&mut body, "type").unwrap_or_default(),
        blob: take_text(&mut body, "blob").unwrap_or_default(),
        extra: Map::new(),
    };
    if credential.kind == "ec2" {
        access_of(&credential.blob)?;
        if credential.project_id.is_none() {
            return Err(Error::bad_request("'project_id' is a required property"));
        }
    }
    Ok(Credential { extra: body, ..credential })
}

/// The access key in an EC2 credential's blob.
pub(crate) fn access_of(blob: &str) -> Result<String> {
    let parsed: Option<Value> = serde_json::from_str(blob).ok();
    let access = parsed.as_ref().and_then(|blob| blob.get("access")).and_then(Value::as_str);
    match access {
        Some(access) if !access.is_empty() => Ok(access.to_owned()),
        _ => Err(Error::bad_request("Invalid blob in credential")),
    }
}
