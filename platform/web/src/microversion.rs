//! Microversions: how a request names one, what is answered when it names a wrong one, and the headers
//! that say which one was used. Knows no resource.

use std::{fmt, str::FromStr};

use base::{Error, Kind, Result};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{Entry, VARY},
};

/// A microversion such as 2.96. Services without microversions have 0.0 everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Microversion(pub u16, pub u16);

/// Short for [`Microversion`]: `call.version >= v(2, 90)`.
pub const fn v(major: u16, minor: u16) -> Microversion {
    Microversion(major, minor)
}

impl Microversion {
    /// `self >= other`, usable in constants.
    pub const fn reaches(self, other: Microversion) -> bool {
        self.0 > other.0 || (self.0 == other.0 && self.1 >= other.1)
    }
}

impl fmt::Display for Microversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The text is not `MAJOR.MINOR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAVersion;

impl FromStr for Microversion {
    type Err = NotAVersion;

    /// `[1-9]\d*.(0|[1-9]\d*)`, as the services' own parsers have it.
    fn from_str(text: &str) -> Result<Microversion, NotAVersion> {
        let number = |digits: &str, zero: bool| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let canonical = !digits.starts_with('0') || (zero && digits == "0");
            // A number too large for us is a version that nobody has.
            (plain && canonical).then(|| digits.parse().unwrap_or(u16::MAX))
        };
        let (major, minor) = text.split_once('.').ok_or(NotAVersion)?;
        match (number(major, false), number(minor, true)) {
            (Some(major), Some(minor)) => Ok(Microversion(major, minor)),
            _ => Err(NotAVersion),
        }
    }
}

/// Reads a version written in the program's own tables, `"2.26"`.
///
/// # Panics
/// When the text is no version: in a `const` that does not compile, elsewhere the first test that mounts the
/// table fails.
#[track_caller]
pub(crate) const fn in_table(text: &'static str) -> Microversion {
    let bytes = text.as_bytes();
    let mut numbers = [0_u16; 2];
    let mut dots = 0;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'.' => dots += 1,
            digit => {
                assert!(digit.is_ascii_digit() && dots < 2, "no microversion");
                numbers[dots] = numbers[dots] * 10 + (digit - b'0') as u16;
            }
        }
        at += 1;
    }
    assert!(dots == 1 && numbers[0] > 0, "no microversion");
    Microversion(numbers[0], numbers[1])
}

/// Which microversions a service speaks, and in which headers.
#[derive(Clone, Copy, Debug)]
pub struct MicroversionScheme {
    /// The word in `OpenStack-API-Version: compute 2.96`.
    pub service_type: &'static str,
    /// The oldest, which is also what a request without the header gets.
    pub min: Microversion,
    /// The newest.
    pub max: Microversion,
    /// An older header with the bare number, such as `x-openstack-nova-api-version` (lower case).
    pub legacy_header: Option<&'static str>,
}

const HEADER: HeaderName = HeaderName::from_static("openstack-api-version");

impl MicroversionScheme {
    /// The version that a request asks for. `text` chooses the words of the refusal.
    pub fn negotiate(&self, headers: &HeaderMap, text: Words) -> Result<Microversion> {
        let Some(asked) = self.asked(headers) else { return Ok(self.min) };
        if asked == "latest" {
            return Ok(self.max);
        }
        let Ok(version) = asked.parse::<Microversion>() else {
            return Err(Error::bad_request(match text {
                Words::Nova => format!(
                    "API Version String {asked} is of invalid format. Must be of format \
                     MajorNum.MinorNum."
                ),
                Words::Placement => {
                    format!("Invalid microversion: invalid version string: {asked}")
                }
            }));
        };
        if version < self.min || version > self.max {
            return Err(Error::new(
                Kind::NotAcceptable,
                match text {
                    Words::Nova => format!(
                        "Version {version} is not supported by the API. Minimum is {} and maximum \
                         is {}.",
                        self.min, self.max
                    ),
                    Words::Placement => {
                        format!("Invalid microversion: Unacceptable version header: {asked}")
                    }
                },
            ));
        }
        Ok(version)
    }

    /// The last one wins, as in the library that the services use.
    fn asked<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let mut found = None;
        for value in headers.get_all(&HEADER) {
            for part in value.to_str().unwrap_or("").split(',') {
                if let Some((service, version)) = part.trim().split_once(char::is_whitespace)
                    && service.eq_ignore_ascii_case(self.service_type)
                {
                    found = Some(version.trim());
                }
            }
        }
        if found.is_some() {
            return found;
        }
        let legacy = headers.get_all(self.legacy_header?).iter().next_back()?;
        legacy.to_str().unwrap_or("").rsplit(',').next().map(str::trim)
    }

    /// Says on a response which version it is in, and that others differ.
    pub fn stamp(&self, headers: &mut HeaderMap, version: Microversion) {
        if let Ok(value) = HeaderValue::try_from(format!("{} {version}", self.service_type)) {
            headers.insert(HEADER, value);
        }
        vary(headers, "OpenStack-API-Version");
        if let Some(name) = self.legacy_header {
            if let Ok(value) = HeaderValue::try_from(version.to_string()) {
                headers.insert(HeaderName::from_static(name), value);
            }
            vary(headers, self.legacy_as_written());
        }
    }

    fn legacy_as_written(&self) -> &'static str {
        match self.legacy_header {
            Some("x-openstack-nova-api-version") => "X-OpenStack-Nova-API-Version",
            Some(other) => other,
            None => "",
        }
    }
}

/// Whose words a refused microversion is answered in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// Nova's.
    Nova,
    /// Placement's (library microversion-parse).
    Placement,
}

/// Adds a header's name to `Vary`.
pub(crate) fn vary(headers: &mut HeaderMap, name: &'static str) {
    match headers.entry(VARY) {
        Entry::Vacant(entry) => {
            entry.insert(HeaderValue::from_static(name));
        }
        Entry::Occupied(mut entry) => {
            let joined = format!("{}, {name}", entry.get().to_str().unwrap_or(""));
            if let Ok(value) = HeaderValue::try_from(joined) {
                entry.insert(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOVA: MicroversionScheme = MicroversionScheme {
        service_type: "compute",
        min: v(2, 1),
        max: v(2, 96),
        legacy_header: Some("x-openstack-nova-api-version"),
    };

    fn ask(pairs: &[(&'static str, &str)]) -> Result<Microversion> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).expect("value"));
        }
        NOVA.negotiate(&headers, Words::Nova)
    }

    #[test]
    fn reads_only_canonical_versions() {
        assert_eq!("2.96".parse(), Ok(v(2, 96)));
        assert_eq!("2.0".parse(), Ok(v(2, 0)));
        for bad in
            ["", ".", "2", "2.", ".1", "02.1", "2.01", "2.1.1", "2. 1", "a.b", "-2.1", "2.+1"]
        {
            assert_eq!(bad.parse::<Microversion>(), Err(NotAVersion), "{bad:?}");
        }
        assert_eq!("2.99999999".parse(), Ok(v(2, u16::MAX)));
    }

    #[test]
    fn orders() {
        assert!(v(2, 9) < v(2, 10));
        assert!(v(3, 0).reaches(v(2, 99)));
        assert!(!v(2, 9).reaches(v(2, 10)));
    }

    #[test]
    fn asks() {
        let header = "openstack-api-version";
        assert_eq!(ask(&[]).ok(), Some(v(2, 1)));
        assert_eq!(ask(&[(header, "compute 2.26")]).ok(), Some(v(2, 26)));
        assert_eq!(ask(&[(header, "Compute  2.26")]).ok(), Some(v(2, 26)));
        assert_eq!(ask(&[(header, "identity 3.0, compute 2.26")]).ok(), Some(v(2, 26)));
        assert_eq!(ask(&[(header, "volume 3.1"), (header, "compute 2.5")]).ok(), Some(v(2, 5)));
        assert_eq!(ask(&[(header, "volume 3.1")]).ok(), Some(v(2, 1)));
        assert_eq!(ask(&[(header, "compute 2.6, compute 2.5")]).ok(), Some(v(2, 5)));
        assert_eq!(ask(&[(header, "compute latest")]).ok(), Some(v(2, 96)));
        assert_eq!(ask(&[("x-openstack-nova-api-version", "2.3")]).ok(), Some(v(2, 3)));
        assert_eq!(
            ask(&[("x-openstack-nova-api-version", "2.3"), (header, "compute 2.4")]).ok(),
            Some(v(2, 4))
        );
    }

    #[test]
    fn refuses() {
        let error = ask(&[("openstack-api-version", "compute 2.97")]).expect_err("too new");
        assert_eq!(error.kind(), Kind::NotAcceptable);
        assert_eq!(
            error.message(),
            "Version 2.97 is not supported by the API. Minimum is 2.1 and maximum is 2.96."
        );
        let error = ask(&[("openstack-api-version", "compute two")]).expect_err("malformed");
        assert_eq!(error.kind(), Kind::BadRequest);
        assert_eq!(
            error.message(),
            "API Version String two is of invalid format. Must be of format MajorNum.MinorNum."
        );
    }

    #[test]
    fn stamps() {
        let mut headers = HeaderMap::new();
        NOVA.stamp(&mut headers, v(2, 26));
        assert_eq!(headers["openstack-api-version"], "compute 2.26");
        assert_eq!(headers["x-openstack-nova-api-version"], "2.26");
        assert_eq!(headers["vary"], "OpenStack-API-Version, X-OpenStack-Nova-API-Version");
    }
}
