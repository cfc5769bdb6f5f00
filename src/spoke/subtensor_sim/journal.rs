//! The journal: one line of JSON for each extrinsic, decoded, with how it ended.

use scale_value::{Composite, Primitive, Value, ValueDef};
use serde_json::{Map, Value as Json, json};

use super::{blocks::Hash, pool::Extrinsic};
use crate::{
    spoke::chain::rpc::{NodeError, to_hex},
    units::{AccountId, BlockNumber, Hotkey, Wall},
};

/// It is in that block; `error` is the pallet's, by name, when its call failed.
pub fn included(wall: Wall, block: BlockNumber, extrinsic: &Extrinsic, error: Option<&str>) -> String {
    let mut line = line(wall, block, &extrinsic.hash, Some(extrinsic));
    line.insert("result".into(), json!(if error.is_some() { "failed" } else { "success" }));
    if let Some(error) = error {
        line.insert("error".into(), json!(format!("SubtensorModule.{error}")));
    }
    Json::Object(line).to_string()
}

/// The pool did not take it, at that best block.
pub fn refused(
    wall: Wall,
    block: BlockNumber,
    hash: &Hash,
    extrinsic: Option<&Extrinsic>,
    error: &NodeError,
) -> String {
    let mut line = line(wall, block, hash, extrinsic);
    line.insert("result".into(), json!("refused"));
    line.insert("code".into(), json!(error.code));
    line.insert("error".into(), json!(error.to_string()));
    Json::Object(line).to_string()
}

/// It left the pool or its block otherwise: `dropped` (its era, its nonce or its runtime is over), `forgotten`,
/// `lost` or `retracted`.
pub fn left(wall: Wall, block: BlockNumber, extrinsic: &Extrinsic, how: &str) -> String {
    let mut line = line(wall, block, &extrinsic.hash, Some(extrinsic));
    line.insert("result".into(), json!(how));
    Json::Object(line).to_string()
}

/// A timelocked commitment was opened as a block began, or silently dropped.
pub fn opened(wall: Wall, block: BlockNumber, hotkey: &AccountId, dropped: Option<&String>) -> String {
    let mut line = Map::new();
    line.insert("simulated".into(), json!(true));
    line.insert("at_ms".into(), json!(wall.as_millis()));
    line.insert("block".into(), json!(block));
    line.insert("signer".into(), json!(Hotkey::from_account(hotkey)));
    line.insert("result".into(), json!(if dropped.is_some() { "commit dropped" } else { "commit opened" }));
    if let Some(why) = dropped {
        line.insert("error".into(), json!(why));
    }
    Json::Object(line).to_string()
}

fn line(wall: Wall, block: BlockNumber, hash: &Hash, extrinsic: Option<&Extrinsic>) -> Map<String, Json> {
    let mut line = Map::new();
    line.insert("simulated".into(), json!(true));
    line.insert("at_ms".into(), json!(wall.as_millis()));
    line.insert("block".into(), json!(block));
    line.insert("hash".into(), json!(to_hex(hash)));
    if let Some(extrinsic) = extrinsic {
        line.insert("call".into(), json!(extrinsic.name));
        line.insert("args".into(), extrinsic.arguments.clone());
        line.insert("signer".into(), json!(Hotkey::from_account(&extrinsic.signer)));
        line.insert("nonce".into(), json!(extrinsic.nonce));
    }
    line
}

/// A SCALE value as JSON; numbers that JSON cannot hold exactly are written as text.
pub fn to_json(value: &Value) -> Json {
    match &value.value {
        ValueDef::Composite(parts) => composite(parts),
        ValueDef::Variant(variant) if variant.values.is_empty() => json!(variant.name),
        ValueDef::Variant(variant) => json!({ variant.name.as_str(): composite(&variant.values) }),
        ValueDef::Primitive(Primitive::Bool(truth)) => json!(truth),
        ValueDef::Primitive(Primitive::String(text)) => json!(text),
        ValueDef::Primitive(Primitive::U128(number)) => {
            u64::try_from(*number).map_or_else(|_| json!(number.to_string()), |number| json!(number))
        }
        other => json!(format!("{other:?}")),
    }
}

fn composite(parts: &Composite<()>) -> Json {
    match parts {
        Composite::Named(fields) => fields.iter().map(|(name, value)| (name.clone(), to_json(value))).collect(),
        Composite::Unnamed(parts) => parts.iter().map(to_json).collect(),
    }
}
