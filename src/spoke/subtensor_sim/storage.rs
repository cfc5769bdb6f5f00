//! Storage as a node answers for it: a key in, the SCALE value out, `None` where nothing was ever written.
//!
//! `SubtensorModule` has a room of its own.

use scale_value::Value;
use sha2::{Digest, Sha256};

use super::{
    Node,
    blocks::Block,
    drand::{Drand, FIRST_ROUND},
    items,
    storage_key::{Parts, find},
};
use crate::{
    spoke::chain::metadata::{Metadata, ShapeFault, Storage},
    units::AccountId,
};

const SYSTEM: &[&str] = &["Account", "BlockHash", "Events", "LastRuntimeUpgrade", "Number", "ParentHash"];
const TIMESTAMP: &[&str] = &["Now"];
const DRAND: &[&str] = &["BeaconConfig", "LastStoredRound", "OldestStoredRound", "Pulses"];

/// The items that are kept here, by pallet.
const PALLETS: &[(&str, &[&str])] =
    &[("SubtensorModule", items::NAMES), ("System", SYSTEM), ("Timestamp", TIMESTAMP), ("Drand", DRAND)];

/// The pallet, the name and the item that a key or its beginning belongs to.
fn locate<'a>(metadata: &'a Metadata, key: &[u8]) -> Option<(&'static str, &'static str, &'a Storage)> {
    let items = PALLETS.iter().map(|(pallet, names)| Some((*pallet, find(metadata, pallet, names, key)?)));
    items.flatten().next().map(|(pallet, (name, item))| (pallet, name, item))
}

/// The item that a key or its beginning belongs to.
pub fn item_of<'a>(metadata: &'a Metadata, key: &[u8]) -> Option<&'a Storage> {
    locate(metadata, key).map(|(_, _, item)| item)
}

impl Node {
    pub(super) fn storage(&self, key: &[u8], at: &Block) -> Option<Vec<u8>> {
        let metadata = &at.executor.metadata;
        let (pallet, name, item) = locate(metadata, key)?;
        let parts = Parts::read(metadata, item, key)?;
        let value = match pallet {
            "System" => return self.system(at, name, &parts, item),
            "Drand" => self.drand_item(at, name, &parts)?,
            "Timestamp" => Value::u128(at.timestamp_ms.into()),
            _ => items::value(at, name, &parts)?,
        };
        metadata.encode(name, item.value, &value).ok()
    }

    fn system(&self, at: &Block, name: &str, parts: &Parts, item: &Storage) -> Option<Vec<u8>> {
        let encode = |value: &Value| at.executor.metadata.encode(name, item.value, value).ok();
        match name {
            "Events" => Some(at.events.clone()),
            "Number" => encode(&Value::u128(at.number.into())),
            "ParentHash" => encode(&Value::from_bytes(at.parent)),
            // Storage is migrated when the first block of a new runtime begins.
            "LastRuntimeUpgrade" => encode(&Value::named_composite([
                ("spec_version", Value::u128(at.executor.spec_version().into())),
                ("spec_name", Value::string(at.executor.spec_name())),
            ])),
            "BlockHash" => {
                // The runtime writes the hash of a block with the next one.
                let number = u64::from(parts.u32(0)?);
                self.history.hash_of(number).filter(|_| number < at.number).map(Vec::from)
            }
            _ => account(at, &parts.account(0)?, item).ok(),
        }
    }

    fn drand_item(&self, at: &Block, name: &str, parts: &Parts) -> Option<Value> {
        Some(match name {
            "BeaconConfig" => self.drand.config(at),
            "LastStoredRound" => Value::u128(Drand::last_round(at.number).into()),
            "OldestStoredRound" => Value::u128(FIRST_ROUND.into()),
            _ => {
                let round = parts.u64(0)?;
                let signature = self.drand.pulse(round, at.number)?;
                Value::named_composite([
                    ("round", Value::u128(round.into())),
                    ("randomness", Value::from_bytes(Sha256::digest(&signature))),
                    ("signature", Value::from_bytes(&signature)),
                ])
            }
        })
    }
}

/// The nonce and the balance of an account; all else is zero.
fn account(at: &Block, account: &AccountId, item: &Storage) -> Result<Vec<u8>, ShapeFault> {
    let metadata = &at.executor.metadata;
    let mut bytes = Vec::new();
    for (name, id) in metadata.fields(item.value)? {
        bytes.extend(match name {
            "nonce" => metadata.encode(name, id, &Value::u128(at.subnet.nonce(account).into()))?,
            "data" => balance(at, account, id)?,
            _ => metadata.zero(name, id)?,
        });
    }
    Ok(bytes)
}

fn balance(at: &Block, account: &AccountId, data: u32) -> Result<Vec<u8>, ShapeFault> {
    let metadata = &at.executor.metadata;
    let mut bytes = Vec::new();
    for (name, id) in metadata.fields(data)? {
        bytes.extend(match name {
            "free" => metadata.encode(name, id, &Value::u128(at.subnet.balance(account).into()))?,
            _ => metadata.zero(name, id)?,
        });
    }
    Ok(bytes)
}
