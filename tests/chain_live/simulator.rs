//! Our own node as a process, with a short block time and three neurons.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use byteleap::wire::keys::Keypair;
use serde_json::json;

/// Ended with the test.
pub struct Simulator {
    child: Child,
    pub url: String,
    _files: tempfile::TempDir,
}

impl Simulator {
    pub fn start() -> Simulator {
        let files = tempfile::tempdir().unwrap();
        let neuron = |uid: u8| {
            let hotkey = Keypair::from_seed([uid + 1; 32]).unwrap().hotkey().clone();
            json!({"uid": uid, "hotkey": hotkey, "coldkey": hotkey, "stake_tao": 5000.0, "validator_permit": uid == 0,
                "axon": null})
        };
        let neurons = files.path().join("neurons.json");
        std::fs::write(&neurons, json!([neuron(0), neuron(1), neuron(2)]).to_string()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_byteleap"))
            .args(["subtensor-sim", "--listen", "127.0.0.1:0", "--netuid", "128", "--block-time-s", "0.1", "--neurons"])
            .arg(&neurons)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Simulator { child, url, _files: files }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
