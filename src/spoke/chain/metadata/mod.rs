//! What the node says of itself: pallets, calls, storage, errors, runtime APIs and extensions, all by name.
//!
//! Read from metadata V15; from V14, which describes no runtime APIs; from V16 where a node has nothing else.
//! Nothing of the runtime is compiled in: a name or a shape that is not there is a named fault, so that an upgrade
//! of the chain alarms instead of mis-encoding.

mod calls;
mod parse;
mod storage;
mod types;

use std::collections::BTreeMap;

use scale_info::{Field, PortableRegistry, TypeDef, Variant, form::PortableForm};

pub use self::storage::Storage;
use super::scale::ScaleFault;

/// The versions of the format that we read, the best first: V16 says nothing more that we need, and is the
/// youngest, so it is asked for last.
pub const VERSIONS: [u32; 3] = [15, 14, 16];

/// A name or a shape that we rely on and the node does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeFault {
    #[error("metadata does not decode: {0}")]
    Metadata(String),
    #[error("metadata version {0}, known are 14, 15 and 16")]
    Version(u32),
    #[error("the node offers metadata of the versions {0:?}, known are 14, 15 and 16")]
    Versions(Vec<u32>),
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
    /// Of the extrinsic format, e.g. 4.
    extrinsic_versions: Vec<u8>,
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

impl Metadata {
    /// 14, 15 or 16.
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

    /// The versions of the extrinsic format that the runtime takes.
    pub fn extrinsic_versions(&self) -> &[u8] {
        &self.extrinsic_versions
    }

    pub fn address_type(&self) -> u32 {
        self.address
    }

    pub fn signature_type(&self) -> u32 {
        self.signature
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

    fn pallet(&self, name: &str) -> Result<&Pallet, ShapeFault> {
        self.pallets.get(name).ok_or_else(|| missing("pallet", name))
    }

    fn pallet_at(&self, index: u8) -> Option<(&String, &Pallet)> {
        self.pallets.iter().find(|(_, pallet)| pallet.index == index)
    }

    fn variant(&self, id: u32, name: &str) -> Option<&Variant<PortableForm>> {
        let TypeDef::Variant(variants) = &self.types.resolve(id)?.type_def else { return None };
        variants.variants.iter().find(|variant| variant.name == name)
    }

    fn variant_index(&self, id: u32, name: &str) -> Option<u8> {
        self.variant(id, name).map(|variant| variant.index)
    }

    fn variant_name(&self, id: u32, index: u8) -> Option<&str> {
        let TypeDef::Variant(variants) = &self.types.resolve(id)?.type_def else { return None };
        variants.variants.iter().find(|variant| variant.index == index).map(|variant| variant.name.as_str())
    }
}

fn missing(kind: &'static str, name: &str) -> ShapeFault {
    ShapeFault::Missing { kind, name: name.into() }
}

/// Fields by name, each with its type; a field without a name is called nothing.
fn named(fields: &[Field<PortableForm>]) -> Vec<(&str, u32)> {
    fields.iter().map(|field| (field.name.as_deref().unwrap_or_default(), field.ty.id)).collect()
}
