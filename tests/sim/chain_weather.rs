//! What goes wrong with the chain and the way to it, drawn by the seed: rate limits, stalls, lag, forgotten and lost
//! extrinsics, forks, answers that never come, upgrades that must go unnoticed.

use byteleap::spoke::subtensor_sim::{Broken, RateCode, Retracted, UpgradeKind};
use rand_chacha::rand_core::RngCore;

use crate::subnet::Subnet;

const BROKEN: [Broken; 4] = [Broken::Request, Broken::Answer, Broken::Truncated, Broken::Garbled];
const QUIET_UPGRADES: [UpgradeKind; 4] =
    [UpgradeKind::Version, UpgradeKind::Shuffle, UpgradeKind::Newtype, UpgradeKind::EmptyExtension];

impl Subnet {
    fn draw(&mut self, below: u32) -> u32 {
        self.world.rng.next_u32() % below
    }

    /// One thing happens to the chain, or nothing.
    pub fn chain_trouble(&mut self) {
        let now = self.world.now();
        self.node.borrow_mut().advance(now);
        match self.draw(14) {
            0 => self.limit_rate(Some((0, RateCode::Http429))),
            1 => self.limit_rate(Some((1, RateCode::Json32999))),
            2 | 3 => self.limit_rate(None),
            4 => self.node.borrow_mut().stall(true),
            5 => self.node.borrow_mut().stall(false),
            6 => self.node.borrow_mut().forget_pool(),
            7 => {
                let how = if self.draw(2) == 0 { Retracted::Lost } else { Retracted::BackInPool };
                self.fork(how);
            }
            8 => self.node.borrow_mut().lose_extrinsics(1),
            9 | 10 => {
                let (how, count) = (BROKEN[self.draw(4) as usize], self.draw(6) + 1);
                self.link.break_next(how, count);
            }
            11 => {
                let lag = u64::from(self.draw(4));
                self.lag(lag);
            }
            12 => {
                let on = self.draw(2) == 0;
                self.node.borrow_mut().duplicate_extrinsics(on);
            }
            _ => self.upgrade_quietly(),
        }
    }

    /// Once in a run at most: each costs everybody new metadata.
    fn upgrade_quietly(&mut self) {
        if std::mem::replace(&mut self.upgraded, true) {
            return;
        }
        let kind = QUIET_UPGRADES[self.draw(4) as usize];
        self.node.borrow_mut().upgrade(kind).expect("a runtime like the last");
    }

    /// The newest blocks that are not final give way to others.
    pub fn fork(&mut self, how: Retracted) {
        let depth = u64::from(self.draw(3)) + 1;
        let mut node = self.node.borrow_mut();
        // what is final stays: then the shorter fork, or none
        let _ = (1..=depth).rev().find(|depth| node.fork(*depth, how).is_ok());
    }

    pub fn limit_rate(&mut self, limit: Option<(u32, RateCode)>) {
        self.witness.borrow_mut().chain.limit = limit;
        self.node.borrow_mut().limit_rate(limit);
    }

    pub fn lag(&mut self, blocks: u64) {
        self.witness.borrow_mut().chain.lag = blocks;
        self.node.borrow_mut().lag(blocks);
    }

    /// The chain is as it should be.
    pub fn calm_chain(&mut self) {
        self.limit_rate(None);
        self.lag(0);
        self.link.mend();
        let mut node = self.node.borrow_mut();
        node.stall(false);
        node.lose_extrinsics(0);
        node.duplicate_extrinsics(false);
    }
}
