//! What each program says of its build: the same in all of them, and nothing of when, where and by whom it was made.

use std::process::Command;

use serde_json::Value;

fn said(exe: &str, words: &[&str]) -> String {
    let output = Command::new(exe).args(words).output().expect("a program");
    assert_eq!(output.status.code(), Some(0), "{exe} {words:?}");
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

#[test]
fn every_program_names_version_and_revision() {
    let tool = env!("CARGO_BIN_EXE_byteleap");
    let build: Value = serde_json::from_str(&said(tool, &["version", "--json"])).expect("JSON");
    let fields: Vec<&str> = build.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        ["features", "profile", "revision", "target", "version"],
        "nothing else is a constant of the build"
    );
    let text = |field: &str| build[field].as_str().expect("a text").to_owned();
    assert_eq!(text("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(text("revision"), option_env!("BYTELEAP_REVISION").unwrap_or("unknown"));
    assert_eq!(text("profile"), if cfg!(debug_assertions) { "debug" } else { "release" });
    assert!(text("target").ends_with("-linux-gnu") || text("target").ends_with("-linux-musl"), "{build}");
    assert_eq!(build["features"].as_array().expect("a list").len(), usize::from(cfg!(feature = "cuda")));

    let short = format!("{} (revision {})", text("version"), text("revision"));
    assert!(said(tool, &["version"]).starts_with(&format!("byteleap {short}, {}", text("target"))));
    for (name, exe) in [
        ("byteleap", tool),
        ("validator", env!("CARGO_BIN_EXE_validator")),
        ("miner", env!("CARGO_BIN_EXE_miner")),
        ("worker", env!("CARGO_BIN_EXE_worker")),
    ] {
        assert_eq!(said(exe, &["--version"]), format!("{name} {short}"));
    }
}
