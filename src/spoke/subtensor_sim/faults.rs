//! What can go wrong with a node and its chain, on purpose: each fault is a method of the node.
//!
//! A delay is only kept here: who carries the answers (a server, a link in the same process) holds them back.

use std::time::Duration;

use super::{Node, journal, reply, runtime::Runtime};
use crate::{
    spoke::chain::rpc::to_hex,
    units::{BlockNumber, Mono},
};

/// How a node that is asked too often says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateCode {
    /// HTTP status 429.
    Http429,
    /// Error -32999 in an answer of status 200.
    Json32999,
}

/// What the body of a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    Text(String),
    /// Nothing in it asked for an answer.
    Nothing,
    /// HTTP status 429.
    TooManyRequests,
    /// HTTP status 502, of a proxy that lost the answer.
    Lost,
}

/// What becomes of the extrinsics of blocks that a fork took out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retracted {
    /// They wait in the pool again.
    BackInPool,
    /// No node has them any more.
    Lost,
}

/// Why a fork, an upgrade or a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    #[error("a fork of {asked} blocks would take out block {finalized}, which is final; at most {most} can go")]
    Final { asked: u64, most: u64, finalized: BlockNumber },
    #[error("block {0} is made already")]
    Made(BlockNumber),
    #[error("{0}")]
    Hyperparameter(String),
    #[error("no such runtime: {0}")]
    Runtime(#[from] crate::spoke::chain::metadata::ShapeFault),
}

/// What is wrong now.
#[derive(Default)]
pub struct Faults {
    /// No blocks are made, and everything is answered.
    pub stalled: bool,
    /// The node has not seen so many of the newest blocks.
    pub lag: u64,
    pub delay: Duration,
    /// Extrinsics still to be taken and lost.
    pub losing: u32,
    /// Every extrinsic arrives twice, and the second answer is the one that is told.
    pub duplicating: bool,
    /// What the next requests for a method meet.
    met: Option<(String, u32, Mishap)>,
    rate: Option<Rate>,
}

/// What happens to requests for one method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// They are carried out, and their answers are lost on the way: HTTP status 502.
    AnswerLost,
    /// They are answered with an error of the node.
    Error,
}

/// A bucket of one second.
struct Rate {
    per_s: u32,
    code: RateCode,
    since: Mono,
    left: u32,
}

impl Faults {
    /// Counts a request, where `code` is what is answered to too many: whether it is one too many.
    pub fn refuses(&mut self, code: RateCode, now: Mono) -> bool {
        let Some(rate) = self.rate.as_mut().filter(|rate| rate.code == code) else { return false };
        if now >= rate.since + Duration::from_secs(1) {
            (rate.since, rate.left) = (now, rate.per_s);
        }
        let is_over = rate.left == 0;
        rate.left = rate.left.saturating_sub(1);
        is_over
    }

    /// Counts a request for `method`: whether it is to meet `mishap`.
    pub fn meets(&mut self, mishap: Mishap, method: impl FnOnce(&str) -> bool) -> bool {
        let met = self.met.as_mut().filter(|(of, left, how)| *how == mishap && *left > 0 && method(of));
        met.is_some_and(|(_, left, _)| {
            *left -= 1;
            true
        })
    }

    /// Whether the next extrinsic is lost after it was taken.
    pub fn loses(&mut self) -> bool {
        let loses = self.losing > 0;
        self.losing = self.losing.saturating_sub(1);
        loses
    }
}

/// Whether a request controls the simulation, which no limit may lock out.
fn is_control(body: &[u8]) -> bool {
    body.windows(5).any(|part| part == b"\"sim_")
}

fn asks_for(body: &[u8], method: &str) -> bool {
    let quoted = format!("\"{method}\"");
    body.windows(quoted.len()).any(|part| part == quoted.as_bytes())
}

impl Node {
    /// Answers the body of one HTTP request: a call or a batch.
    pub fn respond(&mut self, body: &[u8]) -> Answered {
        if !is_control(body) && self.faults.refuses(RateCode::Http429, self.clock.mono) {
            return Answered::TooManyRequests;
        }
        let lost = self.faults.meets(Mishap::AnswerLost, |method| asks_for(body, method));
        let answer = self.answer_by(body, &mut Node::call).map_or(Answered::Nothing, Answered::Text);
        if lost { Answered::Lost } else { answer }
    }

    /// The same with methods that a connection has besides, and with no status to refuse by.
    pub(super) fn answer_by(&mut self, body: &[u8], call: reply::Callee<Node>) -> Option<String> {
        reply::to(self, body, call)
    }

    /// Blocks cease to come, or come again from the next slot on; answers go on.
    pub fn stall(&mut self, stalled: bool) {
        self.faults.stalled = stalled;
    }

    /// Whoever makes blocks has a clock that is so many seconds ahead; behind when negative.
    pub fn skew_clock(&mut self, ahead_s: i64) {
        self.clock.author_ahead_s = ahead_s;
    }

    /// What the node knows of its chain is so many blocks old.
    pub fn lag(&mut self, blocks: u64) {
        self.faults.lag = blocks;
    }

    /// Answers are held back for so long by whoever carries them.
    pub fn delay(&mut self, delay: Duration) {
        self.faults.delay = delay;
    }

    /// How long an answer is to be held back.
    pub fn answer_delay(&self) -> Duration {
        self.faults.delay
    }

    /// So many requests (of one call or one batch) in a second are answered; `None` ends the limit.
    pub fn limit_rate(&mut self, limit: Option<(u32, RateCode)>) {
        let since = self.clock.mono;
        self.faults.rate = limit.map(|(per_s, code)| Rate { per_s, code, since, left: per_s });
    }

    /// The next `count` extrinsics are answered as if the pool had them, and it has not.
    pub fn lose_extrinsics(&mut self, count: u32) {
        self.faults.losing = count;
    }

    /// The next `count` requests for that method meet with that; 0 ends it.
    pub fn spoil(&mut self, method: &str, count: u32, mishap: Mishap) {
        self.faults.met = Some((method.to_owned(), count, mishap));
    }

    /// Whether each extrinsic arrives twice, as it does behind a proxy that tries again.
    pub fn duplicate_extrinsics(&mut self, duplicating: bool) {
        self.faults.duplicating = duplicating;
    }

    /// The pool is empty, as after a restart of the node.
    pub fn forget_pool(&mut self) {
        for pooled in self.pool.forget() {
            self.write_journal(journal::left(self.clock.wall, self.best(), &pooled.extrinsic, "forgotten"));
        }
    }

    /// Blocks that must lie between the best and the finalized one. What is final stays so.
    pub fn set_finality_lag(&mut self, blocks: u64) {
        self.history.set_finality_lag(blocks);
    }

    /// Another branch wins: the newest `depth` blocks are taken out, and `depth` + 1 empty ones are made in their
    /// place. What was in those blocks is not in the new ones.
    pub fn fork(&mut self, depth: u64, retracted: Retracted) -> Result<(), ControlError> {
        let finalized = self.history.finalized(0).number;
        let most = self.best().saturating_sub(finalized);
        if depth > most {
            return Err(ControlError::Final { asked: depth, most, finalized });
        }
        let mut bytes = Vec::new();
        let mut timestamps = vec![self.clock.timestamp_ms()];
        for _ in 0..depth {
            let Some(block) = self.history.retire_best() else { break };
            timestamps.push(block.timestamp_ms);
            bytes.splice(0..0, block.extrinsics.iter().cloned());
        }
        self.branch += 1;
        timestamps.into_iter().rev().for_each(|timestamp_ms| self.make_block_at(timestamp_ms, false));
        self.retract(&bytes, retracted);
        Ok(())
    }

    fn retract(&mut self, extrinsics: &[Vec<u8>], retracted: Retracted) {
        for bytes in extrinsics {
            let Some((hash, extrinsic)) = self.read_signed(bytes) else { continue };
            self.pool.unban(&hash);
            self.write_journal(journal::left(self.clock.wall, self.best(), &extrinsic, "retracted"));
            if retracted == Retracted::BackInPool && self.submit(bytes).is_err() {
                log::debug!(target: "subtensor-sim", "retracted extrinsic {} is no longer valid", to_hex(&hash));
            }
        }
    }

    /// The runtime that the next block is executed by.
    pub(super) fn runtime(&self) -> &Runtime {
        &self.history.best().runtime
    }
}
