//! kill -9 at each step of the weights' way to the chain: the machine, the store and the chain client that run in
//! production, against the simulated node, in virtual time. No restart loses weights, none sets them twice.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, time::Duration};

use byteleap::{
    config::{Role, validator::Config},
    machine::{
        Input, Machine, Output,
        contract::{
            chain::{ChainReply, ChainRequest},
            store::{StoreReply, StoreRequest, Write},
        },
        validator::{Command, Event, Validator, serve_bulk},
    },
    spoke::{
        chain::Chain,
        store::Store,
        subtensor_sim::{Genesis, InProcess, Node},
    },
    units::{Mono, Netuid, Now},
    wire::keys::Keypair,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde_json::{Value, json};

use super::{NOW, challenged, commit, heartbeat_now};

/// Long enough for a commitment to be opened, with a restart on the way.
const PATIENCE: Duration = Duration::from_secs(3600);

fn key(number: u8) -> Keypair {
    Keypair::from_seed([number; 32]).unwrap()
}

/// When a process dies: at which step of the weights, and whether that step took effect before.
#[derive(Clone, Copy, Debug)]
struct Kill {
    step: usize,
    after: bool,
}

struct World {
    now: Now,
    config: String,
    validator: Validator,
    store: Store,
    chain: Chain<InProcess>,
    node: Rc<RefCell<Node>>,
    /// Steps so far: requests that weights on their way depend on.
    steps: usize,
    journal: Vec<Value>,
}

impl World {
    fn new(way: &str, commit_reveal: bool) -> World {
        let now = Now { mono: Mono(0), wall: NOW };
        let neuron = |uid: u8| {
            let hotkey = key(uid + 1).hotkey().to_string();
            json!({"uid": uid, "hotkey": hotkey, "coldkey": hotkey, "stake_tao": if uid == 0 { 50_000.0 } else { 0.0 },
                "validator_permit": uid == 0, "axon": null})
        };
        let parameters = json!({"weights_rate_limit": 1, "tempo": 20, "commit_reveal": commit_reveal});
        let file = json!({"neurons": [neuron(0), neuron(1)], "hyperparameters": parameters});
        let genesis = Genesis::read(&file.to_string(), Netuid(128)).unwrap();
        let node = Rc::new(RefCell::new(Node::new(genesis, Duration::from_secs(12), now).unwrap()));
        let config = format!(
            "{{netuid: 128, subtensor: {{network: local}}, metagraph: {{sync_interval: 20, weight_update_tempo: 1000}},
              weight_management: {{recalculate_interval: 40}}, weights: {{commit_reveal: {way}}}}}"
        );
        let mut store = Store::in_memory().unwrap();
        let miner = key(2).hotkey().clone();
        commit(&mut store, vec![heartbeat_now(&miner)]);
        commit(&mut store, challenged(&miner));
        let chain = Chain::new(InProcess::new(node.clone()), Some(key(1)));
        let validator = process(&config);
        World { now, config, validator, store, chain, node, steps: 0, journal: Vec::new() }
    }

    /// Until weights are confirmed, with one kill on the way.
    fn run(&mut self, kill: Option<Kill>) {
        let end = self.now.mono + PATIENCE;
        while self.now.mono < end && !self.is_confirmed() {
            let killed = self.turn(Input::Deadline, kill);
            if killed {
                self.validator = process(&self.config);
                self.now = later(self.now, Duration::from_secs(3));
                continue;
            }
            let due = self.validator.deadline().unwrap_or(end).0.max(self.now.mono.0 + 1_000_000);
            self.now = later(self.now, Mono(due).since(self.now.mono));
            self.node.borrow_mut().advance(self.now);
        }
        while let Some(line) = self.node.borrow_mut().take_journal_line() {
            self.journal.push(serde_json::from_str(&line).unwrap());
        }
    }

    /// One input and all that follows from it; whether the process died of it.
    fn turn(&mut self, input: Input<Event>, kill: Option<Kill>) -> bool {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.validator.handle(self.now, input);
            while let Some(output) = self.validator.poll() {
                let Output::Command(command) = output else { continue };
                let dies = self.is_step(&command) && kill.is_some_and(|kill| kill.step == self.steps);
                if dies && kill.is_some_and(|kill| !kill.after) {
                    return true;
                }
                let event = self.serve(command);
                if dies {
                    return true;
                }
                inputs.extend(event.map(Input::Event));
            }
            self.validator.check_invariants();
        }
        false
    }

    fn is_step(&mut self, command: &Command) -> bool {
        let is_step = match command {
            Command::Chain(request) => {
                !matches!(request, ChainRequest::Head | ChainRequest::Metagraph(_) | ChainRequest::Preflight)
            }
            Command::Store(StoreRequest::Commit { writes, .. }) => writes.iter().any(concerns_weights),
            _ => false,
        };
        self.steps += usize::from(is_step);
        is_step
    }

    fn serve(&mut self, command: Command) -> Option<Event> {
        Some(match command {
            Command::Store(request) => Event::Store(self.store.serve(request)),
            Command::Chain(request) => {
                let reply = self.chain.serve(request);
                assert!(!matches!(reply, ChainReply::Failed(_)), "{reply:?}");
                Event::Chain(reply)
            }
            Command::Bulk(request) => Event::Bulk(serve_bulk(request)),
            Command::Verify(_) | Command::Resolve(_) | Command::LeaseFile(_) => return None,
        })
    }

    fn is_confirmed(&mut self) -> bool {
        match self.store.serve(StoreRequest::Load) {
            StoreReply::Loaded(snapshot) => snapshot.confirmed.is_some(),
            other => panic!("{other:?}"),
        }
    }

    /// Calls of that name which the chain executed with success.
    fn executed(&self, call: &str) -> usize {
        self.journal
            .iter()
            .filter(|line| line["call"] == format!("SubtensorModule.{call}") && line["result"] == "success")
            .count()
    }
}

fn process(config: &str) -> Validator {
    Validator::new(key(1), Config::from_yaml(config).unwrap().config, 1, ChaCha20Rng::seed_from_u64(7))
}

fn later(now: Now, span: Duration) -> Now {
    Now { mono: now.mono + span, wall: now.wall + span }
}

fn concerns_weights(write: &Write) -> bool {
    matches!(
        write,
        Write::WeightIntent { .. }
            | Write::WeightOutcome { .. }
            | Write::ExtrinsicSigned { .. }
            | Write::ExtrinsicSubmitted { .. }
            | Write::ExtrinsicOver { .. }
    )
}

/// Kills before and after every step; each run ends with the weights confirmed, and each call was made once.
#[track_caller]
fn no_kill_loses_or_doubles(way: &str, commit_reveal: bool, calls: &[&str]) {
    let mut calm = World::new(way, commit_reveal);
    calm.run(None);
    assert!(calm.is_confirmed(), "{:?}", calm.journal);
    assert!(calm.steps >= 7, "{} steps are too few to be all", calm.steps);
    for step in 1..=calm.steps {
        for after in [false, true] {
            let kill = Kill { step, after };
            let mut world = World::new(way, commit_reveal);
            world.run(Some(kill));
            assert!(world.is_confirmed(), "{way}, {kill:?}: {:?}", world.journal);
            for call in calls {
                assert_eq!(world.executed(call), 1, "{way}, {kill:?}, {call}: {:?}", world.journal);
            }
        }
    }
}

#[test]
fn weights_in_the_open_survive_a_kill_at_any_step() {
    no_kill_loses_or_doubles("timelocked", false, &["set_weights"]);
}

#[test]
fn timelocked_weights_survive_a_kill_at_any_step() {
    no_kill_loses_or_doubles("timelocked", true, &["commit_timelocked_weights"]);
}

#[test]
fn hashed_weights_survive_a_kill_at_any_step() {
    no_kill_loses_or_doubles("hash", true, &["commit_weights", "reveal_weights"]);
}
