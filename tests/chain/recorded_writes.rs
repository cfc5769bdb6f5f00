//! What we write against what a real chain took, refused and opened.

use byteleap::{
    machine::contract::chain::{ChainCall, WeightVector},
    spoke::chain::{
        calls::{self, PALLET},
        events::{Outcome, outcome},
        extrinsic::{Parsed, Signed, parse},
        metadata::Metadata,
        timelock::{self, Beacon, Payload},
    },
    units::{Hotkey, Netuid, Uid},
};
use parity_scale_codec::{Decode, Encode};
use scale_decode::DecodeAsType;
use scale_value::{At, Value, ValueDef};

use crate::recordings::{V14, V15, blocks, metadata};

/// A round of quicknet that recorded commitments were made for, and its published pulse.
const ROUND: u64 = 30_668_812;
const PULSE: &str = "b7e15d214002905b548474719ec134e1de7935c35b8b12028ced184c233a01555c1b163f8d2cab92cd69b205cd9c1e07";

/// Where a call with a mechanism has it: after the pallet, the call and the subnet.
const MECHANISM_AT: usize = 4;

/// A recorded call of the chain's pallet.
struct Recorded {
    block: u64,
    signer: [u8; 32],
    name: String,
    arguments: Value,
    bytes: Vec<u8>,
    succeeded: bool,
}

impl Recorded {
    fn number(&self, field: &str) -> u64 {
        self.arguments.at(field).and_then(Value::as_u128).unwrap().try_into().unwrap()
    }

    fn list(&self, field: &str) -> Vec<u16> {
        let numbers: Vec<u128> = flat(self.arguments.at(field).unwrap());
        numbers.into_iter().map(|number| number.try_into().unwrap()).collect()
    }

    fn bytes(&self, field: &str) -> Vec<u8> {
        self.list(field).into_iter().map(|byte| byte.try_into().unwrap()).collect()
    }

    fn vector(&self, uids: &str, values: &str) -> WeightVector {
        WeightVector {
            netuid: Netuid(self.number("netuid") as u16),
            mechanism: self.mechanism(),
            weights: self.list(uids).into_iter().map(Uid).zip(self.list(values)).collect(),
            version_key: self.number("version_key"),
        }
    }

    /// Recorded calls of a mechanism name the first one, for which we make the calls without; so these are made for
    /// the second one.
    fn mechanism(&self) -> u8 {
        u8::from(self.name.contains("mechanism"))
    }

    /// Ours for the same inputs; `None` for a call that we do not make.
    fn ours(&self) -> Option<calls::Named> {
        let netuid = || Netuid(self.number("netuid") as u16);
        let call = match self.name.as_str() {
            "set_weights" | "set_mechanism_weights" => ChainCall::SetWeights(self.vector("dests", "weights")),
            "reveal_weights" => {
                ChainCall::RevealWeights { weights: self.vector("uids", "values"), salt: self.list("salt") }
            }
            "serve_axon" if self.number("ip_type") == 4 && self.number("protocol") == 4 => ChainCall::ServeAxon {
                netuid: netuid(),
                ip: std::net::Ipv4Addr::from(self.number("ip") as u32).into(),
                port: self.number("port") as u16,
                version: self.number("version") as u32,
            },
            "burned_register" => {
                let hotkey: [u8; 32] = self.bytes("hotkey").try_into().unwrap();
                ChainCall::BurnedRegister { netuid: netuid(), hotkey: Hotkey::from_account(&hotkey) }
            }
            "commit_timelocked_weights" | "commit_timelocked_mechanism_weights" => {
                let mechanism = self.mechanism();
                let of = WeightVector { netuid: netuid(), mechanism, weights: Vec::new(), version_key: 0 };
                (self.number("commit_reveal_version") == u64::from(timelock::VERSION)).then_some(())?;
                return Some(calls::commit_timelocked(&of, &self.bytes("commit"), self.number("reveal_round")));
            }
            _ => return None,
        };
        calls::plain(&call, &self.signer).unwrap()
    }
}

fn flat(value: &Value) -> Vec<u128> {
    match &value.value {
        ValueDef::Composite(parts) => parts.values().flat_map(flat).collect(),
        _ => value.as_u128().into_iter().collect(),
    }
}

fn recorded(metadata: &Metadata) -> Vec<Recorded> {
    let mut found = Vec::new();
    for block in blocks().blocks {
        for (index, bytes) in block.extrinsics().iter().enumerate() {
            let Parsed::Signed(Signed { signer, call, .. }) = parse(metadata, bytes).unwrap() else { continue };
            let (name, arguments) = metadata.read_call(call).unwrap();
            let Some((PALLET, name)) = name.split_once('.') else { continue };
            let ended = outcome(metadata, &block.events(), index as u32).unwrap();
            let (block, name, bytes) = (block.number, name.to_owned(), call.to_vec());
            found.push(Recorded {
                block,
                signer,
                name,
                arguments,
                bytes,
                succeeded: ended == Some(Outcome::Succeeded),
            });
        }
    }
    found
}

#[test]
fn every_kind_of_recorded_call_is_made_byte_for_byte() {
    for path in [V15, V14] {
        let metadata = metadata(path);
        let mut kinds = std::collections::BTreeMap::<String, usize>::new();
        for call in recorded(&metadata) {
            let Some((name, arguments)) = call.ours() else { continue };
            let mut made = metadata.call(PALLET, name, arguments).unwrap();
            if call.mechanism() > 0 {
                let mechanism = made.get_mut(MECHANISM_AT).unwrap();
                assert_eq!(std::mem::replace(mechanism, call.number("mecid") as u8), 1);
            }
            assert_eq!(hex::encode(made), hex::encode(&call.bytes), "block {} {}", call.block, call.name);
            *kinds.entry(call.name).or_default() += 1;
        }
        let kinds: Vec<_> = kinds.into_iter().collect();
        let expected = [
            ("burned_register", 2),
            ("commit_timelocked_mechanism_weights", 1),
            ("commit_timelocked_weights", 11),
            ("reveal_weights", 2),
            ("serve_axon", 3),
            ("set_mechanism_weights", 2),
            ("set_weights", 6),
        ];
        assert_eq!(kinds, expected.map(|(name, count)| (name.to_owned(), count)));
    }
}

#[test]
fn the_hash_of_what_was_revealed_is_what_was_committed() {
    let metadata = metadata(V15);
    let all = recorded(&metadata);
    let committed: Vec<_> = all.iter().filter(|call| call.name == "commit_weights").collect();
    let revealed: Vec<_> = all.iter().filter(|call| call.name == "reveal_weights" && call.succeeded).collect();
    assert!(!revealed.is_empty());
    for reveal in revealed {
        let hash = calls::commit_hash(&reveal.signer, &reveal.vector("uids", "values"), &reveal.list("salt"));
        let commit = committed.iter().find(|commit| commit.bytes("commit_hash") == hash);
        let commit = commit.unwrap_or_else(|| panic!("block {}: no such hash", reveal.block));
        assert!(commit.block < reveal.block);
        let arguments = commit.ours();
        assert!(arguments.is_none(), "made from weights, not from a hash");
    }
}

#[test]
fn commitments_that_a_real_chain_took_open_with_the_pulse_of_their_round() {
    let metadata = metadata(V15);
    let pulse = hex::decode(PULSE).unwrap();
    let (mut opened, mut closed) = (0, 0);
    for call in recorded(&metadata).iter().filter(|call| call.name.starts_with("commit_timelocked")) {
        let commit = call.bytes("commit");
        match timelock::open(&commit, &pulse) {
            Ok(bytes) => {
                assert_eq!(call.number("reveal_round"), ROUND);
                // The chain takes, and drops, commitments that hold no weights; some were tried.
                let Ok(payload) = Payload::decode(&mut &*bytes) else { continue };
                if payload.hotkey == call.signer {
                    assert_eq!(payload.encode(), bytes, "block {}", call.block);
                    opened += 1;
                }
            }
            Err(_) => closed += 1,
        }
    }
    assert!(opened >= 3, "{opened} opened, {closed} did not");
}

#[test]
fn what_we_seal_to_quicknet_opens_with_its_pulse() {
    let payload = Payload::new(&[3; 32], &[(Uid(2), 65535)], 9_010_000).encode();
    let commit = timelock::seal(&payload, ROUND, &Beacon::quicknet().public_key, [5; 32]).unwrap();
    assert_eq!(timelock::open(&commit, &hex::decode(PULSE).unwrap()), Ok(payload));
}

#[test]
fn a_chain_without_a_beacon_of_its_own_follows_quicknet() {
    #[derive(DecodeAsType)]
    struct Config {
        public_key: Vec<u8>,
        period: u32,
        genesis_time: u32,
    }
    let metadata = metadata(V15);
    let item = metadata.storage("Drand", "BeaconConfig").unwrap();
    let config: Config = metadata.decode("beacon", item.value, item.default.as_ref().unwrap()).unwrap();
    let beacon = Beacon { public_key: config.public_key, period_s: config.period, genesis_s: config.genesis_time };
    assert_eq!(beacon, Beacon::quicknet());
}

/// `System.Events` of one extrinsic: its success, and one event before that.
fn events_of_success_after(metadata: &Metadata, pallet: &str, event: Value) -> Vec<u8> {
    let phase = || Value::unnamed_variant("ApplyExtrinsic", [Value::u128(0)]);
    let weight = || Value::named_composite([("ref_time", Value::u128(0)), ("proof_size", Value::u128(0))]);
    let info = Value::named_composite([
        ("weight", weight()),
        ("class", Value::unnamed_variant("Normal", [])),
        ("pays_fee", Value::unnamed_variant("No", [])),
    ]);
    let success = Value::named_variant("ExtrinsicSuccess", [("dispatch_info", info)]);
    let record = |pallet: &str, event: Value| {
        let event = Value::unnamed_variant(pallet, [event]);
        Value::named_composite([("phase", phase()), ("event", event), ("topics", Value::unnamed_composite([]))])
    };
    let records = Value::unnamed_composite([record(pallet, event), record("System", success)]);
    metadata.encode("events", metadata.storage("System", "Events").unwrap().value, &records).unwrap()
}

#[test]
fn a_call_inside_another_that_fails_has_failed() {
    let metadata = metadata(V15);
    let (pallet, error) = metadata.error_index("SubtensorModule", "NeuronNoValidatorPermit").unwrap();
    let module = || {
        let bytes = Value::from_bytes([error, 0, 0, 0]);
        let fields = Value::named_composite([("index", Value::u128(pallet.into())), ("error", bytes)]);
        Value::unnamed_variant("Module", [fields])
    };
    let err = || Value::unnamed_variant("Err", [module()]);
    let cases = [
        ("Utility", Value::named_variant("ItemFailed", [("error", module())])),
        ("Utility", Value::named_variant("BatchInterrupted", [("index", Value::u128(1)), ("error", module())])),
        ("Sudo", Value::named_variant("Sudid", [("sudo_result", err())])),
        ("Proxy", Value::named_variant("ProxyExecuted", [("result", err())])),
    ];
    for (pallet, event) in cases {
        let bytes = events_of_success_after(&metadata, pallet, event);
        let failed = Outcome::Failed("SubtensorModule.NeuronNoValidatorPermit".into());
        assert_eq!(outcome(&metadata, &bytes, 0).unwrap(), Some(failed), "{pallet}");
    }
    let nothing = Value::unnamed_variant("Ok", [Value::unnamed_composite([])]);
    let went_well = Value::named_variant("Sudid", [("sudo_result", nothing)]);
    let bytes = events_of_success_after(&metadata, "Sudo", went_well);
    assert_eq!(outcome(&metadata, &bytes, 0).unwrap(), Some(Outcome::Succeeded));
    let bad_origin = Value::unnamed_variant("Err", [Value::unnamed_variant("BadOrigin", [])]);
    let bytes =
        events_of_success_after(&metadata, "Sudo", Value::named_variant("Sudid", [("sudo_result", bad_origin)]));
    assert_eq!(outcome(&metadata, &bytes, 0).unwrap(), Some(Outcome::Failed("BadOrigin".into())));
}
