//! Whose file it is, which schema it has, whether it is whole: what opening refuses, and that it changes nothing.

use super::*;

/// Every file in a directory with its bytes, but for the lock and the log's index, which hold no data.
fn contents(dir: &TempDir) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let data = paths.filter(|path| !path.to_string_lossy().ends_with("-shm"));
    let mut all: Vec<_> = data.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    all.sort();
    all
}

#[track_caller]
fn refused_untouched(dir: &TempDir, path: &Path, expected: &str) {
    let before = contents(dir);
    let error = open(path).unwrap_err().to_string();
    assert!(error.starts_with(&path.display().to_string()), "{error}");
    assert!(error.contains(expected), "{error}");
    assert!(contents(dir) == before, "the files changed");
}

#[test]
fn a_file_that_is_no_database_is_refused_untouched() {
    for text in ["port: 9091\n".to_string(), "not a database ".repeat(1000)] {
        let (dir, path) = a_file();
        fs::write(&path, text).unwrap();
        refused_untouched(&dir, &path, "not an SQLite database");
    }
}

#[test]
fn the_database_of_another_program_is_refused_untouched() {
    for id in [0, 1234] {
        let (dir, path) = a_file();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE network_logs (id INTEGER)").unwrap();
        other.pragma_update(None, "application_id", id).unwrap();
        drop(other);
        refused_untouched(&dir, &path, "another program");
    }
}

#[test]
fn a_newer_schema_is_refused_untouched() {
    let (dir, path) = a_file();
    drop(open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    fs::remove_file(dir.path().join("validator.db.lock")).unwrap();
    let told = format!("schema 99, this one knows {}", schema::MIGRATIONS.len());
    refused_untouched(&dir, &path, &told);
}

#[test]
fn a_newer_schema_that_is_still_in_the_log_is_refused_untouched() {
    let (dir, path) = a_file();
    let store = open(&path).unwrap();
    store.connection.pragma_update(None, "user_version", 99).unwrap();
    let killed = tempfile::tempdir().unwrap();
    let copy = kill(&path, killed.path());
    refused_untouched(&killed, &copy, "schema 99");
    drop((store, dir));
}

#[test]
fn a_damaged_file_is_refused_untouched() {
    let (dir, path) = a_file();
    let mut store = open(&path).unwrap();
    store.commit_all((0..500).map(|n| heartbeat(&format!("5Miner{n}"), NOON)).collect()).unwrap();
    drop(store);
    fs::remove_file(dir.path().join("validator.db.lock")).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xAA);
    fs::write(&path, &bytes).unwrap();
    refused_untouched(&dir, &path, "damaged");
    fs::write(&path, &bytes[..middle]).unwrap();
    refused_untouched(&dir, &path, "damaged");
}

#[test]
fn an_empty_file_is_a_new_database() {
    let (_dir, path) = a_file();
    fs::write(&path, "").unwrap();
    assert_eq!(open(&path).unwrap().load(), Snapshot::default());
}

#[test]
fn a_second_process_is_kept_out() {
    let (_dir, path) = a_file();
    let first = open(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)) && error.may_pass(), "{error}");
    drop(first);
    open(&path).unwrap();
}

#[test]
fn a_full_disk_may_pass_and_a_damaged_file_does_not() {
    let failed = |code| {
        let source = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        OpenError::Sqlite { path: "validator.db".into(), step: "migrate", source }
    };
    assert!(failed(rusqlite::ffi::SQLITE_FULL).may_pass());
    assert!(!failed(rusqlite::ffi::SQLITE_CANTOPEN).may_pass());
    assert!(!OpenError::NotADatabase("validator.db".into()).may_pass());
}

#[test]
fn the_schema_says_whose_and_which_it_is() {
    let (_dir, path) = a_file();
    let store = open(&path).unwrap();
    let text = |sql: &str| store.connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let number = |sql: &str| store.connection.query_row(sql, [], |row| row.get::<_, i32>(0)).unwrap();
    assert_eq!(text("PRAGMA journal_mode"), "wal");
    assert_eq!(number("PRAGMA application_id"), schema::APPLICATION_ID);
    assert_eq!(number("PRAGMA user_version"), schema::MIGRATIONS.len() as i32);
}

#[test]
fn the_database_of_another_validator_is_refused_untouched() {
    let (dir, path) = a_file();
    drop(Store::open(&path, &Hotkey::label("5Other")).unwrap());
    fs::remove_file(dir.path().join("validator.db.lock")).unwrap();
    refused_untouched(&dir, &path, "the validator with the hotkey 5Other knows, and this one has 5Validator");
    let error = open(&path).unwrap_err();
    assert!(!error.may_pass(), "{error}");
    Store::open(&path, &Hotkey::label("5Other")).unwrap();
}

#[test]
fn what_the_system_refuses_is_told_with_its_cause_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let told = |path: &Path| {
        let error = open(path).unwrap_err();
        assert!(!error.may_pass(), "{error}");
        let cause = std::error::Error::source(&error).unwrap();
        format!("{error}: {cause}")
    };
    let inside = dir.path().join("none").join("validator.db");
    let text = format!(
        "{}: cannot open the database; make its directory {}, or point database.url at another: No such file or \
         directory (os error 2)",
        inside.display(),
        dir.path().join("none").display()
    );
    assert_eq!(told(&inside), text);
    assert!(told(dir.path()).contains("it is a directory; database.url must name a file"), "{}", told(dir.path()));
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(told(&file.join("validator.db")).contains("is no directory"), "{}", told(&file.join("validator.db")));
}

#[test]
fn looking_makes_and_changes_nothing() {
    let (dir, path) = a_file();
    let (mine, other) = (Hotkey::label("5Validator"), Hotkey::label("5Other"));
    Store::look(&path, Some(&mine)).unwrap();
    assert_eq!(contents(&dir), []);
    let missing = Store::look(&dir.path().join("none/validator.db"), None).unwrap_err();
    assert!(missing.to_string().contains("make its directory"), "{missing}");
    let running = open(&path).unwrap();
    let before = contents(&dir);
    Store::look(&path, Some(&mine)).unwrap();
    Store::look(&path, None).unwrap();
    assert!(matches!(Store::look(&path, Some(&other)), Err(OpenError::OtherHotkey { .. })));
    assert!(contents(&dir) == before, "the files changed");
    drop(running);
    fs::write(dir.path().join("strange.db"), "not a database ".repeat(99)).unwrap();
    assert!(matches!(Store::look(&dir.path().join("strange.db"), None), Err(OpenError::NotADatabase(_))));
}

/// A file as the first version made it: one worker, a challenge that was verified, one that is open.
pub(super) fn first_version(path: &Path) {
    let old = Connection::open(path).unwrap();
    old.execute_batch(include_str!("../migrations/0001_first.sql")).unwrap();
    old.pragma_update(None, "application_id", schema::APPLICATION_ID).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    let (noon, hour) = (stamp(NOON), NOON.as_secs() / 3600 - 1);
    old.execute_batch(&format!(
        "INSERT INTO miners VALUES (1, '5A', {noon});
         INSERT INTO workers VALUES (7, 1, 'w1', NULL, NULL, '[]', 'idle', {noon});
         INSERT INTO workers VALUES (8, 1, 'w2', NULL, NULL, '[]', 'idle', {noon});
         INSERT INTO addresses VALUES (3, '198.51.100.1', {hour});
         INSERT INTO availability VALUES (7, {hour}, 0, 5, 601, 3, NULL), (8, {hour}, 0, 1, 7, NULL, NULL);
         INSERT INTO challenges (uuid, worker, kind, matrix_size, iterations, seed, round_id, rows, commitments, created,
             sent, committed, verifying, ended, computation_ms, verdict, success_count)
         VALUES ('c1', 7, 'cpu_matrix', 2000, 3, '00', 'round_1', '[3]', '[]', {noon}, 1, 1, 1, 1, 100.0, 'verified', 1);
         INSERT INTO challenges (uuid, worker, kind, matrix_size, iterations, seed, round_id, created)
         VALUES ('c2', 7, 'cpu_matrix', 64, 1, '00', 'round_1', {noon});
         INSERT INTO scores VALUES ({noon}, '5A', 'reference-70-30/1', 1, 1, 1, 0.5, 1, 1, 0, 0, 1, 1, 1);
         INSERT INTO gpu_sets VALUES (1, json_array('GPU-1', 'GPU-2'), 0);
         UPDATE challenges SET gpu_set = 1 WHERE uuid = 'c1';
         INSERT INTO gpu_inventory VALUES ('GPU-1', 1, 7, 'H200', {noon}, {noon}), ('GPU-3', 1, 7, 'H200', {noon}, {noon});
         INSERT INTO worker_scores VALUES ('5A', 'w1', {noon}, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1);"
    ))
    .unwrap();
}

#[test]
fn a_file_of_the_first_version_is_taken_over_with_what_it_knows() {
    let (_dir, path) = a_file();
    first_version(&path);
    Store::look(&path, Some(&Hotkey::label("5Validator"))).unwrap();
    let mut store = open(&path).unwrap();
    let left_open = store.load().open_challenges;
    let works: Vec<_> = left_open.iter().map(|row| (row.id.as_str(), row.work.clone())).collect();
    assert_eq!(works, [("c2", Work::CpuMatrix { n: 64, iterations: 1 })]);
    let facts = store.facts(NOON);
    let worker = &facts.workers[&worker_key("5A", "w1")];
    let work: Vec<_> = worker.challenges.iter().map(|fact| &fact.outcome).collect();
    assert!(matches!(work[..], [Outcome::Verified { ops: Some(4.8e10), .. }]), "2 · 2000³ · 3: {work:?}");
    assert_eq!(worker.passed_over, []);
    let beats = &facts.miners[&Hotkey::label("5A")].beats;
    let said: Vec<_> = beats.iter().map(|beat| (NOON.since(beat.at), &*facts.rosters[&beat.roster.unwrap()])).collect();
    assert_eq!(said.iter().map(|(ago, _)| ago.as_secs()).collect::<Vec<_>>(), [3600, 3000], "a beat a bucket");
    let named =
        |place: usize| said[place].1.iter().map(|of| (of.worker.as_str(), of.address.is_some())).collect::<Vec<_>>();
    assert_eq!((named(0), named(1)), (vec![("w1", true), ("w2", false)], vec![("w1", true)]));
    let gpus_owned = ["GPU-1", "GPU-3"].map(|uuid| (uuid.to_string(), "H200".to_string())).into();
    let seen = WorkerSeen { gpus_owned, ..WorkerSeen::named("w1") };
    store.commit_all(vec![heartbeat_of("5A", NOON, vec![seen])]).unwrap();
    let facts = store.facts(NOON);
    let proved = |uuid: &str| facts.claims[uuid].iter().map(|claim| claim.proved).collect::<Vec<_>>();
    assert_eq!((proved("GPU-1"), proved("GPU-3")), (vec![Some(NOON)], vec![None]));
    store.commit_all(vec![ended("c2", NOON, End::Void("validator restarted".into()))]).unwrap();
    let began = Write::RoundBegan { at: NOON, passed_over: vec![worker_key("5A", "w1")] };
    store.commit_all(vec![began, created("c3", "5A", NOON)]).unwrap();
    assert_eq!(store.facts(NOON).workers[&worker_key("5A", "w1")].passed_over.len(), 1);
    drop(store);
    let other = Store::open(&path, &Hotkey::label("5Other")).unwrap_err();
    assert!(matches!(other, OpenError::OtherHotkey { .. }), "who opened it first owns it: {other}");
}
