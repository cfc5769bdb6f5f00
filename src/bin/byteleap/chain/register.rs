//! `byteleap chain register --burned`: buys a hotkey a place in the subnet. The one command that needs a coldkey.
//!
//! The coldkey comes from a file that is named, its password from another or from the terminal; nothing is paid
//! without a yes to the price, typed or given as a limit. Neither key nor password is ever an argument.

use std::path::PathBuf;

use byteleap::{
    exit::Failure,
    machine::contract::chain::{ChainCall, Feature},
    spoke::chain::rpc::to_hex,
    wallet::{self, WalletError},
    wire::keys::Keypair,
};
use serde_json::json;

use super::{
    Told, follow,
    node::{Node, Place, Who, chain_of},
    table::Facts,
    terminal,
};

/// RAO in a TAO.
const RAO: f64 = 1e9;

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub who: Who,
    /// By burning its price, the only way that is offered here
    #[arg(long, required = true)]
    burned: bool,
    /// The coldkey that pays, e.g. ~/.bittensor/wallets/NAME/coldkey
    #[arg(long, value_name = "FILE")]
    coldkey_file: PathBuf,
    /// A file with the coldkey's password; without it, it is asked for on the terminal
    #[arg(long, value_name = "FILE")]
    coldkey_password_file: Option<PathBuf>,
    /// Pay without asking when the price is not over this
    #[arg(long, value_name = "TAO", value_parser = tao)]
    yes_at_most: Option<f64>,
}

fn tao(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|tao| (0.0..=21e6).contains(tao)).ok_or("TAO from 0 to 21000000")
}

pub fn tell(options: &Options) -> Result<Told, Failure> {
    let settings = options.place.settings()?;
    let hotkey = options.who.hotkey(&options.place, &settings)?;
    let hotkey = hotkey.ok_or_else(|| {
        Failure::config("register which hotkey? --hotkey, or `byteleap wallet new` makes the default one")
    })?;
    let coldkey = coldkey(options)?;
    let payer = coldkey.hotkey().clone();
    let account = coldkey.account();
    let mut node = Node::with_key(settings, Some(coldkey))?;
    if let Some(neuron) = node.metagraph()?.neuron(&hotkey) {
        let uid = neuron.uid.0;
        let text = format!("hotkey {hotkey} is registered already, as uid {uid}; nothing was paid\n");
        return Ok(Told::new(text, json!({"hotkey": hotkey, "uid": uid, "paid_tao": 0, "block": null})));
    }
    if let Some(row) = node.preflight()?.broken(Feature::Register) {
        return Err(Failure::failed(format!("{} is not as this version knows it: byteleap chain preflight", row.name)));
    }
    let netuid = node.netuid;
    let price = node.chain().price_of_a_place(netuid).map_err(Failure::failed)? as f64 / RAO;
    let balance = node.chain().free_balance(&account).map_err(Failure::failed)? as f64 / RAO;
    let head = node.head()?;
    let mut offer = Facts::of(format!("a place in subnet {}", netuid.0));
    offer.add("chain", chain_of(&head));
    offer.add("node", node.endpoint().unwrap_or("-"));
    offer.add("hotkey", &hotkey);
    offer.add("coldkey that pays", payer);
    offer.add("price now", format!("{price:.9} TAO"));
    offer.add("balance", format!("{balance:.9} TAO"));
    follow::say(offer.to_string().trim_end());
    agree(options, price, balance)?;
    let done = follow::through(&mut node, ChainCall::BurnedRegister { netuid, hotkey: hotkey.clone() })?;
    let left = node.chain().free_balance(&account).map_err(Failure::failed)? as f64 / RAO;
    let graph = node.metagraph()?;
    let uid = graph.neuron(&hotkey).map(|neuron| neuron.uid.0);
    let mut facts = Facts::of(format!("hotkey {hotkey}"));
    facts.add("registered", uid.map_or("yes".into(), |uid| format!("yes, as uid {uid}")));
    facts.add("final in block", done.block);
    facts.add("balance", format!("{left:.9} TAO, {:.9} less than before", balance - left));
    let json = json!({
        "hotkey": hotkey,
        "uid": uid,
        "block": done.block,
        "extrinsic": to_hex(&done.hash),
        "paid_tao": balance - left,
    });
    Ok(Told::new(facts, json))
}

fn coldkey(options: &Options) -> Result<Keypair, Failure> {
    let path = &options.coldkey_file;
    let password = || match &options.coldkey_password_file {
        Some(file) => wallet::password(file),
        None => terminal::password(&format!("password of {}: ", path.display()))
            .map_err(|source| WalletError::Coldkey { path: path.clone(), source }),
    };
    Ok(wallet::load_coldkey(path, password)?)
}

/// Wants a yes to the price, and money for it.
fn agree(options: &Options, price: f64, balance: f64) -> Result<(), Failure> {
    if balance < price {
        return Err(Failure::failed(format!(
            "the coldkey has {balance:.9} TAO and the place costs {price:.9}: fund it"
        )));
    }
    match options.yes_at_most {
        Some(limit) if price <= limit => Ok(()),
        Some(limit) => Err(Failure::failed(format!("the place costs {price:.9} TAO, over the limit of {limit}"))),
        None => {
            match terminal::confirm("pay this? what is burned never comes back, and the price may move meanwhile") {
                Ok(true) => Ok(()),
                Ok(false) => Err(Failure::failed("not registered: the answer was not yes")),
                Err(why) => Err(Failure::failed(format!("{why}; --yes-at-most {price} pays without asking"))),
            }
        }
    }
}
