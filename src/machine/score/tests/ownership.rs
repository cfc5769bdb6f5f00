//! Whose GPU it is, case by case: who names it, who proved it, who is asked at the same moment, who is on lease.

use super::{super::ownership::RELEASE, *};

const UUID: &str = "GPU-X";

/// A worker that names the GPU; minutes before now.
#[derive(Clone, Copy)]
struct Rival {
    hotkey: &'static str,
    worker: &'static str,
    since: f64,
    seen: f64,
    /// Moments at which it proved it.
    proved: &'static [f64],
    /// Moments at which it failed.
    failed: &'static [f64],
    lease: Option<f64>,
}

/// It has named it for two hours until now.
const RIVAL: Rival =
    Rival { hotkey: "5A", worker: "w1", since: 120.0, seen: 0.0, proved: &[10.0, 5.0], failed: &[], lease: None };
const OTHER: Rival = Rival { hotkey: "5B", since: 60.0, ..RIVAL };
const ONLY_NAMES_IT: Rival = Rival { hotkey: "5B", since: 500.0, proved: &[], ..RIVAL };

impl Rival {
    fn key(&self) -> WorkerKey {
        WorkerKey::new(&Hotkey::label(self.hotkey), &WorkerId::new(self.worker))
    }

    fn claim(&self) -> Claim {
        let newest = self.proved.iter().copied().fold(f64::INFINITY, f64::min);
        let proved = newest.is_finite().then(|| minutes_ago(newest));
        let (since, seen) = (minutes_ago(self.since), minutes_ago(self.seen));
        Claim { worker: self.key(), since, seen, proved, removed: false }
    }

    fn challenges(&self, set: GpuSetId) -> Vec<ChallengeFact> {
        let verified = verified(set, 1);
        let proved = self.proved.iter().map(|ago| fact(*ago, verified.clone()));
        proved.chain(self.failed.iter().map(|ago| fact(*ago, Outcome::Failed("no commitment".into())))).collect()
    }
}

fn verified(set: GpuSetId, gpus: u32) -> Outcome {
    let ops = Some(f64::from(gpus) * 1e12);
    Outcome::Verified { computation_ms: Some(100.0), success_count: Some(gpus), gpus: Some(set), ops }
}

fn fact(minutes: f64, outcome: Outcome) -> ChallengeFact {
    ChallengeFact { created: minutes_ago(minutes), tie: 1, outcome }
}

fn facts(rivals: &[Rival]) -> Facts {
    let set = GpuSetId(NonZeroU32::MIN);
    let mut facts = Facts { at: minutes_ago(0.0), ..Facts::default() };
    facts.gpu_sets.insert(set, BTreeSet::from([UUID.into()]));
    for rival in rivals {
        facts_of::miner(&mut facts, rival.hotkey);
        facts.claims.entry(UUID.into()).or_default().push(rival.claim());
        facts_of::there_for_an_hour(&mut facts, &rival.key(), Some(set));
        let worker = facts_of::worker(&mut facts, rival.hotkey, rival.worker);
        (worker.challenges, worker.lease) = (rival.challenges(set), rival.lease.map(leased));
    }
    facts
}

/// Two rivals; whose challenges count; who is named in a quarantine.
type Case = (&'static str, [Rival; 2], &'static [&'static str], &'static [&'static str]);

/// Workers with a challenge that counts, and those that are named in a quarantine.
fn judged(rivals: &[Rival]) -> (Vec<String>, Vec<String>) {
    let scores = score(&facts(rivals), &Policy::reference_70_30());
    let counted = scores.workers.iter().filter(|worker| worker.counted > 0).map(|worker| worker.key.to_string());
    let named = scores.contested.iter().flat_map(|contested| &contested.workers).map(ToString::to_string);
    (counted.collect(), named.collect())
}

#[test]
fn a_gpu_earns_for_one_worker_or_for_none() {
    let silent = RELEASE.as_secs_f64() / 60.0 + 1.0;
    let both: &'static [&'static str] = &["5A:w1", "5B:w1"];
    let moved = Rival { seen: 8.0, proved: &[10.0], ..RIVAL };
    let fails = Rival { failed: &[4.0], ..RIVAL };
    let failed_before = Rival { failed: &[6.0], ..RIVAL };
    let proved_at = |proved| Rival { proved, ..OTHER };
    let cases: [Case; 12] = [
        ("another names it longer", [RIVAL, ONLY_NAMES_IT], &["5A:w1"], &[]),
        ("another names it last", [RIVAL, Rival { since: 1.0, ..ONLY_NAMES_IT }], &["5A:w1"], &[]),
        ("proven by two miners", [RIVAL, OTHER], &[], both),
        ("proven by two workers of one", [RIVAL, Rival { worker: "w2", ..RIVAL }], &[], &["5A:w1", "5A:w2"]),
        ("one has been silent for long", [RIVAL, Rival { seen: silent, ..OTHER }], &["5A:w1"], &[]),
        ("one is silent for less", [RIVAL, Rival { seen: silent - 2.0, ..OTHER }], &[], both),
        ("both are silent", [Rival { seen: silent, ..RIVAL }, Rival { seen: silent, ..OTHER }], &[], both),
        ("it moved", [moved, Rival { since: 7.0, ..OTHER }], &["5B:w1"], &[]),
        ("one failed where the other proved it", [fails, proved_at(&[4.0])], &["5B:w1"], &[]),
        ("and proved it again", [failed_before, proved_at(&[6.0])], &[], both),
        ("one failed at a moment of its own", [fails, OTHER], &[], both),
        ("both failed together", [fails, Rival { failed: &[4.0], ..OTHER }], &[], both),
    ];
    for (name, [one, other], counted, quarantined) in cases {
        let expected = (strings(counted), strings(quarantined));
        assert_eq!(judged(&[one, other]), expected, "{name}");
        assert_eq!(judged(&[other, one]), expected, "{name}, the other way round");
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[test]
fn a_quarantine_is_told_with_both_names_and_what_ends_it() {
    let scores = score(&facts(&[RIVAL, OTHER]), &Policy::reference_70_30());
    let one = scores.workers.iter().find(|worker| worker.key == RIVAL.key()).unwrap();
    assert_eq!((one.counted, one.quarantined, one.disowned, one.attempts), (0, 2, 0, 0));
    let verdict = scores.verdict(&one.key).unwrap();
    assert!(verdict.starts_with("GPU GPU-X in quarantine: proven by 5A:w1 and 5B:w1; "), "{verdict}");
    assert!(verdict.contains("30 min"), "{verdict}");
    assert_eq!(score(&facts(&[RIVAL]), &Policy::reference_70_30()).verdict(&one.key), None);
}

#[test]
fn a_challenge_with_a_gpu_of_another_says_so() {
    let mut facts = facts(&[RIVAL, OTHER]);
    facts.claims.get_mut(UUID).unwrap()[1].proved = None;
    let scores = score(&facts, &Policy::reference_70_30());
    let other = scores.workers.iter().find(|worker| worker.key == OTHER.key()).unwrap();
    assert_eq!((other.rank, other.counted, other.disowned, other.attempts), (None, 0, 2, 0));
}

#[test]
fn a_lease_earns_where_its_gpu_is_not_anothers() {
    let leased = Rival { lease: Some(1.0), ..RIVAL };
    let cases = [
        ("another only names it", [leased, ONLY_NAMES_IT], [1.0, 0.0]),
        ("another proves it now", [Rival { proved: &[400.0], ..leased }, OTHER], [1.0, 0.0]),
        ("both are leased", [leased, Rival { lease: Some(1.0), ..OTHER }], [0.0, 0.0]),
        ("it never proved it", [Rival { proved: &[], ..leased }, OTHER], [0.0, 0.0]),
        ("it has not named it for hours", [Rival { seen: 200.0, ..leased }, OTHER], [1.0, 0.0]),
    ];
    for (name, rivals, leases) in cases {
        let scores = score(&facts(&rivals), &Policy::reference_70_30());
        let told: Vec<f64> = scores.miners.iter().map(|miner| miner.lease).collect();
        assert_eq!(told, leases, "{name}");
    }
}

#[test]
fn of_several_gpus_those_in_quarantine_alone_do_not_count() {
    let mut facts = facts(&[RIVAL, OTHER]);
    let set = GpuSetId(NonZeroU32::new(2).unwrap());
    facts.gpu_sets.insert(set, BTreeSet::from([UUID.into(), "GPU-Y".into()]));
    facts.claims.insert("GPU-Y".into(), vec![RIVAL.claim()]);
    facts_of::worker(&mut facts, "5A", "w1").challenges = vec![fact(5.0, verified(set, 2))];
    let scores = score(&facts, &Policy::throughput());
    let one = &scores.workers[0];
    assert_eq!((one.counted, one.devices, one.ops, one.quarantined), (1, 1.0, 1e12, 0));
    assert!((one.lease_share - 0.5).abs() < 1e-12);
}

proptest! {
    #[test]
    fn whatever_is_claimed_and_proven_a_gpu_earns_for_one_worker_at_most(facts in subnets()) {
        let owners = Owners::of(&facts, &Policy::reference_70_30());
        for uuid in facts.claims.keys() {
            let earns = |key: &&WorkerKey| {
                let sets = facts.gpu_sets.iter().filter(|(_, uuids)| uuids.contains(uuid));
                let mut shares = sets.map(|(set, _)| owners.share(*set, key));
                shares.any(|share| matches!(share, Share::Own { quarantined: 0, .. }))
            };
            prop_assert!(facts.workers.keys().filter(earns).count() <= 1, "{uuid}");
        }
    }
}
