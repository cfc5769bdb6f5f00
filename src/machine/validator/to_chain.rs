//! What is on its way to the chain, carried between the lane, those who send on it, and the store.

use super::{Phase, Validator, blocked::Ground, epoch::MECHANISM, ledger::Waiter};
use crate::{
    machine::contract::{
        chain::ChainRequest,
        store::{Errand, Write},
    },
    units::Now,
};

impl Validator {
    /// What is on its way to the chain goes on: the lane first, then what waits for it.
    pub(super) fn carry_extrinsics(&mut self, now: Now) {
        let ground = Ground::of(&self.chain, &self.drift, now);
        self.lane.tick(now.mono, ground.head, ground.may_send().is_ok());
        let mut ended = false;
        while let Some((errand, news)) = self.lane.next_news() {
            ended = true;
            match errand {
                Errand::Axon => self.announcement.ended(now.mono, news, &mut self.rng),
                errand => self.epoch.ended(now, errand, news, &mut self.rng),
            }
        }
        if self.phase == Phase::Running && self.lane.is_free() {
            let axon = |call| (Errand::Axon, call);
            let job = self.epoch.next_job(now, &ground, &mut self.rng);
            let job = job.or_else(|| self.announcement.next_call(now.mono, &ground).map(axon));
            job.into_iter().for_each(|(errand, call)| self.lane.begin(errand, call));
        }
        let me = ground.me.filter(|_| ground.head);
        let standing = me.filter(|_| self.epoch.reveals.ask(now.mono, ground.block)).map(|me| me.uid);
        if let Some(uid) = standing {
            let (netuid, hotkey) = (self.config.netuid, self.me.hotkey().clone());
            self.chain.ask(ChainRequest::Standing { netuid, mechanism: MECHANISM, uid, hotkey });
        }
        if ended {
            self.chain.refresh(now.mono);
        }
    }

    /// What must be durable before anything follows from it waits for the store; the rest only must not be lost.
    pub(super) fn write_weights(&mut self, now: Now, write: Write) {
        match &write {
            Write::WeightIntent { .. } => {
                if !self.ledger.first(now, write, Waiter::Intent) {
                    self.epoch.stored(now, false, &mut self.rng);
                }
            }
            Write::ExtrinsicSigned { .. } => {
                if !self.ledger.first(now, write, Waiter::Extrinsic) {
                    self.lane.stored(now, false);
                }
            }
            _ => self.ledger.must(write),
        }
    }
}
