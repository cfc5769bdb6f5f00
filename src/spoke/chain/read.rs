//! Reading a block: every answer of one read is of one block, with the runtime of that block.
//!
//! A read first asks which block it is of, then names that block in each call. The runtime's version travels in
//! the same batch; where it is another than expected, the batch is built and asked again with the right metadata.

use std::sync::Arc;

use scale_decode::DecodeAsType;
use serde_json::{Value as Json, json};

use super::{
    Chain, ChainError, answer,
    metadata::{Metadata, ShapeFault, Storage},
    rpc::{Call, Rpc, to_hex},
    runtime::{Runtime, spec_version, version_at},
};
use crate::{machine::contract::chain::Head, units::Wall};

/// Which block is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum At {
    Best,
    Finalized,
    Block([u8; 32]),
}

/// What one block said.
pub(super) struct Read {
    pub hash: [u8; 32],
    pub runtime: Arc<Runtime>,
    /// One for each call.
    pub answers: Vec<Json>,
    /// The block's storage is still that of the runtime before, of that spec: nothing in it is to be believed.
    upgrading_from: Option<u32>,
}

/// The runtime that a block's storage was last migrated to.
#[derive(DecodeAsType)]
pub(super) struct MigratedTo {
    pub spec_version: u32,
}

impl<R: Rpc> Chain<R> {
    /// Asks one block the calls that `calls` builds from its runtime and its hash. Refused for the one block
    /// whose storage an upgrade has yet to migrate.
    pub(super) fn read(
        &mut self,
        at: At,
        calls: impl Fn(&Runtime, &[u8; 32]) -> Result<Vec<Call>, ShapeFault>,
    ) -> Result<Read, ChainError> {
        let read = self.read_any(at, calls)?;
        match read.upgrading_from {
            Some(from) => Err(ChainError::Upgrading { from, to: read.runtime.spec_version }),
            None => Ok(read),
        }
    }

    /// The runtime at a block that is yet to be read.
    pub(super) fn runtime_now(&mut self, at: At) -> Result<Arc<Runtime>, ChainError> {
        let hash = self.hash_at(at)?;
        self.runtime_at(&hash)
    }

    fn read_any(
        &mut self,
        at: At,
        calls: impl Fn(&Runtime, &[u8; 32]) -> Result<Vec<Call>, ShapeFault>,
    ) -> Result<Read, ChainError> {
        let hash = self.hash_at(at)?;
        let mut runtime = match self.runtimes.last() {
            Some(last) => last,
            None => self.runtime_at(&hash)?,
        };
        // The second round is due after an upgrade; a block does not change its runtime, so there is no third.
        for _ in 0..2 {
            let batch = match calls(&runtime, &hash) {
                Ok(batch) => batch,
                Err(fault) => {
                    let present = self.runtime_at(&hash)?;
                    if present.spec_version == runtime.spec_version {
                        return Err(fault.into());
                    }
                    runtime = present;
                    continue;
                }
            };
            let (version, read) = self.ask(&runtime, &hash, batch)?;
            if version == runtime.spec_version {
                return Ok(read);
            }
            runtime = self.runtime_by(version, &hash)?;
        }
        Err(answer::wrong("state_getRuntimeVersion", "another version for one block"))
    }

    /// The calls, with the version of the block's runtime in the same batch: the answers are only good when it is
    /// the version of `runtime`.
    fn ask(
        &mut self,
        runtime: &Arc<Runtime>,
        hash: &[u8; 32],
        mut batch: Vec<Call>,
    ) -> Result<(u32, Read), ChainError> {
        let migration = migration(&runtime.metadata);
        batch.push(version_at(hash));
        batch.extend(migration.map(|item| Call::storage(item.prefix(), Some(hash))));
        let mut answers = self.all(&batch)?;
        let migrated = migration.and_then(|item| Some((item, answers.pop()?)));
        let version = spec_version(&answers.pop().unwrap_or_default())?;
        let migrated = match migrated {
            Some((item, answer)) if version == runtime.spec_version => {
                read_migration(&runtime.metadata, item, &answer)?
            }
            // Of another runtime: all of it is asked for again.
            _ => None,
        };
        let upgrading_from = migrated.filter(|migrated| *migrated != version);
        Ok((version, Read { hash: *hash, runtime: runtime.clone(), answers, upgrading_from }))
    }

    pub(super) fn hash_at(&mut self, at: At) -> Result<[u8; 32], ChainError> {
        let head = match at {
            At::Best => Call::new("chain_getBlockHash", json!([])),
            At::Finalized => Call::new("chain_getFinalizedHead", json!([])),
            At::Block(hash) => return Ok(hash),
        };
        let method = head.method;
        let [head, genesis] = answer::exactly(self.all(&[head, genesis_call()])?)?;
        self.admit(&genesis)?;
        answer::hash(method, &head)
    }

    /// Which chain this is; asked once.
    pub(super) fn genesis(&mut self) -> Result<[u8; 32], ChainError> {
        match self.genesis {
            Some(known) => Ok(known),
            None => {
                let genesis = self.one(genesis_call())?;
                self.admit(&genesis)
            }
        }
    }

    /// The first genesis that we see is that of our chain. Another one is another chain, and nothing of it is used.
    pub(super) fn admit(&mut self, genesis: &Json) -> Result<[u8; 32], ChainError> {
        let seen = answer::hash("chain_getBlockHash", genesis)?;
        let known = *self.genesis.get_or_insert(seen);
        if known == seen { Ok(known) } else { Err(ChainError::OtherChain { known, seen }) }
    }

    pub(super) fn head(&mut self) -> Result<Head, ChainError> {
        let calls = [
            Call::new("chain_getBlockHash", json!([])),
            Call::new("chain_getFinalizedHead", json!([])),
            Call::new("system_chain", json!([])),
            genesis_call(),
        ];
        let [best, finalized, chain, genesis] = answer::exactly(self.all(&calls)?)?;
        let genesis = self.admit(&genesis)?;
        let finalized = answer::hash("chain_getFinalizedHead", &finalized)?;
        let best = At::Block(answer::hash("chain_getBlockHash", &best)?);
        let read = self.read_any(best, |runtime, hash| {
            let now = clock(&runtime.metadata).map(|item| Call::storage(item.prefix(), Some(hash)));
            Ok([header_at(hash), header_at(&finalized)].into_iter().chain(now).collect())
        })?;
        let header = |place: usize| answer::header_number(read.answers.get(place).unwrap_or(&Json::Null));
        Ok(Head {
            best: header(0)?,
            finalized: header(1)?,
            best_at: block_time(&read.runtime.metadata, read.answers.get(2)),
            spec_version: read.runtime.spec_version,
            upgrading: read.upgrading_from.is_some(),
            genesis,
            chain: answer::bounded(chain.as_str().unwrap_or_default()),
        })
    }
}

pub(super) fn header_at(hash: &[u8; 32]) -> Call {
    Call::new("chain_getHeader", json!([to_hex(hash)]))
}

pub(super) fn genesis_call() -> Call {
    Call::new("chain_getBlockHash", json!([0]))
}

/// Where the chain says what its storage was migrated to. A chain without it is never seen to upgrade; preflight
/// names that.
fn migration(metadata: &Metadata) -> Option<&Storage> {
    metadata.storage("System", "LastRuntimeUpgrade").ok().filter(|item| item.keys.is_empty())
}

/// `None` for a chain that was never upgraded. What is there and does not read is a fault: the block may be the one of
/// an upgrade.
fn read_migration(metadata: &Metadata, item: &Storage, answer: &Json) -> Result<Option<u32>, ChainError> {
    let migrated: Option<MigratedTo> = answer::stored(item, metadata, answer)?;
    Ok(migrated.map(|migrated| migrated.spec_version))
}

fn clock(metadata: &Metadata) -> Option<&Storage> {
    metadata.storage("Timestamp", "Now").ok().filter(|item| item.keys.is_empty())
}

/// A block's own time; zero (the genesis block's) is none.
fn block_time(metadata: &Metadata, answer: Option<&Json>) -> Option<Wall> {
    let milliseconds: u64 = answer::stored(clock(metadata)?, metadata, answer?).ok()??;
    (milliseconds > 0).then(|| Wall(milliseconds.saturating_mul(1_000_000)))
}
