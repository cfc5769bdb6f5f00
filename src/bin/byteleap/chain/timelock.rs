//! `byteleap chain timelock`: weights encrypted to a round of drand, made and opened by hand. No node is asked.
//!
//! What `seal` makes is what the chain takes as a commitment; the beacon is drand's quicknet, which real chains
//! follow, unless another public key is given.

use byteleap::{
    exit::Failure,
    spoke::chain::{
        rpc::{from_bare_hex, to_hex},
        timelock::{self, Beacon, Payload},
    },
    units::{Hotkey, Uid},
};
use parity_scale_codec::{Decode, Encode};
use serde_json::json;

use super::{Told, table::Facts};

#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
    /// One JSON object in place of text
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(clap::Subcommand)]
enum What {
    /// Encrypt weights to a round
    Seal(Seal),
    /// Open a commitment with the pulse of its round
    Open(Open),
}

#[derive(clap::Args)]
struct Seal {
    /// Whose weights
    #[arg(long)]
    hotkey: Hotkey,
    /// UID:WEIGHT, by uid, with commas between
    #[arg(long, value_delimiter = ',', value_parser = weight)]
    weights: Vec<(Uid, u16)>,
    #[arg(long)]
    version_key: u64,
    /// The round whose pulse opens it
    #[arg(long)]
    round: u64,
    /// Of the beacon, 96 bytes in hex [default: drand's quicknet]
    #[arg(long)]
    public_key: Option<String>,
}

#[derive(clap::Args)]
struct Open {
    /// The commitment's bytes in hex
    commit: String,
    /// The signature that the beacon published for the round, in hex
    #[arg(long)]
    pulse: String,
}

pub fn tell(options: &Options) -> Result<Told, Failure> {
    match &options.what {
        What::Seal(seal) => sealed(seal),
        What::Open(open) => opened(open),
    }
}

fn weight(text: &str) -> Result<(Uid, u16), String> {
    let pair = text.split_once(':').and_then(|(uid, weight)| Some((Uid(uid.parse().ok()?), weight.parse().ok()?)));
    pair.ok_or_else(|| "expected UID:WEIGHT, e.g. 3:65535".into())
}

fn sealed(of: &Seal) -> Result<Told, Failure> {
    let key = match &of.public_key {
        Some(key) => hex("--public-key", key)?,
        None => Beacon::quicknet().public_key,
    };
    let account = of.hotkey.account().map_err(Failure::config)?;
    let payload = Payload::new(&account, &of.weights, of.version_key).encode();
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|why| Failure::failed(format!("no randomness from the system: {why}")))?;
    let commit = to_hex(&timelock::seal(&payload, of.round, &key, seed).map_err(Failure::failed)?);
    Ok(Told::new(format!("{commit}\n"), json!({"commit": commit, "round": of.round})))
}

fn opened(of: &Open) -> Result<Told, Failure> {
    let bytes = timelock::open(&hex("the commitment", &of.commit)?, &hex("--pulse", &of.pulse)?);
    let bytes = bytes.map_err(Failure::failed)?;
    let payload = Payload::decode(&mut &*bytes)
        .map_err(|_| Failure::failed(format!("it opens, and holds no weights: {}", to_hex(&bytes))))?;
    let hotkey = <[u8; 32]>::try_from(payload.hotkey.as_slice()).map(|account| Hotkey::from_account(&account));
    let hotkey = hotkey.map_err(|_| Failure::failed("it opens, and its hotkey has not 32 bytes"))?;
    let weights: Vec<_> = payload.uids.iter().zip(&payload.values).collect();
    let text = weights.iter().map(|(uid, weight)| format!("{uid}:{weight}")).collect::<Vec<_>>().join(",");
    let mut facts = Facts::of("commitment");
    facts.add("hotkey", &hotkey);
    facts.add("weights", text);
    facts.add("version key", payload.version_key);
    Ok(Told::new(facts, json!({"hotkey": hotkey, "weights": weights, "version_key": payload.version_key})))
}

fn hex(what: &str, text: &str) -> Result<Vec<u8>, Failure> {
    from_bare_hex(text).ok_or_else(|| Failure::config(format!("{what} is no hex")))
}
