//! The tables of what we use: each name once, with its shape and what it is used by.
//!
//! What nothing uses by itself (a mechanism's own calls, what has a fallback) is looked for all the same, and keeps
//! nothing from working when it is not there.

use scale_value::Value;

use super::reads;
use crate::{
    machine::contract::chain::Feature::{self, *},
    spoke::chain::{
        hyperparameters,
        metadata::{Metadata, ShapeFault},
        metagraph,
        read::MigratedTo,
        standing::{Hashed, Timelocked},
    },
    units::AccountId,
};

/// What a value must be able to say.
#[derive(Clone, Copy)]
pub enum Argument {
    U8,
    U16,
    U32,
    U64,
    U128,
    U16s,
    Bytes,
    /// An account, or a hash.
    Bytes32,
}

impl Argument {
    /// The largest value: a type that cannot hold it is narrower than what we send.
    pub fn largest(&self) -> Value {
        match self {
            Argument::U8 => Value::u128(u8::MAX.into()),
            Argument::U16 => Value::u128(u16::MAX.into()),
            Argument::U32 => Value::u128(u32::MAX.into()),
            Argument::U64 => Value::u128(u64::MAX.into()),
            Argument::U128 => Value::u128(u128::MAX),
            Argument::U16s => Value::unnamed_composite([Value::u128(u16::MAX.into())]),
            Argument::Bytes => Value::from_bytes([0xff; 8]),
            Argument::Bytes32 => Value::from_bytes([0xff; 32]),
        }
    }
}

/// A call of the pallet, with exactly these arguments.
pub struct CallNeed {
    pub name: &'static str,
    pub used_by: &'static [Feature],
    pub arguments: &'static [(&'static str, Argument)],
}

const fn call(
    name: &'static str,
    used_by: &'static [Feature],
    arguments: &'static [(&'static str, Argument)],
) -> CallNeed {
    CallNeed { name, used_by, arguments }
}

const NETUID: (&str, Argument) = ("netuid", Argument::U16);
const MECHANISM: (&str, Argument) = ("mecid", Argument::U8);
const DESTS: (&str, Argument) = ("dests", Argument::U16s);
const WEIGHTS: (&str, Argument) = ("weights", Argument::U16s);
const VERSION_KEY: (&str, Argument) = ("version_key", Argument::U64);
const UIDS: (&str, Argument) = ("uids", Argument::U16s);
const VALUES: (&str, Argument) = ("values", Argument::U16s);
const SALT: (&str, Argument) = ("salt", Argument::U16s);
const COMMIT: (&str, Argument) = ("commit", Argument::Bytes);
const REVEAL_ROUND: (&str, Argument) = ("reveal_round", Argument::U64);
const COMMIT_VERSION: (&str, Argument) = ("commit_reveal_version", Argument::U16);
const COMMIT_HASH: (&str, Argument) = ("commit_hash", Argument::Bytes32);

/// Those of mechanisms beyond the first are named when one is asked for.
pub const CALL_NEEDS: &[CallNeed] = &[
    call(
        "serve_axon",
        &[ServeAxon],
        &[
            NETUID,
            ("version", Argument::U32),
            ("ip", Argument::U128),
            ("port", Argument::U16),
            ("ip_type", Argument::U8),
            ("protocol", Argument::U8),
            ("placeholder1", Argument::U8),
            ("placeholder2", Argument::U8),
        ],
    ),
    call("set_weights", &[SetWeights], &[NETUID, DESTS, WEIGHTS, VERSION_KEY]),
    call("set_mechanism_weights", &[], &[NETUID, MECHANISM, DESTS, WEIGHTS, VERSION_KEY]),
    call("commit_timelocked_weights", &[TimelockedCommit], &[NETUID, COMMIT, REVEAL_ROUND, COMMIT_VERSION]),
    call("commit_timelocked_mechanism_weights", &[], &[NETUID, MECHANISM, COMMIT, REVEAL_ROUND, COMMIT_VERSION]),
    call("commit_weights", &[HashCommit], &[NETUID, COMMIT_HASH]),
    call("commit_mechanism_weights", &[], &[NETUID, MECHANISM, COMMIT_HASH]),
    call("reveal_weights", &[HashCommit], &[NETUID, UIDS, VALUES, SALT, VERSION_KEY]),
    call("reveal_mechanism_weights", &[], &[NETUID, MECHANISM, UIDS, VALUES, SALT, VERSION_KEY]),
    call("burned_register", &[Register], &[NETUID, ("hotkey", Argument::Bytes32)]),
    call("register_limit", &[], &[NETUID, ("hotkey", Argument::Bytes32), ("limit_price", Argument::U64)]),
];

/// Whether a value of a type is what we read it as.
type Reads = fn(&Metadata, &str, u32) -> Result<(), ShapeFault>;

pub struct StorageNeed {
    pub pallet: &'static str,
    pub item: &'static str,
    pub used_by: &'static [Feature],
    pub key: &'static [Argument],
    pub reads: Reads,
}

const fn subtensor(
    item: &'static str,
    used_by: &'static [Feature],
    key: &'static [Argument],
    reads: Reads,
) -> StorageNeed {
    StorageNeed { pallet: "SubtensorModule", item, used_by, key, reads }
}

const OF_SUBNET: &[Argument] = &[Argument::U16];
const OF_NEURON: &[Argument] = &[Argument::U16, Argument::U16];
const OF_ACCOUNT: &[Argument] = &[Argument::U16, Argument::Bytes32];
const EPOCHS: &[Feature] = &[Standing, TimelockedCommit, HashCommit];

pub const STORAGE_NEEDS: &[StorageNeed] = &[
    StorageNeed { pallet: "System", item: "Events", used_by: &[Outcome], key: &[], reads: reads_events },
    StorageNeed {
        pallet: "System",
        item: "LastRuntimeUpgrade",
        used_by: &[Signing],
        key: &[],
        reads: reads::<MigratedTo>,
    },
    StorageNeed { pallet: "Timestamp", item: "Now", used_by: &[TimelockedCommit], key: &[], reads: reads::<u64> },
    StorageNeed { pallet: "Drand", item: "BeaconConfig", used_by: &[TimelockedCommit], key: &[], reads: reads_beacon },
    StorageNeed {
        pallet: "Drand",
        item: "LastStoredRound",
        used_by: &[TimelockedCommit],
        key: &[],
        reads: reads::<u64>,
    },
    subtensor("SubnetEpochIndex", EPOCHS, OF_SUBNET, reads::<u64>),
    subtensor("RevealPeriodEpochs", EPOCHS, OF_SUBNET, reads::<u64>),
    subtensor("LastEpochBlock", EPOCHS, OF_SUBNET, reads::<u64>),
    subtensor("Tempo", EPOCHS, OF_SUBNET, reads::<u64>),
    subtensor("PendingEpochAt", EPOCHS, OF_SUBNET, reads::<u64>),
    subtensor("BlocksSinceLastStep", EPOCHS, OF_SUBNET, reads::<u64>),
    subtensor("LastUpdate", &[Standing], OF_SUBNET, reads::<Vec<u64>>),
    subtensor("Weights", &[Standing], OF_NEURON, reads::<Vec<(u16, u16)>>),
    subtensor("WeightCommits", &[HashCommit], OF_ACCOUNT, reads::<Vec<Hashed>>),
    subtensor(
        "TimelockedWeightCommits",
        &[TimelockedCommit],
        &[Argument::U16, Argument::U64],
        reads::<Vec<Timelocked>>,
    ),
    subtensor("CommitRevealWeightsVersion", &[TimelockedCommit], &[], reads::<u16>),
    subtensor("Uids", &[Register], OF_ACCOUNT, reads::<u16>),
    subtensor("Burn", &[Register], OF_SUBNET, reads::<u64>),
    subtensor("SubnetOwner", &[], OF_SUBNET, reads::<AccountId>),
];

pub struct ApiNeed {
    pub name: &'static str,
    pub used_by: &'static [Feature],
    pub arguments: &'static [Argument],
    pub reads: Reads,
}

pub const API_NEEDS: &[ApiNeed] = &[
    ApiNeed {
        name: metagraph::API,
        used_by: &[Metagraph],
        arguments: OF_SUBNET,
        reads: |metadata, _, _| metagraph::check(metadata),
    },
    ApiNeed {
        name: metagraph::SELECTIVE_API,
        used_by: &[SelectiveMetagraph],
        arguments: &[Argument::U16, Argument::U16s],
        reads: |metadata, _, _| metagraph::check_selective(metadata),
    },
    ApiNeed {
        name: "AccountNonceApi_account_nonce",
        used_by: &[Signing],
        arguments: &[Argument::Bytes32],
        reads: reads::<u64>,
    },
    ApiNeed { name: "AuraApi_slot_duration", used_by: &[TimelockedCommit], arguments: &[], reads: reads::<u64> },
    ApiNeed {
        name: hyperparameters::V3_API,
        used_by: &[],
        arguments: OF_SUBNET,
        reads: |metadata, _, _| hyperparameters::check(metadata, hyperparameters::V3_API),
    },
    ApiNeed {
        name: hyperparameters::V2_API,
        used_by: &[],
        arguments: OF_SUBNET,
        reads: |metadata, _, _| hyperparameters::check(metadata, hyperparameters::V2_API),
    },
];

/// An event of the System pallet.
pub struct EventNeed {
    pub name: &'static str,
    pub used_by: &'static [Feature],
    pub fields: &'static [&'static str],
}

pub const EVENT_NEEDS: &[EventNeed] = &[
    EventNeed { name: "ExtrinsicSuccess", used_by: &[Outcome], fields: &[] },
    EventNeed { name: "ExtrinsicFailed", used_by: &[Outcome], fields: &["dispatch_error"] },
];

/// Without these an extrinsic would not be bound to its chain, its runtime, its era and its place; each under the
/// names that it has had.
pub const EXTENSION_NEEDS: &[&[&str]] =
    &[&["CheckSpecVersion"], &["CheckTxVersion"], &["CheckGenesis"], &["CheckMortality", "CheckEra"], &["CheckNonce"]];

fn reads_events(metadata: &Metadata, what: &str, id: u32) -> Result<(), ShapeFault> {
    let fields = metadata.fields(metadata.element(id)?)?;
    let mut gone = ["phase", "event"].into_iter().filter(|wanted| !fields.iter().any(|(name, _)| name == wanted));
    gone.next().map_or(Ok(()), |gone| Err(ShapeFault::Other(format!("{what} has no field {gone}"))))
}

/// The drand beacon that the chain follows.
fn reads_beacon(metadata: &Metadata, what: &str, id: u32) -> Result<(), ShapeFault> {
    let fields = metadata.fields(id)?;
    let wanted: [(&str, Reads); 3] =
        [("public_key", reads::<Vec<u8>>), ("period", reads::<u32>), ("genesis_time", reads::<u32>)];
    wanted.into_iter().try_for_each(|(wanted, reads)| {
        let field = fields.iter().find(|(name, _)| *name == wanted);
        let (name, id) = field.ok_or_else(|| ShapeFault::Other(format!("{what} has no field {wanted}")))?;
        reads(metadata, name, *id)
    })
}
