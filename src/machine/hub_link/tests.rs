//! The link against a hub that speaks the wire's own words, and against what goes wrong.

use rand_core::SeedableRng;
use serde_json::json;

use super::*;
use crate::{
    machine::TlsFault,
    units::Wall,
    wire::{
        keys::Keypair,
        marketplace::{Ack, Body, HubOffer, Init, LeasePublish, kind},
    },
};

fn key(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32]).unwrap()
}

fn at(seconds: u64) -> Now {
    Now { mono: Mono(seconds * 1_000_000_000), wall: Wall::from_secs(1_795_000_000 + seconds) }
}

fn settings() -> Settings {
    Settings {
        host: "hub.test".into(),
        port: 443,
        path: "/ws/mesh".into(),
        tls: true,
        token: Secret::new("right".into()),
        pinned: None,
        capabilities: vec!["challenge_validation".into()],
        reconnect_delay: Duration::from_secs(30),
    }
}

/// A link and the hub's end of its session.
struct Stage {
    link: HubLink,
    hub: Option<HubSession>,
}

fn stage_of(settings: Settings) -> Stage {
    Stage { link: HubLink::new(settings, key(2).hotkey().clone(), ChaCha20Rng::from_seed([5; 32])), hub: None }
}

fn stage() -> Stage {
    stage_of(settings())
}

impl Stage {
    fn wants(&mut self) -> Vec<Want> {
        std::iter::from_fn(|| self.link.next_want()).collect()
    }

    fn news(&mut self) -> Vec<News> {
        std::iter::from_fn(|| self.link.next_news()).collect()
    }

    /// The first dial of an attempt to these addresses.
    fn dialed(&mut self, now: Now, addresses: &[&str]) -> PeerId {
        self.link.tick(now.mono);
        assert!(matches!(&self.wants()[..], [Want::Resolve(request)] if request.host == "hub.test"));
        self.link.resolved(now.mono, Ok(addresses.iter().map(|address| address.parse().unwrap()).collect()));
        match &self.wants()[..] {
            [Want::Dial { peer, .. }] => *peer,
            other => panic!("{other:?}"),
        }
    }

    fn greeting(&mut self, now: Now) -> (PeerId, Init) {
        let peer = self.dialed(now, &["192.0.2.1:443"]);
        self.link.opened(now, peer);
        match &self.wants()[..] {
            [Want::Send { text, .. }] => (peer, Init::parse(text).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    fn up(&mut self, now: Now) -> PeerId {
        let (peer, init) = self.greeting(now);
        assert_eq!(init.access_token.reveal(), "right");
        let (hub, answer) = HubOffer::new([3; 32], [4; 16], "s-1".into()).accept(&key(1), &init).unwrap();
        self.hub = Some(hub);
        assert!(self.link.heard(now.mono, peer, answer.to_text(now.wall)));
        let hub = key(1).hotkey().clone();
        assert_eq!(self.news(), [News::Up { hub }]);
        peer
    }

    fn hub_says(&mut self, now: Now, body: &FromHub) -> String {
        self.hub.as_mut().unwrap().seal(now.wall, Some("m"), body).unwrap()
    }

    fn loss(&mut self) -> Loss {
        match self.news().pop() {
            Some(News::Lost(loss)) => loss,
            other => panic!("{other:?}"),
        }
    }

    fn closed_by_us(&mut self) -> PeerId {
        match self.wants()[..] {
            [Want::Close { peer, code: 1001, .. }] => peer,
            ref other => panic!("{other:?}"),
        }
    }
}

fn leases() -> FromHub {
    FromHub::Leases(LeasePublish::default())
}

#[test]
fn a_dial_names_the_certificate_and_the_host() {
    let mut stage = stage();
    stage.link.tick(Mono(0));
    stage.wants();
    stage.link.resolved(Mono(0), Ok(vec!["192.0.2.1:443".parse().unwrap()]));
    let wants = stage.wants();
    let [Want::Dial { dial: Dial::Marketplace { host, path, tls, .. }, .. }] = &wants[..] else { panic!("{wants:?}") };
    assert_eq!((host.as_str(), path.as_str(), tls.as_deref()), ("hub.test:443", "/ws/mesh", Some("hub.test")));
    let shown = format!("{:?}", stage.link);
    assert!(!shown.contains("right"), "{shown}");
}

#[test]
fn both_ends_talk_and_each_word_is_news() {
    let mut stage = stage();
    let peer = stage.up(at(0));
    let text = stage.hub_says(at(1), &leases());
    assert!(stage.link.heard(at(1).mono, peer, text));
    let message = News::Message { message_id: Some("m".into()), kind: kind::LEASE_PUBLISH.into(), body: Ok(leases()) };
    assert_eq!(stage.news(), [message]);
    let ack = ToHub::Ack(Ack::accepted("m", kind::LEASE_PUBLISH));
    assert!(stage.link.say(at(2), &ack).is_some());
    let wants = stage.wants();
    let [Want::Send { text, .. }] = &wants[..] else { panic!("{wants:?}") };
    let heard = stage.hub.as_mut().unwrap().open::<ToHub>(text);
    assert!(matches!(heard, Ok(Incoming::Message { body: Ok(body), .. }) if body == ack));
    assert!(!stage.link.heard(at(3).mono, PeerId::accepted(9), "{}".into()), "another one's connection");
}

#[test]
fn bad_frames_are_news_and_the_session_goes_on() {
    let mut stage = stage();
    let peer = stage.up(at(0));
    let good = stage.hub_says(at(1), &leases());
    let plain = json!({"type": kind::LEASE_PUBLISH, "timestamp": 0, "data": {"workerScores": []}}).to_string();
    let swapped = good.replacen(kind::LEASE_PUBLISH, kind::CONFIG_UPDATE, 1);
    for text in ["{", &plain[..], &swapped, &good, &good] {
        stage.link.heard(at(1).mono, peer, text.into());
    }
    let error = HubError { code: 4999, message: String::new() };
    stage.link.heard(at(1).mono, peer, error.to_text(at(1).wall));
    let labels: Vec<_> = stage
        .news()
        .into_iter()
        .map(|news| match news {
            News::Dropped(fault) => fault.label(),
            News::Message { .. } => "message",
            News::Ignored(_) => "ignored",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(labels, ["not_json", "plain", "type_mismatch", "message", "replayed", "ignored"]);
    assert!(stage.link.is_up() && stage.wants().is_empty());
}

#[test]
fn errors_of_the_session_end_the_connection_and_the_next_attempt_waits() {
    for (code, class) in
        [(4001, LossClass::Token), (4002, LossClass::Session), (4011, LossClass::Session), (4020, LossClass::Session)]
    {
        let mut stage = stage();
        let peer = stage.up(at(0));
        let error = HubError { code, message: "test".into() };
        stage.link.heard(at(1).mono, peer, error.to_text(at(1).wall));
        assert_eq!(stage.closed_by_us(), peer);
        assert!(!stage.link.is_up() && stage.link.say(at(1), &ToHub::Ack(Ack::accepted("m", "t"))).is_none());
        assert!(stage.link.closed(at(1).mono, peer, &Gone::ByUs("session ended".into())));
        let loss = stage.loss();
        assert!(loss.class == class && loss.was_up && loss.reason.contains(&code.to_string()), "{loss:?}");
        assert_eq!(stage.link.deadline(), Some(at(1).mono + loss.retry_in));
        let seconds = loss.retry_in.as_secs();
        assert!((15..=30).contains(&seconds), "{loss:?}");
        assert_ne!(stage.dialed(at(60), &["192.0.2.1:443"]), peer, "an id is never used again");
    }
}

#[test]
fn a_refused_token_is_the_operators_to_mend() {
    let mut stage = stage();
    let (peer, _) = stage.greeting(at(0));
    let error = HubError { code: HubError::BAD_TOKEN, message: "no".into() };
    stage.link.heard(at(0).mono, peer, error.to_text(at(0).wall));
    assert_eq!(stage.closed_by_us(), peer);
    stage.link.closed(at(0).mono, peer, &Gone::ByPeer { code: 1008, reason: String::new() });
    let loss = stage.loss();
    assert!(loss.class.needs_operator() && loss.reason.contains("meshhub.access_token_file"), "{loss:?}");
}

#[test]
fn what_a_hub_says_is_told_without_our_token_and_not_at_length() {
    let mut stage = stage();
    let (peer, _) = stage.greeting(at(0));
    let message = format!("no such token: {}; {}", settings().token.reveal(), "x".repeat(10_000));
    let ignored = HubError { code: 4999, message: message.clone() };
    stage.link.heard(at(0).mono, peer, ignored.to_text(at(0).wall));
    let error = HubError { code: HubError::BAD_TOKEN, message };
    stage.link.heard(at(0).mono, peer, error.to_text(at(0).wall));
    stage.closed_by_us();
    stage.link.closed(at(0).mono, peer, &Gone::ByPeer { code: 1008, reason: String::new() });
    let told = format!("{:?}", stage.news());
    assert!(told.contains("(the token)") && told.len() < 2000, "{told}");
    assert!(!told.contains(settings().token.reveal()), "{told}");
}

#[test]
fn another_hub_than_the_pinned_one_hears_nothing() {
    let mut stage = stage_of(Settings { pinned: Some(key(9).hotkey().clone()), ..settings() });
    let (peer, init) = stage.greeting(at(0));
    let (_, answer) = HubOffer::new([3; 32], [4; 16], "s".into()).accept(&key(1), &init).unwrap();
    stage.link.heard(at(0).mono, peer, answer.to_text(at(0).wall));
    assert_eq!(stage.closed_by_us(), peer);
    stage.link.closed(at(0).mono, peer, &Gone::ByUs("handshake refused".into()));
    let loss = stage.loss();
    assert!(loss.class == LossClass::Handshake && !loss.was_up && loss.reason.contains("meshhub.server_hotkey"));
}

#[test]
fn every_address_is_tried_before_the_wait_and_a_certificate_is_named() {
    let mut stage = stage();
    let first = stage.dialed(at(0), &["192.0.2.1:443", "192.0.2.2:443"]);
    assert!(stage.link.closed(at(1).mono, first, &Gone::Io("refused".into())));
    let wants = stage.wants();
    let [Want::Dial { peer, dial: Dial::Marketplace { to, .. } }] = &wants[..] else { panic!("{wants:?}") };
    assert_eq!(to.to_string(), "192.0.2.2:443");
    let fault = TlsFault::Expired { name: "hub.test".into() };
    stage.link.closed(at(2).mono, *peer, &Gone::Tls(fault));
    let loss = stage.loss();
    assert!(loss.class == LossClass::Tls && loss.reason.contains("expired"), "{loss:?}");
    assert!(!stage.link.closed(at(2).mono, first, &Gone::Io("late".into())));
}

#[test]
fn names_without_addresses_are_losses() {
    for answer in [Ok(vec![]), Err("cannot resolve hub.test: no such host".to_owned())] {
        let mut stage = stage();
        stage.link.tick(Mono(0));
        stage.link.resolved(Mono(0), answer);
        assert_eq!(stage.loss().class, LossClass::Transport);
    }
}

#[test]
fn a_handshake_that_nobody_answers_ends() {
    let mut stage = stage();
    let (peer, _) = stage.greeting(at(0));
    stage.link.heard(at(1).mono, peer, r#"{"type":"MESH_LEASE_PUBLISH_V1","data":{}}"#.into());
    assert!(matches!(stage.news()[..], [News::Dropped(_)]));
    assert_eq!(stage.link.deadline(), Some(at(30).mono));
    stage.link.tick(at(30).mono);
    assert_eq!(stage.closed_by_us(), peer);
    stage.link.closed(at(35).mono, peer, &Gone::ByUs("session ended".into()));
    assert!(stage.loss().reason.contains("did not answer the handshake"));
}

#[test]
fn waits_grow_until_a_session_has_held() {
    let mut stage = stage();
    let mut now = 0;
    let mut waits = vec![];
    for _ in 0..6 {
        let peer = stage.dialed(at(now), &["192.0.2.1:443"]);
        stage.link.closed(at(now).mono, peer, &Gone::Io("refused".into()));
        waits.push(stage.loss().retry_in.as_secs());
        now += 1000;
    }
    assert!(waits[5] >= 150 && waits.iter().all(|wait| *wait <= 300), "{waits:?}");
    let peer = stage.up(at(now));
    stage.link.closed(at(now + 10).mono, peer, &Gone::Io("reset".into()));
    assert!(stage.loss().retry_in.as_secs() > 100, "ten seconds were no success");
    let peer = stage.up(at(now + 1000));
    stage.link.closed(at(now + 1100).mono, peer, &Gone::ByPeer { code: 1001, reason: "restart".into() });
    let loss = stage.loss();
    assert!(loss.class == LossClass::Session && loss.retry_in.as_secs() <= 30, "{loss:?}");
}

#[test]
fn a_stopped_link_says_goodbye_and_stays_away() {
    let mut stage = stage();
    let peer = stage.up(at(0));
    stage.link.stop();
    assert_eq!(stage.closed_by_us(), peer);
    assert!(!stage.link.closed(at(1).mono, peer, &Gone::ByUs("the validator stops".into())));
    stage.link.tick(at(1_000_000).mono);
    assert!(stage.wants().is_empty() && stage.link.deadline().is_none());
    assert_eq!(leases().kind(), kind::LEASE_PUBLISH);
}

/// A publish over the size that is read on the loop, and its number of leases.
fn big() -> FromHub {
    let worker = |n: usize| format!("worker-{n:040}");
    let key = |n| crate::units::WorkerKey::new(key(3).hotkey(), &crate::units::WorkerId::new(&worker(n)));
    FromHub::Leases(LeasePublish { scores: (0..600).map(|n| (key(n), 0.5)).collect(), ..LeasePublish::default() })
}

/// Leases of each publish that is news, in order; faults are 9999.
fn told(news: Vec<News>) -> Vec<usize> {
    let count = |news| match news {
        News::Message { body: Ok(FromHub::Leases(leases)), .. } => leases.scores.len(),
        News::Dropped(_) => 9999,
        other => panic!("{other:?}"),
    };
    news.into_iter().map(count).collect()
}

fn work(stage: &mut Stage) -> (HubOpener, String) {
    match stage.wants().pop() {
        Some(Want::Open { opener, text }) => (opener, text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_big_frame_is_read_elsewhere_and_those_behind_it_keep_their_order() {
    let mut stage = stage();
    let peer = stage.up(at(0));
    let frames: Vec<String> =
        [big(), leases(), big(), leases()].iter().map(|body| stage.hub_says(at(1), body)).collect();
    frames.iter().for_each(|text| assert!(stage.link.heard(at(1).mono, peer, text.clone())));
    let (opener, text) = work(&mut stage);
    assert!(stage.news().is_empty());
    stage.link.read(at(2).mono, opener.open(&text));
    assert_eq!(told(stage.news()), [600, 0]);
    let (opener, text) = work(&mut stage);
    stage.link.read(at(3).mono, opener.open(&text));
    assert_eq!(told(stage.news()), [600, 0]);
    // A replay of it is one, wherever it is read.
    stage.link.heard(at(4).mono, peer, frames[2].clone());
    let (opener, text) = work(&mut stage);
    stage.link.read(at(4).mono, opener.open(&text));
    assert_eq!(stage.news(), [News::Dropped(FrameFault::Replayed { seq: 3 })]);
}

#[test]
fn what_was_read_for_a_session_that_is_gone_says_nothing() {
    let mut stage = stage();
    let peer = stage.up(at(0));
    let text = stage.hub_says(at(1), &big());
    stage.link.heard(at(1).mono, peer, text);
    let (opener, text) = work(&mut stage);
    stage.link.closed(at(2).mono, peer, &Gone::Io("reset".into()));
    stage.loss();
    let peer = stage.up(at(60));
    let behind = stage.hub_says(at(61), &big());
    stage.link.heard(at(61).mono, peer, behind);
    assert!(stage.wants().is_empty(), "one at a time, also across sessions");
    stage.link.read(at(62).mono, opener.open(&text));
    let (opener, text) = work(&mut stage);
    stage.link.read(at(63).mono, opener.open(&text));
    assert_eq!(told(stage.news()), [600]);
}

#[test]
fn a_hub_that_floods_while_one_is_read_is_sent_away() {
    let mut stage = stage();
    let peer = stage.up(at(0));
    let text = stage.hub_says(at(1), &big());
    stage.link.heard(at(1).mono, peer, text);
    work(&mut stage);
    (0..=WAITING_FRAMES).for_each(|_| {
        stage.link.heard(at(1).mono, peer, "x".into());
    });
    assert_eq!(stage.closed_by_us(), peer);
}
