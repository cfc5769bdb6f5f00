//! Moments as the marketplace writes them: ISO 8601 in UTC, in three spellings. What is read is kept as text.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::{Wall, civil};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(String);

impl Stamp {
    /// `2026-11-22T14:03:26Z`: when a score report was made.
    pub fn seconds(at: Wall) -> Stamp {
        Stamp(format!("{}Z", to_seconds(at)))
    }

    /// `2026-11-22T14:03:26.918159Z`: the window of a calculation, and the calculation itself.
    pub fn micros(at: Wall) -> Stamp {
        Stamp(format!("{}.{:06}Z", to_seconds(at), micros_of(at)))
    }

    /// `2026-11-22T14:03:16.074692+00:00`, without the fraction when that is zero: the resource report's.
    pub fn offset(at: Wall) -> Stamp {
        match micros_of(at) {
            0 => Stamp(format!("{}+00:00", to_seconds(at))),
            micros => Stamp(format!("{}.{micros:06}+00:00", to_seconds(at))),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn micros_of(at: Wall) -> u64 {
    at.0 / 1_000 % 1_000_000
}

fn to_seconds(at: Wall) -> String {
    let secs = at.as_secs();
    let (year, month, day) = civil(secs / 86_400);
    let (hour, minute, second) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_is_the_recorded_one() {
        let at = Wall(1_795_356_206_918_159_000);
        assert_eq!(Stamp::seconds(at).as_str(), "2026-11-22T14:03:26Z");
        assert_eq!(Stamp::micros(at).as_str(), "2026-11-22T14:03:26.918159Z");
        assert_eq!(Stamp::offset(at).as_str(), "2026-11-22T14:03:26.918159+00:00");
    }

    #[test]
    fn a_whole_second_has_a_fraction_where_the_format_is_fixed() {
        let at = Wall::from_secs(951_782_400);
        assert_eq!(Stamp::micros(at).as_str(), "2000-02-29T00:00:00.000000Z");
        assert_eq!(Stamp::offset(at).as_str(), "2000-02-29T00:00:00+00:00");
    }
}
