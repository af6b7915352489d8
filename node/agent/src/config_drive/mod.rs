//! The config drive: a small read-only disk by which a guest without a metadata service learns its name,
//! keys and user data. An ISO 9660 image with Rock Ridge and Joliet names, label `config-2`.

mod iso;
#[cfg(test)]
mod reader;
#[cfg(test)]
mod tests;
mod tree;

use base::{Error, Result};
use orders::ConfigDrive;

/// Larger drives are refused: user data is bounded by the API, so this is a mistake or an attack.
const LARGEST: usize = 64 << 20;

/// The image's bytes.
pub fn build(drive: &ConfigDrive) -> Result<Vec<u8>> {
    let size: usize = drive.files.values().map(|content| content.len()).sum();
    if size > LARGEST {
        return Err(Error::bad_request(format!(
            "The config drive's files have {size} bytes; at most {LARGEST} are allowed."
        )));
    }
    Ok(iso::image("config-2", &tree::Tree::new(&drive.files)?))
}
