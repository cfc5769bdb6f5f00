//! The chain, as machines see it. One request is one call (or one batch) to a node; when to ask, to retry or
//! to give up is the machine's decision. Endpoints, their health and their back-off are the spoke's.

use std::net::{IpAddr, SocketAddr};

use crate::units::{BlockNumber, Hotkey, Netuid, Uid};

#[derive(Clone, Debug, PartialEq)]
pub enum ChainRequest {
    /// Best and finalized head, runtime version.
    Head,
    /// The whole subnet at the best head, in one call.
    Metagraph(Netuid),
    /// The weights that a neuron last set, as the chain holds them.
    Weights { netuid: Netuid, uid: Uid },
    /// Sign and submit `serve_axon` with our hotkey.
    ServeAxon { netuid: Netuid, ip: IpAddr, port: u16, version: u32 },
    /// Sign and submit `set_weights` with our hotkey.
    SetWeights { netuid: Netuid, weights: Vec<(Uid, u16)>, version_key: u64 },
    /// Look for a submitted extrinsic in the blocks since its submission.
    Find(Submission),
}

/// An extrinsic that a node's pool accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// blake2_256 of its bytes.
    pub hash: [u8; 32],
    /// Best block when it was submitted; without a fork it is in a later one.
    pub after: BlockNumber,
    /// Last block that may include it (its mortal era).
    pub until: BlockNumber,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ChainReply {
    Head(Head),
    Metagraph(Box<Metagraph>),
    Weights(Vec<(Uid, u16)>),
    Submitted(Submission),
    Found(Inclusion),
    Failed(ChainFault),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub best: BlockNumber,
    pub finalized: BlockNumber,
    pub spec_version: u32,
    /// The chain's own name, e.g. "Bittensor" or "Subtensor (simulated)".
    pub chain: String,
}

/// Where a submitted extrinsic stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inclusion {
    /// Not in a block yet, and its era still runs.
    Pending,
    /// In that block, and its call succeeded.
    Succeeded { block: BlockNumber },
    /// In that block, and its call failed; the error by its name in the metadata, e.g. `SubtensorModule.NeuronNoValidatorPermit`.
    Refused { block: BlockNumber, error: String },
    /// Its era ended without it.
    Expired,
}

/// One state of the subnet, all of one block.
#[derive(Clone, Debug, PartialEq)]
pub struct Metagraph {
    pub netuid: Netuid,
    pub block: BlockNumber,
    /// Blocks per epoch.
    pub tempo: u16,
    /// Blocks that must lie between two weight settings of one neuron.
    pub weights_rate_limit: u64,
    /// The least version key that the chain accepts.
    pub weights_version: u64,
    /// A vector with fewer weights is refused (unless the subnet has fewer neurons).
    pub min_allowed_weights: u16,
    /// No normalised weight may be over this; 65535 is no limit.
    pub max_weights_limit: u16,
    pub commit_reveal: bool,
    /// By uid, ascending.
    pub neurons: Vec<Neuron>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Neuron {
    pub uid: Uid,
    pub hotkey: Hotkey,
    pub coldkey: Hotkey,
    /// Announced address; `None` when it never served or serves 0.0.0.0.
    pub axon: Option<SocketAddr>,
    pub validator_permit: bool,
    /// In TAO (total stake: alpha and root).
    pub stake_tao: f64,
    /// Block of its last weight setting, or of its registration; 0 is never.
    pub last_update: BlockNumber,
}

impl Metagraph {
    pub fn neuron(&self, hotkey: &Hotkey) -> Option<&Neuron> {
        self.neurons.iter().find(|neuron| neuron.hotkey == *hotkey)
    }
}

/// A call that did not work: what was asked, why not, and of what kind that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFault {
    pub asked: &'static str,
    pub kind: ChainFaultKind,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainFaultKind {
    /// No endpoint answered in time; asking again later may work.
    Unreachable,
    /// The node asks for fewer requests.
    RateLimited,
    /// The transaction pool refused the extrinsic (1010, "Custom error: N" …).
    Pool,
    /// The node understood the call and answered with an error.
    Node,
    /// The answer or the metadata is not what we know how to read.
    Shape,
    /// The call must be signed, and this daemon was given no hotkey.
    NoKey,
}
