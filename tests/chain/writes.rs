//! Signing, handing in and finding, through the spoke, against a chain that forks, forgets and upgrades.

use std::net::{IpAddr, Ipv4Addr};

use byteleap::{
    machine::contract::chain::{
        ChainCall, ChainFault, ChainFaultKind, ChainReply, ChainRequest, Inclusion, PoolFault, SignedExtrinsic,
        WeightVector,
    },
    spoke::{
        chain::Chain,
        subtensor_sim::{Hyperparameters, InProcess, Retracted},
    },
    units::Uid,
};
use serde_json::json;

use crate::simulation::{NETUID, Simulation, key};

fn vector(weights: &[(u16, u16)]) -> WeightVector {
    let weights = weights.iter().map(|(uid, weight)| (Uid(*uid), *weight)).collect();
    WeightVector { netuid: NETUID, mechanism: 0, weights, version_key: 9_010_000 }
}

fn weights() -> ChainCall {
    ChainCall::SetWeights(vector(&[(1, 65535), (2, 300)]))
}

fn axon(port: u16) -> ChainCall {
    ChainCall::ServeAxon { netuid: NETUID, ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port, version: 9_010_000 }
}

fn signed(chain: &mut Chain<InProcess>, call: ChainCall) -> SignedExtrinsic {
    match chain.serve(ChainRequest::Sign(Box::new(call))) {
        ChainReply::Signed(signed) => *signed,
        other => panic!("{other:?}"),
    }
}

fn fault(reply: ChainReply) -> ChainFault {
    match reply {
        ChainReply::Failed(fault) => fault,
        other => panic!("{other:?}"),
    }
}

fn submit(chain: &mut Chain<InProcess>, signed: &SignedExtrinsic) -> ChainReply {
    chain.serve(ChainRequest::Submit(Box::new(signed.clone())))
}

/// The pool takes it.
fn submitted(chain: &mut Chain<InProcess>, signed: &SignedExtrinsic) {
    assert_eq!(submit(chain, signed), ChainReply::Submitted(signed.submission.clone()));
}

fn found(chain: &mut Chain<InProcess>, signed: &SignedExtrinsic) -> Inclusion {
    match chain.serve(ChainRequest::Find(signed.submission.clone())) {
        ChainReply::Found(inclusion) => inclusion,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_signed_is_not_sent_and_can_be_handed_in_later() {
    let mut simulation = Simulation::plain();
    let signed = signed(&mut simulation.chain(&key(1)), weights());
    assert_eq!((signed.submission.after, signed.submission.until, signed.nonce), (5, 3 + 31, 0));
    assert_eq!(signed.reveal, None);
    simulation.blocks(10);
    assert!(simulation.results().is_empty());
    let mut restarted = simulation.chain(&key(1));
    submitted(&mut restarted, &signed);
    simulation.blocks(1);
    assert_eq!(found(&mut restarted, &signed), Inclusion::Succeeded { block: 16, is_final: false });
    simulation.blocks(2);
    assert_eq!(found(&mut restarted, &signed), Inclusion::Succeeded { block: 16, is_final: true });
}

#[test]
fn handing_in_again_is_success_in_the_pool_and_in_a_block() {
    let mut simulation = Simulation::plain();
    let mut chain = simulation.chain(&key(1));
    let signed = signed(&mut chain, weights());
    submitted(&mut chain, &signed);
    submitted(&mut chain, &signed);
    simulation.blocks(1);
    submitted(&mut chain, &signed);
    simulation.blocks(5);
    submitted(&mut chain, &signed);
    let taken: Vec<_> = simulation.results().into_iter().filter(|(_, result)| result != "refused").collect();
    assert_eq!(taken, [(6, "success".into())]);
}

#[test]
fn another_extrinsic_with_its_nonce_occupies_the_pool_and_then_makes_it_stale() {
    let mut simulation = Simulation::plain();
    let mut chain = simulation.chain(&key(1));
    let (first, second) = (signed(&mut chain, weights()), signed(&mut chain, axon(9091)));
    submitted(&mut chain, &first);
    assert_eq!(fault(submit(&mut chain, &second)).kind, ChainFaultKind::Pool(PoolFault::Occupied));
    simulation.blocks(1);
    assert_eq!(fault(submit(&mut chain, &second)).kind, ChainFaultKind::Pool(PoolFault::Stale));
    assert_eq!(found(&mut chain, &second), Inclusion::Pending);
}

#[test]
fn a_refusal_says_what_to_do() {
    let mut simulation = Simulation::plain();
    let mut stranger = simulation.chain(&key(9));
    let of_stranger = signed(&mut stranger, axon(9091));
    let refused = fault(submit(&mut stranger, &of_stranger));
    assert_eq!((refused.asked, refused.kind), ("submit", ChainFaultKind::Pool(PoolFault::Refused)));
    assert!(refused.text.starts_with("hotkey not registered in the subnet ("), "{}", refused.text);
    assert!(refused.remedy.unwrap().contains("byteleap chain register"));
    let mut miner = simulation.chain(&key(2));
    let of_miner = signed(&mut miner, weights());
    submitted(&mut miner, &of_miner);
    simulation.blocks(1);
    match found(&mut miner, &of_miner) {
        Inclusion::Refused { error, remedy, .. } => {
            assert_eq!(error, "SubtensorModule.NeuronNoValidatorPermit");
            assert!(remedy.unwrap().contains("stake"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fork_makes_it_pending_again_until_it_is_in_a_block_again() {
    let mut simulation = Simulation::plain();
    let mut chain = simulation.chain(&key(1));
    let signed = signed(&mut chain, weights());
    submitted(&mut chain, &signed);
    simulation.blocks(1);
    assert_eq!(found(&mut chain, &signed), Inclusion::Succeeded { block: 6, is_final: false });
    simulation.node.borrow_mut().fork(1, Retracted::Lost).unwrap();
    assert_eq!(found(&mut chain, &signed), Inclusion::Pending);
    simulation.blocks(1);
    assert_eq!(found(&mut chain, &signed), Inclusion::Pending);
    submitted(&mut chain, &signed);
    simulation.blocks(1);
    assert_eq!(found(&mut chain, &signed), Inclusion::Succeeded { block: 9, is_final: false });
    simulation.blocks(2);
    assert_eq!(found(&mut chain, &signed), Inclusion::Succeeded { block: 9, is_final: true });
}

#[test]
fn a_refusal_is_final_with_its_block_and_a_fork_before_may_make_it_a_success() {
    let mut simulation = Simulation::plain();
    let mut chain = simulation.chain(&key(1));
    let refused = |simulation: &mut Simulation, chain: &mut Chain<InProcess>| {
        let signed = signed(chain, weights());
        submitted(chain, &signed);
        simulation.node.borrow_mut().set_hyperparameter("commit_reveal", &json!(true)).unwrap();
        simulation.blocks(1);
        signed
    };
    let is_final = |found: Inclusion| match found {
        Inclusion::Refused { error, is_final, .. } if error == "SubtensorModule.CommitRevealEnabled" => is_final,
        other => panic!("{other:?}"),
    };
    let first = refused(&mut simulation, &mut chain);
    assert!(!is_final(found(&mut chain, &first)));
    simulation.node.borrow_mut().fork(1, Retracted::BackInPool).unwrap();
    assert_eq!(found(&mut chain, &first), Inclusion::Pending);
    simulation.node.borrow_mut().set_hyperparameter("commit_reveal", &json!(false)).unwrap();
    simulation.blocks(1);
    assert_eq!(found(&mut chain, &first), Inclusion::Succeeded { block: 8, is_final: false });
    simulation.blocks(2);
    let second = refused(&mut simulation, &mut chain);
    simulation.blocks(1);
    assert!(!is_final(found(&mut chain, &second)));
    simulation.blocks(1);
    assert!(is_final(found(&mut chain, &second)));
}

#[test]
fn what_nobody_has_expires_with_its_era_and_finally_so() {
    let mut simulation = Simulation::plain();
    let mut chain = simulation.chain(&key(1));
    let signed = signed(&mut chain, weights());
    submitted(&mut chain, &signed);
    simulation.call("sim_forgetPool", json!([])).unwrap();
    while simulation.best() < signed.submission.until + 1 {
        assert_eq!(found(&mut chain, &signed), Inclusion::Pending);
        simulation.blocks(1);
    }
    assert_eq!(found(&mut chain, &signed), Inclusion::Pending, "its last block is not final yet");
    simulation.blocks(1);
    assert_eq!(found(&mut chain, &signed), Inclusion::Expired);
    assert_eq!(fault(submit(&mut chain, &signed)).kind, ChainFaultKind::Pool(PoolFault::SignAgain));
}

/// Searched from the block before the signature, and by hash: another chain's numbers do not hide it.
#[test]
fn a_chain_that_started_over_is_noticed() {
    let mut old = Simulation::plain();
    old.blocks(200);
    let mut chain = old.chain(&key(1));
    let of_old = signed(&mut chain, weights());
    assert_eq!(found(&mut chain, &of_old), Inclusion::Pending);
    let new = Simulation::plain();
    old.node.swap(&new.node);
    assert_eq!(found(&mut chain, &of_old), Inclusion::Expired);
    let of_new = signed(&mut chain, weights());
    submitted(&mut chain, &of_new);
    old.pass(crate::simulation::BLOCK_TIME);
    assert!(old.best() < of_old.submission.after);
}

#[test]
fn a_lagging_node_only_makes_it_wait() {
    let mut simulation = Simulation::plain();
    simulation.blocks(30);
    let mut chain = simulation.chain(&key(1));
    let signed = signed(&mut chain, weights());
    submitted(&mut chain, &signed);
    simulation.blocks(1);
    simulation.node.borrow_mut().lag(10);
    assert_eq!(found(&mut chain, &signed), Inclusion::Pending);
    simulation.node.borrow_mut().lag(0);
    assert_eq!(found(&mut chain, &signed), Inclusion::Succeeded { block: 36, is_final: false });
}

#[test]
fn far_behind_finality_the_era_still_leaves_room() {
    let mut simulation = Simulation::plain();
    simulation.call("sim_finalityLag", json!([100])).unwrap();
    simulation.blocks(90);
    let mut chain = simulation.chain(&key(1));
    let signed = signed(&mut chain, weights());
    assert!(signed.submission.until >= simulation.best() + 16, "{:?}", signed.submission);
    submitted(&mut chain, &signed);
    simulation.blocks(1);
    assert_eq!(found(&mut chain, &signed), Inclusion::Succeeded { block: 96, is_final: false });
}

#[test]
fn the_calls_of_a_first_mechanism_and_of_another_differ() {
    let simulation = Simulation::plain();
    let mut chain = simulation.chain(&key(1));
    let call = |of: &SignedExtrinsic| {
        use byteleap::spoke::chain::extrinsic::{Parsed, parse};
        let metadata = simulation.metadata();
        let Parsed::Signed(parsed) = parse(&metadata, &of.bytes).unwrap() else { panic!() };
        metadata.read_call(parsed.call).unwrap().0
    };
    let second = WeightVector { mechanism: 1, ..vector(&[(1, 1)]) };
    let salt = vec![1, 2, 3];
    let names = [
        (ChainCall::SetWeights(second.clone()), "SubtensorModule.set_mechanism_weights"),
        (
            ChainCall::CommitHash { weights: second.clone(), salt: salt.clone() },
            "SubtensorModule.commit_mechanism_weights",
        ),
        (ChainCall::RevealWeights { weights: second.clone(), salt }, "SubtensorModule.reveal_mechanism_weights"),
        (ChainCall::CommitTimelocked(second), "SubtensorModule.commit_timelocked_mechanism_weights"),
        (
            ChainCall::BurnedRegister { netuid: NETUID, hotkey: key(7).hotkey().clone() },
            "SubtensorModule.burned_register",
        ),
        (
            ChainCall::RegisterLimit { netuid: NETUID, hotkey: key(7).hotkey().clone(), limit_rao: 1 },
            "SubtensorModule.register_limit",
        ),
    ];
    for (of, name) in names {
        assert_eq!(call(&signed(&mut chain, of)), name);
    }
}

#[test]
fn a_commitment_says_when_it_will_be_opened() {
    let secret = Hyperparameters { commit_reveal: true, ..Hyperparameters::default() };
    let simulation = Simulation::new(secret);
    let mut chain = simulation.chain(&key(1));
    let reveal = signed(&mut chain, ChainCall::CommitTimelocked(vector(&[(1, 65535)]))).reveal.unwrap();
    assert!(reveal.block > 5 && reveal.block <= 6 + 360, "{reveal:?}");
    assert!(reveal.drand_round > 0);
    let hash = ChainCall::CommitHash { weights: vector(&[(1, 65535)]), salt: vec![4; 8] };
    let by_hash = signed(&mut chain, hash).reveal.unwrap();
    assert_eq!((by_hash.block, by_hash.commit_epoch, by_hash.drand_round), (reveal.block, reveal.commit_epoch, 0));
}

#[test]
fn nothing_is_signed_in_the_block_of_an_upgrade() {
    let mut simulation = Simulation::plain();
    let mut chain = simulation.chain(&key(1));
    signed(&mut chain, weights());
    simulation.call("sim_upgrade", json!(["shuffle"])).unwrap();
    let mut faults = Vec::new();
    for _ in 0..3 {
        simulation.blocks(1);
        match chain.serve(ChainRequest::Sign(Box::new(weights()))) {
            ChainReply::Signed(signed) => submitted(&mut chain, &signed),
            ChainReply::Failed(fault) => faults.push(fault.kind),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(faults, [ChainFaultKind::Upgrading]);
    simulation.blocks(1);
    assert!(simulation.results().iter().any(|(_, result)| result == "success"));
}

#[test]
fn an_extension_that_is_not_known_is_never_signed() {
    let mut simulation = Simulation::plain();
    let mut chain = simulation.chain(&key(1));
    simulation.call("sim_upgrade", json!(["extension"])).unwrap();
    simulation.blocks(2);
    let refused = fault(chain.serve(ChainRequest::Sign(Box::new(weights()))));
    assert_eq!(refused.kind, ChainFaultKind::Shape);
    assert!(refused.text.starts_with("unknown extension "), "{}", refused.text);
}

fn weights_of(chain: &mut Chain<InProcess>) -> Vec<(Uid, u16)> {
    match chain.serve(ChainRequest::Weights { netuid: NETUID, mechanism: 0, uid: Uid(0) }) {
        ChainReply::Weights(weights) => weights,
        other => panic!("{other:?}"),
    }
}

fn secret() -> Simulation {
    Simulation::new(Hyperparameters { commit_reveal: true, tempo: 20, ..Hyperparameters::default() })
}

#[test]
fn a_timelocked_commitment_is_opened_by_the_chain_when_it_was_foreseen_and_not_before() {
    let mut simulation = secret();
    let mut chain = simulation.chain(&key(1));
    let of = vector(&[(1, 65535), (2, 300)]);
    let signed = signed(&mut chain, ChainCall::CommitTimelocked(of.clone()));
    let reveal = signed.reveal.unwrap();
    submitted(&mut chain, &signed);
    simulation.blocks(1);
    assert_eq!(found(&mut chain, &signed), Inclusion::Succeeded { block: 6, is_final: false });
    while simulation.best() < reveal.block + 2 {
        assert_eq!(weights_of(&mut chain), [], "block {}", simulation.best());
        simulation.blocks(1);
    }
    simulation.blocks(2);
    assert_eq!(weights_of(&mut chain), of.weights);
}

#[test]
fn a_hash_commitment_is_revealed_in_the_epoch_that_was_foreseen() {
    let mut simulation = secret();
    let mut chain = simulation.chain(&key(1));
    let (weights, salt) = (vector(&[(1, 65535), (2, 300)]), vec![7, 0, 65535]);
    let commit = signed(&mut chain, ChainCall::CommitHash { weights: weights.clone(), salt: salt.clone() });
    let reveal = commit.reveal.unwrap();
    submitted(&mut chain, &commit);
    while simulation.best() < reveal.block {
        simulation.blocks(1);
    }
    let opened = signed(&mut chain, ChainCall::RevealWeights { weights: weights.clone(), salt });
    submitted(&mut chain, &opened);
    simulation.blocks(1);
    let block = simulation.best();
    assert_eq!(found(&mut chain, &opened), Inclusion::Succeeded { block, is_final: false });
    assert_eq!(weights_of(&mut chain), weights.weights);
}
