//! What the node says of itself: pallets, calls, storage, errors, runtime APIs and extensions, all by name.
//!
//! Read from metadata V15, or V14 (which describes no runtime APIs). Nothing of the runtime is compiled in:
//! a name or a shape that is not there is a named fault, so that an upgrade of the chain alarms instead of
//! mis-encoding.

use std::collections::BTreeMap;

use frame_metadata::{
    RuntimeMetadata, RuntimeMetadataPrefixed,
    v14::{self, StorageEntryModifier, StorageEntryType, StorageHasher},
    v15,
};
use parity_scale_codec::Decode;
use scale_decode::DecodeAsType;
use scale_info::{PortableRegistry, TypeDef, TypeDefComposite, form::PortableForm};
use scale_value::Value;

use super::{
    hash::{blake2_128, blake2_256, twox64, twox128, twox256},
    scale::{self, ScaleFault},
};

/// A name or a shape that we rely on and the node does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeFault {
    #[error("metadata does not decode: {0}")]
    Metadata(String),
    #[error("metadata version {0}, known are 14 and 15")]
    Version(u32),
    #[error("no {kind} {name} in the metadata")]
    Missing { kind: &'static str, name: String },
    #[error("{what}: {why}")]
    Bytes { what: String, why: ScaleFault },
    #[error("{what} does not decode: {why}")]
    Decode { what: String, why: String },
    #[error("{what} does not encode: {why}")]
    Encode { what: String, why: String },
    #[error("unknown extension {0} that is not empty")]
    Extension(String),
    #[error("{0}")]
    Other(String),
}

/// One runtime's metadata.
pub struct Metadata {
    version: u32,
    types: PortableRegistry,
    pallets: BTreeMap<String, Pallet>,
    extensions: Vec<Extension>,
    apis: BTreeMap<String, Api>,
    address: u32,
    signature: u32,
}

struct Pallet {
    index: u8,
    calls: Option<u32>,
    events: Option<u32>,
    errors: Option<u32>,
    storage: BTreeMap<String, Storage>,
    constants: BTreeMap<String, (u32, Vec<u8>)>,
}

/// A part of each extrinsic beside its call.
pub struct Extension {
    pub name: String,
    /// Type of what the extrinsic carries.
    pub extra: u32,
    /// Type of what is signed but not carried.
    pub additional: u32,
}

/// A runtime API's method.
pub struct Api {
    pub inputs: Vec<u32>,
    pub output: u32,
}

/// A storage item: how its keys are made, and what an absent value means.
pub struct Storage {
    pub name: String,
    prefix: [u8; 32],
    pub hashers: Vec<StorageHasher>,
    pub keys: Vec<u32>,
    pub value: u32,
    /// What an absent value stands for; `None` for an optional item.
    pub default: Option<Vec<u8>>,
}

impl Metadata {
    /// Reads metadata as a node hands it out, prefix included.
    pub fn parse(bytes: &[u8]) -> Result<Metadata, ShapeFault> {
        let prefixed =
            RuntimeMetadataPrefixed::decode(&mut &*bytes).map_err(|why| ShapeFault::Metadata(why.to_string()))?;
        let metadata = match prefixed.1 {
            RuntimeMetadata::V14(of) => from_v14(of)?,
            RuntimeMetadata::V15(of) => from_v15(of)?,
            other => return Err(ShapeFault::Version(other.version())),
        };
        scale::sizes_are_finite(&metadata.types)
            .map_err(|why| ShapeFault::Bytes { what: "type registry".into(), why })?;
        Ok(metadata)
    }

    /// 14 or 15.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// In the order of the extrinsic.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    pub fn types(&self) -> &PortableRegistry {
        &self.types
    }

    /// The pallet with that index, and the type of its calls.
    pub fn calls_at(&self, index: u8) -> Option<(&str, u32)> {
        self.pallet_at(index).and_then(|(name, pallet)| Some((name.as_str(), pallet.calls?)))
    }

    pub fn address_type(&self) -> u32 {
        self.address
    }

    pub fn signature_type(&self) -> u32 {
        self.signature
    }

    /// The bytes of a call, its arguments given by name.
    pub fn call(&self, pallet: &str, call: &str, arguments: Vec<(&str, Value)>) -> Result<Vec<u8>, ShapeFault> {
        let of = self.pallet(pallet)?;
        let name = format!("{pallet}.{call}");
        let calls = of.calls.ok_or_else(|| missing("call", &name))?;
        self.variant_index(calls, call).ok_or_else(|| missing("call", &name))?;
        let mut bytes = vec![of.index];
        bytes.extend(self.encode(&name, calls, &Value::named_variant(call, arguments))?);
        Ok(bytes)
    }

    /// The two bytes that a call, or an event, of that name begins with.
    pub fn event_prefix(&self, pallet: &str, event: &str) -> Result<[u8; 2], ShapeFault> {
        let of = self.pallet(pallet)?;
        let index = of.events.and_then(|events| self.variant_index(events, event));
        Ok([of.index, index.ok_or_else(|| missing("event", &format!("{pallet}.{event}")))?])
    }

    /// `Pallet.call` and the arguments of the call that `bytes` are.
    pub fn read_call(&self, bytes: &[u8]) -> Result<(String, Value), ShapeFault> {
        let (index, rest) = bytes.split_first().ok_or_else(|| missing("call", "in no bytes"))?;
        let (name, pallet) = self.pallet_at(*index).ok_or_else(|| missing("pallet with index", &index.to_string()))?;
        let calls = pallet.calls.ok_or_else(|| missing("calls of", name))?;
        let value = self.value(&format!("call of {name}"), calls, rest)?;
        match value.value {
            scale_value::ValueDef::Variant(call) => {
                let arguments = scale_value::ValueDef::Composite(call.values);
                Ok((format!("{name}.{}", call.name), Value::without_context(arguments)))
            }
            _ => Err(missing("calls of", name)),
        }
    }

    /// A module error by its name, e.g. `SubtensorModule.SettingWeightsTooFast`; by its numbers where the
    /// metadata does not name it.
    pub fn error_name(&self, pallet: u8, error: u8) -> String {
        let Some((name, of)) = self.pallet_at(pallet) else { return format!("pallet {pallet} error {error}") };
        let variant = of.errors.and_then(|errors| self.variant_name(errors, error));
        variant.map_or_else(|| format!("{name} error {error}"), |variant| format!("{name}.{variant}"))
    }

    /// The numbers of an error, by name.
    pub fn error_index(&self, pallet: &str, error: &str) -> Result<(u8, u8), ShapeFault> {
        let of = self.pallet(pallet)?;
        let index = of.errors.and_then(|errors| self.variant_index(errors, error));
        Ok((of.index, index.ok_or_else(|| missing("error", &format!("{pallet}.{error}")))?))
    }

    pub fn storage(&self, pallet: &str, item: &str) -> Result<&Storage, ShapeFault> {
        let of = self.pallet(pallet)?;
        of.storage.get(item).ok_or_else(|| missing("storage", &format!("{pallet}.{item}")))
    }

    /// The type and the bytes of a constant.
    pub fn constant(&self, pallet: &str, name: &str) -> Result<(u32, &[u8]), ShapeFault> {
        let found = self.pallet(pallet)?.constants.get(name);
        found.map(|(id, bytes)| (*id, bytes.as_slice())).ok_or_else(|| missing("constant", &format!("{pallet}.{name}")))
    }

    /// A runtime API's method, by the name that `state_call` takes.
    pub fn api(&self, name: &str) -> Result<&Api, ShapeFault> {
        self.apis.get(name).ok_or_else(|| missing("runtime API", name))
    }

    /// Decodes the whole of `bytes`; fields are found by name, newtypes seen through, other fields skipped.
    pub fn decode<T: DecodeAsType>(&self, what: &str, id: u32, bytes: &[u8]) -> Result<T, ShapeFault> {
        scale::whole(&self.types, id, bytes).map_err(|why| ShapeFault::Bytes { what: what.into(), why })?;
        T::decode_as_type(&mut &*bytes, id, &self.types)
            .map_err(|why| ShapeFault::Decode { what: what.into(), why: why.to_string() })
    }

    /// Decodes the whole of `bytes`, whatever their type.
    pub fn value(&self, what: &str, id: u32, bytes: &[u8]) -> Result<Value, ShapeFault> {
        self.decode::<Value>(what, id, bytes)
    }

    pub fn encode(&self, what: &str, id: u32, value: &Value) -> Result<Vec<u8>, ShapeFault> {
        let mut bytes = Vec::new();
        scale_value::scale::encode_as_type(value, id, &self.types, &mut bytes)
            .map_err(|why| ShapeFault::Encode { what: what.into(), why: why.to_string() })?;
        Ok(bytes)
    }

    /// The bytes of the emptiest value of type `id`.
    pub fn zero(&self, what: &str, id: u32) -> Result<Vec<u8>, ShapeFault> {
        scale::zero(&self.types, id).map_err(|why| ShapeFault::Bytes { what: what.into(), why })
    }

    /// The type inside an `Option`.
    pub fn some_type(&self, id: u32) -> Result<u32, ShapeFault> {
        let some = match self.types.resolve(id).map(|ty| &ty.type_def) {
            Some(TypeDef::Variant(of)) => of.variants.iter().find(|variant| variant.name == "Some"),
            _ => None,
        };
        let inner = some.and_then(|some| some.fields.first());
        inner.map(|field| field.ty.id).ok_or_else(|| missing("Option of type", &id.to_string()))
    }

    /// Cuts a value of type `id` off the front of `rest`.
    pub fn cut<'a>(&self, what: &str, id: u32, rest: &mut &'a [u8]) -> Result<&'a [u8], ShapeFault> {
        scale::cut(&self.types, id, rest).map_err(|why| ShapeFault::Bytes { what: what.into(), why })
    }

    /// Whether a value of type `id` never takes a byte.
    pub fn is_empty(&self, id: u32) -> bool {
        scale::is_empty(&self.types, id)
    }

    /// The fields of a struct, by name, in order.
    pub fn fields(&self, id: u32) -> Result<Vec<(&str, u32)>, ShapeFault> {
        let of: &TypeDefComposite<PortableForm> = match self.types.resolve(id).map(|ty| &ty.type_def) {
            Some(TypeDef::Composite(composite)) => composite,
            _ => return Err(missing("struct of type", &id.to_string())),
        };
        Ok(of.fields.iter().map(|field| (field.name.as_deref().unwrap_or_default(), field.ty.id)).collect())
    }

    /// The element type of a list.
    pub fn element(&self, id: u32) -> Result<u32, ShapeFault> {
        match self.types.resolve(id).map(|ty| &ty.type_def) {
            Some(TypeDef::Sequence(sequence)) => Ok(sequence.type_param.id),
            _ => Err(missing("list of type", &id.to_string())),
        }
    }

    fn pallet(&self, name: &str) -> Result<&Pallet, ShapeFault> {
        self.pallets.get(name).ok_or_else(|| missing("pallet", name))
    }

    fn pallet_at(&self, index: u8) -> Option<(&String, &Pallet)> {
        self.pallets.iter().find(|(_, pallet)| pallet.index == index)
    }

    fn variant_index(&self, id: u32, name: &str) -> Option<u8> {
        let TypeDef::Variant(variants) = &self.types.resolve(id)?.type_def else { return None };
        variants.variants.iter().find(|variant| variant.name == name).map(|variant| variant.index)
    }

    fn variant_name(&self, id: u32, index: u8) -> Option<&str> {
        let TypeDef::Variant(variants) = &self.types.resolve(id)?.type_def else { return None };
        variants.variants.iter().find(|variant| variant.index == index).map(|variant| variant.name.as_str())
    }
}

impl Storage {
    /// The key of one entry; `parts` are the SCALE bytes of each part of its key.
    pub fn key(&self, parts: &[&[u8]]) -> Result<Vec<u8>, ShapeFault> {
        if parts.len() != self.hashers.len() {
            let text = format!("{}: {} key parts, the metadata has {}", self.name, parts.len(), self.hashers.len());
            return Err(ShapeFault::Other(text));
        }
        let mut key = self.prefix.to_vec();
        for (hasher, part) in self.hashers.iter().zip(parts) {
            key.extend(hashed(hasher, part));
        }
        Ok(key)
    }

    /// What all keys of this item begin with.
    pub fn prefix(&self) -> &[u8; 32] {
        &self.prefix
    }
}

fn hashed(hasher: &StorageHasher, part: &[u8]) -> Vec<u8> {
    match hasher {
        StorageHasher::Identity => part.to_vec(),
        StorageHasher::Blake2_128 => blake2_128(part).to_vec(),
        StorageHasher::Blake2_128Concat => [&blake2_128(part)[..], part].concat(),
        StorageHasher::Blake2_256 => blake2_256(part).to_vec(),
        StorageHasher::Twox64Concat => [&twox64(part)[..], part].concat(),
        StorageHasher::Twox128 => twox128(part).to_vec(),
        StorageHasher::Twox256 => twox256(part).to_vec(),
    }
}

fn missing(kind: &'static str, name: &str) -> ShapeFault {
    ShapeFault::Missing { kind, name: name.into() }
}

fn from_v14(of: v14::RuntimeMetadataV14) -> Result<Metadata, ShapeFault> {
    let parameter = |name: &str| {
        let ty = of.types.resolve(of.extrinsic.ty.id)?;
        ty.type_params.iter().find(|parameter| parameter.name == name)?.ty.map(|ty| ty.id)
    };
    let address = parameter("Address").ok_or_else(|| missing("extrinsic parameter", "Address"))?;
    let signature = parameter("Signature").ok_or_else(|| missing("extrinsic parameter", "Signature"))?;
    let pallets = of.pallets.into_iter().map(|pallet| read_pallet(pallet, &of.types)).collect();
    let extensions = of.extrinsic.signed_extensions.into_iter().map(|extension| Extension {
        name: extension.identifier,
        extra: extension.ty.id,
        additional: extension.additional_signed.id,
    });
    let extensions = extensions.collect();
    Ok(Metadata { version: 14, types: of.types, pallets, extensions, apis: BTreeMap::new(), address, signature })
}

fn from_v15(of: v15::RuntimeMetadataV15) -> Result<Metadata, ShapeFault> {
    let pallets = of.pallets.into_iter().map(|pallet| read_pallet(as_v14(pallet), &of.types)).collect();
    let extensions = of.extrinsic.signed_extensions.into_iter().map(|extension| Extension {
        name: extension.identifier,
        extra: extension.ty.id,
        additional: extension.additional_signed.id,
    });
    let extensions = extensions.collect();
    let (address, signature) = (of.extrinsic.address_ty.id, of.extrinsic.signature_ty.id);
    Ok(Metadata { version: 15, types: of.types, pallets, extensions, apis: read_apis(of.apis), address, signature })
}

/// V15 only adds documentation.
fn as_v14(pallet: v15::PalletMetadata<PortableForm>) -> v14::PalletMetadata<PortableForm> {
    v14::PalletMetadata {
        name: pallet.name,
        storage: pallet.storage,
        calls: pallet.calls,
        event: pallet.event,
        constants: pallet.constants,
        error: pallet.error,
        index: pallet.index,
    }
}

fn read_pallet(pallet: v14::PalletMetadata<PortableForm>, types: &PortableRegistry) -> (String, Pallet) {
    let constants = pallet.constants.into_iter().map(|constant| (constant.name, (constant.ty.id, constant.value)));
    let read = Pallet {
        index: pallet.index,
        calls: pallet.calls.map(|calls| calls.ty.id),
        events: pallet.event.map(|event| event.ty.id),
        errors: pallet.error.map(|error| error.ty.id),
        storage: read_storage(pallet.storage, types),
        constants: constants.collect(),
    };
    (pallet.name, read)
}

fn read_apis(apis: Vec<v15::RuntimeApiMetadata<PortableForm>>) -> BTreeMap<String, Api> {
    let methods = apis.into_iter().flat_map(|api| {
        api.methods.into_iter().map(move |method| {
            let inputs = method.inputs.iter().map(|input| input.ty.id).collect();
            (format!("{}_{}", api.name, method.name), Api { inputs, output: method.output.id })
        })
    });
    methods.collect()
}

fn read_storage(
    storage: Option<v14::PalletStorageMetadata<PortableForm>>,
    types: &PortableRegistry,
) -> BTreeMap<String, Storage> {
    let Some(storage) = storage else { return BTreeMap::new() };
    let prefix = twox128(storage.prefix.as_bytes());
    let entries = storage.entries.into_iter().map(|entry| {
        let mut whole = [0; 32];
        whole[..16].copy_from_slice(&prefix);
        whole[16..].copy_from_slice(&twox128(entry.name.as_bytes()));
        let (hashers, keys, value) = match entry.ty {
            StorageEntryType::Plain(value) => (Vec::new(), Vec::new(), value.id),
            StorageEntryType::Map { hashers, key, value } => {
                let keys = key_parts(types, key.id, hashers.len());
                (hashers, keys, value.id)
            }
        };
        let default = matches!(entry.modifier, StorageEntryModifier::Default).then_some(entry.default);
        let name = entry.name;
        (name.clone(), Storage { name, prefix: whole, hashers, keys, value, default })
    });
    entries.collect()
}

/// With one hasher the key is one value; with more it is a tuple, a part for each.
fn key_parts(types: &PortableRegistry, key: u32, hashers: usize) -> Vec<u32> {
    match types.resolve(key).map(|ty| &ty.type_def) {
        Some(TypeDef::Tuple(tuple)) if hashers > 1 => tuple.fields.iter().map(|field| field.id).collect(),
        _ => vec![key],
    }
}
