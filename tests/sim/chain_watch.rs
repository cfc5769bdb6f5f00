//! What the validator made durable about its weights, held against what the chain executed.
//!
//! It reads the simulated node's journal after every step and the store's writes as they take effect. What must hold
//! at any time: every weight extrinsic that a node ever saw was durable first, and so was its intent; of one intent at
//! most one extrinsic stands in the chain; what is called confirmed is in the finalized state.

use std::collections::{BTreeMap, BTreeSet};

use byteleap::{
    machine::contract::{
        chain::{ChainFault, ChainFaultKind, ChainReply, ChainRequest, Standing},
        store::{Errand, IntentId, WeightOutcome, Write},
    },
    spoke::{
        chain::Chain,
        subtensor_sim::{InProcess, RateCode},
    },
    units::{Hotkey, Netuid, Uid},
};
use serde_json::Value;

use crate::roles::SharedNode;

/// What is asked of a node in a second, and how it refuses more.
pub type Limit = Option<(u32, RateCode)>;

/// Eyes that no weather reaches.
struct Eyes {
    node: SharedNode,
    chain: Chain<InProcess>,
    netuid: Netuid,
    me: Hotkey,
}

#[derive(Default)]
pub struct ChainWatch {
    eyes: Option<Eyes>,
    /// As the weather has it now; lifted for a look.
    pub limit: Limit,
    pub lag: u64,
    intents: BTreeMap<IntentId, Vec<(Uid, u16)>>,
    /// Which intent a signed extrinsic carries, and whether it reveals it.
    signed: BTreeMap<String, (IntentId, bool)>,
    /// What stands in the chain now.
    standing: BTreeMap<(IntentId, bool), BTreeSet<String>>,
    /// Weight calls that a node ever took into a block, or refused.
    pub calls: u32,
    /// Those that failed in a block.
    pub failed: u32,
    /// Called confirmed while the runtime was being upgraded, when no state can be read: held against the next.
    to_check: Option<IntentId>,
    /// Steps of the weight path that became durable.
    pub steps: u64,
    pub confirmed: u32,
    pub dropped: u32,
    pub refused: u32,
}

impl ChainWatch {
    pub fn open(&mut self, node: &SharedNode, netuid: Netuid, me: Hotkey) {
        let chain = Chain::new(InProcess::new(node.clone()), None);
        self.eyes = Some(Eyes { node: node.clone(), chain, netuid, me });
    }

    /// How many extrinsics with weights were ever signed.
    pub fn extrinsics(&self) -> usize {
        self.signed.len()
    }

    /// A write took effect.
    pub fn saw(&mut self, write: &Write) {
        match write {
            Write::WeightIntent { id, weights, .. } => {
                let weights = weights.iter().map(|(uid, _, weight)| (*uid, *weight)).collect();
                assert!(self.intents.insert(*id, weights).is_none(), "intent {id} was made twice");
            }
            Write::ExtrinsicSigned { errand, extrinsic, .. } => self.was_signed(errand, extrinsic.submission.hash),
            Write::WeightOutcome { intent, outcome, .. } => self.ended(*intent, outcome),
            Write::ExtrinsicSubmitted { .. } | Write::ExtrinsicOver { .. } => {}
            _ => return,
        }
        self.steps += 1;
    }

    fn was_signed(&mut self, errand: &Errand, hash: [u8; 32]) {
        let of = match errand {
            Errand::Axon => return,
            Errand::Weights { intent, .. } => (*intent, false),
            Errand::Reveal { intent } => (*intent, true),
        };
        assert!(self.intents.contains_key(&of.0), "an extrinsic was signed for intent {}, which is not durable", of.0);
        self.signed.insert(format!("0x{}", hex::encode(hash)), of);
    }

    fn ended(&mut self, intent: IntentId, outcome: &WeightOutcome) {
        match outcome {
            WeightOutcome::Confirmed { .. } => self.was_confirmed(intent),
            WeightOutcome::Dropped(_) => self.dropped += 1,
            WeightOutcome::Refused(_) => self.refused += 1,
            _ => {}
        }
    }

    fn was_confirmed(&mut self, intent: IntentId) {
        self.confirmed += 1;
        self.to_check = Some(intent);
        self.check();
    }

    /// The finalized chain must hold these weights, or newer ones of ours.
    fn check(&mut self) {
        let Some(intent) = self.to_check else { return };
        let Some(standing) = self.finalized() else { return };
        self.to_check = None;
        let newer = self.standing.iter().filter(|(of, hashes)| of.0 >= intent && !hashes.is_empty());
        let held = newer.map(|(of, _)| &self.intents[&of.0]).any(|weights| *weights == standing.weights);
        assert!(
            held,
            "intent {intent} is called confirmed, but at finalized block {} the chain has {:?} (last update {}), not {:?}",
            standing.block, standing.weights, standing.last_update, self.intents[&intent]
        );
    }

    /// None for the one block of an upgrade, whose state no metadata describes.
    fn finalized(&mut self) -> Option<Standing> {
        let eyes = self.eyes.as_mut().expect("a chain to look at");
        let fair = |node: &SharedNode, limit: Limit, lag: u64| {
            node.borrow_mut().limit_rate(limit);
            node.borrow_mut().lag(lag);
        };
        fair(&eyes.node, None, 0);
        let request =
            ChainRequest::Standing { netuid: eyes.netuid, mechanism: 0, uid: Uid(0), hotkey: eyes.me.clone() };
        let reply = eyes.chain.serve(request);
        fair(&eyes.node, self.limit, self.lag);
        match reply {
            ChainReply::Standing(standing) => Some(*standing),
            ChainReply::Failed(ChainFault { kind: ChainFaultKind::Upgrading, .. }) => None,
            other => panic!("where our weights stand: {other:?}"),
        }
    }

    /// Reads what the node wrote down since the last look.
    pub fn look(&mut self) {
        self.check();
        let Some(eyes) = &self.eyes else { return };
        let node = eyes.node.clone();
        while let Some(line) = { node.borrow_mut().take_journal_line() } {
            let line: Value = serde_json::from_str(&line).expect("a journal of JSON");
            self.read(&line);
        }
    }

    fn read(&mut self, line: &Value) {
        let (Some(hash), Some(call)) = (line["hash"].as_str(), line["call"].as_str()) else { return };
        if !call.contains("weights") {
            return;
        }
        self.calls += 1;
        let of = *self.signed.get(hash).unwrap_or_else(|| panic!("a node saw what was not durable: {line}"));
        let standing = self.standing.entry(of).or_default();
        match line["result"].as_str() {
            Some("success") => {
                standing.insert(hash.to_owned());
                assert!(standing.len() < 2, "intent {} was executed twice: {standing:?}", of.0);
            }
            Some("retracted") => _ = standing.remove(hash),
            Some("failed") => self.failed += 1,
            _ => {}
        }
    }
}
