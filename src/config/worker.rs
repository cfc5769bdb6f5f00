//! The worker's settings.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use super::{
    Role,
    form::{Form, text_of},
    logging::{self, Logging},
    named_file::NamedFile,
    shared::{self, DAY_S},
    yaml::Node,
};
use crate::units::WorkerId;

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Shown to people; the host's name when `None`.
    pub name: Option<String>,
    /// Made from the machine's identity when `None`.
    pub id: Option<WorkerId>,
    pub miner: MinerUrl,
    /// A file with the token that the miner asks for.
    pub token_file: Option<NamedFile>,
    /// First wait before another attempt; it doubles, with jitter.
    pub reconnect_interval: Duration,
    pub ping_interval: Duration,
    /// Longer than `ping_interval`.
    pub ping_timeout: Duration,
    pub heartbeat_interval: Duration,
    pub system_info_interval: Duration,
    /// Each once, at least one.
    pub capabilities: Vec<Capability>,
    /// For a task that names no timeout.
    pub default_task_timeout: Duration,
    /// Threads of a CPU task; all cores when `None`.
    pub cpu_threads: Option<usize>,
    pub gpu: Gpu,
    pub logging: Logging,
    pub metrics: Option<shared::Metrics>,
}

/// The GPUs and the program that computes on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    pub enable: bool,
    /// Whether the worker starts the executor and looks after it; else somebody else does.
    pub auto_start: bool,
    /// `None`: ours, beside the worker's own executable.
    pub binary: Option<PathBuf>,
    /// `None`: in a private directory of this run; with `auto_start` off [`Gpu::USUAL_SOCKET`].
    pub socket: Option<PathBuf>,
}

impl Gpu {
    /// Where the reference implementation has it.
    pub const USUAL_SOCKET: &str = "/tmp/gpu_tensor.sock";
    /// Longest path of a Unix socket: `sun_path` without its NUL.
    pub const SOCKET_BYTES: usize = 107;
}

/// A kind of challenge that a worker can compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    CpuMatrix,
    /// Only through an executor that signs.
    GpuMatrix,
    GemmI8,
}

impl Capability {
    pub const ALL: [Capability; 3] = [Capability::CpuMatrix, Capability::GpuMatrix, Capability::GemmI8];

    /// As the network calls it.
    pub fn name(self) -> &'static str {
        match self {
            Capability::CpuMatrix => "cpu_matrix",
            Capability::GpuMatrix => "gpu_matrix",
            Capability::GemmI8 => "gemm_i8",
        }
    }

    pub fn of(name: &str) -> Option<Capability> {
        Capability::ALL.into_iter().find(|capability| capability.name() == name)
    }
}

/// `ws://host[:port][/path]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinerUrl {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// Starts with `/`.
    pub path: String,
}

impl MinerUrl {
    /// For the `Host` header.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

const ONE_A_KIND: &str = "a worker does one task per compute kind at a time";

impl Role for Config {
    const NAME: &'static str = "worker";
    const ABOUT: &'static str = "Computes challenges on this host for its miner, and reports the hardware";
    const FILES: &'static str = "token, gpu.binary_path, gpu.socket_path";

    fn read(form: &mut Form) -> Config {
        let config = Config {
            name: form.text("worker_name"),
            id: worker_id(form),
            miner: miner_url(form),
            token_file: shared::token_file(form, "token_file"),
            reconnect_interval: form.seconds("reconnect_interval", 5, 0.1..=DAY_S),
            ping_interval: form.seconds("ping_interval", 15, 0.1..=DAY_S),
            ping_timeout: form.seconds("ping_timeout", 30, 0.1..=DAY_S),
            heartbeat_interval: form.seconds("heartbeat_interval", 30, 0.1..=DAY_S),
            system_info_interval: form.seconds("system_info_interval", 60, 0.1..=DAY_S),
            capabilities: capabilities(form),
            default_task_timeout: form.seconds("default_task_timeout", 300, 0.1..=DAY_S),
            cpu_threads: cpu_threads(form),
            gpu: gpu(form),
            logging: logging::worker(form),
            metrics: shared::metrics(form),
        };
        let longer = config.ping_timeout > config.ping_interval;
        form.relation(longer, "ping_timeout", "ping_interval", "more than ping_interval");
        something_to_offer(form, &config);
        form.replaced("max_concurrent_tasks", Node::Whole(2), ONE_A_KIND);
        config
    }

    fn logging(&self) -> &Logging {
        &self.logging
    }
}

fn capabilities(form: &mut Form) -> Vec<Capability> {
    let all = Capability::ALL.map(|capability| Node::Text(capability.name().into()));
    let allowed = "a list of cpu_matrix, gpu_matrix and gemm_i8, at least one";
    let given = form.value("capabilities", Node::List(all.to_vec()), allowed, capabilities_of);
    given.unwrap_or_else(|| Capability::ALL.to_vec())
}

/// `gpu_matrix` alone needs an executor that signs: ours does not, and without GPUs there is none.
fn something_to_offer(form: &mut Form, config: &Config) {
    let Gpu { enable, auto_start, binary, .. } = &config.gpu;
    let alone = config.capabilities == [Capability::GpuMatrix];
    let allowed = "with gpu_matrix alone there is nothing to offer where gpu.enable is false: set it to true, or add \
                   cpu_matrix or gemm_i8";
    form.relation(!alone || *enable, "capabilities", "gpu.enable", allowed);
    let allowed = "with gpu_matrix alone there is nothing to offer, for our own executor signs nothing: name the vendor's \
                   executor in gpu.binary_path, or add cpu_matrix or gemm_i8";
    let signs = !auto_start || binary.is_some();
    form.relation(!alone || !enable || signs, "capabilities", "gpu.binary_path", allowed);
}

fn capabilities_of(node: &Node) -> Option<Vec<Capability>> {
    let Node::List(items) = node else { return None };
    let named = items.iter().map(|item| Capability::of(&text_of(item)?)).collect::<Option<BTreeSet<_>>>()?;
    (!named.is_empty()).then(|| named.into_iter().collect())
}

fn gpu(form: &mut Form) -> Gpu {
    Gpu {
        enable: form.flag("gpu.enable", true),
        auto_start: form.flag("gpu.auto_start", true),
        binary: form.path("gpu.binary_path"),
        socket: socket(form),
    }
}

fn socket(form: &mut Form) -> Option<PathBuf> {
    let allowed = "a path of at most 107 bytes, as the kernel has it for sockets, which names no directory";
    let path = form.value("gpu.socket_path", Node::Null, allowed, |node| {
        let text = text_of(node)?;
        (text.len() <= Gpu::SOCKET_BYTES && !text.ends_with('/')).then(|| PathBuf::from(text))
    })?;
    if path.is_relative() {
        let text = "is relative: another place in each working directory; name the whole path";
        form.warn("gpu.socket_path", text);
    }
    Some(path)
}

fn worker_id(form: &mut Form) -> Option<WorkerId> {
    let allowed = "1 to 64 letters, digits, '.', '_' or '-'; left out, it is made from the machine's identity";
    form.value("worker_id", Node::Null, allowed, |node| {
        let text = text_of(node)?;
        let plain = text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        plain.then(|| WorkerId::new(&text))
    })
}

fn cpu_threads(form: &mut Form) -> Option<usize> {
    form.value("cpu.threads", Node::Null, "a whole number from 1 to 1024; left out, all cores", |node| match node {
        Node::Whole(threads @ 1..=1024) => usize::try_from(*threads).ok(),
        _ => None,
    })
}

fn miner_url(form: &mut Form) -> MinerUrl {
    let allowed = "ws://host:port (no TLS: across the internet put the worker and its miner into one private network)";
    let default = "ws://127.0.0.1:7799";
    let given = form.value("miner_url", Node::Text(default.into()), allowed, |node| url_of(&text_of(node)?));
    given.unwrap_or_else(|| MinerUrl { host: "127.0.0.1".into(), port: 7799, path: "/".into() })
}

fn url_of(text: &str) -> Option<MinerUrl> {
    let rest = text.strip_prefix("ws://")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => authority.find(':').map_or((authority, ""), |colon| authority.split_at(colon)),
    };
    let port = if port.is_empty() { 80 } else { port.strip_prefix(':')?.parse().ok()? };
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && !"@#\"<>\\".contains(c));
    let good = !host.is_empty() && host.len() <= 253 && plain(host) && plain(path) && port != 0;
    good.then(|| MinerUrl { host: host.into(), port, path: path.into() })
}
