//! Extrinsics that wait for a block, and the refusals of a pool by the codes of a node.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value as Json;

use super::{blocks::Hash, call::PalletCall};
use crate::{
    spoke::chain::rpc::{NodeError, to_hex},
    units::{AccountId, BlockNumber},
};

/// Extrinsics that may wait.
const POOL_MAX: usize = 4096;

/// Extrinsics that are remembered not to come back.
const BANNED_MAX: usize = 4096;

/// What can be read of an extrinsic, whether it is any good or not.
#[derive(Clone, Debug)]
pub struct Extrinsic {
    pub hash: Hash,
    pub signer: AccountId,
    pub nonce: u64,
    /// `None` for a call that is not executed here.
    pub call: Option<PalletCall>,
    /// `Pallet.call`, and its arguments.
    pub name: String,
    pub arguments: Json,
}

/// An extrinsic that the pool took.
#[derive(Clone, Debug)]
pub struct Pooled {
    pub bytes: Vec<u8>,
    /// Last block that may include it.
    pub until: BlockNumber,
    /// Of the runtime that it was signed for.
    pub spec_version: u32,
    pub call: PalletCall,
    pub extrinsic: Extrinsic,
}

/// Why the pool did not take an extrinsic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not decode.
    Format(String),
    BadSignature,
    Stale,
    /// The block that its era begins with is not known.
    AncientBirth,
    /// A call that is not executed here.
    Call,
    /// A number of the chain's own extension.
    Custom(u8),
    Banned,
    AlreadyImported(Hash),
    /// Another one of its signer with its nonce waits already.
    TooLowPriority,
    Full,
}

impl Refusal {
    /// As a node words it.
    pub fn error(&self) -> NodeError {
        let invalid = |data: &str| (1010, "Invalid Transaction".to_owned(), data.to_owned());
        let (code, message, data) = match self {
            Refusal::Format(why) => (1001, format!("Extrinsic has invalid format: {why}"), String::new()),
            Refusal::BadSignature => invalid("Transaction has a bad signature"),
            Refusal::Stale => invalid("Transaction is outdated"),
            Refusal::AncientBirth => invalid("Transaction has an ancient birth block"),
            Refusal::Call => invalid("Transaction call is not expected"),
            Refusal::Custom(number) => invalid(&format!("Custom error: {number}")),
            Refusal::Banned => (1012, "Transaction is temporarily banned".into(), String::new()),
            Refusal::AlreadyImported(hash) => (1013, "Transaction Already Imported".into(), to_hex(hash)),
            Refusal::TooLowPriority => {
                let data = "The transaction has too low priority to replace another transaction already in the pool.";
                (1014, "Priority is too low: (0 vs 0)".into(), data.into())
            }
            Refusal::Full => {
                let data = "The transaction couldn't enter the pool because of the limit";
                (1016, "Immediately Dropped".into(), data.into())
            }
        };
        let data = (!data.is_empty()).then_some(Json::String(data));
        NodeError { code, message, data }
    }
}

/// What a block takes out of the pool.
#[derive(Default)]
pub struct Taken {
    pub included: Vec<Pooled>,
    /// Their era, their nonce or their runtime is over.
    pub dropped: Vec<Pooled>,
}

#[derive(Default)]
pub struct Pool {
    waiting: BTreeMap<(AccountId, u64), Pooled>,
    banned: VecDeque<Hash>,
}

impl Pool {
    /// Whether bytes with that hash may be offered at all.
    pub fn admit(&self, hash: &Hash) -> Result<(), Refusal> {
        if self.holds(hash) {
            return Err(Refusal::AlreadyImported(*hash));
        }
        if self.has_banned(hash) { Err(Refusal::Banned) } else { Ok(()) }
    }

    pub fn add(&mut self, pooled: Pooled) -> Result<(), Refusal> {
        let key = (pooled.extrinsic.signer, pooled.extrinsic.nonce);
        if self.waiting.contains_key(&key) {
            return Err(Refusal::TooLowPriority);
        }
        if self.waiting.len() >= POOL_MAX {
            return Err(Refusal::Full);
        }
        self.waiting.insert(key, pooled);
        Ok(())
    }

    /// Takes what block `number` may include: by signer in the order of nonces, without a gap.
    pub fn take_ready(&mut self, number: BlockNumber, spec_version: u32, nonce: impl Fn(&AccountId) -> u32) -> Taken {
        let mut taken = Taken::default();
        let mut next: BTreeMap<AccountId, u64> = BTreeMap::new();
        for (key, pooled) in std::mem::take(&mut self.waiting) {
            let (signer, own) = key;
            let expected = next.entry(signer).or_insert_with(|| nonce(&signer).into());
            if pooled.until < number || own < *expected || pooled.spec_version != spec_version {
                self.ban(pooled.extrinsic.hash);
                taken.dropped.push(pooled);
            } else if own == *expected {
                *expected += 1;
                self.ban(pooled.extrinsic.hash);
                taken.included.push(pooled);
            } else {
                self.waiting.insert(key, pooled);
            }
        }
        taken
    }

    /// The nonce after the last one of a row that begins with `from` and waits here.
    pub fn next_nonce(&self, account: &AccountId, from: u32) -> u32 {
        (from..).find(|nonce| !self.waiting.contains_key(&(*account, u64::from(*nonce)))).unwrap_or(from)
    }

    /// The bytes of all that wait.
    pub fn waiting(&self) -> impl Iterator<Item = &[u8]> {
        self.waiting.values().map(|waiting| waiting.bytes.as_slice())
    }

    pub fn holds(&self, hash: &Hash) -> bool {
        self.waiting.values().any(|waiting| waiting.extrinsic.hash == *hash)
    }

    /// Whether it was in a block, or will never be in one.
    pub fn has_banned(&self, hash: &Hash) -> bool {
        self.banned.contains(hash)
    }

    /// Empties the pool.
    pub fn forget(&mut self) -> Vec<Pooled> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// The extrinsic may come back: it is in no block any more.
    pub fn unban(&mut self, hash: &Hash) {
        self.banned.retain(|banned| banned != hash);
    }

    fn ban(&mut self, hash: Hash) {
        if self.banned.len() == BANNED_MAX {
            self.banned.pop_front();
        }
        self.banned.push_back(hash);
    }
}
