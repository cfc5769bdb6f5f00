//! What no daemon asks and an operator does: the metadata of a block's runtime, the price of a place, a balance.

use std::sync::Arc;

use scale_decode::DecodeAsType;
use serde_json::{Value as Json, json};

use super::{
    Chain, ChainError, answer,
    calls::PALLET,
    metadata::Metadata,
    rpc::{Call, Rpc},
    runtime::Runtime,
};
use crate::units::{AccountId, BlockNumber, Netuid};

#[derive(DecodeAsType)]
struct Account {
    data: Funds,
}

#[derive(DecodeAsType)]
struct Funds {
    free: u64,
}

impl<R: Rpc> Chain<R> {
    /// The runtime that executed a block, or that executes the next one.
    pub fn runtime_of(&mut self, block: Option<BlockNumber>) -> Result<Arc<Runtime>, ChainError> {
        let Some(block) = block else { return Ok(self.with_runtime(|_| Ok(Vec::new()))?.0) };
        let parent = self.one(Call::new("chain_getBlockHash", json!([block.saturating_sub(1)])))?;
        if parent.is_null() {
            return Err(answer::wrong("chain_getBlockHash", &format!("that it knows no block {block}")));
        }
        self.runtime_at(&answer::hash("chain_getBlockHash", &parent)?)
    }

    /// What a place in the subnet costs now, in RAO.
    pub fn price_of_a_place(&mut self, netuid: Netuid) -> Result<u64, ChainError> {
        self.stored(PALLET, "Burn", &netuid.0.to_le_bytes())
    }

    /// What an account may spend, in RAO.
    pub fn free_balance(&mut self, account: &AccountId) -> Result<u64, ChainError> {
        Ok(self.stored::<Account>("System", "Account", account)?.data.free)
    }

    /// A value under one key, or what its absence stands for.
    fn stored<T: DecodeAsType>(&mut self, pallet: &str, item: &str, key: &[u8]) -> Result<T, ChainError> {
        let call = |metadata: &Metadata| Ok(vec![Call::storage(&metadata.storage(pallet, item)?.key(&[key])?, None)]);
        let (runtime, answers) = self.with_runtime(|runtime| call(&runtime.metadata))?;
        let [stored] = answer::exactly(answers)?;
        let storage = runtime.metadata.storage(pallet, item)?;
        let bytes = match &stored {
            Json::Null => storage.default.clone().unwrap_or_default(),
            stored => answer::bytes("state_getStorage", stored)?,
        };
        Ok(runtime.metadata.decode(&format!("{pallet}.{item}"), storage.value, &bytes)?)
    }
}
