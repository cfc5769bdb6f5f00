//! A node of the chain, as all subcommands ask it: from the common options to answers.

use std::{fs, path::PathBuf, time::Duration};

use byteleap::{
    config::{
        file::FileError,
        on_chain::{self, Given, OnChain},
        subtensor::name_of,
        wallet::{Wallet, is_part},
    },
    daemon::chain::client,
    exit::Failure,
    machine::contract::chain::{
        ChainFault, ChainFaultKind, ChainReply, ChainRequest, Head, Metagraph, Neuron, Preflight, Standing,
    },
    net::Clock,
    spoke::chain::{Chain, http::Http, rpc::to_hex},
    units::{Hotkey, Mono, Netuid, Wall},
    wallet,
    wire::keys::Keypair,
};
use crossbeam::channel::{after, never};

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

impl Who {
    /// The wallet of the settings, or what the options say in place of it.
    pub fn wallet(&self, settings: &OnChain) -> Result<Wallet, Failure> {
        let mut wallet = settings.wallet.clone();
        for (given, part) in [(&self.name, &mut wallet.name), (&self.hotkey, &mut wallet.hotkey)] {
            if let Some(given) = given {
                if !is_part(given) {
                    return Err(Failure::config(format!("{given:?} is no name without path separators")));
                }
                given.clone_into(part);
                wallet.file = None;
            }
        }
        if let Some(path) = &self.path {
            path.clone_into(&mut wallet.path);
            wallet.file = None;
        }
        wallet.password_file = self.password_file.clone().or(wallet.password_file);
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
            Err(why) => Err(why.into()),
        }
    }
}

/// The chain spoke, asked one thing at a time.
pub struct Node {
    chain: Chain<Http>,
    pub settings: OnChain,
    pub netuid: Netuid,
    clock: Clock,
}

/// The node answered, and something else than was asked for.
pub fn unasked(asked: &str) -> Failure {
    Failure::failed(format!("{asked}: the answer is to another question"))
}

impl Node {
    /// To read only.
    pub fn reading(settings: OnChain) -> Result<Node, Failure> {
        Node::with_key(settings, None)
    }

    pub fn with_key(settings: OnChain, key: Option<Keypair>) -> Result<Node, Failure> {
        let netuid = settings.netuid;
        // Nobody stops it: it ends with its answer.
        let chain = client(&settings.subtensor, key, never())?;
        Ok(Node { chain, settings, netuid, clock: Clock::start() })
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
        self.try_ask(request).map_err(|fault| Failure::failed(words(&fault)))
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
        let (netuid, options) = (self.netuid.0, self.options());
        let run = format!("`byteleap chain register --burned --hotkey {hotkey} {options} --coldkey-file FILE`");
        Failure::failed(format!("hotkey {hotkey}: registered in subnet {netuid}: no; run {run}"))
    }

    /// The options that name this chain and subnet again, for a command line that is proposed.
    pub fn options(&self) -> String {
        let OnChain { subtensor, netuid, .. } = &self.settings;
        format!("{} --netuid {}", subtensor.options(), netuid.0)
    }

    /// The endpoint that the last answer is from.
    pub fn endpoint(&self) -> Option<&str> {
        self.chain.rpc().last_answered()
    }
}

/// The chain, by what the node says of it and not by what the operator calls it.
pub fn chain_of(head: &Head) -> String {
    let known = name_of(&head.genesis).map(|name| format!(", {name}")).unwrap_or_default();
    format!("{} (genesis {}{known})", head.chain, to_hex(&head.genesis))
}

/// A fault in one line: what, why, what to do.
pub fn words(fault: &ChainFault) -> String {
    let remedy = fault.remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
    format!("{}: {}{remedy}", fault.asked, fault.text)
}
