//! The chain spoke of a daemon, and of the operator's tool: endpoints, pace and cache as the settings have them.

use std::{env, ffi::OsString, path::PathBuf, time::Duration};

use crossbeam::channel::{self, Receiver, Sender};

use super::generator;
use crate::{
    config::{
        file::from_home,
        subtensor::{CachePlace, Subtensor},
    },
    exit::Failure,
    machine::contract::chain::{ChainReply, ChainRequest},
    spoke::{
        self, Full, Inbox, Outbox, Spoke,
        chain::{Chain, cache::MetadataCache, http::Http},
    },
    wire::keys::Keypair,
};

/// One batch of calls to the nodes of the chain may take this long, all of them together; a metagraph is some megabytes.
const CALLS_TIMEOUT: Duration = Duration::from_secs(30);

/// A call to a node is under way for longer than anybody waits for a daemon to end. What it was about is written down
/// before it is made, so it can be left.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// The way to the chain spoke. Dropped, it ends the spoke's waiting, too.
pub struct ToChain {
    requests: Inbox<ChainRequest>,
    _stop: Sender<()>,
}

impl ToChain {
    pub fn send(&self, request: ChainRequest) -> Result<(), Full> {
        self.requests.send(request)
    }
}

/// Starts the chain spoke, of which at most `depth` requests wait.
pub fn spawn<E: Send + 'static>(
    subtensor: &Subtensor,
    key: Option<Keypair>,
    depth: usize,
    outbox: &Outbox<E>,
    event: fn(ChainReply) -> E,
) -> Result<(ToChain, Spoke), Failure> {
    let (stop, stopped) = channel::bounded(0);
    let mut chain = client(subtensor, key, stopped)?;
    let (requests, spoke) = spoke::spawn("chain", depth, outbox, move |request| event(chain.serve(request)));
    Ok((ToChain { requests, _stop: stop }, spoke.left_after(STOP_PATIENCE)))
}

/// What the spoke's thread runs. It asks nobody any more once the other end of `stop` is gone.
pub fn client(subtensor: &Subtensor, key: Option<Keypair>, stop: Receiver<()>) -> Result<Chain<Http>, Failure> {
    let nodes = Http::new(subtensor.endpoints.clone(), CALLS_TIMEOUT, generator()?)
        .genesis(subtensor.genesis)
        .request_interval(subtensor.request_interval)
        .until(stop);
    Ok(Chain::new(nodes, key).keeping(metadata_cache(&subtensor.metadata_cache)))
}

/// Where metadata is kept between two starts.
fn metadata_cache(place: &CachePlace) -> MetadataCache {
    let directory = match place {
        CachePlace::Nowhere => None,
        CachePlace::Directory(path) => Some(from_home(path)),
        CachePlace::Usual => usual(env::var_os("CACHE_DIRECTORY"), env::var_os("XDG_CACHE_HOME"), env::home_dir()),
    };
    directory.map_or_else(MetadataCache::none, MetadataCache::at)
}

/// The service manager's directory is the daemon's own (the first, should there be several); the user's is shared.
fn usual(of_service: Option<OsString>, of_user: Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    let of_service = of_service.and_then(|list| env::split_paths(&list).next());
    let of_user = of_user.map(PathBuf::from).or_else(|| home.map(|home| home.join(".cache")));
    let absolute = |path: &PathBuf| path.is_absolute();
    let own = of_service.filter(absolute);
    own.or_else(|| of_user.filter(absolute).map(|directory| directory.join("byteleap")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_managers_cache_comes_first_and_a_relative_one_is_none() {
        let place = |service: Option<&str>, user: Option<&str>, home: Option<&str>| {
            usual(service.map(OsString::from), user.map(OsString::from), home.map(PathBuf::from))
        };
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(place(Some("/var/cache/x:/y"), Some("/u"), Some("/h")), path("/var/cache/x"));
        assert_eq!(place(None, Some("/u"), Some("/h")), path("/u/byteleap"));
        assert_eq!(place(None, None, Some("/h")), path("/h/.cache/byteleap"));
        assert_eq!(place(Some(""), Some("relative"), None), None);
        assert_eq!(place(None, None, None), None);
    }
}
