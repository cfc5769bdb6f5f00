//! `decode-extrinsic`: recorded bytes by a file of metadata, what is given on standard input, and a node's own blocks.

use serde_json::{Value, json};

use crate::stage::{Ended, Stage, run};

/// As a node of spec 425 serves it.
const METADATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/spoke/subtensor_sim/data/spec425_v15.scale");

/// A weight setting that a chain of spec 425 took.
const SET_WEIGHTS: &str = concat!(
    "0x0902840010470b1b9aca3eff152cff081c301e4cc8f73e8397b567bd8f10d11d35580c6d018693b3aca0e39eda5d31691a",
    "40d50d377558189dc77f371b6652246b354a9b21f887c1ac57929ceb1e337fce312ff154920b44ab90f37f5bedbeca82abbb",
    "b58d72004c0000070002000c0000010002000c6400ffffde000000000000000000",
);

fn offline(arguments: &[&str], input: &str) -> Ended {
    run(&[&["chain", "decode-extrinsic", "--metadata", METADATA], arguments].concat(), input)
}

#[test]
fn recorded_bytes_are_read_without_a_node() {
    let ended = offline(&[SET_WEIGHTS, "--json"], "");
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let read: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(read["call"], "SubtensorModule.set_weights");
    assert_eq!((&read["arguments"]["netuid"], &read["arguments"]["dests"]), (&json!(2), &json!([0, 1, 2])));
    assert!(read["signed"]["by"].as_str().is_some_and(|by| by.starts_with('5')), "{read}");
    assert_eq!(read["signed"]["signature"].as_str().map(str::len), Some(130), "{read}");
    let text = offline(&["-"], &format!("{SET_WEIGHTS}\n"));
    assert_eq!(text.status, Some(0), "{}", text.err);
    let lines: Vec<&str> = text.out.lines().take(3).collect();
    assert_eq!(lines[..2], ["SubtensorModule.set_weights", "  netuid       2"], "arguments keep their order");
    assert!(text.out.contains("  dests        [0,1,2]\n"), "{}", text.out);
}

#[test]
fn bytes_of_a_block_are_read_by_its_own_node() {
    let stage = Stage::start(&json!({}));
    let bare = "280402000b7b178f03a201";
    let ended = stage.chain("decode-extrinsic", &[bare]);
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    assert!(
        ended.out.starts_with("Timestamp.set\n  now  ") && ended.out.contains("no: the block's author"),
        "{}",
        ended.out
    );
    let at = stage.chain("decode-extrinsic", &["--at", "1", SET_WEIGHTS]);
    assert_eq!(at.status, Some(0), "{}", at.err);
    let unborn = stage.chain("decode-extrinsic", &["--at", "4000000000", SET_WEIGHTS]);
    assert_eq!(unborn.status, Some(1));
    assert!(unborn.err.contains("no block 4000000000"), "{}", unborn.err);
}

#[test]
fn what_is_no_extrinsic_is_named() {
    for (given, told, status) in [
        ("", "no extrinsic: its bytes in hex are an argument", 78),
        ("0xzz", "the extrinsic is no hex", 78),
        ("0x28", "extrinsic", 1),
        (&SET_WEIGHTS[..120], "extrinsic of ", 1),
    ] {
        let ended = offline(&["-"], given);
        assert_eq!(ended.status, Some(status), "{given:.20}: {}", ended.err);
        assert!(ended.err.contains(told), "{given:.20}: {}", ended.err);
    }
    let missing = run(&["chain", "decode-extrinsic", "--metadata", "/nowhere/metadata", SET_WEIGHTS], "");
    assert_eq!(missing.status, Some(78));
    assert!(missing.err.contains("/nowhere/metadata: No such file"), "{}", missing.err);
    let bad = run(&["chain", "decode-extrinsic", "--metadata", "/dev/null", SET_WEIGHTS], "");
    assert_eq!(bad.status, Some(78));
    assert!(bad.err.contains("metadata does not decode"), "{}", bad.err);
}
