//! Wall-clock time, for display and expiry only; order comes from revisions.

use std::{fmt, time::Duration};

use jiff::{Timestamp as Jiff, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// A moment of wall time in UTC, with microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(Jiff);

impl Timestamp {
    /// From microseconds since 1970.
    pub fn from_micros(micros: i64) -> Timestamp {
        Timestamp(Jiff::from_microsecond(micros).unwrap_or(Jiff::MAX))
    }

    /// Microseconds since 1970.
    pub fn micros(self) -> i64 {
        self.0.as_microsecond()
    }

    /// Seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.0.as_second()
    }

    /// Reads ISO 8601 as OpenStack's services accept it: with or without fraction, zone or `T`.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let text = text.trim();
        if let Ok(moment) = text.parse::<Jiff>() {
            return Some(Timestamp::from_micros(moment.as_microsecond()));
        }
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        let moment = civil.to_zoned(TimeZone::UTC).ok()?.timestamp();
        Some(Timestamp::from_micros(moment.as_microsecond()))
    }

    /// `2026-11-22T21:08:00Z`: Nova's and Glance's form.
    pub fn iso(self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// `2026-11-22T21:08:00.000000Z`: Keystone's form.
    pub fn iso_micros(self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
    }

    /// `2026-11-22T21:08:00.000000`: the zoneless form of Nova's older fields.
    pub fn iso_micros_zoneless(self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string()
    }

    /// Later by this much.
    #[must_use]
    pub fn plus(self, by: Duration) -> Timestamp {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(self.micros().saturating_add(by))
    }

    /// Time since `earlier`, zero if it is not earlier.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.micros() - earlier.micros()).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iso())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let t = Timestamp::from_micros(1_700_000_000_123_456);
        assert_eq!(t.iso(), "2023-11-14T22:13:20Z");
        assert_eq!(t.iso_micros(), "2023-11-14T22:13:20.123456Z");
        assert_eq!(t.iso_micros_zoneless(), "2023-11-14T22:13:20.123456");
    }

    #[test]
    fn reads_what_clients_send() {
        let t = Timestamp::from_micros(1_700_000_000_000_000);
        for text in [
            "2023-11-14T22:13:20Z",
            "2023-11-14T22:13:20",
            "2023-11-14 22:13:20",
            "2023-11-14T22:13:20.000000",
            "2023-11-14T23:13:20+01:00",
        ] {
            assert_eq!(Timestamp::parse(text), Some(t), "{text}");
        }
        assert_eq!(Timestamp::parse("yesterday"), None);
    }
}
