//! Tasks of the marketplace: kept whole, and forgotten by name and time.

use super::*;
use crate::{machine::contract::task::TaskRow, wire::json};

fn task(key: &str, expires: Wall) -> TaskRow {
    TaskRow {
        key: key.into(),
        worker: worker_key("5A", "w1"),
        task_type: "vm_creation".into(),
        payload: json::parse(r#"{ "cpu": 2 }"#).unwrap(),
        priority: i64::MIN,
        received: NOON,
        expires,
    }
}

fn kept(task: &TaskRow) -> Write {
    Write::Task(Box::new(task.clone()))
}

#[test]
fn a_task_survives_with_all_that_it_says() {
    let (_dir, path) = a_file();
    let (one, two) = (task("t1", NOON + minutes(5)), task("t2", NOON + minutes(6)));
    open(&path).unwrap().commit_all(vec![kept(&two), kept(&one)]).unwrap();
    assert_eq!(open(&path).unwrap().load().tasks, [one, two]);
}

#[test]
fn a_task_is_over_by_name_and_the_next_of_that_name_stays() {
    let mut store = a_store();
    let (old, new) = (task("t1", NOON + minutes(5)), task("t1", NOON + minutes(9)));
    store.commit_all(vec![kept(&old), kept(&new)]).unwrap();
    store.commit_all(vec![Write::TasksOver(vec![("t1".into(), old.expires), ("unknown".into(), NOON)])]).unwrap();
    assert_eq!(store.load().tasks, std::slice::from_ref(&new));
    store.commit_all(vec![Write::TasksOver(vec![("t1".into(), new.expires)])]).unwrap();
    assert_eq!(store.load().tasks, []);
}

#[test]
fn a_task_is_synced_before_it_is_reported() {
    let mut store = a_store();
    store.commit_all(vec![kept(&task("t1", NOON + minutes(5)))]).unwrap();
    let level: i64 = store.connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
    assert_eq!(level, 2, "FULL");
}
