//! All events of a block, by the names that the block's runtime gives them.
//!
//! For people and for tests; how an extrinsic of ours ended is read in `events`, with less work.

use scale_value::{Composite, Value, ValueDef};

use super::{
    metadata::{Metadata, ShapeFault},
    scale,
};

/// What happened in a block.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub phase: Phase,
    /// e.g. `SubtensorModule`.
    pub pallet: String,
    /// e.g. `WeightsSet`.
    pub name: String,
    pub fields: Composite<()>,
}

/// What caused an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The extrinsic with that index in the block.
    Extrinsic(u32),
    /// The block itself, before, between or after its extrinsics.
    Block,
}

impl Event {
    /// e.g. `SubtensorModule.WeightsSet`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.pallet, self.name)
    }

    pub fn field(&self, wanted: &str) -> Option<&Value> {
        match &self.fields {
            Composite::Named(fields) => fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value),
            Composite::Unnamed(_) => None,
        }
    }
}

/// Reads the whole of a block's `System.Events`, with the runtime that executed the block: that of its parent's state.
pub fn events(metadata: &Metadata, bytes: &[u8]) -> Result<Vec<Event>, ShapeFault> {
    const WHAT: &str = "System.Events";
    let fault = |why| ShapeFault::Bytes { what: WHAT.into(), why };
    let record = metadata.element(metadata.storage("System", "Events")?.value)?;
    let mut rest = bytes;
    let count = scale::cut_compact(&mut rest).map_err(fault)?;
    let mut events = Vec::new();
    for _ in 0..count {
        let bytes = metadata.cut(WHAT, record, &mut rest)?;
        let record = metadata.value(WHAT, record, bytes)?;
        events.push(event(record).ok_or_else(|| ShapeFault::Other(format!("{WHAT}: a record without its event")))?);
    }
    match rest.len() {
        0 => Ok(events),
        left => Err(fault(scale::ScaleFault::Trailing(left))),
    }
}

/// `{ phase, event: Pallet(Name { … }), … }`.
fn event(record: Value) -> Option<Event> {
    let ValueDef::Composite(Composite::Named(fields)) = record.value else { return None };
    let mut fields: std::collections::BTreeMap<_, _> = fields.into_iter().collect();
    let ValueDef::Variant(phase) = fields.remove("phase")?.value else { return None };
    let ValueDef::Variant(pallet) = fields.remove("event")?.value else { return None };
    let ValueDef::Variant(event) = pallet.values.into_values().next()?.value else { return None };
    let index = phase.values.values().next().and_then(Value::as_u128).and_then(|index| u32::try_from(index).ok());
    let phase = match index {
        Some(index) if phase.name == "ApplyExtrinsic" => Phase::Extrinsic(index),
        _ => Phase::Block,
    };
    Some(Event { phase, pallet: pallet.name, name: event.name, fields: event.values })
}
