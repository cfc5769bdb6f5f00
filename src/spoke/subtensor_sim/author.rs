//! Making blocks: on time, on demand, and again on another branch.

use std::{sync::Arc, time::Duration};

use super::{
    ControlError, Node, UpgradeKind, blocks,
    commits::{self, Opened},
    drand::Drand,
    event::Event,
    journal,
    pallet::{self, Moment},
    pool::Pooled,
    runtime::Runtime,
    subnet::Subnet,
};
use crate::units::{BlockNumber, Mono, Now, Wall};

/// Blocks made at once when the clock jumped; the rest of the gap is skipped.
const CATCH_UP_MAX: u32 = 64;

/// When blocks are due, and what time it is.
pub struct Clock {
    /// `None`: blocks are made on demand alone.
    block_time: Option<Duration>,
    next_block: Mono,
    pub mono: Mono,
    pub wall: Wall,
    /// What the author's clock says more than ours.
    pub author_ahead_s: i64,
}

impl Clock {
    pub fn new(block_time: Duration, now: Now) -> Clock {
        let next_block = now.mono + block_time;
        let block_time = Some(block_time).filter(|time| !time.is_zero());
        Clock { block_time, next_block, mono: now.mono, wall: now.wall, author_ahead_s: 0 }
    }

    /// What the author of a block that is made now writes into it.
    pub fn timestamp_ms(&self) -> u64 {
        self.wall.as_millis().saturating_add_signed(self.author_ahead_s.saturating_mul(1000))
    }
}

impl Node {
    /// When the next block is due; `None` when blocks are made on demand.
    pub fn deadline(&self) -> Option<Mono> {
        self.clock.block_time.map(|_| self.clock.next_block)
    }

    /// Makes the blocks that are due.
    pub fn advance(&mut self, now: Now) {
        (self.clock.mono, self.clock.wall) = (now.mono, now.wall);
        let Some(block_time) = self.clock.block_time else { return };
        for _ in 0..CATCH_UP_MAX {
            if now.mono < self.clock.next_block {
                return;
            }
            self.clock.next_block = self.clock.next_block + block_time;
            if !self.faults.stalled {
                self.make_block();
            }
        }
        self.clock.next_block = now.mono + block_time;
    }

    /// Makes so many blocks now, whatever the time is.
    pub fn make_blocks(&mut self, count: u32) {
        (0..count).for_each(|_| self.make_block());
    }

    /// The owner of the subnet wants an epoch to begin with that block; the chain knows it from the next block on.
    pub fn trigger_epoch(&mut self, block: BlockNumber) {
        self.next_epoch_at = Some(block);
    }

    /// The block after the next one is executed by another runtime.
    pub fn upgrade(&mut self, kind: UpgradeKind) -> Result<(), ControlError> {
        self.upgrade_at(self.best() + 1, kind)
    }

    /// The state of `block` holds another runtime: it executes every block after that one.
    pub fn upgrade_at(&mut self, block: BlockNumber, kind: UpgradeKind) -> Result<(), ControlError> {
        if block <= self.best() {
            return Err(ControlError::Made(block));
        }
        // Tried out now, so that it cannot fail when its block is made.
        self.history.best().runtime.upgraded(kind)?;
        self.upgrades.insert(block, kind);
        Ok(())
    }

    /// What block `number` puts in place.
    fn due_upgrade(&self, number: BlockNumber, executor: &Runtime) -> Option<Arc<Runtime>> {
        let kind = self.upgrades.get(&number)?;
        match executor.upgraded(*kind) {
            Ok(runtime) => {
                let (from, to) = (executor.spec_version(), runtime.spec_version());
                log::info!(target: "subtensor-sim", "block {number} puts runtime {to} in place of {from} ({kind})");
                Some(runtime)
            }
            Err(fault) => {
                log::error!(target: "subtensor-sim", "no (simulated) upgrade at block {number}: {fault}");
                None
            }
        }
    }

    /// Everything that waits and may be included, in order, and the author's timestamp before it.
    pub(super) fn make_block(&mut self) {
        self.make_block_at(self.clock.timestamp_ms(), true);
    }

    /// `open`: whether what waits in the pool may enter.
    pub(super) fn make_block_at(&mut self, timestamp_ms: u64, open: bool) {
        let parent = self.history.best();
        let (number, executor) = (parent.number + 1, parent.runtime.clone());
        let mut subnet = parent.subnet.clone();
        let state = Arc::make_mut(&mut subnet);
        if let Some(hyperparameters) = self.next_hyperparameters.take() {
            state.hyperparameters = hyperparameters;
        }
        if let Some(block) = self.next_epoch_at.take() {
            state.epochs.pending_at = block;
        }
        let now = Moment { block: number, last_round: Drand::last_round(number) };
        let initial = self.begin_block(state, now);
        let mut draft = blocks::Draft::new(executor.clone(), timestamp_ms, self.branch, &initial);
        let waiting = if open { self.take_ready(number, state) } else { Vec::new() };
        for pooled in waiting {
            let signer = &pooled.extrinsic.signer;
            state.count_nonce(signer);
            let result = pallet::dispatch(state, now, signer, &pooled.call);
            let error = result.as_ref().err().copied();
            draft.push(&pooled.bytes, Some(signer), result);
            self.write_journal(journal::included(self.clock.wall, number, &pooled.extrinsic, error));
        }
        let upgrade = self.due_upgrade(number, &executor);
        self.history.push(draft.finish(self.history.best(), subnet, upgrade));
    }

    /// What the chain does by itself: it opens commitments, counts epochs, stores pulses.
    fn begin_block(&mut self, state: &mut Subnet, now: Moment) -> Vec<Event> {
        let mut events = Vec::new();
        for Opened { hotkey, result } in commits::open_due(state, now, &self.drand) {
            self.write_journal(journal::opened(self.clock.wall, now.block, &hotkey, result.as_ref().err()));
            events.extend(result.unwrap_or_default());
        }
        state.epochs.step(now.block, state.hyperparameters.tempo);
        events.push(Event::new_pulses(&Drand::new_rounds(now.block)));
        events
    }

    /// Takes out of the pool what block `number` may include. What was signed for another runtime is dropped.
    fn take_ready(&mut self, number: BlockNumber, state: &Subnet) -> Vec<Pooled> {
        let spec_version = self.history.best().runtime.spec_version();
        let taken = self.pool.take_ready(number, spec_version, |signer| state.nonce(signer));
        for pooled in taken.dropped {
            self.write_journal(journal::left(self.clock.wall, number, &pooled.extrinsic, "dropped"));
        }
        taken.included
    }
}
