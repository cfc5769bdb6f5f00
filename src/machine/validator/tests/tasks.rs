//! Tasks of the marketplace: what it is told of them, and who is given them for how long.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    super::tasks::{MOST, MOST_BYTES, Taken, TaskFault, Tasks},
    bench::{Bench, CONFIG, Miner, keys},
    market::{self, Hub},
};
use crate::{
    machine::{
        Input,
        contract::{
            store::{Snapshot, StoreFault, StoreReply, Write},
            task::TaskRow,
        },
        journal::MAX_REQUESTS,
        validator::Event,
    },
    metrics::Metric,
    units::{Hotkey, Mono, Now, Wall, WorkerId, WorkerKey},
    wire::{
        json as wire_json, limits,
        marketplace::{AckStatus, FromHub, TaskPublish, ToHub, kind},
        messages::{MarketTask, TaskRequest, TaskResponse},
        synapse::SynapseKind,
    },
};

const RECORDED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/synapse_http/index.json"));

fn task(miner: &Miner, key: &str) -> TaskPublish {
    TaskPublish {
        key: key.into(),
        worker: WorkerKey::new(miner.hotkey(), &WorkerId::new("w00")),
        task_type: "vm_creation".into(),
        payload: wire_json::parse(r#"{"cpu":2,"image":"a"}"#).unwrap(),
        priority: 0,
        ttl: Some(Duration::from_secs(60)),
    }
}

fn published(bench: &mut Bench, hub: &mut Hub, id: &str, task: TaskPublish) {
    hub.say(bench, Some(id), &FromHub::Task(task));
    bench.wait(Duration::from_millis(5));
}

/// The acknowledgements since, as (message, error).
fn acks(bench: &mut Bench, hub: &mut Hub) -> Vec<(String, Option<String>)> {
    let ack = |body| match body {
        ToHub::Ack(ack) => {
            assert_eq!(ack.message_type, kind::TASK_PUBLISH);
            let error = ack.metadata.get("error").and_then(Value::as_str).map(str::to_owned);
            assert_eq!(error.is_some(), ack.status == AckStatus::Failed);
            Some((ack.message_id, error))
        }
        _ => None,
    };
    hub.heard(bench).into_iter().filter_map(ack).collect()
}

fn accepted(id: &str) -> (String, Option<String>) {
    (id.into(), None)
}

/// What a poll of a miner brings that has these.
fn given(bench: &mut Bench, miner: &mut Miner, held: &[&str]) -> Vec<MarketTask> {
    let held = Some(held.iter().map(|key| (*key).to_owned()).collect());
    let poll = TaskRequest::poll(miner.hotkey(), None, bench.now.wall);
    let request = wire_json::text(&TaskRequest { market_tasks_held: held, ..poll });
    let text = miner.say(bench, SynapseKind::Task, &request).plain();
    wire_json::object::<TaskResponse>(&text).unwrap().market_tasks
}

fn keys_given(bench: &mut Bench, miner: &mut Miner, held: &[&str]) -> Vec<String> {
    given(bench, miner, held).into_iter().map(|task| task.task_key).collect()
}

fn world() -> (Bench, Hub, Miner, Miner) {
    let (mut alice, mut bob) = (Miner::new(1), Miner::new(2));
    let mut bench = market::bench(&[&alice, &bob]);
    let hub = market::join(&mut bench);
    alice.handshake(&mut bench).unwrap();
    bob.handshake(&mut bench).unwrap();
    (bench, hub, alice, bob)
}

fn stored(bench: &Bench) -> Vec<&TaskRow> {
    fn task(write: &Write) -> Option<&TaskRow> {
        if let Write::Task(row) = write { Some(row) } else { None }
    }
    bench.written.iter().filter_map(task).collect()
}

/// Keys that the store was told to forget.
fn over(bench: &Bench) -> Vec<&str> {
    fn tasks(write: &Write) -> &[(String, Wall)] {
        if let Write::TasksOver(tasks) = write { tasks } else { &[] }
    }
    bench.written.iter().flat_map(tasks).map(|(key, _)| key.as_str()).collect()
}

#[test]
fn a_task_is_accepted_and_given_when_it_is_durable_and_not_before() {
    let (mut bench, mut hub, mut alice, _) = world();
    bench.hold_store = true;
    published(&mut bench, &mut hub, "m1", task(&alice, "t1"));
    published(&mut bench, &mut hub, "m2", task(&alice, "t1"));
    assert_eq!((acks(&mut bench, &mut hub), stored(&bench).len()), (vec![], 1));
    assert!(given(&mut bench, &mut alice, &[]).is_empty());
    assert!(given(&mut bench, &mut alice, &["t1"]).is_empty(), "nor by guessing its name");
    bench.hold_store = false;
    let batch = bench.batches.pop_front().unwrap();
    bench.input(Input::Event(Event::Store(StoreReply::Committed { batch })));
    assert_eq!(acks(&mut bench, &mut hub), [accepted("m1"), accepted("m2")]);
    assert_eq!(keys_given(&mut bench, &mut alice, &[]), ["t1"]);
}

#[test]
fn a_task_that_was_not_stored_is_failed_and_may_come_again() {
    let (mut bench, mut hub, mut alice, _) = world();
    bench.store_fault = Some(StoreFault::Full("disk".into()));
    published(&mut bench, &mut hub, "m1", task(&alice, "t1"));
    let [(id, Some(error))] = &acks(&mut bench, &mut hub)[..] else { panic!() };
    assert!(id == "m1" && error.contains("not stored") && error.contains("disk"), "{error}");
    assert!(given(&mut bench, &mut alice, &[]).is_empty());
    bench.store_fault = None;
    published(&mut bench, &mut hub, "m2", task(&alice, "t1"));
    assert_eq!(acks(&mut bench, &mut hub), [accepted("m2")]);
    assert_eq!(keys_given(&mut bench, &mut alice, &[]), ["t1"]);
    assert_eq!(bench.counted(Metric::MarketplaceTasks, &["not_stored"]), Some(1.0));
    assert_eq!(bench.counted(Metric::MarketplaceTasks, &["stored"]), Some(1.0));
}

#[test]
fn a_key_names_one_task() {
    let (mut bench, mut hub, alice, _) = world();
    published(&mut bench, &mut hub, "m1", task(&alice, "t1"));
    let other_order = wire_json::parse(r#"{"image":"a", "cpu":2}"#).unwrap();
    published(&mut bench, &mut hub, "m2", TaskPublish { payload: other_order, ..task(&alice, "t1") });
    assert_eq!(acks(&mut bench, &mut hub), [accepted("m1"), accepted("m2")]);
    let differs: [(&str, TaskPublish); 5] = [
        ("payload", TaskPublish { payload: wire_json::parse(r#"{"cpu":3}"#).unwrap(), ..task(&alice, "t1") }),
        ("priority", TaskPublish { priority: 1, ..task(&alice, "t1") }),
        ("taskType", TaskPublish { task_type: "other".into(), ..task(&alice, "t1") }),
        ("ttl", TaskPublish { ttl: Some(Duration::from_secs(61)), ..task(&alice, "t1") }),
        (
            "workerKey",
            TaskPublish { worker: WorkerKey::new(alice.hotkey(), &WorkerId::new("w1")), ..task(&alice, "t1") },
        ),
    ];
    for (what, other) in differs {
        published(&mut bench, &mut hub, "m3", other);
        let [(_, Some(error))] = &acks(&mut bench, &mut hub)[..] else { panic!("{what}") };
        assert!(error.contains(&format!("its {what} differs")), "{error}");
    }
    assert_eq!(stored(&bench).len(), 1);
}

#[test]
fn what_cannot_be_kept_is_failed_by_name() {
    let (mut bench, mut hub, alice, _) = world();
    let with_ttl = |ttl| TaskPublish { ttl, ..task(&alice, "t1") };
    let worker = WorkerKey::new(alice.hotkey(), &WorkerId::new("w\n"));
    for (bad, expected) in [
        (with_ttl(None), "without a ttl"),
        (with_ttl(Some(Duration::ZERO)), "ttl of 0 ms"),
        (with_ttl(Some(Duration::from_millis(999))), "ttl of 999 ms"),
        (with_ttl(Some(Duration::from_secs(8 * 86_400))), "ttl of 691200000 ms"),
        (TaskPublish { key: "t\u{7}".into(), ..task(&alice, "t1") }, "taskKey holds control characters"),
        (TaskPublish { worker, ..task(&alice, "t1") }, "workerKey holds control characters"),
    ] {
        published(&mut bench, &mut hub, "m1", bad);
        let [(_, Some(error))] = &acks(&mut bench, &mut hub)[..] else { panic!("{expected}") };
        assert!(error.contains(expected), "{error}");
    }
    let say = |hub: &mut Hub, bench: &mut Bench, data: Value| {
        let text = hub.session.seal_text(bench.now.wall, Some("m2"), kind::TASK_PUBLISH, &data.to_string()).unwrap();
        market::hear(bench, hub.peer, text);
        acks(bench, hub)
    };
    let key = format!("{}:w00", alice.hotkey());
    for bad in [
        json!({"taskKey": "t1", "workerKey": "no-colon", "ttl": 60_000}),
        json!({"taskKey": "t1", "workerKey": "nobody:w00", "ttl": 60_000}),
        json!({"taskKey": "t1", "workerKey": key, "ttl": -1}),
        json!({"taskKey": "t1", "workerKey": key, "ttl": 60_000, "payload": {"x": "y".repeat(limits::TASK_PAYLOAD_BYTES)}}),
    ] {
        assert!(matches!(&say(&mut hub, &mut bench, bad)[..], [(_, Some(_))]));
    }
    assert!(stored(&bench).is_empty());
}

#[test]
fn without_a_message_id_a_task_is_kept_and_nothing_is_said() {
    let (mut bench, mut hub, mut alice, _) = world();
    hub.say(&mut bench, None, &FromHub::Task(task(&alice, "t1")));
    bench.wait(Duration::from_millis(5));
    assert_eq!(acks(&mut bench, &mut hub), []);
    assert_eq!(keys_given(&mut bench, &mut alice, &[]), ["t1"]);
}

#[test]
fn a_miner_is_given_its_own_in_order_until_it_names_them() {
    let (mut bench, mut hub, mut alice, mut bob) = world();
    let ranked = |key: &str, priority| TaskPublish { priority, ..task(&alice, key) };
    let tasks = [ranked("low", -1), ranked("first", 0), ranked("second", 0), ranked("high", 7), task(&bob, "bobs")];
    tasks.into_iter().for_each(|task| published(&mut bench, &mut hub, "m", task));
    let all = ["high", "first", "second", "low"];
    assert_eq!(keys_given(&mut bench, &mut alice, &[]), all);
    assert_eq!(keys_given(&mut bench, &mut alice, &[]), all, "an answer may be lost");
    assert_eq!(keys_given(&mut bench, &mut alice, &["high", "low", "bobs"]), ["first", "second"]);
    assert_eq!(bench.counted(Metric::MarketplaceTasksOpen, &["held"]), Some(2.0));
    assert_eq!(bench.counted(Metric::MarketplaceTasksOpen, &["waiting"]), Some(3.0), "bob has said nothing");
    assert_eq!(bench.counted(Metric::MarketplaceTasks, &["arrived"]), Some(2.0));
    assert_eq!(keys_given(&mut bench, &mut bob, &[]), ["bobs"]);
    assert_eq!(keys_given(&mut bench, &mut alice, &[]), all, "one that was started anew has none");
    let whole = &given(&mut bench, &mut alice, &[])[0];
    assert_eq!((whole.worker_id.as_str(), whole.task_type.as_str(), whole.priority), ("w00", "vm_creation", 7));
    assert_eq!(whole.payload.as_str(), r#"{"cpu":2,"image":"a"}"#);
    let left = whole.expires_at - bench.now.wall.as_secs_f64();
    assert!((0.0..=60.0).contains(&left), "{left}");
}

#[test]
fn who_does_not_ask_sees_no_byte_of_it() {
    let (mut bench, mut hub, mut alice, _) = world();
    let index: Value = serde_json::from_str(RECORDED).unwrap();
    let cases = index["good"].as_array().unwrap().iter();
    let recorded: Vec<String> = cases
        .filter(|case| case["synapse"] == "TaskSynapse")
        .map(|case| case["request_plaintext"].to_string())
        .collect();
    assert!(recorded.len() >= 2);
    let mut asked = |bench: &mut Bench, text: &str| alice.say(bench, SynapseKind::Task, text).plain();
    for text in &recorded {
        let before = asked(&mut bench, text);
        let wall = bench.now.wall;
        hub.say(&mut bench, None, &FromHub::Task(task(&Miner::new(1), "t1")));
        bench.wait(Duration::from_millis(5));
        let again = asked(&mut bench, text);
        let moved = |text: &str, at: Wall| text.replace(&format!("{:?}", at.as_secs_f64()), "AT");
        assert_eq!(moved(&before, wall), moved(&again, bench.now.wall));
        assert!(!again.contains("market"));
    }
    assert_eq!(bench.counted(Metric::MarketplaceTasksOpen, &["waiting"]), Some(1.0));
}

#[test]
fn an_answer_has_bounds_and_what_is_over_comes_with_the_next() {
    let (mut bench, mut hub, mut alice, _) = world();
    let big = wire_json::parse(&json!({"x": "y".repeat(20_000)}).to_string()).unwrap();
    let names: Vec<String> = (0..5).map(|n| format!("big-{n}")).collect();
    for name in &names {
        let task = TaskPublish { payload: wire_json::Raw::clone(&big), priority: 1, ..task(&alice, name) };
        published(&mut bench, &mut hub, "m", task);
    }
    for n in 0..30 {
        published(&mut bench, &mut hub, "m", task(&alice, &format!("small-{n:02}")));
    }
    let mut held: Vec<String> = Vec::new();
    let mut counts = Vec::new();
    while held.len() < 35 {
        let names: Vec<&str> = held.iter().map(String::as_str).collect();
        let given = keys_given(&mut bench, &mut alice, &names);
        counts.push(given.len());
        held.extend(given);
    }
    assert_eq!(counts, [2, 2, 16, 15], "by bytes, then by number");
    assert_eq!(held[..5], names);
    let full: Vec<String> = (0..limits::MARKET_TASKS_HELD).map(|n| format!("of-somebody-{n}")).collect();
    let full: Vec<&str> = full.iter().map(String::as_str).collect();
    assert!(given(&mut bench, &mut alice, &full).is_empty(), "a miner that has as many as it may gets no more");
}

#[test]
fn a_task_ends_with_its_time_and_its_key_is_free_again() {
    let (mut bench, mut hub, mut alice, _) = world();
    published(&mut bench, &mut hub, "m1", task(&alice, "t1"));
    bench.seconds(59);
    assert_eq!(keys_given(&mut bench, &mut alice, &[]), ["t1"]);
    assert!(given(&mut bench, &mut alice, &["t1"]).is_empty());
    bench.seconds(2);
    assert!(given(&mut bench, &mut alice, &[]).is_empty());
    assert_eq!(over(&bench), ["t1"]);
    assert_eq!(bench.counted(Metric::MarketplaceTasks, &["expired"]), Some(1.0));
    let other = TaskPublish { priority: 9, ..task(&alice, "t1") };
    acks(&mut bench, &mut hub);
    published(&mut bench, &mut hub, "m2", other);
    assert_eq!(acks(&mut bench, &mut hub), [accepted("m2")]);
    bench.seconds(70);
    assert_eq!(bench.counted(Metric::MarketplaceTasks, &["expired_unseen"]), Some(1.0));
    assert_eq!(bench.counted(Metric::MarketplaceTasksOpen, &["waiting"]), Some(0.0));
}

#[test]
fn after_a_restart_what_counts_goes_on_and_what_expired_is_forgotten() {
    let mut alice = Miner::new(1);
    let noon = super::bench::NOON;
    let row = |key: &str, received: Wall, expires: Wall| TaskRow {
        key: key.into(),
        worker: WorkerKey::new(alice.hotkey(), &WorkerId::new("w00")),
        task_type: "vm_creation".into(),
        payload: wire_json::parse("{}").unwrap(),
        priority: 0,
        received,
        expires,
    };
    let second = Duration::from_secs(1);
    let tasks = vec![row("gone", noon - second * 9, noon), row("there", noon - second * 9, noon + second * 30)];
    let own = keys(1);
    // Also without the marketplace: what was accepted is given.
    for config in [format!("{CONFIG}{}", market::MARKET), CONFIG.to_owned()] {
        let snapshot = Snapshot { tasks: tasks.clone(), ..Snapshot::default() };
        let mut bench = Bench::start(keys(200), &config, &[&own], snapshot);
        alice.handshake(&mut bench).unwrap();
        assert_eq!(keys_given(&mut bench, &mut alice, &[]), ["there"]);
        bench.seconds(1);
        assert_eq!(over(&bench), ["gone"]);
        bench.seconds(30);
        assert!(given(&mut bench, &mut alice, &[]).is_empty());
        assert_eq!(over(&bench), ["gone", "there"]);
    }
}

#[test]
fn there_is_room_for_so_many_and_so_much() {
    let now = Now { mono: Mono(5), wall: Wall::from_secs(1) };
    let of = |key: String, payload: &str| TaskPublish {
        key,
        worker: WorkerKey::new(&Hotkey::label("5A"), &WorkerId::new("w")),
        task_type: String::new(),
        payload: wire_json::parse(payload).unwrap(),
        priority: 0,
        ttl: Some(Duration::from_secs(60)),
    };
    let fill = |payload: &str| {
        let mut tasks = Tasks::default();
        let fault = (0..=MOST).find_map(|n| tasks.publish(now, of(n.to_string(), payload), None).err());
        tasks.check_invariants();
        (tasks, fault.unwrap())
    };
    let (mut tasks, fault) = fill("{}");
    assert_eq!(fault, TaskFault::Full);
    assert_eq!(tasks.publish(now, of("7".into(), "{}"), None), Ok(Taken::Waits), "a known one needs no room");
    (0..MOST).for_each(|n| drop(tasks.stored(&n.to_string(), true)));
    assert_eq!(tasks.expire(now.mono + Duration::from_secs(61)).len(), MOST);
    assert!(matches!(tasks.publish(now, of("7".into(), "{}"), None), Ok(Taken::Store(_))));
    let large = json!({"x": "y".repeat(60_000)}).to_string();
    let (tasks, fault) = fill(&large);
    let count = MOST_BYTES / large.len();
    assert_eq!(fault, TaskFault::Bytes { count, bytes: count * large.len() });
    drop(tasks);
}

#[test]
fn a_task_that_is_written_down_for_too_long_ends_when_the_store_has_answered() {
    let (mut bench, mut hub, mut alice, _) = world();
    bench.hold_store = true;
    published(&mut bench, &mut hub, "m1", TaskPublish { ttl: Some(Duration::from_secs(1)), ..task(&alice, "t1") });
    bench.seconds(5);
    bench.hold_store = false;
    let batch = bench.batches.pop_front().unwrap();
    bench.input(Input::Event(Event::Store(StoreReply::Committed { batch })));
    assert_eq!(acks(&mut bench, &mut hub), [accepted("m1")], "it was stored, which is what is asked");
    assert!(given(&mut bench, &mut alice, &[]).is_empty());
    bench.seconds(2);
    assert_eq!(over(&bench), ["t1"]);
}

#[test]
fn what_the_store_has_no_room_for_is_failed_at_once_and_a_task_is_asked_for_so_often() {
    let (mut bench, mut hub, alice, _) = world();
    bench.hold_store = true;
    published(&mut bench, &mut hub, "first", task(&alice, "t"));
    (0..20).for_each(|n| published(&mut bench, &mut hub, &format!("again-{n}"), task(&alice, "t")));
    let refused = acks(&mut bench, &mut hub);
    assert_eq!(refused.len(), 5, "16 wait");
    assert!(refused.iter().all(|(_, error)| error.as_ref().is_some_and(|error| error.contains("16 messages"))));
    for n in 0..=MAX_REQUESTS {
        hub.say(&mut bench, Some("m"), &FromHub::Task(task(&alice, &format!("t{n}"))));
    }
    let [(_, Some(error))] = &acks(&mut bench, &mut hub)[..] else { panic!("one too many") };
    assert!(error.contains("too many writes wait for the disk"), "{error}");
    assert_eq!(bench.counted(Metric::MarketplaceTasksOpen, &["waiting"]), Some(1.0 + MAX_REQUESTS as f64));
}
