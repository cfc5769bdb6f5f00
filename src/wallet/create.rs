//! A new hotkey on disk.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use bip39::Mnemonic;
use zeroize::Zeroizing;

use super::{WalletError, hotkey_path, keyfile, public_path};
use crate::{
    config::wallet::Wallet,
    units::{Hotkey, Secret},
};

/// What was made.
#[derive(Debug)]
pub struct Created {
    pub path: PathBuf,
    pub hotkey: Hotkey,
    /// Twelve words: whoever has them has the key.
    pub phrase: Secret,
}

/// Makes a hotkey of fresh randomness and writes it, unencrypted, for its owner alone (0600, directories
/// 0700). Never overwrites.
pub fn create(wallet: &Wallet) -> Result<Created, WalletError> {
    let path = hotkey_path(wallet)?;
    let public = public_path(&path);
    if let Some(taken) = [&path, &public].into_iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(WalletError::Exists { path: taken.clone() });
    }
    let phrase = phrase()?;
    let new = keyfile::new(&phrase).map_err(|source| WalletError::Keyfile { path: path.clone(), source })?;
    make_directory(&path)?;
    write(&path, new.text.as_bytes())?;
    write(&public, new.public_text.as_bytes())?;
    Ok(Created { path, hotkey: new.hotkey, phrase: Secret::new(phrase.to_string()) })
}

fn phrase() -> Result<Mnemonic, WalletError> {
    let mut entropy = Zeroizing::new([0; 16]);
    getrandom::fill(entropy.as_mut_slice()).map_err(WalletError::Randomness)?;
    // 16 bytes are one of the lengths that a mnemonic has.
    Mnemonic::from_entropy(entropy.as_slice()).map_err(|_| WalletError::Randomness(getrandom::Error::UNEXPECTED))
}

fn make_directory(file: &Path) -> Result<(), WalletError> {
    let Some(directory) = file.parent() else { return Ok(()) };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|source| WalletError::Unwritable { path: directory.to_owned(), source })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), WalletError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => WalletError::Exists { path: path.to_owned() },
        _ => WalletError::Unwritable { path: path.to_owned(), source },
    })?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|source| {
        // Half a key file is of no use; the next attempt must find the place free.
        let _ = fs::remove_file(path);
        WalletError::Unwritable { path: path.to_owned(), source }
    })
}
