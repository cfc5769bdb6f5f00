//! Flows by themselves: steps asked for, refusals, waits.

use std::time::Duration;

use super::*;
use crate::{
    units::Wall,
    wire::{json, messages::WorkFailure},
};

fn at(secs: u64) -> Now {
    Now { mono: Mono(secs * 1_000_000_000), wall: Wall::from_secs(1_800_000_000 + secs) }
}

fn raw(text: &str) -> Raw {
    json::parse(text).unwrap()
}

fn validator() -> Hotkey {
    Hotkey::label("bob")
}

fn key(challenge: &str) -> FlowKey {
    FlowKey { validator: validator(), challenge: ChallengeId::new(challenge) }
}

fn task(challenge: &str, worker: &str) -> Task {
    Task {
        challenge: ChallengeId::new(challenge),
        worker: WorkerId::new(worker),
        kind: Kind("cpu_matrix".into()),
        data: raw("{}"),
        timeout: Duration::from_secs(60),
    }
}

fn stamps(name: &str) -> Stamps {
    BTreeMap::from([(name.to_owned(), 7)])
}

fn success() -> Computed {
    Computed { outcome: Ok(raw(r#"[{"uuid": "-1"}]"#)), stamps: stamps("worker_task_received_ts") }
}

fn proof() -> Proved {
    Proved { outcome: Ok(raw("[{}]")), stamps: stamps("worker_proof_completed_ts") }
}

/// What the steps do, in short.
fn told(steps: &[Step]) -> Vec<String> {
    let one = |step: &Step| match step {
        Step::Assign { key, task, .. } => format!("assign {} to {}", key.challenge, task.worker),
        Step::Commit { key, worker, .. } => format!("commit {} of {worker}", key.challenge),
        Step::Ask { key, worker, message_id, .. } => format!("ask {worker} for {} as {message_id}", key.challenge),
        Step::Report { key, worker, failure } => format!("report {} of {worker}: {}", key.challenge, failure.reason),
        Step::Submit { key, .. } => format!("submit {}", key.challenge),
        Step::Ended { key, end, .. } => format!("{} ended: {end:?}", key.challenge),
    };
    steps.iter().map(one).collect()
}

fn offer(flows: &mut Flows, now: Now, challenge: &str, worker: &str) -> Vec<String> {
    told(&flows.offer(now, &validator(), task(challenge, worker), Ability::Able).unwrap())
}

fn ann() -> WorkerId {
    WorkerId::new("ann")
}

fn wanted() -> Result<Raw, End> {
    Ok(raw(r#"[{"uuid": "-1", "rows": [3]}]"#))
}

fn failed(why: &str) -> Computed {
    Computed { outcome: Err(WorkFailure { code: 1005, reason: why.into() }), stamps: Stamps::new() }
}

fn room(_: &Hotkey, _: usize) -> bool {
    true
}

#[test]
fn a_challenge_goes_through_both_phases_and_frees_its_worker() {
    let mut flows = Flows::default();
    assert_eq!(offer(&mut flows, at(0), "c1", "ann"), ["assign c1 to ann"]);
    assert!(flows.is_busy(&ann()));
    let steps = flows.computed(at(1).mono, &ann(), "c1", success()).unwrap();
    assert_eq!(told(&steps), ["commit c1 of ann"]);
    assert_eq!(told(&flows.committed(at(2), &key("c1"), "m1".into(), wanted())), ["ask ann for c1 as m1"]);
    let steps = flows.proved(at(3).mono, &ann(), "m1", proof(), room).unwrap();
    let [Step::Submit { stamps, .. }] = &steps[..] else { panic!("{steps:?}") };
    let names: Vec<_> = stamps.keys().map(String::as_str).collect();
    let all = ["miner_task_received_ts", "miner_task_response_ts", "worker_proof_completed_ts"];
    assert_eq!(names, [all[0], all[1], all[2], "worker_task_received_ts"]);
    assert!(!flows.is_busy(&ann()), "its part is done");
    assert_eq!(told(&flows.submitted(at(4).mono, &key("c1"), End::Accepted)), ["c1 ended: Accepted"]);
    assert_eq!((flows.len(), flows.deadline()), (0, None));
}

#[test]
fn a_result_is_taken_only_from_the_worker_that_has_the_task() {
    let mut flows = Flows::default();
    offer(&mut flows, at(0), "c1", "ann");
    offer(&mut flows, at(0), "c2", "ben");
    let ben = WorkerId::new("ben");
    assert_eq!(flows.computed(at(1).mono, &ben, "c1", success()).unwrap_err(), Unasked::NotItsTask);
    assert_eq!(flows.computed(at(1).mono, &ann(), "other", success()).unwrap_err(), Unasked::NotItsTask);
    let stranger = WorkerId::new("eve");
    assert_eq!(flows.computed(at(1).mono, &stranger, "c1", success()).unwrap_err(), Unasked::NotItsTask);
    assert!(flows.computed(at(1).mono, &ann(), "c1", success()).is_ok());
}

#[test]
fn a_result_counts_once() {
    let mut flows = Flows::default();
    offer(&mut flows, at(0), "c1", "ann");
    flows.computed(at(1).mono, &ann(), "c1", success()).unwrap();
    assert_eq!(flows.computed(at(1).mono, &ann(), "c1", success()).unwrap_err(), Unasked::ResultTwice);
}

#[test]
fn a_proof_is_taken_only_for_the_challenge_it_was_asked_for() {
    let mut flows = Flows::default();
    for (challenge, worker) in [("c1", "ann"), ("c2", "ben")] {
        offer(&mut flows, at(0), challenge, worker);
        flows.computed(at(1).mono, &WorkerId::new(worker), challenge, success()).unwrap();
        flows.committed(at(2), &key(challenge), format!("m-{challenge}"), wanted());
    }
    assert_eq!(flows.proved(at(3).mono, &ann(), "m-c2", proof(), room).unwrap_err(), Unasked::NotAskedProof);
    assert_eq!(flows.proved(at(3).mono, &ann(), "none", proof(), room).unwrap_err(), Unasked::NotAskedProof);
    assert!(flows.proved(at(3).mono, &ann(), "m-c1", proof(), room).is_ok());
    assert_eq!(flows.proved(at(3).mono, &ann(), "m-c1", proof(), room).unwrap_err(), Unasked::NotAskedProof);
}

#[test]
fn the_same_challenge_is_worked_on_once() {
    let mut flows = Flows::default();
    offer(&mut flows, at(0), "c1", "ann");
    let again = |flows: &mut Flows| flows.offer(at(1), &validator(), task("c1", "ann"), Ability::Able).unwrap_err();
    assert_eq!(again(&mut flows), Unasked::Duplicate);
    flows.computed(at(2).mono, &ann(), "c1", failed("no")).unwrap();
    assert_eq!(again(&mut flows), Unasked::Duplicate);
    let elsewhere = flows.offer(at(3), &Hotkey::label("carol"), task("c1", "ann"), Ability::Able);
    assert!(elsewhere.is_ok(), "another validator's id may be the same");
}

#[test]
fn a_busy_worker_gets_its_next_challenge_when_it_is_idle() {
    let mut flows = Flows::default();
    offer(&mut flows, at(0), "c1", "ann");
    assert_eq!(offer(&mut flows, at(10), "c2", "ann"), [] as [&str; 0]);
    let steps = flows.computed(at(30).mono, &ann(), "c1", failed("no memory")).unwrap();
    let ended = r#"c1 ended: WorkerFailed(WorkFailure { code: 1005, reason: "no memory" })"#;
    assert_eq!(told(&steps), [ended, "assign c2 to ann"]);
    let Some(Step::Assign { timeout, .. }) = steps.last() else { panic!("{steps:?}") };
    assert_eq!(*timeout, Duration::from_secs(40), "what is left of it");
}

#[test]
fn no_more_than_a_few_challenges_wait_for_a_worker() {
    let mut flows = Flows::default();
    offer(&mut flows, at(0), "c0", "ann");
    (1..=MAX_WAITING).for_each(|n| assert!(offer(&mut flows, at(0), &format!("c{n}"), "ann").is_empty()));
    assert_eq!(offer(&mut flows, at(0), "late", "ann"), ["late ended: Declined(WorkerBusy)"]);
    assert_eq!(flows.len(), MAX_WAITING + 1);
}

#[test]
fn a_challenge_for_nobody_ends_at_once() {
    let mut flows = Flows::default();
    let steps = flows.offer(at(0), &validator(), task("c1", "ghost"), Ability::Unknown).unwrap();
    assert_eq!(told(&steps), ["c1 ended: Declined(UnknownWorker)"]);
    let steps = flows.offer(at(0), &validator(), task("c2", "ann"), Ability::Incapable).unwrap();
    assert_eq!(told(&steps), ["c2 ended: Declined(Incapable)"]);
    assert_eq!(flows.len(), 0);
}

#[test]
fn every_wait_ends_and_frees_the_worker() {
    let mut flows = Flows::default();
    offer(&mut flows, at(0), "c1", "ann");
    offer(&mut flows, at(0), "c2", "ann");
    assert_eq!(flows.deadline(), Some(at(60).mono));
    assert_eq!(told(&flows.expire(at(60).mono)), ["c2 ended: Late(Idle)", "c1 ended: Late(Result)"]);
    offer(&mut flows, at(100), "c3", "ann");
    flows.computed(at(101).mono, &ann(), "c3", success()).unwrap();
    assert_eq!(flows.deadline(), None, "the request to the validator has its own deadline");
    flows.committed(at(102), &key("c3"), "m".into(), wanted());
    assert_eq!(flows.deadline(), Some(at(132).mono));
    assert_eq!(told(&flows.expire(at(132).mono)), ["c3 ended: Late(Proof)"]);
    assert!(!flows.is_busy(&ann()));
}

#[test]
fn each_refusal_of_the_validator_frees_the_worker() {
    let mut flows = Flows::default();
    offer(&mut flows, at(0), "c1", "ann");
    flows.computed(at(1).mono, &ann(), "c1", success()).unwrap();
    let refused = Err(End::Refused("unknown challenge".into()));
    assert_eq!(flows.committed(at(2), &key("c1"), "m".into(), refused).len(), 1);
    assert!(!flows.is_busy(&ann()));
    assert!(flows.committed(at(2), &key("c1"), "m".into(), wanted()).is_empty(), "an answer counts once");
}

#[test]
fn a_worker_that_returns_is_asked_again_for_its_proof() {
    let mut flows = Flows::default();
    offer(&mut flows, at(0), "c1", "ann");
    assert!(flows.returned(&ann()).is_none(), "it may still be computing");
    flows.computed(at(1).mono, &ann(), "c1", success()).unwrap();
    flows.committed(at(2), &key("c1"), "m1".into(), wanted());
    let step = flows.returned(&ann()).unwrap();
    assert_eq!(told(&[step]), ["ask ann for c1 as m1"]);
}

#[test]
fn memory_of_ended_challenges_is_bounded() {
    let mut flows = Flows::default();
    for n in 0..REMEMBERED + 10 {
        flows.offer(at(0), &validator(), task(&format!("c{n}"), "ghost"), Ability::Unknown).unwrap();
    }
    assert_eq!(flows.ended[&validator()].len(), REMEMBERED);
    flows.keep_memory_of(&BTreeSet::new());
    assert!(flows.ended.is_empty());
}

/// A flow whose worker was asked for a proof, under the message id `m1`.
fn proving(flows: &mut Flows) {
    offer(flows, at(0), "c1", "ann");
    flows.computed(at(1).mono, &ann(), "c1", success()).unwrap();
    flows.committed(at(2), &key("c1"), "m1".into(), wanted());
}

#[test]
fn a_worker_whose_proof_is_on_its_way_gets_its_next_challenge() {
    let mut flows = Flows::default();
    proving(&mut flows);
    offer(&mut flows, at(3), "c2", "ann");
    let steps = flows.proved(at(4).mono, &ann(), "m1", proof(), room).unwrap();
    assert_eq!(told(&steps), ["submit c1", "assign c2 to ann"]);
    flows.check_invariants();
    assert_eq!(told(&flows.submitted(at(300).mono, &key("c1"), End::Accepted)), ["c1 ended: Accepted"]);
    flows.check_invariants();
    assert!(flows.is_busy(&ann()), "with the second");
}

#[test]
fn a_proof_that_finds_no_room_holds_its_worker() {
    let mut flows = Flows::default();
    proving(&mut flows);
    let none = |validator: &Hotkey, bytes: usize| {
        assert_eq!((validator, bytes), (&self::validator(), "[{}]".len()));
        false
    };
    assert_eq!(told(&flows.proved(at(3).mono, &ann(), "m1", proof(), none).unwrap()), ["submit c1"]);
    flows.check_invariants();
    assert!(flows.is_busy(&ann()));
    flows.submitted(at(4).mono, &key("c1"), End::Accepted);
    flows.check_invariants();
    assert!(!flows.is_busy(&ann()));
}

fn gemm(challenge: &str) -> Task {
    Task { kind: Kind("gemm_i8".into()), ..task(challenge, "ann") }
}

#[test]
fn a_validator_of_gemm_i8_is_told_why_there_will_be_no_commitment() {
    let mut flows = Flows::default();
    let given =
        |flows: &mut Flows, id: &str, ability| told(&flows.offer(at(0), &validator(), gemm(id), ability).unwrap());
    assert_eq!(
        given(&mut flows, "c1", Ability::Incapable),
        ["c1 ended: Declined(Incapable)", "report c1 of ann: declined: the worker does not do this kind"]
    );
    given(&mut flows, "c2", Ability::Able);
    let steps = flows.computed(at(1).mono, &ann(), "c2", failed("12 GiB needed, 3 GiB there")).unwrap();
    assert_eq!(told(&steps)[1], "report c2 of ann: 12 GiB needed, 3 GiB there");
    given(&mut flows, "c3", Ability::Able);
    let steps = flows.undelivered(at(2).mono, &key("c3"), End::WorkerGone);
    assert_eq!(told(&steps)[1], "report c3 of ann: the worker is gone");
}

#[test]
fn nothing_is_reported_that_the_validator_knows_or_cannot_read() {
    let mut flows = Flows::default();
    flows.offer(at(0), &validator(), gemm("late"), Ability::Able).unwrap();
    assert_eq!(told(&flows.expire(at(60).mono)), ["late ended: Late(Result)"]);
    flows.offer(at(60), &validator(), gemm("refused"), Ability::Able).unwrap();
    flows.computed(at(61).mono, &ann(), "refused", success()).unwrap();
    assert_eq!(flows.committed(at(62), &key("refused"), "m".into(), Err(End::Refused("no".into()))).len(), 1);
    flows.offer(at(63), &validator(), gemm("unproven"), Ability::Able).unwrap();
    flows.computed(at(64).mono, &ann(), "unproven", success()).unwrap();
    flows.committed(at(65), &key("unproven"), "m".into(), wanted());
    let lost = Proved { outcome: failed("lost").outcome, stamps: Stamps::new() };
    assert_eq!(flows.proved(at(66).mono, &ann(), "m", lost, room).unwrap().len(), 1);
    for ability in [Ability::Unknown, Ability::Incapable, Ability::TooLarge] {
        let first = flows.offer(at(67), &validator(), task(&format!("{ability:?}"), "ann"), ability).unwrap();
        assert_eq!(first.len(), 1, "the first version has no word for it");
    }
}

#[test]
fn a_proof_that_must_be_computed_may_take_longer() {
    let mut flows = Flows::default();
    flows.offer(at(0), &validator(), gemm("c1"), Ability::Able).unwrap();
    flows.computed(at(1).mono, &ann(), "c1", success()).unwrap();
    flows.committed(at(2), &key("c1"), "m".into(), wanted());
    assert_eq!(flows.deadline(), Some(at(102).mono));
}
