//! The maintenance that the operator announced, for the validators.
//!
//! Owns what the file said last. A file that cannot be read takes nothing back. What it is worth is the validators' to say.

use std::time::Duration;

use super::{Command, Miner, REPORT_WITHIN, fault::shortened};
use crate::{
    machine::{
        Output,
        contract::maintenance::{MaintenanceLook, MaintenanceSight},
    },
    metrics::{Metric, Page},
    units::{Mono, Now, Wall},
    wire::messages::MaintenanceNotice,
};

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Between two lines about the same trouble with the file.
const SAY_AGAIN: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub struct Maintenance {
    /// `None`: there never was a file.
    notices: Option<Vec<MaintenanceNotice>>,
    next_look: Mono,
    looking: bool,
    trouble: Option<(String, Mono)>,
}

impl Maintenance {
    pub fn deadline(&self) -> Option<Mono> {
        (!self.looking).then_some(self.next_look)
    }

    /// What a heartbeat says: the windows that are not over. `None`: nothing.
    pub fn announced(&self, now: Wall) -> Option<Vec<MaintenanceNotice>> {
        let ahead = |notice: &&MaintenanceNotice| notice.until > now.as_secs();
        self.notices.as_ref().map(|notices| notices.iter().filter(ahead).cloned().collect())
    }

    fn wants_look(&mut self, now: Mono) -> bool {
        let due = self.deadline().is_some_and(|due| due <= now);
        self.looking |= due;
        due
    }

    /// Takes in what the look came to; whether that is other than before.
    fn sighted(&mut self, now: Mono, sight: MaintenanceSight) -> bool {
        (self.looking, self.next_look) = (false, now + LOOK_EVERY);
        let notices = match sight {
            MaintenanceSight::Read(notices) => Some(notices),
            // A file that was taken away announces nothing any more.
            MaintenanceSight::Absent => self.notices.as_ref().map(|_| Vec::new()),
            MaintenanceSight::Unreadable(why) => {
                self.is_unreadable(now, why);
                return false;
            }
        };
        self.trouble = None;
        let changed = notices != self.notices;
        self.notices = notices;
        changed
    }

    fn is_unreadable(&mut self, now: Mono, why: String) {
        let said = self.trouble.as_ref().filter(|(before, _)| *before == why).map(|(_, said)| *said);
        if said.is_none_or(|said| now.since(said) >= SAY_AGAIN) {
            log::error!(target: "miner", "announced maintenance cannot be read, what was announced before stands: {}", shortened(&why));
            self.trouble = Some((why, now));
        }
    }

    pub fn fill(&self, now: Wall, page: &mut Page) {
        if let Some(announced) = self.announced(now) {
            page.set(Metric::MaintenanceAnnounced, &[], announced.len() as f64);
        }
    }
}

impl Miner {
    pub(super) fn watch_maintenance(&mut self, now: Mono) {
        if self.maintenance.wants_look(now) {
            self.outbox.push_back(Output::Command(Command::Maintenance(MaintenanceLook)));
        }
    }

    /// A change is told to the validators soon: what is announced counts from when they hear of it.
    pub(super) fn maintenance_sighted(&mut self, now: Now, sight: MaintenanceSight) {
        if self.maintenance.sighted(now.mono, sight) {
            let announced = self.maintenance.announced(now.wall).unwrap_or_default();
            let workers: Vec<String> = announced.iter().map(|notice| notice.worker_id.to_string()).collect();
            log::info!(target: "miner", "maintenance is announced of {} workers: {}", workers.len(), shortened(&workers.join(", ")));
            self.schedule.hasten_heartbeats(now.mono + REPORT_WITHIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::WorkerId;

    fn notice(until: u64) -> MaintenanceNotice {
        MaintenanceNotice { worker_id: WorkerId::new("w"), from: 10, until }
    }

    #[test]
    fn windows_are_announced_until_they_are_over_and_a_bad_file_takes_none_back() {
        let mut maintenance = Maintenance::default();
        assert!(maintenance.wants_look(Mono(0)) && !maintenance.wants_look(Mono(0)), "one look at a time");
        assert!(!maintenance.sighted(Mono(0), MaintenanceSight::Absent));
        assert_eq!(maintenance.announced(Wall::from_secs(5)), None);
        assert!(maintenance.sighted(Mono(0), MaintenanceSight::Read(vec![notice(20)])));
        assert!(!maintenance.sighted(Mono(0), MaintenanceSight::Read(vec![notice(20)])));
        assert!(!maintenance.sighted(Mono(0), MaintenanceSight::Unreadable("half".into())));
        assert_eq!(maintenance.announced(Wall::from_secs(19)), Some(vec![notice(20)]));
        assert_eq!(maintenance.announced(Wall::from_secs(20)), Some(vec![]));
        assert!(maintenance.sighted(Mono(0), MaintenanceSight::Absent));
        assert_eq!(maintenance.announced(Wall::from_secs(11)), Some(vec![]), "a file that is gone ends its windows");
    }
}
