//! A node on the bench: it signs, pools, includes and opens commitments, as much as the machine can tell.

use std::collections::BTreeMap;

use crate::{
    machine::contract::chain::{
        ChainCall, ChainFault, ChainFaultKind, ChainReply, ChainRequest, Head, HeldCommit, Inclusion, Metagraph,
        PoolFault, Preflight, PreflightRow, Reveal, SignedExtrinsic, Standing, Submission, WeightVector,
    },
    units::{BlockNumber, Uid, Wall},
};

/// What it made of a submitted extrinsic.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    Pending,
    In {
        block: BlockNumber,
        is_final: bool,
    },
    Refused(String),
    /// Refused in a block that is not final.
    RefusedForNow(String),
    Expired,
}

pub struct FakeNode {
    /// By the order of signing.
    pub signed: Vec<ChainCall>,
    /// Weights that reached the pool, or were committed to; once an extrinsic.
    pub submitted: Vec<Vec<(Uid, u16)>>,
    /// Calls to submit, one extrinsic or another.
    pub offers: Vec<u8>,
    /// The chain refuses weights so, in a block.
    pub refuse_weights: Option<String>,
    /// What the pool says to the next offers.
    pub pool_faults: Vec<ChainFaultKind>,
    /// What becomes of extrinsics; in a final block at once when empty.
    pub fates: Vec<Fate>,
    /// Nothing is answered.
    pub silent: bool,
    /// Every call fails.
    pub unreachable: bool,
    /// It is of another chain.
    pub other_chain: bool,
    /// Its best block is of then, for good.
    pub stalled_at: Option<Wall>,
    /// Its head is so many blocks before its metagraph.
    pub ahead: u64,
    /// Old blocks can not be looked through: the node keeps no state of them.
    pub pruned: bool,
    pub epoch: u64,
    pub commits: Vec<HeldCommit>,
    pub row: Vec<(Uid, u16)>,
    pub rows: Vec<PreflightRow>,
    /// It asks for timelocked commitments of a kind that nobody can make.
    pub strange_timelocks: bool,
    /// Nobody can sign for this runtime.
    pub unsignable: bool,
    pub spec_version: u32,
    pub upgrading: bool,
    pub genesis: [u8; 32],
    /// The chain's clock less ours, in seconds.
    pub clock_s: i64,
    /// What an extrinsic did, by hash: its effects come once.
    done: BTreeMap<[u8; 32], BlockNumber>,
}

impl Default for FakeNode {
    fn default() -> FakeNode {
        FakeNode {
            signed: vec![],
            submitted: vec![],
            offers: vec![],
            refuse_weights: None,
            pool_faults: vec![],
            fates: vec![],
            silent: false,
            unreachable: false,
            other_chain: false,
            stalled_at: None,
            ahead: 0,
            pruned: false,
            epoch: 5,
            commits: vec![],
            row: vec![],
            rows: vec![],
            strange_timelocks: false,
            unsignable: false,
            spec_version: 425,
            upgrading: false,
            genesis: [1; 32],
            clock_s: 0,
            done: BTreeMap::new(),
        }
    }
}

impl FakeNode {
    pub fn serve(&mut self, graph: &mut Metagraph, wall: Wall, request: ChainRequest) -> Option<ChainReply> {
        if self.silent {
            return None;
        }
        if self.unreachable {
            return Some(failed(ChainFaultKind::Unreachable));
        }
        if self.other_chain {
            return Some(ChainReply::Failed(fault(ChainFaultKind::OtherChain, Some("see to it"))));
        }
        Some(match request {
            ChainRequest::Find(_) if self.pruned => failed(ChainFaultKind::Node),
            ChainRequest::Head => ChainReply::Head(self.head(graph.block + self.ahead, wall)),
            ChainRequest::Metagraph(_) => ChainReply::Metagraph(Box::new(graph.clone())),
            ChainRequest::Preflight => ChainReply::Preflight(Box::new(Preflight {
                spec_version: self.spec_version,
                metadata_version: 15,
                rows: self.rows.clone(),
            })),
            ChainRequest::Sign(_) if self.unsignable => failed(ChainFaultKind::Shape),
            ChainRequest::Sign(call) if self.strange_timelocks && matches!(*call, ChainCall::CommitTimelocked(_)) => {
                failed(ChainFaultKind::Shape)
            }
            ChainRequest::Sign(call) => ChainReply::Signed(Box::new(self.sign(*call, graph.block))),
            ChainRequest::Submit(extrinsic) => self.submit(&extrinsic),
            ChainRequest::Find(submission) => ChainReply::Found(self.find(graph, submission)),
            ChainRequest::Standing { .. } => ChainReply::Standing(Box::new(self.standing(graph))),
            other => panic!("{other:?}"),
        })
    }

    fn head(&self, best: BlockNumber, wall: Wall) -> Head {
        let at_s = self.stalled_at.unwrap_or(wall).as_secs().saturating_add_signed(self.clock_s);
        Head {
            best,
            finalized: best,
            best_at: Some(Wall::from_secs(at_s)),
            spec_version: self.spec_version,
            upgrading: self.upgrading,
            genesis: self.genesis,
            chain: "Subtensor (simulated)".into(),
        }
    }

    fn sign(&mut self, call: ChainCall, block: BlockNumber) -> SignedExtrinsic {
        self.signed.push(call.clone());
        let number = u8::try_from(self.signed.len()).unwrap();
        let reveal = |drand_round| Some(Reveal { drand_round, commit_epoch: self.epoch, block: block + 20 });
        let reveal = match call {
            ChainCall::CommitTimelocked(_) => reveal(u64::from(number)),
            ChainCall::CommitHash { .. } => reveal(0),
            _ => None,
        };
        let submission = Submission { hash: [number; 32], after: block, until: block + 8 };
        SignedExtrinsic { bytes: vec![number], submission, nonce: u64::from(number), reveal }
    }

    fn submit(&mut self, extrinsic: &SignedExtrinsic) -> ChainReply {
        let number = extrinsic.bytes[0];
        let first = !self.offers.contains(&number);
        self.offers.push(number);
        if let Some(kind) = self.pool_faults.pop() {
            return failed(kind);
        }
        if let Some(weights) = weights(&self.signed[usize::from(number) - 1]).filter(|_| first) {
            self.submitted.push(weights.weights.clone());
        }
        ChainReply::Submitted(extrinsic.submission.clone())
    }

    fn find(&mut self, graph: &mut Metagraph, submission: Submission) -> Inclusion {
        let fate = self.fates.pop().unwrap_or(Fate::In { block: submission.after + 1, is_final: true });
        let call = self.signed[usize::from(submission.hash[0]) - 1].clone();
        match (fate, self.refuse_weights.clone().filter(|_| weights(&call).is_some())) {
            (Fate::In { block, is_final }, Some(error)) => refused(block, error, is_final),
            (Fate::In { block, is_final }, None) => {
                graph.block = graph.block.max(block);
                if is_final && self.done.insert(submission.hash, block).is_none() {
                    self.execute(graph, block, submission.hash, call);
                }
                Inclusion::Succeeded { block, is_final }
            }
            (Fate::Refused(error), _) => refused(submission.after + 1, error, true),
            (Fate::RefusedForNow(error), _) => refused(submission.after + 1, error, false),
            (Fate::Expired, _) => Inclusion::Expired,
            (Fate::Pending, _) => Inclusion::Pending,
        }
    }

    fn execute(&mut self, graph: &mut Metagraph, block: BlockNumber, hash: [u8; 32], call: ChainCall) {
        let mut held = |drand_round| self.commits.push(HeldCommit { epoch: self.epoch, block, hash, drand_round });
        match call {
            ChainCall::ServeAxon { ip, port, .. } => {
                graph.neurons[0].axon = Some((ip, port).into());
                graph.neurons[0].axon_block = block;
                return;
            }
            ChainCall::SetWeights(weights) => self.row = weights.weights,
            ChainCall::CommitTimelocked(_) => held(Some(u64::from(hash[0]))),
            ChainCall::CommitHash { .. } => held(None),
            ChainCall::RevealWeights { weights, .. } => {
                self.row = weights.weights;
                self.commits.clear();
                return;
            }
            other => panic!("{other:?}"),
        }
        graph.neurons[0].last_update = block;
    }

    fn standing(&self, graph: &Metagraph) -> Standing {
        Standing {
            block: graph.block,
            epoch: self.epoch,
            reveal_period: graph.reveal_period,
            next_epoch_block: graph.block + 10,
            last_update: graph.neurons[0].last_update,
            weights: self.row.clone(),
            commits: self.commits.clone(),
        }
    }

    /// The next epoch begins, twenty blocks on; timelocked commitments are opened when `opens`, else dropped.
    pub fn turn_epoch(&mut self, graph: &mut Metagraph, opens: bool) {
        self.epoch += 1;
        graph.block += 20;
        for held in std::mem::take(&mut self.commits) {
            match weights(&self.signed[usize::from(held.hash[0]) - 1]) {
                Some(weights) if held.drand_round.is_some() && opens => self.row = weights.weights.clone(),
                _ if held.drand_round.is_none() => self.commits.push(held),
                _ => {}
            }
        }
    }
}

fn failed(kind: ChainFaultKind) -> ChainReply {
    ChainReply::Failed(fault(kind, None))
}

fn fault(kind: ChainFaultKind, remedy: Option<&'static str>) -> ChainFault {
    ChainFault { asked: "the node", kind, text: format!("{kind:?}"), remedy }
}

fn refused(block: BlockNumber, error: String, is_final: bool) -> Inclusion {
    Inclusion::Refused { block, error, remedy: None, is_final }
}

fn weights(call: &ChainCall) -> Option<&WeightVector> {
    match call {
        ChainCall::SetWeights(weights)
        | ChainCall::CommitTimelocked(weights)
        | ChainCall::CommitHash { weights, .. } => Some(weights),
        _ => None,
    }
}

/// The pool's refusal of that meaning.
pub fn pool(fault: PoolFault) -> ChainFaultKind {
    ChainFaultKind::Pool(fault)
}
