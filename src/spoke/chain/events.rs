//! How an extrinsic of a block ended: read from the block's `System.Events`.
//!
//! Only the phase and the name of each event are looked at; of a failure also its error. All else is skipped.

use scale_value::{Composite, Value, ValueDef};

use super::{
    metadata::{Metadata, ShapeFault},
    scale,
};

/// The end of one extrinsic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    /// The error by its name in the metadata.
    Failed(String),
}

/// Events that tell of a call inside another one, which succeeds although the inner call failed.
const WRAPPERS: [(&str, &str); 8] = [
    ("Utility", "ItemFailed"),
    ("Utility", "BatchInterrupted"),
    ("Utility", "DispatchedAs"),
    ("Sudo", "Sudid"),
    ("Sudo", "SudoAsDone"),
    ("Proxy", "ProxyExecuted"),
    ("Multisig", "MultisigExecuted"),
    ("SubtensorModule", "BatchWeightItemFailed"),
];

/// How the extrinsic at `index` of a block ended; `None` when the events do not say. An extrinsic that succeeded
/// around a call that failed has failed.
pub fn outcome(metadata: &Metadata, events: &[u8], index: u32) -> Result<Option<Outcome>, ShapeFault> {
    let record = metadata.element(metadata.storage("System", "Events")?.value)?;
    let success = metadata.event_prefix("System", "ExtrinsicSuccess")?;
    let failure = metadata.event_prefix("System", "ExtrinsicFailed")?;
    let wrappers: Vec<_> = WRAPPERS.iter().filter_map(|(pallet, of)| metadata.event_prefix(pallet, of).ok()).collect();
    let mut rest = events;
    let count = scale::cut_compact(&mut rest).map_err(|why| ShapeFault::Bytes { what: "System.Events".into(), why })?;
    let (mut found, mut inside) = (None, None);
    for _ in 0..count {
        let Some((id, event)) = cut_record(metadata, record, index, &mut rest)? else { continue };
        if event.starts_with(&success) {
            found = Some(Outcome::Succeeded);
        } else if event.starts_with(&failure) {
            let error = failed(metadata, &metadata.value("ExtrinsicFailed", id, event)?);
            found = Some(Outcome::Failed(error.unwrap_or_else(|| "unnamed error".into())));
        } else if inside.is_none() && wrappers.iter().any(|wrapper| event.starts_with(wrapper)) {
            inside = failed(metadata, &metadata.value("event of a wrapper", id, event)?);
        }
    }
    Ok(match (found, inside) {
        (Some(Outcome::Succeeded), Some(error)) => Some(Outcome::Failed(error)),
        (found, _) => found,
    })
}

/// The type and the bytes of the next event, if it belongs to extrinsic `index`.
fn cut_record<'a>(
    metadata: &Metadata,
    record: u32,
    index: u32,
    rest: &mut &'a [u8],
) -> Result<Option<(u32, &'a [u8])>, ShapeFault> {
    let (mut ours, mut event) = (false, None);
    for (name, id) in metadata.fields(record)? {
        let bytes = metadata.cut("System.Events", id, rest)?;
        match name {
            "phase" => ours = is_apply(&metadata.value("phase", id, bytes)?, index),
            "event" => event = Some((id, bytes)),
            _ => {}
        }
    }
    Ok(event.filter(|_| ours))
}

fn is_apply(phase: &Value, index: u32) -> bool {
    let ValueDef::Variant(phase) = &phase.value else { return false };
    let at = phase.values.values().next().and_then(Value::as_u128);
    phase.name == "ApplyExtrinsic" && at == Some(index.into())
}

/// The name of the error in an event such as `System.ExtrinsicFailed { dispatch_error, … }`, wrapped in its pallet's
/// variant; `None` when it tells of a success.
fn failed(metadata: &Metadata, event: &Value) -> Option<String> {
    let ValueDef::Variant(event) = &inner(event)?.value else { return None };
    event.values.values().find_map(|field| error_in(metadata, field))
}

/// The name of a `DispatchError`, or of the one in a `Result`.
fn error_in(metadata: &Metadata, field: &Value) -> Option<String> {
    let ValueDef::Variant(error) = &field.value else { return None };
    match (error.name.as_str(), module_error(&error.values)) {
        ("Ok", _) => None,
        ("Err", _) => error.values.values().find_map(|field| error_in(metadata, field)),
        ("Module", Some((pallet, index))) => Some(metadata.error_name(pallet, index)),
        (name, _) => Some(format!("{name}{}", detail(&error.values))),
    }
}

/// The first value inside a variant.
fn inner(value: &Value) -> Option<&Value> {
    match &value.value {
        ValueDef::Variant(variant) => variant.values.values().next(),
        _ => None,
    }
}

/// e.g. `.ExpectedAsset`, from `Token(ExpectedAsset)`.
fn detail(values: &Composite<()>) -> String {
    let names = values.values().filter_map(|value| match &value.value {
        ValueDef::Variant(variant) => Some(format!(".{}", variant.name)),
        _ => None,
    });
    names.collect()
}

/// `Module { index, error }`, which may be wrapped: the pallet, and the first byte of its error.
fn module_error(values: &Composite<()>) -> Option<(u8, u8)> {
    match values {
        Composite::Named(fields) => {
            let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
            Some((byte(field("index")?)?, byte(field("error")?)?))
        }
        Composite::Unnamed(parts) => match parts.as_slice() {
            [Value { value: ValueDef::Composite(wrapped), .. }] => module_error(wrapped),
            _ => None,
        },
    }
}

/// A byte, or the first of several.
fn byte(value: &Value) -> Option<u8> {
    match &value.value {
        ValueDef::Composite(parts) => byte(parts.values().next()?),
        _ => value.as_u128().and_then(|byte| u8::try_from(byte).ok()),
    }
}
