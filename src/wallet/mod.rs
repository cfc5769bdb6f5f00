//! Hotkeys on disk, in Bittensor's layout: `<path>/<name>/hotkeys/<hotkey>`.
//!
//! Read once at start, written by the operator's tool. Daemons read hotkeys alone; the tool opens a coldkey's file
//! when it is named, to buy a place in the subnet. It holds no key longer than a call, prints none, and overwrites
//! no file.

mod create;
pub mod keyfile;
mod nacl;

use std::{
    io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

pub use create::{Created, create};
pub use keyfile::KeyfileError;

use crate::{
    config::{
        file::{self, FileError, from_home},
        wallet::{FILE_KEY, PASSWORD_KEY, Wallet},
    },
    units::{Hotkey, Secret},
    wire::keys::Keypair,
};

/// Why there is no hotkey.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    #[error("no hotkey at {}; {remedy}", path.display())]
    Missing { path: PathBuf, remedy: String },
    #[error("cannot read the hotkey {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the hotkey {} is encrypted; wallet.password_file must name a file with its password", path.display())]
    Encrypted { path: PathBuf },
    #[error("cannot read the password file {}", path.display())]
    PasswordFile { path: PathBuf, source: io::Error },
    #[error("the password file {} holds no text", path.display())]
    NoPassword { path: PathBuf },
    #[error("cannot read the coldkey {}", path.display())]
    Coldkey { path: PathBuf, source: io::Error },
    #[error("the key file {} does not open", path.display())]
    Keyfile { path: PathBuf, source: KeyfileError },
    #[error("{} exists already; nothing was written", path.display())]
    Exists { path: PathBuf },
    #[error("cannot write {}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Credential(#[from] FileError),
    #[error("the system gave no random bytes: {0}")]
    Randomness(getrandom::Error),
}

/// What a key file says of itself without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub path: PathBuf,
    pub hotkey: Hotkey,
    pub encrypted: bool,
}

/// The key pair of the wallet's hotkey.
pub fn load(wallet: &Wallet) -> Result<Keypair, WalletError> {
    let path = hotkey_path(wallet)?;
    let bytes = read(&path, wallet)?;
    let text = if nacl::is_encrypted(&bytes) { decrypt(&path, wallet, &bytes)? } else { bytes };
    keyfile::keypair(&text).map_err(|source| WalletError::Keyfile { path, source })
}

/// The key pair of a coldkey's file. `password` is asked when it is encrypted.
pub fn load_coldkey(
    path: &Path,
    password: impl FnOnce() -> Result<Secret, WalletError>,
) -> Result<Keypair, WalletError> {
    let path = from_home(path);
    let bytes = file::secret(&path).map_err(|source| WalletError::Coldkey { path: path.clone(), source })?;
    let damaged = |source| WalletError::Keyfile { path: path.clone(), source };
    let is_encrypted = nacl::is_encrypted(&bytes);
    let text = if is_encrypted { nacl::open(&bytes, password()?.reveal().as_bytes()).map_err(damaged)? } else { bytes };
    keyfile::keypair(&text).map_err(damaged)
}

/// Whose hotkey it is. For an encrypted one the public file beside it answers when no password is given.
pub fn show(wallet: &Wallet) -> Result<Shown, WalletError> {
    let path = hotkey_path(wallet)?;
    let encrypted = nacl::is_encrypted(&read(&path, wallet)?);
    if !encrypted || wallet.password_file.is_some() {
        let hotkey = load(wallet)?.hotkey().clone();
        return Ok(Shown { path, hotkey, encrypted });
    }
    let public = public_path(&path);
    let text = file::public(&public).map_err(|_| WalletError::Encrypted { path: path.clone() })?;
    let hotkey = keyfile::public(&text).map_err(|source| WalletError::Keyfile { path: public, source })?;
    Ok(Shown { path, hotkey, encrypted })
}

/// Where the hotkey lies.
pub fn hotkey_path(wallet: &Wallet) -> Result<PathBuf, WalletError> {
    if let Some(file) = &wallet.file {
        return Ok(file::locate(FILE_KEY, file)?);
    }
    Ok(from_home(&wallet.path).join(&wallet.name).join("hotkeys").join(&wallet.hotkey))
}

/// `<hotkey>pub.txt`, the public half that Bittensor's tools write beside a hotkey.
fn public_path(hotkey: &Path) -> PathBuf {
    let mut name = hotkey.as_os_str().to_owned();
    name.push("pub.txt");
    name.into()
}

fn read(path: &Path, wallet: &Wallet) -> Result<Zeroizing<Vec<u8>>, WalletError> {
    file::secret(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => WalletError::Missing { path: path.to_owned(), remedy: remedy(wallet) },
        _ => WalletError::Unreadable { path: path.to_owned(), source },
    })
}

/// What makes a missing hotkey, or names it: a file of its own is not the tool's to make.
fn remedy(wallet: &Wallet) -> String {
    match wallet.file {
        Some(_) => "wallet.file must name a key file".into(),
        None => {
            let (path, name, hotkey) = (wallet.path.display(), &wallet.name, &wallet.hotkey);
            format!("`byteleap wallet new --path {path} --name {name} --hotkey {hotkey}` makes one")
        }
    }
}

fn decrypt(path: &Path, wallet: &Wallet, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, WalletError> {
    let password_file = wallet.password_file.as_ref().ok_or(WalletError::Encrypted { path: path.to_owned() })?;
    let password = password(&file::locate(PASSWORD_KEY, password_file)?)?;
    let opened = nacl::open(bytes, password.reveal().as_bytes());
    opened.map_err(|source| WalletError::Keyfile { path: path.to_owned(), source })
}

/// The first line of a password file.
pub fn password(path: &Path) -> Result<Secret, WalletError> {
    let path = from_home(path);
    let bytes = file::secret(&path).map_err(|source| WalletError::PasswordFile { path: path.clone(), source })?;
    match str::from_utf8(&bytes).ok().and_then(|text| text.lines().next()) {
        Some(line) if !line.is_empty() => Ok(Secret::new(line.to_owned())),
        _ => Err(WalletError::NoPassword { path }),
    }
}

#[cfg(test)]
mod tests;
