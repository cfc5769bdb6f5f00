//! `byteleap why` on receipts as a miner keeps them, and as time and others leave them.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use byteleap::{
    machine::contract::receipts::ReceiptsKeep,
    spoke::receipts::Drawer,
    units::{Hotkey, Netuid, Wall, WorkerId},
    wire::{
        keys::Keypair,
        receipt::{FORMAT, Miner, Network, Reason, Receipt, SignedReceipt},
    },
};
use serde_json::Value;
use tempfile::TempDir;

const NOON: u64 = 1_768_478_400; // 2026-01-15T12:00:00Z

fn tool(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_byteleap")).args(arguments).output().expect("the tool runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn validator(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32]).expect("a key")
}

/// A miner's host.
struct Host {
    dir: TempDir,
    hotkey: Hotkey,
}

impl Host {
    fn new() -> Host {
        let dir = tempfile::tempdir().expect("a directory");
        let wallet = dir.path().join("wallets");
        let made = tool(&["wallet", "new", "--path", wallet.to_str().unwrap()]);
        assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
        let shown = tool(&["wallet", "show", "--path", wallet.to_str().unwrap()]);
        let hotkey = Hotkey::label(text(&shown.stdout).lines().next().unwrap());
        let receipts = dir.path().join("receipts");
        let yaml = format!("wallet: {{path: {}}}\nreceipts: {{directory: {}}}\n", wallet.display(), receipts.display());
        fs::write(dir.path().join("miner.yaml"), yaml).unwrap();
        Host { dir, hotkey }
    }

    fn receipts(&self) -> PathBuf {
        self.dir.path().join("receipts")
    }

    fn receipt(&self, key: &Keypair, at_s: u64) -> Receipt {
        Receipt {
            receipt: FORMAT.into(),
            validator: key.hotkey().clone(),
            netuid: 128,
            block: 1,
            at: String::new(),
            at_s,
            policy: serde_json::json!({"id": {"name": "throughput", "version": 1}}),
            hotkey: self.hotkey.clone(),
            worker: WorkerId::new("w1"),
            challenges: Default::default(),
            availability: Default::default(),
            performance: 0.0,
            score: 0.0,
            rank: None,
            lease: Default::default(),
            miner: Miner { scored: true, weight: 0.25, ..Miner::default() },
            network: Default::default(),
            reasons: vec![],
        }
    }

    fn keep(&self, key: &Keypair, receipts: Vec<SignedReceipt>) {
        let (validator, miner, heard) = (key.hotkey().clone(), self.hotkey.clone(), Wall::from_secs(NOON + 9999));
        let keep = ReceiptsKeep { validator, miner, netuid: Netuid(128), heard, receipts };
        let done = Drawer::new(self.receipts(), 24).keep(&keep);
        assert_eq!(done.faults, [""; 0]);
    }

    fn why(&self, more: &[&str]) -> (i32, String, String) {
        let config = self.dir.path().join("miner.yaml");
        let output = tool(&[&["why", "--config", config.to_str().unwrap()], more].concat());
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }
}

#[test]
fn one_bad_file_hides_no_other_validator_and_is_named() {
    let (host, ann, bob) = (Host::new(), validator(1), validator(2));
    for key in [&ann, &bob] {
        host.keep(key, vec![host.receipt(key, NOON).sign(key)]);
    }
    let (code, out, err) = host.why(&[]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    host.keep(&ann, vec![host.receipt(&ann, NOON + 60).sign(&ann)]);
    fs::write(host.receipts().join(ann.hotkey().as_str()).join(format!("{}.json", NOON + 60)), "{").unwrap();
    let (code, out, err) = host.why(&[]);
    assert_eq!(code, 1, "{out}");
    for key in [&ann, &bob] {
        let heading = format!("validator {}, scores of 2026-01-15T12:00:00Z by throughput/1", key.hotkey());
        assert!(out.contains(&heading), "{out}");
    }
    assert!(out.contains("1768478460.json: not a file of receipts ("), "{out}");
    assert_eq!(
        err,
        "byteleap: 0 receipts and 1 files of receipts can not be used; what is wrong with each is said above\n"
    );
    let (_, out, _) = host.why(&["--json", "--validator", ann.hotkey().as_str()]);
    let json: Value = serde_json::from_str(&out).expect("one object");
    assert_eq!(json["validators"].as_array().unwrap().len(), 1);
    assert_eq!(json["validators"][0]["files_not_used"].as_array().unwrap().len(), 1, "{json}");
}

#[test]
fn a_fault_is_told_as_what_it_is_and_receipts_of_another_hotkey_are_none() {
    let (host, ann) = (Host::new(), validator(1));
    host.keep(&ann, vec![host.receipt(&ann, NOON).sign(&ann)]);
    let sheet = host.receipts().join(ann.hotkey().as_str()).join(format!("{}.json", NOON + 60));
    let write = |receipts: &[Receipt]| {
        let signed: Vec<SignedReceipt> = receipts.iter().map(|receipt| receipt.sign(&ann)).collect();
        let all = serde_json::json!({"validator": ann.hotkey(), "receipts": signed});
        fs::write(&sheet, all.to_string()).unwrap();
    };
    let ours = host.receipt(&ann, NOON + 60);
    let newer = Receipt { receipt: "byteleap-receipt/2".into(), ..ours.clone() };
    write(&[ours.clone(), newer]);
    let (code, out, err) = host.why(&[]);
    assert_eq!(code, 1, "{out}");
    let said =
        "1 receipts not used: a receipt of the format \"byteleap-receipt/2\", where \"byteleap-receipt/1\" is known";
    assert!(out.contains(said) && !out.contains("altered") && !err.contains("altered"), "{out}{err}");
    let theirs = Receipt { hotkey: ann.hotkey().clone(), ..ours };
    write(&[theirs]);
    let (code, out, err) = host.why(&[]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("scores of 2026-01-15T12:00:00Z"), "{out}");
    let said = format!("json: a receipt of the miner {}, which is another", ann.hotkey());
    assert!(out.contains(&said), "{out}");
}

#[test]
fn nobody_has_a_share_of_weights_that_are_not_set() {
    let (host, ann) = (Host::new(), validator(1));
    let nothing = Network { all_zero: true, ..Network::default() };
    host.keep(&ann, vec![Receipt { network: nothing, ..host.receipt(&ann, NOON) }.sign(&ann)]);
    for more in [&[][..], &["w1"]] {
        let (_, out, _) = host.why(more);
        assert!(out.contains("no weights are set, because nobody on the subnet earned anything"), "{out}");
        assert!(!out.contains("25"), "{out}");
    }
    host.keep(&ann, vec![host.receipt(&ann, NOON + 1).sign(&ann)]);
    assert!(host.why(&[]).1.contains("this miner: 25.0000 % of the subnet's weight;"));
}

#[test]
fn a_validators_words_do_not_steer_the_terminal() {
    let (host, ann) = (Host::new(), validator(1));
    let reason = Reason { code: "c".into(), text: "\u{1b}[2Jgone".into(), remedy: "none\u{7}".into() };
    host.keep(&ann, vec![Receipt { reasons: vec![reason], ..host.receipt(&ann, NOON) }.sign(&ann)]);
    for more in [&[][..], &["w1"]] {
        let (_, out, _) = host.why(more);
        assert!(out.contains(" [2Jgone") && !out.contains(['\u{1b}', '\u{7}']), "{out:?}");
    }
}
