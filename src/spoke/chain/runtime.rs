//! The runtimes of a chain: their versions and their metadata, fetched from the node once each.
//!
//! The runtime of a block is the one in that block's state: it reads the block's storage and answers its runtime
//! APIs. The few latest are remembered, so that blocks from before an upgrade are read with theirs.

use std::sync::Arc;

use parity_scale_codec::{Decode, Encode};
use scale_decode::DecodeAsType;
use serde_json::{Value as Json, json};

use super::{
    Chain, ChainError, answer,
    cache::Of,
    metadata::{Metadata, ShapeFault, VERSIONS},
    rpc::{Call, Rpc, to_hex},
};

/// Blocks of so many runtimes are read without fetching metadata again: the present one, the one before it, and
/// one that an upgrade brings.
const REMEMBERED_MAX: usize = 4;

const AT_VERSION: &str = "Metadata_metadata_at_version";
const OFFERED: &str = "Metadata_metadata_versions";

/// A chain's runtime.
pub struct Runtime {
    pub genesis: [u8; 32],
    pub spec_version: u32,
    pub transaction_version: u32,
    pub metadata: Metadata,
}

/// The part of `RuntimeVersion` that says which runtime metadata is of.
#[derive(DecodeAsType)]
pub struct OwnVersion {
    pub spec_version: u32,
    pub transaction_version: u32,
}

impl OwnVersion {
    /// The version that a runtime says it has.
    pub fn of(metadata: &Metadata) -> Result<OwnVersion, ShapeFault> {
        let (id, bytes) = metadata.constant("System", "Version")?;
        metadata.decode("System.Version", id, bytes)
    }
}

/// The latest runtimes, the one last used at the end.
#[derive(Default)]
pub(super) struct Runtimes(Vec<Arc<Runtime>>);

impl Runtimes {
    pub fn last(&self) -> Option<Arc<Runtime>> {
        self.0.last().cloned()
    }

    fn take_up(&mut self, spec_version: u32) -> Option<Arc<Runtime>> {
        let place = self.0.iter().position(|runtime| runtime.spec_version == spec_version)?;
        let known = self.0.remove(place);
        self.0.push(known.clone());
        Some(known)
    }

    fn remember(&mut self, runtime: Arc<Runtime>) {
        if self.0.len() >= REMEMBERED_MAX {
            self.0.remove(0);
        }
        self.0.push(runtime);
    }
}

impl<R: Rpc> Chain<R> {
    /// The runtime of the state of block `at`, which also executed the child of that block.
    pub(super) fn runtime_at(&mut self, at: &[u8; 32]) -> Result<Arc<Runtime>, ChainError> {
        let version = self.one(version_at(at))?;
        self.runtime_by(spec_version(&version)?, at)
    }

    /// The runtime of that version, from memory when it is known, else from the state of block `at`.
    pub(super) fn runtime_by(&mut self, spec_version: u32, at: &[u8; 32]) -> Result<Arc<Runtime>, ChainError> {
        if let Some(known) = self.runtimes.take_up(spec_version) {
            return Ok(known);
        }
        let loaded = Arc::new(self.load(spec_version, at)?);
        log::info!(target: "chain", "runtime spec {spec_version}, metadata V{}", loaded.metadata.version());
        self.runtimes.remember(loaded.clone());
        Ok(loaded)
    }

    /// From the cache, else from the node.
    fn load(&mut self, spec_version: u32, at: &[u8; 32]) -> Result<Runtime, ChainError> {
        let genesis = self.genesis()?;
        let reading = |bytes: &[u8]| of_spec(spec_version, bytes).map_err(|why| why.to_string());
        let (metadata, own) = match self.cache.read(&genesis, spec_version, &VERSIONS, reading) {
            Some(kept) => kept,
            None => {
                let bytes = self.fetch_metadata(at)?;
                let fetched = of_spec(spec_version, &bytes)?;
                self.cache.write(Of { genesis: &genesis, spec_version, format: fetched.0.version() }, &bytes);
                fetched
            }
        };
        Ok(Runtime { genesis, spec_version, transaction_version: own.transaction_version, metadata })
    }

    /// Metadata of the best version that both sides know: V15, else V14, and V16 where there is nothing else.
    fn fetch_metadata(&mut self, at: &[u8; 32]) -> Result<Vec<u8>, ChainError> {
        let [best, ..] = VERSIONS;
        let calls = [Call::state(AT_VERSION, &best.encode(), Some(at)), Call::state(OFFERED, &[], Some(at))];
        let [first, offered] = answer::exactly(self.rpc.batch(&calls)?)?;
        if let Some(metadata) = first.ok().map(|answer| opaque(&answer)).transpose()?.flatten() {
            return Ok(metadata);
        }
        let Ok(offered) = offered else { return self.fetch_plain(at) };
        let offered = answer::bytes(OFFERED, &offered)?;
        let offered = Vec::<u32>::decode(&mut &*offered).map_err(|_| answer::wrong(OFFERED, "no list"))?;
        let known = VERSIONS.into_iter().find(|version| offered.contains(version));
        let known = known.ok_or(ShapeFault::Versions(offered))?;
        let metadata = opaque(&self.one(Call::state(AT_VERSION, &known.encode(), Some(at)))?)?;
        metadata.ok_or_else(|| answer::wrong(AT_VERSION, "nothing for a version that it offers"))
    }

    /// A runtime from before metadata had versions to choose from: what it has is V14.
    fn fetch_plain(&mut self, at: &[u8; 32]) -> Result<Vec<u8>, ChainError> {
        let metadata = self.one(Call::new("state_getMetadata", json!([to_hex(at)])))?;
        answer::bytes("state_getMetadata", &metadata)
    }
}

/// Metadata that says of itself that it is of that version.
fn of_spec(spec_version: u32, bytes: &[u8]) -> Result<(Metadata, OwnVersion), ChainError> {
    let metadata = Metadata::parse(bytes)?;
    let own = OwnVersion::of(&metadata)?;
    if own.spec_version != spec_version {
        let what = format!("metadata of spec {} for a runtime of spec {spec_version}", own.spec_version);
        return Err(answer::wrong(AT_VERSION, &what));
    }
    Ok((metadata, own))
}

/// Metadata as the runtime API wraps it: bytes of bytes, or nothing.
fn opaque(answer: &Json) -> Result<Option<Vec<u8>>, ChainError> {
    let bytes = answer::bytes(AT_VERSION, answer)?;
    Option::<Vec<u8>>::decode(&mut &*bytes).map_err(|_| answer::wrong(AT_VERSION, "no metadata"))
}

pub(super) fn version_at(at: &[u8; 32]) -> Call {
    Call::new("state_getRuntimeVersion", json!([to_hex(at)]))
}

pub(super) fn spec_version(version: &Json) -> Result<u32, ChainError> {
    answer::u32_field("state_getRuntimeVersion", version, "specVersion")
}
