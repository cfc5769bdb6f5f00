//! Every name and shape that we use, looked for in a runtime before it is needed.
//!
//! Calls are encoded and answers decoded by the runtime's own types, with values that we make up. What is missing
//! or of another shape is a row of a table that says so: it keeps its own feature from working, and nothing else.

mod needs;

use scale_decode::DecodeAsType;
use scale_value::Value;

use self::needs::{API_NEEDS, Argument, CALL_NEEDS, EVENT_NEEDS, EXTENSION_NEEDS, STORAGE_NEEDS};
use super::{
    Chain, ChainError,
    calls::PALLET,
    extrinsic::Context,
    metadata::{Metadata, ShapeFault},
    read::At,
    rpc::{Call, Rpc},
    runtime::{OwnVersion, Runtime},
    sign::{known_version, slot_ms, value},
};
use crate::machine::contract::chain::{Feature, Preflight, PreflightRow, PreflightState};

/// Which timelocked commitments the chain takes, and its row of the table.
const VERSION_ITEM: &str = "CommitRevealWeightsVersion";
const COMMIT_VERSION: &str = "SubtensorModule.CommitRevealWeightsVersion";

/// What a lookup finds: `None` is a name that is not there.
type Found = Option<Result<(), ShapeFault>>;

impl<R: Rpc> Chain<R> {
    /// The table of the runtime that runs now.
    pub(super) fn preflight(&mut self) -> Result<Preflight, ChainError> {
        let best = self.hash_at(At::Best)?;
        let runtime = self.runtime_at(&best)?;
        let mut table = table(&runtime.metadata, runtime.spec_version);
        let version = table.rows.iter_mut().find(|row| row.state == PreflightState::Good && row.name == COMMIT_VERSION);
        if let Some(row) = version
            && let Some(why) = self.other_version(&runtime, &best)?
        {
            row.state = PreflightState::OtherShape(why);
        }
        Ok(table)
    }

    /// Why timelocked commitments as we make them are not what the chain asks for at present. That is no part of its runtime,
    /// so metadata does not tell.
    fn other_version(&mut self, runtime: &Runtime, at: &[u8; 32]) -> Result<Option<String>, ChainError> {
        let item = runtime.metadata.storage(PALLET, VERSION_ITEM)?;
        let stored = self.one(Call::storage(&item.key(&[])?, Some(at)))?;
        let version = value(&runtime.metadata, PALLET, VERSION_ITEM, &stored);
        match version.and_then(|version| Ok(known_version(version)?)) {
            Ok(()) => Ok(None),
            Err(ChainError::Shape(fault)) => Ok(Some(fault.to_string())),
            Err(error) => Err(error),
        }
    }
}

/// The table of a runtime.
pub fn table(metadata: &Metadata, spec_version: u32) -> Preflight {
    let mut rows = Vec::new();
    rows.extend(CALL_NEEDS.iter().map(|need| {
        row("call", format!("{PALLET}.{}", need.name), need.used_by, call(metadata, need.name, need.arguments))
    }));
    rows.extend(STORAGE_NEEDS.iter().map(|need| {
        let name = format!("{}.{}", need.pallet, need.item);
        row("storage", name, need.used_by, storage(metadata, need))
    }));
    rows.extend(API_NEEDS.iter().map(|need| row("runtime API", need.name.into(), need.used_by, api(metadata, need))));
    rows.extend(
        EVENT_NEEDS
            .iter()
            .map(|need| row("event", format!("System.{}", need.name), need.used_by, event(metadata, need))),
    );
    rows.push(row("constant", "System.Version".into(), &[Feature::Signing], version(metadata)));
    rows.push(row("constant", "Aura.SlotDuration".into(), &[Feature::TimelockedCommit], slot(metadata)));
    rows.extend(extrinsic(metadata));
    rows.extend(extensions(metadata));
    Preflight { spec_version, metadata_version: metadata.version(), rows }
}

fn row(kind: &'static str, name: String, used_by: &'static [Feature], found: Found) -> PreflightRow {
    let state = match found {
        None => PreflightState::Missing,
        Some(Ok(())) => PreflightState::Good,
        Some(Err(fault)) => PreflightState::OtherShape(fault.to_string()),
    };
    PreflightRow { kind, name, used_by, state }
}

/// A value of type `id` with something in each list decodes as a `T`.
pub(super) fn reads<T: DecodeAsType>(metadata: &Metadata, what: &str, id: u32) -> Result<(), ShapeFault> {
    metadata.decode::<T>(what, id, &metadata.filled(what, id)?).map(drop)
}

fn call(metadata: &Metadata, name: &str, arguments: &[(&'static str, Argument)]) -> Found {
    let known = metadata.call_arguments(PALLET, name).ok()?;
    let unknown = known.iter().find(|(name, _)| !arguments.iter().any(|(ours, _)| ours == name));
    if let Some((argument, _)) = unknown {
        return Some(Err(ShapeFault::Other(format!("it has an argument {argument} that we do not know"))));
    }
    let gone = arguments.iter().find(|(ours, _)| !known.iter().any(|(name, _)| name == ours));
    if let Some((argument, _)) = gone {
        return Some(Err(ShapeFault::Other(format!("it has no argument {argument}"))));
    }
    let values = arguments.iter().map(|(name, argument)| (*name, argument.largest())).collect();
    Some(metadata.call(PALLET, name, values).map(drop))
}

fn storage(metadata: &Metadata, need: &needs::StorageNeed) -> Found {
    let item = metadata.storage(need.pallet, need.item).ok()?;
    let key: Vec<Value> = need.key.iter().map(Argument::largest).collect();
    let key = metadata.storage_key(item, &key);
    Some(key.and_then(|_| (need.reads)(metadata, need.item, item.value)))
}

fn api(metadata: &Metadata, need: &needs::ApiNeed) -> Found {
    let output = metadata.api(need.name).ok()?.output;
    let arguments: Vec<Value> = need.arguments.iter().map(Argument::largest).collect();
    let arguments = metadata.api_arguments(need.name, &arguments);
    Some(arguments.and_then(|_| (need.reads)(metadata, need.name, output)))
}

fn event(metadata: &Metadata, need: &needs::EventNeed) -> Found {
    let fields = metadata.event_fields("System", need.name).ok()?;
    let mut gone = need.fields.iter().filter(|wanted| !fields.iter().any(|(name, _)| name == *wanted));
    Some(gone.next().map_or(Ok(()), |gone| Err(ShapeFault::Other(format!("it has no field {gone}")))))
}

fn version(metadata: &Metadata) -> Found {
    metadata.constant("System", "Version").ok()?;
    Some(OwnVersion::of(metadata).map(drop))
}

fn slot(metadata: &Metadata) -> Found {
    metadata.constant("Aura", "SlotDuration").ok()?;
    Some(slot_ms(metadata).map(drop))
}

/// The parts of an extrinsic that are not extensions.
fn extrinsic(metadata: &Metadata) -> [PreflightRow; 3] {
    let used_by = &[Feature::Signing];
    let takes = metadata.extrinsic_versions().contains(&4);
    let address = Value::unnamed_variant("Id", [Value::from_bytes([0xff; 32])]);
    let signature = Value::unnamed_variant("Sr25519", [Value::from_bytes([0xff; 64])]);
    let encodes = |what: &str, id, value| Some(metadata.encode(what, id, &value).map(drop));
    [
        row("extrinsic", "version 4".into(), used_by, takes.then_some(Ok(()))),
        row("extrinsic", "address Id".into(), used_by, encodes("address", metadata.address_type(), address)),
        row(
            "extrinsic",
            "signature Sr25519".into(),
            used_by,
            encodes("signature", metadata.signature_type(), signature),
        ),
    ]
}

/// Each extension that the runtime has, and those that it ought to have.
fn extensions(metadata: &Metadata) -> Vec<PreflightRow> {
    let used_by = &[Feature::Signing];
    let context = Context {
        genesis: [0xff; 32],
        spec_version: u32::MAX,
        transaction_version: u32::MAX,
        era: None,
        birth_hash: [0xff; 32],
        nonce: u64::from(u32::MAX),
    };
    let present = metadata
        .extensions()
        .iter()
        .map(|of| row("extension", of.name.clone(), used_by, Some(context.extension(metadata, of).map(drop))));
    let has = |name: &str| metadata.extensions().iter().any(|of| of.name == name);
    let absent = EXTENSION_NEEDS.iter().filter(|names| !names.iter().any(|name| has(name)));
    let absent = absent.map(|names| row("extension", names.join(" or "), used_by, None));
    present.chain(absent).collect()
}
