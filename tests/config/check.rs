//! The real daemons, asked to check a file: exit status and words.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use byteleap::{spoke::store::Store, units::Hotkey};

const WORKER: &str = env!("CARGO_BIN_EXE_worker");
const MINER: &str = env!("CARGO_BIN_EXE_miner");
const VALIDATOR: &str = env!("CARGO_BIN_EXE_validator");
const TOOL: &str = env!("CARGO_BIN_EXE_byteleap");

fn check(daemon: &str, file: &Path) -> Output {
    Command::new(daemon).arg("--config").arg(file).arg("--check").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn written(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn the_examples_are_good() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for (daemon, name) in [(WORKER, "worker.yaml"), (MINER, "miner.yaml"), (VALIDATOR, "validator.yaml")] {
        let output = check(daemon, &examples.join(name));
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
}

#[test]
fn each_problem_has_a_line_and_the_status_is_78() {
    let file = written("ping_interval: soon\nminer_ulr: x\n");
    let output = check(WORKER, file.path());
    assert_eq!(output.status.code(), Some(78));
    let text = said(&output);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].ends_with("ping_interval: is \"soon\"; allowed: seconds from 0.1 to 86400"), "{text}");
    assert!(lines[1].ends_with("miner_ulr: unknown key; did you mean miner_url?"), "{text}");
}

#[test]
fn an_auto_validator_is_told_which_policy_it_needs() {
    let output = check(VALIDATOR, written("validation: {challenge_type: auto}\n").path());
    assert_eq!(output.status.code(), Some(78));
    assert!(said(&output).contains("set scoring.policy: throughput"), "{}", said(&output));
    let together = written("validation: {challenge_type: auto}\nscoring: {policy: throughput}\n");
    let output = check(VALIDATOR, together.path());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn a_warning_does_not_stop_a_check() {
    let output = check(WORKER, written("max_concurrent_tasks: 4\n").path());
    assert_eq!(output.status.code(), Some(0));
    assert!(said(&output).contains("max_concurrent_tasks: has no effect: "), "{}", said(&output));
}

#[test]
fn a_missing_file_and_an_unknown_argument_are_the_operators() {
    let output = check(VALIDATOR, Path::new("/nowhere/validator.yaml"));
    assert_eq!(output.status.code(), Some(78));
    assert!(said(&output).contains("cannot read the validator's configuration /nowhere/validator.yaml: No such file"));
    let output = Command::new(VALIDATOR).arg("--verbose").output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let output = Command::new(VALIDATOR).arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_missing_token_file_is_named() {
    let file = written("token_file: /nowhere/token\n");
    let output = Command::new(WORKER).arg("--config").arg(file.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(said(&output).contains("token_file: cannot read /nowhere/token: No such file"), "{}", said(&output));
}

#[test]
fn a_missing_wallet_is_named_with_what_makes_one() {
    let dir = tempfile::tempdir().unwrap();
    let text =
        format!("wallet: {{path: {0}, name: fleet}}\ndatabase: {{url: 'sqlite:///{0}/v.db'}}\n", dir.path().display());
    let output = Command::new(VALIDATOR).arg("--config").arg(written(&text).path()).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    let told = format!("no hotkey at {}/fleet/hotkeys/default; `byteleap wallet new --path", dir.path().display());
    assert!(said(&output).contains(&told), "{}", said(&output));
}

#[test]
fn the_tool_explains_how_it_runs_a_daemon_and_the_daemon_itself() {
    let help = |words: &[&str]| {
        let output = Command::new(TOOL).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(help(&["run", "--help"]).contains("validator"));
    assert!(help(&["run", "worker", "--help"]).contains("Usage: worker [OPTIONS]"));
}

/// A good hotkey and nothing else, as `byteleap wallet new` leaves it; the file's text that names it.
fn with_wallet(dir: &Path) -> String {
    let output = Command::new(TOOL).args(["wallet", "new", "--path"]).arg(dir).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    format!("wallet: {{path: {}}}\n", dir.display())
}

fn check_files(daemon: &str, text: &str) -> Output {
    Command::new(daemon).arg("--config").arg(written(text).path()).arg("--check-files").output().unwrap()
}

#[test]
fn a_check_alone_looks_at_no_other_file() {
    let text = "wallet: {path: /nowhere}\nworker_management: {token_file: /nowhere/token}\n";
    assert_eq!(check(MINER, written(text).path()).status.code(), Some(0));
}

#[test]
fn every_file_that_cannot_be_used_is_told_at_once() {
    let output = check_files(MINER, "wallet: {path: /nowhere}\nworker_management: {token_file: /nowhere/token}\n");
    assert_eq!(output.status.code(), Some(78));
    let text = said(&output);
    assert!(text.contains("no hotkey at /nowhere/default/hotkeys/default"), "{text}");
    assert!(text.contains("worker_management.token_file: cannot read /nowhere/token: No such file"), "{text}");
    assert!(text.contains("2 files that the configuration names cannot be used"), "{text}");
    let output = check_files(VALIDATOR, "wallet: {path: /nowhere}\ndatabase: {url: 'sqlite:////nowhere/v.db'}\n");
    assert_eq!(output.status.code(), Some(78));
    assert!(said(&output).contains("/nowhere/v.db: cannot open the database; make its directory"), "{}", said(&output));
}

#[test]
fn files_that_can_be_used_pass_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let wallet = with_wallet(dir.path());
    let database = dir.path().join("v.db");
    let text = format!("{wallet}database: {{url: 'sqlite:///{}'}}\n", database.display());
    let output = check_files(VALIDATOR, &text);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!database.exists());
    let token = dir.path().join("token");
    fs::write(&token, "0123456789abcdef\n").unwrap();
    let output = check_files(WORKER, &format!("token_file: {}\n", token.display()));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("can be read by others than its owner: `chmod 600 "), "{}", said(&output));
}

#[test]
fn the_database_of_another_hotkey_is_named_with_both() {
    let dir = tempfile::tempdir().unwrap();
    let wallet = with_wallet(dir.path());
    let database = dir.path().join("v.db");
    drop(Store::open(&database, &Hotkey::label("5SomebodyElse")).unwrap());
    let output = check_files(VALIDATOR, &format!("{wallet}database: {{url: 'sqlite:///{}'}}\n", database.display()));
    assert_eq!(output.status.code(), Some(78));
    let told = "holds what the validator with the hotkey 5SomebodyElse knows, and this one has 5";
    assert!(said(&output).contains(told), "{}", said(&output));
}

const CREDENTIAL_KEYS: &str = "external_ip: 192.0.2.7\nwallet: {file: 'credential:hotkey', password_file: 'credential:password'}\n\
    meshhub: {ws_url: 'wss://hub.example/ws', access_token_file: 'credential:hub', ca_file: 'credential:ca'}\n";

/// As the service manager starts it: with a directory of credentials, or as anybody else does.
fn with_credentials(daemon: &str, text: &str, how: &[&str], directory: Option<&Path>) -> Output {
    let file = written(text);
    let mut command = Command::new(daemon);
    command.arg("--config").arg(file.path()).args(how).env_remove("CREDENTIALS_DIRECTORY");
    directory.map(|directory| command.env("CREDENTIALS_DIRECTORY", directory));
    command.output().unwrap()
}

#[test]
fn a_check_alone_takes_credentials_without_the_service_manager() {
    let miner = "wallet: {file: 'credential:hotkey'}\nworker_management: {token_file: 'credential:token'}\n";
    for (daemon, text) in [(VALIDATOR, CREDENTIAL_KEYS), (MINER, miner), (WORKER, "token_file: credential:token\n")] {
        let output = with_credentials(daemon, text, &["--check"], None);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    let output = with_credentials(WORKER, "token_file: credential:../token\n", &["--check"], None);
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    let told = "token_file: is \"credential:../token\"; allowed: a path, or credential:NAME";
    assert!(said(&output).contains(told), "{}", said(&output));
}

#[test]
fn a_credential_that_is_not_there_is_told_by_key_and_remedy() {
    let unset = |key: &str, name: &str| {
        format!(
            "{key}: credential:{name}: $CREDENTIALS_DIRECTORY is not set: LoadCredential={name}:PATH in the unit sets it"
        )
    };
    let output = with_credentials(VALIDATOR, CREDENTIAL_KEYS, &["--check-files"], None);
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    for (key, name) in [("wallet.file", "hotkey"), ("meshhub.access_token_file", "hub"), ("meshhub.ca_file", "ca")] {
        assert!(said(&output).contains(&unset(key, name)), "{key}: {}", said(&output));
    }
    let text = "token_file: credential:token\n";
    let output = with_credentials(WORKER, text, &[], None);
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    assert!(said(&output).contains(&unset("token_file", "token")), "{}", said(&output));
    let empty = tempfile::tempdir().unwrap();
    let output = with_credentials(WORKER, text, &[], Some(empty.path()));
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    let told = format!("token_file: credential:token: there is no token in {}", empty.path().display());
    assert!(said(&output).contains(&told), "{}", said(&output));
}

#[test]
fn credentials_that_are_there_pass_whatever_their_mode() {
    let dir = tempfile::tempdir().unwrap();
    let wallets = dir.path().join("wallets");
    with_wallet(&wallets);
    fs::copy(wallets.join("default/hotkeys/default"), dir.path().join("hotkey")).unwrap();
    fs::write(dir.path().join("token"), "0123456789abcdef\n").unwrap();
    let text = "wallet: {file: 'credential:hotkey'}\nworker_management: {token_file: 'credential:token'}\n";
    let output = with_credentials(MINER, text, &["--check-files"], Some(dir.path()));
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""), "systemd guards them by an access list");
}

#[test]
fn the_tool_outside_of_the_unit_says_where_the_hotkey_would_be() {
    let file = written("wallet: {file: 'credential:hotkey'}\n");
    let path = file.path().to_str().unwrap();
    for words in
        [&["why", "--config", path][..], &["chain", "info", "--config", path, "--endpoint", "http://127.0.0.1:9"]]
    {
        let output = Command::new(TOOL).args(words).env_remove("CREDENTIALS_DIRECTORY").output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{words:?}: {}", said(&output));
        assert!(said(&output).contains("root may set it to /run/credentials/UNIT"), "{words:?}: {}", said(&output));
    }
}
