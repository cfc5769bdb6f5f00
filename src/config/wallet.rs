//! `wallet.*`: which hotkey speaks.

use std::path::PathBuf;

use super::form::Form;

/// Where the hotkey lies, in Bittensor's layout: `<path>/<name>/hotkeys/<hotkey>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// As written; a leading `~` stands for the home directory.
    pub path: PathBuf,
    pub name: String,
    pub hotkey: String,
    /// A file whose first line is the password of an encrypted hotkey.
    pub password_file: Option<PathBuf>,
}

pub fn read(form: &mut Form) -> Wallet {
    Wallet {
        name: part(form, "wallet.name"),
        hotkey: part(form, "wallet.hotkey"),
        path: PathBuf::from(form.text_or("wallet.path", "~/.bittensor/wallets")),
        password_file: form.path("wallet.password_file"),
    }
}

/// One part of a path: no separators, no step upwards.
fn part(form: &mut Form, path: &'static str) -> String {
    let name = form.text_or(path, "default");
    if name.contains(['/', '\\', '\0']) || name == ".." || name == "." {
        form.problem(path, &format!("{name:?}"), "a name without path separators");
    }
    name
}
