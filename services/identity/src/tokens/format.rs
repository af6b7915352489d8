//! What a token says and how it is written: a short sealed text that any controller can open. It names
//! (user, scope, times) and grants nothing: roles are looked up at each use.
//!
//! `base64url(1 | key id (4) | nonce (24) | sealed)`, below 255 characters. The sealed part is bound to
//! the store's era, so that tokens of another life of the store do not open.

use base::{Era, Timestamp};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305,
    aead::{Aead as _, Payload},
};

const FORMAT: u8 = 1;
const KEY_ID: usize = 4;
const NONCE: usize = 24;
/// Longer ones are not even looked at.
const LONGEST: usize = 255;

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenScope {
    /// For nothing but asking for another token.
    Unscoped,
    /// For a project.
    Project(String),
    /// For a domain.
    Domain(String),
    /// For the whole system.
    System,
}

/// How the user proved to be, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Methods(pub u8);

impl Methods {
    /// By password.
    pub const PASSWORD: Methods = Methods(1);
    /// By another token.
    pub const TOKEN: Methods = Methods(2);
    /// By an application credential.
    pub const APPLICATION_CREDENTIAL: Methods = Methods(4);
    /// By an EC2 signature.
    pub const EC2: Methods = Methods(8);

    const NAMES: [(Methods, &'static str); 4] = [
        (Methods::PASSWORD, "password"),
        (Methods::TOKEN, "token"),
        (Methods::APPLICATION_CREDENTIAL, "application_credential"),
        (Methods::EC2, "ec2credential"),
    ];

    /// Both.
    #[must_use]
    pub fn and(self, other: Methods) -> Methods {
        Methods(self.0 | other.0)
    }

    /// Whether all of `other` are among these.
    pub fn has(self, other: Methods) -> bool {
        self.0 & other.0 == other.0
    }

    /// As the API names them.
    pub fn names(self) -> Vec<&'static str> {
        Methods::NAMES.iter().filter(|(m, _)| self.has(*m)).map(|(_, name)| *name).collect()
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Who it was given to.
    pub user_id: String,
    /// What for.
    pub scope: TokenScope,
    /// How the user proved to be.
    pub methods: Methods,
    /// When it was given.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// Its audit id.
    pub audit: [u8; 16],
    /// The audit id of the token that its chain began with.
    pub chain: Option<[u8; 16]>,
    /// The store's revision that it was given at: a revocation that is newer ends it.
    pub revision: u64,
    /// The application credential behind it.
    pub app_cred: Option<String>,
    /// The trust behind it.
    pub trust: Option<String>,
}

impl Token {
    /// Its audit id and its chain's, as the API writes them.
    pub fn audit_ids(&self) -> Vec<String> {
        std::iter::once(self.audit).chain(self.chain).map(|id| URL_SAFE_NO_PAD.encode(id)).collect()
    }

    /// Its audit id as text.
    pub fn audit_id(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.audit)
    }
}

/// A key that tokens are sealed with.
#[derive(Clone)]
pub(crate) struct TokenKey {
    id: [u8; KEY_ID],
    cipher: XChaCha20Poly1305,
}

impl TokenKey {
    pub(crate) fn new(id: [u8; KEY_ID], secret: [u8; 32]) -> TokenKey {
        TokenKey { id, cipher: XChaCha20Poly1305::new(&secret.into()) }
    }
}

/// Writes a token. None when it says too much, which ids of ordinary length do not.
pub(crate) fn seal(token: &Token, key: &TokenKey, era: &Era, nonce: [u8; NONCE]) -> Option<String> {
    let mut head = vec![FORMAT];
    head.extend(key.id);
    let aad = bound_to(&head, era);
    let message = pack(token);
    let sealed = key.cipher.encrypt(&nonce.into(), Payload { msg: &message, aad: &aad }).ok()?;
    head.extend(nonce);
    head.extend(sealed);
    let text = URL_SAFE_NO_PAD.encode(head);
    (text.len() < LONGEST).then_some(text)
}

/// Reads a token; none when it is not one of ours.
pub(crate) fn open<'k>(
    text: &str,
    era: &Era,
    key: impl FnOnce(&[u8; KEY_ID]) -> Option<&'k TokenKey>,
) -> Option<Token> {
    if text.len() >= LONGEST {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (head, rest) = bytes.split_at_checked(1 + KEY_ID)?;
    let (&[FORMAT], id) = head.split_first_chunk::<1>()? else { return None };
    let key = key(id.first_chunk()?)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
    let aad = bound_to(head, era);
    let message = key.cipher.decrypt(&(*nonce).into(), Payload { msg: sealed, aad: &aad }).ok()?;
    unpack(&message)
}

/// The key that a token names, without opening it.
pub(crate) fn key_id(text: &str) -> Option<[u8; KEY_ID]> {
    let bytes = URL_SAFE_NO_PAD.decode(text.get(..8)?).ok()?;
    bytes.get(1..=KEY_ID)?.try_into().ok()
}

fn bound_to(head: &[u8], era: &Era) -> Vec<u8> {
    [head, era.0.as_bytes()].concat()
}

const HAS_CHAIN: u8 = 1;
const HAS_APP_CRED: u8 = 2;
const HAS_TRUST: u8 = 4;

fn pack(token: &Token) -> Vec<u8> {
    let mut out = Vec::with_capacity(160);
    let mut has = 0;
    has |= if token.chain.is_some() { HAS_CHAIN } else { 0 };
    has |= if token.app_cred.is_some() { HAS_APP_CRED } else { 0 };
    has |= if token.trust.is_some() { HAS_TRUST } else { 0 };
    out.push(has);
    out.push(token.methods.0);
    out.extend(token.issued.micros().to_be_bytes());
    out.extend(token.expires.micros().to_be_bytes());
    out.extend(token.revision.to_be_bytes());
    out.extend(token.audit);
    out.extend(token.chain.iter().flatten());
    pack_id(&mut out, &token.user_id);
    match &token.scope {
        TokenScope::Unscoped => out.push(0),
        TokenScope::Project(id) => {
            out.push(1);
            pack_id(&mut out, id);
        }
        TokenScope::Domain(id) => {
            out.push(2);
            pack_id(&mut out, id);
        }
        TokenScope::System => out.push(3),
    }
    for id in token.app_cred.iter().chain(&token.trust) {
        pack_id(&mut out, id);
    }
    out
}

/// 32 hex digits are 16 bytes behind a zero; anything else is its length and its text.
fn pack_id(out: &mut Vec<u8>, id: &str) {
    match unhex(id) {
        Some(bytes) => {
            out.push(0);
            out.extend(bytes);
        }
        None => {
            let text = id.as_bytes();
            let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
            out.push(length);
            out.extend(text.iter().take(usize::from(length)));
        }
    }
}

fn unhex(id: &str) -> Option<[u8; 16]> {
    if id.len() != 32 || !id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    Some(u128::from_str_radix(id, 16).ok()?.to_be_bytes())
}

fn unpack(bytes: &[u8]) -> Option<Token> {
    let mut reader = Reader(bytes);
    let [has, methods] = reader.array()?;
    let issued = Timestamp::from_micros(i64::from_be_bytes(reader.array()?));
    let expires = Timestamp::from_micros(i64::from_be_bytes(reader.array()?));
    let revision = u64::from_be_bytes(reader.array()?);
    let audit = reader.array()?;
    let chain = if has & HAS_CHAIN != 0 { Some(reader.array()?) } else { None };
    let user_id = reader.id()?;
    let scope = match reader.array()? {
        [0] => TokenScope::Unscoped,
        [1] => TokenScope::Project(reader.id()?),
        [2] => TokenScope::Domain(reader.id()?),
        [3] => TokenScope::System,
        _ => return None,
    };
    let app_cred = if has & HAS_APP_CRED != 0 { Some(reader.id()?) } else { None };
    let trust = if has & HAS_TRUST != 0 { Some(reader.id()?) } else { None };
    reader.0.is_empty().then_some(Token {
        user_id,
        scope,
        methods: Methods(methods),
        issued,
        expires,
        audit,
        chain,
        revision,
        app_cred,
        trust,
    })
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn id(&mut self) -> Option<String> {
        match self.array()? {
            [0] => Some(format!("{:032x}", u128::from_be_bytes(self.array()?))),
            [length] => {
                let (text, rest) = self.0.split_at_checked(usize::from(length))?;
                self.0 = rest;
                String::from_utf8(text.to_vec()).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> TokenKey {
        TokenKey::new([7; 4], [9; 32])
    }

    fn era(name: &str) -> Era {
        Era(name.into())
    }

    fn ids() -> impl Strategy<Value = String> {
        prop_oneof![
            "[0-9a-f]{32}",
            Just("default".to_owned()),
            Just(String::new()).prop_map(|_| "x".to_owned()),
        ]
    }

    prop_compose! {
        fn tokens()(
            user_id in ids(),
            scope in prop_oneof![
                Just(TokenScope::Unscoped), Just(TokenScope::System),
                ids().prop_map(TokenScope::Project), ids().prop_map(TokenScope::Domain),
            ],
            methods in 0u8..16,
            issued in 0i64..4_000_000_000_000_000,
            expires in 0i64..4_000_000_000_000_000,
            audit: [u8; 16],
            chain: Option<[u8; 16]>,
            revision: u64,
            app_cred in proptest::option::of(ids()),
        ) -> Token {
            Token {
                user_id, scope, methods: Methods(methods),
                issued: Timestamp::from_micros(issued), expires: Timestamp::from_micros(expires),
                audit, chain, revision, app_cred, trust: None,
            }
        }
    }

    proptest! {
        #[test]
        fn opens_what_it_sealed(token in tokens(), nonce: [u8; 24]) {
            let key = key();
            let text = seal(&token, &key, &era("e"), nonce).expect("sealed");
            prop_assert!(text.len() < 255);
            prop_assert_eq!(key_id(&text), Some([7; 4]));
            prop_assert_eq!(open(&text, &era("e"), |_| Some(&key)), Some(token));
            prop_assert_eq!(open(&text, &era("other"), |_| Some(&key)), None);
        }

        #[test]
        fn one_changed_character_is_refused(token in tokens(), at in 0usize..400, to in "[A-Za-z0-9_-]") {
            let key = key();
            let text = seal(&token, &key, &era("e"), [3; 24]).expect("sealed");
            let at = at % text.len();
            let changed = format!("{}{to}{}", &text[..at], &text[at + 1..]);
            prop_assume!(changed != text);
            prop_assert_eq!(open(&changed, &era("e"), |_| Some(&key)), None);
        }

        #[test]
        fn any_text_is_read_without_harm(text in "\\PC{0,300}", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let key = key();
            prop_assert_eq!(open(&text, &era("e"), |_| Some(&key)), None);
            let _whatever = key_id(&text);
            let _whatever = unpack(&bytes);
        }
    }
}
