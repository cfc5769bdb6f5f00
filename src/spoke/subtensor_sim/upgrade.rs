//! Runtime upgrades: metadata as it might look after one, made from the metadata before it.
//!
//! Arithmetic on metadata alone; which block runs which runtime is the author's business.

use std::{collections::BTreeSet, fmt, str::FromStr};

use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed, v14, v15};
use parity_scale_codec::{Decode, Encode};
use scale_info::{
    Field, Path, PortableRegistry, PortableType, Type, TypeDef, TypeDefComposite, TypeDefPrimitive, TypeDefTuple,
    form::PortableForm, interner::UntrackedSymbol,
};

use crate::spoke::chain::metadata::ShapeFault;

/// What a new runtime changes, beside its spec version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeKind {
    /// Nothing else.
    Version,
    /// Every pallet, call, event and error has another index.
    Shuffle,
    /// `NetUid` has another name, and another newtype inside.
    Newtype,
    /// A new extension that carries nothing and signs nothing.
    EmptyExtension,
    /// A new extension that carries a number, so that no signature of an older client can be right.
    Extension,
}

impl UpgradeKind {
    const NAMES: [(&'static str, UpgradeKind); 5] = [
        ("version", UpgradeKind::Version),
        ("shuffle", UpgradeKind::Shuffle),
        ("newtype", UpgradeKind::Newtype),
        ("empty-extension", UpgradeKind::EmptyExtension),
        ("extension", UpgradeKind::Extension),
    ];
}

impl fmt::Display for UpgradeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = UpgradeKind::NAMES.iter().find(|(_, kind)| kind == self);
        f.write_str(name.map_or("?", |(name, _)| name))
    }
}

impl FromStr for UpgradeKind {
    type Err = String;

    fn from_str(text: &str) -> Result<UpgradeKind, String> {
        let found = UpgradeKind::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, kind)| *kind).ok_or_else(|| {
            let names: Vec<_> = UpgradeKind::NAMES.iter().map(|(name, _)| *name).collect();
            format!("an upgrade is one of {}, and not {text:?}", names.join(", "))
        })
    }
}

/// The metadata of the runtime that follows the one that `bytes` describe.
pub fn upgraded(bytes: &[u8], kind: UpgradeKind, spec_version: u32) -> Result<Vec<u8>, ShapeFault> {
    let mut prefixed =
        RuntimeMetadataPrefixed::decode(&mut &*bytes).map_err(|why| ShapeFault::Metadata(why.to_string()))?;
    match &mut prefixed.1 {
        RuntimeMetadata::V14(of) => View::of_v14(of).upgrade(kind, spec_version)?,
        RuntimeMetadata::V15(of) => View::of_v15(of).upgrade(kind, spec_version)?,
        other => return Err(ShapeFault::Version(other.version())),
    }
    Ok(prefixed.encode())
}

/// Adds an extension: its name, the type that it carries, and the one that is only signed.
type AddExtension<'a> = Box<dyn FnOnce(&str, TypeId, TypeId) + 'a>;

type TypeId = UntrackedSymbol<std::any::TypeId>;

/// What V14 and V15 have in common, as far as an upgrade changes it.
struct View<'a> {
    types: &'a mut PortableRegistry,
    pallets: Vec<Pallet<'a>>,
    add_extension: AddExtension<'a>,
}

struct Pallet<'a> {
    name: &'a str,
    index: &'a mut u8,
    /// Of its calls, its events and its errors.
    enums: Vec<u32>,
    constants: &'a mut Vec<v14::PalletConstantMetadata<PortableForm>>,
}

/// The types of a pallet's enums; the fields have the same names in both versions.
macro_rules! pallet_view {
    ($pallet:expr) => {{
        let pallet = $pallet;
        let calls = pallet.calls.as_ref().map(|calls| calls.ty.id);
        let events = pallet.event.as_ref().map(|event| event.ty.id);
        let errors = pallet.error.as_ref().map(|error| error.ty.id);
        Pallet {
            name: &pallet.name,
            index: &mut pallet.index,
            enums: [calls, events, errors].into_iter().flatten().collect(),
            constants: &mut pallet.constants,
        }
    }};
}

impl<'a> View<'a> {
    fn of_v14(of: &'a mut v14::RuntimeMetadataV14) -> View<'a> {
        let extensions = &mut of.extrinsic.signed_extensions;
        View {
            types: &mut of.types,
            pallets: of.pallets.iter_mut().map(|pallet| pallet_view!(pallet)).collect(),
            add_extension: Box::new(|name, ty, additional_signed| {
                extensions.push(v14::SignedExtensionMetadata { identifier: name.into(), ty, additional_signed });
            }),
        }
    }

    fn of_v15(of: &'a mut v15::RuntimeMetadataV15) -> View<'a> {
        let extensions = &mut of.extrinsic.signed_extensions;
        View {
            types: &mut of.types,
            pallets: of.pallets.iter_mut().map(|pallet| pallet_view!(pallet)).collect(),
            add_extension: Box::new(|name, ty, additional_signed| {
                extensions.push(v15::SignedExtensionMetadata { identifier: name.into(), ty, additional_signed });
            }),
        }
    }

    fn upgrade(mut self, kind: UpgradeKind, spec_version: u32) -> Result<(), ShapeFault> {
        self.set_spec_version(spec_version)?;
        match kind {
            UpgradeKind::Version => {}
            UpgradeKind::Shuffle => self.shuffle(),
            UpgradeKind::Newtype => self.rename_newtype(),
            UpgradeKind::EmptyExtension => self.extend("SimulatedEmpty", None),
            UpgradeKind::Extension => self.extend("SimulatedDeadline", Some(TypeDefPrimitive::U32)),
        }
        Ok(())
    }

    fn set_spec_version(&mut self, spec_version: u32) -> Result<(), ShapeFault> {
        let missing = || ShapeFault::Missing { kind: "constant", name: "System.Version".into() };
        let system = self.pallets.iter_mut().find(|pallet| pallet.name == "System").ok_or_else(missing)?;
        let version = system.constants.iter_mut().find(|of| of.name == "Version").ok_or_else(missing)?;
        let mut rest = version.value.as_slice();
        // The names, and the version of the author, stand before it.
        <(String, String, u32)>::decode(&mut rest).map_err(|why| ShapeFault::Metadata(why.to_string()))?;
        let place = version.value.len() - rest.len();
        let number = version.value.get_mut(place..place + 4).ok_or_else(missing)?;
        number.copy_from_slice(&spec_version.to_le_bytes());
        Ok(())
    }

    /// Indices go round: each name gets the index of another one.
    fn shuffle(&mut self) {
        let mut indices: Vec<u8> = self.pallets.iter().map(|pallet| *pallet.index).collect();
        indices.rotate_left(1);
        for (pallet, index) in self.pallets.iter_mut().zip(indices) {
            *pallet.index = index;
        }
        let enums: BTreeSet<u32> = self.pallets.iter().flat_map(|pallet| pallet.enums.iter().copied()).collect();
        for id in enums {
            self.rotate_variants(id);
        }
        self.follow_pallets();
    }

    fn rotate_variants(&mut self, id: u32) {
        let Some(TypeDef::Variant(of)) = definition(self.types, id) else { return };
        let mut indices: Vec<u8> = of.variants.iter().map(|variant| variant.index).collect();
        indices.rotate_left(1.min(of.variants.len()));
        for (variant, index) in of.variants.iter_mut().zip(indices) {
            variant.index = index;
        }
    }

    /// The enums of all calls, events and errors number their variants as the pallets are numbered.
    fn follow_pallets(&mut self) {
        for of in &mut self.types.types {
            let is_outer = of
                .ty
                .path
                .segments
                .last()
                .is_some_and(|name| matches!(name.as_str(), "RuntimeCall" | "RuntimeEvent" | "RuntimeError"));
            let TypeDef::Variant(outer) = &mut of.ty.type_def else { continue };
            for variant in outer.variants.iter_mut().filter(|_| is_outer) {
                if let Some(pallet) = self.pallets.iter().find(|pallet| pallet.name == variant.name) {
                    variant.index = *pallet.index;
                }
            }
        }
    }

    fn rename_newtype(&mut self) {
        let is_netuid = |of: &PortableType| of.ty.path.segments.last().is_some_and(|name| name == "NetUid");
        let Some(place) = self.types.types.iter().position(is_netuid) else { return };
        let TypeDef::Composite(newtype) = &self.types.types[place].ty.type_def else { return };
        let inner = self.add("SubnetNumber", TypeDef::Composite(newtype.clone()));
        let of = &mut self.types.types[place].ty;
        of.path = named("SubnetId");
        let field = Field { name: None, ty: inner, type_name: None, docs: Vec::new() };
        of.type_def = TypeDef::Composite(TypeDefComposite { fields: vec![field] });
    }

    /// A new extension: it carries nothing, or a number.
    fn extend(mut self, name: &str, carried: Option<TypeDefPrimitive>) {
        let nothing = self.add("", TypeDef::Tuple(TypeDefTuple::new_portable([])));
        let carried = carried.map_or(nothing, |primitive| self.add("", TypeDef::Primitive(primitive)));
        (self.add_extension)(name, carried, nothing);
    }

    fn add(&mut self, name: &str, type_def: TypeDef<PortableForm>) -> TypeId {
        let id = u32::try_from(self.types.types.len()).unwrap_or(u32::MAX);
        let ty = Type { path: named(name), type_params: Vec::new(), type_def, docs: Vec::new() };
        self.types.types.push(PortableType { id, ty });
        id.into()
    }
}

fn definition(types: &mut PortableRegistry, id: u32) -> Option<&mut TypeDef<PortableForm>> {
    let place = usize::try_from(id).ok()?;
    types.types.get_mut(place).map(|of| &mut of.ty.type_def)
}

fn named(name: &str) -> Path<PortableForm> {
    let segments = ["simulated", name].into_iter().filter(|_| !name.is_empty()).map(str::to_owned);
    Path { segments: segments.collect() }
}

#[cfg(test)]
mod tests {
    use super::{super::runtime::RECORDED_V15, *};
    use crate::spoke::chain::metadata::Metadata;

    fn after(kind: UpgradeKind) -> Metadata {
        Metadata::parse(&upgraded(RECORDED_V15, kind, 426).unwrap()).unwrap()
    }

    #[test]
    fn a_shuffle_moves_every_index_that_we_use_and_no_name() {
        let (before, after) = (Metadata::parse(RECORDED_V15).unwrap(), after(UpgradeKind::Shuffle));
        let success = |of: &Metadata| of.event_prefix("System", "ExtrinsicSuccess").unwrap();
        let [pallet, event] = success(&before);
        let [new_pallet, new_event] = success(&after);
        assert!(pallet != new_pallet && event != new_event);
        let error = |of: &Metadata| of.error_index("SubtensorModule", "SettingWeightsTooFast").unwrap();
        assert!(error(&before).0 != error(&after).0 && error(&before).1 != error(&after).1);
        let remark = || vec![("remark", scale_value::Value::from_bytes("x"))];
        let call = after.call("System", "remark", remark()).unwrap();
        assert_eq!(after.read_call(&call).unwrap().0, "System.remark");
        assert_ne!(before.call("System", "remark", remark()).unwrap(), call);
    }

    #[test]
    fn a_newtype_keeps_its_bytes_under_another_name() {
        let (before, after) = (Metadata::parse(RECORDED_V15).unwrap(), after(UpgradeKind::Newtype));
        let prefix = |of: &Metadata| of.api("SubnetInfoRuntimeApi_get_metagraph").unwrap().inputs[0];
        let encoded = |of: &Metadata| of.encode("netuid", prefix(of), &scale_value::Value::u128(128)).unwrap();
        assert_eq!(encoded(&before), encoded(&after));
        let bytes = upgraded(RECORDED_V15, UpgradeKind::Newtype, 426).unwrap();
        assert!(
            ["SubnetId", "SubnetNumber"].iter().all(|name| bytes.windows(name.len()).any(|of| of == name.as_bytes()))
        );
    }

    #[test]
    fn an_extension_is_added_empty_or_not() {
        for (kind, is_empty) in [(UpgradeKind::EmptyExtension, true), (UpgradeKind::Extension, false)] {
            let after = after(kind);
            let last = after.extensions().last().unwrap();
            assert!(last.name.starts_with("Simulated"), "{}", last.name);
            assert_eq!((after.is_empty(last.extra), after.is_empty(last.additional)), (is_empty, true));
        }
    }

    #[test]
    fn a_kind_is_read_by_its_name() {
        assert_eq!("empty-extension".parse(), Ok(UpgradeKind::EmptyExtension));
        let why = "downgrade".parse::<UpgradeKind>().unwrap_err();
        assert!(why.contains("version, shuffle, newtype, empty-extension, extension"), "{why}");
    }
}
