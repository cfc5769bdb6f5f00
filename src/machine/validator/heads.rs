//! The chain's head: does it move, is it the chain that we know, and does its clock agree with ours?
//!
//! Owns the last head. A stalled node is not mistaken for a wrong clock: clocks are compared only on heads that
//! move, and only believed to differ when two of them in a row say the same.

use std::time::Duration;

use crate::{
    machine::contract::chain::Head,
    units::{BlockNumber, Mono, Now, Wall},
};

/// A head that does not move for this long is worth an alarm.
const STANDSTILL: Duration = Duration::from_secs(300);
/// A first block that is older than this is worth a word: ten blocks should have come since.
const STALLED: Duration = Duration::from_secs(120);
/// How far our clock may be from a block's when the block is seen.
const CLOCK_LIMIT_S: f64 = 30.0;
/// A node that catches up shows another difference with each head; a wrong clock shows the same, but for this much.
const STEADY_S: f64 = 30.0;

/// What a head changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The runtime is another than that of the head before; also with the first head.
    pub runtime: bool,
    /// The first head that says which chain this is.
    pub genesis: Option<[u8; 32]>,
}

/// The node answers for a chain that this validator was never on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is another chain: its genesis is 0x{}, and this validator's database is of 0x{}; correct subtensor in the \
     configuration (with subtensor.genesis, endpoints of other chains are passed over), or point database.url at \
     another file", hex::encode(.seen), hex::encode(.ours)
)]
pub struct OtherChain {
    seen: [u8; 32],
    ours: [u8; 32],
}

#[derive(Debug, Default)]
pub struct Heads {
    head: Option<Head>,
    moved: Mono,
    /// How old the best block was when it was first seen, by its own time: a node that lies stalled or catches up says
    /// old ones.
    age_when_seen: Duration,
    standstill_told: bool,
    /// The chain that this validator has always been on.
    genesis: Option<[u8; 32]>,
    /// Ours less the block's, in seconds, at the last head that moved.
    skew_s: Option<f64>,
    clock_off: bool,
}

impl Heads {
    /// The chain of earlier runs.
    pub fn expect(&mut self, genesis: [u8; 32]) {
        self.genesis = Some(genesis);
    }

    /// A head of another chain changes nothing.
    pub fn took(&mut self, now: Now, head: Head) -> Result<Change, OtherChain> {
        if let Some(ours) = self.genesis.filter(|ours| *ours != head.genesis) {
            return Err(OtherChain { seen: head.genesis, ours });
        }
        let old = self.head.as_ref();
        let runtime = old.is_none_or(|old| old.spec_version != head.spec_version);
        if old.is_none_or(|old| (old.best, old.best_at) != (head.best, head.best_at)) {
            self.has_moved(now, &head);
        }
        if runtime {
            log::info!(target: "validator", "chain {:?}, runtime {}, block {}", head.chain, head.spec_version, head.best);
        }
        let genesis = self.genesis.is_none().then_some(head.genesis);
        self.genesis = Some(head.genesis);
        if self.head.is_none() && self.age_when_seen >= STALLED {
            let age_s = self.age_when_seen.as_secs();
            log::warn!(
                target: "validator",
                "the newest block, {}, is {age_s} s old already: see whether the node is in sync, and this machine's clock",
                head.best
            );
        }
        self.head = Some(head);
        Ok(Change { runtime, genesis })
    }

    fn has_moved(&mut self, now: Now, head: &Head) {
        let (age, moves) =
            (head.best_at.map(|at| now.wall.since(at)), self.head.as_ref().is_some_and(|old| old.best < head.best));
        (self.moved, self.age_when_seen) = (now.mono, age.unwrap_or_default());
        if self.age_when_seen < STANDSTILL && std::mem::take(&mut self.standstill_told) {
            log::info!(target: "validator", "blocks come again: block {}", head.best);
        }
        if let Some(at) = head.best_at.filter(|_| moves) {
            self.compare_clocks(now.wall, at);
        }
    }

    fn compare_clocks(&mut self, ours: Wall, block: Wall) {
        let skew = ours.as_secs_f64() - block.as_secs_f64();
        let before = self.skew_s.replace(skew);
        let far = skew.abs() >= CLOCK_LIMIT_S;
        let steady = before.is_some_and(|before| before.abs() >= CLOCK_LIMIT_S && (before - skew).abs() < STEADY_S);
        if far && steady && !self.clock_off {
            self.clock_off = true;
            let (direction, or_the_node) = match skew > 0.0 {
                true => ("ahead of", ", or to the node, when the clock is right and its blocks come late"),
                false => ("behind", ""),
            };
            log::error!(
                target: "validator",
                "the system clock is {:.0} s {direction} the chain's: see to time synchronisation (NTP){or_the_node}; \
                 nothing is submitted until they agree",
                skew.abs()
            );
        }
        if !far && std::mem::take(&mut self.clock_off) {
            log::info!(target: "validator", "the system clock agrees with the chain's again");
        }
    }

    /// Time passes without a head.
    pub fn watch(&mut self, now: Mono) {
        let age = self.age(now).filter(|age| *age > STANDSTILL && !self.standstill_told);
        if let Some(age) = age {
            self.standstill_told = true;
            log::error!(
                target: "validator",
                "the newest block, {}, is {} s old: nothing is set by it; see whether the node is in sync and this \
                 machine's clock is right, or add another endpoint to subtensor.endpoints",
                self.best().unwrap_or_default(),
                age.as_secs()
            );
        }
    }

    pub fn best(&self) -> Option<BlockNumber> {
        self.head.as_ref().map(|head| head.best)
    }

    pub fn spec_version(&self) -> Option<u32> {
        self.head.as_ref().map(|head| head.spec_version)
    }

    /// How old the best block is: by its own time when it was first seen, and since then. `None` before the first.
    pub fn age(&self, now: Mono) -> Option<Duration> {
        self.head.as_ref().map(|_| now.since(self.moved) + self.age_when_seen)
    }

    pub fn is_upgrading(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.upgrading)
    }

    pub fn is_clock_off(&self) -> bool {
        self.clock_off
    }

    /// Ours less the chain's, in seconds, when a block last came.
    pub fn skew_s(&self) -> Option<f64> {
        self.skew_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_S: u64 = 1_800_000_000;

    fn head(best: BlockNumber, at_s: u64) -> Head {
        Head {
            best,
            finalized: best,
            best_at: Some(Wall::from_secs(at_s)),
            spec_version: 425,
            upgrading: false,
            genesis: [1; 32],
            chain: "Bittensor".into(),
        }
    }

    fn at(seconds: u64) -> Now {
        Now { mono: Mono(seconds * 1_000_000_000), wall: Wall::from_secs(NOON_S + seconds) }
    }

    /// Each: (our seconds, block, the block's seconds) since noon.
    fn clock_off(seen: &[(u64, BlockNumber, i64)]) -> bool {
        let mut heads = Heads::default();
        for (ours, block, theirs) in seen {
            heads.took(at(*ours), head(*block, NOON_S.saturating_add_signed(*theirs))).unwrap();
        }
        heads.is_clock_off()
    }

    #[test]
    fn a_clock_that_is_far_off_is_seen_on_two_heads_that_move() {
        assert!(clock_off(&[(0, 1, -60), (30, 3, -36), (60, 6, 0)]), "a minute ahead");
        assert!(clock_off(&[(0, 1, 60), (30, 3, 84), (60, 6, 120)]), "a minute behind");
        assert!(!clock_off(&[(0, 1, -60), (30, 3, -36)]), "one head that moved says nothing yet");
        assert!(!clock_off(&[(0, 1, -60), (30, 3, -36), (60, 6, 0), (90, 8, 80)]), "set right");
    }

    #[test]
    fn a_block_that_is_some_seconds_old_is_no_clock() {
        assert!(!clock_off(&[(0, 1, -3), (30, 3, 6), (60, 6, 36), (90, 8, 70)]));
    }

    #[test]
    fn a_stalled_node_and_one_that_catches_up_are_no_clock() {
        assert!(!clock_off(&[(0, 1, 0), (300, 1, 0), (600, 1, 0), (900, 1, 0)]), "stalled");
        assert!(!clock_off(&[(0, 1, -9000), (30, 500, -3000), (60, 900, -100), (90, 912, 85)]), "catching up");
    }

    #[test]
    fn another_chain_is_known_by_its_genesis_and_changes_nothing() {
        let mut heads = Heads::default();
        heads.expect([2; 32]);
        let told = heads.took(at(0), head(1, NOON_S)).unwrap_err().to_string();
        assert!(told.contains(&"01".repeat(32)) && told.contains(&"02".repeat(32)), "{told}");
        assert_eq!((heads.best(), heads.age(at(1).mono)), (None, None));
        let mut fresh = Heads::default();
        assert_eq!(fresh.took(at(0), head(1, NOON_S)).unwrap().genesis, Some([1; 32]));
        assert_eq!(fresh.took(at(0), head(2, NOON_S)).unwrap().genesis, None);
    }

    #[test]
    fn a_block_is_as_old_as_it_says_until_another_comes() {
        let mut heads = Heads::default();
        let age_s = |heads: &Heads, ours| heads.age(at(ours).mono).unwrap().as_secs();
        heads.took(at(1000), head(1, NOON_S)).unwrap();
        heads.took(at(1030), head(1, NOON_S)).unwrap();
        assert_eq!(age_s(&heads, 1040), 1040, "the node was stalled before we came");
        heads.took(at(1060), head(2, NOON_S + 12)).unwrap();
        assert_eq!(age_s(&heads, 1061), 1049, "it catches up, and is not there yet");
        heads.took(at(1090), head(90, NOON_S + 1088)).unwrap();
        heads.took(at(1120), head(90, NOON_S + 1088)).unwrap();
        assert_eq!(age_s(&heads, 1130), 42);
        heads.took(at(1140), head(90, NOON_S + 1140)).unwrap();
        assert_eq!(age_s(&heads, 1140), 0, "a fork of the same height is another block");
    }
}
