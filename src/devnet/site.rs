//! A subnet's files in one directory: wallets, the simulated chain's neurons, one configuration a daemon.
//!
//! Every setting is a documented key of the daemon it is for; only its values differ from the shipped examples:
//! short intervals, loopback addresses, ports that were free a moment ago.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use super::Fault;
use crate::{
    config::wallet::Wallet,
    units::{Hotkey, Netuid, WorkerId},
    wallet,
};

pub const NETUID: Netuid = Netuid(128);

/// Between blocks, where nothing asks for more or fewer of them.
pub const BLOCK_TIME: Duration = Duration::from_millis(500);

/// What differs between one subnet and another.
#[derive(Clone, Debug)]
pub struct Plan {
    pub miners: usize,
    /// A miner.
    pub workers: usize,
    pub matrix_size: u32,
    pub block_time: Duration,
    /// These are merged over the settings of a role, key by key; a null is the daemon's own default.
    pub validator: Value,
    pub miner: Value,
    pub worker: Value,
    /// Over those of the very last worker once more.
    pub last_worker: Value,
}

pub struct Site {
    pub dir: PathBuf,
    pub validator: Member,
    pub miners: Vec<Member>,
}

/// A neuron of the subnet: who it is and where it listens.
pub struct Member {
    pub hotkey: Hotkey,
    pub name: String,
    pub listen: SocketAddr,
}

pub fn miner_name(miner: usize) -> String {
    format!("miner-{miner}")
}

/// Where a member's hotkey lies.
pub fn wallet_of(dir: &Path, name: &str) -> Wallet {
    Wallet { path: dir.join("wallets"), name: name.into(), hotkey: "default".into(), password_file: None, file: None }
}

pub fn worker_name(miner: usize, worker: usize) -> String {
    format!("worker-{miner}-{worker}")
}

/// 16 hex digits, as a worker makes them from its machine; here several share one machine.
pub fn worker_id(miner: usize, worker: usize) -> WorkerId {
    WorkerId::new(&format!("{miner:08x}{worker:08x}"))
}

impl Site {
    /// Makes the wallets and the file of neurons; the chain can start then.
    pub fn lay_out(dir: &Path, plan: &Plan) -> Result<Site, Fault> {
        let member = |name: String| -> Result<Member, Fault> {
            let made = wallet::create(&wallet_of(dir, &name))?;
            Ok(Member { hotkey: made.hotkey, name, listen: free_address()? })
        };
        let validator = member("validator".into())?;
        let miners = (0..plan.miners).map(|index| member(miner_name(index))).collect::<Result<_, _>>()?;
        let site = Site { dir: dir.to_owned(), validator, miners };
        fs::write(site.neurons_path(), serde_json::to_vec_pretty(&site.neurons())?)?;
        Ok(site)
    }

    pub fn neurons_path(&self) -> PathBuf {
        self.dir.join("neurons.json")
    }

    pub fn config_path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.yaml"))
    }

    pub fn log_path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// The chain's log: one JSON line an extrinsic.
    pub fn extrinsics_path(&self) -> PathBuf {
        self.dir.join("extrinsics.jsonl")
    }

    pub fn database_path(&self) -> PathBuf {
        self.dir.join("validator.db")
    }

    /// Files of the simulated marketplace: the access token, and its script.
    pub fn lay_out_hub(&self, script: &Value) -> Result<(PathBuf, PathBuf), Fault> {
        let (token, leases) = (self.dir.join("hub-token"), self.dir.join("leases.json"));
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        fs::write(&token, hex::encode(random))?;
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600))?;
        fs::write(&leases, serde_json::to_vec_pretty(script)?)?;
        Ok((token, leases))
    }

    fn neurons(&self) -> Value {
        let neuron = |uid: usize, member: &Member, permit: bool| {
            json!({
                "uid": uid,
                "hotkey": member.hotkey,
                "coldkey": member.hotkey,
                "stake_tao": if permit { 20_000.0 } else { 0.0 },
                "validator_permit": permit,
                "axon": null,
            })
        };
        let miners = self.miners.iter().enumerate().map(|(index, miner)| neuron(index + 1, miner, false));
        let neurons: Vec<Value> = std::iter::once(neuron(0, &self.validator, true)).chain(miners).collect();
        // a real subnet lets weights be set every 100 blocks; nobody waits that long here
        json!({"neurons": neurons, "hyperparameters": {"weights_rate_limit": 1, "serving_rate_limit": 0}})
    }

    /// Writes one configuration for each daemon, now that the chain's address is known. JSON is YAML.
    pub fn configure(&self, plan: &Plan, chain: &str) -> Result<(), Fault> {
        self.write("validator", self.validator_settings(plan, chain), &plan.validator)?;
        for (index, miner) in self.miners.iter().enumerate() {
            self.write(&miner.name, self.miner_settings(miner, chain), &plan.miner)?;
            for worker in 0..plan.workers {
                let mut over = plan.worker.clone();
                if (index + 1, worker + 1) == (self.miners.len(), plan.workers) {
                    merge(&mut over, &plan.last_worker);
                }
                self.write(&worker_name(index, worker), worker_settings(miner, index, worker), &over)?;
            }
        }
        Ok(())
    }

    fn write(&self, name: &str, mut settings: Value, over: &Value) -> Result<(), Fault> {
        merge(&mut settings, over);
        Ok(fs::write(self.config_path(name), serde_json::to_vec_pretty(&settings)?)?)
    }

    fn wallet(&self, member: &Member) -> Value {
        json!({"path": self.dir.join("wallets"), "name": member.name, "hotkey": "default"})
    }

    fn validator_settings(&self, plan: &Plan, chain: &str) -> Value {
        json!({
            "host": "127.0.0.1",
            "port": self.validator.listen.port(),
            "external_ip": "127.0.0.1",
            "netuid": NETUID,
            "subtensor": {"network": chain, "metadata_cache": self.dir.join("cache")},
            "metagraph": {"sync_interval": 1, "weight_update_tempo": 3},
            "wallet": self.wallet(&self.validator),
            "database": {"url": format!("sqlite:///{}", self.database_path().display())},
            "validation": {
                "challenge_interval": 3,
                "cpu": {"matrix_size": plan.matrix_size},
            },
            "weight_management": {"recalculate_interval": 2},
        })
    }

    fn miner_settings(&self, miner: &Member, chain: &str) -> Value {
        json!({
            "netuid": NETUID,
            "subtensor": {"network": chain, "metadata_cache": self.dir.join("cache")},
            "metagraph": {"sync_interval": 1},
            "wallet": self.wallet(miner),
            "heartbeat_interval": 1,
            "task_poll_interval": 0.5,
            "worker_management": {"host": "127.0.0.1", "port": miner.listen.port()},
            "receipts": {"directory": self.dir.join(format!("{}-receipts", miner.name)), "interval": 2},
        })
    }
}

fn worker_settings(miner: &Member, index: usize, worker: usize) -> Value {
    json!({
        "worker_name": worker_name(index, worker),
        "worker_id": worker_id(index, worker),
        "miner_url": format!("ws://{}", miner.listen),
        "heartbeat_interval": 1,
        "reconnect_interval": 0.5,
    })
}

/// Objects are merged key by key, everything else is replaced.
pub fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// A loopback address whose port was free when it was asked for.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// The address that a simulation announces on its standard output, once it has.
pub fn announced_url(log: &Path) -> Option<String> {
    let file = fs::File::open(log).ok()?;
    let line = BufReader::new(file).lines().map_while(Result::ok).find(|line| line.contains("listening on http://"))?;
    line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_merge_key_by_key() {
        let mut base = json!({"a": {"b": 1, "c": 2}, "d": 3});
        merge(&mut base, &json!({"a": {"c": 4}, "e": 5}));
        assert_eq!(base, json!({"a": {"b": 1, "c": 4}, "d": 3, "e": 5}));
    }
}
