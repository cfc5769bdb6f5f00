//! A simulated subtensor: one subnet that answers as a node does, over the node's own method names and SCALE
//! shapes, with the metadata that a real one served.
//!
//! It is for trying and testing, and says "simulated" in its chain name, its node name and its log. There is no
//! consensus, no money and no emission: it makes a block each few seconds or on demand, keeps neurons, axons and
//! weights, and executes calls with the checks of the pallet. Every other call is refused by its pool. One
//! deliberate leniency: loopback addresses may be announced, which the real chain forbids.
//!
//! It can do what real chains do at bad moments: upgrade its runtime, fork, stall, lag, forget its pool, lose
//! extrinsics, ask for fewer requests. Each is a method of [`Node`], and a method `sim_*` of its RPC.
//!
//! [`Node`] is pure: the time and a request go in, an answer comes out. [`server`] gives it a socket, through the
//! loop that all daemons run on; [`InProcess`] lends it to a chain spoke in the same process.

mod apis;
mod author;
mod blocks;
mod call;
mod commits;
mod control;
mod drand;
mod epochs;
mod event;
mod faults;
mod fields;
mod genesis;
mod held;
mod history;
mod in_process;
mod items;
mod journal;
mod keys;
mod methods;
mod pallet;
pub(in crate::spoke) mod params;
mod pool;
mod registration;
pub(in crate::spoke) mod reply;
mod runtime;
pub mod server;
mod storage;
mod storage_key;
mod subnet;
mod subscriptions;
mod topic;
mod upgrade;
mod verify;
mod weights;

pub use control::METHODS;
pub use faults::{Answered, ControlError, Mishap, RateCode, Retracted};
pub use genesis::{Genesis, GenesisError, GenesisNeuron, Hyperparameters};
pub use in_process::{Broken, InProcess};
pub use upgrade::UpgradeKind;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use self::{
    author::Clock, blocks::Block, drand::Drand, event::Event, faults::Faults, history::History, pool::Pool,
    runtime::Runtime, subnet::Subnet,
};
use super::chain::metadata::ShapeFault;
use crate::units::{BlockNumber, Now};

/// What the node calls its chain.
pub const CHAIN_NAME: &str = "Subtensor (simulated)";
/// What it calls itself.
pub const NODE_NAME: &str = "Subtensor node (simulated)";

/// Journal lines that wait to be taken; the oldest is dropped beyond.
const JOURNAL_MAX: usize = 4096;

/// The simulated node.
pub struct Node {
    history: History,
    pool: Pool,
    journal: VecDeque<String>,
    clock: Clock,
    faults: Faults,
    /// By the block whose state holds the new runtime.
    upgrades: BTreeMap<BlockNumber, UpgradeKind>,
    /// What the owner of the subnet has set, for the next block.
    next_hyperparameters: Option<Hyperparameters>,
    next_epoch_at: Option<BlockNumber>,
    drand: Drand,
    /// Forks so far.
    branch: u64,
}

impl Node {
    /// A chain at block 0; its first block is due one `block_time` from `now`, and on demand when that is zero.
    pub fn new(genesis: Genesis, block_time: Duration, now: Now) -> Result<Node, ShapeFault> {
        let subnet = Arc::new(Subnet::new(genesis));
        Ok(Node {
            history: History::new(subnet, Runtime::recorded()?),
            pool: Pool::default(),
            journal: VecDeque::new(),
            clock: Clock::new(block_time, now),
            faults: Faults::default(),
            upgrades: BTreeMap::new(),
            next_hyperparameters: None,
            next_epoch_at: None,
            drand: Drand::new(),
            branch: 0,
        })
    }

    /// The text that [`Node::respond`] answers with, if any.
    pub fn answer(&mut self, body: &[u8]) -> Option<String> {
        match self.respond(body) {
            Answered::Text(text) => Some(text),
            Answered::Nothing | Answered::TooManyRequests | Answered::Lost => None,
        }
    }

    /// The number of the best block.
    pub fn best(&self) -> BlockNumber {
        self.history.best().number
    }

    /// The oldest line of the journal that was not taken yet: one JSON object for each extrinsic, when it was
    /// refused, when its block was made, and when it left the pool or its block otherwise.
    pub fn take_journal_line(&mut self) -> Option<String> {
        self.journal.pop_front()
    }

    fn write_journal(&mut self, line: String) {
        if self.journal.len() == JOURNAL_MAX {
            self.journal.pop_front();
        }
        self.journal.push_back(line);
    }

    /// The best block that the node has seen.
    fn head(&self) -> &Block {
        self.history.behind(self.faults.lag)
    }

    /// The newest block that is final, as far as the node has seen.
    fn finalized(&self) -> &Block {
        self.history.finalized(self.faults.lag)
    }

    /// The state of the best block.
    fn state(&self) -> &Subnet {
        &self.history.best().subnet
    }
}

/// What a dispatched call did: the events that it deposited, or the pallet's error by name.
type Dispatched = Result<Vec<Event>, &'static str>;
