//! What one heartbeat costs the validator's loop on the wire, part by part and as a whole.

use std::{fs, hint::black_box, path::PathBuf, time::Duration};

use byteleap::{
    units::Wall,
    wire::{
        http::Headers,
        json,
        keys::Keypair,
        messages::{HeartbeatData, HeartbeatResponse, parse_request},
        session::{ClientHello, Offer, Package, Session},
        synapse::{Body, Call, Head, SynapseKind, answer},
    },
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use zeroize::Zeroizing;

const KIND: SynapseKind = SynapseKind::Heartbeat;

struct Peers {
    miner: Keypair,
    validator: Keypair,
    client: Session,
    server: Session,
    plaintext: String,
}

fn peers() -> Peers {
    let (miner, validator) = (Keypair::from_seed([1; 32]).unwrap(), Keypair::from_seed([2; 32]).unwrap());
    let hello = ClientHello::new([3; 32], [4; 16], Wall(0));
    let offer =
        Offer { secret: Zeroizing::new([5; 32]), nonce: [6; 16], session_id: "57e3419a".into(), expires_at: Wall(0) };
    let (server, response) = offer.accept(miner.hotkey(), &validator, &hello.request()).unwrap();
    let client = hello.finish(miner.hotkey(), validator.hotkey(), &response).unwrap();
    let index = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/synapse_http/index.json");
    let index: serde_json::Value = serde_json::from_slice(&fs::read(index).unwrap()).unwrap();
    let plaintext = index["good"][2]["request_plaintext"].to_string();
    Peers { miner, validator, client, server, plaintext }
}

/// The header fields and body of the recorded heartbeat (one worker), under our keys.
fn heartbeat(peers: &mut Peers) -> (Headers, Vec<u8>) {
    let package = peers.client.seal(KIND, &peers.plaintext).unwrap();
    let call = Call {
        kind: KIND,
        from: &peers.miner,
        to: peers.validator.hotkey(),
        axon: "127.0.0.1:8091".parse().unwrap(),
        dendrite_ip: "203.0.113.7".parse().unwrap(),
        nonce: 1_795_355_773_191_521_145,
        uuid: "7a91d2fc-e67c-11f1-aceb-02fc00000001",
        timeout: Duration::from_secs(30),
    };
    let request = call.request(&package);
    (request.headers, request.body)
}

fn parts(bench: &mut Criterion) {
    let mut peers = peers();
    let (headers, body) = heartbeat(&mut peers);
    let head = Head::parse(&headers).unwrap();
    let parsed = Body::parse(&body).unwrap();
    let package = parsed.request.clone().unwrap();
    let opener = peers.server.opener();
    let response = json::text(&HeartbeatResponse::accepted(1, Wall(0)));
    let mut group = bench.benchmark_group("heartbeat");
    group.bench_function("head", |run| run.iter(|| Head::parse(black_box(&headers)).unwrap()));
    group.bench_function("verify", |run| run.iter(|| head.verify(peers.validator.hotkey()).unwrap()));
    group.bench_function("body", |run| run.iter(|| Body::parse(black_box(&body)).unwrap()));
    group.bench_function("package", |run| run.iter(|| _ = Package::parse(black_box(&package)).unwrap()));
    group.bench_function("open", |run| run.iter(|| opener.open(KIND, black_box(&package)).unwrap()));
    group.bench_function("data", |run| {
        run.iter(|| parse_request::<HeartbeatData>(black_box(&peers.plaintext)).unwrap())
    });
    group.bench_function("answer", |run| run.iter(|| answer(KIND, &head, black_box(&response), Duration::ZERO)));
    group.bench_function("seal", |run| run.iter(|| peers.server.seal(KIND, black_box(&response)).unwrap()));
}

fn whole(bench: &mut Criterion) {
    let mut peers = peers();
    let response = json::text(&HeartbeatResponse::accepted(1, Wall(0)));
    bench.bench_function("heartbeat/whole", |run| {
        let serve = |(headers, body): (Headers, Vec<u8>), server: &mut Session, me: &Keypair| {
            let head = Head::parse(&headers).unwrap();
            head.fresh_nonce(Wall(head.nonce.unwrap())).unwrap();
            head.verify(me.hotkey()).unwrap();
            let body = Body::parse(&body).unwrap();
            body.speaks_for(&head.hotkey).unwrap();
            let package = body.request.unwrap();
            let package = Package::parse(&package).unwrap();
            let opened = server.opener().open_package(KIND, &package).unwrap();
            let heartbeat: HeartbeatData = parse_request(&opened.plaintext).unwrap();
            (heartbeat, answer(KIND, &head, &server.seal(KIND, &response).unwrap(), Duration::ZERO))
        };
        let request = heartbeat(&mut peers);
        run.iter_batched(
            || request.clone(),
            |request| serve(request, &mut peers.server, &peers.validator),
            BatchSize::SmallInput,
        );
    });
}

fn handshake(bench: &mut Criterion) {
    let peers = peers();
    let request = ClientHello::new([3; 32], [4; 16], Wall(0)).request();
    bench.bench_function("handshake/accept", |run| {
        run.iter(|| {
            let offer = Offer {
                secret: Zeroizing::new([5; 32]),
                nonce: [6; 16],
                session_id: "57e3419a".into(),
                expires_at: Wall(0),
            };
            offer.accept(peers.miner.hotkey(), &peers.validator, &request).unwrap()
        });
    });
}

criterion_group!(benches, parts, whole, handshake);
criterion_main!(benches);
