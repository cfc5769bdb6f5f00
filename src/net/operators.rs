//! The operators' door: what may be asked on it, and by whom. The loop asks its machine and answers.
//!
//! Reads only: nothing that is asked here changes anything. Where there is a token, only `/healthz` answers without it:
//! that the loop turns is no secret.

use crate::{
    metrics::{self, Page},
    net::http_server::error_response,
    units::Secret,
    wire::http::{Headers, Request, Response, bears},
};

const PLAIN: &str = "text/plain; charset=utf-8";

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// `/healthz`: does the loop turn?
    Health,
    /// `/metrics`: for Prometheus.
    Metrics,
}

/// What a request asks for, if it may; `Err` is the answer to it.
pub(super) fn asked(request: &Request, token: Option<&Secret>) -> Result<Asked, Response> {
    let path = request.target.split('?').next().unwrap_or_default();
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Err(error_response(405, "only GET and HEAD are served here"));
    }
    if path == "/healthz" {
        return Ok(Asked::Health);
    }
    if token.is_some_and(|token| !bears(request.headers.get("authorization"), token)) {
        let mut refusal = error_response(
            401,
            "no bearer token, or not the right one: send `Authorization: Bearer TOKEN`, the text of metrics.token_file",
        );
        refusal.headers.push("www-authenticate", "Bearer");
        return Err(refusal);
    }
    match path {
        "/metrics" => Ok(Asked::Metrics),
        _ => Err(error_response(404, "only /metrics and /healthz are here")),
    }
}

pub(super) fn alive() -> Response {
    text(200, PLAIN, "ok\n".into())
}

pub(super) fn metrics(page: &Page) -> Response {
    text(200, metrics::CONTENT_TYPE, page.render())
}

fn text(status: u16, content_type: &str, body: String) -> Response {
    let mut headers = Headers::new();
    headers.push("content-type", content_type);
    Response { status, headers, body: body.into_bytes() }
}
