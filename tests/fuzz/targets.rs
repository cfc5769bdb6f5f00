//! The fuzz targets: every parser that faces the network or a file, each one function of bytes that must not panic.
//!
//! Two drivers call them: libFuzzer (`fuzz.rs`, one binary a target) and `cargo test` (`tests/fuzz_plain`). A new
//! target is a function, a line in [`TARGETS`], a `[[bin]]` in Cargo.toml, and a line and seeds in `tests/fuzz_plain`.

use std::{sync::OnceLock, time::Duration};

use byteleap::{
    compute::gemm_i8::{self, KeyPrefix, Spec, reference},
    machine::{Gone, Input, Machine, Message, Output},
    net::{
        http_frame::{Item, RequestReader, ResponseReader},
        ws_frame::{Frames, Side, WsItem, accept_upgrade},
    },
    spoke::{
        chain::{block, events, extrinsic, hyperparameters, metadata::Metadata, metagraph, preflight, rpc},
        subtensor_sim::{Genesis, Hyperparameters, Node, server::Server},
    },
    units::{ChallengeId, Hotkey, Netuid, Now, PeerId, Secret, Wall, WorkerId},
    wallet::keyfile,
    wire::{
        gpu_socket,
        http::{Headers, Response},
        json,
        keys::Keypair,
        limits,
        marketplace::{self, FromHub, Hello, HubOffer, HubSession, Init, InitResponse, Reply, ToHub, kind},
        messages::{
            Answer, ChallengeData, CommitmentData, DeviceRequest, HeartbeatData, HeartbeatResponse, ProofData,
            ProofRequests, Raw, SessionInitResponse, StatusAnswer, TaskRequest, TaskResponse,
            gemm_i8::{GemmI8Data, GemmProof, Opening},
            parse_handshake, parse_request,
        },
        session::{ClientHello, Offer, Opener, Refusal, ReplayWindow, Session},
        synapse::{Body, Head, SynapseKind, answer, kind_of, parse_answer},
        websocket::{Register, ToMiner, ToWorker, is_filled_list},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

/// A parser under attack: any bytes, no panic.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 25] = [
    ("synapse_request", synapse_request),
    ("synapse_answer", synapse_answer),
    ("session_package", session_package),
    ("session_init", session_init),
    ("request_bodies", request_bodies),
    ("answer_bodies", answer_bodies),
    ("frames_to_miner", frames_to_miner),
    ("frames_to_worker", frames_to_worker),
    ("json_scanner", json_scanner),
    ("hotkey_text", hotkey_text),
    ("wallet_file", wallet_file),
    ("chain_metadata", chain_metadata),
    ("chain_metagraph", chain_metagraph),
    ("chain_blocks", chain_blocks),
    ("chain_answer", chain_answer),
    ("chain_request", chain_request),
    ("chain_conversation", chain_conversation),
    ("http_requests", http_requests),
    ("http_response", http_response),
    ("websocket_upgrade", websocket_upgrade),
    ("websocket_frames", websocket_frames),
    ("gemm_proof", gemm_proof),
    ("gpu_socket", gpu_socket),
    ("marketplace_frames", marketplace_frames),
    ("marketplace_bodies", marketplace_bodies),
];

pub fn target(name: &str) -> Target {
    let named = TARGETS.into_iter().find(|(target, _)| *target == name);
    named.unwrap_or_else(|| panic!("no target {name}")).1
}

fn miner() -> Keypair {
    Keypair::from_seed([1; 32]).unwrap()
}

fn validator() -> Keypair {
    Keypair::from_seed([2; 32]).unwrap()
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

/// The two ends of one session, always the same.
pub fn session() -> (Session, Session) {
    let hello = hello();
    let (server, answer) = offer().accept(miner().hotkey(), &validator(), &hello.request()).unwrap();
    (hello.finish(miner().hotkey(), validator().hotkey(), &answer).unwrap(), server)
}

fn headers(fields: &[httparse::Header<'_>]) -> Headers {
    let mut headers = Headers::new();
    for field in fields {
        headers.push(field.name, String::from_utf8_lossy(field.value));
    }
    headers
}

/// A whole HTTP request to an axon, up to the answer.
fn synapse_request(data: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = request.parse(data) else { return };
    let (kind, body) = (kind_of(request.path.unwrap_or_default()), Body::parse(&data[length..]));
    match Head::parse(&headers(request.headers)) {
        Ok(head) => {
            let _ = head.fresh_nonce(Wall(head.nonce.unwrap_or_default()));
            let _ = head.verify(validator().hotkey()).map_err(|refusal| refusal.response());
            let response = answer(kind.unwrap_or(SynapseKind::Challenge), &head, "{}", Duration::from_millis(1));
            assert_eq!(parse_answer(&response).as_deref(), Ok("{}"));
        }
        Err(refusal) => assert!((400..500).contains(&refusal.response().status)),
    }
    let _ = body.map_err(|refusal| refusal.response());
}

/// The body of an axon's response, as a miner reads it.
fn synapse_answer(data: &[u8]) {
    let mut headers = Headers::new();
    headers.push("content-type", "application/json");
    for status in [200, 403] {
        let response = Response { status, headers: headers.clone(), body: data.to_vec() };
        let text = parse_answer(&response);
        assert!(text.is_err() || status == 200);
        let _ = text.map(|text| Refusal::parse(&text));
    }
}

/// A package for an existing session: nothing but its own packages opens it, and those only once.
fn session_package(data: &[u8]) {
    static OPENER: OnceLock<Opener> = OnceLock::new();
    let opener = OPENER.get_or_init(|| session().1.opener());
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(opened) = opener.open(SynapseKind::Heartbeat, text) {
        let mut window = ReplayWindow::default();
        assert!(window.admit(opened.seq).is_ok() && window.admit(opened.seq).is_err());
    }
}

/// Both halves of a handshake.
fn session_init(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let accepted = parse_handshake(text).and_then(|request| offer().accept(miner().hotkey(), &validator(), &request));
    if let Err(fault) = accepted {
        assert_eq!(fault.code(), 4018);
    }
    if let Ok(response) = json::object::<SessionInitResponse>(text) {
        let _ = hello().finish(miner().hotkey(), validator().hotkey(), &response);
    }
}

/// What is read as a `T` is written as a `T`.
fn survives<T: DeserializeOwned + Serialize>(text: &str) {
    if let Ok(body) = parse_request::<T>(text) {
        let written = json::text(&body);
        assert!(parse_request::<T>(&written).is_ok(), "{written}");
    }
}

/// What a miner sends in a session.
fn request_bodies(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    survives::<HeartbeatData>(text);
    survives::<TaskRequest>(text);
    survives::<CommitmentData>(text);
    survives::<CommitmentData<Raw>>(text);
    survives::<ProofData>(text);
    survives::<ProofData<Raw>>(text);
}

/// What a validator answers in a session.
fn answer_bodies(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    survives::<HeartbeatResponse>(text);
    survives::<StatusAnswer>(text);
    let _ = Answer::<ProofRequests>::parse(text);
    if let Ok(Answer::Given(requests)) = Answer::<ProofRequests<Raw>>::parse(text) {
        let _ = is_filled_list(&requests.proof_requests);
    }
    if let Ok(response) = parse_request::<TaskResponse>(text) {
        for task in &response.market_tasks {
            let _ = (task.fault(), task.expires());
        }
        for challenge in response.challenges() {
            let _ = ChallengeData::read(&challenge.data);
            let _ = GemmI8Data::read(&challenge.data);
        }
    }
}

fn frames_to_miner(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Register::parse_first(text);
    if let Ok(frame) = ToMiner::parse(text) {
        assert!(ToMiner::parse(&frame.to_text()).is_ok(), "{frame:?}");
    }
}

fn frames_to_worker(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(frame) = ToWorker::parse(text) {
        assert!(ToWorker::parse(&frame.to_text()).is_ok(), "{frame:?}");
        if let ToWorker::ProofRequest(asked) = frame {
            let _ = asked.data.requests.read::<Vec<DeviceRequest>>();
        }
    }
}

/// The scanner leaves JSON alone, and nothing of what it scanned for.
fn json_scanner(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let once = json::nulled(text);
    assert_eq!(json::nulled(&once), once);
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        assert_eq!(once, text);
    }
    let _ = json::parse::<serde_json::Value>(text);
}

fn hotkey_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(hotkey) = text.parse::<Hotkey>() {
        let account = hotkey.account().unwrap();
        assert_eq!(Hotkey::from_account(&account), hotkey);
    }
}

fn wallet_file(data: &[u8]) {
    let _ = keyfile::public(data);
    let _ = keyfile::keypair(data);
}

fn metadata() -> &'static Metadata {
    static METADATA: OnceLock<Metadata> = OnceLock::new();
    METADATA.get_or_init(|| {
        Metadata::parse(include_bytes!("../../src/spoke/subtensor_sim/data/spec425_v15.scale")).unwrap()
    })
}

/// What a node says of itself, and all that we try on it before we believe it.
fn chain_metadata(bytes: &[u8]) {
    if let Ok(metadata) = Metadata::parse(bytes) {
        let _ = preflight::table(&metadata, 0);
    }
}

fn chain_metagraph(bytes: &[u8]) {
    let _ = metagraph::decode(metadata(), bytes);
    let _ = metagraph::decode_selective(metadata(), bytes);
    for api in [hyperparameters::V2_API, hyperparameters::V3_API] {
        let _ = hyperparameters::decode(metadata(), api, bytes);
    }
}

/// Extrinsics, calls and events of blocks.
fn chain_blocks(bytes: &[u8]) {
    let outcome = events::outcome(metadata(), bytes, 1);
    if let Ok(all) = block::events(metadata(), bytes) {
        let ended =
            all.iter().any(|event| event.phase == block::Phase::Extrinsic(1) && event.name == "ExtrinsicSuccess");
        assert!(!ended || matches!(outcome, Ok(Some(_))), "both readings see the same end");
    }
    if let Ok(extrinsic::Parsed::Signed(signed)) = extrinsic::parse(metadata(), bytes) {
        let _ = metadata().read_call(signed.call);
    }
}

fn chain_answer(bytes: &[u8]) {
    let _ = rpc::read_answers(bytes, 1);
    let _ = rpc::read_answers(bytes, 2);
}

/// What the simulated node is asked.
fn chain_request(bytes: &[u8]) {
    let genesis = Genesis::new(Netuid(128), Vec::new(), Hyperparameters::default()).unwrap();
    thread_local! {
        static NODE: std::cell::RefCell<Option<Node>> = const { std::cell::RefCell::new(None) };
    }
    NODE.with_borrow_mut(|node| {
        let node = node.get_or_insert_with(|| Node::new(genesis, Duration::from_secs(12), Now::default()).unwrap());
        if let Some(answer) = node.answer(bytes) {
            serde_json::from_str::<serde_json::Value>(&answer).expect("the node answers with JSON");
        }
        while node.take_journal_line().is_some() {}
    });
}

fn simulated_server() -> Server {
    let genesis = Genesis::new(Netuid(128), Vec::new(), Hyperparameters::default()).unwrap();
    Server::new(Node::new(genesis, Duration::from_secs(12), Now::default()).unwrap(), false)
}

/// Texts that the server sends; every one is JSON.
fn said(server: &mut Server) -> usize {
    let outputs = std::iter::from_fn(|| server.poll());
    let texts = outputs.filter_map(|output| match output {
        Output::Send { message: Message::Text(text), .. } => Some(text),
        _ => None,
    });
    texts.inspect(|text| assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}")).count()
}

/// A text to the simulated node over a connection that it can push over, then a block, then the connection's end: after
/// that nothing is told any more.
fn chain_conversation(bytes: &[u8]) {
    thread_local! {
        static SERVER: std::cell::RefCell<Option<Server>> = const { std::cell::RefCell::new(None) };
    }
    let peer = PeerId::accepted(1);
    let next = |server: &mut Server, input: Option<Input<Result<(), String>>>| {
        let mono = server.deadline().unwrap_or_default();
        match input {
            Some(input) => server.handle(Now::default(), input),
            None => server.handle(Now { mono, wall: Wall::from_secs(1_800_000_000) }, Input::Deadline),
        }
        said(server)
    };
    SERVER.with_borrow_mut(|server| {
        let server = server.get_or_insert_with(simulated_server);
        let message = Message::Text(String::from_utf8_lossy(bytes).into_owned());
        next(server, Some(Input::Received { peer, message, at: Default::default() }));
        next(server, None);
        next(server, Some(Input::Closed { peer, reason: Gone::ByUs("enough".into()) }));
        assert_eq!(next(server, None), 0);
    });
}

/// Bytes in one piece, and in pieces of a size that the first byte says.
fn split(data: &[u8]) -> [Vec<&[u8]>; 2] {
    let size = usize::from(data.first().copied().unwrap_or_default() % 7) + 1;
    [vec![data], data.chunks(size).collect()]
}

fn read_requests(pieces: &[&[u8]]) -> Vec<Item> {
    let mut reader = RequestReader::new(1024, |_| 4096);
    let mut items = vec![];
    for piece in pieces {
        reader.push(piece);
        while let Ok(Some(item)) = reader.read() {
            items.push(item);
        }
    }
    items
}

/// The bytes of a connection to an axon: the same requests however they are split, and none over its limit.
fn http_requests(data: &[u8]) {
    let requests = |pieces: &[&[u8]]| {
        let items = read_requests(pieces);
        items.into_iter().filter(|item| *item != Item::Continue).collect::<Vec<_>>()
    };
    let [whole, pieces] = split(data);
    let read = requests(&whole);
    assert_eq!(read, requests(&pieces));
    let over = |item: &Item| matches!(item, Item::Request(incoming) if incoming.request.body.len() > 4096);
    assert!(!read.iter().any(over));
}

/// The bytes of a connection that may become a WebSocket: agreed to, or refused with a status.
fn websocket_upgrade(data: &[u8]) {
    for item in read_requests(&[data]) {
        let Item::Request(incoming) = item else { continue };
        match accept_upgrade(&incoming.request) {
            Ok(answer) => assert!(answer.starts_with(b"HTTP/1.1 101 ") && answer.ends_with(b"\r\n\r\n")),
            Err(refusal) => assert!((400..=426).contains(&refusal.status)),
        }
    }
}

/// The bytes of an answer to a request of ours.
fn http_response(data: &[u8]) {
    let [whole, pieces] = split(data).map(|pieces| {
        let mut reader = ResponseReader::new(1024, 4096);
        let early = pieces.into_iter().find_map(|piece| {
            reader.push(piece);
            reader.read().transpose()
        });
        early.or_else(|| reader.end().transpose()).and_then(Result::ok)
    });
    assert_eq!(whole, pieces);
}

/// The bytes of a WebSocket after its upgrade, masked or not: the same texts however they are split.
fn websocket_frames(data: &[u8]) {
    for side in [Side::Server, Side::Client] {
        let [whole, pieces] = split(data).map(|pieces| {
            let mut frames = Frames::new(side, 4096, &[]);
            let mut heard = vec![];
            for piece in pieces {
                frames.push(piece);
                while let Some(item) = frames.read(&mut vec![]).transpose() {
                    assert!(!matches!(&item, Ok(WsItem::Text(text)) if text.len() > 4096));
                    let is_last = !matches!(item, Ok(WsItem::Text(_)));
                    heard.push(item);
                    if is_last {
                        return heard;
                    }
                }
            }
            heard
        });
        assert_eq!(whole, pieces);
    }
}

/// A device's proof: written as it was read, and checked to the end by a validator who committed it to its own tops
/// and asked for just what it opens.
fn gemm_proof(data: &[u8]) {
    let Ok(raw) = json::parse::<Raw>(&String::from_utf8_lossy(data)) else { return };
    let Ok(proof) = GemmProof::read(&raw) else { return };
    let again = json::parse::<Raw>(&json::text(&proof)).unwrap();
    assert_eq!(GemmProof::read(&again).as_ref(), Ok(&proof));
    let prefix = KeyPrefix::new(&ChallengeId::new("c"), &[1; 32], "5A", &WorkerId::new("w"), &proof.uuid);
    let asked: Vec<_> = proof.openings.iter().map(Opening::sample).collect();
    for (n, rounds) in [(256, 3), (768, 2), (65_536, 1)] {
        let spec = Spec::new(n, rounds).unwrap();
        let chain = |root, (round, top): (u32, &[u8; 32])| reference::root(n, round, &root, top);
        let root = (0..).zip(&proof.tops).fold([0; 32], chain);
        let verdict = gemm_i8::verify(&spec, &prefix, &root, &asked, &proof);
        assert!(verdict.is_err(), "keys that nobody knew are not answered");
    }
}

/// Both sides of the GPU executor's socket: a frame with its head, and a body alone.
fn gpu_socket(data: &[u8]) {
    if let Some((head, body)) = data.split_first_chunk() {
        let fits = gpu_socket::request_length(*head).is_ok_and(|length| length <= gpu_socket::REQUEST_BYTES);
        assert!(!fits || gpu_socket::body_length(*head).is_some());
        read_gpu_request(body);
    }
    read_gpu_request(data);
    let text = String::from_utf8_lossy(data);
    let _ = gpu_socket::answer::<gpu_socket::GpuInfo>(&text);
    let _ = gpu_socket::answer::<gpu_socket::Submitted<gpu_socket::GemmResult>>(&text);
    let _ = gpu_socket::answer::<gpu_socket::Opened>(&text);
    let _ = gpu_socket::answer::<gpu_socket::Rows>(&text);
}

fn read_gpu_request(body: &[u8]) {
    match gpu_socket::request(body) {
        Ok(request) => assert_eq!(gpu_socket::request(json::text(&request).as_bytes()), Ok(request)),
        Err(fault) => assert!(fault.to_string().chars().all(|c| !c.is_control())),
    }
}

/// The two ends of a connection between a validator and the hub, always the same.
pub fn hub_session() -> (HubSession, HubSession) {
    let hello = Hello::new([1; 32], [2; 16]);
    let text = hello.to_text(Wall(0), validator().hotkey(), &Secret::new("token".into()), "1", &[]);
    let offer = HubOffer::new([3; 32], [4; 16], "7692c3ad-1111-4222-8333-444455556666".into());
    let (server, answer) = offer.accept(&miner(), &Init::parse(&text).unwrap()).unwrap();
    (hello.finish(validator().hotkey(), None, &answer).unwrap(), server)
}

/// Frames of the marketplace, before and in a session: a frame that opens is of the other end, and opens once.
fn marketplace_frames(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(init) = Init::parse(text) {
        let _ = HubOffer::new([3; 32], [4; 16], "s".into()).accept(&miner(), &init);
    }
    if let Ok(Reply::Accepted(answer)) = Reply::parse(text) {
        let answer: InitResponse = answer;
        let _ = Hello::new([1; 32], [2; 16]).finish(validator().hotkey(), None, &answer);
    }
    let (mut client, mut server) = hub_session();
    if let Ok(marketplace::Incoming::Message { .. }) = client.open::<FromHub>(text) {
        assert!(client.open::<FromHub>(text).is_err());
    }
    let _ = server.open::<ToHub>(text).map_err(|fault| fault.to_string());
}

/// What is read of a plaintext is within its bounds and written as it was read.
fn marketplace_bodies(data: &[u8]) {
    use marketplace::Body;
    let Ok(text) = std::str::from_utf8(data) else { return };
    for kind in [kind::LEASE_PUBLISH, kind::CONFIG_UPDATE, kind::TASK_PUBLISH] {
        let Ok(read) = FromHub::read(kind, text) else { continue };
        if let FromHub::Leases(leases) = &read {
            assert!(leases.scores.iter().all(|(_, score)| (0.0..=1.0).contains(score)));
            assert!(leases.scores.len() <= limits::LEASES);
            let again = FromHub::read(kind, &read.to_json());
            assert!(matches!(again, Ok(FromHub::Leases(again)) if again.scores == leases.scores));
        } else {
            assert_eq!(FromHub::read(kind, &read.to_json()), Ok(read));
        }
    }
    for kind in [kind::ACK, kind::HEARTBEAT, kind::RESOURCE_REPORT, kind::SCORE_REPORT] {
        if let Ok(read) = ToHub::read(kind, text) {
            assert!(ToHub::read(kind, &read.to_json()).is_ok(), "{read:?}");
        }
    }
}
