//! An image's record: what its owner said, what its upload found out, who may see it.

use base::{Map, Set, Timestamp};
use serde::{Deserialize, Serialize};
use state::{Index, Record, Scope};

/// An image, found by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// For people; need not be unique.
    #[serde(default)]
    pub name: Option<String>,
    /// The project that it belongs to.
    #[serde(default)]
    pub owner: Option<String>,
    /// Where its life stands.
    pub status: Status,
    /// Who sees it.
    pub visibility: Visibility,
    /// `bare`, `ova`, …
    #[serde(default)]
    pub container_format: Option<String>,
    /// `qcow2`, `raw`, …
    #[serde(default)]
    pub disk_format: Option<String>,
    /// GiB that a machine's root disk needs.
    #[serde(default)]
    pub min_disk: i64,
    /// MiB of memory that a machine needs.
    #[serde(default)]
    pub min_ram: i64,
    /// Cannot be deleted.
    #[serde(default)]
    pub protected: bool,
    /// Left out of lists, unless asked for.
    #[serde(default)]
    pub hidden: bool,
    /// Free words.
    #[serde(default)]
    pub tags: Set<String>,
    /// All other properties.
    #[serde(default)]
    pub properties: Map<String, String>,
    /// The projects that it is shared with.
    #[serde(default)]
    pub members: Map<String, Member>,
    /// The bytes, once they are there.
    #[serde(default)]
    pub data: Option<Data>,
    /// An upload under way; only its own end may change it.
    #[serde(default)]
    pub upload: Option<Upload>,
    /// The import under way: the id of its task.
    #[serde(default)]
    pub import: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Where an image's life stands. Drawn in the room's `mod.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Without bytes.
    Queued,
    /// Bytes are coming in.
    Saving,
    /// Bytes are staged, or come in to be.
    Uploading,
    /// The staged bytes are looked at.
    Importing,
    /// It can be used.
    Active,
    /// It has its bytes, which only admins may read.
    Deactivated,
}

impl Status {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Saving => "saving",
            Status::Uploading => "uploading",
            Status::Importing => "importing",
            Status::Active => "active",
            Status::Deactivated => "deactivated",
        }
    }
}

/// Who sees an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Everybody, in everybody's list.
    Public,
    /// Everybody, who asks for it.
    Community,
    /// The owner and its members.
    Shared,
    /// The owner.
    Private,
}

impl Visibility {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Visibility::Public => "public",
            Visibility::Community => "community",
            Visibility::Shared => "shared",
            Visibility::Private => "private",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Visibility> {
        [Visibility::Public, Visibility::Community, Visibility::Shared, Visibility::Private]
            .into_iter()
            .find(|visibility| visibility.name() == name)
    }
}

/// A project that an image is shared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// What the project says to it.
    pub status: MemberStatus,
    /// Since when.
    pub created_at: Timestamp,
    /// When it last said something else.
    pub updated_at: Timestamp,
}

/// What a project says to an image that is shared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberStatus {
    /// Nothing yet.
    Pending,
    /// It wants it in its list.
    Accepted,
    /// It does not.
    Rejected,
}

impl MemberStatus {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            MemberStatus::Pending => "pending",
            MemberStatus::Accepted => "accepted",
            MemberStatus::Rejected => "rejected",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<MemberStatus> {
        [MemberStatus::Pending, MemberStatus::Accepted, MemberStatus::Rejected]
            .into_iter()
            .find(|status| status.name() == name)
    }
}

/// An image's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// The object that holds them; its name is never used again.
    pub object: String,
    /// The place that the object is in: [`crate::store::Store::place`].
    pub place: String,
    /// How many.
    pub size: u64,
    /// MD5, in hex.
    pub md5: String,
    /// SHA-512, in hex.
    pub sha512: String,
    /// They were looked at and are safe to use as the image's `disk_format`.
    #[serde(default)]
    pub inspected: bool,
    /// What a guest sees of them.
    #[serde(default)]
    pub virtual_size: Option<u64>,
}

/// An upload under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The object that it becomes.
    pub object: String,
    /// The place of the object.
    pub place: String,
    /// The controller that takes it.
    pub controller: String,
    /// That controller's life: an upload ends with it.
    pub incarnation: String,
    /// Since when.
    pub since: Timestamp,
}

impl Record for ImageRecord {
    const TABLE: &'static str = "image.images";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<Self>] = &[
        Index { name: "owner", keys: |image, _| image.owner.iter().cloned().collect() },
        Index { name: "visibility", keys: |image, _| vec![image.visibility.name().to_owned()] },
        Index { name: "member", keys: |image, _| image.members.keys().cloned().collect() },
    ];
}

impl ImageRecord {
    /// An image without bytes.
    pub fn new(owner: Option<String>, now: Timestamp) -> ImageRecord {
        ImageRecord {
            name: None,
            owner,
            status: Status::Queued,
            visibility: Visibility::Shared,
            container_format: None,
            disk_format: None,
            min_disk: 0,
            min_ram: 0,
            protected: false,
            hidden: false,
            tags: Set::new(),
            properties: Map::new(),
            members: Map::new(),
            data: None,
            upload: None,
            import: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// The size, when it is shown: of the bytes, also of staged ones.
    pub fn size(&self) -> Option<u64> {
        self.data.as_ref().map(|data| data.size)
    }

    /// The bytes, when the image may be used.
    pub fn usable(&self) -> Option<&Data> {
        match self.status {
            Status::Active | Status::Deactivated => self.data.as_ref(),
            _ => None,
        }
    }
}

/// An object that is to be removed; found by the object's name. It is written by the transaction that
/// takes the object's image away, so that nothing is left when the controller dies right then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GarbageRecord {
    /// The place of the object: only a controller that has it can remove it.
    pub place: String,
    /// The image that it was of, for people.
    pub image: String,
    /// Since when.
    pub since: Timestamp,
}

impl Record for GarbageRecord {
    const TABLE: &'static str = "image.garbage";
    const SCOPE: Scope = Scope::Global;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        for visibility in
            [Visibility::Public, Visibility::Community, Visibility::Shared, Visibility::Private]
        {
            assert_eq!(Visibility::named(visibility.name()), Some(visibility));
        }
        for status in [MemberStatus::Pending, MemberStatus::Accepted, MemberStatus::Rejected] {
            assert_eq!(MemberStatus::named(status.name()), Some(status));
        }
        assert_eq!(Visibility::named("Public"), None);
    }
}
