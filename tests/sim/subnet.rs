//! One simulated subnet: who is in it, what goes wrong, and what must be true when it is over.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

use byteleap::{
    machine::{
        Gone, Link,
        contract::store::{CPU_MATRIX, End},
    },
    spoke::{
        meshhub_sim::Script,
        subtensor_sim::{Genesis, InProcess, Node},
    },
    units::{Hotkey, Mono, Netuid, Now, Wall, WorkerId, WorkerKey},
    wire::messages::gemm_i8::GEMM_I8,
};
use rand_chacha::rand_core::RngCore;
use serde_json::{Value, json};

use crate::{
    cards::Card,
    liars::Lie,
    links::SeatId,
    roles::{self, Honesty, SharedNode},
    seat::Actor,
    witness::{Member, Witness},
    world::{CALM, Weather, World},
};

const NETUID: Netuid = Netuid(128);
/// Blocks of an epoch.
const TEMPO: u16 = 20;

/// How long things go wrong.
const TROUBLE: Duration = Duration::from_secs(8 * 60);
/// By when everything must be well again.
const HEALING: Duration = Duration::from_secs(20 * 60);

pub struct Subnet {
    pub world: World,
    pub node: SharedNode,
    /// The validator's way to it.
    pub link: InProcess,
    pub upgraded: bool,
    pub witness: Rc<RefCell<Witness>>,
    /// Workers of each miner.
    cast: Vec<Vec<Part>>,
    honest: Vec<WorkerKey>,
    wrong_clock: Option<SeatId>,
}

/// One worker of the cast.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub honesty: Honesty,
    /// Whether it offers the old challenge alone, or both.
    pub only_cpu_matrix: bool,
    pub card: Option<Card>,
}

impl Part {
    pub const HONEST: Part = Part { honesty: Honesty::Honest, only_cpu_matrix: false, card: None };

    pub fn liar(lie: Lie) -> Part {
        Part { honesty: Honesty::Liar(lie), only_cpu_matrix: lie.of_cpu_matrix(), card: None }
    }

    /// Which challenge the validator gives it: the strongest that it offers.
    fn kind(self) -> &'static str {
        if self.only_cpu_matrix { CPU_MATRIX } else { GEMM_I8 }
    }
}

/// Objects are merged key by key, everything else is replaced.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            over.iter().for_each(|(key, value)| merge(base.entry(key.clone()).or_insert(Value::Null), value));
        }
        (_, Value::Null) => {}
        (base, over) => *base = over.clone(),
    }
}

fn worker_id(miner: usize, worker: usize) -> String {
    format!("{miner:08x}{worker:08x}")
}

fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 1, 0, host], port))
}

impl Subnet {
    /// Two miners with two workers each, of whom one offers the old challenge alone. In every fourth subnet the last
    /// worker lies, each time in another way.
    pub fn new(seed: u64) -> Subnet {
        let lie = Lie::ALL[(seed / 4) as usize % Lie::ALL.len()];
        let last = if seed % 4 == 3 { Part::liar(lie) } else { Part::HONEST };
        let old = Part { only_cpu_matrix: true, ..Part::HONEST };
        let validation = json!({"gemm_i8": {"cpu": {"matrix_size": 256, "rounds": 2}}, "proof_queue_max_size": 4});
        Subnet::of(seed, &validation, vec![vec![Part::HONEST, old], vec![Part::HONEST, last]])
    }

    /// `validation`: settings of the validator that differ from those of all subnets.
    pub fn of(seed: u64, validation: &Value, cast: Vec<Vec<Part>>) -> Subnet {
        Subnet::with(seed, &json!({"validator": {"validation": validation}}), cast, None)
    }

    /// With a marketplace, in the last seat, that plays what `script` makes of the workers' keys.
    pub fn with_hub(seed: u64, validator: &Value, cast: Vec<Vec<Part>>, script: &Value) -> Subnet {
        let script = Script::read(&script.to_string()).expect("a script");
        Subnet::with(seed, &json!({ "validator": validator }), cast, Some(&script))
    }

    /// The key that a worker of a cast has under that seed.
    pub fn key_of(seed: u64, miner: usize, worker: usize) -> WorkerKey {
        WorkerKey::new(&hotkey(seed, miner + 1), &WorkerId::new(&worker_id(miner, worker)))
    }

    /// `over`: settings that differ from those of all subnets, by role.
    pub fn with(seed: u64, over: &Value, cast: Vec<Vec<Part>>, hub: Option<&Script>) -> Subnet {
        let world = World::new(seed, Wall::from_secs(1_790_000_000 + seed * 7));
        let witness = Rc::new(RefCell::new(Witness::default()));
        let now = world.now();
        let node = chain(seed, cast.len(), now);
        let me = roles::key(seed, 0).hotkey().clone();
        witness.borrow_mut().chain.open(&node, NETUID, me);
        let link = InProcess::new(node.clone());
        let (honest, cast_of) = (Vec::new(), cast.clone());
        let mut subnet = Subnet {
            world,
            node: node.clone(),
            link,
            upgraded: false,
            witness,
            cast: cast_of,
            honest,
            wrong_clock: None,
        };
        subnet.seat_validator(seed, now, &over["validator"], hub.is_some());
        for miner in 0..cast.len() {
            subnet.seat_miner(seed, now, miner, (&node, &over["miner"]));
        }
        for (miner, workers) in cast.iter().enumerate() {
            for (worker, part) in workers.iter().enumerate() {
                subnet.seat_worker(seed, now, (miner, worker), (*part, &over["worker"]));
            }
        }
        if let Some(script) = hub {
            let seat = roles::hub(seed, subnet.world.actors.len(), now, script);
            subnet.world.seat(Box::new(seat), Some((address(200, 9510), Link::Marketplace)));
        }
        subnet
    }

    fn seat_validator(&mut self, seed: u64, now: Now, over: &Value, market: bool) {
        let axon = address(1, 9091);
        let mut settings = json!({
            "port": 9091, "external_ip": "10.1.0.1", "netuid": NETUID, "subtensor": {"network": "local"},
            "metagraph": {"sync_interval": 20, "weight_update_tempo": 5},
            "validation": {
                "challenge_interval": 30, "challenge_timeout": 20, "proof_timeout": 20,
                "challenge_type": "auto",
                "cpu": {"matrix_size": 100, "size_variance": 0.05, "verification": {"row_verification_count": 6}},
            },
            "scoring": {"policy": "throughput"},
            "weight_management": {"recalculate_interval": 40},
            "weights": {"commit_reveal": if seed % 16 == 5 { "hash" } else { "timelocked" }},
        });
        if market {
            settings["meshhub"] = json!({
                "ws_url": format!("ws://{}/ws/mesh", address(200, 9510)), "access_token_file": "/none",
                "reconnect_delay_seconds": 5,
            });
        }
        merge(&mut settings, over);
        let seat = roles::validator(seed, now, roles::key(seed, 0), &settings, (&self.node, &self.link), &self.witness);
        self.world.seat(Box::new(seat), Some((axon, Link::Axon)));
    }

    fn seat_miner(&mut self, seed: u64, now: Now, miner: usize, (node, over): (&SharedNode, &Value)) {
        let host = u8::try_from(miner + 2).expect("few miners");
        let mut settings = json!({
            "netuid": NETUID, "subtensor": {"network": "local"},
            "heartbeat_interval": 15, "task_poll_interval": 5,
            "metagraph": {"sync_interval": 20, "blacklist": {"threshold": 5, "ttl_seconds": 60}},
            "worker_management": {"host": format!("10.1.0.{host}"), "port": 7799},
        });
        merge(&mut settings, over);
        let key = roles::key(seed, host - 1);
        let seat = roles::miner(seed, self.world.actors.len(), now, key, &settings, node);
        self.world.seat(Box::new(seat), Some((address(host, 7799), Link::Workers)));
    }

    pub fn worker(&self, miner: usize, worker: usize) -> WorkerKey {
        let of = self.witness.borrow();
        let id = WorkerId::new(&worker_id(miner, worker));
        of.workers.keys().find(|key| key.worker == id).expect("a worker of the cast").clone()
    }

    fn seat_worker(&mut self, seed: u64, now: Now, (miner, worker): (usize, usize), (part, over): (Part, &Value)) {
        let id = worker_id(miner, worker);
        let both = if part.only_cpu_matrix { json!([CPU_MATRIX]) } else { json!([CPU_MATRIX, GEMM_I8]) };
        let mut settings = json!({
            "worker_id": id, "miner_url": format!("ws://10.1.0.{}:7799", miner + 2), "capabilities": both,
            "heartbeat_interval": 10, "reconnect_interval": 2,
        });
        merge(&mut settings, over);
        let key = WorkerKey::new(&hotkey(seed, miner + 1), &WorkerId::new(&id));
        let seat = self.world.actors.len();
        let mut witness = self.witness.borrow_mut();
        witness.workers.insert(key.clone(), Member { seat, honesty: part.honesty, kind: part.kind() });
        if part.honesty == Honesty::Honest {
            self.honest.push(key);
        }
        let actor: Box<dyn Actor> = Box::new(roles::worker(seed, seat, now, &settings, part, &witness.computed));
        drop(witness);
        self.world.seat(actor, None);
    }

    /// Bad weather, cuts and crashes, one after another.
    pub fn trouble(&mut self) {
        self.trouble_until(Mono(0) + TROUBLE);
    }

    pub fn trouble_until(&mut self, end: Mono) {
        let seats = self.world.actors.len() as u64;
        while self.world.now().mono < end {
            self.world.weather = self.draw_weather();
            let pause = self.world.between((Duration::from_secs(5), Duration::from_secs(60)));
            let next = (self.world.now().mono + pause).min(end);
            self.run(next, |_| false);
            self.chain_trouble();
            match self.world.rng.next_u32() % 5 {
                0 => {
                    let seat = usize::try_from(self.world.rng.next_u64() % seats).expect("few seats");
                    let down = self.world.between((Duration::from_millis(100), Duration::from_secs(45)));
                    self.world.crash(seat, down);
                }
                1 => {
                    if let Some(id) = self.world.any_connection() {
                        let cut = Gone::Io("connection reset".into());
                        self.world.sever(id, cut.clone(), cut, Duration::from_secs(20));
                    }
                }
                2 => self.set_a_clock(seats),
                _ => {}
            }
        }
    }

    /// Runs on; what the chain executed is held against what is durable after every step.
    pub fn run(&mut self, end: Mono, mut done: impl FnMut(&mut World) -> bool) -> bool {
        let witness = self.witness.clone();
        self.world.run(end, |world| {
            witness.borrow_mut().chain.look();
            done(world)
        })
    }

    /// A wall clock goes wrong, or the one that is wrong is set right.
    fn set_a_clock(&mut self, seats: u64) {
        self.witness.borrow_mut().clock_moved = true;
        let seat = usize::try_from(self.world.rng.next_u64() % seats).expect("few seats");
        let off = i64::from(self.world.rng.next_u32() % 241) - 120;
        self.world.set_wall_error(self.wrong_clock.take().unwrap_or(seat), 0);
        if off.abs() > 20 {
            self.world.set_wall_error(seat, off);
            self.wrong_clock = Some(seat);
        }
    }

    fn draw_weather(&mut self) -> Weather {
        let ms = Duration::from_millis;
        let storms = [
            CALM,
            Weather { delay: (ms(1), ms(300)), cut: 20, silence: 0 },
            Weather { delay: (ms(1), ms(4_000)), cut: 100, silence: 30 },
            Weather { delay: (ms(50), ms(15_000)), cut: 0, silence: 100 },
        ];
        storms[self.world.rng.next_u32() as usize % storms.len()]
    }

    /// Calm again: every honest worker is verified anew, and weights are confirmed on the chain.
    pub fn heal(&mut self) {
        self.ease();
        let since = self.world.now();
        let (witness, honest) = (self.witness.clone(), self.honest.clone());
        let well = |world: &mut World| {
            let witness = witness.borrow();
            let confirmed = witness.confirmed.is_some_and(|at| at > since.wall);
            let up = (0..world.actors.len()).all(|seat| world.is_alive(seat));
            up && confirmed && honest.iter().all(|worker| witness.verified_since(worker, since.wall) > 0)
        };
        let healed = self.run(since.mono + HEALING, well);
        assert!(healed, "not well {} s after the trouble ended: {}", HEALING.as_secs(), self.standing(since.wall));
        assert!(self.world.exits.is_empty(), "a machine gave up: {:?}", self.world.exits);
        // a link a worker, and requests in flight: nothing leaks
        let most = self.cast.concat().len() + self.cast.len() * 6;
        assert!(self.world.open_connections() <= most, "{} connections are open", self.world.open_connections());
    }

    /// Nothing goes wrong any more; what did is not waited for.
    pub fn ease(&mut self) {
        self.world.weather = CALM;
        self.calm_chain();
        if let Some(seat) = self.wrong_clock.take() {
            self.world.set_wall_error(seat, 0);
        }
    }

    fn standing(&self, since: Wall) -> String {
        let witness = self.witness.borrow();
        let workers: Vec<String> = self
            .honest
            .iter()
            .map(|worker| format!("{worker}: {} verified", witness.verified_since(worker, since)))
            .collect();
        format!("{workers:?}, weights confirmed {:?}, {} verdicts in all", witness.confirmed, witness.verdicts())
    }

    /// Fair weather, for so long.
    pub fn calm(&mut self, span: Duration) {
        let end = self.world.now().mono + span;
        self.run(end, |_| false);
    }

    /// How each challenge of each worker ended.
    pub fn ends(&self) -> Vec<(Honesty, Vec<End>)> {
        self.witness.borrow().ends()
    }

    /// Tells two runs apart.
    pub fn fingerprint(&self) -> (usize, usize, u64, Option<Wall>) {
        let witness = self.witness.borrow();
        (witness.verdicts(), self.world.open_connections(), self.world.happenings(), witness.confirmed)
    }
}

/// The chain: uid 0 validates, the others mine. In every fourth subnet weights are committed to and opened later.
fn chain(seed: u64, miners: usize, now: Now) -> SharedNode {
    let neuron = |uid: usize| {
        let hotkey = hotkey(seed, uid);
        json!({"uid": uid, "hotkey": hotkey, "coldkey": hotkey, "stake_tao": if uid == 0 { 50_000.0 } else { 0.0 },
            "validator_permit": uid == 0, "axon": null})
    };
    let neurons: Vec<_> = (0..=miners).map(neuron).collect();
    let file = json!({"neurons": neurons, "hyperparameters": {"weights_rate_limit": 1, "serving_rate_limit": 0,
        "tempo": TEMPO, "commit_reveal": seed % 4 == 1}});
    let genesis = Genesis::read(&file.to_string(), NETUID).expect("a sound genesis");
    Rc::new(RefCell::new(Node::new(genesis, Duration::from_secs(12), now).expect("metadata of the simulated node")))
}

fn hotkey(seed: u64, uid: usize) -> Hotkey {
    roles::key(seed, u8::try_from(uid).expect("few neurons")).hotkey().clone()
}
