//! The one line that a daemon says of itself to its service manager (`systemctl status`), and how times look in it.
//!
//! Decides nothing and sends nothing. Times are coarse, so that a line holds still while nothing happens.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The parts that there are, in order of what an operator looks for first.
pub fn line(parts: impl IntoIterator<Item = Option<String>>) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// In steps of ten seconds, then whole minutes, hours and days.
pub fn span(span: Duration) -> String {
    match span.as_secs() {
        0..10 => "some seconds".into(),
        secs @ 10..120 => format!("{} s", secs / 10 * 10),
        secs if secs < 2 * HOUR => format!("{} min", secs / MINUTE),
        secs if secs < 2 * DAY => format!("{} h", secs / HOUR),
        secs => format!("{} d", secs / DAY),
    }
}

/// `1 worker`, `2 workers`.
pub fn count(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_gets_coarser_as_it_gets_longer() {
        let told = [0, 9, 10, 19, 119, 120, 7199, 7200, 172_799, 172_800];
        let told = told.map(|secs| span(Duration::from_secs(secs)));
        let expected =
            ["some seconds", "some seconds", "10 s", "10 s", "110 s", "2 min", "119 min", "2 h", "47 h", "2 d"];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_line_has_the_parts_that_there_are() {
        assert_eq!(line([Some("a".into()), None, Some("b".into())]), "a; b");
        assert_eq!([count(0, "GPU"), count(1, "GPU"), count(2, "GPU")], ["0 GPUs", "1 GPU", "2 GPUs"]);
    }
}
