//! Against recordings of a real node.

use byteleap::{
    machine::contract::chain::{ChainFaultKind, ChainReply, ChainRequest, Inclusion, Submission},
    spoke::chain::{
        Chain, calls,
        events::{Outcome, outcome},
        extrinsic::{Context, Parsed, Signed, parse},
        hash::blake2_256,
        metadata::Metadata,
        metagraph, preflight,
    },
    units::{Hotkey, Netuid, Uid},
    wire::keys::verify,
};

use crate::recordings::{Blocks, Recorded, V14, V15, blocks, metadata, read, state_call};

/// Changed copies of the metadata that are tried.
const FLIPS: usize = 100;

/// Each signed extrinsic of the recorded blocks, with its block number.
fn each_signed(metadata: &Metadata, blocks: &Blocks, mut check: impl FnMut(u64, &Signed)) -> usize {
    let mut count = 0;
    for block in &blocks.blocks {
        for bytes in block.extrinsics() {
            if let Parsed::Signed(signed) = parse(metadata, &bytes).unwrap() {
                count += 1;
                check(block.number, &signed);
            }
        }
    }
    count
}

fn context(blocks: &Blocks, number: u64, signed: &Signed) -> Option<Context> {
    let birth = signed.era.map_or(0, |era| era.birth(number));
    Some(Context {
        genesis: blocks.genesis(),
        spec_version: 425,
        transaction_version: 1,
        era: signed.era,
        birth_hash: blocks.hash_of(birth)?,
        nonce: signed.nonce,
    })
}

#[test]
fn signatures_of_real_extrinsics_hold_over_the_payload_that_we_build() {
    for path in [V15, V14] {
        let (metadata, blocks) = (metadata(path), blocks());
        let (mut held, mut unknown) = (0, 0);
        let signed = each_signed(&metadata, &blocks, |number, signed| match context(&blocks, number, signed) {
            Some(context) => {
                let payload = signed.payload(&metadata, &context).unwrap();
                let signer = Hotkey::from_account(&signed.signer);
                assert!(verify(&signer, &payload, &signed.signature), "block {number}");
                held += 1;
            }
            None => unknown += 1,
        });

        assert!(held >= 30, "{held} of {signed}");
    }
}

#[test]
fn the_calls_that_we_make_are_byte_for_byte_those_of_real_extrinsics() {
    let (metadata, blocks) = (metadata(V15), blocks());
    let (mut weights, mut axons) = (0, 0);
    each_signed(&metadata, &blocks, |_, signed| {
        let (name, arguments) = metadata.read_call(signed.call).unwrap();
        let number = |field: &str| {
            use scale_value::At;
            arguments.at(field).and_then(scale_value::Value::as_u128).unwrap()
        };
        let list = |field: &str| -> Vec<u16> {
            use scale_value::{At, ValueDef};
            let ValueDef::Composite(list) = &arguments.at(field).unwrap().value else { panic!("{field}") };
            list.values().map(|value| value.as_u128().unwrap() as u16).collect()
        };
        let ours = match name.as_str() {
            "SubtensorModule.set_weights" => {
                weights += 1;
                let pairs: Vec<_> = list("dests").into_iter().map(Uid).zip(list("weights")).collect();
                calls::set_weights(Netuid(number("netuid") as u16), &pairs, number("version_key") as u64)
            }
            "SubtensorModule.serve_axon" if number("ip_type") == 4 => {
                axons += 1;
                let ip = std::net::Ipv4Addr::from(number("ip") as u32);
                let netuid = Netuid(number("netuid") as u16);
                calls::serve_axon(netuid, ip.into(), number("port") as u16, number("version") as u32)
            }
            _ => return,
        };
        let call = name.split_once('.').unwrap().1;
        assert_eq!(hex::encode(metadata.call(calls::PALLET, call, ours).unwrap()), hex::encode(signed.call));
    });
    assert!(weights >= 1 && axons >= 1, "{weights} set_weights, {axons} serve_axon");
}

#[test]
fn every_recorded_extrinsic_has_an_end_in_its_events() {
    for path in [V15, V14] {
        let metadata = metadata(path);
        let mut failures = Vec::new();
        for block in blocks().blocks {
            for index in 0..block.extrinsics.len() as u32 {
                match outcome(&metadata, &block.events(), index).unwrap() {
                    Some(Outcome::Failed(error)) => failures.push(error),
                    ended => assert_eq!(ended, Some(Outcome::Succeeded), "block {} extrinsic {index}", block.number),
                }
            }
            assert_eq!(outcome(&metadata, &block.events(), 99).unwrap(), None);
        }

        assert!(failures.iter().all(|error| error.contains('.')), "{failures:?}");
    }
}

#[test]
fn the_recorded_metagraph_decodes_by_name() {
    let metadata = metadata(V15);
    let graph = metagraph::decode(&metadata, &state_call(metagraph::API)).unwrap().unwrap();

    assert_eq!((graph.netuid, graph.block), (Netuid(2), 389));
    assert_eq!(graph.neurons.len(), 3);
    let axon = graph.neurons[1].axon.unwrap();
    assert_eq!(axon.to_string(), "198.51.100.10:8100");
    assert!(graph.neurons[1].validator_permit);
}

#[test]
fn a_metagraph_cut_anywhere_is_refused() {
    let metadata = metadata(V15);
    let whole = state_call(metagraph::API);
    for length in 0..whole.len() {
        assert!(length == 1 || metagraph::decode(&metadata, &whole[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn the_spoke_reads_a_recorded_node() {
    let mut chain = Chain::new(Recorded::new(), None);
    let ChainReply::Head(head) = chain.serve(ChainRequest::Head) else { panic!() };
    assert_eq!((head.best, head.spec_version, head.chain.as_str()), (head.finalized, 425, "Bittensor"));
    let ChainReply::Metagraph(graph) = chain.serve(ChainRequest::Metagraph(Netuid(2))) else { panic!() };
    assert_eq!(graph.neurons.len(), 3);
}

#[test]
fn recorded_extrinsics_are_found_in_their_blocks() {
    let recorded = blocks();
    let mut chain = Chain::new(Recorded::new(), None);
    for block in recorded.blocks.iter().take(12) {
        for (index, bytes) in block.extrinsics().iter().enumerate() {
            let of = Submission { hash: blake2_256(bytes), after: block.number - 1, until: block.number + 5 };
            let expected = match outcome(&metadata(V15), &block.events(), index as u32).unwrap() {
                Some(Outcome::Succeeded) => Inclusion::Succeeded { block: block.number, is_final: true },
                Some(Outcome::Failed(error)) => {
                    Inclusion::Refused { block: block.number, error, remedy: None, is_final: true }
                }
                None => panic!(),
            };
            let found = match chain.serve(ChainRequest::Find(of)) {
                ChainReply::Found(Inclusion::Refused { block, error, is_final, .. }) => {
                    Inclusion::Refused { block, error, remedy: None, is_final }
                }
                ChainReply::Found(other) => other,
                other => panic!("{other:?}"),
            };
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn a_spec_version_that_the_metadata_does_not_carry_is_a_shape_fault() {
    let mut node = Recorded::new();
    node.spec_version = 426;
    let ChainReply::Failed(fault) = Chain::new(node, None).serve(ChainRequest::Head) else { panic!() };
    assert_eq!(fault.kind, ChainFaultKind::Shape);
}

#[test]
fn a_name_that_is_missing_is_named() {
    let fault = metadata(V15).storage("SubtensorModule", "Wieghts").map(drop).unwrap_err();
    assert_eq!(fault.to_string(), "no storage SubtensorModule.Wieghts in the metadata");
    let fault = metadata(V15).call("SubtensorModule", "set_wieghts", Vec::new()).unwrap_err();
    assert_eq!(fault.to_string(), "no call SubtensorModule.set_wieghts in the metadata");
    let fault = metadata(V14).api(metagraph::API).map(drop).unwrap_err();
    assert_eq!(fault.to_string(), "no runtime API SubnetInfoRuntimeApi_get_metagraph in the metadata");
}

/// Bytes of the registry changed at random: whatever still parses is tried as a start-up would.
#[test]
fn changed_metadata_is_refused_or_read_but_never_fatal() {
    use rand_core::{RngCore, SeedableRng};
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(425);
    let (whole, answer) = (read(V15), state_call(metagraph::API));
    let mut parsed = 0;
    for _ in 0..FLIPS {
        let mut changed = whole.clone();
        for _ in 0..3 {
            let at = rng.next_u64() as usize % changed.len();
            changed[at] = rng.next_u32() as u8;
        }
        if let Ok(metadata) = Metadata::parse(&changed) {
            parsed += 1;
            let _ = preflight::table(&metadata, 425);
            let _ = metagraph::decode(&metadata, &answer);
        }
    }
    assert!(parsed > 0, "none of the changes was small");
}
