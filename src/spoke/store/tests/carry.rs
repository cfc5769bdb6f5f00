//! Databases on their way between hosts: what comes with them, and what keeps them out.

use super::{
    super::carry::{CarryError, export, import},
    *,
};

fn mine() -> Hotkey {
    Hotkey::label("5Validator")
}

fn names(dir: &TempDir) -> BTreeSet<String> {
    fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_is_only_in_the_log_comes_with_the_database() {
    let (from, path) = a_file();
    let mut store = open(&path).unwrap();
    store.commit_all(vec![heartbeat("5A", NOON)]).unwrap();
    store.commit_all(verified("c1", "5A", NOON, "-1")).unwrap();
    let killed = tempfile::tempdir().unwrap();
    let copy = kill(&path, killed.path());
    assert!(fs::metadata(killed.path().join("after-the-kill.db-wal")).unwrap().len() > 0);
    let (to, target) = a_file();
    import(&copy, &target, &mine()).unwrap();
    assert_eq!(names(&to), ["validator.db", "validator.db.lock"].map(str::to_owned).into());
    assert_eq!(open(&target).unwrap().facts(NOON), store.facts(NOON));
    drop((store, from));
}

#[test]
fn a_log_that_is_left_of_another_database_is_not_read_into_it() {
    for suffix in ["-wal", "-shm", "-journal"] {
        let (_from, path) = a_file();
        drop(open(&path).unwrap());
        let (to, target) = a_file();
        let left = PathBuf::from(format!("{}{suffix}", target.display()));
        fs::write(&left, "").unwrap();
        let error = import(&path, &target, &mine()).unwrap_err();
        assert!(matches!(&error, CarryError::Left(path) if *path == left), "{error}");
        assert!(error.to_string().ends_with("move it away first"), "{error}");
        assert!(!target.exists());
        fs::remove_file(left).unwrap();
        import(&path, &target, &mine()).unwrap();
        open(&target).unwrap();
        drop(to);
    }
}

#[test]
fn nothing_is_put_where_a_validator_runs_or_a_file_is() {
    let (_from, path) = a_file();
    drop(open(&path).unwrap());
    let (to, target) = a_file();
    let running = open(&target).unwrap();
    let before = fs::read(&target).unwrap();
    assert!(matches!(import(&path, &target, &mine()), Err(CarryError::Live(_))));
    assert!(fs::read(&target).unwrap() == before, "the file changed");
    // Its file is gone from the directory; it runs on, and holds the lock.
    fs::remove_file(&target).unwrap();
    let error = import(&path, &target, &mine()).unwrap_err();
    assert!(matches!(error, CarryError::Open(OpenError::InUse(_))) && !error.may_pass(), "{error}");
    drop(running);
    assert!(!target.exists() && !names(&to).contains("validator.db.importing"));
}

#[test]
fn a_try_that_was_killed_is_begun_again() {
    let (_from, path) = a_file();
    drop(open(&path).unwrap());
    let (to, target) = a_file();
    fs::write(to.path().join("validator.db.importing"), "half").unwrap();
    import(&path, &target, &mine()).unwrap();
    assert!(!names(&to).contains("validator.db.importing"));
    open(&target).unwrap();
}

#[test]
fn the_database_of_an_earlier_version_is_carried_and_brought_up_to_date_by_the_validator() {
    let (from, path) = a_file();
    opening::first_version(&path);
    assert!(matches!(replay::Archive::open(&path), Err(OpenError::Older { found: 1, .. })));
    let exported = from.path().join("exported.db");
    assert_eq!(export(&path, &exported).unwrap(), fs::metadata(&exported).unwrap().len());
    assert!(matches!(export(&path, &exported), Err(CarryError::There(_))));
    let (_to, target) = a_file();
    import(&exported, &target, &mine()).unwrap();
    assert_eq!(open(&target).unwrap().load().open_challenges.len(), 1);
}

#[test]
fn the_database_of_another_validator_stays_where_it_is() {
    let (_from, path) = a_file();
    drop(Store::open(&path, &Hotkey::label("5Other")).unwrap());
    let (to, target) = a_file();
    let error = import(&path, &target, &mine()).unwrap_err();
    assert!(matches!(error, CarryError::Open(OpenError::OtherHotkey { .. })), "{error}");
    assert_eq!(names(&to), BTreeSet::new());
    let nowhere = target.with_file_name("none").join("validator.db");
    drop(Store::open(&path, &Hotkey::label("5Other")).unwrap());
    let error = import(&path, &nowhere, &Hotkey::label("5Other")).unwrap_err();
    assert!(error.to_string().contains("make its directory"), "{error}");
}
