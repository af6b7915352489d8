//! Routes of imports and tasks.

use base::{Error, Kind, Result};
use serde_json::{Map, Value};
use state::Entry;
use web::{Call, Card, Policy, Reply};

use super::{METHODS, TaskRecord, actions};
use crate::{
    context::Images,
    images::{
        access::{ADMIN, Asker, GET_IMAGE, MODIFY_IMAGE},
        add_links, time,
    },
};

const TASKS: Policy = Policy::Rule("tasks_api_access", ADMIN);

pub(crate) fn cards() -> Vec<Card<Images>> {
    vec![
        Card::post("/images/{image_id}/import", Policy::Checked(&[MODIFY_IMAGE]), import),
        Card::get("/images/{image_id}/tasks", Policy::Checked(&[GET_IMAGE]), of_image),
        Card::get("/tasks", TASKS, index),
        Card::post("/tasks", TASKS, create),
        Card::get("/tasks/{task_id}", TASKS, show),
        Card::delete("/tasks/{task_id}", TASKS, delete),
    ]
}

fn bad<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::bad_request(why))
}

async fn import(call: Call<Images>) -> Result<Reply> {
    let images = &call.context;
    if call.bytes().is_empty() {
        return bad("Body expected in request.");
    }
    let body = call.value()?;
    let asker = Asker::of(&call);
    check_import(&body, &images.options().store_name, &call)?;
    let id = call.param("image_id").to_owned();
    let task = call.world.uuid().to_string();
    let store = Value::String(images.options().store_name.clone());
    let request = call.request_id.to_string();
    let input = serde_json::json!({"image_id": id, "import_req": body, "backend": [store]});
    images
        .state()
        .transact("image.imports::begin", |txn| {
            actions::begin(txn, &asker, &id, &task, &request, &input)
        })
        .await?;
    Ok(Reply::empty(202))
}

fn check_import(body: &Value, store: &str, call: &web::Request) -> Result<()> {
    let Some(method) = body.get("method") else {
        return bad("Import request requires a 'method' field.");
    };
    let name = match method.get("name") {
        Some(Value::String(name)) => name,
        Some(_) => return bad("The name of an import method must be a text."),
        None => return bad("Import request requires a 'name' field."),
    };
    if !METHODS.contains(&name.as_str()) {
        return bad(format!(
            "Unknown import method name '{name}'. Nothing is fetched from elsewhere here: the methods \
             are {}.",
            METHODS.join(", ")
        ));
    }
    for flag in ["all_stores_must_succeed", "all_stores"] {
        if body.get(flag).is_some_and(|value| !value.is_boolean()) {
            return bad(format!("'{flag}' must be boolean value only"));
        }
    }
    let header = call.header("x-image-meta-store");
    if body.get("all_stores") == Some(&Value::Bool(true)) {
        if body.get("stores").is_some() || header.is_some() {
            return bad(
                "All_stores parameter can't be used with x-image-meta-store header or stores parameter",
            );
        }
        return Ok(());
    }
    let stores: Vec<&str> = match (body.get("stores"), header) {
        (Some(_), Some(_)) => {
            return bad("Stores parameter and x-image-meta-store header can't be both specified");
        }
        (Some(Value::Array(stores)), None) => {
            stores.iter().map(|store| store.as_str().unwrap_or_default()).collect()
        }
        (Some(_), None) => return bad("'stores' must be a list of stores"),
        (None, header) => header.into_iter().collect(),
    };
    match stores.iter().find(|wanted| **wanted != store) {
        Some(unknown) => Err(Error::conflict(format!("Unknown scheme '{unknown}' found in URI"))),
        None => Ok(()),
    }
}

fn stub(task: &Entry<TaskRecord>) -> Map<String, Value> {
    let mut view = Map::new();
    let mut add = |name: &str, value: Value| drop(view.insert(name.to_owned(), value));
    add("id", (*task.id).into());
    add("type", "api_image_import".into());
    add("status", task.status.name().into());
    add("owner", task.owner.as_deref().into());
    add("created_at", time(task.created_at));
    add("updated_at", time(task.updated_at));
    if let Some(at) = task.expires_at {
        add("expires_at", time(at));
    }
    add("self", format!("/v2/tasks/{}", task.id).into());
    add("schema", "/v2/schemas/task".into());
    view
}

fn whole(task: &Entry<TaskRecord>) -> Map<String, Value> {
    let mut view = stub(task);
    let mut add = |name: &str, value: Value| drop(view.insert(name.to_owned(), value));
    add("input", task.input.clone());
    add("message", task.message.as_str().into());
    add("result", Value::Null);
    add("image_id", task.image.as_str().into());
    add("request_id", task.request.as_str().into());
    add("user_id", task.user.as_str().into());
    view
}

/// The tasks about one image, newest first.
async fn of_image(call: Call<Images>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let image = Asker::of(&call).find(&snapshot, call.param("image_id")).map_err(|error| {
        match error.kind() {
            Kind::NotFound => Error::not_found("The resource could not be found."),
            _ => error,
        }
    })?;
    let mut tasks = snapshot.by::<TaskRecord>("image", &image.id);
    tasks.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    let tasks = tasks.iter().map(|task| {
        let mut view = whole(task);
        // This list is of the tasks as they are kept, without links.
        for name in ["self", "schema"] {
            view.shift_remove(name);
        }
        view.insert("deleted".to_owned(), false.into());
        view.insert("deleted_at".to_owned(), Value::Null);
        view.entry("expires_at").or_insert(Value::Null);
        Value::Object(view)
    });
    Ok(Reply::ok(serde_json::json!({"tasks": tasks.collect::<Vec<_>>()})))
}

async fn index(call: Call<Images>) -> Result<Reply> {
    let query = &call.query;
    let limit = match query.get("limit").map(|limit| limit.trim().parse::<i64>()) {
        None => 25,
        Some(Err(_)) => return bad("limit param must be an integer"),
        Some(Ok(limit)) => match usize::try_from(limit) {
            Err(_) => return bad("limit param must be positive"),
            Ok(limit) => limit.min(1000),
        },
    };
    let descending = match query.get("sort_dir").unwrap_or("desc") {
        "desc" => true,
        "asc" => false,
        other => return bad(format!("Invalid sort direction: {other}")),
    };
    if let Some(status) = query.get("status")
        && !["pending", "processing", "success", "failure"].contains(&status)
    {
        return bad(format!("Invalid status value: {status}"));
    }
    if let Some(kind) = query.get("type")
        && kind != "import"
    {
        return bad(format!("Invalid type value: {kind}"));
    }
    let snapshot = call.context.state().fresh().await?;
    let mut tasks: Vec<_> = snapshot
        .all::<TaskRecord>()
        .filter(|task| query.get("status").is_none_or(|status| status == task.status.name()))
        // Tasks of that type are refused when they are asked for.
        .filter(|_| query.get("type").is_none())
        .collect();
    tasks.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    if descending {
        tasks.reverse();
    }
    if let Some(marker) = query.get("marker") {
        let Some(at) = tasks.iter().position(|task| &*task.id == marker) else {
            return bad(format!("Task with the given id {marker} was not found"));
        };
        tasks.drain(..=at);
    }
    let more = tasks.len() >= limit && limit > 0;
    tasks.truncate(limit);
    let mut body = Map::new();
    body.insert("tasks".to_owned(), tasks.iter().map(|task| Value::Object(stub(task))).collect());
    add_links(&mut body, &call, "/v2/tasks", tasks.last().filter(|_| more).map(|task| &*task.id));
    body.insert("schema".to_owned(), "/v2/schemas/tasks".into());
    Ok(Reply::ok(Value::Object(body)))
}

async fn create(call: Call<Images>) -> Result<Reply> {
    if call.bytes().is_empty() {
        return bad("Body expected in request.");
    }
    let body = call.value()?;
    for name in ["type", "input"] {
        if body.get(name).is_none() {
            return bad(format!("Task '{name}' is required"));
        }
    }
    bad(
        "Tasks that fetch an image from elsewhere are not supported: nothing is fetched here. Upload the \
         image, or stage it and import it by glance-direct.",
    )
}

async fn show(call: Call<Images>) -> Result<Reply> {
    let id = call.param("task_id");
    match call.context.state().fresh().await?.find::<TaskRecord>(id)? {
        Some(task) => Ok(Reply::ok(Value::Object(whole(&task)))),
        None => Err(Error::not_found(format!("Task with the given id {id} was not found"))),
    }
}

async fn delete(_call: Call<Images>) -> Result<Reply> {
    Err(Error::new(
        Kind::MethodNotAllowed,
        "This operation is currently not permitted on Glance Tasks. They are auto deleted after reaching \
         the time based on their expires_at property.",
    ))
}
