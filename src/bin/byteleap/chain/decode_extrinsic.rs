//! `byteleap chain decode-extrinsic`: what the bytes of an extrinsic say, by the chain's own metadata.
//!
//! With `--metadata FILE` no node is asked. The signature is shown and not checked.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use byteleap::{
    exit::Failure,
    spoke::chain::{
        extrinsic::{self, Era, Parsed, Signed},
        hash::blake2_256,
        metadata::Metadata,
        rpc::to_hex,
    },
    units::Hotkey,
};
use serde_json::{Map, Value, json};

use super::{
    Told,
    node::{Node, Place},
    table::Facts,
};

/// An extrinsic fills a block at most.
const HEX_BYTES_MAX: u64 = 32 << 20;

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub place: Place,
    /// The bytes in hex, 0x or not; without it, or with -, they are read from standard input
    #[arg(value_name = "HEX")]
    extrinsic: Option<String>,
    /// By the runtime that executed this block, in place of the present one
    #[arg(long, value_name = "N", conflicts_with = "metadata")]
    at: Option<u64>,
    /// By metadata in this file, as a node hands it out, raw or in hex; no node is asked
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,
}

pub fn tell(options: &Options) -> Result<Told, Failure> {
    let bytes = hex(&given(options).map_err(Failure::failed)?).map_err(Failure::config)?;
    match &options.metadata {
        Some(path) => decode(&from_file(path)?, &bytes),
        None => {
            let mut node = Node::reading(&options.place, options.place.settings()?)?;
            let runtime = node.chain().runtime_of(options.at).map_err(Failure::failed)?;
            decode(&runtime.metadata, &bytes)
        }
    }
}

fn given(options: &Options) -> io::Result<String> {
    match options.extrinsic.as_deref() {
        Some(hex) if hex != "-" => Ok(hex.to_owned()),
        _ => {
            let mut text = String::new();
            io::stdin().lock().take(HEX_BYTES_MAX).read_to_string(&mut text)?;
            Ok(text)
        }
    }
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.trim();
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    if digits.is_empty() {
        return Err("no extrinsic: its bytes in hex are an argument or come on standard input".into());
    }
    hex::decode(digits).map_err(|why| format!("the extrinsic is no hex: {why}"))
}

/// Raw metadata begins with `meta`; anything else is its hex.
fn from_file(path: &Path) -> Result<Metadata, Failure> {
    let fault = |why: String| Failure::config(format!("{}: {why}", path.display()));
    let bytes = fs::read(path).map_err(|why| fault(why.to_string()))?;
    let bytes = match bytes.starts_with(b"meta") {
        true => bytes,
        false => {
            let text = str::from_utf8(&bytes).map_err(|_| fault("neither metadata nor hex".into()))?;
            let digits = text.trim().trim_matches('"');
            hex::decode(digits.strip_prefix("0x").unwrap_or(digits)).map_err(|why| fault(why.to_string()))?
        }
    };
    Metadata::parse(&bytes).map_err(|why| fault(why.to_string()))
}

fn decode(metadata: &Metadata, bytes: &[u8]) -> Result<Told, Failure> {
    let parsed = extrinsic::parse(metadata, bytes).map_err(Failure::failed)?;
    let (signed, call) = match &parsed {
        Parsed::Bare { call } => (Value::Null, call),
        Parsed::Signed(of) => (signature(of), &of.call),
    };
    let (name, arguments) = metadata.call_shown(call).map_err(Failure::failed)?;
    let mut facts = Facts::of(&name);
    arguments.iter().for_each(|(name, value)| facts.add(name, plain(value)));
    let json = json!({
        "hash": to_hex(&blake2_256(bytes)),
        "bytes": bytes.len(),
        "signed": signed,
        "call": name,
        "arguments": arguments.into_iter().collect::<Map<_, _>>(),
    });
    Ok(Told::new(format!("{facts}\n{}", about(&json)), json))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn signature(of: &Signed<'_>) -> Value {
    // the era of an extrinsic by itself says a block within its period, not which one of the chain
    let era = of.era.map(|era: Era| json!({"period": era.last(0) - era.birth(0) + 1, "phase": era.birth(0)}));
    json!({
        "by": Hotkey::from_account(&of.signer),
        "signature": to_hex(&of.signature),
        "nonce": of.nonce,
        "era": era,
    })
}

/// All but the call.
fn about(json: &Value) -> Facts {
    let mut about = Facts::of("extrinsic");
    about.add("hash", plain(&json["hash"]));
    about.add("bytes", &json["bytes"]);
    let signed = &json["signed"];
    if signed.is_null() {
        about.add("signed", "no: the block's author put it there");
    } else {
        about.add("signed by", plain(&signed["by"]));
        about.add("signature", plain(&signed["signature"]));
        about.add("nonce", &signed["nonce"]);
        let era = &signed["era"];
        about.add(
            "era",
            match era.is_null() {
                true => "immortal".to_owned(),
                false => format!("{0} blocks, from block n × {0} + {1}", era["period"], era["phase"]),
            },
        );
    }
    about
}
