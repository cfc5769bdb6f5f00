//! The type registry: values of the runtime's own types, to and from bytes.

use scale_decode::DecodeAsType;
use scale_info::{TypeDef, TypeDefComposite, form::PortableForm};
use scale_value::Value;

use super::{Metadata, ShapeFault, missing, named};
use crate::spoke::chain::{sample, scale};

impl Metadata {
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

    /// The arguments of a runtime API, one after the other.
    pub fn api_arguments(&self, api: &str, arguments: &[Value]) -> Result<Vec<u8>, ShapeFault> {
        let inputs = &self.api(api)?.inputs;
        if inputs.len() != arguments.len() {
            let text = format!("{api} takes {} arguments, we know {}", inputs.len(), arguments.len());
            return Err(ShapeFault::Other(text));
        }
        let encoded = inputs.iter().zip(arguments).map(|(id, argument)| self.encode(api, *id, argument));
        encoded.collect::<Result<Vec<_>, _>>().map(|parts| parts.concat())
    }

    /// The bytes of the emptiest value of type `id`.
    pub fn zero(&self, what: &str, id: u32) -> Result<Vec<u8>, ShapeFault> {
        sample::zero(&self.types, id).map_err(|why| ShapeFault::Bytes { what: what.into(), why })
    }

    /// The bytes of a value of type `id` with something in every list and option.
    pub fn filled(&self, what: &str, id: u32) -> Result<Vec<u8>, ShapeFault> {
        sample::filled(&self.types, id).map_err(|why| ShapeFault::Bytes { what: what.into(), why })
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
        Ok(named(&of.fields))
    }

    /// The element type of a list.
    pub fn element(&self, id: u32) -> Result<u32, ShapeFault> {
        match self.types.resolve(id).map(|ty| &ty.type_def) {
            Some(TypeDef::Sequence(sequence)) => Ok(sequence.type_param.id),
            _ => Err(missing("list of type", &id.to_string())),
        }
    }
}
