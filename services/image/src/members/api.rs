//! Members' routes.

use base::{Error, Result};
use serde_json::{Value, json};
use web::{Call, Card, Policy, Reply};

use super::actions;
use crate::{
    context::Images,
    images::{
        Member, MemberStatus,
        access::{Asker, MEMBER},
        time,
    },
};

const SEE: &str = "rule:context_is_admin or (role:reader and (project_id:%(project_id)s or \
     project_id:%(member_id)s))";
const ANSWER: &str = "rule:context_is_admin or (role:member and project_id:%(member_id)s)";
const GET: (&str, &str) = ("get_member", SEE);

pub(crate) fn cards() -> Vec<Card<Images>> {
    const ALL: &str = "/images/{image_id}/members";
    const ONE: &str = "/images/{image_id}/members/{member_id}";
    vec![
        Card::get(ALL, Policy::Checked(&[("get_members", SEE), GET]), index),
        Card::post(ALL, Policy::Checked(&[("add_member", MEMBER)]), create),
        Card::get(ONE, Policy::Checked(&[GET]), show),
        Card::put(ONE, Policy::Checked(&[GET, ("modify_member", ANSWER)]), update),
        Card::delete(ONE, Policy::Checked(&[GET, ("delete_member", MEMBER)]), delete),
    ]
}

fn view(image: &str, project: &str, member: &Member) -> Value {
    json!({
        "member_id": project,
        "image_id": image,
        "status": member.status.name(),
        "created_at": time(member.created_at),
        "updated_at": time(member.updated_at),
        "schema": "/v2/schemas/member",
    })
}

/// A body that must be an object, with what Glance says when it is not.
fn body(call: &Call<Images>, form: &str) -> Result<Value> {
    if call.bytes().is_empty() {
        return Err(Error::bad_request("Body expected in request."));
    }
    match call.any_value()? {
        body @ Value::Object(_) => Ok(body),
        _ => Err(Error::bad_request(form)),
    }
}

async fn create(call: Call<Images>) -> Result<Reply> {
    let form = r#"Expected a member in the form: {"member": "image_id"}"#;
    let body = body(&call, form)?;
    let project = match body.get("member") {
        None => return Err(Error::bad_request("Member to be added not specified")),
        Some(Value::String(project)) if !project.is_empty() => project.clone(),
        Some(Value::String(_) | Value::Null) => {
            return Err(Error::bad_request("Member can't be empty"));
        }
        Some(_) => return Err(Error::bad_request(form)),
    };
    if project.chars().count() > 255 {
        return Err(Error::bad_request("Member id can't have more than 255 characters"));
    }
    let asker = Asker::of(&call);
    let id = call.param("image_id").to_owned();
    let member = call
        .context
        .state()
        .transact("image.members::create", |txn| actions::add(txn, &asker, &id, &project))
        .await?;
    Ok(Reply::ok(view(&id, &project, &member)))
}

async fn update(call: Call<Images>) -> Result<Reply> {
    let body = body(&call, r#"Expected a status in the form: {"status": "status"}"#)?;
    let status = match body.get("status") {
        None => return Err(Error::bad_request("Status not specified")),
        Some(status) => status.as_str().and_then(MemberStatus::named),
    };
    let asker = Asker::of(&call);
    let (id, project) = (call.param("image_id").to_owned(), call.param("member_id").to_owned());
    let state = call.context.state();
    let Some(status) = status else {
        // Who may not see the member learns nothing else.
        actions::find(&state.fresh().await?, &asker, &id, &project)?;
        return Err(Error::bad_request(
            "Incorrect request: Status must be \"pending\", \"accepted\" or \"rejected\".",
        ));
    };
    let member = state
        .transact("image.members::update", |txn| {
            actions::answer(txn, &asker, &id, &project, status)
        })
        .await?;
    Ok(Reply::ok(view(&id, &project, &member)))
}

async fn index(call: Call<Images>) -> Result<Reply> {
    let asker = Asker::of(&call);
    let id = call.param("image_id");
    let members = actions::list(&call.context.state().fresh().await?, &asker, id)?;
    let members: Vec<_> =
        members.iter().map(|(project, member)| view(id, project, member)).collect();
    Ok(Reply::ok(json!({"members": members, "schema": "/v2/schemas/members"})))
}

async fn show(call: Call<Images>) -> Result<Reply> {
    let asker = Asker::of(&call);
    let (id, project) = (call.param("image_id"), call.param("member_id"));
    let member = actions::find(&call.context.state().fresh().await?, &asker, id, project)?;
    Ok(Reply::ok(view(id, project, &member)))
}

async fn delete(call: Call<Images>) -> Result<Reply> {
    let asker = Asker::of(&call);
    let (id, project) = (call.param("image_id").to_owned(), call.param("member_id").to_owned());
    call.context
        .state()
        .transact("image.members::delete", |txn| actions::remove(txn, &asker, &id, &project))
        .await?;
    Ok(Reply::empty(204))
}
