//! Finding a submitted extrinsic in the blocks, and how it ended there.
//!
//! What was found or excluded is remembered with the hash of a block, so that a fork, or a chain that started over,
//! is noticed: what a block says counts for as long as that block is on the best chain.

use serde_json::{Value as Json, json};

use super::{
    Chain, ChainError, answer,
    events::{self, Outcome},
    hash::blake2_256,
    remedy,
    rpc::{Call, Rpc, from_hex, to_hex},
    searches::{Place, Search},
    sign::ERA_BLOCKS_MAX,
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

/// The chain as one answer describes it: its finalized head, and its best blocks from `from` on.
struct View {
    finalized: BlockNumber,
    from: BlockNumber,
    hashes: Vec<[u8; 32]>,
}

impl View {
    fn hash(&self, block: BlockNumber) -> Option<&[u8; 32]> {
        self.hashes.get(usize::try_from(block.checked_sub(self.from)?).ok()?)
    }

    /// Blocks from `from` on, with their hashes.
    fn blocks(&self, from: BlockNumber) -> Vec<(BlockNumber, [u8; 32])> {
        (self.from..).zip(self.hashes.iter().copied()).filter(|(number, _)| *number >= from).collect()
    }

    /// The last block that is described.
    fn last(&self) -> Option<BlockNumber> {
        (self.from + self.hashes.len() as u64).checked_sub(1).filter(|last| *last >= self.from)
    }
}

impl<R: Rpc> Chain<R> {
    pub(super) fn find(&mut self, of: &Submission) -> Result<Inclusion, ChainError> {
        if let Some(known) = self.searches.get(&of.hash).cloned() {
            let view = self.view(known.anchor(), of)?;
            if view.hash(known.anchor()) == Some(known.anchor_hash()) {
                return self.look_on(of, &known, &view);
            }
            log::warn!(target: "chain", "block {} is no longer on the best chain: looked for anew", known.anchor());
            self.searches.forget(&of.hash);
        }
        let first = of.after.saturating_sub(REORG_BLOCKS) + 1;
        let view = self.view(first, of)?;
        if view.hashes.is_empty() && self.has_started_over(of)? {
            return Ok(Inclusion::Expired);
        }
        self.look(of, first, &view)
    }

    /// The head, and the hashes of the blocks from `from` on that may hold it.
    fn view(&mut self, from: BlockNumber, of: &Submission) -> Result<View, ChainError> {
        let heads = [Call::new("chain_getHeader", json!([])), Call::new("chain_getFinalizedHead", json!([]))];
        let [best, finalized] = answer::exactly(self.all(&heads)?)?;
        let to = answer::header_number(&best)?.min(of.until).min(from.saturating_add(BLOCKS_MAX - 1));
        let finalized = answer::hash("chain_getFinalizedHead", &finalized)?;
        let numbers: Vec<u64> = (from..=to).collect();
        let calls = [
            Call::new("chain_getHeader", json!([to_hex(&finalized)])),
            Call::new("chain_getBlockHash", json!([numbers])),
        ];
        let [finalized, hashes] = answer::exactly(self.all(&calls)?)?;
        let hashes = hashes.as_array().ok_or_else(|| answer::wrong("chain_getBlockHash", "no list"))?;
        // Of a block that this node does not have, and of those after it, nothing is known.
        let known = hashes.iter().zip(numbers).map_while(|(hash, _)| (!hash.is_null()).then_some(hash));
        let hashes = known.map(|hash| answer::hash("chain_getBlockHash", hash)).collect::<Result<_, _>>()?;
        Ok(View { finalized: answer::header_number(&finalized)?, from, hashes })
    }

    fn look_on(&mut self, of: &Submission, known: &Search, view: &View) -> Result<Inclusion, ChainError> {
        match known {
            Search::Seen(place, ended) => Ok(as_of(ended.clone(), place.block, view.finalized)),
            Search::Before(place) => self.look(of, place.block + 1, view),
        }
    }

    fn look(&mut self, of: &Submission, from: BlockNumber, view: &View) -> Result<Inclusion, ChainError> {
        if let Some(ended) = self.look_through(of, &view.blocks(from), view.finalized)? {
            return Ok(ended);
        }
        let last = view.last().unwrap_or_default();
        if last >= of.until && view.finalized >= of.until {
            return self.last_look(of, view.finalized);
        }
        let excluded = last.min(view.finalized);
        if let Some(hash) = view.hash(excluded) {
            self.searches.remember(of.hash, Search::Before(Place { block: excluded, hash: *hash }));
        }
        Ok(Inclusion::Pending)
    }

    fn look_through(
        &mut self,
        of: &Submission,
        blocks: &[(BlockNumber, [u8; 32])],
        finalized: BlockNumber,
    ) -> Result<Option<Inclusion>, ChainError> {
        for chunk in blocks.chunks(BLOCKS_PER_REQUEST) {
            let calls: Vec<_> =
                chunk.iter().map(|(_, hash)| Call::new("chain_getBlock", json!([to_hex(hash)]))).collect();
            for ((number, hash), block) in chunk.iter().zip(self.all(&calls)?) {
                let Some(index) = position(&block, &of.hash)? else { continue };
                let parent = answer::hash("chain_getBlock", &block["block"]["header"]["parentHash"])?;
                let place = Place { block: *number, hash: *hash };
                let ended = self.outcome(&place, &parent, index)?;
                self.searches.remember(of.hash, Search::Seen(place, ended.clone()));
                return Ok(Some(as_of(ended, *number, finalized)));
            }
        }
        Ok(None)
    }

    /// A deep fork may have put it into a block of its era that was taken for past; only then it has expired.
    fn last_look(&mut self, of: &Submission, finalized: BlockNumber) -> Result<Inclusion, ChainError> {
        let early = Submission { until: of.after.saturating_sub(REORG_BLOCKS), ..of.clone() };
        let view = self.view(earliest(of), &early)?;
        let found = self.look_through(of, &view.blocks(view.from), finalized)?;
        if found.is_none() {
            self.searches.forget(&of.hash);
        }
        Ok(found.unwrap_or(Inclusion::Expired))
    }

    /// The best block is before the whole era, and the node is not on its way to it: what the extrinsic is bound to
    /// does not exist.
    fn has_started_over(&mut self, of: &Submission) -> Result<bool, ChainError> {
        let calls = [Call::new("chain_getHeader", json!([])), Call::new("system_health", json!([]))];
        let [best, health] = answer::exactly(self.all(&calls)?)?;
        let best = answer::header_number(&best)?;
        let has = best < earliest(of) && health["isSyncing"] == json!(false);
        if has {
            let was = of.after;
            log::warn!(target: "chain", "the chain is at block {best} and was at {was}: it started over");
        }
        Ok(has)
    }

    /// Events are read with the runtime that executed the block, which is the one of its parent's state.
    fn outcome(&mut self, place: &Place, parent: &[u8; 32], index: u32) -> Result<Inclusion, ChainError> {
        let runtime = self.runtime_at(parent)?;
        let key = runtime.metadata.storage("System", "Events")?.key(&[])?;
        let stored = self.one(Call::storage(&key, Some(&place.hash)))?;
        let events = answer::bytes("state_getStorage", &stored)?;
        let block = place.block;
        match events::outcome(&runtime.metadata, &events, index)? {
            Some(Outcome::Succeeded) => Ok(Inclusion::Succeeded { block, is_final: false }),
            Some(Outcome::Failed(error)) => {
                let remedy = remedy::dispatch(&error);
                Ok(Inclusion::Refused { block, error, remedy, is_final: false })
            }
            None => Err(answer::wrong("System.Events", "without the end of an extrinsic of its block")),
        }
    }
}

/// The first block that its era can have begun with.
fn earliest(of: &Submission) -> BlockNumber {
    of.until.saturating_sub(ERA_BLOCKS_MAX - 1).min(of.after)
}

/// How it ended, and whether that is final now.
fn as_of(ended: Inclusion, block: BlockNumber, finalized: BlockNumber) -> Inclusion {
    match ended {
        Inclusion::Succeeded { .. } => Inclusion::Succeeded { block, is_final: finalized >= block },
        Inclusion::Refused { error, remedy, .. } => {
            Inclusion::Refused { block, error, remedy, is_final: finalized >= block }
        }
        other => other,
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
