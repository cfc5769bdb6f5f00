//! `byteleap wallet new|show`: hotkeys in Bittensor's layout. It never asks for a coldkey.

use std::path::PathBuf;

use byteleap::{
    config::{
        named_file::NamedFile,
        wallet::{DEFAULT_NAME, DEFAULT_PATH, Wallet},
    },
    exit::Failure,
    wallet::{self, WalletError},
};

use crate::print;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make a new hotkey; prints its SS58 address
    New {
        #[command(flatten)]
        place: Place,
        /// Also print the twelve words that the key can be made again from. Whoever reads them has the key
        #[arg(long)]
        print_mnemonic: bool,
    },
    /// Print a hotkey's SS58 address and where it lies
    Show {
        #[command(flatten)]
        place: Place,
        /// A file with the password of an encrypted hotkey
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

/// Where the hotkey lies: PATH/NAME/hotkeys/HOTKEY.
#[derive(clap::Args)]
struct Place {
    /// Directory of all wallets
    #[arg(long, default_value = DEFAULT_PATH)]
    path: PathBuf,
    /// Name of the wallet
    #[arg(long, default_value = DEFAULT_NAME, value_parser = part)]
    name: String,
    /// Name of the hotkey
    #[arg(long, default_value = DEFAULT_NAME, value_parser = part)]
    hotkey: String,
}

fn part(text: &str) -> Result<String, &'static str> {
    let good = byteleap::config::wallet::is_part(text);
    good.then(|| text.to_owned()).ok_or("a name without path separators")
}

impl Place {
    fn wallet(self, password_file: Option<PathBuf>) -> Wallet {
        Wallet {
            path: self.path,
            name: self.name,
            hotkey: self.hotkey,
            file: None,
            password_file: password_file.map(NamedFile::Path),
        }
    }
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let text = match arguments.command {
        Command::New { place, print_mnemonic } => new(&place.wallet(None), print_mnemonic),
        Command::Show { place, password_file } => show(&place.wallet(password_file)),
    };
    print::line(&text.map_err(Failure::config)?).map_err(Failure::failed)
}

fn new(wallet: &Wallet, print_mnemonic: bool) -> Result<String, WalletError> {
    let created = wallet::create(wallet)?;
    let mut text = format!("{}\n{}", created.hotkey, created.path.display());
    if print_mnemonic {
        text = format!("{text}\n{}", created.phrase.reveal());
    }
    Ok(text)
}

fn show(wallet: &Wallet) -> Result<String, WalletError> {
    let shown = wallet::show(wallet)?;
    let encrypted = if shown.encrypted { " (encrypted)" } else { "" };
    Ok(format!("{}\n{}{encrypted}", shown.hotkey, shown.path.display()))
}
