//! The miner's settings.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    Role,
    form::{Form, text_of},
    logging::{self, Logging},
    named_file::NamedFile,
    networks::{Network, PRIVATE},
    shared::{self, ANY, DAY_S},
    subtensor::{self, Subtensor},
    wallet::{self, Wallet},
    yaml::Node,
};
use crate::units::{Hotkey, Netuid};

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub netuid: Netuid,
    pub subtensor: Subtensor,
    pub validators: Validators,
    pub wallet: Wallet,
    pub logging: Logging,
    /// To each validator.
    pub heartbeat_interval: Duration,
    /// Of each validator.
    pub task_poll_interval: Duration,
    /// Further attempts for one message to a validator.
    pub max_retries: u32,
    /// For the connection to a validator.
    pub connection_timeout: Duration,
    /// For a whole request to a validator.
    pub request_timeout: Duration,
    pub workers: Workers,
    pub receipts: Receipts,
    /// What `byteleap maintenance` writes; `None`: nothing is announced.
    pub maintenance_file: Option<PathBuf>,
    pub metrics: Option<shared::Metrics>,
}

/// Which validators are served.
#[derive(Clone, Debug, PartialEq)]
pub struct Validators {
    pub sync_interval: Duration,
    /// Empty: all with enough stake. Else these alone, each with the address to use in place of the chain's.
    pub whitelist: BTreeMap<Hotkey, Option<SocketAddr>>,
    pub min_stake_tao: f64,
    /// Failures in a row that put a validator on the passive blacklist.
    pub blacklist_threshold: u32,
    pub blacklist_ttl: Duration,
}

/// What validators say of our workers' scores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipts {
    /// Where they are kept; `None`: they are not asked for.
    pub directory: Option<PathBuf>,
    pub interval: Duration,
    /// Calculations of one validator that are kept.
    pub kept: usize,
}

/// The door for workers.
#[derive(Clone, Debug, PartialEq)]
pub struct Workers {
    pub listen: SocketAddr,
    pub heartbeat_interval: Duration,
    /// Silence after which a worker is closed and forgotten. Longer than `heartbeat_interval`.
    pub heartbeat_timeout: Duration,
    pub max_workers: usize,
    /// A file with the token that workers must bear.
    pub token_file: Option<NamedFile>,
    /// Who may connect when there is no token.
    pub allow: Vec<Network>,
}

impl Role for Config {
    const NAME: &'static str = "miner";
    const ABOUT: &'static str =
        "Speaks for the workers of one hotkey: reports them to the validators, fetches challenges, returns proofs";
    const FILES: &'static str = "hotkey, token";

    fn read(form: &mut Form) -> Config {
        let netuid = shared::netuid(form);
        let subtensor = subtensor::read(form);
        let validators = validators(form);
        let wallet = wallet::read(form);
        let logging = logging::daemon(form);
        let config = Config {
            netuid,
            subtensor,
            validators,
            wallet,
            logging,
            heartbeat_interval: form.seconds("heartbeat_interval", 60, 0.1..=DAY_S),
            task_poll_interval: form.seconds("task_poll_interval", 30, 0.1..=DAY_S),
            max_retries: form.whole("max_retries", 3, 0..=10),
            connection_timeout: form.seconds("communication.connection_timeout", 10, 0.1..=300.0),
            request_timeout: form.seconds("communication.request_timeout", 30, 0.1..=300.0),
            workers: workers(form),
            receipts: Receipts {
                directory: Some(form.text_or("receipts.directory", "./receipts"))
                    .filter(|directory| directory != "none")
                    .map(PathBuf::from),
                interval: form.seconds("receipts.interval", 420, 1.0..=DAY_S),
                kept: form.whole::<u16>("receipts.kept", 24, 1..=1000).into(),
            },
            maintenance_file: Some(form.text_or("maintenance.file", "./maintenance.json"))
                .filter(|path| path != "none")
                .map(PathBuf::from),
            metrics: shared::metrics(form),
        };
        relations(form, &config);
        logging::log_dir(form);
        let one = "a worker has one task at a time, until its two phases have ended";
        form.replaced("worker_management.max_tasks_per_worker", Node::Whole(1), one);
        config
    }

    fn logging(&self) -> &Logging {
        &self.logging
    }
}

fn validators(form: &mut Form) -> Validators {
    Validators {
        sync_interval: form.seconds("metagraph.sync_interval", 60, 1.0..=DAY_S),
        whitelist: whitelist(form),
        min_stake_tao: form.number("metagraph.validator_min_stake_tao", 10_000.0, 0.0..=21e6),
        blacklist_threshold: form.whole("metagraph.blacklist.threshold", 5, 1..=1000),
        blacklist_ttl: form.seconds("metagraph.blacklist.ttl_seconds", 600, 1.0..=DAY_S),
    }
}

fn workers(form: &mut Form) -> Workers {
    let host = form.ip("worker_management.host", ANY);
    let port = shared::port(form, "worker_management.port", 7799);
    Workers {
        listen: SocketAddr::new(host, port),
        heartbeat_interval: form.seconds("worker_management.heartbeat_interval", 30, 0.1..=DAY_S),
        heartbeat_timeout: form.seconds("worker_management.heartbeat_timeout", 90, 0.1..=DAY_S),
        max_workers: form.whole("worker_management.max_workers", 100u16, 1..=10_000).into(),
        token_file: shared::token_file(form, "worker_management.token_file"),
        allow: allow(form),
    }
}

fn relations(form: &mut Form, config: &Config) {
    let longer = config.workers.heartbeat_timeout > config.workers.heartbeat_interval;
    let paths = ("worker_management.heartbeat_timeout", "worker_management.heartbeat_interval");
    form.relation(longer, paths.0, paths.1, "more than worker_management.heartbeat_interval");
    let longer = config.request_timeout >= config.connection_timeout;
    let paths = ("communication.request_timeout", "communication.connection_timeout");
    form.relation(longer, paths.0, paths.1, "not less than communication.connection_timeout");
    let once = !(form.is_set("worker_management.allow") && config.workers.token_file.is_some());
    let paths = ("worker_management.allow", "worker_management.token_file");
    form.relation(once, paths.0, paths.1, "left out when token_file is set: the token admits, not the network");
}

fn allow(form: &mut Form) -> Vec<Network> {
    let default = Node::List(PRIVATE.iter().map(|text| Node::Text((*text).into())).collect());
    let allowed = "a list of networks such as 10.0.0.0/8 or fd00::/8, no bits set behind the prefix";
    let given = form.value("worker_management.allow", default.clone(), allowed, networks_of);
    given.or_else(|| networks_of(&default)).unwrap_or_default()
}

fn networks_of(node: &Node) -> Option<Vec<Network>> {
    let Node::List(items) = node else { return None };
    items.iter().map(|item| text_of(item)?.parse().ok()).collect()
}

fn whitelist(form: &mut Form) -> BTreeMap<Hotkey, Option<SocketAddr>> {
    let path = "metagraph.validator_whitelist";
    let allowed = "a section of hotkeys (SS58), each with address:port or null";
    let entries = form.value(path, Node::Map(Vec::new()), allowed, |node| match node {
        Node::Map(entries) => Some(entries.clone()),
        _ => None,
    });
    let mut whitelist = BTreeMap::new();
    for (hotkey, address) in entries.unwrap_or_default() {
        if let Some(entry) = validator(form, &format!("{path}.{hotkey}"), &hotkey, &address) {
            whitelist.insert(entry.0, entry.1);
        }
    }
    whitelist
}

fn validator(form: &mut Form, path: &str, hotkey: &str, address: &Node) -> Option<(Hotkey, Option<SocketAddr>)> {
    let key = hotkey.parse::<Hotkey>();
    if let Err(why) = &key {
        form.problem(path, &format!("no hotkey ({why})"), "an SS58 address with prefix 42");
    }
    let to = match address {
        Node::Null => Some(None),
        node => shared::socket_of(node).map(Some),
    };
    if to.is_none() {
        form.problem(path, &address.shown(), "address:port (an IP address: no name is looked up), or null");
    }
    Some((key.ok()?, to?))
}
