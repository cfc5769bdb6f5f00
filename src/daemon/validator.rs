//! The validator put together.

use std::{ffi::OsString, process::ExitCode, thread, time::Duration};

use super::{chain, failures, generator, metrics, start};
use crate::{
    config::{
        file,
        meshhub::{CA_KEY, MeshHub},
        overrides::{LeftOut, json_of, node_of},
        validator::Config,
    },
    exit::Failure,
    machine::{
        Exit, Link,
        contract::{lease_file, store::StoreRequest, validator_bulk},
        validator::{CHAIN_DEPTH, Command, Event, STORE_DEPTH, Validator},
    },
    net::{self, Connections, DialOptions, HttpOptions, Hub, Listener, Serve, Setup, TlsClient},
    spoke::{
        self,
        lease_file::LeaseFile,
        resolve,
        store::{Keeper, Store},
        verify,
    },
    wallet,
    wire::{
        keys::Keypair,
        limits::{BODY_BYTES, HEADER_BYTES, PROOF_BODY_BYTES},
        synapse::SynapseKind,
    },
};

/// After a stop, and again for joining the spokes.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// What may hang in the system's hands or calculates for long, and has nothing to lose, takes no more of the others' time
/// at the end.
const LEFT_AFTER: Duration = Duration::from_millis(500);
/// One calculation of scores is under way at most.
const SCORING_DEPTH: usize = 1;
/// Reports of spokes that may wait for the loop.
const REPORTS: usize = 256;

/// `words` begins with the program's name.
pub fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    start(words, files, run)
}

fn files(config: &Config) -> Vec<Failure> {
    let key = wallet::load(&config.wallet);
    let store = Store::look(&config.store.path, key.as_ref().ok().map(Keypair::hotkey));
    let market = config.meshhub.as_ref().map(|hub| file::access_token(&hub.token_file)).transpose();
    let tls = config.meshhub.as_ref().map(tls).transpose();
    failures([
        key.map(drop).map_err(Failure::from),
        store.map_err(Failure::from),
        market.map(drop).map_err(Failure::from),
        tls.map(drop),
        file::metrics_token(config.metrics.as_ref()).map(drop).map_err(Failure::from),
    ])
}

/// Whose certificates count on the way to the marketplace.
fn tls(hub: &MeshHub) -> Result<TlsClient, Failure> {
    let Some(named) = &hub.ca_file else { return Ok(TlsClient::public()) };
    let path = file::locate(CA_KEY, named)?;
    let named = |why: String| Failure::config(format!("{CA_KEY}: {}: {why}", path.display()));
    let pem = file::public(&path).map_err(|why| named(why.to_string()))?;
    TlsClient::with_authorities(&pem).map_err(|why| named(why.to_string()))
}

fn run(config: Config) -> Result<Exit, Failure> {
    let key = wallet::load(&config.wallet)?;
    ::log::info!(target: "validator", "hotkey {}, subnet {}", key.hotkey(), config.netuid.0);
    let store = Store::open(&config.store.path, key.hotkey())?;
    let config = overridden(&config, &store)?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let verifiers = config.validation.verifiers.threads(cores);
    let hub = Hub::new(REPORTS)?;
    let mut listeners = vec![axon(&config)?];
    listeners.extend(metrics(config.metrics.as_ref())?);
    let (dispatch, spokes) = spokes(&hub, &config, &key, store, verifiers)?;
    let mut dials = DialOptions::default();
    let mut validator = Validator::new(key, config.clone(), verifiers, generator()?);
    if let Some(hub) = &config.meshhub {
        dials.tls = tls(hub)?;
        validator = validator.with_market(hub, file::access_token(&hub.token_file)?, generator()?);
    }
    let setup = Setup { hub, listeners, dials, dispatch, spokes, stop_timeout: STOP_TIMEOUT, signals: true };
    Ok(net::run(validator, setup)?)
}

/// The file's settings, with what the marketplace changed of them in earlier runs.
fn overridden(config: &Config, store: &Store) -> Result<Config, Failure> {
    let stored = store.overrides().map_err(Failure::failed)?;
    let all = config.with_stored(stored.iter().map(|row| (row.key.clone(), node_of(&row.value))));
    for row in stored.iter().filter(|row| all.layers.over().contains_key(row.key.as_str())) {
        let (old, new) = (json_of(&config.layers.in_file(&row.key)), &row.value);
        let from = row.message.as_ref().map_or("a message without an ID".into(), |id| format!("message {id}"));
        ::log::info!(target: "validator", "{}: {old} -> {new} (marketplace, {from}, before this start)", row.key);
    }
    for LeftOut { key, why } in all.layers.left_out() {
        ::log::error!(
            target: "validator",
            "the marketplace's {key} is left out, and what the file says is in force: {why}; \
             `byteleap config overrides --revert {key}` ends this line"
        );
    }
    Ok(all)
}

fn axon(config: &Config) -> Result<Listener, Failure> {
    let options = HttpOptions { header_bytes: HEADER_BYTES, body_bytes, ..HttpOptions::default() };
    Ok(Listener::bind(config.listen, Serve::Http(Link::Axon, options), Connections::default())?)
}

fn body_bytes(target: &str) -> usize {
    if target == SynapseKind::ChallengeProof.path() { PROOF_BODY_BYTES } else { BODY_BYTES }
}

type Dispatch = Box<dyn FnMut(Command) -> Result<(), spoke::Full>>;

/// The threads behind the loop, and the way to each; the store is joined last.
fn spokes(
    hub: &Hub<Event>,
    config: &Config,
    key: &Keypair,
    mut store: Store,
    verifiers: usize,
) -> Result<(Dispatch, Vec<spoke::Spoke>), Failure> {
    let outbox = hub.outbox();
    let mut keeper = Keeper::open(&config.store.path)?;
    let verify: Vec<_> = (0..verifiers).map(|_| |proof: Box<_>| Event::Verified(verify::serve(*proof))).collect();
    let (to_verify, verify) = spoke::spawn_pool("verify", verifiers, &outbox, verify);
    let bulk = |request| Event::Bulk(spoke::bulk::serve_validator(request));
    let (to_bulk, bulk) = spoke::spawn("bulk", validator_bulk::DEPTH, &outbox, bulk);
    let (to_chain, chain) = chain::spawn(&config.subtensor, Some(key.clone()), CHAIN_DEPTH, &outbox, Event::Chain)?;
    let (to_store, store) =
        spoke::spawn("store", STORE_DEPTH, &outbox, move |request| Event::Store(store.serve(request)));
    let (to_scoring, scoring) =
        spoke::spawn("scoring", SCORING_DEPTH, &outbox, move |request: Box<_>| Event::Store(keeper.score(&request)));
    let (to_resolve, resolve) =
        spoke::spawn("resolve", resolve::DEPTH, &outbox, |name| Event::Resolved(resolve::serve(name)));
    let leases = LeaseFile::new(config.leases.file.as_deref().map(file::from_home).unwrap_or_default());
    let (to_leases, leases) =
        spoke::spawn("leases", lease_file::DEPTH, &outbox, move |look| Event::LeaseFile(leases.look(look)));
    let dispatch = move |command| match command {
        Command::Store(StoreRequest::Score(request)) => to_scoring.send(request),
        Command::Store(request) => to_store.send(request),
        Command::Chain(request) => to_chain.send(request),
        Command::Verify(request) => to_verify.send(request),
        Command::Bulk(request) => to_bulk.send(request),
        Command::Resolve(request) => to_resolve.send(request),
        Command::LeaseFile(look) => to_leases.send(look),
    };
    let left = |spoke: spoke::Spoke| spoke.left_after(LEFT_AFTER);
    Ok((Box::new(dispatch), vec![left(verify), bulk, chain, left(resolve), left(leases), left(scoring), store]))
}
