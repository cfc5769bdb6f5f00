//! What no daemon asks and an operator does: the metadata of a block's runtime, the price of a place, a balance.

use std::sync::Arc;

use scale_decode::DecodeAsType;
use serde_json::json;

use super::{
    Chain, ChainError, answer,
    calls::PALLET,
    read::At,
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
        let Some(block) = block else { return self.runtime_now(At::Best) };
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
        let read = self.read(At::Best, |runtime, hash| {
            Ok(vec![Call::storage(&runtime.metadata.storage(pallet, item)?.key(&[key])?, Some(hash))])
        })?;
        let [stored] = answer::exactly(read.answers)?;
        let storage = read.runtime.metadata.storage(pallet, item)?;
        let stored = answer::stored(storage, &read.runtime.metadata, &stored)?;
        stored.ok_or_else(|| answer::wrong("state_getStorage", &format!("nothing for {pallet}.{item}")))
    }
}
