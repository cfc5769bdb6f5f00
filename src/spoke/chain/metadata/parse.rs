//! Metadata of each version that we read, made one: V14, V15 and V16.

use std::collections::BTreeMap;

use frame_metadata::{
    META_RESERVED, RuntimeMetadata, RuntimeMetadataPrefixed,
    v14::{self, StorageEntryModifier, StorageEntryType},
    v15, v16,
};
use parity_scale_codec::{Decode, Encode};
use scale_info::{PortableRegistry, TypeDef, form::PortableForm};

use super::{Api, Extension, Metadata, Pallet, ShapeFault, Storage, VERSIONS, missing};
use crate::spoke::chain::scale;

/// Extrinsics of version 4 carry the extensions of this version of them.
const EXTENSIONS_OF_V4: u8 = 0;

impl Metadata {
    /// Reads metadata as a node hands it out, prefix included.
    pub fn parse(bytes: &[u8]) -> Result<Metadata, ShapeFault> {
        check_prefix(bytes)?;
        let prefixed =
            RuntimeMetadataPrefixed::decode(&mut &*bytes).map_err(|why| ShapeFault::Metadata(why.to_string()))?;
        let metadata = match prefixed.1 {
            RuntimeMetadata::V14(of) => from_v14(of)?,
            RuntimeMetadata::V15(of) => from_v15(of),
            RuntimeMetadata::V16(of) => from_v16(of)?,
            other => return Err(ShapeFault::Version(other.version())),
        };
        scale::sizes_are_finite(&metadata.types)
            .map_err(|why| ShapeFault::Bytes { what: "type registry".into(), why })?;
        Ok(metadata)
    }
}

/// A version to come is named, rather than called bytes that do not decode.
fn check_prefix(bytes: &[u8]) -> Result<(), ShapeFault> {
    let rest = bytes.strip_prefix(META_RESERVED.encode().as_slice());
    match rest.and_then(|rest| rest.first()) {
        Some(version) if VERSIONS.contains(&u32::from(*version)) => Ok(()),
        Some(version) => Err(ShapeFault::Version(u32::from(*version))),
        None => Err(ShapeFault::Metadata("it does not begin with \"meta\" and a version".into())),
    }
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
    Ok(Metadata {
        version: 14,
        extensions: extensions.collect(),
        extrinsic_versions: vec![of.extrinsic.version],
        types: of.types,
        pallets,
        apis: BTreeMap::new(),
        address,
        signature,
    })
}

fn from_v15(of: v15::RuntimeMetadataV15) -> Metadata {
    let pallets = of.pallets.into_iter().map(|pallet| read_pallet(v15_as_v14(pallet), &of.types)).collect();
    let extensions = of.extrinsic.signed_extensions.into_iter().map(|extension| Extension {
        name: extension.identifier,
        extra: extension.ty.id,
        additional: extension.additional_signed.id,
    });
    Metadata {
        version: 15,
        extensions: extensions.collect(),
        extrinsic_versions: vec![of.extrinsic.version],
        types: of.types,
        pallets,
        apis: read_apis(of.apis),
        address: of.extrinsic.address_ty.id,
        signature: of.extrinsic.signature_ty.id,
    }
}

fn from_v16(of: v16::RuntimeMetadataV16) -> Result<Metadata, ShapeFault> {
    let pallets = of.pallets.into_iter().map(|pallet| read_pallet(v16_as_v14(pallet), &of.types)).collect();
    let extensions = read_v16_extensions(&of.extrinsic)?;
    let apis = of.apis.into_iter().map(v16_api_as_v15).collect();
    Ok(Metadata {
        version: 16,
        extensions,
        extrinsic_versions: of.extrinsic.versions,
        types: of.types,
        pallets,
        apis: read_apis(apis),
        address: of.extrinsic.address_ty.id,
        signature: of.extrinsic.signature_ty.id,
    })
}

/// The extensions that an extrinsic of version 4 carries, in its order.
fn read_v16_extensions(of: &v16::ExtrinsicMetadata<PortableForm>) -> Result<Vec<Extension>, ShapeFault> {
    let places = of.transaction_extensions_by_version.get(&EXTENSIONS_OF_V4);
    let places = places.ok_or_else(|| missing("extensions of", "extrinsic version 4"))?;
    let read = places.iter().map(|place| {
        let known = usize::try_from(place.0).ok().and_then(|place| of.transaction_extensions.get(place));
        let known = known.ok_or_else(|| missing("extension at", &place.0.to_string()))?;
        Ok(Extension { name: known.identifier.clone(), extra: known.ty.id, additional: known.implicit.id })
    });
    read.collect()
}

/// V15 only adds documentation.
fn v15_as_v14(pallet: v15::PalletMetadata<PortableForm>) -> v14::PalletMetadata<PortableForm> {
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

/// V16 adds what is deprecated, view functions and associated types.
fn v16_as_v14(pallet: v16::PalletMetadata<PortableForm>) -> v14::PalletMetadata<PortableForm> {
    let constants = pallet.constants.into_iter().map(|of| v14::PalletConstantMetadata {
        name: of.name,
        ty: of.ty,
        value: of.value,
        docs: of.docs,
    });
    v14::PalletMetadata {
        name: pallet.name,
        storage: pallet.storage.map(v16_storage_as_v14),
        calls: pallet.calls.map(|calls| v14::PalletCallMetadata { ty: calls.ty }),
        event: pallet.event.map(|event| v14::PalletEventMetadata { ty: event.ty }),
        constants: constants.collect(),
        error: pallet.error.map(|error| v14::PalletErrorMetadata { ty: error.ty }),
        index: pallet.index,
    }
}

fn v16_storage_as_v14(storage: v16::PalletStorageMetadata<PortableForm>) -> v14::PalletStorageMetadata<PortableForm> {
    let entries = storage.entries.into_iter().map(|entry| v14::StorageEntryMetadata {
        name: entry.name,
        modifier: entry.modifier,
        ty: entry.ty,
        default: entry.default,
        docs: entry.docs,
    });
    v14::PalletStorageMetadata { prefix: storage.prefix, entries: entries.collect() }
}

fn v16_api_as_v15(api: v16::RuntimeApiMetadata<PortableForm>) -> v15::RuntimeApiMetadata<PortableForm> {
    let methods = api.methods.into_iter().map(|method| v15::RuntimeApiMethodMetadata {
        name: method.name,
        inputs: method
            .inputs
            .into_iter()
            .map(|input| v15::RuntimeApiMethodParamMetadata { name: input.name, ty: input.ty })
            .collect(),
        output: method.output,
        docs: method.docs,
    });
    v15::RuntimeApiMetadata { name: api.name, methods: methods.collect(), docs: api.docs }
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
    let entries = storage.entries.into_iter().map(|entry| {
        let (hashers, keys, value) = match entry.ty {
            StorageEntryType::Plain(value) => (Vec::new(), Vec::new(), value.id),
            StorageEntryType::Map { hashers, key, value } => {
                let keys = key_parts(types, key.id, hashers.len());
                (hashers, keys, value.id)
            }
        };
        let prefix = Storage::prefix_of(&storage.prefix, &entry.name);
        let default = matches!(entry.modifier, StorageEntryModifier::Default).then_some(entry.default);
        let name = entry.name;
        (name.clone(), Storage { name, prefix, hashers, keys, value, default })
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
