//! The hub as a machine, with validators that speak the wire's own words.

use std::time::Duration;

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde_json::{Value as Json, json};

use super::*;
use crate::{
    machine::{Gone, Input, Link, Machine, Message},
    units::{Hotkey, Secret, Wall},
    wire::{
        http::{Headers, Request},
        marketplace::{Ack, FrameFault, FromHub, Hello, HubError, HubSession, Incoming, Reply, ToHub, kind},
    },
};

struct Stage {
    hub: Hub,
    now: Now,
    next: u64,
}

/// What came out for one connection.
#[derive(Debug, PartialEq)]
enum Said {
    Text(String),
    Closed(u16),
}

fn validator() -> Hotkey {
    Keypair::from_seed([2; 32]).unwrap().hotkey().clone()
}

fn worker() -> String {
    format!("{}:w1", Keypair::from_seed([3; 32]).unwrap().hotkey())
}

fn stage(script: &Json) -> Stage {
    let script = Script::read(&script.to_string()).unwrap();
    let (key, tokens) = (Keypair::from_seed([1; 32]).unwrap(), Tokens::read("right").unwrap());
    let hub = Hub::new(key, tokens, script, Some(Duration::from_secs(60)), ChaCha20Rng::from_seed([0; 32]));
    let mut stage = Stage { hub, now: Now::default(), next: 0 };
    stage.pass(0.0);
    stage
}

impl Stage {
    fn pass(&mut self, seconds: f64) {
        let span = Duration::from_secs_f64(seconds);
        self.now = Now { mono: self.now.mono + span, wall: Wall(self.now.wall.0) + span };
        self.hub.handle(self.now, Input::Deadline);
    }

    fn open(&mut self) -> PeerId {
        self.next += 1;
        let peer = PeerId::accepted(self.next);
        let remote = "127.0.0.1:1".parse().unwrap();
        self.hub.handle(self.now, Input::Opened { peer, link: Link::Marketplace, remote });
        peer
    }

    fn tell(&mut self, peer: PeerId, text: String) {
        self.hub.handle(self.now, Input::Received { peer, message: Message::Text(text), at: self.now.mono });
    }

    fn said(&mut self) -> Vec<(PeerId, Said)> {
        let outputs = std::iter::from_fn(|| self.hub.poll());
        outputs
            .map(|output| match output {
                Output::Send { peer, message: Message::Text(text) } => (peer, Said::Text(text)),
                Output::Close { peer, code, .. } => (peer, Said::Closed(code)),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// Texts to one validator; nothing else may have come out.
    fn texts(&mut self) -> Vec<String> {
        let text = |(_, said)| match said {
            Said::Text(text) => text,
            other => panic!("{other:?}"),
        };
        self.said().into_iter().map(text).collect()
    }

    fn hello(&mut self, peer: PeerId, token: &str) -> Hello {
        let hello = Hello::new([7; 32], [8; 16]);
        let token = Secret::new(token.into());
        self.tell(peer, hello.to_text(self.now.wall, &validator(), &token, "test", &["challenge_validation"]));
        hello
    }

    /// A session, and the leases that came with it.
    fn join(&mut self) -> (PeerId, HubSession, Vec<(String, f64)>) {
        let peer = self.open();
        let hello = self.hello(peer, "right");
        let texts = self.texts();
        let Ok(Reply::Accepted(answer)) = Reply::parse(&texts[0]) else { panic!("{texts:?}") };
        let mut session = hello.finish(&validator(), None, &answer).unwrap();
        let leases = leases(&mut session, &texts[1]);
        (peer, session, leases)
    }

    fn control(&mut self, method: &str, params: &Json) -> Json {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self.request("POST", &body.to_string());
        let mut answer: Json = serde_json::from_slice(&answer.1).unwrap();
        match answer.get_mut("result") {
            Some(result) => result.take(),
            None => answer["error"].take(),
        }
    }

    fn request(&mut self, method: &str, body: &str) -> (u16, Vec<u8>) {
        let peer = self.open();
        let (method, target) = (method.to_owned(), "/".to_owned());
        let request = Request { method, target, headers: Headers::new(), body: body.into() };
        let message = Message::Request(request);
        self.hub.handle(self.now, Input::Received { peer, message, at: self.now.mono });
        let answer = self.hub.outbox.pop_back();
        self.hub.handle(self.now, Input::Closed { peer, reason: Gone::ByUs("answered".into()) });
        match answer {
            Some(Output::Send { message: Message::Response(response), .. }) => (response.status, response.body),
            other => panic!("{other:?}"),
        }
    }
}

fn leases(session: &mut HubSession, text: &str) -> Vec<(String, f64)> {
    match session.open::<FromHub>(text) {
        Ok(Incoming::Message { body: Ok(FromHub::Leases(leases)), .. }) => {
            leases.scores.into_iter().map(|(key, score)| (key.to_string(), score)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn fault(session: &mut HubSession, text: &str) -> &'static str {
    session.open::<FromHub>(text).unwrap_err().label()
}

#[test]
fn a_token_opens_a_session_with_all_leases_and_another_one_does_not() {
    let mut stage = stage(&json!({"leases": {worker(): 0.5}}));
    assert_eq!(stage.join().2, [(worker(), 0.5)]);
    let peer = stage.open();
    stage.hello(peer, "wrong");
    let said = stage.said();
    let (_, Said::Text(text)) = &said[0] else { panic!("{said:?}") };
    assert!(matches!(Reply::parse(text), Ok(Reply::Refused(HubError { code: 4001, .. }))));
    assert_eq!(said[1], (peer, Said::Closed(1008)));
    assert_eq!(stage.control("sim_status", &json!([]))["sessions"].as_array().unwrap().len(), 1);
}

#[test]
fn what_comes_before_the_handshake_is_not_answered() {
    let mut stage = stage(&json!({}));
    let peer = stage.open();
    for text in ["", "{", r#"{"type":"MESH_ACK_V1","data":{}}"#] {
        stage.tell(peer, text.into());
    }
    assert!(stage.texts().is_empty());
}

#[test]
fn leases_are_published_when_they_change_again_and_as_they_are() {
    let mut stage = stage(&json!({}));
    let (_, mut session, first) = stage.join();
    assert!(first.is_empty());
    assert_eq!(stage.control("sim_leases", &json!([{worker(): 0.25, "nonsense": 7.5}])), json!(1));
    let texts = stage.texts();
    assert_eq!(leases(&mut session, &texts[0]), [(worker(), 0.25)]);
    stage.pass(61.0);
    let texts = stage.texts();
    assert_eq!(leases(&mut session, &texts[0]), [(worker(), 0.25)]);
    assert_eq!(stage.control("sim_publish", &json!([])), json!(1));
    assert_eq!(stage.texts().len(), 1);
    assert_eq!(stage.control("sim_status", &json!([]))["leases"], json!({worker(): 0.25, "nonsense": 7.5}));
}

#[test]
fn updates_and_tasks_ask_for_acknowledgements_and_get_them() {
    let mut stage = stage(&json!({}));
    let (peer, mut session, _) = stage.join();
    let payload = json!({"validation": {"challenge_interval": 300}});
    assert_eq!(stage.control("sim_config", &json!([payload])), json!("cfg-1"));
    assert_eq!(stage.control("sim_task", &json!([{"taskKey": "t", "workerKey": worker()}])), json!("task-2"));
    let kinds = [kind::CONFIG_UPDATE, kind::TASK_PUBLISH];
    for ((text, id), of) in stage.texts().iter().zip(["cfg-1", "task-2"]).zip(kinds) {
        let Ok(Incoming::Message { message_id, kind, body }) = session.open::<FromHub>(text) else { panic!() };
        assert_eq!((message_id.as_deref(), kind.as_str(), body.is_ok()), (Some(id), of, true));
        let ack = ToHub::Ack(Ack::accepted(id, of));
        stage.tell(peer, session.seal(stage.now.wall, None, &ack).unwrap());
    }
    let shown = stage.control("sim_received", &json!([kind::ACK]));
    assert_eq!(shown["count"], json!(2));
    assert_eq!(shown["records"][1]["data"]["messageId"], json!("task-2"));
    assert_eq!(shown["records"][1]["hotkey"], json!(validator()));
    assert_eq!(stage.control("sim_received", &json!([null, 1]))["records"].as_array().unwrap().len(), 1);
    stage.control("sim_forget", &json!([]));
    assert_eq!(stage.control("sim_received", &json!([]))["records"], json!([]));
}

#[test]
fn each_wrong_frame_is_the_one_that_it_is_called() {
    let mut stage = stage(&json!({}));
    let (_, mut session, _) = stage.join();
    let some = json!({worker(): 1});
    stage.control("sim_leases", &json!([some]));
    stage.control("sim_replay", &json!([]));
    let texts = stage.texts();
    leases(&mut session, &texts[0]);
    assert_eq!((texts.len(), fault(&mut session, &texts[1])), (2, "replayed"));
    assert_eq!(stage.control("sim_replay", &json!([50])), json!(2));
    assert_eq!(stage.texts().len(), 2);
    stage.control("sim_reorder", &json!([some, some]));
    let texts = stage.texts();
    leases(&mut session, &texts[0]);
    assert_eq!(fault(&mut session, &texts[1]), "reordered");
    stage.control("sim_tamper", &json!([some]));
    stage.control("sim_mislabel", &json!([some]));
    stage.control("sim_say", &json!(["{\"type\":\"MESH_LEASE_PUBLISH_V1\",\"data\":{\"workerScores\":[]}}"]));
    let labels: Vec<_> = stage.texts().iter().map(|text| fault(&mut session, text)).collect();
    assert_eq!(labels, ["package", "type_mismatch", "plain"]);
    stage.control("sim_error", &json!([4011, "gone"]));
    let error = HubError { code: 4011, message: "gone".into() };
    assert_eq!(session.open::<FromHub>(&stage.texts()[0]), Ok(Incoming::Error(error)));
    // and after all that the session still works
    stage.control("sim_publish", &json!([]));
    leases(&mut session, &stage.texts()[0]);
}

#[test]
fn an_outage_sends_everybody_away_until_it_ends() {
    let mut stage = stage(&json!({"events": [{"at_s": 10, "method": "sim_outage", "params": [100]}]}));
    let (peer, _, _) = stage.join();
    assert_eq!(stage.hub.deadline(), Some(Mono(0) + Duration::from_secs(10)));
    stage.pass(10.0);
    assert_eq!(stage.said(), [(peer, Said::Closed(1001))]);
    stage.hub.handle(stage.now, Input::Closed { peer, reason: Gone::ByUs("away".into()) });
    let newcomer = stage.open();
    stage.hello(newcomer, "right");
    assert_eq!(stage.said(), [(newcomer, Said::Closed(1013))]);
    assert_eq!(stage.control("sim_status", &json!([]))["outage"]["kind"], json!("closed"));
    stage.pass(100.0);
    assert!(stage.texts().is_empty());
    stage.join();
}

#[test]
fn a_silent_hub_hears_nothing_and_says_nothing_until_it_sends_all_away() {
    let mut stage = stage(&json!({}));
    let (peer, mut session, _) = stage.join();
    stage.control("sim_outage", &json!([30, "silent"]));
    stage.control("sim_leases", &json!([{worker(): 1}]));
    let ack = ToHub::Ack(Ack::accepted("m", "t"));
    stage.tell(peer, session.seal(stage.now.wall, None, &ack).unwrap());
    assert!(stage.texts().is_empty());
    assert_eq!(stage.control("sim_received", &json!([]))["count"], json!(0));
    stage.pass(30.0);
    assert_eq!(stage.said(), [(peer, Said::Closed(1001))]);
    stage.hub.handle(stage.now, Input::Closed { peer, reason: Gone::ByUs("away".into()) });
    assert_eq!(stage.join().2, [(worker(), 1.0)]);
}

#[test]
fn a_validators_replay_is_told_as_one_and_kept() {
    let mut stage = stage(&json!({}));
    let (peer, mut session, _) = stage.join();
    let text = session.seal(stage.now.wall, None, &ToHub::Ack(Ack::accepted("m", "t"))).unwrap();
    stage.tell(peer, text.clone());
    stage.tell(peer, text);
    let Ok(Incoming::Error(error)) = session.open::<FromHub>(&stage.texts()[0]) else { panic!() };
    assert_eq!(error.code, HubError::SEQUENCE);
    let shown = stage.control("sim_received", &json!(["fault"]));
    assert_eq!(shown["records"][0]["data"]["fault"], json!(FrameFault::Replayed { seq: 1 }.label()));
}

#[test]
fn what_cannot_be_asked_has_an_error_and_control_is_asked_by_post() {
    let mut stage = stage(&json!({}));
    assert_eq!(stage.control("sim_nothing", &json!([]))["code"], json!(-32601));
    for (method, params) in [
        ("sim_leases", json!([])),
        ("sim_leases", json!([[1]])),
        ("sim_config", json!(["text"])),
        ("sim_error", json!(["gone"])),
        ("sim_outage", json!([-1])),
        ("sim_outage", json!([1, "loud"])),
        ("sim_replay", json!(["all"])),
        ("sim_received", json!([7])),
        ("sim_say", json!([{}])),
        ("sim_status", json!({})),
    ] {
        assert_eq!(stage.control(method, &params)["code"], json!(-32602), "{method} {params}");
    }
    assert_eq!(stage.request("GET", "").0, 405);
    assert_eq!(stage.request("POST", "{").0, 200);
}

#[test]
fn every_method_is_there() {
    let mut stage = stage(&json!({}));
    for (method, ..) in METHODS {
        assert_ne!(stage.control(method, &json!([]))["code"], json!(-32601), "{method}");
    }
}
