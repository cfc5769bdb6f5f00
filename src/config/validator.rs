//! The validator's settings.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use super::{
    Role,
    form::{Form, text_of},
    logging::{self, Logging},
    shared::{self, ANY, DAY_S},
    subtensor::{self, Subtensor},
    validator_later,
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
    pub weights: Weights,
    pub security: Security,
    pub metrics: Option<SocketAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// As written, relative to the working directory when not absolute.
    pub path: PathBuf,
    /// How long heartbeats' details and challenges are kept.
    pub event_retention: Duration,
}

/// Challenges and their verification.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    pub challenge_interval: Duration,
    /// From the hand-out to the commitment.
    pub challenge_timeout: Duration,
    /// From the commitment to the proof.
    pub proof_timeout: Duration,
    pub ranking_window: Duration,
    /// 0.1 to 1.
    pub participation_rate_threshold: f64,
    pub verifiers: Verifiers,
    /// Proofs that may wait for a verifier.
    pub proof_queue_max: usize,
    pub cpu: CpuMatrix,
}

/// Threads that verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verifiers {
    Count(u16),
    /// One core is left to the rest of the daemon.
    AllCoresButOne,
}

impl Verifiers {
    /// Never 0.
    pub fn threads(self, cores: usize) -> usize {
        match self {
            Verifiers::Count(count) => usize::from(count).max(1),
            Verifiers::AllCoresButOne => cores.saturating_sub(1).max(1),
        }
    }
}

/// Challenges of the kind `cpu_matrix`.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuMatrix {
    /// Rows, 100 to 10,000.
    pub matrix_size: u32,
    /// Share by which a challenge's size may differ, 0 to 0.5.
    pub size_variance: f64,
    pub iterations: u32,
    /// Rows to recompute.
    pub row_count: u32,
    /// Share by which that number may differ, 0 to 1.
    pub row_count_variance: f64,
}

/// Scoring and what goes to the chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    pub policy: Policy,
    pub lease_weight: f64,
    /// `1 − lease_weight`.
    pub challenge_weight: f64,
    pub availability_window: Duration,
    pub recalculate_interval: Duration,
    /// Blocks between two settings of weights; `None`: never set.
    pub update_tempo_blocks: Option<u32>,
}

/// A named set of scoring rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Reference7030,
}

impl Policy {
    pub fn name(self) -> &'static str {
        match self {
            Policy::Reference7030 => "reference-70-30",
        }
    }
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
            validation: validation(form),
            weights: weights(form),
            security: security(form),
            metrics: shared::metrics(form),
        };
        relations(form, &config);
        validator_later::read(form);
        config
    }

    fn logging(&self) -> &Logging {
        &self.logging
    }
}

fn announce(form: &mut Form, listen_port: u16) -> Option<SocketAddr> {
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

fn validation(form: &mut Form) -> Validation {
    challenge_type(form);
    let window_minutes: u32 = form.whole("validation.ranking_window_minutes", 180, 1..=10_080);
    Validation {
        challenge_interval: form.seconds("validation.challenge_interval", 240, 0.1..=DAY_S),
        challenge_timeout: form.seconds("validation.challenge_timeout", 60, 0.1..=DAY_S),
        proof_timeout: form.seconds("validation.proof_timeout", 120, 0.1..=3600.0),
        ranking_window: Duration::from_secs(u64::from(window_minutes) * 60),
        participation_rate_threshold: form.number("validation.participation_rate_threshold", 0.8, 0.1..=1.0),
        verifiers: verifiers(form),
        proof_queue_max: form.whole("validation.proof_queue_max_size", 1000u16, 1..=10_000).into(),
        cpu: cpu(form),
    }
}

/// One kind so far; a file that asks for another must not run as if it had it.
fn challenge_type(form: &mut Form) {
    let allowed =
        "cpu_matrix (this version verifies no other kind; gpu_matrix, gemm_i8 and auto come with a later one)";
    let read = |node: &Node| text_of(node).filter(|kind| kind == "cpu_matrix");
    form.value("validation.challenge_type", Node::Text("cpu_matrix".into()), allowed, read);
}

fn verifiers(form: &mut Form) -> Verifiers {
    let allowed = "a whole number from 1 to 256, or -1 for all cores but one";
    let given = form.value("validation.verification_concurrent", Node::Whole(1), allowed, |node| match node {
        Node::Whole(-1) => Some(Verifiers::AllCoresButOne),
        Node::Whole(count @ 1..=256) => u16::try_from(*count).ok().map(Verifiers::Count),
        _ => None,
    });
    given.unwrap_or(Verifiers::Count(1))
}

fn cpu(form: &mut Form) -> CpuMatrix {
    CpuMatrix {
        matrix_size: form.whole("validation.cpu.matrix_size", 2000, 100..=10_000),
        size_variance: form.number("validation.cpu.size_variance", 0.1, 0.0..=0.5),
        iterations: form.whole("validation.cpu.iterations", 1, 1..=100),
        row_count: form.whole("validation.cpu.verification.row_verification_count", 50, 1..=10_000),
        row_count_variance: form.number("validation.cpu.verification.row_verification_count_variance", 0.5, 0.0..=1.0),
    }
}

fn weights(form: &mut Form) -> Weights {
    let hours: u16 = form.whole("weight_management.availability.window_hours", 169, 1..=8760);
    let tempo: u32 = form.whole("metagraph.weight_update_tempo", 105, 0..=1_000_000);
    Weights {
        policy: policy(form),
        lease_weight: form.number("weight_management.score_weights.lease_weight", 0.7, 0.0..=1.0),
        challenge_weight: form.number("weight_management.score_weights.challenge_weight", 0.3, 0.0..=1.0),
        availability_window: Duration::from_secs(u64::from(hours) * 3600),
        recalculate_interval: form.seconds("weight_management.recalculate_interval", 420, 0.1..=DAY_S),
        update_tempo_blocks: (tempo > 0).then_some(tempo),
    }
}

fn policy(form: &mut Form) -> Policy {
    let allowed = "reference-70-30 (the only policy of this version)";
    let read = |node: &Node| text_of(node).filter(|name| name == "reference-70-30").map(|_| Policy::Reference7030);
    let name = Policy::Reference7030.name();
    form.value("scoring.policy", Node::Text(name.into()), allowed, read).unwrap_or(Policy::Reference7030)
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
    let whole = (config.weights.lease_weight + config.weights.challenge_weight - 1.0).abs() < 1e-9;
    let paths = ("weight_management.score_weights.lease_weight", "weight_management.score_weights.challenge_weight");
    form.relation(whole, paths.0, paths.1, "1 less weight_management.score_weights.challenge_weight");
    if whole && config.weights.lease_weight != 0.7 {
        form.warn(paths.0, "differs from the policy reference-70-30; this file's weights are used");
    }
}
