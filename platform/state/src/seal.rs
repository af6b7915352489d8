//! Sealing of secret fields before they go into the store: an AEAD bound to the record's key and the
//! field's name, so that a sealed text copied elsewhere does not open. The keys are never in the store:
//! they are in a file that only its owner can read.
//!
//! The file: a line `<id> <key>` each, 8 hex digits and 32 bytes in base64; the first seals, all unseal.
//! A sealed text: `sealed:<id>:<base64 of nonce and ciphertext>`.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use base::{Error, Result, World};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305,
    aead::{Aead as _, Payload},
};
use sha2::{Digest as _, Sha256};

const NONCE: usize = 24;

/// Seals and unseals. Clones share the keys.
#[derive(Clone)]
pub struct Sealer {
    world: World,
    keys: Vec<SealingKey>,
}

#[derive(Clone)]
struct SealingKey {
    id: String,
    secret: [u8; 32],
}

impl SealingKey {
    /// The id is made from the key, so that two hosts name it alike.
    fn new(secret: [u8; 32]) -> SealingKey {
        let digest = Sha256::digest([b"everstack sealing key".as_slice(), &secret].concat());
        let mut id = String::new();
        for byte in &digest[..4] {
            let _ = write!(id, "{byte:02x}");
        }
        SealingKey { id, secret }
    }

    fn line(&self) -> String {
        format!("{} {}\n", self.id, BASE64.encode(self.secret))
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|key| &key.id).collect();
        f.debug_struct("Sealer").field("keys", &ids).finish_non_exhaustive()
    }
}

impl Sealer {
    /// With one key: tests and simulated clouds.
    pub fn from_key(world: &World, secret: [u8; 32]) -> Sealer {
        Sealer { world: world.clone(), keys: vec![SealingKey::new(secret)] }
    }

    /// With the keys of this file; makes it, with a fresh key, if it is not there. Whoever makes it
    /// first wins; others then read it. Blocks: call it at start.
    ///
    /// # Errors
    /// The file cannot be read or made, others may read it, or it is damaged.
    pub fn open_or_create(world: &World, path: &Path) -> Result<Sealer> {
        match read(path)? {
            Some(keys) => Ok(Sealer { world: world.clone(), keys }),
            None => {
                let text = SealingKey::new(world.random()).line();
                let create = |temporary: &Path| fs::hard_link(temporary, path);
                match write_beside(world, path, &text, create) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(failed("make", path, error)),
                }
                Sealer::open(world, path)
            }
        }
    }

    /// With the keys of this file, which must be there.
    ///
    /// # Errors
    /// As [`Sealer::open_or_create`].
    pub fn open(world: &World, path: &Path) -> Result<Sealer> {
        match read(path)? {
            Some(keys) => Ok(Sealer { world: world.clone(), keys }),
            None => Err(Error::internal(format!(
                "There is no sealing key file {}. Copy it from another controller or from a backup; \
                 secrets in the store cannot be read without it.",
                path.display()
            ))),
        }
    }

    /// With the keys of this text, in the file's form.
    ///
    /// # Errors
    /// It is damaged; the error never shows it.
    pub fn from_text(world: &World, text: &str) -> Result<Sealer> {
        Ok(Sealer { world: world.clone(), keys: parse(text, "the sealing keys")? })
    }

    /// Puts a fresh key in front in the file and gives the sealer that uses it. Other controllers
    /// need the new file before they can read what is sealed from then on.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn rotate(world: &World, path: &Path) -> Result<Sealer> {
        let mut keys = Sealer::open(world, path)?.keys;
        keys.insert(0, SealingKey::new(world.random()));
        let text: String = keys.iter().map(SealingKey::line).collect();
        let replace = |temporary: &Path| fs::rename(temporary, path);
        write_beside(world, path, &text, replace).map_err(|error| failed("rotate", path, error))?;
        Sealer::open(world, path)
    }

    /// The keys in the file's form: to hand them to a joining controller or into a backup, which must
    /// both be kept as secret as the file.
    pub fn text(&self) -> base::Secret {
        base::Secret::new(self.keys.iter().map(SealingKey::line).collect::<String>())
    }

    /// The id of the key that seals: differs after a rotation.
    pub fn key_id(&self) -> &str {
        self.keys.first().map_or("", |key| &key.id)
    }

    /// Whether this was sealed with the newest key; if not, seal it anew when it is next written.
    pub fn is_newest(&self, sealed: &str) -> bool {
        split(sealed).is_some_and(|(id, _)| id == self.key_id())
    }

    /// Seals one field of the record that is stored under `key`.
    ///
    /// # Errors
    /// Only for a secret too long to be encrypted.
    pub fn seal(&self, key: &str, field: &str, plain: &[u8]) -> Result<String> {
        let nonce: [u8; NONCE] = self.world.random();
        let (Some(newest), Some(cipher)) = (self.keys.first(), self.cipher(self.key_id())) else {
            return Err(Error::internal("There is no sealing key."));
        };
        let aad = place(key, field);
        let sealed = cipher
            .encrypt(&nonce.into(), Payload { msg: plain, aad: &aad })
            .map_err(|_| Error::internal(format!("{field} of {key} could not be sealed.")))?;
        Ok(format!("sealed:{}:{}", newest.id, BASE64.encode([&nonce[..], &sealed].concat())))
    }

    /// Unseals what [`Sealer::seal`] made for the same record and field.
    ///
    /// # Errors
    /// Its key is not there, or it was changed or belongs elsewhere.
    pub fn unseal(&self, key: &str, field: &str, sealed: &str) -> Result<Vec<u8>> {
        let what = || format!("{field} of {key}");
        let Some((id, text)) = split(sealed) else {
            return Err(Error::internal(format!("{} is not a sealed text.", what())));
        };
        let Some(cipher) = self.cipher(id) else {
            return Err(Error::internal(format!(
                "{} is sealed with the key {id}, which the sealing key file here does not hold. \
                 Copy the file from a controller that has it.",
                what()
            )));
        };
        let broken = || {
            Error::internal(format!(
                "{} does not unseal: it was changed, or moved from another record.",
                what()
            ))
        };
        let bytes = BASE64.decode(text).map_err(|_| broken())?;
        let (nonce, message) = bytes.split_first_chunk::<NONCE>().ok_or_else(broken)?;
        let payload = Payload { msg: message, aad: &place(key, field) };
        cipher.decrypt(&(*nonce).into(), payload).map_err(|_| broken())
    }

    fn cipher(&self, id: &str) -> Option<XChaCha20Poly1305> {
        let key = self.keys.iter().find(|key| key.id == id)?;
        Some(XChaCha20Poly1305::new(&key.secret.into()))
    }
}

/// What a sealed text is bound to. The length keeps "ab"+"c" and "a"+"bc" apart.
fn place(key: &str, field: &str) -> Vec<u8> {
    format!("{}:{key}{field}", key.len()).into_bytes()
}

fn split(sealed: &str) -> Option<(&str, &str)> {
    sealed.strip_prefix("sealed:")?.split_once(':')
}

fn parse(text: &str, name: &str) -> Result<Vec<SealingKey>> {
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let key = line.trim().split_once(' ').and_then(|(id, secret)| {
            let secret: [u8; 32] = BASE64.decode(secret).ok()?.try_into().ok()?;
            Some(SealingKey::new(secret)).filter(|key| key.id == id)
        });
        match key {
            Some(key) => keys.push(key),
            None => {
                return Err(Error::internal(format!(
                    "Line {} of {name} is damaged. Copy the file from another controller or from a \
                     backup.",
                    number + 1
                )));
            }
        }
    }
    if keys.is_empty() {
        return Err(Error::internal(format!("There is no key in {name}.")));
    }
    Ok(keys)
}

fn read(path: &Path) -> Result<Option<Vec<SealingKey>>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path, error)),
    };
    let mode = file.metadata().map_err(|error| failed("read", path, error))?.mode();
    if mode & 0o077 != 0 {
        return Err(Error::internal(format!(
            "Others than its owner can reach the sealing key file {0} (mode {1:04o}). Run: chmod 600 {0}",
            path.display(),
            mode & 0o7777
        )));
    }
    let mut text = String::new();
    io::Read::read_to_string(&mut file, &mut text).map_err(|error| failed("read", path, error))?;
    parse(&text, &format!("the sealing key file {}", path.display())).map(Some)
}

/// Writes a file whole or not at all: beside its place, synced, then put there by `place`.
fn write_beside(
    world: &World,
    path: &Path,
    text: &str,
    place: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", &world.hex_id()[..8]));
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        place(&temporary)
    })();
    // After a rename it is gone already.
    let _ = fs::remove_file(&temporary);
    written?;
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

fn failed(verb: &str, path: &Path, error: io::Error) -> Error {
    let file = path.display();
    Error::internal(format!("Cannot {verb} the sealing key file {file}: {error}"))
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "/cell/users/3f/ab";

    #[test]
    fn opens_only_in_its_place() {
        let sealer = Sealer::from_key(&World::real(), [7; 32]);
        let sealed = sealer.seal(KEY, "totp", b"secret").expect("sealed");
        assert!(!sealed.contains("secret"));
        assert_eq!(sealer.unseal(KEY, "totp", &sealed).expect("unsealed"), b"secret");
        assert_ne!(sealer.seal(KEY, "totp", b"secret").expect("sealed"), sealed);
        for (key, field) in
            [("/cell/users/3f/ac", "totp"), (KEY, "other"), ("/cell/users/3f/abt", "otp")]
        {
            let error = sealer.unseal(key, field, &sealed).expect_err("elsewhere");
            assert!(error.message().contains("moved from another record"), "{error}");
        }
        let error = Sealer::from_key(&World::real(), [8; 32])
            .unseal(KEY, "totp", &sealed)
            .expect_err("another key");
        assert!(error.message().contains("does not hold"), "{error}");
        assert!(!format!("{sealer:?}").contains("7, 7"));
    }

    #[test]
    fn a_file_made_once_and_rotated() {
        let world = World::real();
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sealing.keys");
        let error = Sealer::open(&world, &path).expect_err("not there");
        assert!(error.message().contains("no sealing key file"), "{error}");
        let first = Sealer::open_or_create(&world, &path).expect("made");
        assert_eq!(fs::metadata(&path).expect("made").mode() & 0o777, 0o600);
        let sealed = first.seal(KEY, "f", b"x").expect("sealed");
        let second = Sealer::open_or_create(&world, &path).expect("read");
        assert_eq!(second.unseal(KEY, "f", &sealed).expect("the same key"), b"x");

        let rotated = Sealer::rotate(&world, &path).expect("rotated");
        assert_eq!(rotated.unseal(KEY, "f", &sealed).expect("the old key too"), b"x");
        assert!(!rotated.is_newest(&sealed) && first.is_newest(&sealed));
        let newer = rotated.seal(KEY, "f", b"y").expect("sealed");
        assert!(rotated.is_newest(&newer));
        assert!(first.unseal(KEY, "f", &newer).is_err());
        let copied = Sealer::from_text(&world, rotated.text().expose()).expect("handed over");
        assert_eq!(copied.unseal(KEY, "f", &newer).expect("handed over"), b"y");
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1, "nothing left over");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
        let error = Sealer::open_or_create(&world, &path).expect_err("others may read it");
        assert!(error.message().contains("chmod 600"), "{error}");
    }

    #[test]
    fn made_once_by_many() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sealing.keys");
        let open = || Sealer::open_or_create(&World::real(), &path).expect("opened");
        let ids: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| open().key_id().to_owned())).collect();
            threads.into_iter().map(|thread| thread.join().expect("joined")).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn a_damaged_file_is_named_and_not_shown() {
        let world = World::real();
        let good = Sealer::from_key(&world, [1; 32]).text().expose().to_owned();
        for bad in ["", "\n", "x", &good[..good.len() - 4], &good.replacen('A', "B", 1)] {
            let error = Sealer::from_text(&world, bad).expect_err("damaged");
            let shown = error.message();
            assert!(shown.contains("damaged") || shown.contains("no key"), "{shown}");
            assert!(!shown.contains("AQEB"), "{shown}");
        }
        let two = format!("{good}\n{}", Sealer::from_key(&world, [2; 32]).text().expose());
        assert!(Sealer::from_text(&world, &two).is_ok());
    }

    proptest! {
        #[test]
        fn nothing_else_unseals(text in ".{0,80}", at in 0usize..60, flip in 1u8..255) {
            let sealer = Sealer::from_key(&World::real(), [7; 32]);
            prop_assert!(sealer.unseal(KEY, "f", &text).is_err());
            let forged = format!("sealed:{}:{text}", sealer.key_id());
            prop_assert!(sealer.unseal(KEY, "f", &forged).is_err());
            let sealed = sealer.seal(KEY, "f", text.as_bytes()).expect("sealed");
            prop_assert_eq!(sealer.unseal(KEY, "f", &sealed).expect("unsealed"), text.as_bytes());
            let mut bytes = sealed.into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            if let Ok(changed) = String::from_utf8(bytes) {
                prop_assert!(sealer.unseal(KEY, "f", &changed).is_err());
            }
        }
    }
}
