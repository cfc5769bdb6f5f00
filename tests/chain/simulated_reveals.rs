//! Commitments of the production spoke, from signing to the chain's own reveal, as a validator would see them.

use byteleap::{
    machine::contract::chain::{ChainCall, ChainReply, ChainRequest, SignedExtrinsic, Standing, WeightVector},
    spoke::{
        chain::Chain,
        subtensor_sim::{Hyperparameters, InProcess},
    },
    units::Uid,
};

use crate::simulation::{NETUID, Simulation, key};

fn vector(mechanism: u8) -> WeightVector {
    WeightVector { netuid: NETUID, mechanism, weights: vec![(Uid(1), 65535), (Uid(2), 300)], version_key: 9_010_000 }
}

fn secret(tempo: u16, reveal_period: u64) -> Simulation {
    let hyperparameters =
        Hyperparameters { tempo, reveal_period, commit_reveal: true, mechanisms: 2, ..Hyperparameters::default() };
    Simulation::new(hyperparameters)
}

fn signed(chain: &mut Chain<InProcess>, call: ChainCall) -> SignedExtrinsic {
    match chain.serve(ChainRequest::Sign(Box::new(call))) {
        ChainReply::Signed(signed) => *signed,
        other => panic!("{other:?}"),
    }
}

fn submitted(chain: &mut Chain<InProcess>, signed: &SignedExtrinsic) {
    let reply = chain.serve(ChainRequest::Submit(Box::new(signed.clone())));
    assert_eq!(reply, ChainReply::Submitted(signed.submission.clone()));
}

fn standing(chain: &mut Chain<InProcess>, mechanism: u8) -> Standing {
    let hotkey = key(1).hotkey().clone();
    match chain.serve(ChainRequest::Standing { netuid: NETUID, mechanism, uid: Uid(0), hotkey }) {
        ChainReply::Standing(standing) => *standing,
        other => panic!("{other:?}"),
    }
}

#[test]
fn timelocked_weights_are_opened_in_the_epoch_that_was_foreseen() {
    for (tempo, period, mechanism) in [(10, 1, 0), (10, 3, 1), (7, 2, 0), (360, 1, 0)] {
        let mut simulation = secret(tempo, period);
        let mut chain = simulation.chain(&key(1));
        let signed = signed(&mut chain, ChainCall::CommitTimelocked(vector(mechanism)));
        let reveal = signed.reveal.unwrap();
        submitted(&mut chain, &signed);
        simulation.blocks(3);
        let held = standing(&mut chain, mechanism);
        assert_eq!(held.last_update, 6);
        let commit = held.commits.first().expect("the chain holds it");
        assert_eq!((commit.epoch, commit.drand_round), (reveal.commit_epoch, Some(reveal.drand_round)));
        let first = u32::try_from(reveal.block - simulation.best()).unwrap();
        simulation.blocks(first + 2);
        let before = standing(&mut chain, mechanism);
        assert_eq!((before.weights.len(), before.commits.len()), (0, 1), "not before its epoch");
        simulation.blocks(6);
        let after = standing(&mut chain, mechanism);
        assert_eq!((after.weights, after.commits), (vector(mechanism).weights, vec![]), "{tempo} {period}");
    }
}

#[test]
fn a_commitment_by_hash_is_revealed_in_the_epoch_that_was_foreseen() {
    let mut simulation = secret(10, 2);
    let mut chain = simulation.chain(&key(1));
    let (weights, salt) = (vector(0), vec![1, 2, 3]);
    let commit = signed(&mut chain, ChainCall::CommitHash { weights: weights.clone(), salt: salt.clone() });
    submitted(&mut chain, &commit);
    let reveal = commit.reveal.unwrap();
    let first = u32::try_from(reveal.block - simulation.best()).unwrap();
    simulation.blocks(first);
    assert_eq!(standing(&mut chain, 0).commits.len(), 1);
    let revealed = signed(&mut chain, ChainCall::RevealWeights { weights, salt });
    submitted(&mut chain, &revealed);
    simulation.blocks(3);
    let after = standing(&mut chain, 0);
    assert_eq!((after.weights, after.commits), (vector(0).weights, vec![]));
}
