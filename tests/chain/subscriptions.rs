//! What the simulated node tells by itself over a connection that it can push over.

use std::{collections::VecDeque, time::Duration};

use byteleap::{
    machine::{Gone, Input, Machine, Message, Output},
    spoke::{
        chain::{
            calls,
            extrinsic::{Context, Era, sign},
            metadata::Metadata,
            rpc::{from_hex, to_hex},
        },
        subtensor_sim::{Genesis, GenesisNeuron, Hyperparameters, Node, server::Server},
    },
    units::{Mono, Netuid, Now, PeerId, Uid, Wall},
    wire::keys::Keypair,
};
use serde_json::{Value as Json, json};

use crate::recordings::{V15, metadata};

const BLOCK_TIME: Duration = Duration::from_secs(12);
const ALICE: PeerId = PeerId::accepted(1);
const BOB: PeerId = PeerId::accepted(2);

fn key(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32]).unwrap()
}

/// A node behind its server, virtual time, and what it said to whom.
struct Talk {
    server: Server,
    now: Now,
    said: VecDeque<(PeerId, Json)>,
}

impl Talk {
    fn new() -> Talk {
        let neuron = |uid: u16| GenesisNeuron {
            uid,
            hotkey: key(uid as u8 + 1).hotkey().clone(),
            coldkey: key(100).hotkey().clone(),
            stake_tao: 1000.0,
            validator_permit: uid == 0,
            axon: None,
        };
        let genesis = Genesis::new(Netuid(128), (0..3).map(neuron).collect(), Hyperparameters::default()).unwrap();
        let now = Now { mono: Mono(0), wall: Wall::from_secs(1_800_000_000) };
        let server = Server::new(Node::new(genesis, BLOCK_TIME, now).unwrap(), false);
        Talk { server, now, said: VecDeque::new() }
    }

    fn feed(&mut self, input: Input<Result<(), String>>) {
        self.server.handle(self.now, input);
        while let Some(output) = self.server.poll() {
            if let Output::Send { peer, message: Message::Text(text) } = output {
                self.said.push_back((peer, serde_json::from_str(&text).unwrap()));
            }
        }
    }

    fn blocks(&mut self, count: usize) {
        for _ in 0..count {
            self.now = Now { mono: self.now.mono + BLOCK_TIME, wall: self.now.wall + BLOCK_TIME };
            self.feed(Input::Deadline);
        }
    }

    fn say(&mut self, peer: PeerId, text: String) {
        self.feed(Input::Received { peer, message: Message::Text(text), at: self.now.mono });
    }

    /// The answer comes first; what the node tells besides waits in `said`.
    fn ask(&mut self, peer: PeerId, method: &str, params: Json) -> Json {
        assert!(self.said.is_empty(), "{:?}", self.said);
        self.say(peer, json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string());
        let (to, answer) = self.said.pop_front().unwrap();
        assert_eq!((to, &answer["id"]), (peer, &json!(7)));
        answer
    }

    /// A subscription's id, and what it says at once.
    fn subscribe(&mut self, peer: PeerId, method: &str, params: Json) -> (Json, Vec<Json>) {
        let answer = self.ask(peer, method, params);
        let id = answer["result"].clone();
        assert!(id.as_str().is_some_and(|id| id.len() == 16), "{answer}");
        (id.clone(), self.news(peer, &id))
    }

    /// All that was told since, which is of this subscription alone.
    fn news(&mut self, peer: PeerId, id: &Json) -> Vec<Json> {
        let result = |(to, told): (PeerId, Json)| {
            assert_eq!((to, &told["params"]["subscription"], told.get("id")), (peer, id, None));
            told["params"]["result"].clone()
        };
        self.said.drain(..).map(result).collect()
    }

    fn hash(&mut self, number: u64) -> Json {
        self.ask(ALICE, "chain_getBlockHash", json!([number]))["result"].clone()
    }

    /// The hash in the one thing that was told.
    fn hash_told(&mut self, id: &Json, what: &str) -> Json {
        let told = self.news(ALICE, id);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0][what].is_string(), "{told:?}");
        told[0][what].clone()
    }

    /// Weights of the validator.
    fn signed(&mut self, metadata: &Metadata, nonce: u64, birth: u64) -> Vec<u8> {
        let mut hash =
            |number| -> [u8; 32] { from_hex(self.hash(number).as_str().unwrap()).unwrap().try_into().unwrap() };
        let (genesis, birth_hash) = (hash(0), hash(birth));
        let era = Some(Era::from_birth(birth, 8));
        let context = Context { genesis, spec_version: 425, transaction_version: 1, era, birth_hash, nonce };
        let arguments = calls::set_weights(Netuid(128), &[(Uid(1), 65535)], 0);
        let call = metadata.call(calls::PALLET, "set_weights", arguments).unwrap();
        sign(metadata, &key(1), &context, &call).unwrap()
    }
}

fn numbers(heads: &[Json]) -> Vec<u64> {
    let number = |head: &Json| u64::from_str_radix(&head["number"].as_str().unwrap()[2..], 16).unwrap();
    heads.iter().map(number).collect()
}

#[test]
fn each_new_head_is_told_and_the_finalized_ones_behind_it() {
    let mut talk = Talk::new();
    talk.blocks(5);
    let (best, at_once) = talk.subscribe(ALICE, "chain_subscribeNewHeads", json!([]));
    assert_eq!(numbers(&at_once), [5]);
    let (final_ones, at_once) = talk.subscribe(BOB, "chain_subscribeFinalizedHeads", json!([]));
    assert_eq!(numbers(&at_once), [3]);
    talk.blocks(1);
    let told: Vec<_> = talk.said.iter().map(|(peer, told)| (*peer, told["method"].as_str().unwrap())).collect();
    assert_eq!(told, [(ALICE, "chain_newHead"), (BOB, "chain_finalizedHead")]);
    let finalized = talk.said.pop_back();
    assert_eq!(numbers(&talk.news(ALICE, &best)), [6]);
    talk.said.extend(finalized);
    assert_eq!(numbers(&talk.news(BOB, &final_ones)), [4]);
}

#[test]
fn heads_made_at_once_are_told_in_order_and_no_more_of_them_than_a_client_can_want() {
    let mut talk = Talk::new();
    let (id, _) = talk.subscribe(ALICE, "subscribe_newHead", json!([]));
    talk.ask(ALICE, "sim_makeBlocks", json!([3]));
    let heads = talk.news(ALICE, &id);
    assert_eq!(numbers(&heads), [1, 2, 3]);
    assert_eq!(heads[1]["parentHash"], talk.hash(1));
    talk.ask(ALICE, "sim_makeBlocks", json!([1000]));
    assert_eq!(numbers(&talk.news(ALICE, &id)), (940..=1003).collect::<Vec<_>>());
}

#[test]
fn after_a_fork_the_new_head_is_told() {
    let mut talk = Talk::new();
    talk.blocks(5);
    let (id, _) = talk.subscribe(ALICE, "chain_subscribeAllHeads", json!([]));
    talk.ask(BOB, "sim_fork", json!([{"depth": 2}]));
    assert_eq!(numbers(&talk.news(ALICE, &id)), [6]);
    talk.blocks(1);
    let next = talk.news(ALICE, &id);
    assert_eq!(numbers(&next), [7]);
    assert_eq!(next[0]["parentHash"], talk.hash(6));
}

#[test]
fn a_slow_node_tells_nothing_before_the_id_of_its_subscription() {
    let mut talk = Talk::new();
    for (peer, method, params) in [(BOB, "sim_delay", json!([30_000])), (ALICE, "chain_subscribeNewHeads", json!([]))] {
        talk.say(peer, json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string());
    }
    assert!(talk.said.is_empty());
    talk.blocks(2);
    assert!(talk.said.is_empty());
    talk.blocks(3);
    assert_eq!(talk.said.pop_front().unwrap().0, BOB);
    let id = talk.said.pop_front().unwrap().1["result"].clone();
    assert_eq!(numbers(&talk.news(ALICE, &id)), [0, 1, 2]);
}

#[test]
fn a_new_runtime_is_told_once() {
    let mut talk = Talk::new();
    let (id, at_once) = talk.subscribe(ALICE, "state_subscribeRuntimeVersion", json!([]));
    let versions = |told: &[Json]| told.iter().map(|version| version["specVersion"].clone()).collect::<Vec<_>>();
    assert_eq!(versions(&at_once), [json!(425)]);
    talk.blocks(2);
    assert!(talk.said.is_empty());
    talk.ask(BOB, "sim_upgrade", json!(["version"]));
    talk.blocks(3);
    assert_eq!(versions(&talk.news(ALICE, &id)), [json!(426)]);
}

#[test]
fn a_subscription_ends_when_its_owner_says_so_or_is_gone() {
    let mut talk = Talk::new();
    let (id, _) = talk.subscribe(ALICE, "chain_subscribeNewHead", json!([]));
    assert_eq!(talk.ask(BOB, "chain_unsubscribeNewHead", json!([id]))["result"], json!(false), "not his");
    assert_eq!(talk.ask(ALICE, "author_unwatchExtrinsic", json!([id]))["result"], json!(false), "not of that kind");
    assert_eq!(talk.ask(ALICE, "chain_unsubscribeNewHeads", json!([id]))["result"], json!(true));
    assert_eq!(talk.ask(ALICE, "chain_unsubscribeNewHeads", json!([id]))["result"], json!(false), "twice");
    talk.subscribe(BOB, "chain_subscribeAllHeads", json!([]));
    talk.feed(Input::Closed { peer: BOB, reason: Gone::ByPeer { code: 1001, reason: String::new() } });
    talk.blocks(1);
    assert!(talk.said.is_empty());
}

#[test]
fn a_connection_holds_so_many_subscriptions_and_another_one_is_not_touched_by_it() {
    let mut talk = Talk::new();
    for _ in 0..64 {
        talk.subscribe(ALICE, "state_subscribeRuntimeVersion", json!([]));
    }
    let refused = talk.ask(ALICE, "chain_subscribeNewHeads", json!([]));
    assert_eq!(refused["error"]["code"], json!(-32006));
    assert_eq!(refused["error"]["data"], json!("Exceeded max limit of 64"));
    talk.subscribe(BOB, "chain_subscribeNewHeads", json!([]));
}

#[test]
fn an_extrinsic_is_followed_from_the_pool_to_the_finalized_head() {
    let (metadata, mut talk) = (metadata(V15), Talk::new());
    talk.blocks(5);
    let bytes = talk.signed(&metadata, 0, 5);
    let (id, at_once) = talk.subscribe(ALICE, "author_submitAndWatchExtrinsic", json!([to_hex(&bytes)]));
    assert_eq!(at_once, [json!("ready")]);
    talk.blocks(1);
    let in_block = talk.news(ALICE, &id);
    let block = talk.hash(6);
    assert_eq!(in_block, [json!({"inBlock": block})]);
    let body = talk.ask(ALICE, "chain_getBlock", json!([block]))["result"]["block"]["extrinsics"].clone();
    assert!(body.as_array().unwrap().contains(&json!(to_hex(&bytes))));
    talk.blocks(1);
    assert!(talk.said.is_empty());
    talk.blocks(1);
    assert_eq!(talk.news(ALICE, &id), [json!({"finalized": block})]);
    assert_eq!(talk.ask(ALICE, "author_unwatchExtrinsic", json!([id]))["result"], json!(false), "it is over");
}

#[test]
fn an_extrinsic_whose_era_ends_before_its_turn_is_told_as_invalid() {
    let (metadata, mut talk) = (metadata(V15), Talk::new());
    talk.blocks(5);
    // Its nonce has a gap before it, so it waits until its era is over.
    let bytes = talk.signed(&metadata, 3, 5);
    let (id, at_once) = talk.subscribe(ALICE, "author_submitAndWatchExtrinsic", json!([to_hex(&bytes)]));
    assert_eq!(at_once, [json!("ready")]);
    talk.blocks(7);
    assert!(talk.said.is_empty());
    talk.blocks(1);
    assert_eq!(talk.news(ALICE, &id), [json!("invalid")]);
}

#[test]
fn an_extrinsic_that_a_fork_takes_out_is_retracted_and_told_again_when_it_is_back() {
    let (metadata, mut talk) = (metadata(V15), Talk::new());
    talk.blocks(5);
    let bytes = talk.signed(&metadata, 0, 5);
    let (id, _) = talk.subscribe(ALICE, "author_submitAndWatchExtrinsic", json!([to_hex(&bytes)]));
    talk.blocks(1);
    let block = talk.hash_told(&id, "inBlock");
    talk.ask(BOB, "sim_fork", json!([{"depth": 1}]));
    assert_eq!(talk.news(ALICE, &id), [json!({"retracted": block})]);
    talk.blocks(1);
    let again = talk.hash_told(&id, "inBlock");
    assert_ne!(again, block);
    talk.blocks(2);
    assert_eq!(talk.hash_told(&id, "finalized"), again);
}

#[test]
fn an_extrinsic_that_the_pool_forgot_is_told_as_dropped() {
    let (metadata, mut talk) = (metadata(V15), Talk::new());
    talk.blocks(5);
    let bytes = talk.signed(&metadata, 0, 5);
    let (id, _) = talk.subscribe(ALICE, "author_submitAndWatchExtrinsic", json!([to_hex(&bytes)]));
    talk.ask(BOB, "sim_forgetPool", json!([]));
    assert_eq!(talk.news(ALICE, &id), [json!("dropped")]);
    talk.blocks(1);
    assert!(talk.said.is_empty());
}

#[test]
fn an_extrinsic_that_the_pool_refuses_is_an_error_and_no_subscription() {
    let (metadata, mut talk) = (metadata(V15), Talk::new());
    talk.blocks(5);
    let mut bytes = talk.signed(&metadata, 0, 5);
    *bytes.last_mut().unwrap() ^= 1;
    let answer = talk.ask(ALICE, "author_submitAndWatchExtrinsic", json!([to_hex(&bytes)]));
    assert_eq!(answer["error"]["code"], json!(1010));
    assert_eq!(answer["error"]["data"], json!("Transaction has a bad signature"));
    assert_eq!(talk.ask(ALICE, "author_submitAndWatchExtrinsic", json!([7]))["error"]["code"], json!(-32602));
    talk.blocks(1);
    assert!(talk.said.is_empty());
}

#[test]
fn storage_is_told_when_it_changed_and_not_with_every_block() {
    let (metadata, mut talk) = (metadata(V15), Talk::new());
    talk.blocks(5);
    let netuid = 128u16.to_le_bytes();
    let key = to_hex(&metadata.storage("SubtensorModule", "LastUpdate").unwrap().key(&[&netuid]).unwrap());
    let (id, at_once) = talk.subscribe(ALICE, "state_subscribeStorage", json!([[key, "0x00"]]));
    assert_eq!(at_once[0]["changes"], json!([["0x00", null], [key, to_hex(&[&[12][..], &[0; 24]].concat())]]));
    talk.blocks(1);
    assert!(talk.said.is_empty());
    let bytes = talk.signed(&metadata, 0, 6);
    talk.ask(ALICE, "author_submitExtrinsic", json!([to_hex(&bytes)]));
    talk.blocks(1);
    let mut told = talk.news(ALICE, &id);
    assert_eq!(told.len(), 1);
    let told = told.remove(0);
    assert_eq!(told["changes"], json!([[key, to_hex(&[&[12, 7][..], &[0; 23]].concat())]]));
    assert_eq!(told["block"], talk.hash(7));
    assert_eq!(talk.ask(BOB, "state_subscribeStorage", json!([[]]))["error"]["code"], json!(-32602));
}

#[test]
fn a_batch_may_subscribe_and_a_bad_text_is_answered() {
    let mut talk = Talk::new();
    talk.say(ALICE, "{".into());
    assert_eq!(talk.said.pop_front().unwrap().1["error"]["code"], json!(-32700));
    let one = |id: u64, method: &str| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": []});
    talk.say(ALICE, json!([one(1, "chain_subscribeNewHeads"), one(2, "system_chain")]).to_string());
    let answers = talk.said.pop_front().unwrap().1;
    assert_eq!(answers[1]["result"], json!("Subtensor (simulated)"));
    let id = answers[0]["result"].clone();
    assert_eq!(numbers(&talk.news(ALICE, &id)), [0]);
}

#[test]
fn keys_are_paged_in_order_and_their_values_asked_together() {
    let (metadata, mut talk) = (metadata(V15), Talk::new());
    talk.blocks(1);
    let item = metadata.storage("SubtensorModule", "Keys").unwrap();
    let key_of = |uid: u16| to_hex(&item.key(&[&128u16.to_le_bytes(), &uid.to_le_bytes()]).unwrap());
    let prefix = to_hex(item.prefix());
    let first = talk.ask(ALICE, "state_getKeysPaged", json!([prefix, 2]))["result"].clone();
    assert_eq!(first, json!([key_of(0), key_of(1)]));
    let rest = talk.ask(ALICE, "state_getKeysPaged", json!([prefix, 100, key_of(1), null]))["result"].clone();
    assert_eq!(rest, json!([key_of(2)]));
    assert_eq!(talk.ask(ALICE, "state_getKeysPaged", json!(["0x00", 10]))["result"], json!([]));
    assert_eq!(talk.ask(ALICE, "state_getKeysPaged", json!([prefix, 1001]))["error"]["code"], json!(-32602));
    let values = talk.ask(ALICE, "state_queryStorageAt", json!([[key_of(1), "0x00"]]))["result"].clone();
    assert_eq!(values[0]["changes"], json!([[key_of(1), to_hex(&key(2).account())], ["0x00", null]]));
    assert_eq!(values[0]["block"], talk.hash(1));
}
