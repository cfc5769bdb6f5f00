//! Events as the metadata describes them.

use scale_value::Value;

use super::Dispatched;
use crate::{
    spoke::chain::metadata::{Metadata, ShapeFault},
    units::AccountId,
};

/// What a call deposits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    WeightsSet { netuid: u16, uid: u16 },
    AxonServed { netuid: u16, hotkey: AccountId },
}

impl Event {
    fn value(&self) -> Value {
        let event = match self {
            Event::WeightsSet { netuid, uid } => {
                Value::unnamed_variant("WeightsSet", [Value::u128((*netuid).into()), Value::u128((*uid).into())])
            }
            Event::AxonServed { netuid, hotkey } => {
                Value::unnamed_variant("AxonServed", [Value::u128((*netuid).into()), Value::from_bytes(hotkey)])
            }
        };
        Value::unnamed_variant("SubtensorModule", [event])
    }
}

/// The records of one extrinsic: its events and its end.
pub fn records(metadata: &Metadata, index: u32, dispatched: &Dispatched) -> Result<Vec<Value>, ShapeFault> {
    let mut events: Vec<Value> = Vec::new();
    let end = match dispatched {
        Ok(deposited) => {
            events.extend(deposited.iter().map(Event::value));
            Value::named_variant("ExtrinsicSuccess", [("dispatch_info", dispatch_info())])
        }
        Err(error) => {
            let (pallet, error) = metadata.error_index("SubtensorModule", error)?;
            let module = [("index", Value::u128(pallet.into())), ("error", Value::from_bytes([error, 0, 0, 0]))];
            let module = Value::unnamed_variant("Module", [Value::named_composite(module)]);
            Value::named_variant("ExtrinsicFailed", [("dispatch_error", module), ("dispatch_info", dispatch_info())])
        }
    };
    events.push(Value::unnamed_variant("System", [end]));
    Ok(events.into_iter().map(|event| record(index, event)).collect())
}

fn record(index: u32, event: Value) -> Value {
    Value::named_composite([
        ("phase", Value::unnamed_variant("ApplyExtrinsic", [Value::u128(index.into())])),
        ("event", event),
        ("topics", Value::unnamed_composite([])),
    ])
}

/// Weight calls are free, and nothing here measures their weight.
fn dispatch_info() -> Value {
    let weight = Value::named_composite([("ref_time", Value::u128(0)), ("proof_size", Value::u128(0))]);
    Value::named_composite([
        ("weight", weight),
        ("class", Value::unnamed_variant("Normal", [])),
        ("pays_fee", Value::unnamed_variant("No", [])),
    ])
}
