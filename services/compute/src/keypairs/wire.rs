//! Key pairs as JSON, in and out.

use base::Timestamp;
use serde_json::{Value, json};
use web::{
    Request, v,
    validate::{Literal, Schema, prop},
};

use super::KeypairRecord;

const KINDS: &[Literal] = &[Literal::Text("ssh"), Literal::Text("x509")];

/// `POST /os-keypairs`
pub(super) const CREATE: Schema = Schema::object(&[prop(
    "keypair",
    Schema::object(&[
        prop("name", Schema::name(1, 255).pattern(r"^[_\- a-zA-Z0-9]+$")).required().until("2.91"),
        prop("name", Schema::name(1, 255).pattern(r"^[_\-\@\. a-zA-Z0-9]+$"))
            .required()
            .since("2.92"),
        prop("type", Schema::string().literals(KINDS)).since("2.2"),
        prop("public_key", Schema::string()).until("2.91"),
        prop("public_key", Schema::string()).required().since("2.92"),
        prop("user_id", Schema::string()).since("2.10"),
    ]),
)
.required()]);

/// `GET /os-keypairs`
pub(super) const LIST: Schema = Schema::object(&[
    prop("user_id", Schema::string()).since("2.10"),
    prop("limit", Schema::number_or_text()).since("2.35"),
    prop("marker", Schema::string()).since("2.35"),
])
.open_until(v(2, 75));

/// `GET` and `DELETE /os-keypairs/{name}`
pub(super) const ONE: Schema =
    Schema::object(&[prop("user_id", Schema::string()).since("2.10")]).open_until(v(2, 75));

fn base(call: &Request, keypair: &KeypairRecord) -> Value {
    let mut view = json!({
        "name": keypair.name,
        "public_key": keypair.public_key,
        "fingerprint": keypair.fingerprint,
    });
    if call.version >= v(2, 2) {
        view["type"] = keypair.kind.name().into();
    }
    view
}

/// As it is shown in a list.
pub(super) fn listed(call: &Request, keypair: &KeypairRecord) -> Value {
    json!({"keypair": base(call, keypair)})
}

/// As it is shown when it was made, with the private key if that was made too.
pub(super) fn made(call: &Request, keypair: &KeypairRecord, private_key: Option<&str>) -> Value {
    let mut view = base(call, keypair);
    if let Some(private_key) = private_key {
        view["private_key"] = private_key.into();
    }
    view["user_id"] = keypair.user_id.as_str().into();
    json!({"keypair": view})
}

/// As it is shown alone.
pub(super) fn shown(call: &Request, keypair: &KeypairRecord) -> Value {
    let mut view = base(call, keypair);
    view["user_id"] = keypair.user_id.as_str().into();
    view["created_at"] = Timestamp::iso_micros_zoneless(keypair.created_at).into();
    view["deleted"] = false.into();
    view["deleted_at"] = Value::Null;
    view["id"] = keypair.number.into();
    view["updated_at"] = Value::Null;
    json!({"keypair": view})
}
