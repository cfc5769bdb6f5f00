//! Every recorded block, whole: its extrinsics to the byte, its events by name, and what the runtime APIs answered.

use byteleap::spoke::chain::{
    block::{Phase, events},
    extrinsic::{Parsed, Signed, parse},
    hyperparameters::{self, Setting, V2_API, V3_API},
    metadata::Metadata,
    metagraph,
};
use parity_scale_codec::{Compact, Encode};
use scale_value::{Composite, Value, ValueDef};

use crate::recordings::{V14, V15, blocks, metadata, read, state_call};

/// The call of those bytes, decoded to values by name and encoded again.
fn call_again(metadata: &Metadata, bytes: &[u8]) -> Vec<u8> {
    let (name, arguments) = metadata.read_call(bytes).unwrap();
    let (pallet, call) = name.split_once('.').unwrap();
    let ValueDef::Composite(Composite::Named(arguments)) = &arguments.value else {
        return metadata.call(pallet, call, Vec::new()).unwrap();
    };
    let arguments = arguments.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    metadata.call(pallet, call, arguments).unwrap()
}

/// A signed extrinsic made again from what it was decoded to.
fn signed_again(metadata: &Metadata, bytes: &[u8], signed: &Signed) -> Vec<u8> {
    let address = Value::unnamed_variant("Id", [Value::from_bytes(signed.signer)]);
    let signature = Value::unnamed_variant("Sr25519", [Value::from_bytes(signed.signature)]);
    let mut body = vec![0x84];
    body.extend(metadata.encode("address", metadata.address_type(), &address).unwrap());
    body.extend(metadata.encode("signature", metadata.signature_type(), &signature).unwrap());
    let length_bytes = bytes.len() - Compact(bytes.len() as u32).encoded_size();
    let mut rest = &bytes[bytes.len() - length_bytes..][body.len()..];
    for of in metadata.extensions() {
        let carried = metadata.cut(&of.name, of.extra, &mut rest).unwrap();
        let value = metadata.value(&of.name, of.extra, carried).unwrap();
        body.extend(metadata.encode(&of.name, of.extra, &value).unwrap());
    }
    body.extend(call_again(metadata, signed.call));
    [Compact(body.len() as u32).encode(), body].concat()
}

#[test]
fn every_extrinsic_of_every_block_decodes_and_encodes_to_the_same_bytes() {
    for path in [V15, V14] {
        let metadata = metadata(path);
        let (mut signed, mut bare) = (0, 0);
        for block in blocks().blocks {
            for bytes in block.extrinsics() {
                let again = match parse(&metadata, &bytes).unwrap() {
                    Parsed::Signed(of) => {
                        signed += 1;
                        signed_again(&metadata, &bytes, &of)
                    }
                    Parsed::Bare { call } => {
                        bare += 1;
                        let before = &bytes[..bytes.len() - call.len()];
                        [before, &call_again(&metadata, call)].concat()
                    }
                };
                assert_eq!(hex::encode(again), hex::encode(&bytes), "block {}", block.number);
            }
        }
        assert!(signed >= 30 && bare >= 40, "{signed} signed, {bare} bare");
    }
}

#[test]
fn every_event_of_every_block_decodes_by_name() {
    for path in [V15, V14] {
        let metadata = metadata(path);
        let mut names = std::collections::BTreeMap::new();
        for block in blocks().blocks {
            let events = events(&metadata, &block.events()).unwrap();
            let ends = |index| {
                let of_it = events.iter().filter(|event| event.phase == Phase::Extrinsic(index));
                of_it.filter(|event| event.pallet == "System" && event.name.starts_with("Extrinsic")).count()
            };
            assert!((0..block.extrinsics.len() as u32).all(|index| ends(index) == 1), "block {}", block.number);
            events.iter().for_each(|event| *names.entry(event.full_name()).or_insert(0) += 1);
            let failed = events.iter().find(|event| event.name == "ExtrinsicFailed");
            assert!(failed.is_none_or(|event| event.field("dispatch_error").is_some()));
        }
        for name in ["System.ExtrinsicSuccess", "SubtensorModule.AxonServed", "SubtensorModule.WeightsSet"] {
            assert!(names.contains_key(name), "{name} is not in {names:?}");
        }
    }
}

#[test]
fn events_cut_short_or_followed_by_more_are_refused() {
    let metadata = metadata(V15);
    let block = blocks().blocks.pop().unwrap().events();
    assert!((0..block.len()).all(|length| events(&metadata, &block[..length]).is_err()));
    let more = [&block[..], &[0]].concat();
    assert!(events(&metadata, &more).unwrap_err().to_string().contains("1 bytes left over"));
}

#[test]
fn every_recorded_answer_of_a_runtime_api_decodes_whole() {
    let metadata = metadata(V15);
    let all: serde_json::Value = serde_json::from_slice(&read("tests/data/chain/state_calls_spec425.json")).unwrap();
    let calls = all["calls"].as_object().unwrap();
    for api in calls.keys() {
        let answer = state_call(api);
        let output = metadata.api(api).unwrap().output;
        let value = metadata.value(api, output, &answer).unwrap();
        assert_eq!(hex::encode(metadata.encode(api, output, &value).unwrap()), hex::encode(&answer), "{api}");
        let cut = &answer[..answer.len() - 1];
        assert!(metadata.value(api, output, cut).is_err(), "{api} without its last byte");
    }
    assert!(calls.len() >= 13, "{} calls", calls.len());
}

/// Whatever a node answers is read or refused.
#[test]
fn changed_answers_and_events_are_never_fatal() {
    use rand_core::{RngCore, SeedableRng};
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(15);
    let metadata = metadata(V15);
    let apis = [metagraph::API, metagraph::SELECTIVE_API, V2_API, V3_API];
    let answers: Vec<Vec<u8>> = apis.iter().map(|api| state_call(api)).collect();
    let happened = blocks().blocks.pop().unwrap().events();
    let (mut read, mut refused) = (0, 0);
    for round in 0..400 {
        let mut change = |whole: &[u8]| {
            let mut bytes = whole.to_vec();
            let at = rng.next_u64() as usize % bytes.len();
            if round % 4 == 0 {
                bytes.truncate(at)
            } else {
                bytes[at] = rng.next_u32() as u8
            }
            bytes
        };
        let graphs = [
            metagraph::decode(&metadata, &change(&answers[0])).is_ok(),
            metagraph::decode_selective(&metadata, &change(&answers[1])).is_ok(),
            hyperparameters::decode(&metadata, V2_API, &change(&answers[2])).is_ok(),
            hyperparameters::decode(&metadata, V3_API, &change(&answers[3])).is_ok(),
            events(&metadata, &change(&happened)).is_ok(),
        ];
        read += graphs.iter().filter(|is_read| **is_read).count();
        refused += graphs.iter().filter(|is_read| !**is_read).count();
    }
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
}

#[test]
fn hyperparameters_have_the_same_values_as_a_struct_and_as_pairs() {
    let metadata = metadata(V15);
    let of = |api| hyperparameters::decode(&metadata, api, &state_call(api)).unwrap().unwrap();
    let (fields, pairs) = (of(V2_API), of(V3_API));
    let value = |of: &[(String, Setting)], wanted: &str| {
        of.iter().find(|(name, _)| name == wanted).map(|(_, setting)| setting.clone())
    };
    for name in ["tempo", "min_allowed_weights", "weights_rate_limit", "commit_reveal_weights_enabled"] {
        assert!(value(&fields, name).is_some(), "{name} in {fields:?}");
        assert_eq!(value(&fields, name), value(&pairs, name), "{name}");
    }
    assert!(matches!(value(&pairs, "min_burn"), Some(Setting::Balance(_))), "{pairs:?}");
    let unknown = pairs.iter().filter(|(_, setting)| matches!(setting, Setting::Text(_)));
    assert_eq!(unknown.count(), 0, "{pairs:?}");
}

/// The recording asked for other fields than we do: those are there, ours are not, and that is said.
#[test]
fn a_part_of_the_metagraph_holds_what_was_asked_for_at_the_places_that_we_reckon() {
    let metadata = metadata(V15);
    let answer = state_call(metagraph::SELECTIVE_API);
    let output = metadata.api(metagraph::SELECTIVE_API).unwrap().output;
    let fields = metadata.fields(metadata.some_type(output).unwrap()).unwrap();
    let asked = [0, 7, 52, 53, 55, 57, 59, 66, 69, 46];
    let mut rest = &answer[1..];
    for (place, (name, id)) in fields.iter().enumerate() {
        let bytes = metadata.cut(name, *id, &mut rest).unwrap();
        assert!(place == 0 || (bytes[0] == 1) == asked.contains(&place), "{name} at {place}");
    }
    let fault = metagraph::decode_selective(&metadata, &answer).unwrap_err().to_string();
    assert!(fault.contains("asked for tempo, which is not in the answer"), "{fault}");
}
