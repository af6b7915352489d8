//! Images' routes: parse, act, show.

use base::{Error, Kind, Result};
use serde_json::{Map, Value};
use web::{Call, Card, Policy, Reply, encode};

use super::{
    access::{
        ADMIN, Asker, COMMUNITIZE_IMAGE, GET_IMAGE, MEMBER, MODIFY_IMAGE, PUBLICIZE_IMAGE, READER,
        refused,
    },
    actions, list, patch, wire,
};
use crate::{context::Images, imports};

/// A patch may set many long properties.
const PATCH_LIMIT: usize = 4 * 1024 * 1024;

pub(crate) fn cards() -> Vec<Card<Images>> {
    vec![
        Card::get("/images", Policy::Checked(&[("get_images", READER)]), index),
        Card::post(
            "/images",
            Policy::Checked(&[("add_image", ADD), PUBLICIZE_IMAGE, COMMUNITIZE_IMAGE]),
            create,
        )
        .limit(PATCH_LIMIT),
        Card::get("/images/{image_id}", Policy::Checked(&[GET_IMAGE]), show),
        Card::patch(
            "/images/{image_id}",
            Policy::Checked(&[MODIFY_IMAGE, PUBLICIZE_IMAGE, COMMUNITIZE_IMAGE]),
            update,
        )
        .limit(PATCH_LIMIT)
        .media(&[patch::NEW, patch::OLD]),
        Card::delete("/images/{image_id}", Policy::Checked(&[("delete_image", MEMBER)]), delete),
        Card::post(
            "/images/{image_id}/actions/deactivate",
            Policy::Checked(&[("deactivate", MEMBER)]),
            deactivate,
        ),
        Card::post(
            "/images/{image_id}/actions/reactivate",
            Policy::Checked(&[("reactivate", MEMBER)]),
            reactivate,
        ),
        Card::put("/images/{image_id}/tags/{tag}", Policy::Checked(&[MODIFY_IMAGE]), tag),
        Card::delete("/images/{image_id}/tags/{tag}", Policy::Checked(&[MODIFY_IMAGE]), untag),
        Card::delete(
            "/stores/{store_id}/{image_id}",
            Policy::Checked(&[("delete_image_location", ADMIN)]),
            delete_from_store,
        ),
        Card::get(
            "/images/{image_id}/locations",
            Policy::Checked(&[("fetch_image_location", "rule:service_api")]),
            locations,
        ),
    ]
}

const ADD: &str =
    "rule:context_is_admin or (role:member and project_id:%(project_id)s and project_id:%(owner)s)";

async fn create(call: Call<Images>) -> Result<Reply> {
    let images = &call.context;
    let asker = Asker::of(&call);
    if call.bytes().is_empty() {
        return Err(Error::bad_request("Body expected in request."));
    }
    let (id, image) = wire::parse(call.any_value()?, asker.project(), call.world.wall())?;
    let id = id.unwrap_or_else(|| call.world.uuid().to_string());
    images
        .state()
        .transact("image.images::create", |txn| actions::create(txn, &asker, &id, image.clone()))
        .await?;
    let store = &images.options().store_name;
    Ok(Reply::json(201, wire::show(&id, &image, store))
        .header("location", call.link(&format!("/images/{id}")))
        .header("openstack-image-import-methods", imports::METHODS.join(","))
        .header("openstack-image-store-ids", store))
}

async fn index(call: Call<Images>) -> Result<Reply> {
    let images = &call.context;
    let asker = Asker::of(&call);
    if !asker.allows_own("get_images") {
        return Err(refused("get_images"));
    }
    let wanted = list::parse(&call.query)?;
    let snapshot = images.state().fresh().await?;
    let (page, more) = wanted.page(&snapshot, &asker)?;
    let store = &images.options().store_name;
    let shown = page.iter().map(|image| wire::show(&image.id, image, store)).collect();
    let mut body = Map::new();
    body.insert("images".to_owned(), Value::Array(shown));
    let next = page.last().filter(|_| more).map(|last| &*last.id);
    add_links(&mut body, &call, "/v2/images", next);
    body.insert("schema".to_owned(), "/v2/schemas/images".into());
    Ok(Reply::ok(Value::Object(body)))
}

/// Links to the first and the next page, relative as Glance's are.
pub(crate) fn add_links(
    body: &mut Map<String, Value>,
    call: &Call<Images>,
    path: &str,
    next: Option<&str>,
) {
    let link = |query: String| match query.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{query}"),
    };
    let first = call.query.with("marker", None);
    if let Some(next) = next {
        let and = if first.is_empty() { "" } else { "&" };
        let marker: String = encode(next).collect();
        body.insert("next".to_owned(), link(format!("{first}{and}marker={marker}")).into());
    }
    body.insert("first".to_owned(), link(first).into());
}

async fn show(call: Call<Images>) -> Result<Reply> {
    let images = &call.context;
    let image = Asker::of(&call).find(&images.state().fresh().await?, call.param("image_id"))?;
    Ok(Reply::ok(wire::show(&image.id, &image, &images.options().store_name)))
}

async fn update(call: Call<Images>) -> Result<Reply> {
    let images = &call.context;
    let asker = Asker::of(&call);
    let media = call.header("content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case(patch::NEW) && !media.eq_ignore_ascii_case(patch::OLD) {
        return Err(Error::new(
            Kind::UnsupportedMedia,
            format!("Image PATCH expects Content-Type one of: {}, {}", patch::OLD, patch::NEW),
        ));
    }
    if call.bytes().is_empty() {
        return Err(Error::bad_request("Body expected in request."));
    }
    let changes = patch::parse(&call.any_value()?, &media.to_ascii_lowercase())?;
    let id = call.param("image_id").to_owned();
    let image = images
        .state()
        .transact("image.images::update", |txn| actions::change(txn, &asker, &id, &changes))
        .await?;
    Ok(Reply::ok(wire::show(&id, &image, &images.options().store_name)))
}

async fn delete(call: Call<Images>) -> Result<Reply> {
    act(call, "image.images::delete", actions::delete).await
}

async fn deactivate(call: Call<Images>) -> Result<Reply> {
    act(call, "image.images::deactivate", actions::deactivate).await
}

async fn reactivate(call: Call<Images>) -> Result<Reply> {
    act(call, "image.images::reactivate", actions::reactivate).await
}

async fn act(
    call: Call<Images>,
    label: &'static str,
    action: fn(&mut state::Txn, &Asker, &str) -> Result<()>,
) -> Result<Reply> {
    let asker = Asker::of(&call);
    let id = call.param("image_id").to_owned();
    call.context.state().transact(label, |txn| action(txn, &asker, &id)).await?;
    Ok(Reply::empty(204))
}

async fn tag(call: Call<Images>) -> Result<Reply> {
    let asker = Asker::of(&call);
    let (id, tag) = (call.param("image_id").to_owned(), call.param("tag").to_owned());
    wire::check(&serde_json::json!({"tags": [tag]}))?;
    call.context
        .state()
        .transact("image.images::tag", |txn| actions::tag(txn, &asker, &id, &tag))
        .await?;
    Ok(Reply::empty(204))
}

async fn untag(call: Call<Images>) -> Result<Reply> {
    let asker = Asker::of(&call);
    let (id, tag) = (call.param("image_id").to_owned(), call.param("tag").to_owned());
    call.context
        .state()
        .transact("image.images::untag", |txn| actions::untag(txn, &asker, &id, &tag))
        .await?;
    Ok(Reply::empty(204))
}

/// There is one store, and an image is never without it.
async fn delete_from_store(call: Call<Images>) -> Result<Reply> {
    let images = &call.context;
    let asker = Asker::of(&call);
    let (store, id) = (call.param("store_id"), call.param("image_id"));
    if store != images.options().store_name {
        return Err(Error::conflict(format!(
            "The selected store {store} is not available on this node."
        )));
    }
    let found = asker.find(&images.state().fresh().await?, id);
    let image = found.map_err(|error| match error.kind() {
        Kind::NotFound => Error::not_found(format!("Failed to find image {id}")),
        _ => error,
    })?;
    asker.may("delete_image_location", &image)?;
    if image.status != super::Status::Active {
        return Err(Error::conflict(
            "It's not allowed to remove image data from store if image status is not 'active'",
        ));
    }
    Err(Error::forbidden(
        "Cannot delete image data from the only store containing it. Consider deleting the image instead.",
    ))
}

/// Where bytes are kept is nobody's business: there are no locations.
async fn locations(call: Call<Images>) -> Result<Reply> {
    let images = &call.context;
    let asker = Asker::of(&call);
    let image = asker.find(&images.state().fresh().await?, call.param("image_id"))?;
    asker.may("fetch_image_location", &image)?;
    Ok(Reply::ok(Value::Array(Vec::new())))
}
