//! What a subnet leaves behind: scores and weights that can be calculated again, and receipts that explain them.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

fn tool(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_byteleap")).args(arguments).output().expect("the tool runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A subnet of one miner and two workers, as it was when its weights were confirmed.
fn subnet(dir: &Path) {
    let output = tool(&["devnet", "--json", "--miners", "1", "--workers", "2", "--keep", dir.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

fn altered(dir: &Path) {
    for validator in fs::read_dir(dir.join("miner-0-receipts")).expect("receipts").flatten() {
        for sheet in fs::read_dir(validator.path()).expect("sheets").flatten() {
            let all = fs::read_to_string(sheet.path()).expect("a sheet");
            fs::write(sheet.path(), all.replace("\\\"counted\\\":", "\\\"counted\\\":1")).expect("a changed sheet");
        }
    }
}

#[test]
fn a_subnet_can_be_replayed_and_its_receipts_explain_it() {
    let dir = tempfile::tempdir().expect("a directory");
    subnet(dir.path());
    let database = dir.path().join("validator.db");
    let replayed = tool(&["replay", "--all", "--json", "--database", database.to_str().unwrap()]);
    let said: Value = serde_json::from_slice(&replayed.stdout).expect("one object");
    assert_eq!((replayed.status.code(), &said["identical"]), (Some(0), &Value::Bool(true)), "{said}");
    let of = |what: &str| said["compared"].as_array().unwrap().iter().filter(|one| one["of"] == what).count();
    assert!(of("scores") >= 2 && of("weights") >= 1, "{said}");
    let config = dir.path().join("miner-0.yaml");
    let why = |more: &[&str]| tool(&[&["why", "--config", config.to_str().unwrap()], more].concat());
    let all = why(&[]);
    assert_eq!(all.status.code(), Some(0), "{}", text(&all.stderr));
    assert!(
        text(&all.stdout).contains("no worker of the miner is on lease, which is 70 % of the score"),
        "{}",
        text(&all.stdout)
    );
    let json: Value = serde_json::from_slice(&why(&["--json"]).stdout).expect("one object");
    let receipts = json["validators"][0]["receipts"].as_array().expect("receipts").clone();
    assert_eq!(receipts.len(), 2, "{json}");
    let worker = receipts[0]["worker"].as_str().unwrap();
    let one = text(&why(&[worker]).stdout);
    assert!(one.contains("→ offer the worker on the marketplace"), "{one}");
    let nobody = why(&["nobody"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("no validator has a receipt of nobody"), "{}", text(&nobody.stderr));
    altered(dir.path());
    let forged = why(&[]);
    assert_eq!(forged.status.code(), Some(1), "{}", text(&forged.stdout));
}
