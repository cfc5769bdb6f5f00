//! Events as the metadata describes them.

use scale_value::Value;

use super::Dispatched;
use crate::{
    spoke::chain::metadata::{Metadata, ShapeFault},
    units::AccountId,
};

/// What happened, by the names of the metadata, its fields in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pallet: &'static str,
    name: &'static str,
    fields: Vec<Value>,
}

impl Event {
    /// An event of `System` without fields.
    pub fn system(name: &'static str) -> Event {
        Event { pallet: "System", name, fields: Vec::new() }
    }

    pub fn weights_set(index: u16, uid: u16) -> Event {
        Event::subtensor("WeightsSet", [number(index), number(uid)])
    }

    pub fn axon_served(netuid: u16, hotkey: &AccountId) -> Event {
        Event::subtensor("AxonServed", [number(netuid), Value::from_bytes(hotkey)])
    }

    pub fn weights_committed(hotkey: &AccountId, index: u16, hash: &[u8; 32]) -> Event {
        Event::subtensor("WeightsCommitted", [Value::from_bytes(hotkey), number(index), Value::from_bytes(hash)])
    }

    pub fn weights_revealed(hotkey: &AccountId, index: u16, hash: &[u8; 32]) -> Event {
        Event::subtensor("WeightsRevealed", [Value::from_bytes(hotkey), number(index), Value::from_bytes(hash)])
    }

    pub fn timelocked_committed(hotkey: &AccountId, index: u16, hash: &[u8; 32], round: u64) -> Event {
        let fields = [Value::from_bytes(hotkey), number(index), Value::from_bytes(hash), number(round)];
        Event::subtensor("TimelockedWeightsCommitted", fields)
    }

    pub fn timelocked_revealed(index: u16, hotkey: &AccountId) -> Event {
        Event::subtensor("TimelockedWeightsRevealed", [number(index), Value::from_bytes(hotkey)])
    }

    pub fn neuron_registered(netuid: u16, uid: u16, hotkey: &AccountId) -> Event {
        Event::subtensor("NeuronRegistered", [number(netuid), number(uid), Value::from_bytes(hotkey)])
    }

    pub fn new_pulses(rounds: &[u64]) -> Event {
        let rounds = Value::unnamed_composite(rounds.iter().map(|round| number(*round)));
        Event { pallet: "Drand", name: "NewPulse", fields: vec![rounds] }
    }

    fn subtensor<const N: usize>(name: &'static str, fields: [Value; N]) -> Event {
        Event { pallet: "SubtensorModule", name, fields: fields.into() }
    }

    fn value(&self) -> Value {
        let event = Value::unnamed_variant(self.name, self.fields.clone());
        Value::unnamed_variant(self.pallet, [event])
    }
}

fn number(of: impl Into<u128>) -> Value {
    Value::u128(of.into())
}

/// The records of what the chain does by itself when a block begins.
pub fn initialization(events: &[Event]) -> Vec<Value> {
    events.iter().map(|event| record(Value::unnamed_variant("Initialization", []), event.value())).collect()
}

/// The records of one extrinsic: its events, what its signer paid (an inherent has none), and its end.
pub fn records(
    metadata: &Metadata,
    index: u32,
    signer: Option<&AccountId>,
    dispatched: &Dispatched,
) -> Result<Vec<Value>, ShapeFault> {
    let dispatch_info = || dispatch_info(signer.is_some());
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
    events.extend(signer.map(fee_paid));
    events.push(Value::unnamed_variant("System", [end]));
    let phase = || Value::unnamed_variant("ApplyExtrinsic", [number(index)]);
    Ok(events.into_iter().map(|event| record(phase(), event)).collect())
}

fn record(phase: Value, event: Value) -> Value {
    Value::named_composite([("phase", phase), ("event", event), ("topics", Value::unnamed_composite([]))])
}

/// Every call is free here, and a node says so each time.
fn fee_paid(who: &AccountId) -> Value {
    let paid = [("who", Value::from_bytes(who)), ("actual_fee", number(0u8)), ("tip", number(0u8))];
    Value::unnamed_variant("TransactionPayment", [Value::named_variant("TransactionFeePaid", paid)])
}

/// Nothing here measures the weight of a call.
fn dispatch_info(is_signed: bool) -> Value {
    let (class, pays_fee) = if is_signed { ("Normal", "No") } else { ("Mandatory", "Yes") };
    let weight = Value::named_composite([("ref_time", Value::u128(0)), ("proof_size", Value::u128(0))]);
    Value::named_composite([
        ("weight", weight),
        ("class", Value::unnamed_variant(class, [])),
        ("pays_fee", Value::unnamed_variant(pays_fee, [])),
    ])
}
