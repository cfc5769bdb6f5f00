//! The methods of a node, by name.

use scale_decode::DecodeAsType;
use serde_json::{Value as Json, json};

use super::{CHAIN_NAME, METADATA_V14, NODE_NAME, Node, blocks::Block, subscriptions};
use crate::{
    spoke::chain::{
        metadata::{Metadata, ShapeFault},
        rpc::{NodeError, from_hex, to_hex},
    },
    units::{Hotkey, SS58_PREFIX},
};

const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const INTERNAL_ERROR: i64 = -32603;
/// A node's own: the client (database, executor) failed.
const CLIENT_ERROR: i64 = 4003;

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

/// Storage keys that one call may ask for or get.
const KEYS_MAX: usize = 1000;

pub fn error(code: i64, message: impl Into<String>) -> NodeError {
    NodeError { code, message: message.into(), data: None }
}

pub fn client_error(what: &str) -> NodeError {
    error(CLIENT_ERROR, format!("Client error: {what}"))
}

pub fn invalid(what: &str) -> NodeError {
    NodeError { code: INVALID_PARAMS, message: "Invalid params".into(), data: Some(json!(what)) }
}

/// The versions in the metadata's own constant.
pub fn versions(metadata: &Metadata) -> Result<(u32, u32), ShapeFault> {
    let version = version(metadata)?;
    Ok((version.spec_version, version.transaction_version))
}

#[derive(DecodeAsType)]
struct Version {
    spec_name: String,
    impl_name: String,
    authoring_version: u32,
    spec_version: u32,
    impl_version: u32,
    apis: Vec<([u8; 8], u32)>,
    transaction_version: u32,
    system_version: u8,
}

fn version(metadata: &Metadata) -> Result<Version, ShapeFault> {
    let (id, bytes) = metadata.constant("System", "Version")?;
    metadata.decode("System.Version", id, bytes)
}

impl Node {
    pub(super) fn call(&mut self, method: &str, params: &Json) -> Result<Json, NodeError> {
        let params = Params::new(params)?;
        match method {
            "author_submitExtrinsic" => self.submit(&params.bytes(0)?).map(|hash| json!(to_hex(&hash))),
            _ => self.read(method, &params),
        }
    }

    fn read(&self, method: &str, params: &Params) -> Result<Json, NodeError> {
        let history = &self.history;
        Ok(match method {
            "chain_getHeader" => self.find_block(params, 0)?.map_or(Json::Null, Block::header),
            "chain_getBlock" => self.find_block(params, 0)?.map_or(Json::Null, Block::json),
            "chain_getBlockHash" | "chain_getHead" => self.block_hash(params.get(0))?,
            "chain_getFinalizedHead" | "chain_getFinalisedHead" => json!(to_hex(&history.finalized().hash)),
            "state_getRuntimeVersion" | "chain_getRuntimeVersion" => {
                self.block(params, 0)?;
                self.runtime_version()?
            }
            "state_getMetadata" => {
                self.block(params, 0)?;
                json!(to_hex(METADATA_V14))
            }
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
                json!(self.pool.next_nonce(&account, self.subnet.nonce(&account)))
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
            Json::Null => json!(to_hex(&self.history.best().hash)),
            Json::Array(numbers) => numbers.iter().map(|number| self.block_hash(number)).collect::<Result<_, _>>()?,
            number => self.history.hash_of(block_number(number)?).map_or(Json::Null, |hash| json!(to_hex(&hash))),
        })
    }

    /// The block of the hash at `place`, the best one without it; `None` when it is not known.
    fn find_block(&self, params: &Params, place: usize) -> Result<Option<&Block>, NodeError> {
        if params.get(place).is_null() {
            return Ok(Some(self.history.best()));
        }
        let hash = params.bytes(place)?.try_into().map_err(|_| invalid("a block hash has 32 bytes"))?;
        Ok(self.history.by_hash(&hash))
    }

    /// As [`Node::find_block`], for what needs the state of a block.
    fn block(&self, params: &Params, place: usize) -> Result<&Block, NodeError> {
        let unknown = || client_error(&format!("UnknownBlock: State not found in the database: {}", params.get(place)));
        self.find_block(params, place)?.ok_or_else(unknown)
    }

    pub(super) fn runtime_version(&self) -> Result<Json, NodeError> {
        let version = version(&self.metadata).map_err(|why| error(INTERNAL_ERROR, why.to_string()))?;
        let apis: Vec<_> = version.apis.iter().map(|(id, version)| json!([to_hex(id), version])).collect();
        Ok(json!({
            "specName": version.spec_name,
            "implName": version.impl_name,
            "authoringVersion": version.authoring_version,
            "specVersion": version.spec_version,
            "implVersion": version.impl_version,
            "apis": apis,
            "transactionVersion": version.transaction_version,
            "stateVersion": version.system_version,
        }))
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

/// The parameters of a call, by place.
pub struct Params<'a>(&'a [Json]);

impl Params<'_> {
    pub fn new(params: &Json) -> Result<Params<'_>, NodeError> {
        match params {
            Json::Null => Ok(Params(&[])),
            Json::Array(list) => Ok(Params(list)),
            _ => Err(invalid("parameters are a list")),
        }
    }

    /// Null when it is not there.
    fn get(&self, place: usize) -> &Json {
        self.0.get(place).unwrap_or(&Json::Null)
    }

    fn text(&self, place: usize) -> Result<&str, NodeError> {
        self.get(place).as_str().ok_or_else(|| invalid(&format!("parameter {place} is no text")))
    }

    pub fn bytes(&self, place: usize) -> Result<Vec<u8>, NodeError> {
        from_hex(self.text(place)?).ok_or_else(|| invalid(&format!("parameter {place} is no hex")))
    }

    /// A list of storage keys.
    pub fn keys(&self, place: usize) -> Result<Vec<Vec<u8>>, NodeError> {
        let keys = self.get(place).as_array().filter(|keys| keys.len() <= KEYS_MAX);
        let keys = keys.ok_or_else(|| invalid(&format!("parameter {place} is no list of up to {KEYS_MAX} keys")))?;
        let key = |key: &Json| key.as_str().and_then(from_hex);
        keys.iter().map(|text| key(text).ok_or_else(|| invalid("a storage key is no hex"))).collect()
    }
}
