//! Who was turned away at a door: a line for the operator, and not one for each knock.
//!
//! The machine never hears of these. An operator who has set a token on one side only must, or both sides look
//! healthy and nothing works; a scanner that knocks all day must not fill the log.

use std::{net::IpAddr, time::Duration};

use crate::units::Mono;

/// Refusals are logged at most this often.
const LOG_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct TurnedAway {
    logged: Option<Mono>,
    /// Those that were not logged since.
    silent: u64,
}

impl TurnedAway {
    /// Says that who came from there was refused, unless such a line was written a moment ago.
    pub(super) fn note(&mut self, now: Mono, door: &str, from: IpAddr, why: &str) {
        if let Some(line) = self.line(now, door, from, why) {
            log::warn!(target: "net", "{line}");
        }
    }

    fn line(&mut self, now: Mono, door: &str, from: IpAddr, why: &str) -> Option<String> {
        if self.logged.is_some_and(|last| now.since(last) < LOG_PAUSE) {
            self.silent += 1;
            return None;
        }
        self.logged = Some(now);
        let others = match std::mem::take(&mut self.silent) {
            0 => String::new(),
            count => format!("; {count} more were since the last such line"),
        };
        Some(format!("{from} was refused at the door for {door}: {why}{others}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_names_the_address_the_reason_and_how_many_came_between() {
        let mut turned = TurnedAway::default();
        let mut knock = |second: u64| {
            let from = IpAddr::from([203, 0, 113, second as u8]);
            turned.line(Mono(second * 1_000_000_000), "workers", from, "401 no bearer token")
        };
        let first = "203.0.113.0 was refused at the door for workers: 401 no bearer token";
        assert_eq!(knock(0).as_deref(), Some(first));
        assert!((1..60).all(|second| knock(second).is_none()));
        let next = "203.0.113.60 was refused at the door for workers: 401 no bearer token; 59 more were since the last such line";
        assert_eq!(knock(60).as_deref(), Some(next));
    }
}
