//! Recordings as values. They are test data: whatever is not as expected here panics.

use std::{fs, path::PathBuf};

use byteleap::wire::{
    http::{Headers, Request, Response},
    keys::Keypair,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

pub fn data<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&fs::read_to_string(path(name)).unwrap()).unwrap()
}

/// The key pair of a name in `wallets.json`.
pub fn keypair(name: &str) -> Keypair {
    let wallets: Value = data("wallets.json");
    Keypair::from_mnemonic(wallets[name]["hot_mnemonic"].as_str().unwrap()).unwrap()
}

fn headers(fields: &[httparse::Header<'_>]) -> Headers {
    let mut headers = Headers::new();
    for field in fields {
        headers.push(field.name, String::from_utf8(field.value.to_vec()).unwrap());
    }
    headers
}

pub fn request(file: &str) -> Request {
    let bytes = fs::read(path("synapse_http").join(file)).unwrap();
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut fields);
    let length = head.parse(&bytes).unwrap().unwrap();
    Request {
        method: head.method.unwrap().into(),
        target: head.path.unwrap().into(),
        headers: headers(head.headers),
        body: bytes[length..].to_vec(),
    }
}

pub fn response(file: &str) -> Response {
    let bytes = fs::read(path("synapse_http").join(file)).unwrap();
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let length = head.parse(&bytes).unwrap().unwrap();
    Response { status: head.code.unwrap(), headers: headers(head.headers), body: bytes[length..].to_vec() }
}

pub fn body(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}
