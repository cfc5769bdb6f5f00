//! Commit-reveal in the pallet: commitments by hash, and timelocked ones that the chain opens by itself.

use std::{collections::VecDeque, sync::Arc};

use parity_scale_codec::Decode;

use super::{
    call::{Place, Row},
    drand::Drand,
    event::Event,
    pallet::{Moment, refuse_if, too_fast},
    subnet::Subnet,
    weights,
};
use crate::{
    machine::contract::chain::WeightVector,
    spoke::chain::{calls::commit_hash, hash::blake2_256, timelock},
    units::{AccountId, BlockNumber, Netuid, Uid},
};

/// Commitments of one hotkey that are not revealed yet.
const UNREVEALED_MAX: usize = 10;

type Refusable<T> = Result<T, &'static str>;

/// An entry of `WeightCommits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashCommit {
    pub hash: [u8; 32],
    pub epoch: u64,
    pub block: BlockNumber,
    /// First and last block in which it may be revealed, as foreseen when it was made.
    pub reveal: (BlockNumber, BlockNumber),
}

/// An entry of `TimelockedWeightCommits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelockedCommit {
    pub hotkey: AccountId,
    pub block: BlockNumber,
    pub commit: Arc<[u8]>,
    pub reveal_round: u64,
}

/// How a timelocked commitment ended: silently where it is no good, as on the real chain.
pub struct Opened {
    pub hotkey: AccountId,
    pub result: Result<Vec<Event>, String>,
}

/// What both kinds of commitment must hold: the uid of the signer.
fn check_commit(subnet: &Subnet, now: Moment, signer: &AccountId, at: Place) -> Refusable<u16> {
    refuse_if(!subnet.has(at), "MechanismDoesNotExist")?;
    refuse_if(!subnet.hyperparameters.commit_reveal, "CommitRevealDisabled")?;
    let (uid, neuron) = subnet.neuron(signer).ok_or("HotKeyNotRegisteredInSubNet")?;
    let last_update = neuron.held(at.mechanism).last_update;
    let is_too_fast = too_fast(subnet.hyperparameters.weights_rate_limit, last_update, now.block);
    refuse_if(is_too_fast, "CommittingWeightsTooFast")?;
    Ok(uid)
}

fn touch(subnet: &mut Subnet, uid: u16, at: Place, block: BlockNumber) {
    if let Some(own) = subnet.weights_mut(uid, at.mechanism) {
        own.last_update = block;
    }
}

/// `commit_weights`.
pub fn commit(
    subnet: &mut Subnet,
    now: Moment,
    signer: &AccountId,
    at: Place,
    hash: [u8; 32],
) -> Refusable<Vec<Event>> {
    let uid = check_commit(subnet, now, signer, at)?;
    let (epochs, period) = (subnet.epochs, subnet.hyperparameters.reveal_period);
    let tempo = subnet.hyperparameters.tempo;
    let wait = period.saturating_sub(1).saturating_mul(u64::from(tempo));
    let first = epochs.next_block(tempo).unwrap_or(0).saturating_add(wait);
    let reveal = (first, first.saturating_add(u64::from(tempo).saturating_sub(1)));
    let held = subnet.hash_commits.entry((at.index(), *signer)).or_default();
    while held.front().is_some_and(|commit| epochs.index > commit.epoch.saturating_add(period)) {
        held.pop_front();
    }
    refuse_if(held.len() >= UNREVEALED_MAX, "TooManyUnrevealedCommits")?;
    held.push_back(HashCommit { hash, epoch: epochs.index, block: now.block, reveal });
    touch(subnet, uid, at, now.block);
    Ok(vec![Event::weights_committed(signer, at.index(), &hash)])
}

/// The hash of what is revealed, as its commitment had it.
pub fn revealed_hash(signer: &AccountId, at: Place, row: &Row, salt: &[u16]) -> [u8; 32] {
    let weights = row.dests.iter().map(|uid| Uid(*uid)).zip(row.weights.iter().copied()).collect();
    let (netuid, mechanism, version_key) = (Netuid(at.netuid), at.mechanism, row.version_key);
    commit_hash(signer, &WeightVector { netuid, mechanism, weights, version_key }, salt)
}

/// `reveal_weights`: only in the epoch that is a period after the one of the commitment.
pub fn reveal(
    subnet: &mut Subnet,
    now: Moment,
    signer: &AccountId,
    at: Place,
    (row, salt): (&Row, &[u16]),
) -> Refusable<Vec<Event>> {
    refuse_if(!subnet.has(at), "MechanismDoesNotExist")?;
    refuse_if(!subnet.hyperparameters.commit_reveal, "CommitRevealDisabled")?;
    let hash = revealed_hash(signer, at, row, salt);
    let (index, period) = (subnet.epochs.index, subnet.hyperparameters.reveal_period);
    let held = subnet.hash_commits.get(&(at.index(), *signer)).ok_or("NoWeightsCommitFound")?;
    let place = held.iter().position(|commit| commit.hash == hash).ok_or("InvalidRevealCommitHashNotMatch")?;
    let epoch = held.get(place).map_or(0, |commit| commit.epoch.saturating_add(period));
    refuse_if(index > epoch, "ExpiredWeightCommit")?;
    refuse_if(index < epoch, "RevealTooEarly")?;
    let mut events = weights::write(subnet, now, signer, at, row)?;
    if let Some(held) = subnet.hash_commits.get_mut(&(at.index(), *signer)) {
        held.drain(..=place);
    }
    subnet.hash_commits.retain(|_, held| !held.is_empty());
    events.push(Event::weights_revealed(signer, at.index(), &hash));
    Ok(events)
}

/// `commit_timelocked_weights`.
pub fn commit_timelocked(
    subnet: &mut Subnet,
    now: Moment,
    signer: &AccountId,
    at: Place,
    (commit, reveal_round, version): (&[u8], u64, u16),
) -> Refusable<Vec<Event>> {
    refuse_if(subnet.has(at) && version != timelock::VERSION, "IncorrectCommitRevealVersion")?;
    let uid = check_commit(subnet, now, signer, at)?;
    refuse_if(reveal_round < now.last_round, "InvalidRevealRound")?;
    let held = subnet.timelocked.entry((at.index(), subnet.epochs.index)).or_default();
    let own = held.iter().filter(|held| held.hotkey == *signer).count();
    refuse_if(own >= UNREVEALED_MAX, "TooManyUnrevealedCommits")?;
    held.push_back(TimelockedCommit { hotkey: *signer, block: now.block, commit: commit.into(), reveal_round });
    touch(subnet, uid, at, now.block);
    Ok(vec![Event::timelocked_committed(signer, at.index(), &blake2_256(commit), reveal_round)])
}

/// Opens what is due when a block begins: commitments of the epoch a period ago whose pulse is there. Older ones are
/// gone, opened or not.
pub fn open_due(subnet: &mut Subnet, now: Moment, drand: &Drand) -> Vec<Opened> {
    let (index, period) = (subnet.epochs.index, subnet.hyperparameters.reveal_period);
    let Some(due) = index.checked_sub(period) else { return Vec::new() };
    subnet.timelocked.retain(|(_, epoch), _| *epoch >= due);
    let mut opened = Vec::new();
    for mechanism in 0..subnet.hyperparameters.mechanisms {
        let at = Place { netuid: subnet.netuid.0, mechanism };
        let held = subnet.timelocked.remove(&(at.index(), due)).unwrap_or_default();
        let mut waiting = VecDeque::new();
        for commit in held {
            let Some(pulse) = drand.pulse(commit.reveal_round, now.block.saturating_sub(1)) else {
                waiting.push_back(commit);
                continue;
            };
            let result = open(subnet, now, at, &commit, &pulse);
            opened.push(Opened { hotkey: commit.hotkey, result });
        }
        if !waiting.is_empty() {
            subnet.timelocked.insert((at.index(), due), waiting);
        }
    }
    opened
}

fn open(
    subnet: &mut Subnet,
    now: Moment,
    at: Place,
    commit: &TimelockedCommit,
    pulse: &[u8],
) -> Result<Vec<Event>, String> {
    let bytes = timelock::open(&commit.commit, pulse).map_err(|why| why.to_string())?;
    let payload = timelock::Payload::decode(&mut &*bytes).map_err(|why| format!("no weights: {why}"))?;
    if payload.hotkey != commit.hotkey {
        return Err("weights of another hotkey".into());
    }
    let row = Row { dests: payload.uids, weights: payload.values, version_key: payload.version_key };
    let mut events = weights::write(subnet, now, &commit.hotkey, at, &row)?;
    events.push(Event::timelocked_revealed(at.index(), &commit.hotkey));
    Ok(events)
}
