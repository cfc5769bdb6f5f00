//! Signing a call with our hotkey: everything it binds is read at one block, the best one.
//!
//! Sends nothing. What comes out is good for the blocks of its era, whether it is handed in now or after a restart.

use std::sync::Arc;

use parity_scale_codec::Encode;
use scale_decode::DecodeAsType;
use serde_json::{Value as Json, json};

use super::{
    Chain, ChainError, answer, calls,
    epochs::{Epochs, Foreseen},
    extrinsic::{self, Context, Era},
    hash::blake2_256,
    metadata::{Metadata, ShapeFault},
    read::{At, genesis_call},
    rpc::{Call, Rpc, to_hex},
    runtime::Runtime,
    timelock::{self, Beacon, Payload},
};
use crate::{
    machine::contract::chain::{ChainCall, Reveal, SignedExtrinsic, Submission, WeightVector},
    units::{AccountId, BlockNumber, Netuid},
    wire::keys::Keypair,
};

/// Blocks that an extrinsic has at least to get into one, and the longest era that we sign for.
const INCLUSION_BLOCKS: u64 = 24;
pub const ERA_BLOCKS_MAX: u64 = 64;

/// Blocks after the opening epoch's first one: the chain must have stored the round by then, and not before.
const REVEAL_MARGIN_BLOCKS: u64 = 3;

const NONCE_API: &str = "AccountNonceApi_account_nonce";

/// Storage of a subnet that its epochs are foreseen from.
const EPOCH_ITEMS: [&str; 6] =
    ["SubnetEpochIndex", "LastEpochBlock", "PendingEpochAt", "BlocksSinceLastStep", "Tempo", "RevealPeriodEpochs"];

/// What a signature binds, all of one block.
struct Moment {
    runtime: Arc<Runtime>,
    best: BlockNumber,
    /// The block that the era begins with.
    birth: BlockNumber,
    birth_hash: [u8; 32],
    nonce: u64,
}

/// A call and when what it commits to is opened.
type Planned = (calls::Named, Option<Reveal>);

impl<R: Rpc> Chain<R> {
    pub(super) fn sign(&mut self, call: &ChainCall) -> Result<SignedExtrinsic, ChainError> {
        let key = self.key.clone().ok_or(ChainError::NoKey)?;
        let account = key.account();
        let heads = [
            Call::new("chain_getBlockHash", json!([])),
            Call::new("chain_getFinalizedHead", json!([])),
            genesis_call(),
        ];
        let [best, finalized, genesis] = answer::exactly(self.all(&heads)?)?;
        self.admit(&genesis)?;
        let best = answer::hash("chain_getBlockHash", &best)?;
        let finalized = answer::hash("chain_getFinalizedHead", &finalized)?;
        let read = self.read(At::Block(best), |runtime, best| {
            let mut reads = moment_calls(&account, best, &finalized);
            reads.extend(call_reads(&runtime.metadata, call, best)?);
            Ok(reads)
        })?;
        let (runtime, mut answers) = (read.runtime, read.answers);
        let of_call = answers.split_off(MOMENT_CALLS.min(answers.len()));
        let moment = self.moment(runtime, answers, finalized)?;
        let (named, reveal) = plan(&moment, call, &account, &of_call)?;
        moment.sign(&key, named, reveal)
    }

    fn moment(
        &mut self,
        runtime: Arc<Runtime>,
        answers: Vec<Json>,
        finalized_hash: [u8; 32],
    ) -> Result<Moment, ChainError> {
        let [best, finalized, nonce] = answer::exactly(answers)?;
        let (best, finalized) = (answer::header_number(&best)?, answer::header_number(&finalized)?);
        let birth = birth(best, finalized);
        let birth_hash = if birth == finalized { finalized_hash } else { self.hash_of(birth)? };
        let nonce = answer::bytes(NONCE_API, &nonce)?;
        let nonce = runtime.metadata.decode(NONCE_API, runtime.metadata.api(NONCE_API)?.output, &nonce)?;
        Ok(Moment { runtime, best, birth, birth_hash, nonce })
    }

    fn hash_of(&mut self, block: BlockNumber) -> Result<[u8; 32], ChainError> {
        answer::hash("chain_getBlockHash", &self.one(Call::new("chain_getBlockHash", json!([block])))?)
    }
}

/// How many calls [`moment_calls`] makes.
const MOMENT_CALLS: usize = 3;

fn moment_calls(account: &AccountId, best: &[u8; 32], finalized: &[u8; 32]) -> Vec<Call> {
    vec![
        Call::new("chain_getHeader", json!([to_hex(best)])),
        Call::new("chain_getHeader", json!([to_hex(finalized)])),
        Call::state(NONCE_API, account, Some(best)),
    ]
}

/// An era begins with the finalized block, which no fork takes back; where that lies far behind, with a later one.
fn birth(best: BlockNumber, finalized: BlockNumber) -> BlockNumber {
    finalized.max(best.saturating_sub(ERA_BLOCKS_MAX - INCLUSION_BLOCKS)).min(best)
}

impl Moment {
    fn sign(
        &self,
        key: &Keypair,
        (name, arguments): calls::Named,
        reveal: Option<Reveal>,
    ) -> Result<SignedExtrinsic, ChainError> {
        let runtime = &self.runtime;
        let period = (self.best.saturating_sub(self.birth) + INCLUSION_BLOCKS).min(ERA_BLOCKS_MAX);
        let era = Era::from_birth(self.birth, period);
        let context = Context {
            genesis: runtime.genesis,
            spec_version: runtime.spec_version,
            transaction_version: runtime.transaction_version,
            era: Some(era),
            birth_hash: self.birth_hash,
            nonce: self.nonce,
        };
        let call = runtime.metadata.call(calls::PALLET, name, arguments)?;
        let bytes = extrinsic::sign(&runtime.metadata, key, &context, &call)?;
        let submission = Submission { hash: blake2_256(&bytes), after: self.best, until: era.last(self.birth) };
        Ok(SignedExtrinsic { bytes, submission, nonce: self.nonce, reveal })
    }
}

/// What a call's arguments depend on.
fn call_reads(metadata: &Metadata, call: &ChainCall, at: &[u8; 32]) -> Result<Vec<Call>, ShapeFault> {
    match call {
        ChainCall::CommitTimelocked(of) => {
            let mut reads = epoch_reads(metadata, of.netuid, at)?;
            for (pallet, item) in BEACON_ITEMS {
                reads.push(Call::storage(&metadata.storage(pallet, item)?.key(&[])?, Some(at)));
            }
            Ok(reads)
        }
        ChainCall::CommitHash { weights, .. } => epoch_reads(metadata, weights.netuid, at),
        _ => Ok(Vec::new()),
    }
}

fn plan(moment: &Moment, call: &ChainCall, account: &AccountId, answers: &[Json]) -> Result<Planned, ChainError> {
    let named = calls::plain(call, account).map_err(|why| ShapeFault::Other(format!("hotkey to register: {why}")))?;
    let metadata = &moment.runtime.metadata;
    match (call, named) {
        (ChainCall::CommitTimelocked(of), _) => seal(moment, of, account, answers),
        (ChainCall::CommitHash { .. }, Some(named)) => {
            let foreseen = foreseen(metadata, moment.best, answers)?;
            let reveal = Reveal { drand_round: 0, commit_epoch: foreseen.commit_epoch, block: foreseen.block };
            Ok((named, Some(reveal)))
        }
        (_, Some(named)) => Ok((named, None)),
        (_, None) => Err(ShapeFault::Other("a call that nobody makes".into()).into()),
    }
}

fn epoch_reads(metadata: &Metadata, netuid: Netuid, at: &[u8; 32]) -> Result<Vec<Call>, ShapeFault> {
    let key = |item| metadata.storage(calls::PALLET, item)?.key(&[&netuid.0.to_le_bytes()]);
    EPOCH_ITEMS.iter().map(|item| Ok(Call::storage(&key(item)?, Some(at)))).collect()
}

fn foreseen(metadata: &Metadata, block: BlockNumber, answers: &[Json]) -> Result<Foreseen, ChainError> {
    if answers.len() < EPOCH_ITEMS.len() {
        return Err(answer::wrong("batch", "too few results"));
    }
    let mut values = [0; EPOCH_ITEMS.len()];
    for ((value, name), answer) in values.iter_mut().zip(EPOCH_ITEMS).zip(answers) {
        *value = self::value(metadata, calls::PALLET, name, answer)?;
    }
    let [index, last, pending, steps, tempo, period] = values;
    let epochs = Epochs { block, index, last, pending, steps, tempo };
    epochs.foresee(period).ok_or_else(|| ShapeFault::Other("the subnet's tempo is 0: no epoch opens it".into()).into())
}

/// Beside the subnet's epochs, what a timelock depends on.
const BEACON_ITEMS: [(&str, &str); 4] = [
    (calls::PALLET, "CommitRevealWeightsVersion"),
    ("Timestamp", "Now"),
    ("Drand", "BeaconConfig"),
    ("Drand", "LastStoredRound"),
];

#[derive(DecodeAsType)]
struct BeaconConfig {
    public_key: Vec<u8>,
    period: u32,
    genesis_time: u32,
}

fn seal(moment: &Moment, of: &WeightVector, account: &AccountId, answers: &[Json]) -> Result<Planned, ChainError> {
    let metadata = &moment.runtime.metadata;
    let foreseen = foreseen(metadata, moment.best, answers)?;
    let [version, now, config, stored_round] = answers.get(EPOCH_ITEMS.len()..).unwrap_or_default() else {
        return Err(answer::wrong("batch", "too few results"));
    };
    known_version(value(metadata, calls::PALLET, "CommitRevealWeightsVersion", version)?)?;
    let config: BeaconConfig = value(metadata, "Drand", "BeaconConfig", config)?;
    let beacon = Beacon { public_key: config.public_key, period_s: config.period, genesis_s: config.genesis_time };
    let now: u64 = value(metadata, "Timestamp", "Now", now)?;
    let blocks = foreseen.block.saturating_add(REVEAL_MARGIN_BLOCKS).saturating_sub(moment.best);
    let round = beacon.round_at(now.saturating_add(blocks.saturating_mul(slot_ms(metadata)?)));
    let round = round.max(value::<u64>(metadata, "Drand", "LastStoredRound", stored_round)?);
    let payload = Payload::new(account, &of.weights, of.version_key).encode();
    let commit = timelock::seal(&payload, round, &beacon.public_key, seed()?)?;
    let reveal = Reveal { drand_round: round, commit_epoch: foreseen.commit_epoch, block: foreseen.block };
    Ok((calls::commit_timelocked(of, &commit, round), Some(reveal)))
}

/// From one block to the next, when none is missed.
pub fn slot_ms(metadata: &Metadata) -> Result<u64, ShapeFault> {
    let (id, bytes) = metadata.constant("Aura", "SlotDuration")?;
    metadata.decode("Aura.SlotDuration", id, bytes)
}

/// A value that always is: where nothing is stored, the metadata names what that stands for.
pub(super) fn value<T: DecodeAsType>(
    metadata: &Metadata,
    pallet: &str,
    item: &str,
    answer: &Json,
) -> Result<T, ChainError> {
    let stored = answer::stored(metadata.storage(pallet, item)?, metadata, answer)?;
    stored.ok_or_else(|| ShapeFault::Other(format!("{pallet}.{item} holds nothing")).into())
}

pub(super) fn known_version(version: u16) -> Result<(), ShapeFault> {
    if version == timelock::VERSION {
        return Ok(());
    }
    let known = timelock::VERSION;
    Err(ShapeFault::Other(format!("the chain asks for commit-reveal version {version}, known is {known}")))
}

fn seed() -> Result<[u8; 32], ChainError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|why| ChainError::Randomness(why.to_string()))?;
    Ok(seed)
}
