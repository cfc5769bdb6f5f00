//! Leases from a file: when to look at it, and what is said of a file that cannot be used.
//!
//! Owns what the file was at the last look. Reading is the spoke's, what leases do is `leases`'. A file that is there
//! and valid is heard at each look, however old it is: what it says is so until somebody changes it.

use std::time::Duration;

use super::{Command, Phase, Validator, leases::Word};
use crate::{
    config::leases::LeaseSource,
    machine::contract::lease_file::{LeaseLook, LeaseSight},
    metrics::{Metric, Page},
    units::{Mono, Now},
};

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A minute of looks.
const MOST_CHANGES: u32 = 30;
/// Between two lines about the same trouble with the file.
const SAY_AGAIN: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct LeaseWatch {
    is_on: bool,
    next_look: Mono,
    /// A look is with the spoke.
    looking: bool,
    last: LeaseLook,
    /// Looks in a row at which it was another than before.
    changing: u32,
    /// The file as it was read last is a file of leases.
    is_valid: bool,
    /// Why it cannot be used, and when that was last said.
    trouble: Option<(String, Mono)>,
}

impl LeaseWatch {
    pub(super) fn new(source: LeaseSource) -> LeaseWatch {
        LeaseWatch {
            is_on: source == LeaseSource::File,
            next_look: Mono(0),
            looking: false,
            last: LeaseLook::default(),
            changing: 0,
            is_valid: false,
            trouble: None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        (self.is_on && !self.looking).then_some(self.next_look)
    }

    fn next_look(&mut self, now: Mono) -> Option<LeaseLook> {
        self.deadline().filter(|due| *due <= now)?;
        self.looking = true;
        Some(self.last)
    }

    /// Takes in what the look came to: what the file says now, or that it stands by what it said.
    fn sighted(&mut self, now: Mono, sight: LeaseSight) -> Option<Word> {
        (self.looking, self.next_look) = (false, now + LOOK_EVERY);
        if !matches!(sight, LeaseSight::Changing(_)) {
            self.changing = 0;
        }
        match sight {
            LeaseSight::Same(stamp) => {
                self.last.seen = Some(stamp);
                if !self.is_valid {
                    self.say_again(now);
                    return None;
                }
                self.is_good("is there again, as it was");
                Some(Word::Some(Vec::new()))
            }
            LeaseSight::Changing(stamp) => {
                self.last.seen = Some(stamp);
                self.changing += 1;
                if self.changing >= MOST_CHANGES {
                    let why = "it changes all the time, and is read when it is the same at two looks, 2 s apart: rename a new one over it";
                    self.is_bad(now, why.into());
                }
                None
            }
            LeaseSight::Read { stamp, leases } => {
                self.last = LeaseLook { read: Some(stamp), seen: Some(stamp) };
                self.is_valid = true;
                self.is_good("is valid again");
                let leased = leases.iter().filter(|(_, score)| *score > 0.0).count();
                log::info!(target: "validator", "leases.file was read: {leased} workers are leased");
                Some(Word::All(leases))
            }
            LeaseSight::Invalid { stamp, why } => {
                self.last = LeaseLook { read: Some(stamp), seen: Some(stamp) };
                self.is_valid = false;
                self.is_bad(now, why);
                None
            }
            LeaseSight::Unreadable(why) => {
                self.last.seen = None;
                self.is_bad(now, why);
                None
            }
        }
    }

    fn is_good(&mut self, how: &str) {
        if self.trouble.take().is_some() {
            log::info!(target: "validator", "leases.file {how}");
        }
    }

    fn is_bad(&mut self, now: Mono, why: String) {
        if self.trouble.as_ref().is_none_or(|(said, _)| *said != why) {
            self.trouble = None;
        }
        match self.trouble {
            Some(_) => self.say_again(now),
            None => self.say(now, why),
        }
    }

    fn say_again(&mut self, now: Mono) {
        if let Some((why, _)) = self.trouble.take_if(|(_, said)| now.since(*said) >= SAY_AGAIN) {
            self.say(now, why);
        }
    }

    fn say(&mut self, now: Mono, why: String) {
        log::error!(
            target: "validator",
            "leases.file cannot be used, and the leases that it said last stay until leases.max_age: {why}"
        );
        self.trouble = Some((why, now));
    }

    pub(super) fn fill(&self, page: &mut Page) {
        if self.is_on {
            page.set(Metric::LeaseFileValid, &[], f64::from(self.is_valid && self.trouble.is_none()));
        }
    }
}

impl Validator {
    /// Asks for the next look at the file, when it is due.
    pub(super) fn watch_lease_file(&mut self, now: Now) {
        if self.phase == Phase::Running
            && let Some(look) = self.lease_watch.next_look(now.mono)
        {
            self.command(Command::LeaseFile(look));
        }
    }

    pub(super) fn lease_file_sighted(&mut self, now: Now, sight: LeaseSight) {
        if let Some(word) = self.lease_watch.sighted(now.mono, sight) {
            self.leases_said(now, LeaseSource::File, word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::contract::lease_file::FileStamp;

    fn stamp(inode: u64) -> FileStamp {
        FileStamp { device: 1, inode, bytes: 3, modified_ns: 5 }
    }

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    /// A watch that got this far.
    fn after(sights: &[LeaseSight]) -> (LeaseWatch, Option<Word>) {
        let mut watch = LeaseWatch::new(LeaseSource::File);
        let mut word = None;
        for (step, sight) in sights.iter().enumerate() {
            let now = at(2 * step as u64 + 2);
            assert!(watch.next_look(now).is_some() && watch.next_look(now).is_none(), "one look at a time");
            word = watch.sighted(now, sight.clone());
        }
        (watch, word)
    }

    fn read(inode: u64) -> LeaseSight {
        LeaseSight::Read { stamp: stamp(inode), leases: vec![] }
    }

    fn invalid(inode: u64) -> LeaseSight {
        LeaseSight::Invalid { stamp: stamp(inode), why: "line 3".into() }
    }

    #[test]
    fn a_valid_file_is_heard_at_each_look_and_a_bad_one_never() {
        let stands = Some(Word::Some(vec![]));
        assert_eq!(after(&[read(1)]).1, Some(Word::All(vec![])));
        assert_eq!(after(&[read(1), LeaseSight::Same(stamp(1))]).1, stands);
        for bad in [invalid(2), LeaseSight::Unreadable("gone".into()), LeaseSight::Changing(stamp(1))] {
            assert_eq!(after(&[read(1), bad]).1, None);
        }
        assert_eq!(after(&[read(1), invalid(2), LeaseSight::Same(stamp(2))]).1, None, "the same bad file");
        let gone = LeaseSight::Unreadable("gone".into());
        assert_eq!(after(&[read(1), gone, LeaseSight::Same(stamp(1))]).1, stands, "it came back");
    }

    #[test]
    fn a_file_that_never_holds_still_is_said() {
        let changing: Vec<LeaseSight> = (0..30).map(|n| LeaseSight::Changing(stamp(n))).collect();
        assert!(after(&changing[..29]).0.trouble.is_none());
        let (mut watch, _) = after(&changing);
        assert!(watch.trouble.as_ref().is_some_and(|(why, _)| why.contains("changes all the time")));
        watch.sighted(at(99), read(30));
        assert!(watch.trouble.is_none());
    }

    #[test]
    fn trouble_is_said_once_and_then_now_and_then() {
        let (mut watch, _) = after(&[read(1), invalid(2)]);
        let said = |watch: &LeaseWatch| watch.trouble.as_ref().unwrap().1;
        let first = said(&watch);
        watch.sighted(first + Duration::from_secs(2), LeaseSight::Same(stamp(2)));
        assert_eq!(said(&watch), first);
        watch.sighted(first + SAY_AGAIN, LeaseSight::Same(stamp(2)));
        assert_eq!(said(&watch), first + SAY_AGAIN);
        let gone = LeaseSight::Unreadable("gone".into());
        watch.sighted(first + SAY_AGAIN + LOOK_EVERY, gone);
        assert_eq!(watch.trouble.as_ref().unwrap().0, "gone", "another trouble is said at once");
    }

    #[test]
    fn without_the_source_nobody_looks() {
        let mut watch = LeaseWatch::new(LeaseSource::Meshhub);
        assert!(watch.deadline().is_none() && watch.next_look(at(9)).is_none());
    }
}
