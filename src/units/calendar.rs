//! Dates of the Gregorian calendar, in UTC.

/// Year, month and day, the latter two from 1, of a day since the epoch (Howard Hinnant's `civil_from_days`). Years are
/// counted from March, so that the leap day is the last of a year.
pub fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12 + 1;
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Days since the epoch of a date, of 1970 or later; `None` for a day that no month has.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let shifted = if month > 2 { year } else { year.checked_sub(1)? };
    let march_month = (month + 9) % 12;
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let day_of_year = (153 * march_month + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    (civil(days) == (year, month, day)).then_some(days)
}

/// Seconds since the epoch of `2026-11-22T14:03:26Z`; `Z` and the time of day may be left out, a blank may stand for
/// `T`.
pub fn from_date(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let numbers = |text: &str, by: char| -> Option<[u64; 3]> {
        let parts: Vec<&str> = text.split(by).collect();
        let number = |part: &&str| part.bytes().all(|c| c.is_ascii_digit()).then(|| part.parse().ok()).flatten();
        parts.iter().map(number).collect::<Option<Vec<u64>>>()?.try_into().ok()
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(time, ':')?);
    let sane = year < 10_000 && hour < 24 && minute < 60 && second < 60;
    Some(days(year, month, day).filter(|_| sane)? * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_back() {
        for day in (0..200_000).step_by(7).chain([59, 60, 11_016, 11_017, 19_782]) {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), Some(day));
        }
        assert_eq!(from_date("2026-11-22T14:03:26Z"), Some(1_795_356_206));
        assert_eq!(from_date("2026-11-22 14:03:26"), Some(1_795_356_206));
        assert_eq!(from_date("2000-02-29"), Some(951_782_400));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-32",
            "1969-12-31",
            "2026-01-01T24:00:00",
            "2026-01-01T00:00",
            "+2026-01-01",
            "2026-1",
            "now",
            "99999-01-01",
        ] {
            assert_eq!(from_date(text), None, "{text}");
        }
    }
}
