//! What every handler and reconciler of this service is given.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use base::{Error, Kind, Result, Set, World};
use bytes::Bytes;
use control::Reconciler;
use orders::{ImageRef, ImageSource};
use state::State;

use crate::{
    data,
    images::{Data, ImageKeeper, ImageRecord},
    imports::ImportKeeper,
    inspect::Source,
    store::Store,
};

/// How the image service behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Content must be of the declared `disk_format`. Without this, content that nothing recognises is
    /// taken (and never booted); what reaches outside itself is refused always.
    pub require_format_match: bool,
    /// The largest image, in bytes.
    pub largest: u64,
    /// The name under which the store of bytes is known outside.
    pub store_name: String,
}

impl Default for Options {
    fn default() -> Options {
        Options { require_format_match: true, largest: 1 << 40, store_name: "local".to_owned() }
    }
}

/// The image service of one controller. Clones share everything.
#[derive(Clone)]
pub struct Images(Arc<Inner>);

struct Inner {
    state: State,
    store: Arc<dyn Store>,
    options: Options,
    /// Objects that this controller is writing right now.
    writing: Mutex<Set<String>>,
}

impl Images {
    /// The image service over a state and a place for bytes.
    pub fn new(state: &State, store: Arc<dyn Store>, options: Options) -> Images {
        let inner = Inner { state: state.clone(), store, options, writing: Mutex::default() };
        Images(Arc::new(inner))
    }

    /// What keeps things so: to be started on each controller.
    pub fn reconcilers(&self) -> Vec<Arc<dyn Reconciler>> {
        vec![Arc::new(ImageKeeper::new(self)), Arc::new(ImportKeeper::new(self))]
    }

    /// The state of the cloud.
    pub fn state(&self) -> &State {
        &self.0.state
    }

    /// How it behaves.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn world(&self) -> &World {
        self.0.state.world()
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    pub(crate) fn writing(&self) -> MutexGuard<'_, Set<String>> {
        self.0.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens an image's bytes for reading.
    ///
    /// # Errors
    /// `Unavailable` when they are with another controller or gone.
    pub(crate) async fn open(&self, id: &str, data: &Data) -> Result<Arc<dyn Source>> {
        if data.place != self.store().place() {
            return Err(Error::unavailable(format!(
                "The bytes of image {id} are kept at {}, which this controller cannot read.",
                data.place
            )));
        }
        let (store, object) = (self.store().clone(), data.object.clone());
        match self.world().blocking(move || store.open(&object)).await {
            Ok(Some(source)) if source.length() == data.size => Ok(source),
            Ok(_) => Err(Error::unavailable(format!(
                "The bytes of image {id} are not where they were put; the image must be made anew."
            ))),
            Err(error) => Err(data::failed(error)),
        }
    }

    /// Some bytes of an image that can be used, starting at the range's start; fewer than asked for at
    /// its end. Visibility is not looked at: who runs a machine has looked.
    ///
    /// # Errors
    /// `NotFound` when there is no such image with bytes, `RangeNotSatisfiable` beyond its end.
    pub async fn read(&self, id: &str, range: Range<u64>) -> Result<Bytes> {
        // A record that is behind is as good: an object's name is never used again.
        let image = self.state().known().find::<ImageRecord>(id)?;
        let Some(image) = image.filter(|image| image.usable().is_some()) else {
            return Err(Error::not_found(format!("No image found with ID {id}")));
        };
        let Some(bytes) = image.usable() else {
            return Err(Error::not_found(format!("No image found with ID {id}")));
        };
        if range.start >= bytes.size || range.start >= range.end {
            return Err(Error::new(
                Kind::RangeNotSatisfiable,
                format!("Image {id} has {} bytes; there are none at {range:?}.", bytes.size),
            ));
        }
        let source = self.open(id, bytes).await?;
        data::read(self.world(), source, range).await
    }
}

#[async_trait]
impl ImageSource for Images {
    async fn fetch(&self, image: &ImageRef, range: Range<u64>) -> Result<Bytes> {
        self.read(&image.id, range).await
    }
}
