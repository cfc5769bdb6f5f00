//! Two parties make a session and talk in it.

use byteleap::{
    units::Wall,
    wire::{
        keys::{Keypair, parse_signature, verify},
        messages::{SessionInitRequest, SessionInitResponse},
        session::{ClientHello, Offer, Refusal, Session, SessionFault, handshake_text},
        synapse::SynapseKind,
    },
};
use proptest::prelude::*;
use zeroize::Zeroizing;

use crate::support;

fn miner() -> Keypair {
    support::keypair("miner")
}

fn validator() -> Keypair {
    support::keypair("validator")
}

fn hello() -> ClientHello {
    ClientHello::new([1; 32], [2; 16], Wall::from_secs(1_760_000_000))
}

fn offer() -> Offer {
    Offer {
        secret: Zeroizing::new([3; 32]),
        nonce: [4; 16],
        session_id: "7692c3ad-1111-4222-8333-444455556666".into(),
        expires_at: Wall::from_secs(1_760_021_600),
    }
}

fn accept(request: &SessionInitRequest) -> Result<(Session, SessionInitResponse), SessionFault> {
    offer().accept(miner().hotkey(), &validator(), request)
}

fn talk() -> (Session, Session) {
    let hello = hello();
    let (server, answer) = accept(&hello.request()).unwrap();
    (hello.finish(miner().hotkey(), validator().hotkey(), &answer).unwrap(), server)
}

#[test]
fn both_sides_read_each_other() {
    let (mut client, mut server) = talk();
    let up = client.seal(SynapseKind::Task, r#"{"a":"ключ"}"#).unwrap();
    assert_eq!(server.open(SynapseKind::Task, &up).unwrap(), r#"{"a":"ключ"}"#);
    let down = server.seal(SynapseKind::Task, "{}").unwrap();
    assert_eq!(client.open(SynapseKind::Task, &down).unwrap(), "{}");
    assert_eq!((client.id(), client.expires_at()), (server.id(), server.expires_at()));
    assert_eq!((client.peer(), server.peer()), (validator().hotkey(), miner().hotkey()));
}

#[test]
fn nobody_reads_his_own_packages() {
    let (mut client, _) = talk();
    let up = client.seal(SynapseKind::Task, "{}").unwrap();
    assert_eq!(client.open(SynapseKind::Task, &up).unwrap_err().code(), 4011);
}

#[test]
fn a_package_is_taken_once_and_for_its_synapse_alone() {
    let (mut client, mut server) = talk();
    let up = client.seal(SynapseKind::Heartbeat, "{}").unwrap();
    assert_eq!(server.open(SynapseKind::Task, &up).unwrap_err().code(), 4011);
    assert!(server.open(SynapseKind::Heartbeat, &up).is_ok());
    assert_eq!(server.open(SynapseKind::Heartbeat, &up), Err(SessionFault::Sequence));
}

#[test]
fn work_done_elsewhere_takes_its_number_here() {
    let (mut client, mut server) = talk();
    let sealers = [(); 2].map(|()| client.reserve_seal(SynapseKind::ChallengeProof).unwrap());
    let [first, second] = sealers.map(|sealer| sealer.seal("{}"));
    let opener = server.opener();
    let [late, early] = [second, first].map(|package| opener.open(SynapseKind::ChallengeProof, &package).unwrap());
    assert_eq!((early.seq, late.seq), (1, 2));
    assert_eq!([late.seq, early.seq, early.seq].map(|seq| server.admit(seq).is_ok()), [true, true, false]);
}

#[test]
fn a_signed_handshake_is_signed_back() {
    let (mut hello, me, peer) = (hello(), miner(), validator());
    let request = hello.signed_request(&me, peer.hotkey());
    let (server, answer) = accept(&request).unwrap();
    let text = handshake_text(&request.miner_eph_pub32, &request.client_nonce16, me.hotkey(), peer.hotkey());
    let SessionInitResponse { validator_eph_pub32, session_id, server_nonce16, .. } = &answer;
    let text = format!("{text}|{validator_eph_pub32}|{server_nonce16}|{session_id}");
    let signature = parse_signature(answer.sig.as_deref().unwrap()).unwrap();
    assert!(verify(peer.hotkey(), text.as_bytes(), &signature));
    let client = hello.finish(me.hotkey(), peer.hotkey(), &answer).unwrap();
    assert!(server.peer_signed() && client.peer_signed());
}

#[test]
fn an_unsigned_handshake_is_not_signed_back() {
    let (server, answer) = accept(&hello().request()).unwrap();
    assert!(answer.sig.is_none() && !server.peer_signed());
    assert!(!hello().finish(miner().hotkey(), validator().hotkey(), &answer).unwrap().peer_signed());
}

#[test]
fn a_key_swapped_under_a_signature_is_refused_on_both_sides() {
    let mut hello = hello();
    let request = hello.signed_request(&miner(), validator().hotkey());
    let other = ClientHello::new([9; 32], [2; 16], Wall::from_secs(0)).request();
    let swapped = SessionInitRequest { miner_eph_pub32: other.miner_eph_pub32.clone(), ..request.clone() };
    assert_eq!(accept(&swapped).unwrap_err().code(), 4018);
    let (_, answer) = accept(&request).unwrap();
    let swapped = SessionInitResponse { validator_eph_pub32: other.miner_eph_pub32, ..answer };
    let fault = hello.finish(miner().hotkey(), validator().hotkey(), &swapped).unwrap_err();
    assert_eq!(fault.to_string(), "Handshake failed: sig is not that hotkey's");
}

#[test]
fn a_handshake_that_cannot_give_keys_is_4018() {
    let good = hello().request();
    let key = |text: &str| SessionInitRequest { miner_eph_pub32: text.into(), ..good.clone() };
    let nonce = |text: &str| SessionInitRequest { client_nonce16: text.into(), ..good.clone() };
    // 1 has a small order: the shared secret is all zero, as with 0.
    let one = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let zero = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for request in [key(""), key("AAAA"), key(zero), key(one), key("!"), nonce(""), nonce("AAAA"), nonce(zero)] {
        assert_eq!(accept(&request).unwrap_err().code(), 4018, "{request:?}");
    }
    let (_, answer) = accept(&good).unwrap();
    for answer in [
        SessionInitResponse { validator_eph_pub32: zero.into(), ..answer.clone() },
        SessionInitResponse { server_nonce16: "AAAA".into(), ..answer.clone() },
        SessionInitResponse { expires_at: f64::INFINITY, ..answer.clone() },
        SessionInitResponse { session_id: String::new(), ..answer.clone() },
        SessionInitResponse { session_id: "s".repeat(129), ..answer },
    ] {
        assert!(hello().finish(miner().hotkey(), validator().hotkey(), &answer).is_err(), "{answer:?}");
    }
}

#[test]
fn what_debug_shows_is_no_key() {
    let (mut client, server) = talk();
    let shown = format!("{:?} {:?} {:?} {:?}", client.opener(), server, hello(), offer());
    let sealer = client.reserve_seal(SynapseKind::Task).unwrap();
    for shown in [shown, format!("{sealer:?}")] {
        assert!(!shown.contains("seal:") && !shown.contains("[1, 1") && !shown.contains("[3, 3"), "{shown}");
    }
}

#[test]
fn a_fault_goes_back_as_plaintext() {
    let refusal = Refusal::parse(&SessionFault::Sequence.to_json()).unwrap();
    assert_eq!((refusal.error_code, refusal.asks_for_new_session()), (4020, true));
    let (mut client, _) = talk();
    assert_eq!(Refusal::parse(&client.seal(SynapseKind::Task, "{}").unwrap()), None);
}

proptest! {
    #[test]
    fn any_text_comes_through(texts in prop::collection::vec(".{0,200}", 1..6)) {
        let (mut client, mut server) = talk();
        for text in texts {
            let package = client.seal(SynapseKind::Heartbeat, &text).unwrap();
            prop_assert_eq!(server.open(SynapseKind::Heartbeat, &package).unwrap(), text);
        }
    }

    #[test]
    fn a_changed_byte_is_refused(text in ".{0,60}", at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let (mut client, mut server) = talk();
        let package = client.seal(SynapseKind::Heartbeat, &text).unwrap();
        let mut bytes = package.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let Ok(changed) = String::from_utf8(bytes) else { return Ok(()) };
        match server.open(SynapseKind::Heartbeat, &changed) {
            // White space outside strings says the same.
            Ok(plaintext) => prop_assert_eq!(plaintext, text),
            Err(fault) => prop_assert_eq!(fault.code(), 4011),
        }
    }

    #[test]
    fn no_text_makes_a_session_panic(text in ".{0,300}") {
        let (_, mut server) = talk();
        prop_assert!(server.open(SynapseKind::Heartbeat, &text).is_err());
    }
}
