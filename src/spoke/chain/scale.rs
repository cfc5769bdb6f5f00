//! How many bytes a SCALE value takes, by the types that the node itself described.
//!
//! Every answer of a node passes here before anything decodes it: lengths that the bytes cannot hold, nesting
//! without end and types of infinite size are refused, so the decoders behind never allocate or recurse on a
//! stranger's word. Nothing is allocated here.

use parity_scale_codec::{Compact, Decode};
use scale_info::{Field, PortableRegistry, TypeDef, TypeDefPrimitive, form::PortableForm};

/// Values nested deeper than this are refused. Real ones stay under 20.
pub(super) const DEPTH_MAX: u32 = 64;

/// Why bytes are no value of their type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScaleFault {
    #[error("{0} bytes where more are needed")]
    Short(usize),
    #[error("{0} bytes left over")]
    Trailing(usize),
    #[error("a list of {0} in {1} bytes")]
    Length(u32, usize),
    #[error("variant {0} does not exist in {1}")]
    Variant(u8, String),
    #[error("type {0} is not in the registry")]
    NoType(u32),
    #[error("nested deeper than {DEPTH_MAX}")]
    Depth,
    #[error("more parts than the bytes can account for")]
    Work,
    #[error("bit sequences are not read here")]
    Bits,
}

/// The length of the value of type `id` that `bytes` begin with.
pub fn extent(types: &PortableRegistry, id: u32, bytes: &[u8]) -> Result<usize, ScaleFault> {
    let mut walk = Walk { types, rest: bytes, steps_left: bytes.len().saturating_mul(16).saturating_add(10_000) };
    walk.value(id, 0)?;
    Ok(bytes.len() - walk.rest.len())
}

/// `bytes` are one value of type `id`, and nothing else.
pub fn whole(types: &PortableRegistry, id: u32, bytes: &[u8]) -> Result<(), ScaleFault> {
    match bytes.len() - extent(types, id, bytes)? {
        0 => Ok(()),
        left => Err(ScaleFault::Trailing(left)),
    }
}

/// Cuts the value of type `id` off the front of `rest`.
pub fn cut<'a>(types: &PortableRegistry, id: u32, rest: &mut &'a [u8]) -> Result<&'a [u8], ScaleFault> {
    let (value, left) = rest.split_at(extent(types, id, rest)?);
    *rest = left;
    Ok(value)
}

/// Cuts a compact number off the front of `rest`.
pub fn cut_compact(rest: &mut &[u8]) -> Result<u32, ScaleFault> {
    let short = ScaleFault::Short(rest.len());
    Compact::<u32>::decode(rest).map(|length| length.0).map_err(|_| short)
}

/// Whether a value of type `id` never takes a byte.
pub fn is_empty(types: &PortableRegistry, id: u32) -> bool {
    extent(types, id, &[]) == Ok(0)
}

/// Bytes of a primitive; `None` for text.
pub(super) fn width(primitive: &TypeDefPrimitive) -> Option<usize> {
    use TypeDefPrimitive::*;
    Some(match primitive {
        Bool | U8 | I8 => 1,
        U16 | I16 => 2,
        Char | U32 | I32 => 4,
        U64 | I64 => 8,
        U128 | I128 => 16,
        U256 | I256 => 32,
        Str => return None,
    })
}

struct Walk<'a> {
    types: &'a PortableRegistry,
    rest: &'a [u8],
    /// Types without bytes, nested and repeated, could keep us busy for ever.
    steps_left: usize,
}

impl Walk<'_> {
    fn value(&mut self, id: u32, depth: u32) -> Result<(), ScaleFault> {
        if depth > DEPTH_MAX {
            return Err(ScaleFault::Depth);
        }
        self.steps_left = self.steps_left.checked_sub(1).ok_or(ScaleFault::Work)?;
        let types = self.types;
        let ty = types.resolve(id).ok_or(ScaleFault::NoType(id))?;
        match &ty.type_def {
            TypeDef::Composite(composite) => self.fields(&composite.fields, depth),
            TypeDef::Variant(variant) => {
                let index = self.byte()?;
                let chosen = variant.variants.iter().find(|candidate| candidate.index == index);
                let chosen = chosen.ok_or_else(|| ScaleFault::Variant(index, ty.path.to_string()))?;
                self.fields(&chosen.fields, depth)
            }
            TypeDef::Sequence(sequence) => {
                let length = cut_compact(&mut self.rest)?;
                self.repeat(sequence.type_param.id, length, depth)
            }
            TypeDef::Array(array) => self.repeat(array.type_param.id, array.len, depth),
            TypeDef::Tuple(tuple) => tuple.fields.iter().try_for_each(|field| self.value(field.id, depth + 1)),
            TypeDef::Primitive(primitive) => self.primitive(primitive),
            TypeDef::Compact(_) => self.compact(),
            TypeDef::BitSequence(_) => Err(ScaleFault::Bits),
        }
    }

    fn fields(&mut self, fields: &[Field<PortableForm>], depth: u32) -> Result<(), ScaleFault> {
        fields.iter().try_for_each(|field| self.value(field.ty.id, depth + 1))
    }

    /// A list longer than the bytes that are left is refused unread; only elements without bytes could fill it.
    fn repeat(&mut self, id: u32, count: u32, depth: u32) -> Result<(), ScaleFault> {
        if usize::try_from(count).map_or(true, |count| count > self.rest.len()) {
            return Err(ScaleFault::Length(count, self.rest.len()));
        }
        (0..count).try_for_each(|_| self.value(id, depth + 1))
    }

    fn primitive(&mut self, primitive: &TypeDefPrimitive) -> Result<(), ScaleFault> {
        let size = match width(primitive) {
            Some(size) => size,
            None => cut_compact(&mut self.rest)? as usize,
        };
        self.skip(size)
    }

    /// A compact number of any width; of an empty type it takes no byte, which no type in use does.
    fn compact(&mut self) -> Result<(), ScaleFault> {
        let first = *self.rest.first().ok_or(ScaleFault::Short(0))?;
        self.skip(match first & 3 {
            0 => 1,
            1 => 2,
            2 => 4,
            _ => usize::from(first >> 2) + 5,
        })
    }

    fn byte(&mut self) -> Result<u8, ScaleFault> {
        let (first, rest) = self.rest.split_first().ok_or(ScaleFault::Short(0))?;
        self.rest = rest;
        Ok(*first)
    }

    fn skip(&mut self, count: usize) -> Result<(), ScaleFault> {
        self.rest = self.rest.get(count..).ok_or(ScaleFault::Short(self.rest.len()))?;
        Ok(())
    }
}

/// Every type has a finite size: none contains itself other than through a list or an enum, and none nests
/// deeper than values may.
pub fn sizes_are_finite(types: &PortableRegistry) -> Result<(), ScaleFault> {
    let mut depths = vec![None; types.types.len()];
    (0..types.types.len()).try_for_each(|id| inline_depth(types, id as u32, &mut depths, 0).map(drop))
}

/// How deep composites, tuples and arrays nest in one another below `id`.
fn inline_depth(types: &PortableRegistry, id: u32, known: &mut [Option<u32>], above: u32) -> Result<u32, ScaleFault> {
    if above > DEPTH_MAX {
        return Err(ScaleFault::Depth);
    }
    let slot = usize::try_from(id).unwrap_or(usize::MAX);
    if let Some(depth) = known.get(slot).copied().flatten() {
        return Ok(depth);
    }
    let mut deepest = 0;
    for inner in inline_parts(types, id)? {
        deepest = deepest.max(inline_depth(types, inner, known, above + 1)? + 1);
    }
    if deepest > DEPTH_MAX {
        return Err(ScaleFault::Depth);
    }
    if let Some(depth) = known.get_mut(slot) {
        *depth = Some(deepest);
    }
    Ok(deepest)
}

fn inline_parts(types: &PortableRegistry, id: u32) -> Result<Vec<u32>, ScaleFault> {
    let ty = types.resolve(id).ok_or(ScaleFault::NoType(id))?;
    Ok(match &ty.type_def {
        TypeDef::Composite(composite) => composite.fields.iter().map(|field| field.ty.id).collect(),
        TypeDef::Tuple(tuple) => tuple.fields.iter().map(|field| field.id).collect(),
        TypeDef::Array(array) => vec![array.type_param.id],
        TypeDef::Compact(compact) => vec![compact.type_param.id],
        TypeDef::Variant(_) | TypeDef::Sequence(_) | TypeDef::Primitive(_) | TypeDef::BitSequence(_) => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use parity_scale_codec::Encode;
    use scale_info::{MetaType, Registry, TypeInfo};

    use super::*;

    #[derive(Encode, TypeInfo)]
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
    fn a_value_has_the_length_of_its_encoding() {
        let (id, types) = described::<(u16, Vec<Tree>, Option<[u8; 3]>, Compact<u128>, String)>();
        let children = vec![Tree::Leaf, Tree::Node { children: Vec::new(), weight: Compact(1 << 40) }];
        let tree = Tree::Node { children, weight: Compact(9) };
        let mut bytes = (7u16, vec![tree], Some([1u8, 2, 3]), Compact(u128::MAX), "tempo").encode();
        assert_eq!(whole(&types, id, &bytes), Ok(()));
        bytes.push(0);
        assert_eq!(whole(&types, id, &bytes), Err(ScaleFault::Trailing(1)));
        assert!((0..bytes.len() - 1).all(|cut| extent(&types, id, &bytes[..cut]).is_err()));
    }

    #[test]
    fn a_length_that_the_bytes_cannot_hold_is_refused() {
        let (id, types) = described::<Vec<()>>();
        assert_eq!(extent(&types, id, &Compact(u32::MAX).encode()), Err(ScaleFault::Length(u32::MAX, 0)));
    }

    #[test]
    fn endless_nesting_is_refused() {
        let (id, types) = described::<Tree>();
        let bottomless = [1, 4].repeat(1000);
        assert_eq!(extent(&types, id, &bottomless), Err(ScaleFault::Depth));
        assert_eq!(sizes_are_finite(&types), Ok(()));
    }

    #[test]
    fn a_type_that_holds_itself_is_refused() {
        let (_, mut types) = described::<([u8; 4],)>();
        let array = types.types.iter().position(|ty| matches!(ty.ty.type_def, TypeDef::Array(_))).unwrap();
        let TypeDef::Array(own) = &mut types.types[array].ty.type_def else { unreachable!() };
        own.type_param.id = array as u32;
        assert_eq!(sizes_are_finite(&types), Err(ScaleFault::Depth));
    }
}
