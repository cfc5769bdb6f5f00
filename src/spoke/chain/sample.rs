//! Values made up by their type alone: the emptiest one, and one that has something in every list.
//!
//! With them a shape is tried before a node ever answers in it. Types are a stranger's word, so the bytes, the depth
//! and the steps of what is made up are bounded.

use scale_info::{Field, PortableRegistry, TypeDef, Variant, form::PortableForm};

use super::scale::{DEPTH_MAX, ScaleFault, width};

/// No value that we make up is longer, or takes more steps.
const BYTES_MAX: usize = 1 << 16;
const STEPS_MAX: u32 = 1 << 18;

/// The bytes of the emptiest value of type `id`: zeros, empty lists, first variants.
pub fn zero(types: &PortableRegistry, id: u32) -> Result<Vec<u8>, ScaleFault> {
    make(types, id, false)
}

/// The bytes of a value of type `id` with one element in each list and something in each option, as far as the
/// type does not hold itself.
pub fn filled(types: &PortableRegistry, id: u32) -> Result<Vec<u8>, ScaleFault> {
    make(types, id, true)
}

fn make(types: &PortableRegistry, id: u32, fill: bool) -> Result<Vec<u8>, ScaleFault> {
    let mut maker = Maker { types, fill, bytes: Vec::new(), above: Vec::new(), steps_left: STEPS_MAX };
    maker.push(id)?;
    Ok(maker.bytes)
}

struct Maker<'a> {
    types: &'a PortableRegistry,
    fill: bool,
    bytes: Vec<u8>,
    /// The types that the one at hand is in.
    above: Vec<u32>,
    steps_left: u32,
}

impl Maker<'_> {
    fn push(&mut self, id: u32) -> Result<(), ScaleFault> {
        self.steps_left = self.steps_left.checked_sub(1).ok_or(ScaleFault::Work)?;
        if self.above.len() > DEPTH_MAX as usize {
            return Err(ScaleFault::Depth);
        }
        if self.bytes.len() > BYTES_MAX {
            return Err(ScaleFault::Work);
        }
        self.above.push(id);
        self.push_inner(id)?;
        self.above.pop();
        Ok(())
    }

    fn push_inner(&mut self, id: u32) -> Result<(), ScaleFault> {
        let types = self.types;
        let ty = types.resolve(id).ok_or(ScaleFault::NoType(id))?;
        match &ty.type_def {
            TypeDef::Variant(of) => {
                let chosen = self.choose(&of.variants).ok_or_else(|| ScaleFault::Variant(0, ty.path.to_string()))?;
                self.bytes.push(chosen.index);
                self.fields(&chosen.fields)
            }
            TypeDef::Array(array) => (0..array.len).try_for_each(|_| self.push(array.type_param.id)),
            TypeDef::Composite(composite) => self.fields(&composite.fields),
            TypeDef::Tuple(tuple) => tuple.fields.iter().try_for_each(|of| self.push(of.id)),
            TypeDef::Primitive(primitive) => {
                self.bytes.resize(self.bytes.len() + width(primitive).unwrap_or(1), 0);
                Ok(())
            }
            TypeDef::Sequence(sequence) if self.fill && !self.above.contains(&sequence.type_param.id) => {
                // A compact one.
                self.bytes.push(4);
                self.push(sequence.type_param.id)
            }
            TypeDef::Sequence(_) | TypeDef::Compact(_) | TypeDef::BitSequence(_) => {
                self.bytes.push(0);
                Ok(())
            }
        }
    }

    fn fields(&mut self, fields: &[Field<PortableForm>]) -> Result<(), ScaleFault> {
        fields.iter().try_for_each(|field| self.push(field.ty.id))
    }

    /// The first variant; of an option the full one, where it does not hold itself.
    fn choose<'v>(&self, variants: &'v [Variant<PortableForm>]) -> Option<&'v Variant<PortableForm>> {
        let holds_itself = |of: &Variant<PortableForm>| of.fields.iter().any(|field| self.above.contains(&field.ty.id));
        let some = variants.iter().find(|of| self.fill && of.name == "Some" && !holds_itself(of));
        some.or_else(|| variants.iter().min_by_key(|candidate| candidate.index))
    }
}

#[cfg(test)]
mod tests {
    use parity_scale_codec::{Compact, Decode};
    use scale_info::{MetaType, Registry, TypeDef, TypeInfo};

    use super::*;
    use crate::spoke::chain::scale::whole;

    #[derive(Debug, Decode, PartialEq, TypeInfo)]
    enum Tree {
        Leaf,
        Node { children: Vec<Tree>, weight: Compact<u64> },
    }

    fn described<T: TypeInfo + 'static>() -> (u32, PortableRegistry) {
        let mut registry = Registry::new();
        let id = registry.register_type(&MetaType::new::<T>()).id;
        (id, registry.into())
    }

    #[test]
    fn what_is_made_up_is_a_value_of_its_type() {
        let (id, types) = described::<(u16, Vec<Tree>, Option<[u8; 3]>, Compact<u128>, String)>();
        for made in [zero(&types, id).unwrap(), filled(&types, id).unwrap()] {
            assert_eq!(whole(&types, id, &made), Ok(()));
        }
        let (id, types) = described::<Vec<Tree>>();
        let trees = Vec::<Tree>::decode(&mut &*filled(&types, id).unwrap()).unwrap();
        assert_eq!(trees, [Tree::Leaf], "it would hold itself otherwise");
    }

    #[test]
    fn a_filled_value_has_something_in_each_list_and_option() {
        let (id, types) = described::<(Vec<u16>, Option<u8>, Vec<Option<(u8, bool)>>)>();
        let made = filled(&types, id).unwrap();
        let read = <(Vec<u16>, Option<u8>, Vec<Option<(u8, bool)>>)>::decode(&mut &*made).unwrap();
        assert_eq!(read, (vec![0], Some(0), vec![Some((0, false))]));
    }

    #[test]
    fn a_list_of_four_thousand_million_nothings_is_refused() {
        let (id, mut types) = described::<[(); 9]>();
        let TypeDef::Array(array) = &mut types.types[id as usize].ty.type_def else { panic!() };
        array.len = u32::MAX;
        assert_eq!(zero(&types, id), Err(ScaleFault::Work));
    }
}
