//! The chain, as machines see it. One request is one call (or one batch) to a node; when to ask, to retry or
//! to give up is the machine's decision. Endpoints, their health and their back-off are the spoke's.

use std::net::{IpAddr, SocketAddr};

use crate::units::{BlockNumber, Hotkey, Netuid, Uid, Wall};

#[derive(Clone, Debug, PartialEq)]
pub enum ChainRequest {
    /// Best and finalized head, their time, the runtime version, which chain it is.
    Head,
    /// Every name and shape that we use, looked for in the runtime that runs now.
    Preflight,
    /// The whole subnet at the best head, in one call.
    Metagraph(Netuid),
    /// The weights that a neuron last set in a mechanism, as the chain holds them.
    Weights { netuid: Netuid, mechanism: u8, uid: Uid },
    /// Where the weights of a neuron stand, at the finalized head.
    Standing { netuid: Netuid, mechanism: u8, uid: Uid, hotkey: Hotkey },
    /// Make and sign an extrinsic with our hotkey. Nothing is sent: what is signed can be made durable first.
    Sign(Box<ChainCall>),
    /// Hand a signed extrinsic to a node's pool. Doing so again does no harm.
    Submit(Box<SignedExtrinsic>),
    /// Look for a submitted extrinsic in the blocks since it was signed.
    Find(Submission),
}

/// A call that a hotkey signs.
#[derive(Clone, Debug, PartialEq)]
pub enum ChainCall {
    ServeAxon {
        netuid: Netuid,
        ip: IpAddr,
        port: u16,
        version: u32,
    },
    /// Weights in the open (`set_weights`; `set_mechanism_weights` beyond the first mechanism).
    SetWeights(WeightVector),
    /// Weights encrypted to a round of drand, which the chain opens by itself. The spoke finds the round from the
    /// subnet's epochs as they stand when it signs, and says it in `SignedExtrinsic::reveal`.
    CommitTimelocked(WeightVector),
    /// The hash of weights and a salt; `RevealWeights` must follow in the right epoch.
    CommitHash {
        weights: WeightVector,
        salt: Vec<u16>,
    },
    RevealWeights {
        weights: WeightVector,
        salt: Vec<u16>,
    },
    /// Buys a place in the subnet for what it costs in its block; a coldkey signs it, and no daemon makes it.
    BurnedRegister {
        netuid: Netuid,
        hotkey: Hotkey,
    },
    /// The same, and refused by the chain when the place costs more than the limit. Not every runtime has it.
    RegisterLimit {
        netuid: Netuid,
        hotkey: Hotkey,
        limit_rao: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightVector {
    pub netuid: Netuid,
    /// 0 is a subnet's first, and mostly its only one.
    pub mechanism: u8,
    /// By uid, ascending; no zeros.
    pub weights: Vec<(Uid, u16)>,
    pub version_key: u64,
}

/// An extrinsic that can be handed in as it is, now or after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedExtrinsic {
    pub bytes: Vec<u8>,
    pub submission: Submission,
    pub nonce: u64,
    /// When the chain will open it, for a timelocked commitment.
    pub reveal: Option<Reveal>,
}

/// When a commitment is opened, as foreseen when it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reveal {
    /// Of drand; 0 for a hash commitment, which waits for none.
    pub drand_round: u64,
    /// `SubnetEpochIndex` at the commitment.
    pub commit_epoch: u64,
    /// First block of the epoch that opens it.
    pub block: BlockNumber,
}

/// What `Find` looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// blake2_256 of its bytes.
    pub hash: [u8; 32],
    /// Best block when it was signed; without a fork it is in a later one.
    pub after: BlockNumber,
    /// Last block that may include it (its mortal era).
    pub until: BlockNumber,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ChainReply {
    Head(Head),
    Preflight(Box<Preflight>),
    Metagraph(Box<Metagraph>),
    Weights(Vec<(Uid, u16)>),
    Standing(Box<Standing>),
    Signed(Box<SignedExtrinsic>),
    /// A pool has it: the node took it, or had it already.
    Submitted(Submission),
    Found(Inclusion),
    Failed(ChainFault),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub best: BlockNumber,
    pub finalized: BlockNumber,
    /// The best block's own timestamp; `None` when it has none.
    pub best_at: Option<Wall>,
    /// Of the runtime that executes the next block.
    pub spec_version: u32,
    /// The next block is the first of a new runtime, so its storage is not migrated yet: nothing is to be read or
    /// signed before that block.
    pub upgrading: bool,
    pub genesis: [u8; 32],
    /// The chain's own name, e.g. "Bittensor" or "Subtensor (simulated)".
    pub chain: String,
}

/// Where a submitted extrinsic stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inclusion {
    /// Not in a block yet, and its era still runs.
    Pending,
    /// In that block, and its call succeeded. Until it is final a fork may take it out again.
    Succeeded { block: BlockNumber, is_final: bool },
    /// In that block, and its call failed; the error by its name in the metadata, e.g. `SubtensorModule.NeuronNoValidatorPermit`.
    /// Until it is final a fork may take it out again, and the same bytes may succeed elsewhere.
    Refused { block: BlockNumber, error: String, remedy: Option<&'static str>, is_final: bool },
    /// Its era ended without it, and finally so.
    Expired,
}

/// Where the weights of one neuron in one mechanism stand, all of one finalized block.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub block: BlockNumber,
    /// `SubnetEpochIndex`.
    pub epoch: u64,
    /// Epochs from a commitment to its reveal.
    pub reveal_period: u64,
    /// First block of the next epoch, as far as can be foreseen.
    pub next_epoch_block: BlockNumber,
    pub last_update: BlockNumber,
    /// As the chain holds them: the largest is 65535.
    pub weights: Vec<(Uid, u16)>,
    /// Commitments of this hotkey that the chain still holds.
    pub commits: Vec<HeldCommit>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldCommit {
    /// Epoch of the commitment.
    pub epoch: u64,
    pub block: BlockNumber,
    /// blake2_256 of a timelocked commitment's bytes, or the hash of a hash commitment.
    pub hash: [u8; 32],
    /// `None` for a hash commitment.
    pub drand_round: Option<u64>,
}

/// Every name and shape that we use, and whether the runtime has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    pub spec_version: u32,
    /// Of the format: 14, 15 or 16.
    pub metadata_version: u32,
    pub rows: Vec<PreflightRow>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreflightRow {
    /// "call", "storage", "runtime API", "event", "extension", "constant".
    pub kind: &'static str,
    /// e.g. `SubtensorModule.set_weights`.
    pub name: String,
    pub used_by: &'static [Feature],
    pub state: PreflightState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreflightState {
    Good,
    Missing,
    /// It is there, and not in the shape that we know: what is different.
    OtherShape(String),
}

/// What a runtime makes possible. What is missing disables only the feature that needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Who takes part.
    Metagraph,
    /// The part of the metagraph that we use, instead of all of it.
    SelectiveMetagraph,
    /// Signed extrinsics of any kind.
    Signing,
    /// How an extrinsic ended.
    Outcome,
    ServeAxon,
    SetWeights,
    TimelockedCommit,
    HashCommit,
    /// `LastUpdate`, commitments and weights of a neuron.
    Standing,
    /// Registration with a coldkey.
    Register,
}

impl Feature {
    pub fn name(self) -> &'static str {
        match self {
            Feature::Metagraph => "metagraph",
            Feature::SelectiveMetagraph => "selective_metagraph",
            Feature::Signing => "signing",
            Feature::Outcome => "outcome",
            Feature::ServeAxon => "serve_axon",
            Feature::SetWeights => "set_weights",
            Feature::TimelockedCommit => "timelocked_commit",
            Feature::HashCommit => "hash_commit",
            Feature::Standing => "standing",
            Feature::Register => "register",
        }
    }
}

impl Preflight {
    /// Whether that name is there, and as it is known.
    pub fn has(&self, name: &str) -> bool {
        self.rows.iter().any(|row| row.name == name && row.state == PreflightState::Good)
    }

    /// The first row that keeps `feature` from working.
    pub fn broken(&self, feature: Feature) -> Option<&PreflightRow> {
        self.rows.iter().find(|row| row.state != PreflightState::Good && row.used_by.contains(&feature))
    }
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
    /// Blocks that must lie between two announcements of one axon.
    pub serving_rate_limit: u64,
    /// The least version key that the chain accepts.
    pub weights_version: u64,
    /// A vector with fewer weights is refused (unless the subnet has fewer neurons).
    pub min_allowed_weights: u16,
    /// No normalised weight may be over this; 65535 is no limit.
    pub max_weights_limit: u16,
    pub commit_reveal: bool,
    /// Epochs from a commitment to its reveal.
    pub reveal_period: u64,
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
    /// Block of its last announcement; 0 is never.
    pub axon_block: BlockNumber,
    pub active: bool,
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

/// A call that did not work: what was asked, why not, of what kind that is, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFault {
    pub asked: &'static str,
    pub kind: ChainFaultKind,
    pub text: String,
    /// What an operator can do; `None` where waiting is all there is to do.
    pub remedy: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainFaultKind {
    /// No endpoint answered in time; asking again later may work.
    Unreachable,
    /// The node asks for fewer requests.
    RateLimited,
    /// The transaction pool refused the extrinsic.
    Pool(PoolFault),
    /// The node understood the call and answered with an error.
    Node,
    /// The answer or the metadata is not what we know how to read.
    Shape,
    /// The runtime is being upgraded; the next block can be read again.
    Upgrading,
    /// Another genesis than the one that is configured, or than before.
    OtherChain,
    /// The call must be signed, and this daemon was given no hotkey.
    NoKey,
}

/// What a pool's refusal means for what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolFault {
    /// Its nonce was used: it is in a block, or another extrinsic of this hotkey took its place (1010, outdated).
    Stale,
    /// Another extrinsic of this hotkey waits with its nonce (1014).
    Occupied,
    /// Era over, other runtime, or another chain: it must be signed anew (1010, bad signature or ancient birth).
    SignAgain,
    /// The chain's own rate limit; more blocks must pass.
    TooSoon,
    /// The node holds it back for a while (1012), or has no room (1016).
    Later,
    /// Anything else: it will not get better by itself.
    Refused,
}
