//! A simulated subtensor: one subnet that answers as a node does, over the node's own method names and SCALE
//! shapes, with the metadata that a real one served.
//!
//! It is for trying and testing, and says "simulated" in its chain name, its node name and its log. There is no
//! consensus, no money and no emission: it makes a block each few seconds, keeps neurons, axons and weights, and
//! executes `set_weights` and `serve_axon` with the checks of the pallet. Every other call is refused by its
//! pool. One deliberate leniency: loopback addresses may be announced, which the real chain forbids.
//!
//! [`Node`] is pure: the time and a request go in, an answer comes out. [`server`] gives it a socket, through the
//! loop that all daemons run on; [`InProcess`] lends it to a chain spoke in the same process.

mod apis;
mod blocks;
mod event;
mod genesis;
mod in_process;
mod journal;
mod keys;
mod methods;
mod pallet;
mod pool;
mod reply;
pub mod server;
mod storage;
mod subnet;
mod subscriptions;
mod topic;
mod verify;

pub use genesis::{Genesis, GenesisError, GenesisNeuron, Hyperparameters};
pub use in_process::InProcess;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use self::{
    blocks::{Block, History},
    event::Event,
    pool::Pool,
    subnet::Subnet,
};
use super::chain::metadata::{Metadata, ShapeFault};
use crate::units::{BlockNumber, Mono, Now, Wall};

/// What the node calls its chain.
pub const CHAIN_NAME: &str = "Subtensor (simulated)";
/// What it calls itself.
pub const NODE_NAME: &str = "Subtensor node (simulated)";

/// As a node of spec 425 serves them, without their documentation texts.
const METADATA_V15: &[u8] = include_bytes!("data/spec425_v15.scale");
const METADATA_V14: &[u8] = include_bytes!("data/spec425_v14.scale");

/// Blocks made at once when the clock jumped; the rest of the gap is skipped.
const CATCH_UP_MAX: u32 = 64;

/// Journal lines that wait to be taken; the oldest is dropped beyond.
const JOURNAL_MAX: usize = 4096;

/// The simulated node.
pub struct Node {
    metadata: Metadata,
    spec_version: u32,
    transaction_version: u32,
    history: History,
    subnet: Arc<Subnet>,
    pool: Pool,
    journal: VecDeque<String>,
    block_time: Duration,
    next_block: Mono,
    wall: Wall,
}

impl Node {
    /// A chain at block 0; its first block is due one `block_time` from `now`.
    pub fn new(genesis: Genesis, block_time: Duration, now: Now) -> Result<Node, ShapeFault> {
        let metadata = Metadata::parse(METADATA_V15)?;
        let (spec_version, transaction_version) = methods::versions(&metadata)?;
        let subnet = Arc::new(Subnet::new(genesis));
        Ok(Node {
            history: History::new(subnet.clone()),
            metadata,
            spec_version,
            transaction_version,
            subnet,
            pool: Pool::default(),
            journal: VecDeque::new(),
            block_time,
            next_block: now.mono + block_time,
            wall: now.wall,
        })
    }

    /// When the next block is due.
    pub fn deadline(&self) -> Mono {
        self.next_block
    }

    /// Makes the blocks that are due.
    pub fn advance(&mut self, now: Now) {
        self.wall = now.wall;
        for _ in 0..CATCH_UP_MAX {
            if now.mono < self.next_block {
                return;
            }
            self.next_block = self.next_block + self.block_time;
            self.make_block();
        }
        self.next_block = now.mono + self.block_time;
    }

    /// Answers the body of one HTTP request: a call or a batch. `None` when nothing in it asks for an answer.
    pub fn answer(&mut self, body: &[u8]) -> Option<String> {
        self.answer_by(body, &mut Node::call)
    }

    /// The same with methods that a connection has besides.
    fn answer_by(&mut self, body: &[u8], call: reply::Callee) -> Option<String> {
        reply::to(self, body, call)
    }

    /// The number of the best block.
    pub fn best(&self) -> BlockNumber {
        self.history.best().number
    }

    /// The best block that the node has seen.
    fn head(&self) -> &Block {
        self.history.best()
    }

    fn finalized(&self) -> &Block {
        self.history.finalized()
    }

    /// The oldest line of the journal that was not taken yet: one JSON object for each extrinsic, when it was
    /// refused, or when its block was made.
    pub fn take_journal_line(&mut self) -> Option<String> {
        self.journal.pop_front()
    }

    fn write_journal(&mut self, line: String) {
        if self.journal.len() == JOURNAL_MAX {
            self.journal.pop_front();
        }
        self.journal.push_back(line);
    }

    /// Everything that waits and may be included, in order, and the author's timestamp before it.
    fn make_block(&mut self) {
        let number = self.best() + 1;
        let mut draft = blocks::Draft::new(&self.metadata, self.wall);
        let ready = self.pool.take_ready(number, |signer| self.subnet.nonce(signer));
        let mut subnet = self.subnet.clone();
        for pooled in ready.included {
            let (state, signer) = (Arc::make_mut(&mut subnet), &pooled.extrinsic.signer);
            state.count_nonce(signer);
            let result = pallet::dispatch(state, number, signer, &pooled.call);
            let error = result.as_ref().err().copied();
            draft.push(&self.metadata, &pooled.bytes, result);
            self.write_journal(journal::included(self.wall, number, &pooled.extrinsic, error));
        }
        for pooled in ready.dropped {
            self.write_journal(journal::dropped(self.wall, number, &pooled.extrinsic));
        }
        self.subnet = subnet;
        self.history.push(draft.finish(&self.metadata, self.history.best(), self.subnet.clone()));
    }
}

/// What a dispatched call did: the events that it deposited, or the pallet's error by name.
type Dispatched = Result<Vec<Event>, &'static str>;
