//! `byteleap replay`, `shadow`, `export` and `import` on databases as a validator leaves them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use byteleap::{
    machine::{
        contract::store::{
            Asked, ChallengeRow, End, HeartbeatWrite, Reach, ScoreRequest, StoreReply, StoreRequest, WeightBasis, Work,
            WorkerSeen, Write,
        },
        score::{Policy, PolicyName, emit},
    },
    spoke::store::Store,
    units::{ChallengeId, Hotkey, Uid, Wall, WorkerId, WorkerKey},
};
use serde_json::Value;
use tempfile::TempDir;

const NOON: Wall = Wall(1_768_478_400_000_000_000); // 2026-01-15T12:00:00Z
const MINERS: [&str; 2] = ["5Alice", "5Bob"];

fn tool(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_byteleap")).args(arguments).output().expect("the tool runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn commit(store: &mut Store, writes: Vec<Write>) {
    let reply = store.serve(StoreRequest::Commit { batch: 1, writes });
    assert!(matches!(reply, StoreReply::Committed { .. }), "{reply:?}");
}

/// A worker that was there for an hour and passed one challenge.
fn miner(hotkey: &str, computation_ms: f64) -> Vec<Write> {
    let (label, id) = (Hotkey::label(hotkey), ChallengeId::new(&format!("challenge of {hotkey}")));
    let beat = |minutes: u64| {
        let at = NOON - Duration::from_secs(60 * minutes);
        Write::Heartbeat(Box::new(HeartbeatWrite {
            hotkey: label.clone(),
            at,
            workers: vec![WorkerSeen::named("w1")],
            maintenance: None,
        }))
    };
    let row = ChallengeRow {
        id: id.clone(),
        target: WorkerKey::new(&label, &WorkerId::new("w1")),
        work: Work::CpuMatrix { n: 100, iterations: 1 },
        seed: String::new(),
        round_id: String::new(),
        created: NOON,
    };
    let end = End::Verified { success_count: 1, ops: 2e6, note: None, passed: vec![] };
    let asked = Asked::Rows(vec![1]);
    let steps = [
        Write::ChallengeCreated(row),
        Write::ChallengeSent { id: id.clone(), at: NOON },
        Write::ChallengeCommitted { id: id.clone(), at: NOON, computation_ms, commitments: vec![], asked },
        Write::ChallengeEnded { id, at: NOON, end, verify_ms: None },
    ];
    (0..12).rev().map(|n| beat(5 * n)).chain(steps).collect()
}

/// A database in which two miners were scored and weights were made, and the directory that it is in.
fn scored() -> (TempDir, PathBuf) {
    scored_at(NOON + Duration::from_secs(60))
}

fn scored_at(at: Wall) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("validator.db");
    let mut store = Store::open(&path, &Hotkey::label("5Validator")).expect("a database");
    commit(&mut store, miner(MINERS[0], 100.0).into_iter().chain(miner(MINERS[1], 300.0)).collect());
    let request = ScoreRequest {
        at,
        reach: Reach { ranking: Duration::from_secs(10_800), heard: Duration::from_secs(7 * 86_400) },
        metagraph: MINERS.map(Hotkey::label).into(),
        policy: Policy::named(PolicyName::Reference7030),
        shadow: Some(Policy::named(PolicyName::LeaseOnly)),
    };
    let StoreReply::Scored(calculation) = store.serve(StoreRequest::Score(Box::new(request))) else {
        panic!("no scores")
    };
    let shares: Vec<(Hotkey, f64)> =
        calculation.scores.miners.iter().map(|miner| (miner.hotkey.clone(), miner.weight)).collect();
    let weights = emit(&shares).into_iter().zip(1..).map(|((hotkey, share), uid)| (Uid(uid), hotkey, share)).collect();
    let at = calculation.scores.at;
    let basis = Box::new(WeightBasis { scored_at: at, left_out: vec![], limit: u16::MAX });
    let intent = Write::WeightIntent { id: 1, at, at_block: 77, weights, basis };
    commit(&mut store, vec![Write::Scored(calculation), intent]);
    (dir, path)
}

fn replay(path: &Path, more: &[&str]) -> (i32, String, String) {
    let output = tool(&[&["replay", "--database", path.to_str().unwrap()], more].concat());
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn scores_and_weights_are_calculated_again() {
    let (_dir, path) = scored();
    let (code, out, err) = replay(&path, &[]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let expected = "scores of 2026-01-15T12:01:00.000000Z by reference-70-30/2, 2 miners, 2 workers, facts up to 27: identical\n\
                    weights 1 of 2026-01-15T12:01:00.000000Z, block 77, 2 uids, meant to be set and not sent yet: identical\n";
    assert_eq!(out, expected);
    for which in [
        &["--at", "2026-01-15T12:01:00Z"][..],
        &["--at", "2026-01-15T12:01:00.000000Z"],
        &["--at", "2026-01-15T12:30:00.5Z"],
        &["--at", "1768480000"],
        &["--epoch", "1"],
        &["--all"],
    ] {
        let (code, out, _) = replay(&path, which);
        assert_eq!(code, 0, "{which:?}: {out}");
    }
    let (_, out, _) = replay(&path, &["--all", "--json"]);
    let json: Value = serde_json::from_str(&out).expect("one object");
    assert_eq!((&json["identical"], json["compared"].as_array().unwrap().len()), (&Value::Bool(true), 2));
}

#[test]
fn what_was_changed_afterwards_is_named() {
    let (_dir, path) = scored();
    let raw = rusqlite::Connection::open(&path).expect("the database");
    raw.execute("UPDATE challenges SET computation_ms = 150.0 WHERE computation_ms = 300.0", []).expect("a change");
    let (code, out, err) = replay(&path, &[]);
    assert_eq!(code, 1);
    assert!(out.contains("DIFFERENT: 5Alice: weight was 0.75, and is 0.6 now"), "{out}");
    assert!(out.contains("DIFFERENT: 5Bob: its weight, of 65535, was 21845, and is 43690 now"), "{out}");
    assert_eq!(err, "byteleap: 2 of 2 differ from what was recorded\n");
    raw.execute("UPDATE weight_intents SET weights = replace(weights, '21845', '21846')", []).expect("a change");
    raw.execute("UPDATE challenges SET computation_ms = 300.0 WHERE computation_ms = 150.0", []).expect("a change");
    let (code, out, _) = replay(&path, &["--epoch", "1", "--json"]);
    let json: Value = serde_json::from_str(&out).expect("one object");
    let said: Vec<&Value> = json["compared"].as_array().unwrap().iter().map(|of| &of["difference"]).collect();
    let weight = "5Bob: its weight, of 65535, was 21846, and is 21845 now";
    assert_eq!((code, said), (1, vec![&Value::Null, &Value::String(weight.into())]));
}

#[test]
fn what_is_not_there_is_said() {
    let (dir, path) = scored();
    let (code, _, err) = replay(&path, &["--epoch", "9"]);
    assert_eq!((code, err.as_str()), (1, "byteleap: the database has no weights of number 9\n"));
    let (code, _, err) = replay(&path, &["--at", "2026-01-15"]);
    let text = "byteleap: no scores were calculated until 2026-01-15T00:00:00.999999Z: the oldest are of 2026-01-15T12:01:00.000000Z\n";
    assert_eq!((code, err.as_str()), (1, text));
    let (code, _, err) = replay(&path, &["--at", "noon"]);
    assert_eq!(code, 2, "{err}");
    let (code, _, err) = replay(&dir.path().join("none.db"), &[]);
    assert_eq!(code, 78);
    assert!(err.contains("none.db"), "{err}");
}

fn change(path: &Path, sql: &str) {
    assert_eq!(rusqlite::Connection::open(path).expect("the database").execute(sql, []).expect("a change"), 1);
}

#[test]
fn the_time_that_is_printed_means_the_calculation_that_it_was_printed_of() {
    let (_dir, path) = scored_at(NOON + Duration::from_nanos(60_918_159_074));
    let (_, out, _) = replay(&path, &[]);
    let printed = "2026-01-15T12:01:00.918159Z";
    assert!(out.contains(&format!("scores of {printed} by")), "{out}");
    for at in [printed, "2026-01-15T12:01:00Z", "1768478460"] {
        let (code, out, err) = replay(&path, &["--at", at]);
        assert!(code == 0 && out.contains(printed), "{at}: {out}{err}");
    }
    let (code, _, err) = replay(&path, &["--at", "2026-01-15T12:01:00.918158Z"]);
    assert_eq!(code, 1, "{err}");
}

#[test]
fn weights_without_their_calculation_are_named_and_not_compared_with_an_older_one() {
    let (_dir, path) = scored();
    change(
        &path,
        "INSERT INTO weight_intents SELECT 2, at, at_block, weights, scored_at + 1000, left_out, max_share FROM weight_intents",
    );
    change(&path, "INSERT INTO weight_outcomes (intent, at, kind, block) VALUES (2, 0, 'confirmed', 80)");
    let (code, out, err) = replay(&path, &["--epoch", "2"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains(
            "weights 2 were made from the scores of 2026-01-15T12:01:00.000001Z, and that calculation was not kept"
        ),
        "{err}"
    );
    let (code, out, err) = replay(&path, &["--all"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[1].ends_with("2 uids, meant to be set and not sent yet: identical"), "{out}");
    let last =
        "2 uids, confirmed on the chain in block 80: not kept any more: the calculation of 2026-01-15T12:01:00.000001Z";
    assert!(lines[2].ends_with(last), "{out}");
    let (_, out, _) = replay(&path, &["--all", "--json"]);
    let json: Value = serde_json::from_str(&out).expect("one object");
    let of = &json["compared"][2];
    assert_eq!(
        (&of["identical"], &of["chain"]["state"], &of["chain"]["block"]),
        (&Value::Null, &"confirmed".into(), &80.into())
    );
}

#[test]
fn the_shadow_stands_beside_the_newest_scores() {
    let (_dir, path) = scored();
    let output = tool(&["shadow", "--database", path.to_str().unwrap()]);
    let expected = "lease-only/1 in the shadow of the scores of 2026-01-15T12:01:00.000000Z\n\
                    hotkey  weight %  shadow %  change %\n\
                    5Alice    75.000     0.000   -75.000\n\
                    5Bob      25.000     0.000   -25.000\n";
    assert_eq!(text(&output.stdout), expected);
    let output = tool(&["shadow", "--json", "--database", path.to_str().unwrap()]);
    let json: Value = serde_json::from_str(&text(&output.stdout)).expect("one object");
    assert_eq!(json["miners"][1]["change"], -0.25);
}

fn files(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_database_moves_whole_and_overwrites_nothing() {
    let (dir, path) = scored();
    let other = tempfile::tempdir().expect("a directory");
    let exported = dir.path().join("exported.db");
    let export = || tool(&["export", "--database", path.to_str().unwrap(), exported.to_str().unwrap()]);
    assert_eq!(export().status.code(), Some(0));
    assert_eq!(export().status.code(), Some(78), "the file is there");
    let (code, out, _) = replay(&exported, &["--all"]);
    assert_eq!(code, 0, "{out}");
    let wallet = other.path().join("wallets");
    let made = tool(&["wallet", "new", "--path", wallet.to_str().unwrap()]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let (config, target) = (other.path().join("validator.yaml"), other.path().join("validator.db"));
    let yaml = format!("wallet: {{path: {}}}\ndatabase: {{url: 'sqlite:///{}'}}\n", wallet.display(), target.display());
    fs::write(&config, yaml).unwrap();
    let import = || tool(&["import", "--config", config.to_str().unwrap(), exported.to_str().unwrap()]);
    let refused = import();
    assert_eq!(refused.status.code(), Some(78));
    assert!(
        text(&refused.stderr).contains("holds what the validator with the hotkey 5Validator knows"),
        "{}",
        text(&refused.stderr)
    );
    assert!(!files(other.path()).contains("validator.db"));
    let shown = tool(&["wallet", "show", "--path", wallet.to_str().unwrap()]);
    let hotkey = text(&shown.stdout).lines().next().unwrap().to_owned();
    let raw = rusqlite::Connection::open(&exported).unwrap();
    raw.execute("UPDATE owner SET hotkey = ?1", [hotkey]).unwrap();
    drop(raw);
    let left = other.path().join("validator.db-wal");
    fs::write(&left, "").unwrap();
    let refused = import();
    assert_eq!(refused.status.code(), Some(78));
    assert!(text(&refused.stderr).contains("validator.db-wal: is left of a database that is gone"));
    fs::remove_file(left).unwrap();
    let imported = import();
    assert_eq!(imported.status.code(), Some(0), "{}", text(&imported.stderr));
    assert_eq!(import().status.code(), Some(78), "it is there now");
    let (code, out, _) = replay(&target, &["--all"]);
    assert_eq!(code, 0, "{out}");
}
