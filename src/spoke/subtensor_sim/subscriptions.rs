//! What connections asked to be told: heads, runtime versions, storage, the way of an extrinsic.
//!
//! Owns the subscriptions of all connections, each bounded in number, and nothing that waits: what is due goes out at
//! once, and a peer that does not read is the loop's to close. A subscription remembers what it said last and looks at
//! the chain again when something may have happened. It never changes the chain.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{Node, params::error, topic::Topic};
use crate::{spoke::chain::rpc::NodeError, units::PeerId};

/// Subscriptions that a connection may hold.
pub const PER_CONNECTION_MAX: usize = 64;

/// And all of them together.
const TOTAL_MAX: usize = 4096;

const TOO_MANY: i64 = -32006;

/// A kind of subscription, by the method names of a node.
struct Kind {
    subscribe: &'static [&'static str],
    unsubscribe: &'static [&'static str],
    /// Method of its notifications.
    notifies: &'static str,
    begin: fn(&mut Node, &Json) -> Result<Topic, NodeError>,
}

static KINDS: [Kind; 6] = [
    Kind {
        subscribe: &["chain_subscribeNewHeads", "chain_subscribeNewHead", "subscribe_newHead"],
        unsubscribe: &["chain_unsubscribeNewHeads", "chain_unsubscribeNewHead", "unsubscribe_newHead"],
        notifies: "chain_newHead",
        begin: |_, _| Ok(Topic::heads()),
    },
    Kind {
        subscribe: &["chain_subscribeAllHeads"],
        unsubscribe: &["chain_unsubscribeAllHeads"],
        notifies: "chain_allHead",
        begin: |_, _| Ok(Topic::heads()),
    },
    Kind {
        subscribe: &["chain_subscribeFinalizedHeads", "chain_subscribeFinalisedHeads"],
        unsubscribe: &["chain_unsubscribeFinalizedHeads", "chain_unsubscribeFinalisedHeads"],
        notifies: "chain_finalizedHead",
        begin: |_, _| Ok(Topic::finalized_heads()),
    },
    Kind {
        subscribe: &["state_subscribeRuntimeVersion", "chain_subscribeRuntimeVersion"],
        unsubscribe: &["state_unsubscribeRuntimeVersion", "chain_unsubscribeRuntimeVersion"],
        notifies: "state_runtimeVersion",
        begin: |_, _| Ok(Topic::runtime_version()),
    },
    Kind {
        subscribe: &["state_subscribeStorage"],
        unsubscribe: &["state_unsubscribeStorage"],
        notifies: "state_storage",
        begin: |_, params| Topic::storage(params),
    },
    Kind {
        subscribe: &["author_submitAndWatchExtrinsic"],
        unsubscribe: &["author_unwatchExtrinsic"],
        notifies: "author_extrinsicUpdate",
        begin: Topic::extrinsic,
    },
];

/// The names of all methods that need a connection to push over.
pub fn methods() -> impl Iterator<Item = &'static str> {
    KINDS.iter().flat_map(|kind| kind.subscribe.iter().chain(kind.unsubscribe)).copied()
}

struct Subscription {
    notifies: &'static str,
    topic: Topic,
}

/// The subscriptions of all connections, in the order in which they were made.
#[derive(Default)]
pub struct Subscriptions {
    held: BTreeMap<(PeerId, u64), Subscription>,
    made: u64,
}

impl Subscriptions {
    /// A call of a connection that can be pushed over.
    pub fn call(&mut self, node: &mut Node, peer: PeerId, method: &str, params: &Json) -> Result<Json, NodeError> {
        for kind in &KINDS {
            if kind.subscribe.contains(&method) {
                return self.subscribe(node, peer, kind, params);
            }
            if kind.unsubscribe.contains(&method) {
                return Ok(json!(self.unsubscribe(peer, kind.notifies, params)));
            }
        }
        node.call(method, params)
    }

    fn subscribe(
        &mut self,
        node: &mut Node,
        peer: PeerId,
        kind: &'static Kind,
        params: &Json,
    ) -> Result<Json, NodeError> {
        let of_peer = self.held.range((peer, 0)..=(peer, u64::MAX)).count();
        if of_peer >= PER_CONNECTION_MAX || self.held.len() >= TOTAL_MAX {
            let data = Some(json!(format!("Exceeded max limit of {PER_CONNECTION_MAX}")));
            return Err(NodeError { data, ..error(TOO_MANY, "Too many subscriptions on the connection") });
        }
        let topic = (kind.begin)(node, params)?;
        self.made += 1;
        self.held.insert((peer, self.made), Subscription { notifies: kind.notifies, topic });
        Ok(json!(id(self.made)))
    }

    /// Whether there was such a one.
    fn unsubscribe(&mut self, peer: PeerId, notifies: &str, params: &Json) -> bool {
        let number = params.get(0).and_then(Json::as_str).and_then(number);
        let Some(key) = number.map(|number| (peer, number)) else { return false };
        let is_kind = self.held.get(&key).is_some_and(|held| held.notifies == notifies);
        is_kind && self.held.remove(&key).is_some()
    }

    /// The connection is gone.
    pub fn forget(&mut self, peer: PeerId) {
        self.held.retain(|(of, _), _| *of != peer);
    }

    /// What there is to tell by now, and to whom. A subscription that has told its last is over.
    pub fn news(&mut self, node: &Node) -> Vec<(PeerId, String)> {
        let mut told = Vec::new();
        self.held.retain(|(peer, number), held| {
            let news = held.topic.news(node);
            told.extend(news.into_iter().map(|result| (*peer, notification(held.notifies, *number, &result))));
            !held.topic.is_over()
        });
        told
    }
}

fn notification(method: &str, number: u64, result: &Json) -> String {
    let params = json!({"subscription": id(number), "result": result});
    json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()
}

/// A node's ids are texts of sixteen letters and digits.
fn id(number: u64) -> String {
    format!("{number:016x}")
}

fn number(id: &str) -> Option<u64> {
    let number = u64::from_str_radix(id, 16).ok()?;
    (self::id(number) == id).then_some(number)
}
