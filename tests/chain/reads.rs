//! Reads of one block, and of one block only: upgrades, other chains, parts of the metagraph, old runtimes.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use byteleap::{
    machine::contract::chain::{
        ChainFault, ChainFaultKind, ChainReply, ChainRequest, Feature, Head, Preflight, PreflightState,
    },
    spoke::chain::{
        Chain,
        metadata::Storage,
        rpc::{Call, NodeError, Rpc, RpcError, to_hex},
    },
    units::{Hotkey, Netuid, Uid, Wall},
};
use parity_scale_codec::{Compact, Encode};
use serde_json::{Value as Json, json};

use crate::recordings::Recorded;

/// A recorded node whose storage can be written, and whose answers can be put in place of the recorded ones.
#[derive(Clone)]
struct Written(Rc<RefCell<Node>>);

struct Node {
    recorded: Recorded,
    storage: BTreeMap<String, Vec<u8>>,
    genesis: Option<[u8; 32]>,
    offered: Option<Vec<u32>>,
    /// A runtime API that the node fails at, for the time being.
    failing: Option<&'static str>,
    asked: Vec<Call>,
}

impl Written {
    fn new() -> Written {
        let recorded = Recorded::new();
        let node =
            Node { recorded, storage: BTreeMap::new(), genesis: None, offered: None, failing: None, asked: Vec::new() };
        Written(Rc::new(RefCell::new(node)))
    }

    fn write(&self, pallet: &str, item: &str, key: &[u8], value: impl Encode) {
        let key = to_hex(&[&Storage::prefix_of(pallet, item)[..], key].concat());
        self.0.borrow_mut().storage.insert(key, value.encode());
    }

    fn chain(&self) -> Chain<Written> {
        Chain::new(self.clone(), None)
    }

    fn asked(&self, method: &str) -> usize {
        self.0.borrow().asked.iter().filter(|call| call.method == method).count()
    }

    fn asked_api(&self, api: &str) -> usize {
        self.0.borrow().asked.iter().filter(|call| call.params[0] == api).count()
    }
}

impl Node {
    fn answer(&self, call: &Call) -> Option<Json> {
        let first = &call.params[0];
        match call.method {
            "state_getStorage" => self.storage.get(first.as_str()?).map(|value| json!(to_hex(value))),
            "chain_getBlockHash" if *first == 0 => self.genesis.map(|genesis| json!(to_hex(&genesis))),
            "state_call" if first == "Metadata_metadata_versions" => {
                self.offered.as_ref().map(|offered| json!(to_hex(&offered.encode())))
            }
            "state_call" if first == "Metadata_metadata_at_version" && self.offered.is_some() => Some(json!("0x00")),
            _ => None,
        }
    }
}

impl Rpc for Written {
    fn batch(&mut self, calls: &[Call]) -> Result<Vec<Result<Json, NodeError>>, RpcError> {
        let mut node = self.0.borrow_mut();
        node.asked.extend_from_slice(calls);
        let recorded = node.recorded.batch(calls)?;
        let answers = calls.iter().zip(recorded);
        let failing = |call: &Call| node.failing.is_some_and(|api| call.params[0] == api);
        let internal = || NodeError { code: -32603, message: "Internal error".into(), data: None };
        let answer = |call: &Call, recorded| node.answer(call).map_or(recorded, Ok);
        Ok(answers
            .map(|(call, recorded)| if failing(call) { Err(internal()) } else { answer(call, recorded) })
            .collect())
    }
}

fn head(chain: &mut Chain<Written>) -> Head {
    match chain.serve(ChainRequest::Head) {
        ChainReply::Head(head) => head,
        other => panic!("{other:?}"),
    }
}

fn fault(reply: ChainReply) -> ChainFault {
    match reply {
        ChainReply::Failed(fault) => fault,
        other => panic!("{other:?}"),
    }
}

fn metagraph(chain: &mut Chain<Written>) -> ChainReply {
    chain.serve(ChainRequest::Metagraph(Netuid(2)))
}

#[test]
fn the_head_tells_the_time_of_its_own_block() {
    let node = Written::new();
    assert_eq!(head(&mut node.chain()).best_at, None, "a block that was given no time has none");
    node.write("Timestamp", "Now", &[], 1_800_000_000_500u64);
    assert_eq!(head(&mut node.chain()).best_at, Some(Wall(1_800_000_000_500_000_000)));
}

#[test]
fn the_block_of_an_upgrade_is_named_and_nothing_of_it_is_read() {
    let node = Written::new();
    let mut chain = node.chain();
    node.write("System", "LastRuntimeUpgrade", &[], (Compact(425u32), "node-subtensor"));
    assert!(!head(&mut chain).upgrading);
    assert!(matches!(metagraph(&mut chain), ChainReply::Metagraph(_)));
    node.write("System", "LastRuntimeUpgrade", &[], (Compact(424u32), "node-subtensor"));
    let upgrading = head(&mut chain);
    assert_eq!((upgrading.upgrading, upgrading.spec_version), (true, 425));
    let refused = fault(metagraph(&mut chain));
    assert_eq!(refused.kind, ChainFaultKind::Upgrading);
    assert!(refused.text.contains("from spec 424 to 425"), "{}", refused.text);
}

#[test]
fn what_the_storage_was_migrated_to_is_absent_or_read_and_never_guessed() {
    let node = Written::new();
    let mut chain = node.chain();
    assert!(!head(&mut chain).upgrading, "a chain that was never upgraded says nothing");
    node.write("System", "LastRuntimeUpgrade", &[], [0xffu8; 3]);
    for request in [ChainRequest::Head, ChainRequest::Metagraph(Netuid(2))] {
        let refused = fault(chain.serve(request));
        assert_eq!(refused.kind, ChainFaultKind::Shape);
        assert!(refused.text.contains("LastRuntimeUpgrade"), "{}", refused.text);
    }
}

#[test]
fn a_commit_reveal_version_that_we_do_not_speak_is_found_before_it_is_needed() {
    let node = Written::new();
    let found = |node: &Written| match node.chain().serve(ChainRequest::Preflight) {
        ChainReply::Preflight(table) => table.broken(Feature::TimelockedCommit).cloned(),
        other => panic!("{other:?}"),
    };
    node.write("SubtensorModule", "CommitRevealWeightsVersion", &[], 4u16);
    assert_eq!(found(&node), None);
    node.write("SubtensorModule", "CommitRevealWeightsVersion", &[], 5u16);
    let row = found(&node).unwrap();
    assert_eq!(row.name, "SubtensorModule.CommitRevealWeightsVersion");
    let PreflightState::OtherShape(why) = row.state else { panic!("{row:?}") };
    assert!(why.contains("version 5, known is 4"), "{why}");
}

#[test]
fn another_genesis_is_another_chain() {
    let node = Written::new();
    let mut chain = node.chain();
    head(&mut chain);
    node.0.borrow_mut().genesis = Some([7; 32]);
    for request in [ChainRequest::Head, ChainRequest::Metagraph(Netuid(2)), ChainRequest::Preflight] {
        let refused = fault(chain.serve(request));
        assert_eq!(refused.kind, ChainFaultKind::OtherChain);
        assert!(refused.text.contains("this is another chain"), "{}", refused.text);
    }
    node.0.borrow_mut().genesis = None;
    head(&mut chain);
}

#[test]
fn metadata_is_fetched_once_for_all_reads() {
    let node = Written::new();
    let mut chain = node.chain();
    for _ in 0..3 {
        head(&mut chain);
        assert!(matches!(metagraph(&mut chain), ChainReply::Metagraph(_)));
    }
    assert_eq!(node.asked_api("Metadata_metadata_at_version"), 1);
}

/// The recorded answer for a part was to another question, so it lacks what we asked for.
#[test]
fn a_part_that_is_not_what_was_asked_for_is_asked_once_and_never_again() {
    let node = Written::new();
    let mut chain = node.chain();
    for whole in 1..=3 {
        let ChainReply::Metagraph(graph) = metagraph(&mut chain) else { panic!() };
        assert_eq!((graph.block, graph.neurons.len()), (389, 3));
        assert_eq!(node.asked_api("SubnetInfoRuntimeApi_get_selective_metagraph"), 1);
        assert_eq!(node.asked_api("SubnetInfoRuntimeApi_get_metagraph"), whole);
    }
}

/// A node that fails once does not prove that it has no parts.
#[test]
fn a_passing_fault_of_a_part_is_asked_again_in_part() {
    const PART: &str = "SubnetInfoRuntimeApi_get_selective_metagraph";
    let node = Written::new();
    let mut chain = node.chain();
    node.0.borrow_mut().failing = Some(PART);
    for asked in 1..=2 {
        assert!(matches!(metagraph(&mut chain), ChainReply::Metagraph(_)), "all of it is asked for instead");
        assert_eq!(node.asked_api(PART), asked);
    }
}

#[test]
fn every_call_of_a_read_names_the_block() {
    let node = Written::new();
    let mut chain = node.chain();
    metagraph(&mut chain);
    let last = node.0.borrow().recorded.blocks.blocks.last().unwrap().hash.clone();
    let asked = node.0.borrow();
    let state = asked.asked.iter().filter(|call| call.method.starts_with("state_"));
    let unnamed: Vec<_> = state.filter(|call| !call.params.as_array().unwrap().contains(&json!(last))).collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
}

#[test]
fn a_node_that_offers_only_metadata_that_nobody_knows_is_named() {
    let node = Written::new();
    node.0.borrow_mut().offered = Some(vec![17, 18]);
    let refused = fault(node.chain().serve(ChainRequest::Preflight));
    assert_eq!(refused.kind, ChainFaultKind::Shape);
    assert!(refused.text.contains("[17, 18], known are 14, 15 and 16"), "{}", refused.text);
    assert_eq!(node.asked("state_getMetadata"), 0);
}

#[test]
fn preflight_says_of_which_runtime_it_is() {
    let ChainReply::Preflight(table) = Written::new().chain().serve(ChainRequest::Preflight) else { panic!() };
    let Preflight { spec_version, metadata_version, rows } = *table;
    assert_eq!((spec_version, metadata_version), (425, 15));
    assert!(rows.iter().any(|row| row.name == "SubtensorModule.set_weights"));
}

const ACCOUNT: [u8; 32] = [9; 32];

fn standing(node: &Written, mechanism: u8) -> byteleap::machine::contract::chain::Standing {
    let hotkey = Hotkey::from_account(&ACCOUNT);
    match node.chain().serve(ChainRequest::Standing { netuid: Netuid(2), mechanism, uid: Uid(1), hotkey }) {
        ChainReply::Standing(standing) => *standing,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_standing_without_anything_stored_is_what_the_metadata_says() {
    let standing = standing(&Written::new(), 0);
    assert_eq!((standing.epoch, standing.reveal_period, standing.last_update), (0, 1, 0));
    assert_eq!((standing.weights.len(), standing.commits.len()), (0, 0));
    assert!(standing.next_epoch_block > standing.block);
}

/// The key of a map of the given hasher, from the parts in SCALE.
fn twox_concat(parts: &[Vec<u8>]) -> Vec<u8> {
    use byteleap::spoke::chain::hash::twox64;
    parts.iter().flat_map(|part| [&twox64(part)[..], part].concat()).collect()
}

#[test]
fn a_standing_holds_the_row_of_its_mechanism_and_the_commitments_of_its_hotkey() {
    let node = Written::new();
    let index = (4096u16 + 2).encode();
    node.write("SubtensorModule", "SubnetEpochIndex", &2u16.encode(), 7u64);
    node.write("SubtensorModule", "LastUpdate", &index, vec![1u64, 380]);
    node.write("SubtensorModule", "Weights", &[index.clone(), 1u16.encode()].concat(), vec![(0u16, 65535u16)]);
    let held = vec![([8u8; 32], 370u64, vec![1u8, 2], 5u64), (ACCOUNT, 371, vec![3, 4], 6)];
    node.write("SubtensorModule", "TimelockedWeightCommits", &twox_concat(&[index.clone(), 6u64.encode()]), held);
    let hashed = vec![([5u8; 32], 372u64, 380u64, 390u64)];
    node.write("SubtensorModule", "WeightCommits", &twox_concat(&[index, ACCOUNT.to_vec()]), hashed);
    let standing = standing(&node, 1);
    assert_eq!((standing.epoch, standing.last_update), (7, 380));
    assert_eq!(standing.weights, [(Uid(0), 65535)]);
    let told: Vec<_> = standing.commits.iter().map(|of| (of.epoch, of.block, of.drand_round)).collect();
    assert_eq!(told, [(6, 371, Some(6)), (7, 372, None)]);
    assert_eq!(standing.commits[0].hash, byteleap::spoke::chain::hash::blake2_256(&[3, 4]));
    assert_eq!(standing.commits[1].hash, [5; 32]);
    assert!(super::reads::standing(&node, 0).commits.is_empty(), "another mechanism is another place");
}
