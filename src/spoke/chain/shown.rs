//! SCALE values as people read them, in JSON: accounts as SS58, bytes as hex, newtypes seen through, fields and
//! variants by name. Only for showing: nothing is decided by it.

use scale_info::{PortableRegistry, TypeDef, TypeDefPrimitive};
use scale_value::{Composite, Primitive, Value, ValueDef};
use serde_json::{Map, Value as Json, json};

use super::{
    metadata::{Metadata, ShapeFault},
    rpc::to_hex,
    scale,
};
use crate::units::{AccountId, Hotkey};

impl Metadata {
    /// `Pallet.call` and the arguments of the call that `bytes` are, by name, in their order.
    pub fn call_shown(&self, bytes: &[u8]) -> Result<(String, Vec<(String, Json)>), ShapeFault> {
        let missing = |what: &str| ShapeFault::Missing { kind: "call", name: what.into() };
        let (index, rest) = bytes.split_first().ok_or_else(|| missing("in no bytes"))?;
        let pallet = self.calls_at(*index).ok_or_else(|| missing(&format!("of a pallet with index {index}")));
        let (pallet, calls) = pallet?;
        let value = self.typed(&format!("call of {pallet}"), calls, rest)?;
        match &value.value {
            ValueDef::Variant(call) => Ok((format!("{pallet}.{}", call.name), arguments(&call.values, self.types()))),
            _ => Err(missing(&format!("of {pallet}"))),
        }
    }

    /// A whole value with its types beside it.
    fn typed(&self, what: &str, id: u32, bytes: &[u8]) -> Result<Value<u32>, ShapeFault> {
        let fault = |why| ShapeFault::Bytes { what: what.into(), why };
        scale::whole(self.types(), id, bytes).map_err(fault)?;
        scale_value::scale::decode_as_type(&mut &*bytes, id, self.types())
            .map_err(|why| ShapeFault::Decode { what: what.into(), why: why.to_string() })
    }
}

/// Those without a name are counted.
fn arguments(parts: &Composite<u32>, types: &PortableRegistry) -> Vec<(String, Json)> {
    match parts {
        Composite::Named(parts) => parts.iter().map(|(name, part)| (name.clone(), shown(part, types))).collect(),
        Composite::Unnamed(parts) => {
            (0..).zip(parts).map(|(n, part): (u32, _)| (n.to_string(), shown(part, types))).collect()
        }
    }
}

fn shown(value: &Value<u32>, types: &PortableRegistry) -> Json {
    if let Some(bytes) = bytes_of(value, types) {
        return json!(to_hex(&bytes));
    }
    if let Some(account) = account_of(value, types) {
        return json!(Hotkey::from_account(&account));
    }
    match &value.value {
        ValueDef::Composite(parts) => composite(parts, types),
        ValueDef::Variant(chosen) => match (chosen.name.as_str(), chosen.values.is_empty()) {
            ("None", true) => Json::Null,
            ("Some", false) => composite(&chosen.values, types),
            (name, true) => json!(name),
            (name, false) => json!({ name: composite(&chosen.values, types) }),
        },
        ValueDef::Primitive(of) => primitive(of),
        ValueDef::BitSequence(bits) => bits.iter().map(Json::from).collect(),
    }
}

/// One unnamed part is what it wraps.
fn composite(parts: &Composite<u32>, types: &PortableRegistry) -> Json {
    match parts {
        Composite::Unnamed(parts) if parts.len() == 1 => shown(&parts[0], types),
        parts => fields(parts, types),
    }
}

/// Named parts as an object, others as a list.
fn fields(parts: &Composite<u32>, types: &PortableRegistry) -> Json {
    match parts {
        Composite::Named(parts) => {
            let named = parts.iter().map(|(name, part)| (name.clone(), shown(part, types)));
            Json::Object(named.collect::<Map<_, _>>())
        }
        Composite::Unnamed(parts) => parts.iter().map(|part| shown(part, types)).collect(),
    }
}

/// Numbers that JSON's readers would round are texts.
fn primitive(of: &Primitive) -> Json {
    const EXACT: u128 = 1 << 53;
    match of {
        Primitive::Bool(is) => json!(is),
        Primitive::Char(letter) => json!(letter),
        Primitive::String(text) => json!(text),
        Primitive::U128(number) if *number < EXACT => json!(*number as u64),
        Primitive::U128(number) => json!(number.to_string()),
        Primitive::I128(number) if number.unsigned_abs() < EXACT => json!(*number as i64),
        Primitive::I128(number) => json!(number.to_string()),
        Primitive::U256(bytes) | Primitive::I256(bytes) => json!(to_hex(bytes)),
    }
}

/// The content of a list or an array of bytes.
fn bytes_of(value: &Value<u32>, types: &PortableRegistry) -> Option<Vec<u8>> {
    let element = match &types.resolve(value.context)?.type_def {
        TypeDef::Sequence(of) => of.type_param.id,
        TypeDef::Array(of) => of.type_param.id,
        _ => return None,
    };
    let is_byte = matches!(types.resolve(element)?.type_def, TypeDef::Primitive(TypeDefPrimitive::U8));
    let ValueDef::Composite(parts) = &value.value else { return None };
    is_byte.then(|| parts.values().filter_map(|part| part.as_u128()?.try_into().ok()).collect())
}

fn account_of(value: &Value<u32>, types: &PortableRegistry) -> Option<AccountId> {
    let path = &types.resolve(value.context)?.path;
    let ValueDef::Composite(parts) = &value.value else { return None };
    if path.segments.last().is_none_or(|name| name != "AccountId32") {
        return None;
    }
    bytes_of(parts.values().next()?, types)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use parity_scale_codec::Encode;
    use scale_info::{MetaType, Registry, TypeInfo};

    use super::*;

    #[derive(Encode, TypeInfo)]
    struct AccountId32([u8; 32]);

    #[derive(Encode, TypeInfo)]
    struct NetUid(u16);

    #[derive(Encode, TypeInfo)]
    enum Address {
        Id(AccountId32),
        Index,
    }

    #[derive(Encode, TypeInfo)]
    struct Stake {
        hotkey: AccountId32,
        netuid: NetUid,
        to: Vec<Address>,
        limit: Option<u64>,
        rao: u128,
        salt: Vec<u8>,
        uids: Vec<u16>,
    }

    #[test]
    fn values_are_shown_as_people_write_them() {
        let mut registry = Registry::new();
        let id = registry.register_type(&MetaType::new::<Stake>()).id;
        let types: PortableRegistry = registry.into();
        let stake = Stake {
            hotkey: AccountId32([1; 32]),
            netuid: NetUid(128),
            to: vec![Address::Id(AccountId32([2; 32])), Address::Index],
            limit: None,
            rao: u128::MAX,
            salt: vec![0xca, 0xfe],
            uids: vec![1, 2],
        };
        let value = scale_value::scale::decode_as_type(&mut &*stake.encode(), id, &types).unwrap();
        let expected = json!({
            "hotkey": Hotkey::from_account(&[1; 32]),
            "netuid": 128,
            "to": [{"Id": Hotkey::from_account(&[2; 32])}, "Index"],
            "limit": null,
            "rao": u128::MAX.to_string(),
            "salt": "0xcafe",
            "uids": [1, 2],
        });
        assert_eq!(shown(&value, &types), expected);
    }
}
