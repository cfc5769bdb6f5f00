//! The upgrade from HTTP to WebSocket (RFC 6455, 4), both sides, as values.

use tungstenite::handshake::{client::generate_key, derive_accept_key};

use crate::{
    net::{
        Refusal,
        http_frame::{encode_request_head, has_token},
    },
    units::Secret,
    wire::http::{Headers, Request, Response},
};

fn refusal(status: u16, text: &str) -> Refusal {
    Refusal { status, text: text.into() }
}

/// The server's side: the bytes of the `101` answer, or why there is none.
pub fn accept_upgrade(request: &Request) -> Result<Vec<u8>, Refusal> {
    let headers = &request.headers;
    if request.method != "GET" {
        return Err(refusal(405, "a WebSocket begins with GET"));
    }
    if !has_token(headers, "connection", "upgrade") || !has_token(headers, "upgrade", "websocket") {
        return Err(refusal(426, "this port speaks WebSocket"));
    }
    if headers.get("sec-websocket-version") != Some("13") {
        return Err(refusal(426, "WebSocket version 13 is needed"));
    }
    let key = headers.get("sec-websocket-key").filter(|key| key.len() == 24);
    let key = key.ok_or_else(|| refusal(400, "Sec-WebSocket-Key is missing or no key"))?;
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    Ok(answer.into_bytes())
}

/// The client's side: one attempt, with its key.
#[derive(Debug)]
pub struct Upgrade {
    key: String,
}

impl Upgrade {
    pub fn start() -> Upgrade {
        Upgrade { key: generate_key() }
    }

    /// Appends the request. `host` as in the `Host` field, `path` with its leading slash.
    pub fn request(&self, host: &str, path: &str, bearer: Option<&Secret>, out: &mut Vec<u8>) {
        let mut headers = Headers::new();
        headers.push("host", host);
        headers.push("upgrade", "websocket");
        headers.push("connection", "Upgrade");
        headers.push("sec-websocket-version", "13");
        headers.push("sec-websocket-key", self.key.as_str());
        if let Some(token) = bearer {
            headers.push("authorization", format!("Bearer {}", token.reveal()));
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        encode_request_head("GET", &path, &headers, out);
    }

    /// Whether the server agreed; if not, why.
    pub fn check(&self, response: &Response) -> Result<(), String> {
        let headers = &response.headers;
        if response.status != 101 {
            let text: String = String::from_utf8_lossy(&response.body).trim().chars().take(200).collect();
            return Err(format!("upgrade refused: {} {text}", response.status).trim_end().to_owned());
        }
        if !has_token(headers, "upgrade", "websocket") || !has_token(headers, "connection", "upgrade") {
            return Err("upgrade answered without agreeing to it".into());
        }
        if headers.get("sec-websocket-accept") != Some(&derive_accept_key(self.key.as_bytes())) {
            return Err("upgrade answered with a wrong Sec-WebSocket-Accept".into());
        }
        match headers.get("sec-websocket-extensions").or(headers.get("sec-websocket-protocol")) {
            Some(unasked) => Err(format!("upgrade agreed to {unasked:?}, which was not offered")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::http_frame::{Item, RequestReader, ResponseReader};

    fn request(bytes: &[u8]) -> Request {
        let mut reader = RequestReader::new(4096, |_| 0);
        reader.push(bytes);
        match reader.read() {
            Ok(Some(Item::Request(incoming))) => incoming.request,
            other => panic!("{other:?}"),
        }
    }

    fn response(bytes: &[u8]) -> Response {
        let mut reader = ResponseReader::new(4096, 100);
        reader.push(bytes);
        reader.read().unwrap().unwrap()
    }

    fn asked(upgrade: &Upgrade) -> Vec<u8> {
        let mut bytes = vec![];
        upgrade.request("miner:7799", "", Some(&Secret::new("t0ken".into())), &mut bytes);
        bytes
    }

    #[test]
    fn both_sides_agree() {
        let upgrade = Upgrade::start();
        let request = request(&asked(&upgrade));
        assert_eq!(request.headers.get("authorization"), Some("Bearer t0ken"));
        assert_eq!(request.target, "/");
        let answer = accept_upgrade(&request).unwrap();
        assert_eq!(upgrade.check(&response(&answer)), Ok(()));
        assert!(Upgrade::start().check(&response(&answer)).is_err());
    }

    #[test]
    fn the_accept_key_is_the_one_of_the_rfc() {
        let bytes = b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
        let answer = String::from_utf8(accept_upgrade(&request(bytes)).unwrap()).unwrap();
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(!answer.contains("deflate"));
    }

    #[test]
    fn what_is_no_upgrade_is_told_so() {
        let status = |bytes: &[u8]| accept_upgrade(&request(bytes)).unwrap_err().status;
        assert_eq!(status(b"GET / HTTP/1.1\r\n\r\n"), 426);
        assert_eq!(status(b"PUT / HTTP/1.1\r\n\r\n"), 405);
        let old = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n\r\n";
        assert_eq!(status(old), 426);
        let keyless =
            b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n";
        assert_eq!(status(keyless), 400);
    }

    #[test]
    fn a_refusal_says_status_and_text() {
        let answer = response(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\nno token\n");
        assert_eq!(Upgrade::start().check(&answer), Err("upgrade refused: 401 no token".into()));
    }
}
