//! The validator's settings.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use super::gpu_matrix::{GpuMatrix, Tolerance};
pub use super::scoring::{PolicyName, Scoring};
pub use super::validation::{ChallengeType, CpuMatrix, GemmI8, GemmSize, Validation, Verifiers};
use super::{
    Role,
    form::{Form, text_of},
    leases::{self, Leases},
    logging::{self, Logging},
    meshhub::{self, MeshHub},
    overrides::Layers,
    scoring,
    shared::{self, ANY, DAY_S},
    subtensor::{self, Subtensor},
    validation, validator_later,
    wallet::{self, Wallet},
    yaml::Node,
};
use crate::units::Netuid;

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The axon.
    pub listen: SocketAddr,
    /// What `serve_axon` announces; nothing is announced when `None`.
    pub announce: Option<SocketAddr>,
    pub netuid: Netuid,
    pub subtensor: Subtensor,
    pub sync_interval: Duration,
    pub wallet: Wallet,
    pub logging: Logging,
    pub store: Store,
    pub validation: Validation,
    pub scoring: Scoring,
    /// The marketplace; `None`: nothing is leased.
    pub meshhub: Option<MeshHub>,
    pub leases: Leases,
    pub weights: Weights,
    pub security: Security,
    pub metrics: Option<shared::Metrics>,
    /// What of this the file says, and what was changed since.
    pub layers: Layers,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// As written, relative to the working directory when not absolute.
    pub path: PathBuf,
    /// How long heartbeats' details and challenges are kept.
    pub event_retention: Duration,
}

/// When scores are calculated, and what goes to the chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    pub availability_window: Duration,
    pub recalculate_interval: Duration,
    /// Blocks between two settings of weights; `None`: never set.
    pub update_tempo_blocks: Option<u32>,
    pub commit_reveal: CommitReveal,
}

/// How weights are committed where the subnet wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitReveal {
    /// Encrypted; the chain opens them by itself.
    Timelocked,
    /// By their hash, which we reveal an epoch later.
    Hash,
}

/// Who is listened to, and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct Security {
    /// Verified requests of one hotkey.
    pub rate_limit: RateLimit,
    /// Requests of one source address, before any crypto.
    pub source_limit: RateLimit,
    pub require_signed_handshake: bool,
}

/// At most so many requests in any such window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub window: Duration,
    pub max_requests: u32,
}

impl Role for Config {
    const NAME: &'static str = "validator";
    const ABOUT: &'static str =
        "Makes challenges for the workers of all miners, verifies them, scores, and sets weights on the chain";
    const FILES: &'static str = "hotkey, database, access token and CA of the marketplace";

    fn read(form: &mut Form) -> Config {
        let listen = SocketAddr::new(form.ip("host", ANY), shared::port(form, "port", 9091));
        let config = Config {
            listen,
            announce: announce(form, listen.port()),
            netuid: shared::netuid(form),
            subtensor: subtensor::read(form),
            sync_interval: form.seconds("metagraph.sync_interval", 60, 1.0..=DAY_S),
            wallet: wallet::read(form),
            logging: logging::daemon(form),
            store: store(form),
            validation: validation::read(form),
            scoring: scoring::read(form),
            meshhub: meshhub::read(form),
            leases: leases::read(form, "meshhub.ws_url"),
            weights: weights(form),
            security: security(form),
            metrics: shared::metrics(form),
            layers: Layers::default(),
        };
        relations(form, &config);
        validator_later::read(form);
        Config { layers: Layers::of(form), ..config }
    }

    fn logging(&self) -> &Logging {
        &self.logging
    }
}

pub(super) fn announce(form: &mut Form, listen_port: u16) -> Option<SocketAddr> {
    let ip = form.value("external_ip", Node::Null, "the IPv4 or IPv6 address that miners reach, or null", |node| {
        text_of(node)?.parse::<IpAddr>().ok().filter(|ip| !ip.is_unspecified() && !ip.is_multicast())
    });
    let port = form.value("external_port", Node::Null, "a whole number from 1 to 65535", |node| match node {
        Node::Whole(port @ 1..=65535) => u16::try_from(*port).ok(),
        _ => None,
    });
    if ip.is_none() {
        let text = "not set: the axon is not announced on the chain; miners find it only if it is announced already";
        form.warn("external_ip", text);
    }
    ip.map(|ip| SocketAddr::new(ip, port.unwrap_or(listen_port)))
}

fn store(form: &mut Form) -> Store {
    let allowed = "sqlite:///relative/path or sqlite:////absolute/path";
    let default = "sqlite:///./validator.db";
    let path = form.value("database.url", Node::Text(default.into()), allowed, |node| sqlite_path(&text_of(node)?));
    let days: u16 = form.whole("database.event_retention_days", 7, 1..=3650);
    Store {
        path: path.unwrap_or_else(|| PathBuf::from("./validator.db")),
        event_retention: Duration::from_secs(u64::from(days) * 86_400),
    }
}

/// `sqlite:///` and a path; a driver behind a `+` does not matter here.
fn sqlite_path(url: &str) -> Option<PathBuf> {
    let (scheme, path) = url.split_once(":///")?;
    let sqlite = scheme == "sqlite" || scheme.starts_with("sqlite+");
    let file = !path.is_empty() && !path.starts_with(":memory:") && !path.ends_with('/') && !path.contains(['?', '\0']);
    (sqlite && file).then(|| PathBuf::from(path))
}

fn weights(form: &mut Form) -> Weights {
    let hours: u16 = form.whole("weight_management.availability.window_hours", 169, 1..=8760);
    let tempo: u32 = form.whole("metagraph.weight_update_tempo", 105, 0..=1_000_000);
    Weights {
        availability_window: Duration::from_secs(u64::from(hours) * 3600),
        recalculate_interval: form.seconds("weight_management.recalculate_interval", 420, 0.1..=DAY_S),
        update_tempo_blocks: (tempo > 0).then_some(tempo),
        commit_reveal: commit_reveal(form),
    }
}

fn commit_reveal(form: &mut Form) -> CommitReveal {
    let words = [("timelocked", CommitReveal::Timelocked), ("hash", CommitReveal::Hash)];
    form.word("weights.commit_reveal", "timelocked", &words).unwrap_or(CommitReveal::Timelocked)
}

fn security(form: &mut Form) -> Security {
    Security {
        rate_limit: RateLimit {
            window: form.seconds("security.rate_limit.window_seconds", 30, 1.0..=3600.0),
            max_requests: form.whole("security.rate_limit.max_requests", 150, 1..=10_000_000),
        },
        source_limit: RateLimit {
            window: form.seconds("security.source_limit.window_seconds", 30, 1.0..=3600.0),
            max_requests: form.whole("security.source_limit.max_requests", 600, 1..=10_000_000),
        },
        require_signed_handshake: form.flag("security.require_signed_handshake", false),
    }
}

fn relations(form: &mut Form, config: &Config) {
    let set = !(config.announce.is_none() && form.is_set("external_port"));
    form.relation(set, "external_port", "external_ip", "left out unless external_ip is set");
    let long = config.validation.ranking_window >= config.validation.challenge_interval;
    let paths = ("validation.ranking_window_minutes", "validation.challenge_interval");
    form.relation(long, paths.0, paths.1, "at least validation.challenge_interval");
    let kept = config.store.event_retention >= config.validation.ranking_window;
    let paths = ("database.event_retention_days", "validation.ranking_window_minutes");
    form.relation(kept, paths.0, paths.1, "at least validation.ranking_window_minutes");
    scoring::relations(form, &config.scoring);
    mixed_work(form, config);
}

/// Under 1/time a bigger challenge costs its worker points: other kinds need a policy that counts work.
fn mixed_work(form: &mut Form, config: &Config) {
    let kind = config.validation.challenge_type;
    let one_size = matches!(kind, ChallengeType::CpuMatrix | ChallengeType::GpuMatrix);
    let fits = one_size || config.scoring.policy.counts_work();
    let (path, other) = ("scoring.policy", "validation.challenge_type");
    let allowed = format!(
        "throughput when {other} is {} (a policy of 1/time takes points for bigger challenges): set {path}: throughput",
        kind.name()
    );
    form.relation(fits, path, other, &allowed);
}
