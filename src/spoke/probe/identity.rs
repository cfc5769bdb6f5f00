//! Who this machine is: a worker id that survives restarts and reinstalls of the worker.
//!
//! Read once, at start, by the thread that starts everything. It writes nothing: an id that cannot be made from
//! the machine has to be configured.

use std::{env::consts, fs, path::Path};

use sha2::{Digest, Sha256};
use sysinfo::System;

use crate::units::WorkerId;

/// The machine gives nothing that an id could be made of.
#[derive(Debug, thiserror::Error)]
#[error("this machine has neither a machine id nor a network card to make a worker id from: set worker_id")]
pub struct IdentityError;

/// 16 hex digits made from the machine id, the first network card's address and the platform.
pub fn worker_id() -> Result<WorkerId, IdentityError> {
    let machine = ["/etc/machine-id", "/var/lib/dbus/machine-id"].into_iter().find_map(|path| line_of(Path::new(path)));
    made_from(machine.as_deref(), card_address(Path::new("/sys/class/net")).as_deref())
}

/// What people call this machine.
pub fn host_name() -> Option<String> {
    System::host_name()
}

fn made_from(machine: Option<&str>, card: Option<&str>) -> Result<WorkerId, IdentityError> {
    if machine.is_none() && card.is_none() {
        return Err(IdentityError);
    }
    let mut hasher = Sha256::new();
    for part in ["byteleap worker", machine.unwrap_or(""), card.unwrap_or(""), consts::OS, consts::ARCH] {
        hasher.update(part);
        hasher.update([0]);
    }
    let digits = hex::encode(hasher.finalize());
    Ok(WorkerId::new(&digits[..16]))
}

/// The address of the first card by name; one with hardware behind it before one without.
fn card_address(cards: &Path) -> Option<String> {
    let mut found: Vec<(bool, String, String)> = fs::read_dir(cards)
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|card| {
            let address = line_of(&card.path().join("address"))?;
            let real = address.bytes().any(|byte| byte.is_ascii_hexdigit() && byte != b'0');
            let is_virtual = !card.path().join("device").exists();
            real.then(|| (is_virtual, card.file_name().to_string_lossy().into_owned(), address))
        })
        .collect();
    found.sort();
    found.into_iter().next().map(|(_, _, address)| address)
}

/// A file's text when it is one line that is not empty.
fn line_of(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.trim();
    (!line.is_empty() && line.lines().count() == 1 && line != "uninitialized").then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(cards: &Path, name: &str, address: &str, hardware: bool) {
        fs::create_dir_all(cards.join(name)).unwrap();
        fs::write(cards.join(name).join("address"), format!("{address}\n")).unwrap();
        if hardware {
            fs::create_dir(cards.join(name).join("device")).unwrap();
        }
    }

    #[test]
    fn an_id_is_sixteen_digits_and_the_same_every_time() {
        let id = made_from(Some("m"), Some("c")).unwrap();
        assert_eq!(id.as_str().len(), 16);
        assert!(id.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(made_from(Some("m"), Some("c")).unwrap(), id);
        assert_ne!(made_from(Some("m"), None).unwrap(), id);
        assert_ne!(made_from(None, Some("c")).unwrap(), id);
    }

    #[test]
    fn a_machine_without_any_mark_has_no_id() {
        assert!(made_from(None, None).is_err());
    }

    #[test]
    fn the_first_real_card_marks_the_machine() {
        let cards = tempfile::tempdir().unwrap();
        card(cards.path(), "lo", "00:00:00:00:00:00", false);
        card(cards.path(), "docker0", "02:42:00:00:00:01", false);
        assert_eq!(card_address(cards.path()).as_deref(), Some("02:42:00:00:00:01"));
        card(cards.path(), "eth1", "aa:00:00:00:00:02", true);
        card(cards.path(), "eth0", "aa:00:00:00:00:01", true);
        assert_eq!(card_address(cards.path()).as_deref(), Some("aa:00:00:00:00:01"));
        assert_eq!(card_address(&cards.path().join("none")), None);
    }
}
