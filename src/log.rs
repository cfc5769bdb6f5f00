//! The logger: one line to standard error for each record.
//!
//! Under systemd a line starts with its priority (`<4>`) and the journal adds the time; elsewhere it starts
//! with the time (UTC). Any thread may log. What is said is set by the configuration alone. It rotates
//! nothing, writes no file and formats no secret: those have a blind `Debug`.

use std::{
    collections::BTreeMap,
    env, fmt,
    io::{self, Write as _},
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use log::{Level, LevelFilter, Metadata, Record};

use crate::config::logging::Logging;

struct Logger {
    level: LevelFilter,
    targets: BTreeMap<String, LevelFilter>,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Starts logging. Once a process; a second call changes nothing.
pub fn init(logging: &Logging) {
    let logger = Logger { level: logging.level, targets: logging.targets.clone() };
    let most = logger.targets.values().copied().chain([logger.level]).max().unwrap_or(logger.level);
    if log::set_logger(LOGGER.get_or_init(|| logger)).is_ok() {
        log::set_max_level(most);
    }
}

/// One line, whatever the level and also before [`init`]: for what ends the process.
pub fn say(level: Level, target: &str, text: &str) {
    let line = if to_journal() { journal_line(level, target, text) } else { dated_line(now(), level, target, text) };
    // Standard error may be closed; there is nowhere else to say so.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

impl Logger {
    fn lets(&self, level: Level, target: &str) -> bool {
        level <= *self.targets.get(target).unwrap_or(&self.filter(target))
    }

    /// Libraries log under their module paths; what they say below a warning concerns no operator.
    fn filter(&self, target: &str) -> LevelFilter {
        let ours = !target.contains("::") || target.starts_with("byteleap::");
        if ours { self.level } else { self.level.min(LevelFilter::Warn) }
    }
}

impl log::Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.lets(metadata.level(), metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            say(record.level(), record.target(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// systemd says which stream the journal reads; a redirection makes it another one.
fn to_journal() -> bool {
    static JOURNAL: OnceLock<bool> = OnceLock::new();
    *JOURNAL.get_or_init(|| {
        let stat = rustix::fs::fstat(io::stderr());
        let named = env::var("JOURNAL_STREAM");
        matches!((named, stat), (Ok(named), Ok(stat)) if named == format!("{}:{}", stat.st_dev, stat.st_ino))
    })
}

fn journal_line(level: Level, target: &str, text: &str) -> String {
    let priority = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    format!("<{priority}>{target}: {}\n", OneLine(text))
}

fn dated_line(since_epoch: Duration, level: Level, target: &str, text: &str) -> String {
    format!("{} {level:<5} {target}: {}\n", Stamp(since_epoch), OneLine(text))
}

#[expect(clippy::disallowed_methods, reason = "the stamp of a log line; nothing is decided by it")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Text with its control characters made visible: what a peer sends cannot forge a line or move a cursor.
/// Line breaks of our own lists become ` | `.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.trim_end().chars() {
            match c {
                '\n' => f.write_str(" | ")?,
                c if c.is_control() => write!(f, "{}", c.escape_default())?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// A moment as RFC 3339 in UTC, to the millisecond.
struct Stamp(Duration);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        let (year, month, day) = civil(secs / 86_400);
        let (hour, minute, second) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
        let millis = self.0.subsec_millis();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// Days since 1970-01-01 as a date of the Gregorian calendar. Years are counted from March, so that the leap
/// day is the last of a year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, wrapped) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + wrapped, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logger(level: LevelFilter, targets: &[(&str, LevelFilter)]) -> Logger {
        Logger { level, targets: targets.iter().map(|(name, level)| ((*name).to_owned(), *level)).collect() }
    }

    #[test]
    fn a_stamp_is_a_date() {
        assert_eq!(Stamp(Duration::from_millis(0)).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Stamp(Duration::from_millis(951_782_400_123)).to_string(), "2000-02-29T00:00:00.123Z");
        assert_eq!(Stamp(Duration::from_secs(1_798_761_599)).to_string(), "2026-12-31T23:59:59.000Z");
    }

    #[test]
    fn a_line_for_the_journal_has_a_priority_and_no_time() {
        assert_eq!(journal_line(Level::Warn, "net", "closed in-3"), "<4>net: closed in-3\n");
    }

    #[test]
    fn a_peer_cannot_forge_a_line() {
        let line = dated_line(Duration::ZERO, Level::Info, "axon", "name \u{1b}[31m\r\nERROR all lost\n");
        assert_eq!(line, "1970-01-01T00:00:00.000Z INFO  axon: name \\u{1b}[31m\\r | ERROR all lost\n");
    }

    #[test]
    fn a_target_has_its_own_level() {
        let logger = logger(LevelFilter::Info, &[("net", LevelFilter::Debug)]);
        assert!(logger.lets(Level::Debug, "net"));
        assert!(!logger.lets(Level::Debug, "validator"));
        assert!(logger.lets(Level::Info, "validator"));
    }

    #[test]
    fn libraries_are_heard_from_warnings_on() {
        let logger = logger(LevelFilter::Debug, &[]);
        assert!(!logger.lets(Level::Info, "ureq::pool"));
        assert!(logger.lets(Level::Warn, "ureq::pool"));
    }
}
