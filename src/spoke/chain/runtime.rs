//! The runtime that the chain runs now: its versions and its metadata, fetched from the node.
//!
//! Each answer that is read with metadata comes with the runtime's version in the same batch; an answer of
//! another runtime is asked for again after its metadata was fetched.

use std::sync::Arc;

use parity_scale_codec::{Decode, Encode};
use scale_decode::DecodeAsType;
use serde_json::{Value as Json, json};

use super::{
    Chain, ChainError, answer, calls,
    metadata::{Metadata, ShapeFault},
    metagraph,
    rpc::{Call, Rpc, to_hex},
};

/// The newest metadata version that we read.
const METADATA_VERSION: u32 = 15;

/// A chain's runtime.
pub struct Runtime {
    pub genesis: [u8; 32],
    pub spec_version: u32,
    pub transaction_version: u32,
    pub metadata: Metadata,
    /// Whether all that we use has the shape that we know: found out once, before it is needed.
    pub check: Result<(), ShapeFault>,
}

/// The part of `RuntimeVersion` that says which runtime metadata is of.
#[derive(DecodeAsType)]
struct OwnVersion {
    spec_version: u32,
    transaction_version: u32,
}

impl<R: Rpc> Chain<R> {
    /// Makes the calls that `calls` builds from the runtime, and answers them together with the runtime that
    /// answered.
    pub(super) fn with_runtime(
        &mut self,
        calls: impl Fn(&Runtime) -> Result<Vec<Call>, ShapeFault>,
    ) -> Result<(Arc<Runtime>, Vec<Json>), ChainError> {
        // A second round is due after an upgrade, a third only when another one came in between.
        for _ in 0..2 {
            let runtime = self.runtime()?;
            if let Some(answers) = self.ask_runtime(&runtime, &calls)? {
                return Ok((runtime, answers));
            }
            self.runtime = None;
        }
        Err(answer::wrong("state_getRuntimeVersion", "another version each time"))
    }

    /// `None` when the node now runs another runtime, or is of another chain.
    fn ask_runtime(
        &mut self,
        runtime: &Runtime,
        calls: &impl Fn(&Runtime) -> Result<Vec<Call>, ShapeFault>,
    ) -> Result<Option<Vec<Json>>, ChainError> {
        let mut calls = calls(runtime)?;
        calls.push(Call::new("state_getRuntimeVersion", json!([])));
        calls.push(Call::new("chain_getBlockHash", json!([0])));
        let mut answers = self.rpc.batch(&calls)?;
        let (Some(genesis), Some(version)) = (answers.pop(), answers.pop()) else {
            return Err(answer::wrong("batch", "too few results"));
        };
        let failed = |method| move |error| ChainError::Node { method, error };
        let version = version.map_err(failed("state_getRuntimeVersion"))?;
        let genesis = genesis.map_err(failed("chain_getBlockHash"))?;
        if answer::u32_field("state_getRuntimeVersion", &version, "specVersion")? != runtime.spec_version
            || answer::hash("chain_getBlockHash", &genesis)? != runtime.genesis
        {
            return Ok(None);
        }
        let named = answers.into_iter().zip(&calls).map(|(answer, call)| answer.map_err(failed(call.method)));
        named.collect::<Result<_, _>>().map(Some)
    }

    /// The runtime at the best block, from memory when it is known.
    fn runtime(&mut self) -> Result<Arc<Runtime>, ChainError> {
        if let Some(known) = &self.runtime {
            return Ok(known.clone());
        }
        let loaded = Arc::new(self.load(None)?);
        if let Err(fault) = &loaded.check {
            log::error!(target: "chain", "spec {}: {fault}: this version cannot speak with it, update", loaded.spec_version);
        }
        log::info!(target: "chain", "runtime spec {}, metadata V{}", loaded.spec_version, loaded.metadata.version());
        self.runtime = Some(loaded.clone());
        Ok(loaded)
    }

    /// The runtime that executed the child of block `parent`.
    pub(super) fn runtime_at(&mut self, parent: &[u8; 32]) -> Result<Arc<Runtime>, ChainError> {
        let version = self.one(Call::new("state_getRuntimeVersion", json!([to_hex(parent)])))?;
        let spec = answer::u32_field("state_getRuntimeVersion", &version, "specVersion")?;
        match &self.runtime {
            Some(known) if known.spec_version == spec => Ok(known.clone()),
            _ => Ok(Arc::new(self.load(Some(parent))?)),
        }
    }

    fn load(&mut self, at: Option<&[u8; 32]>) -> Result<Runtime, ChainError> {
        let metadata = Metadata::parse(&self.fetch_metadata(at)?)?;
        let genesis = self.one(Call::new("chain_getBlockHash", json!([0])))?;
        let (id, bytes) = metadata.constant("System", "Version")?;
        let own: OwnVersion = metadata.decode("System.Version", id, bytes)?;
        let check = calls::check(&metadata)
            .and_then(|()| if self.key.is_some() { calls::check_writing(&metadata) } else { Ok(()) })
            .and_then(|()| metagraph::check(&metadata));
        Ok(Runtime {
            genesis: answer::hash("chain_getBlockHash", &genesis)?,
            spec_version: own.spec_version,
            transaction_version: own.transaction_version,
            metadata,
            check,
        })
    }

    /// The newest that we can read: V15 where the node has it, else what it has.
    fn fetch_metadata(&mut self, at: Option<&[u8; 32]>) -> Result<Vec<u8>, ChainError> {
        let api = "Metadata_metadata_at_version";
        let [answer] = self
            .rpc
            .batch(&[Call::state(api, &METADATA_VERSION.encode(), at)])?
            .try_into()
            .map_err(|_| answer::wrong(api, "more than once"))?;
        if let Ok(answer) = answer {
            let bytes = answer::bytes(api, &answer)?;
            let opaque = Option::<Vec<u8>>::decode(&mut &*bytes).map_err(|_| answer::wrong(api, "no metadata"))?;
            if let Some(metadata) = opaque {
                return Ok(metadata);
            }
        }
        let params = at.map_or_else(|| json!([]), |hash| json!([to_hex(hash)]));
        answer::bytes("state_getMetadata", &self.one(Call::new("state_getMetadata", params))?)
    }
}
