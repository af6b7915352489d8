//! What users need to reach the cloud: passwords made at the first start, `clouds.yaml` and `openrc`.

use std::{
    fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use base::{Error, Result, Secret, World};
use serde::{Deserialize, Serialize};

/// The passwords of the users that every cloud begins with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Passwords {
    /// Of `admin`.
    pub admin: Secret,
    /// Of `demo`.
    pub demo: Secret,
}

const PASSWORDS: &str = "passwords.json";

impl Passwords {
    /// Those in the state directory, made at the first start.
    ///
    /// # Errors
    /// When the file can be neither read nor made.
    pub fn open_or_make(world: &World, dir: &Path) -> Result<Passwords> {
        let path = dir.join(PASSWORDS);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Error::internal(format!("{} cannot be read", path.display())).with_source(error)
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = Passwords { admin: password(world), demo: password(world) };
                made.write(dir)?;
                Ok(made)
            }
            Err(error) => Err(file_error(&path, error)),
        }
    }

    /// Keeps them.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::internal("encoding").with_source(error))?;
        write_private(&dir.join(PASSWORDS), &text)
    }
}

/// A new password: 24 letters and digits.
pub fn password(world: &World) -> Secret {
    const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let letter = |_| {
        let at = usize::try_from(world.below(LETTERS.len() as u64)).unwrap_or(0);
        char::from(LETTERS[at])
    };
    Secret::new((0..24).map(letter).collect::<String>())
}

/// What the files say of the cloud.
pub struct Cloud<'a> {
    /// The APIs' common URL.
    pub url: &'a str,
    /// The region.
    pub region: &'a str,
    /// The CA's certificate, when it is not one that clients know.
    pub cacert: Option<PathBuf>,
}

/// Writes `clouds.yaml` and `openrc`, readable by their owner only.
///
/// # Errors
/// When a file cannot be written.
pub fn write_files(dir: &Path, cloud: &Cloud<'_>, passwords: &Passwords) -> Result<()> {
    let entry = |name: &str, user: &str, project: &str, secret: &Secret| {
        let mut text = format!(
            "  {name}:\n    auth:\n      auth_url: {}/identity/v3\n      username: {user}\n      \
             password: \"{}\"\n      project_name: {project}\n      user_domain_id: default\n      \
             project_domain_id: default\n    region_name: {}\n    identity_api_version: 3\n",
            cloud.url,
            secret.expose(),
            cloud.region
        );
        if let Some(ca) = &cloud.cacert {
            text += &format!("    cacert: \"{}\"\n", ca.display());
        }
        text
    };
    let yaml = format!(
        "clouds:\n{}{}",
        entry("everstack", "admin", "admin", &passwords.admin),
        entry("demo", "demo", "demo", &passwords.demo)
    );
    write_private(&dir.join("clouds.yaml"), &yaml)?;
    let mut openrc = format!(
        "export OS_AUTH_URL={}/identity/v3\nexport OS_USERNAME=admin\nexport OS_PASSWORD='{}'\n\
         export OS_PROJECT_NAME=admin\nexport OS_USER_DOMAIN_ID=default\n\
         export OS_PROJECT_DOMAIN_ID=default\nexport OS_REGION_NAME={}\n\
         export OS_IDENTITY_API_VERSION=3\n",
        cloud.url,
        passwords.admin.expose(),
        cloud.region
    );
    if let Some(ca) = &cloud.cacert {
        openrc += &format!("export OS_CACERT='{}'\n", ca.display());
    }
    write_private(&dir.join("openrc"), &openrc)
}

/// Writes a file of mode 0600 whole or not at all.
///
/// # Errors
/// Names the file.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let temporary = path.with_extension("new");
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        match path.parent() {
            Some(dir) => fs::File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(|error| file_error(path, error))
}

fn file_error(path: &Path, error: std::io::Error) -> Error {
    Error::internal(format!("{}: {error}", path.display())).with_source(error)
}
