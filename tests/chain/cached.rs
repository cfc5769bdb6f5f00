//! Metadata kept on disk: a second start asks for none, and a file that is not what it should be is fetched anew.

use std::{cell::Cell, fs, path::Path, rc::Rc};

use byteleap::{
    machine::contract::chain::{ChainReply, ChainRequest},
    spoke::chain::{
        Chain,
        cache::MetadataCache,
        rpc::{Call, NodeError, Rpc, RpcError},
    },
};
use serde_json::Value as Json;

use crate::simulation::Simulation;

/// Counts how often metadata is asked for.
struct Counting<R> {
    node: R,
    fetched: Rc<Cell<usize>>,
}

impl<R: Rpc> Rpc for Counting<R> {
    fn batch(&mut self, calls: &[Call]) -> Result<Vec<Result<Json, NodeError>>, RpcError> {
        let is_fetch =
            |call: &&Call| call.params[0] == "Metadata_metadata_at_version" || call.method == "state_getMetadata";
        self.fetched.set(self.fetched.get() + calls.iter().filter(is_fetch).count());
        self.node.batch(calls)
    }
}

/// Starts anew, reads the head, and says how often metadata was fetched for that.
fn fetches(simulation: &Simulation, cache: &Path) -> usize {
    let fetched = Rc::new(Cell::new(0));
    let counting = Counting { node: simulation.rpc(), fetched: fetched.clone() };
    let mut chain = Chain::new(counting, None).keeping(MetadataCache::at(cache.to_owned()));
    let reply = chain.serve(ChainRequest::Head);
    assert!(matches!(reply, ChainReply::Head(_)), "{reply:?}");
    fetched.get()
}

#[test]
fn a_second_start_fetches_no_metadata() {
    let (simulation, cache) = (Simulation::plain(), tempfile::tempdir().unwrap());
    assert_eq!(fetches(&simulation, cache.path()), 1);
    assert_eq!(fetches(&simulation, cache.path()), 0);
}

#[test]
fn a_file_that_is_not_what_its_name_says_is_fetched_anew() {
    let (simulation, cache) = (Simulation::plain(), tempfile::tempdir().unwrap());
    fetches(&simulation, cache.path());
    let file = fs::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&file).unwrap();
    for bytes in [whole.get(..whole.len() / 2).unwrap(), b"", b"another text altogether, of more bytes than a hash"] {
        fs::write(&file, bytes).unwrap();
        assert_eq!(fetches(&simulation, cache.path()), 1);
        assert_eq!(fs::read(&file).unwrap(), whole);
        assert_eq!(fetches(&simulation, cache.path()), 0);
    }
}
