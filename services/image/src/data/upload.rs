//! `PUT file` and `PUT stage`.
//!
//! First one transaction marks the image (nobody else uploads to it, and a controller that finds the mark of
//! a dead one puts the image back); then the bytes come; then one transaction makes them the image's. A
//! crash in between leaves at most an object that no record names, which the next start removes.

use std::sync::Arc;

use base::{Error, Kind, Result};
use web::{Call, Reply};

use super::intake::{self, Taken};
use crate::{
    context::Images,
    images::{
        Data, ImageRecord, Upload,
        access::Asker,
        actions::{self, Way},
    },
    inspect::{self, Source, Verdict},
};

pub(super) async fn upload(call: Call<Images>) -> Result<Reply> {
    take_in(call, Way::Upload).await
}

pub(super) async fn stage(call: Call<Images>) -> Result<Reply> {
    take_in(call, Way::Stage).await
}

async fn take_in(mut call: Call<Images>, way: Way) -> Result<Reply> {
    if call.header("content-type").is_none() {
        let why = "Invalid content type None";
        return Err(Error::new(Kind::UnsupportedMedia, why));
    }
    let announced = announced(&call)?;
    let images = call.context.clone();
    let asker = Asker::of(&call);
    let id = call.param("image_id").to_owned();
    let wanted = call.header("x-image-meta-store");
    if let Some(wanted) = wanted.filter(|wanted| *wanted != images.options().store_name) {
        return Err(Error::bad_request(format!("Unknown scheme '{wanted}' found in URI")));
    }
    let state = images.state();
    let mark = Upload {
        object: images.world().hex_id(),
        place: images.store().place().to_owned(),
        controller: state.name().to_owned(),
        incarnation: state.incarnation().to_owned(),
        since: images.world().wall(),
    };
    let writing = Writing::new(&images, &mark.object);
    let object = mark.object.clone();
    state
        .transact("image.data::begin", |txn| {
            actions::begin(txn, &asker, &id, way, mark.clone()).map_err(|error| {
                match (error.kind(), way) {
                    (Kind::Forbidden, Way::Upload) => {
                        Error::forbidden(format!("Not allowed to upload image data for image {id}"))
                    }
                    _ => error,
                }
            })
        })
        .await?;
    let body = call.take_stream();
    let taken = intake::take(&images, body, &object).await;
    let taken = taken.and_then(|taken| match announced {
        Some(size) if size != taken.size => Err(Error::bad_request(format!(
            "The image was said to have {size} bytes, but {} came.",
            taken.size
        ))),
        _ => Ok(taken),
    });
    let finished = match taken {
        Ok(taken) => finish(&images, &id, way, &object, taken).await,
        Err(error) => Err(error),
    };
    if let Err(error) = finished {
        give_up(&images, &id, &object).await;
        return Err(error);
    }
    drop(writing);
    Ok(Reply::empty(204))
}

/// Makes the bytes the image's.
async fn finish(images: &Images, id: &str, way: Way, object: &str, taken: Taken) -> Result<()> {
    let mut data = Data {
        object: object.to_owned(),
        place: images.store().place().to_owned(),
        size: taken.size,
        md5: taken.md5,
        sha512: taken.sha512,
        inspected: false,
        virtual_size: None,
    };
    if way == Way::Upload {
        // Its formats cannot change while bytes come in.
        let known = images.state().fresh().await?.find::<ImageRecord>(id)?;
        if let Some(image) = known {
            look_into(images, id, &image, &mut data).await?;
        }
    }
    let done = images
        .state()
        .transact("image.data::complete", |txn| actions::complete(txn, id, way, data.clone()))
        .await;
    done.map_err(|error| match error.kind() {
        Kind::NotFound => Error::new(
            Kind::Gone,
            format!(
                "Image {id} could not be found after upload. The image may have been deleted during the \
                 upload, cleaning up the chunks uploaded."
            ),
        ),
        _ => error,
    })
}

/// Looks at the bytes before anything trusts them.
///
/// # Errors
/// `UnsupportedMedia` when they are not what the image is declared to be, or reach outside themselves.
pub(crate) async fn look_into(
    images: &Images,
    id: &str,
    image: &ImageRecord,
    data: &mut Data,
) -> Result<()> {
    // Other containers are archives, which nothing here opens or boots.
    if image.container_format.as_deref() != Some("bare") {
        return Ok(());
    }
    let source: Arc<dyn Source> = images.open(id, data).await?;
    let matches = images.world().blocking(move || inspect::inspect(&*source)).await;
    let matches = matches.map_err(super::failed)?;
    let format = image.disk_format.as_deref().unwrap_or_default();
    match inspect::judge(&matches, format) {
        Verdict::Good { virtual_size } => {
            data.inspected = true;
            // What is used as raw is as large as it is.
            data.virtual_size = virtual_size.or((format == "raw").then_some(data.size));
            Ok(())
        }
        Verdict::Unsafe(why) => Err(Error::new(Kind::UnsupportedMedia, why)),
        Verdict::Mismatch(why) if images.options().require_format_match => {
            Err(Error::new(Kind::UnsupportedMedia, why))
        }
        Verdict::Mismatch(why) => {
            tracing::warn!(image.id = id, "taken, but never to be booted: {why}");
            Ok(())
        }
    }
}

/// Puts the image back and removes what came. What cannot be done now, the keeper does.
async fn give_up(images: &Images, id: &str, object: &str) {
    let (store, name) = (images.store().clone(), object.to_owned());
    // Before the mark goes: a controller that finds no mark may find no object either.
    if let Err(error) = images.world().blocking(move || store.delete(&name)).await {
        tracing::error!(image.id = id, object, "what an upload left could not be removed: {error}");
    }
    let back = images
        .state()
        .transact("image.data::break_off", |txn| actions::break_off(txn, id, object))
        .await;
    match back {
        Err(error) if error.kind() != Kind::NotFound => {
            tracing::error!(image.id = id, "an image could not be put back: {error:?}");
        }
        _ => {}
    }
}

/// How many bytes a client says that it sends, where it says so in the header made for that.
fn announced(call: &Call<Images>) -> Result<Option<u64>> {
    match call.headers.get("x-openstack-image-size") {
        None => Ok(None),
        Some(size) => match size.to_str().ok().and_then(|size| size.trim().parse().ok()) {
            Some(size) => Ok(Some(size)),
            None => Err(Error::bad_request("Invalid or missing image size in request headers.")),
        },
    }
}

/// An object that is being written: the keeper leaves it alone.
struct Writing {
    images: Images,
    object: String,
}

impl Writing {
    fn new(images: &Images, object: &str) -> Writing {
        images.writing().insert(object.to_owned());
        Writing { images: images.clone(), object: object.to_owned() }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.images.writing().remove(&self.object);
    }
}
