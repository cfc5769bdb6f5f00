//! The methods of a node, by name.

use serde_json::{Value as Json, json};

use super::{
    CHAIN_NAME, Mishap, NODE_NAME, Node, RateCode,
    blocks::Block,
    control,
    params::{KEYS_MAX, Params, client_error, error, invalid},
    subscriptions,
};
use crate::{
    spoke::chain::rpc::{NodeError, to_hex},
    units::{Hotkey, SS58_PREFIX},
};

const METHOD_NOT_FOUND: i64 = -32601;
const INTERNAL_ERROR: i64 = -32603;
/// A node's own: too many requests.
const RATE_LIMITED: i64 = -32999;

/// What `rpc_methods` lists.
const METHODS: &[&str] = &[
    "account_nextIndex",
    "author_pendingExtrinsics",
    "author_submitExtrinsic",
    "chain_getBlock",
    "chain_getBlockHash",
    "chain_getFinalisedHead",
    "chain_getFinalizedHead",
    "chain_getHead",
    "chain_getHeader",
    "chain_getRuntimeVersion",
    "rpc_methods",
    "state_call",
    "state_callAt",
    "state_getKeysPaged",
    "state_getKeysPagedAt",
    "state_getMetadata",
    "state_getRuntimeVersion",
    "state_getStorage",
    "state_getStorageAt",
    "state_queryStorageAt",
    "system_accountNextIndex",
    "system_chain",
    "system_health",
    "system_name",
    "system_properties",
    "system_version",
];

impl Node {
    pub(super) fn call(&mut self, method: &str, params: &Json) -> Result<Json, NodeError> {
        let params = Params::new(params)?;
        if method.starts_with(control::PREFIX) {
            let unknown = || Err(error(METHOD_NOT_FOUND, "Method not found"));
            return self.control(method, &params).unwrap_or_else(unknown);
        }
        if self.faults.refuses(RateCode::Json32999, self.clock.mono) {
            return Err(error(RATE_LIMITED, "RPC rate limit exceeded"));
        }
        if self.faults.meets(Mishap::Error, |of| of == method) {
            return Err(client_error("Service is shutting down"));
        }
        match method {
            "author_submitExtrinsic" => self.hand_in(&params.bytes(0)?).map(|hash| json!(to_hex(&hash))),
            _ => self.read(method, &params),
        }
    }

    fn read(&self, method: &str, params: &Params) -> Result<Json, NodeError> {
        Ok(match method {
            "chain_getHeader" => self.find_block(params, 0)?.map_or(Json::Null, Block::header),
            "chain_getBlock" => self.find_block(params, 0)?.map_or(Json::Null, Block::json),
            "chain_getBlockHash" | "chain_getHead" => self.block_hash(params.get(0))?,
            "chain_getFinalizedHead" | "chain_getFinalisedHead" => {
                json!(to_hex(&self.finalized().hash))
            }
            "state_getRuntimeVersion" | "chain_getRuntimeVersion" => self.block(params, 0)?.runtime.json(),
            "state_getMetadata" => json!(to_hex(&self.block(params, 0)?.runtime.v14)),
            "state_call" | "state_callAt" => {
                let answer = self.runtime_api(params.text(0)?, &params.bytes(1)?, self.block(params, 2)?)?;
                json!(to_hex(&answer))
            }
            "state_getStorage" | "state_getStorageAt" => {
                let stored = self.storage(&params.bytes(0)?, self.block(params, 1)?);
                stored.map_or(Json::Null, |bytes| json!(to_hex(&bytes)))
            }
            "state_queryStorageAt" => {
                let at = self.block(params, 1)?;
                let value = |key: &Vec<u8>| self.storage(key, at).as_deref().map(to_hex);
                let changes: Vec<_> = params.keys(0)?.iter().map(|key| json!([to_hex(key), value(key)])).collect();
                json!([{"block": to_hex(&at.hash), "changes": changes}])
            }
            "state_getKeysPaged" | "state_getKeysPagedAt" => self.keys_paged(params)?,
            "author_pendingExtrinsics" => self.pool.waiting().map(to_hex).collect(),
            "system_accountNextIndex" | "account_nextIndex" => {
                let hotkey: Hotkey = params.text(0)?.parse().map_err(|_| invalid("no SS58 address"))?;
                let account = hotkey.account().map_err(|_| invalid("no SS58 address"))?;
                json!(self.pool.next_nonce(&account, self.state().nonce(&account)))
            }
            _ => return fixed(method),
        })
    }

    /// At most so many keys after another one, in order.
    fn keys_paged(&self, params: &Params) -> Result<Json, NodeError> {
        let prefix = params.bytes(0)?;
        let count = params.get(1).as_u64().and_then(|count| usize::try_from(count).ok());
        let count = count.filter(|count| *count <= KEYS_MAX);
        let count = count.ok_or_else(|| invalid(&format!("up to {KEYS_MAX} keys at a time")))?;
        let after = if params.get(2).is_null() { Vec::new() } else { params.bytes(2)? };
        let keys = self.keys(&prefix, self.block(params, 3)?);
        Ok(keys.iter().filter(|key| **key > after).take(count).map(|key| to_hex(key)).collect())
    }

    /// One hash by number, or several by a list; the best one's without either.
    fn block_hash(&self, of: &Json) -> Result<Json, NodeError> {
        Ok(match of {
            Json::Null => json!(to_hex(&self.head().hash)),
            Json::Array(numbers) => numbers.iter().map(|number| self.block_hash(number)).collect::<Result<_, _>>()?,
            number => {
                let number = block_number(number)?;
                let seen = self.history.hash_of(number).filter(|_| number <= self.head().number);
                seen.map_or(Json::Null, |hash| json!(to_hex(&hash)))
            }
        })
    }

    /// The block of the hash at `place`, the best one without it; `None` when it is not known.
    fn find_block(&self, params: &Params, place: usize) -> Result<Option<&Block>, NodeError> {
        if params.get(place).is_null() {
            return Ok(Some(self.head()));
        }
        let hash = params.bytes(place)?.try_into().map_err(|_| invalid("a block hash has 32 bytes"))?;
        Ok(self.history.by_hash(&hash).filter(|block| block.number <= self.head().number))
    }

    /// As [`Node::find_block`], for what needs the state of a block.
    fn block(&self, params: &Params, place: usize) -> Result<&Block, NodeError> {
        let unknown = || client_error(&format!("UnknownBlock: State not found in the database: {}", params.get(place)));
        self.find_block(params, place)?.ok_or_else(unknown)
    }
}

/// Answers that nothing changes.
fn fixed(method: &str) -> Result<Json, NodeError> {
    Ok(match method {
        "system_chain" => json!(CHAIN_NAME),
        "system_name" => json!(NODE_NAME),
        "system_version" => json!(concat!(env!("CARGO_PKG_VERSION"), "-simulated")),
        "system_health" => json!({"peers": 0, "isSyncing": false, "shouldHavePeers": false}),
        "system_properties" => json!({"ss58Format": SS58_PREFIX, "tokenDecimals": 9, "tokenSymbol": "TAO"}),
        "rpc_methods" => {
            let mut methods: Vec<_> = METHODS.iter().copied().chain(subscriptions::methods()).collect();
            methods.sort_unstable();
            json!({"methods": methods})
        }
        _ if subscriptions::methods().any(|subscription| subscription == method) => {
            let data = Some(json!("Subscriptions are not supported over HTTP"));
            return Err(NodeError { code: INTERNAL_ERROR, message: "Internal error".into(), data });
        }
        _ => return Err(error(METHOD_NOT_FOUND, "Method not found")),
    })
}

fn block_number(of: &Json) -> Result<u64, NodeError> {
    let hex = || u64::from_str_radix(of.as_str()?.strip_prefix("0x")?, 16).ok();
    of.as_u64().or_else(hex).ok_or_else(|| invalid("no block number"))
}
