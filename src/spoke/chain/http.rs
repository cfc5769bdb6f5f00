//! JSON-RPC over HTTP POST to real nodes, one or several.
//!
//! Runs on the chain spoke's thread, the only place where ureq is used. Owns the connections and the pace of requests.
//! Never takes longer than its deadline for one batch of calls, whatever the number of endpoints; never reads more than
//! its limit, never follows a redirect, never uses what another chain answered, and leaves when to ask again to
//! whoever asked. A stop ends its waiting at once.

use std::time::{Duration, Instant};

use crossbeam::channel::{self, Receiver, RecvTimeoutError, TryRecvError};
use rand_chacha::ChaCha20Rng;
use serde_json::json;
use ureq::{Agent, Proxy, http::HeaderMap};

use super::{
    answer,
    endpoints::{Endpoints, Failure},
    envelope::{Outcome, read_answers},
    node::Node,
    rpc::{Call, NodeError, Rpc, RpcError, another_chain, request_text, to_hex},
};
use crate::units::Mono;

/// A node's answer may be this long. Real ones reach 15 MB.
pub const ANSWER_BYTES_MAX: u64 = 32 << 20;

/// An endpoint that lies stalled is looked at again after this time.
const STALLED_REST: Duration = Duration::from_secs(60);

/// Nodes behind HTTP endpoints, in order of preference.
pub struct Http {
    agent: Agent,
    nodes: Vec<Node>,
    endpoints: Endpoints,
    started: Instant,
    deadline: Duration,
    answer_bytes_max: u64,
    /// Of the one chain that is asked: configured, or the first that was seen.
    genesis: Option<[u8; 32]>,
    /// Whose answers were used last.
    last: Option<usize>,
    /// Disconnects when we stop.
    stop: Receiver<()>,
}

/// What one endpoint said.
enum Said {
    Answers(Vec<Outcome>),
    /// Answers that are not of the present: for use when nobody has better ones.
    Stale(Vec<Outcome>),
    Strange([u8; 32]),
}

/// Why an endpoint did not answer, and for how long it wants to be left alone.
struct Silence {
    failure: Failure,
    why: String,
    rest: Duration,
}

fn lost(why: impl ToString) -> Silence {
    Silence { failure: Failure::Unreachable, why: why.to_string(), rest: Duration::ZERO }
}

impl Http {
    /// `deadline` holds for one batch of calls, all endpoints together.
    #[expect(clippy::disallowed_methods, reason = "no turn of the loop hands this thread a time")]
    pub fn new(urls: Vec<String>, deadline: Duration, jitter: ChaCha20Rng) -> Http {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None::<Proxy>)
            .user_agent(concat!("byteleap/", env!("CARGO_PKG_VERSION")))
            .build();
        Http {
            agent: config.into(),
            endpoints: Endpoints::new(urls.len(), jitter),
            nodes: urls.into_iter().map(Node::new).collect(),
            started: Instant::now(),
            deadline,
            answer_bytes_max: ANSWER_BYTES_MAX,
            genesis: None,
            last: None,
            stop: channel::never(),
        }
    }

    /// Refuses answers longer than `bytes`.
    pub fn answer_bytes_max(mut self, bytes: u64) -> Http {
        self.answer_bytes_max = bytes;
        self
    }

    /// Speaks with that chain alone; without it, with the chain of the first endpoint that answers.
    pub fn genesis(mut self, genesis: Option<[u8; 32]>) -> Http {
        self.genesis = genesis;
        self
    }

    /// Asks each endpoint at most once in that time; without it, public ones once a second.
    pub fn request_interval(mut self, interval: Option<Duration>) -> Http {
        for node in &mut self.nodes {
            node.interval = interval.unwrap_or(node.interval);
        }
        self
    }

    /// Asks nobody any more, and waits for nothing, once the other end of `stop` is gone.
    pub fn until(mut self, stop: Receiver<()>) -> Http {
        self.stop = stop;
        self
    }

    /// The endpoint whose answers were used last.
    pub fn last_answered(&self) -> Option<&str> {
        Some(self.label(self.last?))
    }

    fn now(&self) -> Mono {
        Mono::default() + self.started.elapsed()
    }

    /// Waits until that endpoint may be asked.
    fn pace(&mut self, place: usize, interval: Duration) -> Result<(), RpcError> {
        let now = self.now();
        match self.stop.recv_timeout(self.endpoints.pace(place, now, interval)) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(RpcError::Stopped),
        }
    }

    /// One request to one endpoint. When it is due, it is asked in the same breath which chain it is of and how far.
    fn ask(&mut self, place: usize, calls: &[Call], patience: Duration) -> Result<Said, Silence> {
        let due = self.endpoints.is_due(place, self.now());
        let looks = [Call::new("chain_getBlockHash", json!([0])), Call::new("chain_getHeader", json!([]))];
        let asked: Vec<_> = calls.iter().chain(looks.iter().filter(|_| due)).cloned().collect();
        let Some(node) = self.nodes.get(place) else { return Err(lost("no such endpoint")) };
        let mut answers = self.post(&node.url, &asked, patience)?;
        if answers.iter().any(|answer| answer.as_ref().is_err_and(NodeError::is_rate_limit)) {
            return Err(Silence { failure: Failure::RateLimited, ..lost("error -32999, its limit of requests") });
        }
        let looked = answers.split_off(calls.len().min(answers.len()));
        match looked.as_slice() {
            [genesis, header] => self.judge(place, answers, genesis, header),
            _ => Ok(Said::Answers(answers)),
        }
    }

    fn post(&self, url: &str, calls: &[Call], patience: Duration) -> Result<Vec<Outcome>, Silence> {
        let request = self.agent.post(url).header("content-type", "application/json");
        let request = request.config().timeout_global(Some(patience)).build();
        let mut response = request.send(request_text(calls)).map_err(lost)?;
        match response.status().as_u16() {
            200 => {}
            429 => {
                let rest = retry_after(response.headers());
                return Err(Silence { failure: Failure::RateLimited, rest, ..lost("HTTP status 429") });
            }
            status => return Err(lost(format!("HTTP status {status}"))),
        }
        let limited = response.body_mut().with_config().limit(self.answer_bytes_max);
        let text = limited.read_to_vec().map_err(lost)?;
        read_answers(&text, calls.len()).map_err(lost)
    }

    /// Whether answers are used depends on whose they are.
    fn judge(
        &mut self,
        place: usize,
        answers: Vec<Outcome>,
        genesis: &Outcome,
        header: &Outcome,
    ) -> Result<Said, Silence> {
        let genesis = genesis.as_ref().map_err(|why| lost(format!("does not say which chain it is of: {why}")))?;
        let genesis = answer::hash("chain_getBlockHash", genesis).map_err(lost)?;
        if self.genesis.is_some_and(|ours| ours != genesis) {
            return Ok(Said::Strange(genesis));
        }
        if self.genesis.is_none() {
            log::info!(
                target: "chain",
                "this is the chain of genesis {}, as {} says; name it as subtensor.genesis to hold on to it",
                to_hex(&genesis),
                self.label(place)
            );
            self.genesis = Some(genesis);
        }
        let header = header.as_ref().map_err(|why| lost(format!("does not say its best block: {why}")))?;
        let number = answer::header_number(header).map_err(lost)?;
        let now = self.now();
        Ok(match self.endpoints.heard(place, number, now) {
            (Some(why), _) => {
                let news = self.endpoints.failed(place, now, Failure::Stalled, STALLED_REST);
                let level = if news { log::Level::Warn } else { log::Level::Debug };
                log::log!(
                    target: "chain",
                    level,
                    "endpoint {} lies stalled: {why}; see whether it is in sync with the network{}",
                    self.label(place),
                    self.or_another()
                );
                Said::Stale(answers)
            }
            (None, recovers) => {
                if recovers {
                    log::info!(target: "chain", "endpoint {} follows the chain again", self.label(place));
                }
                Said::Answers(answers)
            }
        })
    }

    /// The advice for whoever has all on one card.
    fn or_another(&self) -> &'static str {
        if self.nodes.len() == 1 { ", or add a second one to subtensor.endpoints" } else { "" }
    }

    fn label(&self, place: usize) -> &str {
        self.nodes.get(place).map_or("?", |node| &node.label)
    }

    fn answered(&mut self, place: usize) {
        self.last = Some(place);
        if self.endpoints.worked(place) {
            log::info!(target: "chain", "endpoint {} answers again", self.label(place));
        }
    }

    /// Notes why an endpoint did not answer; what was said before is not said again.
    fn fell_silent(&mut self, place: usize, calls: &[Call], silence: Silence) -> RpcError {
        let Silence { failure, why, rest } = silence;
        let now = self.now();
        let news = self.endpoints.failed(place, now, failure, rest);
        let level = if news { log::Level::Warn } else { log::Level::Debug };
        let endpoint = self.label(place).to_owned();
        let advice = match failure {
            Failure::RateLimited => "ask less often (subtensor.request_interval), or run a node of your own",
            Failure::Unreachable | Failure::Stalled => "see whether it runs and can be reached from here",
        };
        let or_another = self.or_another();
        log::log!(
            target: "chain", level, "endpoint {endpoint} did not answer {}: {why}; {advice}{or_another}", names(calls)
        );
        match failure {
            Failure::RateLimited => RpcError::RateLimited { endpoint },
            Failure::Unreachable | Failure::Stalled => RpcError::Unreachable { endpoint, why },
        }
    }

    fn is_strange(&mut self, place: usize, seen: [u8; 32]) -> RpcError {
        self.endpoints.is_strange(place, seen);
        let why = another_chain(&seen, &self.genesis.unwrap_or_default());
        let endpoint = self.label(place).to_owned();
        log::error!(target: "chain", "endpoint {endpoint}: {why}; it is not asked again before a restart: correct subtensor.endpoints or subtensor.genesis");
        match self.endpoints.all_strange() {
            Some(_) => self.other_chain(place, seen),
            // Another may answer yet: whoever asks must not take this for the last word.
            None => RpcError::Unreachable { endpoint, why },
        }
    }

    fn other_chain(&self, place: usize, seen: [u8; 32]) -> RpcError {
        RpcError::OtherChain { endpoint: self.label(place).into(), seen, expected: self.genesis.unwrap_or_default() }
    }

    /// Why there is nobody to ask.
    fn nobody(&self) -> RpcError {
        match self.endpoints.all_strange() {
            Some((place, seen)) => self.other_chain(place, seen),
            None => {
                let rest_s = self.endpoints.shortest_rest(self.now()).as_secs() + 1;
                RpcError::RateLimited { endpoint: format!("every endpoint, for {rest_s} s more") }
            }
        }
    }
}

impl Rpc for Http {
    fn batch(&mut self, calls: &[Call]) -> Result<Vec<Outcome>, RpcError> {
        let until = self.now() + self.deadline;
        let order = self.endpoints.order(self.now());
        let (mut error, mut stale) = (self.nobody(), None);
        for (index, place) in order.iter().copied().enumerate() {
            let later = order.get(index + 1..).unwrap_or_default();
            self.pace(place, self.nodes.get(place).map_or(Duration::ZERO, |node| node.interval))?;
            let left = until.since(self.now());
            if left.is_zero() {
                break;
            }
            // Who comes later has a share of the time, too.
            let patience = if later.is_empty() { left } else { left / 2 };
            match self.ask(place, calls, patience) {
                Ok(Said::Answers(answers)) => {
                    self.answered(place);
                    return Ok(answers);
                }
                Ok(Said::Stale(answers)) => {
                    stale.get_or_insert((place, answers));
                    if !self.endpoints.any_healthy(later, self.now()) {
                        break;
                    }
                }
                Ok(Said::Strange(seen)) => error = self.is_strange(place, seen),
                Err(silence) => error = self.fell_silent(place, calls, silence),
            }
            if self.stop.try_recv() != Err(TryRecvError::Empty) {
                return Err(RpcError::Stopped);
            }
        }
        let (place, answers) = stale.ok_or(error)?;
        self.last = Some(place);
        Ok(answers)
    }
}

/// How long a node wants to be left alone; in the one form that nodes use, seconds.
fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

fn names(calls: &[Call]) -> String {
    let names: Vec<_> = calls.iter().map(|call| call.method).collect();
    names.join(" + ")
}
