//! The chain spoke and the simulated subtensor in one process: whole conversations, and each refusal by name.

use std::{cell::RefCell, net::IpAddr, rc::Rc};

use byteleap::{
    machine::contract::chain::{
        ChainCall, ChainFaultKind, ChainReply, ChainRequest, Feature, Head, Inclusion, Metagraph, Preflight,
        PreflightState, Submission, WeightVector,
    },
    spoke::{
        chain::{
            Chain, calls,
            extrinsic::{Context, Era, sign},
            metadata::Metadata,
            rpc::{Call, NodeError, Rpc, RpcError, from_hex, to_hex},
        },
        subtensor_sim::{Hyperparameters, InProcess},
    },
    units::{Netuid, Uid},
    wire::keys::Keypair,
};
use serde_json::{Value as Json, json};

use crate::{
    recordings::{V15, metadata},
    simulation::{NETUID, Simulation, key},
};

const LOCALHOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn some_weights(metadata: &Metadata) -> Vec<u8> {
    metadata.call(calls::PALLET, "set_weights", calls::set_weights(NETUID, &[(Uid(1), 65535)], 0)).unwrap()
}

fn set_weights(weights: &[(u16, u16)]) -> ChainCall {
    let weights = weights.iter().map(|(uid, weight)| (Uid(*uid), *weight)).collect();
    ChainCall::SetWeights(WeightVector { netuid: NETUID, mechanism: 0, weights, version_key: 9_010_000 })
}

fn serve_axon(port: u16) -> ChainCall {
    ChainCall::ServeAxon { netuid: NETUID, ip: LOCALHOST, port, version: 9_010_000 }
}

fn head(chain: &mut Chain<InProcess>) -> Head {
    match chain.serve(ChainRequest::Head) {
        ChainReply::Head(head) => head,
        other => panic!("{other:?}"),
    }
}

fn metagraph(chain: &mut Chain<InProcess>) -> Metagraph {
    match chain.serve(ChainRequest::Metagraph(NETUID)) {
        ChainReply::Metagraph(graph) => *graph,
        other => panic!("{other:?}"),
    }
}

/// Signed, and then handed in.
fn handed_in(chain: &mut Chain<InProcess>, call: ChainCall) -> ChainReply {
    match chain.serve(ChainRequest::Sign(Box::new(call))) {
        ChainReply::Signed(signed) => chain.serve(ChainRequest::Submit(signed)),
        other => other,
    }
}

fn submitted(chain: &mut Chain<InProcess>, call: ChainCall) -> Submission {
    match handed_in(chain, call) {
        ChainReply::Submitted(submission) => submission,
        other => panic!("{other:?}"),
    }
}

fn found(chain: &mut Chain<InProcess>, submission: &Submission) -> Inclusion {
    match chain.serve(ChainRequest::Find(submission.clone())) {
        ChainReply::Found(inclusion) => inclusion,
        other => panic!("{other:?}"),
    }
}

/// The pool's refusal.
fn refused(reply: ChainReply) -> String {
    match reply {
        ChainReply::Failed(fault) if matches!(fault.kind, ChainFaultKind::Pool(_)) => fault.text,
        other => panic!("{other:?}"),
    }
}

/// The pallet's refusal of a call that the pool took.
fn failed(simulation: &mut Simulation, key: &Keypair, call: ChainCall) -> String {
    let mut chain = simulation.chain(key);
    let submission = submitted(&mut chain, call);
    simulation.blocks(1);
    match found(&mut chain, &submission) {
        Inclusion::Refused { error, .. } => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_head_says_simulated() {
    let simulation = Simulation::plain();
    let head = head(&mut simulation.chain(&key(1)));
    assert_eq!((head.best, head.finalized, head.spec_version), (5, 3, 425));
    assert_eq!(head.chain, "Subtensor (simulated)");
}

#[test]
fn the_metagraph_holds_the_neurons_of_the_file() {
    let simulation = Simulation::plain();
    let graph = metagraph(&mut simulation.chain(&key(1)));
    assert_eq!((graph.netuid, graph.block, graph.tempo, graph.weights_rate_limit), (NETUID, 5, 360, 100));
    assert_eq!((graph.min_allowed_weights, graph.max_weights_limit, graph.commit_reveal), (1, 65535, false));
    let validator = graph.neuron(key(1).hotkey()).unwrap();
    assert_eq!((validator.uid, validator.validator_permit, validator.stake_tao), (Uid(0), true, 1000.0));
    assert_eq!(validator.axon, None);
    assert_eq!(graph.neurons[2].axon, Some("198.51.100.10:8091".parse().unwrap()));
}

#[test]
fn another_subnet_does_not_exist() {
    let simulation = Simulation::plain();
    let ChainReply::Failed(fault) = simulation.chain(&key(1)).serve(ChainRequest::Metagraph(Netuid(1))) else {
        panic!()
    };
    assert_eq!((fault.kind, fault.text.as_str()), (ChainFaultKind::Node, "subnet 1 does not exist"));
}

#[test]
fn an_axon_is_served_and_seen_by_all() {
    let mut simulation = Simulation::plain();
    let mut validator = simulation.chain(&key(1));
    let submission = submitted(&mut validator, serve_axon(9091));
    assert_eq!(found(&mut validator, &submission), Inclusion::Pending);
    simulation.blocks(1);
    assert_eq!(found(&mut validator, &submission), Inclusion::Succeeded { block: 6, is_final: false });
    let graph = metagraph(&mut simulation.chain(&key(2)));
    assert_eq!(graph.neurons[0].axon, Some((LOCALHOST, 9091).into()));
    let line = &simulation.journal()[0];
    assert_eq!(line["call"], "SubtensorModule.serve_axon");
    assert_eq!((&line["result"], &line["simulated"]), (&json!("success"), &json!(true)));
}

#[test]
fn weights_are_set_found_and_read_back() {
    let mut simulation = Simulation::plain();
    let mut validator = simulation.chain(&key(1));
    assert_eq!(
        validator.serve(ChainRequest::Weights { netuid: NETUID, mechanism: 0, uid: Uid(0) }),
        ChainReply::Weights(Vec::new())
    );
    let submission = submitted(&mut validator, set_weights(&[(1, 65535), (2, 20000)]));
    assert_eq!((submission.after, submission.until), (5, 3 + 31));
    simulation.blocks(4);
    assert_eq!(found(&mut validator, &submission), Inclusion::Succeeded { block: 6, is_final: true });
    assert_eq!(metagraph(&mut validator).neurons[0].last_update, 6);
    let weights = ChainReply::Weights(vec![(Uid(1), 65535), (Uid(2), 20000)]);
    assert_eq!(validator.serve(ChainRequest::Weights { netuid: NETUID, mechanism: 0, uid: Uid(0) }), weights);
    let line = &simulation.journal()[0];
    let args = json!({"netuid": 128, "dests": [1, 2], "weights": [65535, 20000], "version_key": 9010000});
    assert_eq!((&line["args"], &line["signer"]), (&args, &json!(key(1).hotkey())));
    assert_eq!((&line["block"], &line["nonce"], &line["result"]), (&json!(6), &json!(0), &json!("success")));
}

#[test]
fn a_restarted_spoke_finds_what_was_submitted_before() {
    let mut simulation = Simulation::plain();
    let submission = submitted(&mut simulation.chain(&key(1)), set_weights(&[(1, 1)]));
    simulation.blocks(20);
    assert_eq!(found(&mut simulation.chain(&key(1)), &submission), Inclusion::Succeeded { block: 6, is_final: true });
}

#[test]
fn refusals_of_the_pallet_come_by_name() {
    let mut simulation = Simulation::plain();
    let weights = || set_weights(&[(1, 1)]);
    assert_eq!(failed(&mut simulation, &key(2), set_weights(&[(2, 1)])), "SubtensorModule.NeuronNoValidatorPermit");
    assert_eq!(failed(&mut simulation, &key(9), weights()), "SubtensorModule.HotKeyNotRegisteredInSubNet");
    submitted(&mut simulation.chain(&key(1)), weights());
    simulation.blocks(1);
    assert_eq!(failed(&mut simulation, &key(1), weights()), "SubtensorModule.SettingWeightsTooFast");
    let results: Vec<_> = simulation.journal().into_iter().map(|line| line["result"].clone()).collect();
    assert_eq!(results, ["failed", "failed", "success", "failed"]);
}

#[test]
fn an_old_version_key_and_commit_reveal_are_refused_by_name() {
    let newer = Hyperparameters { weights_version: 9_010_001, ..Hyperparameters::default() };
    let error = failed(&mut Simulation::new(newer), &key(1), set_weights(&[(1, 1)]));
    assert_eq!(error, "SubtensorModule.IncorrectWeightVersionKey");
    let secret = Hyperparameters { commit_reveal: true, ..Hyperparameters::default() };
    let error = failed(&mut Simulation::new(secret), &key(1), set_weights(&[(1, 1)]));
    assert_eq!(error, "SubtensorModule.CommitRevealEnabled");
}

#[test]
fn the_pool_refuses_axons_by_name() {
    let mut simulation = Simulation::plain();
    let stranger = refused(handed_in(&mut simulation.chain(&key(9)), serve_axon(9091)));
    assert!(stranger.starts_with("hotkey not registered in the subnet ("), "{stranger}");
    let port = refused(handed_in(&mut simulation.chain(&key(1)), serve_axon(0)));
    assert!(port.starts_with("invalid port ("), "{port}");
    let mut validator = simulation.chain(&key(1));
    submitted(&mut validator, serve_axon(9091));
    simulation.blocks(1);
    let again = refused(handed_in(&mut validator, serve_axon(9092)));
    assert!(again.starts_with("serving rate limit exceeded ("), "{again}");
    assert_eq!(simulation.journal().iter().filter(|line| line["result"] == "refused").count(), 3);
}

#[test]
fn the_same_bytes_twice_are_one_submission() {
    let simulation = Simulation::plain();
    let metadata = metadata(V15);
    let bytes = sign(&metadata, &key(1), &simulation.context(5, 0), &some_weights(&metadata)).unwrap();
    assert!(simulation.submit(&bytes).is_ok());
    assert_eq!(simulation.submit(&bytes).unwrap_err().code, 1013);
    // Signatures are randomised: the same call with the same nonce is another extrinsic.
    let other = sign(&metadata, &key(1), &simulation.context(5, 0), &some_weights(&metadata)).unwrap();
    assert_eq!(simulation.submit(&other).unwrap_err().code, 1014);
}

#[test]
fn what_is_not_signed_for_this_chain_and_this_moment_is_a_bad_signature() {
    let mut simulation = Simulation::plain();
    simulation.blocks(20);
    let metadata = metadata(V15);
    let good = simulation.context(25, 0);
    let wrong = [
        Context { genesis: [0x45; 32], ..good.clone() },
        Context { spec_version: 424, ..good.clone() },
        Context { transaction_version: 2, ..good.clone() },
        // Its era ended: read at the head, it begins with a later block.
        simulation.context(9, 0),
    ];
    for context in wrong {
        let bytes = sign(&metadata, &key(1), &context, &some_weights(&metadata)).unwrap();
        let error = simulation.submit(&bytes).unwrap_err();
        assert_eq!((error.code, error.data), (1010, Some(json!("Transaction has a bad signature"))));
    }
    let mut bytes = sign(&metadata, &key(1), &good, &some_weights(&metadata)).unwrap();
    assert!(simulation.submit(&bytes).is_ok());
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert_eq!(simulation.submit(&bytes).unwrap_err().data, Some(json!("Transaction has a bad signature")));
}

#[test]
fn a_nonce_is_used_once_and_in_order() {
    let mut simulation = Simulation::plain();
    let metadata = metadata(V15);
    let signed = |simulation: &Simulation, nonce: u64| {
        sign(&metadata, &key(1), &simulation.context(5, nonce), &some_weights(&metadata)).unwrap()
    };
    let (first, second, again) = (signed(&simulation, 0), signed(&simulation, 1), signed(&simulation, 0));
    assert!(simulation.submit(&second).is_ok(), "it waits for the first");
    simulation.blocks(1);
    assert!(simulation.journal().is_empty());
    assert!(simulation.submit(&first).is_ok());
    let next = simulation.call("system_accountNextIndex", json!([key(1).hotkey()])).unwrap();
    assert_eq!(next, json!(2));
    simulation.blocks(1);
    let nonces: Vec<_> = simulation.journal().iter().map(|line| line["nonce"].clone()).collect();
    assert_eq!(nonces, [0, 1]);
    assert_eq!(simulation.submit(&again).unwrap_err().data, Some(json!("Transaction is outdated")));
    assert_eq!(simulation.submit(&first).unwrap_err().code, 1012);
}

#[test]
fn an_extrinsic_whose_era_ends_in_the_pool_expires() {
    let mut simulation = Simulation::plain();
    let metadata = metadata(V15);
    let bytes = sign(&metadata, &key(1), &simulation.context(5, 7), &some_weights(&metadata)).unwrap();
    simulation.submit(&bytes).unwrap();
    let hash = byteleap::spoke::chain::hash::blake2_256(&bytes);
    let submission = Submission { hash, after: 5, until: Era::from_birth(5, 8).last(5) };
    let mut validator = simulation.chain(&key(1));
    simulation.blocks(8);
    assert_eq!(found(&mut validator, &submission), Inclusion::Pending, "the last block is not final yet");
    simulation.blocks(2);
    assert_eq!(found(&mut validator, &submission), Inclusion::Expired);
    assert_eq!(simulation.journal()[0]["result"], "dropped");
}

#[test]
fn a_call_that_is_not_simulated_is_refused() {
    let simulation = Simulation::plain();
    let metadata = metadata(V15);
    let remark = vec![("remark", scale_value::Value::from_bytes("hello"))];
    let call = metadata.call("System", "remark", remark).unwrap();
    let bytes = sign(&metadata, &key(1), &simulation.context(5, 0), &call).unwrap();
    assert_eq!(simulation.submit(&bytes).unwrap_err().data, Some(json!("Transaction call is not expected")));
    assert_eq!(simulation.journal().len(), 1);
}

#[test]
fn a_daemon_without_a_hotkey_only_reads() {
    let simulation = Simulation::plain();
    let mut reader = Chain::new(simulation.rpc(), None);
    assert_eq!(head(&mut reader).best, 5);
    let ChainReply::Failed(fault) = handed_in(&mut reader, set_weights(&[(1, 1)])) else { panic!() };
    assert_eq!(fault.kind, ChainFaultKind::NoKey);
}

#[test]
fn every_field_that_a_real_node_answers_with_is_there() {
    let simulation = Simulation::plain();
    let metadata = metadata(V15);
    for (api, arguments) in [
        ("SubnetInfoRuntimeApi_get_metagraph", "0x8000"),
        ("SubnetInfoRuntimeApi_get_subnet_state", "0x8000"),
        ("SubnetInfoRuntimeApi_get_selective_metagraph", "0x800024070034003500370039003b00420045002e00"),
        ("SubnetInfoRuntimeApi_get_subnet_hyperparams", "0x8000"),
        ("SubnetInfoRuntimeApi_get_subnet_hyperparams_v2", "0x8000"),
        ("SubnetInfoRuntimeApi_get_next_epoch_start_block", "0x8000"),
        ("NeuronInfoRuntimeApi_get_neurons_lite", "0x8000"),
        ("NeuronInfoRuntimeApi_get_neurons", "0x8000"),
        ("NeuronInfoRuntimeApi_get_neuron", "0x80000100"),
        ("Core_version", "0x"),
        ("Metadata_metadata_versions", "0x"),
    ] {
        let answer = simulation.call("state_call", json!([api, arguments])).unwrap();
        let bytes = from_hex(answer.as_str().unwrap()).unwrap();
        metadata.value(api, metadata.api(api).unwrap().output, &bytes).unwrap();
    }
}

#[test]
fn storage_answers_under_the_keys_of_a_real_node() {
    let mut simulation = Simulation::plain();
    let mut validator = simulation.chain(&key(1));
    submitted(&mut validator, set_weights(&[(1, 7)]));
    simulation.blocks(1);
    let metadata = metadata(V15);
    let read = |item: &str, parts: &[&[u8]]| {
        let key = metadata.storage("SubtensorModule", item).unwrap().key(parts).unwrap();
        simulation.call("state_getStorage", json!([to_hex(&key)])).unwrap()
    };
    let netuid = NETUID.0.to_le_bytes();
    assert_eq!(read("Tempo", &[&netuid]), json!("0x6801"));
    assert_eq!(read("WeightsSetRateLimit", &[&netuid]), json!("0x6400000000000000"));
    assert_eq!(read("CommitRevealWeightsEnabled", &[&netuid]), json!("0x00"));
    assert_eq!(read("Uids", &[&netuid, &key(3).account()]), json!("0x0200"));
    assert_eq!(read("Uids", &[&netuid, &key(9).account()]), Json::Null);
    assert_eq!(read("LastUpdate", &[&netuid]), json!(format!("0x0c06{}", "00".repeat(23))));
    assert_eq!(read("Weights", &[&netuid, &[0, 0]]), json!("0x040100ffff"));
    assert_eq!(read("Weights", &[&netuid, &[1, 0]]), Json::Null);
    assert_eq!(read("Tempo", &[&[1, 0]]), Json::Null);
}

/// The simulated node after an upgrade: it says spec 426, and its metadata may name things otherwise.
struct Upgrading {
    node: InProcess,
    upgraded: Rc<RefCell<bool>>,
    rename: (&'static str, &'static str),
    metadata_fetched: Rc<RefCell<u32>>,
}

impl Upgrading {
    fn of(&self, call: &Call, answer: Json) -> Json {
        let is_metadata = call.params[0] == "Metadata_metadata_at_version";
        *self.metadata_fetched.borrow_mut() += u32::from(is_metadata);
        match call.method {
            _ if !*self.upgraded.borrow() => answer,
            "state_getRuntimeVersion" => json!({"specVersion": 426, "transactionVersion": 1}),
            "state_call" if is_metadata => {
                let bytes = from_hex(answer.as_str().unwrap()).unwrap();
                let bytes =
                    replaced(&bytes, &[&425u32.to_le_bytes()[..], &[1, 0, 0, 0]].concat(), &426u32.to_le_bytes());
                json!(to_hex(&replaced(&bytes, self.rename.0.as_bytes(), self.rename.1.as_bytes())))
            }
            _ => answer,
        }
    }
}

/// Every occurrence of `from` begins with `to` (which is not longer).
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let found: Vec<_> = bytes.windows(from.len()).enumerate().filter(|(_, of)| *of == from).map(|(at, _)| at).collect();
    assert!(!found.is_empty());
    found.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to));
    bytes
}

impl Rpc for Upgrading {
    fn batch(&mut self, calls: &[Call]) -> Result<Vec<Result<Json, NodeError>>, RpcError> {
        let answers = self.node.batch(calls)?.into_iter().zip(calls);
        Ok(answers.map(|(answer, call)| answer.map(|answer| self.of(call, answer))).collect())
    }
}

/// What the head says before and after an upgrade that renames something, how often metadata was fetched, and the
/// table of the runtime after it.
fn upgraded(rename: (&'static str, &'static str)) -> (ChainReply, ChainReply, u32, Preflight) {
    let simulation = Simulation::plain();
    let (upgraded, metadata_fetched) = (Rc::new(RefCell::new(false)), Rc::new(RefCell::new(0)));
    let node = Upgrading {
        node: simulation.rpc(),
        upgraded: upgraded.clone(),
        rename,
        metadata_fetched: metadata_fetched.clone(),
    };
    let mut chain = Chain::new(node, Some(key(1)));
    let before = chain.serve(ChainRequest::Head);
    assert_eq!(chain.serve(ChainRequest::Head), before);
    *upgraded.borrow_mut() = true;
    let after = chain.serve(ChainRequest::Head);
    let fetched = *metadata_fetched.borrow();
    let ChainReply::Preflight(table) = chain.serve(ChainRequest::Preflight) else { panic!() };
    (before, after, fetched, *table)
}

fn spec(reply: &ChainReply) -> u32 {
    match reply {
        ChainReply::Head(head) => head.spec_version,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_upgrade_is_noticed_and_its_metadata_fetched_once() {
    let (before, after, fetched, _) = upgraded(("DrandPriority", "DrandPriorita"));
    assert_eq!((spec(&before), spec(&after), fetched), (425, 426, 2), "and an unknown empty extension is accepted");
}

#[test]
fn an_upgrade_that_we_cannot_follow_disables_what_it_breaks_and_nothing_else() {
    let broken = |from, to| {
        let table = upgraded((from, to)).3;
        let good = |feature: &Feature| table.broken(*feature).is_none();
        let features = [Feature::Metagraph, Feature::Signing, Feature::ServeAxon, Feature::SetWeights];
        let row = table.rows.iter().find(|row| row.state != PreflightState::Good && !row.used_by.is_empty());
        (row.map(|row| (row.name.clone(), row.state.clone())).unwrap(), features.map(|feature| good(&feature)))
    };
    let (row, good) = broken("set_weights", "set_weightz");
    assert_eq!(row, ("SubtensorModule.set_weights".into(), PreflightState::Missing));
    assert_eq!(good, [true, true, true, false]);
    let (row, good) = broken("CheckMetadataHash", "CheckMetadataHush");
    let unknown = "unknown extension CheckMetadataHush that is not empty";
    assert_eq!(row, ("CheckMetadataHush".into(), PreflightState::OtherShape(unknown.into())));
    assert_eq!(good, [true, false, true, true]);
    let ((name, state), good) = broken("validator_permit", "validator_permut");
    assert_eq!((name.as_str(), good), ("SubnetInfoRuntimeApi_get_metagraph", [false, true, true, true]));
    assert!(matches!(&state, PreflightState::OtherShape(text) if text.contains("validator_permit")), "{state:?}");
}
