//! Calls, events and errors by name: what a runtime's numbers are called, and which bytes a name begins with.

use scale_value::{Value, ValueDef};

use super::{Metadata, ShapeFault, missing, named};

impl Metadata {
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

    /// The arguments of a call, by name, each with its type.
    pub fn call_arguments(&self, pallet: &str, call: &str) -> Result<Vec<(&str, u32)>, ShapeFault> {
        let variant = self.pallet(pallet)?.calls.and_then(|calls| self.variant(calls, call));
        let variant = variant.ok_or_else(|| missing("call", &format!("{pallet}.{call}")))?;
        Ok(named(&variant.fields))
    }

    /// The fields of an event, by name where it has names, each with its type.
    pub fn event_fields(&self, pallet: &str, event: &str) -> Result<Vec<(&str, u32)>, ShapeFault> {
        let variant = self.pallet(pallet)?.events.and_then(|events| self.variant(events, event));
        let variant = variant.ok_or_else(|| missing("event", &format!("{pallet}.{event}")))?;
        Ok(named(&variant.fields))
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
            ValueDef::Variant(call) => {
                let arguments = ValueDef::Composite(call.values);
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
}
