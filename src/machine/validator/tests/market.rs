//! The validator and a hub that speaks the wire's own words.

use super::bench::{Bench, CONFIG, Miner, keys};
use crate::{
    machine::{
        Dial, Gone, Input, Link, Message, Output,
        contract::{
            resolve::ResolveReply,
            store::{Snapshot, Write},
        },
        validator::{Command, Event},
    },
    metrics::Metric,
    units::{PeerId, WorkerId, WorkerKey},
    wire::marketplace::{
        AckStatus, Body, ConfigUpdate, FromHub, HubError, HubOffer, HubSession, Incoming, Init, LeasePublish,
        ReportMode, ResourceReport, ScoreReport, ToHub, kind,
    },
};

pub(super) const MARKET: &str =
    "meshhub: {ws_url: 'ws://127.0.0.1:9510/ws/mesh', access_token_file: /t, reconnect_delay_seconds: 2}\n";

/// The hub's end, and the validator's connection.
pub(super) struct Hub {
    pub(super) session: HubSession,
    pub(super) peer: PeerId,
}

pub(super) fn bench(miners: &[&Miner]) -> Bench {
    bench_with(&format!("{CONFIG}{MARKET}"), miners)
}

pub fn bench_with(config: &str, miners: &[&Miner]) -> Bench {
    let miners: Vec<_> = miners.iter().map(|miner| keys_of(miner)).collect();
    Bench::start(keys(200), config, &miners.iter().collect::<Vec<_>>(), Snapshot::default())
}

pub(super) fn keys_of(miner: &Miner) -> crate::wire::keys::Keypair {
    (1..=20).map(keys).find(|keys| keys.hotkey() == miner.hotkey()).expect("one of the bench's miners")
}

/// The dial that is asked for next, after the name was found.
fn dialed(bench: &mut Bench) -> PeerId {
    assert!(matches!(bench.to_hub.pop_front(), Some(Output::Command(Command::Resolve(_)))));
    let addresses = Ok(vec!["127.0.0.1:9510".parse().unwrap()]);
    bench.input(Input::Event(Event::Resolved(ResolveReply { addresses })));
    match bench.to_hub.pop_front() {
        Some(Output::Dial { peer, dial: Dial::Marketplace { tls: None, .. } }) => peer,
        other => panic!("{other:?}"),
    }
}

pub(super) fn join(bench: &mut Bench) -> Hub {
    let peer = dialed(bench);
    let remote = "127.0.0.1:9510".parse().unwrap();
    bench.input(Input::Opened { peer, link: Link::Marketplace, remote });
    let init = Init::parse(&sent(bench)).unwrap();
    assert_eq!((init.access_token.reveal(), &init.validator_hotkey), ("right", &bench.me));
    let (session, answer) = HubOffer::new([3; 32], [4; 16], "s".into()).accept(&keys(99), &init).unwrap();
    hear(bench, peer, answer.to_text(bench.now.wall));
    assert_eq!(bench.counted(Metric::MarketplaceUp, &[]), Some(1.0));
    Hub { session, peer }
}

pub(super) fn hear(bench: &mut Bench, peer: PeerId, text: String) {
    bench.input(Input::Received { peer, message: Message::Text(text), at: bench.now.mono });
}

fn sent(bench: &mut Bench) -> String {
    match bench.to_hub.pop_front() {
        Some(Output::Send { message: Message::Text(text), .. }) => text,
        other => panic!("{other:?}"),
    }
}

impl Hub {
    pub(super) fn say(&mut self, bench: &mut Bench, message_id: Option<&str>, body: &FromHub) -> String {
        let text = self.session.seal(bench.now.wall, message_id, body).unwrap();
        hear(bench, self.peer, text.clone());
        text
    }

    fn publish(&mut self, bench: &mut Bench, miner: &Miner, leases: &[(&str, f64)]) -> String {
        let key = |worker: &str| WorkerKey::new(miner.hotkey(), &WorkerId::new(worker));
        let scores = leases.iter().map(|(worker, score)| (key(worker), *score)).collect();
        self.say(bench, None, &FromHub::Leases(LeasePublish { scores, ..LeasePublish::default() }))
    }

    /// All that the validator said since.
    pub(super) fn heard(&mut self, bench: &mut Bench) -> Vec<ToHub> {
        let texts: Vec<String> = std::iter::from_fn(|| (!bench.to_hub.is_empty()).then(|| sent(bench))).collect();
        let open = |text: &String| match self.session.open::<ToHub>(text) {
            Ok(Incoming::Message { body: Ok(body), .. }) => body,
            other => panic!("{other:?}"),
        };
        texts.iter().map(open).collect()
    }
}

fn challenged(bench: &mut Bench, miner: &mut Miner) -> Vec<String> {
    miner.heartbeat(bench, &["w00", "w01"]);
    bench.seconds(240);
    let ids: Vec<String> = miner.tasks(bench, None).iter().map(|task| task.target_worker_id.to_string()).collect();
    ids
}

#[test]
fn leased_workers_get_no_challenges_and_the_store_is_told() {
    let mut miner = Miner::new(1);
    let mut bench = bench(&[&miner]);
    let mut hub = join(&mut bench);
    miner.handshake(&mut bench).unwrap();
    hub.publish(&mut bench, &miner, &[("w00", 0.5), ("unknown", 1.0)]);
    assert_eq!(challenged(&mut bench, &mut miner), ["w01"]);
    let stored = bench.written.iter().find_map(|write| match write {
        Write::Leases(write) => {
            Some(write.scores.iter().map(|(key, score)| (key.worker.to_string(), *score)).collect())
        }
        _ => None,
    });
    assert_eq!(stored, Some(vec![("unknown".to_owned(), 1.0), ("w00".to_owned(), 0.5)]));
    assert_eq!(bench.counted(Metric::MarketplaceFrames, &["in", kind::LEASE_PUBLISH]), Some(1.0));
    assert!(bench.counted(Metric::LeasesAgeSeconds, &[]).is_some_and(|age| age >= 200.0));
}

#[test]
fn leases_do_not_go_with_the_hub_and_a_lease_of_none_ends_one() {
    let mut miner = Miner::new(1);
    let mut bench = bench(&[&miner]);
    let mut hub = join(&mut bench);
    miner.handshake(&mut bench).unwrap();
    hub.publish(&mut bench, &miner, &[("w00", 0.5)]);
    let peer = hub.peer;
    bench.input(Input::Closed { peer, reason: Gone::Io("reset".into()) });
    assert_eq!(bench.counted(Metric::MarketplaceUp, &[]), Some(0.0));
    assert_eq!(bench.counted(Metric::MarketplaceLosses, &["transport"]), Some(1.0));
    assert_eq!(challenged(&mut bench, &mut miner), ["w01"]);
    let mut hub = join(&mut bench);
    hub.publish(&mut bench, &miner, &[("w00", 0.0)]);
    assert!(challenged(&mut bench, &mut miner).contains(&"w00".to_owned()));
}

#[test]
fn frames_that_the_original_took_are_refused_here() {
    let miner = Miner::new(1);
    let mut bench = bench(&[&miner]);
    let mut hub = join(&mut bench);
    let lease = hub.publish(&mut bench, &miner, &[("w00", 0.5)]);
    hub.publish(&mut bench, &miner, &[("w00", 0.0)]);
    let writes = |bench: &Bench| bench.written.iter().filter(|write| matches!(write, Write::Leases(_))).count();
    bench.seconds(1);
    let before = writes(&bench);
    let swapped = hub.session.seal(bench.now.wall, Some("m"), &FromHub::Leases(LeasePublish::default())).unwrap();
    let swapped = swapped.replacen(kind::LEASE_PUBLISH, kind::CONFIG_UPDATE, 1);
    hear(&mut bench, hub.peer, lease);
    hear(&mut bench, hub.peer, swapped);
    hear(&mut bench, hub.peer, "{".into());
    bench.seconds(1);
    for fault in ["replayed", "type_mismatch", "not_json"] {
        assert_eq!(bench.counted(Metric::MarketplaceFaults, &[fault]), Some(1.0), "{fault}");
    }
    assert_eq!((writes(&bench), hub.heard(&mut bench).len()), (before, 0));
    assert_eq!(bench.counted(Metric::MarketplaceUp, &[]), Some(1.0));
}

#[test]
fn leases_that_are_none_are_counted_by_what_was_wrong() {
    let miner = Miner::new(1);
    let mut bench = bench(&[&miner]);
    let mut hub = join(&mut bench);
    let plaintext = format!(
        r#"{{"workerScores":[{{"workerKey":"{0}:w00","score":7.5}},{{"workerKey":"{0}:w01","score":-3}},{{"workerKey":"no-colon","score":1}}]}}"#,
        miner.hotkey()
    );
    let text = hub.session.seal_text(bench.now.wall, None, kind::LEASE_PUBLISH, &plaintext).unwrap();
    hear(&mut bench, hub.peer, text);
    bench.seconds(1);
    assert_eq!(bench.counted(Metric::LeasesSkipped, &["out_of_range"]), Some(2.0));
    assert_eq!(bench.counted(Metric::LeasesSkipped, &["no_colon"]), Some(1.0));
    assert!(!bench.written.iter().any(|write| matches!(write, Write::Leases(_))));
}

#[test]
fn a_publish_of_the_whole_network_is_read_in_the_bulk_spoke() {
    let miner = Miner::new(1);
    let mut bench = bench(&[&miner]);
    let mut hub = join(&mut bench);
    let workers: Vec<String> = (0..2_000).map(|number| format!("worker-{number:04}")).collect();
    let leases: Vec<(&str, f64)> = workers.iter().map(|worker| (worker.as_str(), 0.5)).collect();
    let text = hub.publish(&mut bench, &miner, &leases);
    assert!(text.len() > crate::wire::limits::BULK_BYTES);
    bench.seconds(1);
    let stored = |write: &Write| matches!(write, Write::Leases(write) if write.scores.len() == 2_000);
    assert_eq!(bench.written.iter().filter(|write| stored(write)).count(), 1);
}

#[test]
fn what_is_not_done_is_acknowledged_as_failed_and_only_where_that_is_asked_for() {
    let mut bench = bench(&[]);
    let mut hub = join(&mut bench);
    let update = FromHub::Config(ConfigUpdate { payload: Default::default() });
    hub.say(&mut bench, None, &update);
    assert!(hub.heard(&mut bench).is_empty());
    hub.say(&mut bench, Some("cfg-1"), &update);
    let heard = hub.heard(&mut bench);
    let [ToHub::Ack(ack)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(
        (ack.message_id.as_str(), ack.message_type.as_str(), ack.status),
        ("cfg-1", kind::CONFIG_UPDATE, AckStatus::Failed)
    );
    assert!(ack.metadata["error"].as_str().is_some_and(|error| error == "no_allowed_root"));
    // A task without a key is ignored, without a word.
    let text = hub.session.seal_text(bench.now.wall, Some("tm-3"), kind::TASK_PUBLISH, "{}").unwrap();
    hear(&mut bench, hub.peer, text);
    assert!(hub.heard(&mut bench).is_empty());
}

#[test]
fn the_hub_hears_a_heartbeat_a_minute_and_the_scores() {
    let miner = Miner::new(1);
    let mut bench = bench(&[&miner]);
    let mut hub = join(&mut bench);
    bench.seconds(59);
    assert!(hub.heard(&mut bench).is_empty());
    bench.seconds(1);
    let heard = hub.heard(&mut bench);
    let [ToHub::Heartbeat(heartbeat)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((heartbeat.statistics.success_rate, heartbeat.statistics.total_tasks), (1.0, 0));
    bench.seconds(420);
    let heard = hub.heard(&mut bench);
    let heartbeats = heard.iter().filter(|body| body.kind() == kind::HEARTBEAT).count();
    assert!(heartbeats >= 6, "{heartbeats}");
    assert!(heard.iter().any(|body| matches!(body, ToHub::Scores(ScoreReport::Miners(_)))), "{heard:?}");
}

#[test]
fn an_error_of_the_session_and_a_stop_end_the_connection() {
    let mut bench = bench(&[]);
    let hub = join(&mut bench);
    let error = HubError { code: 4011, message: "gone".into() };
    let text = error.to_text(bench.now.wall);
    hear(&mut bench, hub.peer, text);
    assert!(matches!(bench.to_hub.pop_front(), Some(Output::Close { peer, .. }) if peer == hub.peer));
    bench.input(Input::Closed { peer: hub.peer, reason: Gone::ByUs("session ended".into()) });
    assert_eq!(bench.counted(Metric::MarketplaceLosses, &["session"]), Some(1.0));
    bench.seconds(2);
    let hub = join(&mut bench);
    bench.input(Input::Stop);
    bench.seconds(1);
    assert!(matches!(bench.to_hub.pop_front(), Some(Output::Close { peer, code: 1001, .. }) if peer == hub.peer));
    assert!(bench.exit.is_some());
}

#[test]
fn a_hub_that_is_never_there_stops_nothing() {
    let mut miner = Miner::new(1);
    let mut bench = bench(&[&miner]);
    miner.handshake(&mut bench).unwrap();
    for _ in 0..5 {
        let peer = dialed(&mut bench);
        bench.input(Input::DialFailed { peer, reason: Gone::Io("connection refused".into()) });
        bench.seconds(20);
    }
    assert_eq!(challenged(&mut bench, &mut miner).len(), 2);
    assert_eq!(bench.counted(Metric::MarketplaceLosses, &["transport"]), Some(5.0));
}

#[test]
fn workers_are_told_each_interval_and_whole_once_a_session() {
    let mut miner = Miner::new(1);
    let mut bench = bench(&[&miner]);
    let mut hub = join(&mut bench);
    miner.handshake(&mut bench).unwrap();
    hub.publish(&mut bench, &miner, &[("w00", 0.5)]);
    miner.heartbeat(&mut bench, &["w00", "w01"]);
    let told = |hub: &mut Hub, bench: &mut Bench| -> Vec<(ReportMode, Vec<f64>)> {
        let reports = hub.heard(bench).into_iter().filter_map(|body| match body {
            ToHub::Resources(report) => Some(report),
            _ => None,
        });
        let leases =
            |report: &ResourceReport| report.miners[0].workers.iter().map(|worker| worker.lease_score).collect();
        reports.map(|report| (report.mode, leases(&report))).collect()
    };
    bench.seconds(89);
    assert_eq!(told(&mut hub, &mut bench), []);
    bench.seconds(2);
    assert_eq!(told(&mut hub, &mut bench), [(ReportMode::Full, vec![0.5, 0.0])]);
    bench.seconds(90);
    assert_eq!(told(&mut hub, &mut bench), [], "nothing changed");
    hub.publish(&mut bench, &miner, &[("w01", 1.0)]);
    bench.seconds(90);
    assert_eq!(told(&mut hub, &mut bench), [(ReportMode::Delta, vec![1.0])]);
    let peer = hub.peer;
    bench.input(Input::Closed { peer, reason: Gone::Io("reset".into()) });
    bench.seconds(3);
    let mut hub = join(&mut bench);
    bench.seconds(91);
    assert_eq!(told(&mut hub, &mut bench), [(ReportMode::Full, vec![0.5, 1.0])]);
}
