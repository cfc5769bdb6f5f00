//! A simulated chain with two neurons, their wallets, and the tool beside it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use byteleap::{config::wallet::Wallet, units::Hotkey, wallet};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What the validator's coldkey has beside its stake; the miner's has nothing.
pub const RICH_TAO: f64 = 10.0;

const TOOL: &str = env!("CARGO_BIN_EXE_byteleap");

pub struct Stage {
    pub dir: TempDir,
    pub url: String,
    pub validator: Hotkey,
    pub miner: Hotkey,
    chain: Child,
}

/// How a run of the tool ended.
pub struct Ended {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Stage {
    /// With these hyper-parameters over the chain's defaults, and a block each 50 ms.
    pub fn start(hyperparameters: &Value) -> Stage {
        Stage::with(hyperparameters, true)
    }

    /// `announced`: both neurons have an axon. The validator's is on the internet, the miner's in a local network.
    pub fn with(hyperparameters: &Value, announced: bool) -> Stage {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let [validator, miner, rich] = ["validator", "miner", "rich"].map(|name| {
            let made = wallet::create(&wallet_of(&dir, name)).expect("a hotkey");
            made.hotkey
        });
        let axon = |address: &str| if announced { json!(address) } else { Value::Null };
        let genesis = json!({"hyperparameters": hyperparameters, "neurons": [
            {"uid": 0, "hotkey": validator, "coldkey": validator, "stake_tao": 20_000, "validator_permit": true,
             "axon": axon("8.8.8.8:9091")},
            {"uid": 1, "hotkey": miner, "coldkey": miner, "stake_tao": 0, "validator_permit": false,
             "axon": axon("192.168.1.1:7799")},
        ], "balances": {validator.as_str(): RICH_TAO, rich.as_str(): RICH_TAO}});
        let neurons = dir.path().join("neurons.json");
        fs::write(&neurons, genesis.to_string()).expect("a writable directory");
        let mut chain = Command::new(TOOL)
            .args(["subtensor-sim", "--listen", "127.0.0.1:0", "--netuid", "128", "--block-time-s", "0.05"])
            .arg("--neurons")
            .arg(&neurons)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the simulated chain");
        let mut line = String::new();
        let out = chain.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("its first line");
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).expect("its address").to_owned();
        let stage = Stage { dir, url, validator, miner, chain };
        // the first block alone does not say when it was made
        stage.control("sim_makeBlocks", &json!([1]));
        stage
    }

    /// The same, and it goes on by itself: what it says so far is read by whoever waits for it.
    pub fn chain_begun(&self, command: &str, arguments: &[&str]) -> Child {
        let common = ["chain", command, "--network", &self.url];
        tool(&[&common, arguments].concat()).spawn().expect("the tool")
    }

    /// A method of the simulation, and what it answers.
    pub fn control(&self, method: &str, params: &Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let mut answer =
            ureq::post(&self.url).header("content-type", "application/json").send(body).expect("an answer");
        let answer = answer.body_mut().read_to_string().expect("text");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// How many extrinsics of that signer blocks have executed.
    pub fn executed(&self, signer: &Hotkey) -> u64 {
        self.control("system_accountNextIndex", &json!([signer])).as_u64().expect("a number")
    }

    /// `byteleap chain COMMAND --network THIS …`.
    pub fn chain(&self, command: &str, arguments: &[&str]) -> Ended {
        self.chain_fed(command, arguments, "")
    }

    /// With something on its standard input, which is no terminal.
    pub fn chain_fed(&self, command: &str, arguments: &[&str], input: &str) -> Ended {
        let common = ["chain", command, "--network", &self.url];
        run(&common.into_iter().chain(arguments.iter().copied()).collect::<Vec<_>>(), input)
    }

    /// The object that `--json` gives.
    pub fn json(&self, command: &str, arguments: &[&str]) -> Value {
        let ended = self.chain(command, &[arguments, &["--json"]].concat());
        assert_eq!(ended.status, Some(0), "{}", ended.err);
        serde_json::from_str(&ended.out).expect("one JSON object")
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("a writable directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a file of ours");
        path.display().to_string()
    }

    /// Where the wallets are, and whose is meant.
    pub fn wallet<'a>(&self, name: &'a str, wallets: &'a str) -> [&'a str; 4] {
        ["--path", wallets, "--name", name]
    }

    pub fn wallets(&self) -> String {
        self.path("wallets")
    }
}

pub fn wallet_of(dir: &TempDir, name: &str) -> Wallet {
    let path: PathBuf = dir.path().join("wallets");
    Wallet { path, name: name.into(), hotkey: "default".into(), file: None, password_file: None }
}

fn tool(arguments: &[&str]) -> Command {
    let mut tool = Command::new(TOOL);
    tool.args(arguments).env("HOME", "/nowhere");
    // no absolute path: nothing is kept
    tool.env("XDG_CACHE_HOME", "none").env_remove("CACHE_DIRECTORY");
    tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    tool
}

/// A run without any chain of ours, and without the wallets of whoever runs the tests.
pub fn run(arguments: &[&str], input: &str) -> Ended {
    let mut child = tool(arguments).spawn().expect("the tool");
    let mut stdin = child.stdin.take().expect("it is piped");
    // a tool that reads nothing may have ended already
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output().expect("an end");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ended { status: status.code(), out: text(stdout), err: text(stderr) }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.chain.kill();
        let _ = self.chain.wait();
    }
}
