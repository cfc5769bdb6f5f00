//! A node of the chain, as all subcommands ask it: from the common options to answers.

use std::{fs, path::PathBuf, time::Duration};

use byteleap::{
    config::{
        file::FileError,
        named_file::NamedFile,
        on_chain::{self, Given, OnChain},
        wallet::{Wallet, is_part},
    },
    daemon::chain::client,
    exit::Failure,
    machine::contract::chain::{
        ChainFault, ChainFaultKind, ChainReply, ChainRequest, Head, Metagraph, Neuron, Preflight, PreflightRow,
        Standing,
    },
    net::Clock,
    spoke::chain::{Chain, http::Http},
    units::{Hotkey, Mono, Netuid, Wall},
    wallet,
    wire::keys::Keypair,
};
use crossbeam::channel::{after, never};

use super::which::{self, Which};

/// A runtime is being replaced for one block; then it can be asked again.
const UPGRADE_WAIT: Duration = Duration::from_secs(6);
const UPGRADE_TRIES: usize = 4;

/// Which chain and which subnet; the same for every subcommand.
#[derive(clap::Args)]
pub struct Place {
    /// finney, test, local, or the URL of a node [default: finney]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,
    /// A node's URL in place of the network's own; again for further ones, in order of preference
    #[arg(long, value_name = "URL")]
    pub endpoint: Vec<String>,
    /// The subnet's number [default: 128]
    #[arg(long, value_name = "N")]
    pub netuid: Option<u16>,
    /// A validator's or miner's configuration: subtensor, netuid and wallet are taken from it
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One JSON object in place of text
    #[arg(long)]
    pub json: bool,
}

/// Whose hotkey.
#[derive(clap::Args)]
pub struct Who {
    /// Directory of all wallets
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Name of the wallet
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Name of the hotkey in the wallet; where nothing is signed, an SS58 address as well
    #[arg(long, value_name = "NAME|SS58")]
    hotkey: Option<String>,
    /// A file with the password of an encrypted hotkey
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Place {
    pub fn settings(&self) -> Result<OnChain, Failure> {
        let text = match &self.config {
            Some(path) => fs::read_to_string(path).map_err(|source| FileError::Unreadable {
                role: "daemon",
                path: path.clone(),
                source,
            })?,
            None => String::new(),
        };
        let given = Given { network: self.network.clone(), endpoints: self.endpoint.clone(), netuid: self.netuid };
        on_chain::read(&text, &given).map_err(|source| match &self.config {
            Some(path) => FileError::Invalid { path: path.clone(), source }.into(),
            None => Failure::config(source),
        })
    }
}

impl Place {
    /// The options that say the same again, for a command line that is proposed: what was given, and never a default
    /// that nobody named.
    fn again(&self, settings: &OnChain) -> String {
        let mut words = Vec::new();
        if let Some(path) = &self.config {
            words.push(format!("--config {}", quoted(&path.display().to_string())));
        }
        let named = self.network.as_ref().or(settings.subtensor.network.as_ref().filter(|_| self.config.is_none()));
        words.extend(named.map(|network| format!("--network {}", quoted(network))));
        words.extend(self.endpoint.iter().map(|url| format!("--endpoint {}", quoted(url))));
        if self.netuid.is_some() || self.config.is_none() {
            words.push(format!("--netuid {}", settings.netuid.0));
        }
        words.join(" ")
    }
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    match word.is_empty() || !word.chars().all(is_plain) {
        true => format!("'{}'", word.replace('\'', r"'\''")),
        false => word.to_owned(),
    }
}

impl Who {
    /// The wallet of the settings, or what the options say in place of it.
    pub fn wallet(&self, settings: &OnChain) -> Result<Wallet, Failure> {
        let mut wallet = settings.wallet.clone();
        for (given, part) in [(&self.name, &mut wallet.name), (&self.hotkey, &mut wallet.hotkey)] {
            if let Some(given) = given {
                if let Some(why) = no_name(given) {
                    return Err(Failure::config(why));
                }
                given.clone_into(part);
                wallet.file = None;
            }
        }
        if let Some(path) = &self.path {
            path.clone_into(&mut wallet.path);
            wallet.file = None;
        }
        wallet.password_file = self.password_file.clone().map(NamedFile::Path).or(wallet.password_file);
        Ok(wallet)
    }

    /// Whose hotkey it is, by its address or from the wallet. `None` when none was asked for and none is there.
    pub fn hotkey(&self, place: &Place, settings: &OnChain) -> Result<Option<Hotkey>, Failure> {
        if let Some(Ok(hotkey)) = self.hotkey.as_ref().map(|text| text.parse::<Hotkey>()) {
            return Ok(Some(hotkey));
        }
        let asked = place.config.is_some() || self.path.is_some() || self.name.is_some() || self.hotkey.is_some();
        match wallet::show(&self.wallet(settings)?) {
            Ok(shown) => Ok(Some(shown.hotkey)),
            Err(wallet::WalletError::Missing { .. }) if !asked => Ok(None),
            // nothing is signed with it: its address will do
            Err(why @ wallet::WalletError::Credential(_)) => {
                Err(Failure::config(format!("{why}; or give the hotkey's address: --hotkey SS58")))
            }
            Err(why) => Err(why.into()),
        }
    }
}

/// Why that cannot be a name in a wallet, if it cannot. An address is never one, also with a letter wrong.
fn no_name(given: &str) -> Option<String> {
    if given.parse::<Hotkey>().is_ok() {
        return Some(format!("{given} is an address, and this signs: give the name of the hotkey in the wallet"));
    }
    let like_an_address = (46..=49).contains(&given.len()) && given.chars().all(|c| c.is_ascii_alphanumeric());
    if like_an_address {
        return Some(format!(
            "{given} looks like an SS58 address, and its checksum does not agree: is a letter wrong?"
        ));
    }
    (!is_part(given)).then(|| format!("{given:?} is no name without path separators"))
}

/// The chain spoke, asked one thing at a time.
pub struct Node {
    chain: Chain<Http>,
    pub settings: OnChain,
    pub netuid: Netuid,
    /// See [`Place::again`].
    again: String,
    clock: Clock,
}

/// The node answered, and something else than was asked for.
pub fn unasked(asked: &str) -> Failure {
    Failure::failed(format!("{asked}: the answer is to another question"))
}

impl Node {
    /// To read only.
    pub fn reading(place: &Place, settings: OnChain) -> Result<Node, Failure> {
        Node::with_key(place, settings, None)
    }

    pub fn with_key(place: &Place, settings: OnChain, key: Option<Keypair>) -> Result<Node, Failure> {
        let again = place.again(&settings);
        let netuid = settings.netuid;
        // Nobody stops it: it ends with its answer.
        let chain = client(&settings.subtensor, key, never())?;
        Ok(Node { chain, settings, netuid, again, clock: Clock::start() })
    }

    pub fn now(&self) -> Wall {
        self.clock.wall()
    }

    pub fn mono(&self) -> Mono {
        self.clock.mono()
    }

    /// The spoke itself, for what no daemon asks.
    pub fn chain(&mut self) -> &mut Chain<Http> {
        &mut self.chain
    }

    pub fn ask(&mut self, request: &ChainRequest) -> Result<ChainReply, Failure> {
        self.try_ask(request).map_err(|fault| match fault.kind {
            // no further try helps
            ChainFaultKind::OtherChain => Failure::config(words(&fault)),
            _ => Failure::failed(words(&fault)),
        })
    }

    /// A runtime that is just being replaced is waited for.
    pub fn try_ask(&mut self, request: &ChainRequest) -> Result<ChainReply, ChainFault> {
        for _ in 1..UPGRADE_TRIES {
            match self.chain.serve(request.clone()) {
                ChainReply::Failed(fault) if fault.kind == ChainFaultKind::Upgrading => {
                    // it always comes
                    let _ = after(UPGRADE_WAIT).recv();
                }
                ChainReply::Failed(fault) => return Err(fault),
                reply => return Ok(reply),
            }
        }
        match self.chain.serve(request.clone()) {
            ChainReply::Failed(fault) => Err(fault),
            reply => Ok(reply),
        }
    }

    pub fn head(&mut self) -> Result<Head, Failure> {
        match self.ask(&ChainRequest::Head)? {
            ChainReply::Head(head) => Ok(head),
            _ => Err(unasked("head")),
        }
    }

    /// Which chain that head is of, by the node that answered last.
    pub fn which(&self, head: &Head) -> Result<Which, Failure> {
        let endpoint = self.chain.rpc().last_answered().unwrap_or_default();
        Which::new(head, endpoint, self.settings.subtensor.network.as_deref())
    }

    pub fn metagraph(&mut self) -> Result<Metagraph, Failure> {
        match self.ask(&ChainRequest::Metagraph(self.netuid))? {
            ChainReply::Metagraph(graph) => Ok(*graph),
            _ => Err(unasked("metagraph")),
        }
    }

    pub fn preflight(&mut self) -> Result<Preflight, Failure> {
        match self.ask(&ChainRequest::Preflight)? {
            ChainReply::Preflight(preflight) => Ok(*preflight),
            _ => Err(unasked("preflight")),
        }
    }

    /// Where a neuron's weights in a mechanism stand.
    pub fn standing(&mut self, mechanism: u8, of: &Neuron) -> Result<Standing, Failure> {
        let (netuid, uid, hotkey) = (self.netuid, of.uid, of.hotkey.clone());
        match self.ask(&ChainRequest::Standing { netuid, mechanism, uid, hotkey })? {
            ChainReply::Standing(standing) => Ok(*standing),
            _ => Err(unasked("standing")),
        }
    }

    pub fn not_registered(&self, hotkey: &Hotkey) -> Failure {
        let (netuid, run) = (self.netuid.0, self.to_register(hotkey));
        Failure::failed(format!("hotkey {hotkey}: registered in subnet {netuid}: no; run {run}"))
    }

    /// What a command needs is missing in the runtime, or has another shape.
    pub fn not_as_known(&self, row: &PreflightRow) -> Failure {
        let look = self.command("preflight");
        Failure::failed(format!("{} is not as this version knows it: {look} shows what; update byteleap", row.name))
    }

    pub fn to_register(&self, hotkey: &Hotkey) -> String {
        let place = &self.again;
        format!("`byteleap chain register --burned --hotkey {hotkey} {place} --coldkey-file FILE`")
    }

    /// A command line that is proposed, which reaches this chain and subnet again.
    pub fn command(&self, command: &str) -> String {
        format!("`byteleap chain {command} {}`", self.again)
    }
}

/// A fault in one line: what, why, what to do.
pub fn words(fault: &ChainFault) -> String {
    let remedy = match fault.kind {
        ChainFaultKind::OtherChain => Some(which::REMEDY),
        _ => fault.remedy,
    };
    let remedy = remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
    format!("{}: {}{remedy}", fault.asked, fault.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_no_name_of_a_hotkey_also_with_a_letter_wrong() {
        let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        assert!(no_name(alice).unwrap().contains("is an address"));
        assert!(no_name(&alice.replace("5Grwva", "5Grwvb")).unwrap().contains("is a letter wrong"));
        assert!(no_name("a/b").unwrap().contains("path separators"));
        assert_eq!(["default", "5GrwvaEF", "h0"].map(no_name), [None, None, None]);
    }
}
