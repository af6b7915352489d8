//! Images as a node needs them. Their bytes never travel with the orders.

use std::ops::Range;

use async_trait::async_trait;
use base::Result;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Which image, and what its bytes must hash to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRef {
    /// Glance's id.
    pub id: String,
    /// Length in bytes.
    pub size: u64,
    /// SHA-512 in hex (`os_hash_value`).
    pub sha512: String,
    /// `qcow2`, `raw`, …: as inspected at upload.
    pub disk_format: String,
    /// The guest's disk size in bytes.
    pub virtual_size: u64,
}

/// Where a node gets an image's bytes from.
#[async_trait]
pub trait ImageSource: Send + Sync {
    /// Some bytes of the image, starting at `range.start`, at most up to `range.end`; never none
    /// inside the image. The whole is checked against the hash by who asks.
    async fn fetch(&self, image: &ImageRef, range: Range<u64>) -> Result<Bytes>;
}
