//! The schemas that clients read to learn what an image, a member and a task look like.

use base::Result;
use serde_json::{Value, json};
use web::{Call, Card, Policy, Reply};

use crate::context::Images;

const UUID: &str =
    "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$";

pub(crate) fn cards() -> Vec<Card<Images>> {
    fn card(path: &'static str, schema: fn() -> Value) -> Card<Images> {
        Card::get(path, Policy::AnyToken, move |_call: Call<Images>| async move {
            let reply: Result<Reply> = Ok(Reply::ok(schema()));
            reply
        })
    }
    vec![
        card("/schemas/image", image),
        card("/schemas/images", || collection("images", image())),
        card("/schemas/member", member),
        card("/schemas/members", || members(member())),
        card("/schemas/task", || task(true)),
        card("/schemas/tasks", || collection("tasks", task(false))),
    ]
}

fn image() -> Value {
    json!({
        "name": "image",
        "properties": {
            "id": text("An identifier for the image", json!({"pattern": UUID})),
            "name": nullable("A name for people", json!({"maxLength": 255})),
            "status": shown("How the image stands", json!({"type": "string", "enum": [
                "queued", "saving", "active", "killed", "deleted", "uploading", "importing",
                "pending_delete", "deactivated",
            ]})),
            "visibility": text("Who sees the image", json!({
                "enum": ["community", "public", "private", "shared"],
            })),
            "protected": typed("boolean", "If true, the image cannot be deleted."),
            "os_hidden": typed("boolean", "If true, the image is left out of lists by default."),
            "checksum": shown("MD5 of the image's bytes", json!({
                "type": ["null", "string"], "maxLength": 32,
            })),
            "os_hash_algo": shown("The algorithm of os_hash_value", json!({
                "type": ["null", "string"], "maxLength": 64,
            })),
            "os_hash_value": shown("Hash of the image's bytes by os_hash_algo, in hex", json!({
                "type": ["null", "string"], "maxLength": 128,
            })),
            "owner": nullable("The project that the image belongs to", json!({"maxLength": 255})),
            "size": shown("Size of the image's file in bytes", json!({"type": ["null", "integer"]})),
            "virtual_size": shown("Size of the disk that a guest sees, in bytes", json!({
                "type": ["null", "integer"],
            })),
            "container_format": nullable("What the file is packed in", json!({"enum": [
                null, "ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed",
            ]})),
            "disk_format": nullable("The disk's format", json!({"enum": [
                null, "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop",
            ]})),
            "created_at": shown("When the image was made", json!({"type": "string"})),
            "updated_at": shown("When the image was last changed", json!({"type": "string"})),
            "tags": {
                "type": "array",
                "description": "Words that the image is found by",
                "items": {"type": "string", "maxLength": 255},
            },
            "direct_url": shown("Where the file is kept outside", json!({"type": "string"})),
            "min_ram": typed("integer", "Memory in MB that a machine needs to boot the image"),
            "min_disk": typed("integer", "Disk in GB that a machine needs to boot the image"),
            "self": shown("The image's own path", json!({"type": "string"})),
            "file": shown("The path of the image's file", json!({"type": "string"})),
            "stores": shown("The stores that hold the image's file, with commas between", json!({
                "type": "string",
            })),
            "schema": shown("The path of this schema", json!({"type": "string"})),
            "locations": {
                "type": "array",
                "description": "Where the file is kept outside",
                "items": {
                    "type": "object",
                    "properties": {
                        "url": {"type": "string", "maxLength": 255},
                        "metadata": {"type": "object"},
                        "validation_data": {
                            "description": "Sums that the image's must be equal to",
                            "type": "object",
                            "writeOnly": true,
                            "additionalProperties": false,
                            "properties": {
                                "checksum": {"type": "string", "minLength": 32, "maxLength": 32},
                                "os_hash_algo": {"type": "string", "maxLength": 64},
                                "os_hash_value": {"type": "string", "maxLength": 128},
                            },
                            "required": ["os_hash_algo", "os_hash_value"],
                        },
                    },
                    "required": ["url", "metadata"],
                },
            },
            "kernel_id": own(json!({
                "type": ["null", "string"],
                "pattern": UUID,
                "description": "The image of the kernel to boot with",
            })),
            "ramdisk_id": own(json!({
                "type": ["null", "string"],
                "pattern": UUID,
                "description": "The image of the ramdisk to boot with",
            })),
        },
        "additionalProperties": {"type": "string"},
        "links": [
            {"rel": "self", "href": "{self}"},
            {"rel": "enclosure", "href": "{file}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    })
}

fn member() -> Value {
    json!({
        "name": "member",
        "properties": {
            "member_id": typed("string", "The project that the image is shared with"),
            "image_id": text("The image", json!({"pattern": UUID})),
            "created_at": typed("string", "Since when it is shared"),
            "updated_at": typed("string", "When the project last said what it thinks of it"),
            "status": text("What the project says to it", json!({
                "enum": ["pending", "accepted", "rejected"],
            })),
            "schema": {"readOnly": true, "type": "string"},
        },
    })
}

fn task(whole: bool) -> Value {
    let mut schema = json!({
        "name": "task",
        "properties": {
            "id": text("An identifier for the task", json!({"pattern": UUID})),
            "type": text("What kind of task it is", json!({
                "enum": ["import", "api_image_import", "location_import"],
            })),
            "status": text("How the task stands", json!({
                "enum": ["pending", "processing", "success", "failure"],
            })),
            "owner": typed("string", "The project that asked for it"),
            "expires_at": nullable("When the task will be forgotten", json!({})),
            "created_at": typed("string", "When it was asked for"),
            "updated_at": typed("string", "When it last changed"),
            "self": shown("The task's own path", json!({"type": "string"})),
            "schema": shown("The path of this schema", json!({"type": "string"})),
        },
    });
    if whole {
        schema["properties"]["input"] =
            json!({"type": ["null", "object"], "description": "What was asked for"});
        schema["properties"]["result"] =
            json!({"type": ["null", "object"], "description": "What came of it"});
        schema["properties"]["message"] = typed("string", "Why it failed");
        schema["properties"]["image_id"] = typed("string", "The image that it is about");
        schema["properties"]["request_id"] = typed("string", "The request that asked for it");
        schema["properties"]["user_id"] = typed("string", "The user who asked for it");
    }
    schema
}

fn collection(name: &str, item: Value) -> Value {
    json!({
        "name": name,
        "properties": {
            name: {"type": "array", "items": item},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    })
}

fn members(item: Value) -> Value {
    json!({
        "name": "members",
        "properties": {
            "members": {"type": "array", "items": item},
            "schema": {"type": "string"},
        },
        "links": [{"rel": "describedby", "href": "{schema}"}],
    })
}

fn typed(kind: &str, description: &str) -> Value {
    json!({"type": kind, "description": description})
}

fn text(description: &str, more: Value) -> Value {
    with(typed("string", description), more)
}

fn nullable(description: &str, more: Value) -> Value {
    with(json!({"type": ["null", "string"], "description": description}), more)
}

fn shown(description: &str, more: Value) -> Value {
    with(json!({"readOnly": true, "description": description}), more)
}

/// A property that is no attribute of every image.
fn own(schema: Value) -> Value {
    with(schema, json!({"is_base": false}))
}

fn with(mut schema: Value, more: Value) -> Value {
    if let (Value::Object(schema), Value::Object(more)) = (&mut schema, more) {
        schema.extend(more);
    }
    schema
}
