//! `byteleap maintenance`: what it writes, shows and refuses.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

/// Exit status, standard output and standard error.
fn run(dir: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_byteleap"));
    let output = tool.current_dir(dir).arg("maintenance").args(words).output().expect("the tool");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn windows_are_announced_shown_and_ended() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("miner.yaml"), "netuid: 128\n").unwrap();
    let (status, text, _) = run(dir.path(), &[]);
    assert_eq!((status, text.as_str()), (Some(0), "no maintenance is announced\n"));
    let (status, text, _) = run(dir.path(), &["w1", "w2", "--for", "2h", "--in", "30m"]);
    assert!(status == Some(0) && text.contains("w1") && text.contains("announced"), "{text}");
    let (_, text, _) = run(dir.path(), &["w1", "--for", "90m", "--json"]);
    let said: Value = serde_json::from_str(&text).unwrap();
    let length = |place: usize| {
        let notice = &said["maintenance"][place];
        notice["until"].as_u64().unwrap() - notice["from"].as_u64().unwrap()
    };
    assert_eq!((length(0), length(1)), (5400, 7200), "another window takes the place of the first");
    let (status, text, _) = run(dir.path(), &["w1", "w2", "--end"]);
    assert_eq!((status, text.as_str()), (Some(0), "no maintenance is announced\n"));
    assert_eq!(fs::read_to_string(dir.path().join("maintenance.json")).unwrap(), "{\n  \"maintenance\": []\n}\n");
}

#[test]
fn what_makes_no_sense_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("miner.yaml"), "netuid: 128\n").unwrap();
    for (words, status, told) in [
        (&["w1", "--for", "25h"][..], 78, "at most 24 h"),
        (&["w1", "--for", "0m"], 78, "more than 0"),
        (&["w1", "--for", "1h", "--in", "169h"], 78, "at most 168h"),
        (&["w1", "w2", "--end"], 78, "no maintenance of w1 is announced"),
        (&["w1", "--for", "soon"], 2, "a number with s, m or h behind it"),
        (&["w1"], 2, "--for"),
        (&["--for", "2h"], 2, "WORKER"),
    ] {
        let (code, _, error) = run(dir.path(), words);
        assert!(code == Some(status) && error.contains(told), "{words:?}: {code:?} {error}");
    }
    assert!(!dir.path().join("maintenance.json").exists());
    fs::write(dir.path().join("maintenance.json"), "{").unwrap();
    let (code, _, error) = run(dir.path(), &["w1", "--for", "1h"]);
    assert!(code == Some(78) && error.contains("maintenance.json: no file of maintenance"), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join("maintenance.json")).unwrap(), "{", "nobody's file is overwritten");
    fs::write(dir.path().join("miner.yaml"), "netuid: 128\nmaintenance: {file: none}\n").unwrap();
    assert!(run(dir.path(), &[]).2.contains("maintenance.file is none"));
}
