//! JSON-RPC over HTTP POST to real nodes, one or several.
//!
//! Runs on the chain spoke's thread, the only place where ureq is used. Owns the connections. Never waits
//! longer than its deadline for one endpoint, never reads more than its limit, never follows a redirect, and
//! leaves when to ask again to whoever asked.

use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use serde_json::Value as Json;
use ureq::{Agent, Proxy};

use super::{
    endpoints::{Endpoints, Failure},
    rpc::{Call, NodeError, Rpc, RpcError, read_answers, request_text},
};
use crate::units::Mono;

/// A node's answer may be this long. Real ones reach 15 MB.
pub const ANSWER_BYTES_MAX: u64 = 32 << 20;

/// One call to one endpoint may take this long, from connect to last byte.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Where a node is, and how logs call it: paths and queries of paid endpoints hold keys.
struct Node {
    url: String,
    label: String,
}

impl Node {
    fn new(url: String) -> Node {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", &url));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        Node { label: format!("{scheme}://{host}"), url }
    }
}

/// Nodes behind HTTP endpoints, in order of preference.
pub struct Http {
    agent: Agent,
    nodes: Vec<Node>,
    endpoints: Endpoints,
    started: Instant,
    answer_bytes_max: u64,
}

impl Http {
    /// `timeout` holds for one request to one endpoint.
    #[expect(clippy::disallowed_methods, reason = "no turn of the loop hands this thread a time")]
    pub fn new(urls: Vec<String>, timeout: Duration, jitter: ChaCha20Rng) -> Http {
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None::<Proxy>)
            .user_agent(concat!("byteleap/", env!("CARGO_PKG_VERSION")))
            .build();
        let endpoints = Endpoints::new(urls.len(), jitter);
        let nodes = urls.into_iter().map(Node::new).collect();
        let started = Instant::now();
        Http { agent: config.into(), nodes, endpoints, started, answer_bytes_max: ANSWER_BYTES_MAX }
    }

    /// Refuses answers longer than `bytes`.
    pub fn answer_bytes_max(mut self, bytes: u64) -> Http {
        self.answer_bytes_max = bytes;
        self
    }

    fn now(&self) -> Mono {
        Mono::default() + self.started.elapsed()
    }

    /// One request to one endpoint.
    fn ask(&self, url: &str, body: &str, count: usize) -> Result<Vec<Result<Json, NodeError>>, (Failure, String)> {
        let lost = |why: String| (Failure::Unreachable, why);
        let request = self.agent.post(url).header("content-type", "application/json");
        let mut response = request.send(body).map_err(|why| lost(why.to_string()))?;
        match response.status().as_u16() {
            200 => {}
            429 => return Err((Failure::RateLimited, "HTTP status 429".into())),
            status => return Err(lost(format!("HTTP status {status}"))),
        }
        let limited = response.body_mut().with_config().limit(self.answer_bytes_max);
        let text = limited.read_to_vec().map_err(|why| lost(why.to_string()))?;
        let answers = read_answers(&text, count).map_err(lost)?;
        if answers.iter().any(|answer| answer.as_ref().is_err_and(NodeError::is_rate_limit)) {
            return Err((Failure::RateLimited, "rate limit".into()));
        }
        Ok(answers)
    }
}

impl Rpc for Http {
    fn batch(&mut self, calls: &[Call]) -> Result<Vec<Result<Json, NodeError>>, RpcError> {
        let body = request_text(calls);
        let mut last = RpcError::RateLimited { endpoint: "every endpoint".into() };
        for place in self.endpoints.order(self.now()) {
            let Some(node) = self.nodes.get(place) else { continue };
            match self.ask(&node.url, &body, calls.len()) {
                Ok(answers) => {
                    self.endpoints.worked(place);
                    return Ok(answers);
                }
                Err((failure, why)) => {
                    log::warn!(target: "chain", "endpoint {} did not answer {}: {why}", node.label, names(calls));
                    last = error(failure, &node.label, why);
                    self.endpoints.failed(place, self.now(), failure);
                }
            }
        }
        Err(last)
    }
}

fn error(failure: Failure, label: &str, why: String) -> RpcError {
    match failure {
        Failure::Unreachable => RpcError::Unreachable { endpoint: label.into(), why },
        Failure::RateLimited => RpcError::RateLimited { endpoint: label.into() },
    }
}

fn names(calls: &[Call]) -> String {
    let names: Vec<_> = calls.iter().map(|call| call.method).collect();
    names.join(" + ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_an_url_is_not_logged() {
        let label = |url: &str| Node::new(url.into()).label;
        assert_eq!(label("https://user:pass@node.example:443/v1/secret?key=1"), "https://node.example:443");
        assert_eq!(label("http://127.0.0.1:9944"), "http://127.0.0.1:9944");
    }
}
