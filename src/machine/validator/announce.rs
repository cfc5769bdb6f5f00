//! The announcement of our axon: `serve_axon`, only when the chain tells another address and lets us.
//!
//! Owns what is to be announced and when to try again. An extrinsic of it goes through the lane; it is believed when
//! the metagraph shows it.

use std::{net::SocketAddr, time::Duration};

use rand_chacha::ChaCha20Rng;

use super::{blocked::Ground, chain::VERSION, extrinsics::Ended, lines};
use crate::{
    machine::{
        backoff::Backoff,
        contract::chain::{ChainCall, Feature, Metagraph, Neuron},
    },
    units::{BlockNumber, Mono},
};

#[derive(Debug)]
pub struct Announcement {
    /// `None`: never.
    want: Option<SocketAddr>,
    due: Mono,
    backoff: Backoff,
    /// The chain took it in this block: a metagraph of before says nothing.
    included: Option<BlockNumber>,
}

impl Announcement {
    pub fn new(want: Option<SocketAddr>, sync_every: Duration) -> Announcement {
        let backoff = Backoff::new(Duration::from_secs(60).min(sync_every * 4), Duration::from_secs(1800));
        Announcement { want, due: Mono(0), backoff, included: None }
    }

    /// What is to be signed now, if anything.
    pub fn next_call(&mut self, now: Mono, ground: &Ground<'_>) -> Option<ChainCall> {
        let want = self.want?;
        let (graph, me) = ground.good().ok()?;
        let differs = me.axon != Some(want) && self.included.is_none_or(|block| graph.block > block);
        if !differs || now < self.due || ground.runtime.is_broken(Feature::ServeAxon) || too_soon(graph, me, ground) {
            return None;
        }
        self.included = None;
        log::info!(target: "validator", "announcing the axon at {want}");
        Some(ChainCall::ServeAxon { netuid: graph.netuid, ip: want.ip(), port: want.port(), version: VERSION })
    }

    pub fn ended(&mut self, now: Mono, ended: Ended, rng: &mut ChaCha20Rng) {
        self.due = now + self.backoff.wait(rng);
        match ended {
            Ended::Included { block, .. } => self.included = Some(block),
            Ended::Refused { reason, remedy } => {
                let (reason, remedy) = (lines::quoted(&reason), remedy.unwrap_or("it is tried again later"));
                log::warn!(target: "validator", "axon not announced: {reason}: {remedy}");
            }
            Ended::Unsent(Some(fault)) => {
                log::warn!(target: "validator", "axon not announced: {} ({:?})", fault.text, fault.kind);
            }
            Ended::Unsent(None) => log::warn!(target: "validator", "axon not announced: the store did not take it"),
            Ended::Lapsed => log::warn!(target: "validator", "axon not announced: no block took it; it is tried again"),
        }
    }

    /// A new metagraph: does it show our axon?
    pub fn observe(&mut self, me: Option<&Neuron>) {
        let shown = self.want.is_some() && me.is_some_and(|me| me.axon == self.want);
        if shown && let (Some(block), Some(want)) = (self.included.take(), self.want) {
            log::info!(target: "validator", "axon state=confirmed address={want} block={block}");
        }
        if shown {
            self.backoff.reset();
        }
    }
}

fn too_soon(graph: &Metagraph, me: &Neuron, ground: &Ground<'_>) -> bool {
    me.axon_block != 0 && ground.block.saturating_sub(me.axon_block) < graph.serving_rate_limit
}
