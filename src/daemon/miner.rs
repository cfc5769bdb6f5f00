//! The miner put together.

use std::{ffi::OsString, process::ExitCode, sync::Arc, time::Duration};

use super::{chain, failures, fresh_seed, metrics, start};
use crate::{
    config::{file, miner::Config},
    exit::Failure,
    machine::{
        Exit, Link,
        contract::{
            maintenance,
            receipts::{self, ReceiptsKeep, ReceiptsKept},
        },
        miner::{
            BULK_DEPTH, CHAIN_DEPTH, Command, Event, Miner,
            admission::{Admission, Turned},
        },
    },
    net::{self, Connections, DialOptions, Hub, Listener, Refusal, Serve, Setup, WebSocketOptions},
    spoke::{self, bulk, maintenance::NoticeFile, receipts::Drawer},
    wallet,
};

/// After a stop, and again for joining the spokes.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Reports of spokes that may wait for the loop.
const REPORTS: usize = 64;
/// Connections on the workers' door beyond `max_workers`: newcomers, and those that replace an older one.
const NEWCOMERS: usize = 64;

/// A worker that takes none of our bytes is not read either beyond this: what we send is small, and the pongs that it
/// may ask for are not to fill memory.
const UNREAD_BYTES: usize = 1024 * 1024;

/// `words` begins with the program's name.
pub fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    start(words, files, run)
}

fn files(config: &Config) -> Vec<Failure> {
    failures([
        wallet::load(&config.wallet).map(drop).map_err(Failure::from),
        admission(config).map(drop),
        file::metrics_token(config.metrics.as_ref()).map(drop).map_err(Failure::from),
    ])
}

fn run(config: Config) -> Result<Exit, Failure> {
    let key = wallet::load(&config.wallet)?;
    ::log::info!(target: "miner", "hotkey {}, subnet {}", key.hotkey(), config.netuid.0);
    let hub = Hub::new(REPORTS)?;
    let mut listeners = vec![workers(&config)?];
    listeners.extend(metrics(config.metrics.as_ref())?);
    let (dispatch, spokes) = spokes(&hub, &config)?;
    let miner = Miner::new(&config, key, hub.clock().now(), fresh_seed()?);
    let dials = DialOptions::default();
    let setup = Setup { hub, listeners, dials, dispatch, spokes, stop_timeout: STOP_TIMEOUT, signals: true };
    Ok(net::run(miner, setup)?)
}

/// Who may come in: who bears the token, or comes from an allowed network.
fn admission(config: &Config) -> Result<Admission, Failure> {
    Ok(match &config.workers.token_file {
        Some(named) => Admission::Token(file::token("worker_management.token_file", named)?),
        None => Admission::Networks(config.workers.allow.clone()),
    })
}

/// The workers' door.
fn workers(config: &Config) -> Result<Listener, Failure> {
    let rule = admission(config)?;
    let admission: net::Admission = Arc::new(move |source, headers| {
        let turned = |turned: Turned| Refusal { status: turned.status(), text: turned.to_string() };
        rule.admit(source, headers.get("authorization")).map_err(turned)
    });
    let options = WebSocketOptions { write_buffer_bytes: UNREAD_BYTES, ..WebSocketOptions::default() };
    let serve = Serve::WebSocket(Link::Workers, options, admission);
    // All of them may come from one address: a fleet behind one router.
    let total = config.workers.max_workers + NEWCOMERS;
    let limits = Connections { total, per_source: total, ..Connections::default() };
    Ok(Listener::bind(config.workers.listen, serve, limits)?)
}

type Dispatch = Box<dyn FnMut(Command) -> Result<(), spoke::Full>>;

/// The threads behind the loop, and the way to each.
fn spokes(hub: &Hub<Event>, config: &Config) -> Result<(Dispatch, Vec<spoke::Spoke>), Failure> {
    let outbox = hub.outbox();
    // A miner reads the chain; it signs nothing there.
    let (to_chain, chain) = chain::spawn(&config.subtensor, None, CHAIN_DEPTH, &outbox, Event::Chain)?;
    let (to_bulk, bulk) = spoke::spawn("bulk", BULK_DEPTH, &outbox, |request| Event::Bulk(bulk::serve_miner(request)));
    let mut drawer = config.receipts.directory.clone().map(|directory| Drawer::new(directory, config.receipts.kept));
    let (to_receipts, receipts) =
        spoke::spawn("receipts", receipts::DEPTH, &outbox, move |request: Box<ReceiptsKeep>| {
            Event::Receipts(match &mut drawer {
                Some(drawer) => drawer.keep(&request),
                None => ReceiptsKept { validator: request.validator, kept: 0, at: None, faults: Vec::new() },
            })
        });
    let notices = NoticeFile::new(config.maintenance_file.as_deref().map(file::from_home));
    let (to_maintenance, maintenance) =
        spoke::spawn("maintenance", maintenance::DEPTH, &outbox, move |look| Event::Maintenance(notices.look(look)));
    let dispatch = move |command| match command {
        Command::Chain(request) => to_chain.send(request),
        Command::Bulk(request) => to_bulk.send(request),
        Command::Receipts(request) => to_receipts.send(request),
        Command::Maintenance(look) => to_maintenance.send(look),
    };
    Ok((Box::new(dispatch), vec![bulk, receipts, maintenance, chain]))
}
