//! `byteleap chain register --burned`: buys a hotkey a place in the subnet. The one command that needs a coldkey.
//!
//! The coldkey comes from a file that is named, its password from another or from the terminal; nothing is paid
//! without a yes to the price, typed or given as a limit. Neither key nor password is ever an argument.

use std::path::PathBuf;

use byteleap::{
    exit::Failure,
    machine::contract::chain::{ChainCall, Feature},
    spoke::chain::rpc::to_hex,
    units::{AccountId, Hotkey, Netuid},
    wallet::{self, WalletError},
    wire::keys::Keypair,
};
use serde_json::json;

use super::{
    Told, follow,
    node::{Node, Place, Who},
    table::Facts,
    terminal,
    which::Which,
};

/// The call that refuses a price over a limit; older runtimes have none.
const LIMITED: &str = "SubtensorModule.register_limit";

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
    /// Pay without asking when the price is not over this; where the runtime has register_limit, the chain holds to it
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
    let account = coldkey.account();
    let payer = coldkey.hotkey().clone();
    let mut node = Node::with_key(&options.place, settings, Some(coldkey))?;
    if let Some(neuron) = node.metagraph()?.neuron(&hotkey) {
        let uid = neuron.uid.0;
        let text = format!("hotkey {hotkey} is registered already, as uid {uid}; nothing was paid\n");
        return Ok(Told::new(text, json!({"hotkey": hotkey, "uid": uid, "paid_tao": 0, "block": null})));
    }
    let offer = offer(options, &mut node, &account)?;
    follow::say(offer.facts(node.netuid, &hotkey, &payer).to_string().trim_end());
    offer.agree(options.yes_at_most)?;
    let call = offer.call(node.netuid, &hotkey);
    let done = follow::through(&mut node, call)?;
    let left = node.chain().free_balance(&account).map_err(Failure::failed)?;
    let uid = node.metagraph()?.neuron(&hotkey).map(|neuron| neuron.uid.0);
    Ok(bought(&hotkey, uid, &done, (offer.balance, left)))
}

/// What a place costs, who is asked for it, and what the payer has. Amounts are in RAO.
struct Offer {
    which: Which,
    price: u64,
    balance: u64,
    /// What is paid at most.
    limit: u64,
    /// The runtime has a call that holds to the limit.
    is_held: bool,
}

fn offer(options: &Options, node: &mut Node, account: &AccountId) -> Result<Offer, Failure> {
    let preflight = node.preflight()?;
    if let Some(row) = preflight.broken(Feature::Register) {
        return Err(node.not_as_known(row));
    }
    let is_held = preflight.has(LIMITED);
    let netuid = node.netuid;
    let price = node.chain().price_of_a_place(netuid).map_err(Failure::failed)?;
    let balance = node.chain().free_balance(account).map_err(Failure::failed)?;
    let head = node.head()?;
    let which = node.which(&head)?;
    let limit = options.yes_at_most.map_or(price, |tao| (tao * RAO).round() as u64);
    Ok(Offer { which, price, balance, limit, is_held })
}

impl Offer {
    fn facts(&self, netuid: Netuid, hotkey: &Hotkey, payer: &Hotkey) -> Facts {
        let mut facts = Facts::of(format!("a place in subnet {}", netuid.0));
        self.which.tell(&mut facts);
        facts.add("hotkey", hotkey);
        facts.add("coldkey that pays", payer);
        facts.add("price now", in_tao(self.price));
        let limit = in_tao(self.limit);
        facts.add(
            "limit",
            match self.is_held {
                true => format!("{limit}; the chain refuses to take more"),
                false => format!("{limit} now; this runtime has no {LIMITED}, so a price that rises meanwhile is paid"),
            },
        );
        facts.add("balance", in_tao(self.balance));
        facts
    }

    /// Wants a yes to the price, typed or given as a limit.
    fn agree(&self, at_most: Option<f64>) -> Result<(), Failure> {
        let price = in_tao(self.price);
        if self.balance < self.price {
            let has = in_tao(self.balance);
            return Err(Failure::failed(format!("the coldkey has {has} and the place costs {price}: fund it")));
        }
        match at_most {
            Some(_) if self.price <= self.limit => Ok(()),
            Some(limit) => Err(Failure::failed(format!(
                "the place costs {price}, over the limit of {limit}: nothing was paid; raise --yes-at-most, or wait \
                 until the price has fallen"
            ))),
            None => match terminal::confirm("pay this? what is burned never comes back") {
                Ok(true) => Ok(()),
                Ok(false) => Err(Failure::failed("not registered: the answer was not yes")),
                Err(why) => {
                    let tao = self.price as f64 / RAO;
                    Err(Failure::failed(format!("{why}; --yes-at-most {tao} pays without asking")))
                }
            },
        }
    }

    fn call(&self, netuid: Netuid, hotkey: &Hotkey) -> ChainCall {
        let hotkey = hotkey.clone();
        match self.is_held {
            true => ChainCall::RegisterLimit { netuid, hotkey, limit_rao: self.limit },
            false => ChainCall::BurnedRegister { netuid, hotkey },
        }
    }
}

fn bought(hotkey: &Hotkey, uid: Option<u16>, done: &follow::Done, (before, left): (u64, u64)) -> Told {
    // it may have earned meanwhile
    let paid_tao = (before as f64 - left as f64) / RAO;
    let mut facts = Facts::of(format!("hotkey {hotkey}"));
    facts.add("registered", uid.map_or("yes".into(), |uid| format!("yes, as uid {uid}")));
    facts.add("final in block", done.block);
    facts.add("balance", format!("{}, {paid_tao:.9} less than before", in_tao(left)));
    let json = json!({
        "hotkey": hotkey,
        "uid": uid,
        "block": done.block,
        "extrinsic": to_hex(&done.hash),
        "paid_tao": paid_tao,
    });
    Told::new(facts, json)
}

fn in_tao(rao: u64) -> String {
    format!("{:.9} TAO", rao as f64 / RAO)
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

#[cfg(test)]
mod tests {
    use byteleap::machine::contract::chain::Head;

    use super::*;

    #[test]
    fn a_limit_is_left_to_the_chain_where_it_holds_to_one() {
        let hotkey = Hotkey::from_account(&[1; 32]);
        let head = Head {
            best: 9,
            finalized: 7,
            best_at: None,
            spec_version: 1,
            upgrading: false,
            genesis: [0; 32],
            chain: String::new(),
        };
        let offer = |is_held| {
            let which = Which::new(&head, "http://a:1", None).unwrap();
            Offer { which, price: 5, balance: 9, limit: 7, is_held }
        };
        let held = offer(true).call(Netuid(128), &hotkey);
        assert_eq!(held, ChainCall::RegisterLimit { netuid: Netuid(128), hotkey: hotkey.clone(), limit_rao: 7 });
        let loose = offer(false);
        let call = ChainCall::BurnedRegister { netuid: Netuid(128), hotkey: hotkey.clone() };
        assert_eq!(loose.call(Netuid(128), &hotkey), call);
        let told = loose.facts(Netuid(128), &hotkey, &hotkey).to_string();
        assert!(told.contains("this runtime has no SubtensorModule.register_limit"), "{told}");
    }
}
