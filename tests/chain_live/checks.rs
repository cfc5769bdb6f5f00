//! What must hold on any node, real or simulated.

use std::time::Duration;

use byteleap::{
    machine::contract::chain::{
        ChainCall, ChainReply, ChainRequest, Feature, Head, Inclusion, Metagraph, Preflight, PreflightState, Standing,
        WeightVector,
    },
    spoke::chain::{
        Chain, events,
        http::Http,
        rpc::{Call, Rpc, from_hex},
    },
    units::{BlockNumber, Netuid, Uid},
    wire::keys::Keypair,
};
use crossbeam::channel::after;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::{Value as Json, json};

/// For one batch of calls.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks for an extrinsic; the era bounds how many there are.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The events of so many blocks are decoded.
const BLOCKS: BlockNumber = 5;

/// A node and the subnet that is looked at.
pub struct Site {
    pub url: String,
    pub netuid: Netuid,
}

impl Site {
    fn http(&self) -> Http {
        Http::new(vec![self.url.clone()], PATIENCE, ChaCha20Rng::seed_from_u64(1))
    }

    fn chain(&self, key: Option<&Keypair>) -> Chain<Http> {
        Chain::new(self.http(), key.cloned())
    }

    /// Head, preflight, metagraph with hyper-parameters, weights and standing of a neuron, events of the last blocks.
    pub fn reads(&self) {
        let mut chain = self.chain(None);
        let head = head(&mut chain);
        println!("{}: spec {}, block {}, finalized {}", head.chain, head.spec_version, head.best, head.finalized);
        assert!(head.finalized <= head.best && head.genesis != [0; 32]);
        preflight(&mut chain, &head);
        let graph = self.metagraph(&mut chain);
        println!("subnet {}: {} neurons, tempo {}", graph.netuid.0, graph.neurons.len(), graph.tempo);
        assert_eq!(graph.netuid, self.netuid);
        assert!(graph.block >= head.best && graph.tempo > 0);
        assert!(graph.neurons.iter().zip(0..).all(|(neuron, uid)| neuron.uid == Uid(uid)));
        let neuron = graph.neurons.first().expect("a subnet with somebody in it");
        let standing = self.standing(&mut chain, neuron.uid, neuron.hotkey.clone());
        assert!(standing.block + BLOCKS * 100 >= head.finalized, "an old block: {}", standing.block);
        assert!(standing.block <= head.best + BLOCKS * 100 && standing.next_epoch_block > standing.block);
        self.events(&mut chain, head.best);
    }

    fn metagraph(&self, chain: &mut Chain<Http>) -> Metagraph {
        match chain.serve(ChainRequest::Metagraph(self.netuid)) {
            ChainReply::Metagraph(graph) => *graph,
            other => panic!("{other:?}"),
        }
    }

    fn standing(&self, chain: &mut Chain<Http>, uid: Uid, hotkey: byteleap::units::Hotkey) -> Standing {
        match chain.serve(ChainRequest::Standing { netuid: self.netuid, mechanism: 0, uid, hotkey }) {
            ChainReply::Standing(standing) => *standing,
            other => panic!("{other:?}"),
        }
    }

    /// Every extrinsic of the last blocks has an end that its events tell.
    fn events(&self, chain: &mut Chain<Http>, best: BlockNumber) {
        let mut node = self.http();
        for number in best.saturating_sub(BLOCKS - 1).max(1)..=best {
            let runtime = chain.runtime_of(Some(number)).unwrap();
            let hash = ask(&mut node, Call::new("chain_getBlockHash", json!([number])));
            let hash: [u8; 32] = from_hex(hash.as_str().unwrap()).unwrap().try_into().unwrap();
            let key = runtime.metadata.storage("System", "Events").unwrap().key(&[]).unwrap();
            let events = ask(&mut node, Call::storage(&key, Some(&hash)));
            let events = events.as_str().map(|text| from_hex(text).unwrap()).unwrap_or_default();
            let block =
                ask(&mut node, Call::new("chain_getBlock", json!([byteleap::spoke::chain::rpc::to_hex(&hash)])));
            let extrinsics = block["block"]["extrinsics"].as_array().unwrap().len();
            for index in 0..extrinsics as u32 {
                let outcome = events::outcome(&runtime.metadata, &events, index).unwrap();
                assert!(outcome.is_some(), "block {number}: no end of extrinsic {index}");
            }
            println!("block {number}: {extrinsics} extrinsics, {} bytes of events", events.len());
        }
    }

    /// Buys a place for the key with its own money, unless it has one.
    pub fn registers(&self, key: &Keypair) {
        let mut chain = self.chain(Some(key));
        if self.metagraph(&mut chain).neuron(key.hotkey()).is_some() {
            return;
        }
        let call = ChainCall::BurnedRegister { netuid: self.netuid, hotkey: key.hotkey().clone() };
        self.done(key, call).unwrap();
        assert!(self.metagraph(&mut chain).neuron(key.hotkey()).is_some());
    }

    /// Announces an address that is for documents, and reads it back.
    pub fn serves(&self, key: &Keypair) {
        let ip = "198.51.100.7".parse().unwrap();
        let block = self.done(key, ChainCall::ServeAxon { netuid: self.netuid, ip, port: 9091, version: 1 }).unwrap();
        let graph = self.metagraph(&mut self.chain(None));
        let neuron = graph.neuron(key.hotkey()).unwrap();
        assert_eq!((neuron.axon, neuron.axon_block), (Some((ip, 9091).into()), block));
    }

    /// By the way that the subnet's hyper-parameters ask for. The block, or who refused and why.
    pub fn sets_weights(&self, key: &Keypair) -> Result<BlockNumber, String> {
        let graph = self.metagraph(&mut self.chain(None));
        let count = usize::from(graph.min_allowed_weights).max(1);
        let others = graph.neurons.iter().filter(|neuron| neuron.hotkey != *key.hotkey()).take(count);
        let weights = others.map(|neuron| (neuron.uid, u16::MAX)).collect();
        let version_key = graph.weights_version;
        let vector = WeightVector { netuid: self.netuid, mechanism: 0, weights, version_key };
        let call =
            if graph.commit_reveal { ChainCall::CommitTimelocked(vector) } else { ChainCall::SetWeights(vector) };
        let block = self.done(key, call)?;
        let graph = self.metagraph(&mut self.chain(None));
        assert_eq!(graph.neuron(key.hotkey()).unwrap().last_update, block);
        Ok(block)
    }

    /// Signs, hands in, and looks until the chain has decided.
    fn done(&self, key: &Keypair, call: ChainCall) -> Result<BlockNumber, String> {
        let mut chain = self.chain(Some(key));
        let signed = match chain.serve(ChainRequest::Sign(Box::new(call))) {
            ChainReply::Signed(signed) => signed,
            other => panic!("{other:?}"),
        };
        match chain.serve(ChainRequest::Submit(signed.clone())) {
            ChainReply::Submitted(submission) => assert_eq!(submission, signed.submission),
            ChainReply::Failed(fault) => return Err(fault.text),
            other => panic!("{other:?}"),
        }
        loop {
            match chain.serve(ChainRequest::Find(signed.submission.clone())) {
                ChainReply::Found(Inclusion::Pending) => {
                    let _ = after(LOOK_EVERY).recv();
                }
                ChainReply::Found(Inclusion::Succeeded { block, .. }) => return Ok(block),
                ChainReply::Found(Inclusion::Refused { error, .. }) => return Err(error),
                other => panic!("{other:?}"),
            }
        }
    }
}

fn head(chain: &mut Chain<Http>) -> Head {
    match chain.serve(ChainRequest::Head) {
        ChainReply::Head(head) => head,
        other => panic!("{other:?}"),
    }
}

/// All that a daemon needs is there; what else is not is told.
fn preflight(chain: &mut Chain<Http>, head: &Head) {
    let told: Preflight = match chain.serve(ChainRequest::Preflight) {
        ChainReply::Preflight(told) => *told,
        other => panic!("{other:?}"),
    };
    assert_eq!(told.spec_version, head.spec_version);
    assert!(!told.rows.is_empty());
    for row in told.rows.iter().filter(|row| row.state != PreflightState::Good) {
        println!("preflight: {} {}: {:?}, needed for {:?}", row.kind, row.name, row.state, row.used_by);
    }
    for needed in [Feature::Metagraph, Feature::Signing, Feature::Outcome, Feature::ServeAxon, Feature::SetWeights] {
        assert_eq!(told.broken(needed), None);
    }
}

fn ask(node: &mut Http, call: Call) -> Json {
    node.batch(&[call]).unwrap().remove(0).unwrap()
}
