//! Finding a submitted extrinsic in the blocks, and how it ended there.

use serde_json::{Value as Json, json};

use super::{
    Chain, ChainError, answer,
    events::{self, Outcome},
    hash::blake2_256,
    remedy,
    rpc::{Call, Rpc, from_hex},
};
use crate::{
    machine::contract::chain::{Inclusion, Submission},
    units::BlockNumber,
};

/// Blocks that one answer may look through, and that one request asks for.
const BLOCKS_MAX: u64 = 128;
const BLOCKS_PER_REQUEST: usize = 8;

/// A fork may put an extrinsic into a block that is not after the best one of its submission.
const REORG_BLOCKS: u64 = 4;

/// Submissions whose search is remembered.
const SEARCHES_MAX: usize = 16;

/// Where an extrinsic was found.
struct Place {
    block: BlockNumber,
    hash: [u8; 32],
    parent: [u8; 32],
    index: u32,
}

impl<R: Rpc> Chain<R> {
    pub(super) fn find(&mut self, of: &Submission) -> Result<Inclusion, ChainError> {
        let heads = [Call::new("chain_getHeader", json!([])), Call::new("chain_getFinalizedHead", json!([]))];
        let [best, finalized] = answer::exactly(self.all(&heads)?)?;
        let best = answer::header_number(&best)?;
        let finalized = self.number_of(&answer::hash("chain_getFinalizedHead", &finalized)?)?;
        let from = self.searched.get(&of.hash).copied().unwrap_or(of.after.saturating_sub(REORG_BLOCKS) + 1);
        let to = best.min(of.until).min(from.saturating_add(BLOCKS_MAX - 1));
        if let Some(place) = self.search(&of.hash, from, to)? {
            let ended = self.outcome(&place)?;
            self.searched.remove(&of.hash);
            return Ok(ended);
        }
        if to >= of.until && finalized >= of.until {
            self.searched.remove(&of.hash);
            return Ok(Inclusion::Expired);
        }
        self.remember(of.hash, from.max(to.min(finalized).saturating_add(1)));
        Ok(Inclusion::Pending)
    }

    fn remember(&mut self, hash: [u8; 32], next: BlockNumber) {
        if self.searched.len() >= SEARCHES_MAX && !self.searched.contains_key(&hash) {
            self.searched.pop_first();
        }
        self.searched.insert(hash, next);
    }

    fn search(&mut self, wanted: &[u8; 32], from: u64, to: u64) -> Result<Option<Place>, ChainError> {
        let numbers: Vec<u64> = (from..=to).collect();
        if numbers.is_empty() {
            return Ok(None);
        }
        let hashes = self.one(Call::new("chain_getBlockHash", json!([numbers])))?;
        let hashes = hashes.as_array().ok_or_else(|| answer::wrong("chain_getBlockHash", "no list"))?;
        let known: Vec<_> = numbers.into_iter().zip(hashes).filter(|(_, hash)| !hash.is_null()).collect();
        for chunk in known.chunks(BLOCKS_PER_REQUEST) {
            let calls: Vec<_> = chunk.iter().map(|(_, hash)| Call::new("chain_getBlock", json!([hash]))).collect();
            for ((number, hash), block) in chunk.iter().zip(self.all(&calls)?) {
                let Some(index) = position(&block, wanted)? else { continue };
                let hash = answer::hash("chain_getBlockHash", hash)?;
                let parent = answer::hash("chain_getBlock", &block["block"]["header"]["parentHash"])?;
                return Ok(Some(Place { block: *number, hash, parent, index }));
            }
        }
        Ok(None)
    }

    /// Events are read with the runtime that executed the block, which is the one of its parent's state.
    fn outcome(&mut self, place: &Place) -> Result<Inclusion, ChainError> {
        let runtime = self.runtime_at(&place.parent)?;
        let key = runtime.metadata.storage("System", "Events")?.key(&[])?;
        let stored = self.one(Call::storage(&key, Some(&place.hash)))?;
        let events = answer::bytes("state_getStorage", &stored)?;
        let block = place.block;
        match events::outcome(&runtime.metadata, &events, place.index)? {
            Some(Outcome::Succeeded) => Ok(Inclusion::Succeeded { block, is_final: false }),
            Some(Outcome::Failed(error)) => {
                let remedy = remedy::dispatch(&error);
                Ok(Inclusion::Refused { block, error, remedy })
            }
            None => Err(answer::wrong("System.Events", "without the end of an extrinsic of its block")),
        }
    }
}

/// Which extrinsic of a block has that hash.
fn position(block: &Json, wanted: &[u8; 32]) -> Result<Option<u32>, ChainError> {
    let extrinsics = block["block"]["extrinsics"].as_array();
    let extrinsics = extrinsics.ok_or_else(|| answer::wrong("chain_getBlock", "without extrinsics"))?;
    let is_wanted =
        |extrinsic: &Json| extrinsic.as_str().and_then(from_hex).is_some_and(|bytes| blake2_256(&bytes) == *wanted);
    // A block holds far fewer than 2^32 extrinsics; none at an index beyond is ours.
    Ok((0..).zip(extrinsics).find(|(_, extrinsic)| is_wanted(extrinsic)).map(|(index, _)| index))
}
