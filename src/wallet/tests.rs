//! Wallets as Bittensor's tools wrote them, and our own.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::*;
use crate::{config::named_file::NamedFile, wire::keys::verify};

const PLAIN: &str = "5CqwFvTDphsctn8d7BRcALSnMsqpssPLktN37XzZjXu9HEya";
const OF_SEED: &str = "5DtDLm5rQHShDqojQpsvcN8tRXHVFaecfDoRet1SU6BFD9Fi";
const ENCRYPTED: &str = "5G1vQCz6uyrtb2j9XDj5yR81Pych9GSvfKkYKFvuSMzsR1ZU";
const PASSWORD: &str = "correct horse";

fn recorded(name: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/wallets").join(name);
    std::fs::read(file).unwrap()
}

struct Home {
    dir: tempfile::TempDir,
    wallet: Wallet,
}

/// A directory with an empty wallet `fleet`, whose hotkey is called `one`.
fn home() -> Home {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallets");
    let wallet = Wallet { path, name: "fleet".into(), hotkey: "one".into(), file: None, password_file: None };
    Home { dir, wallet }
}

impl Home {
    fn put(&self, bytes: &[u8]) {
        let path = hotkey_path(&self.wallet).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
    }

    fn password(&mut self, text: &str) {
        let path = self.dir.path().join("password");
        fs::write(&path, text).unwrap();
        self.wallet.password_file = Some(path.into());
    }
}

/// The recorded file with some of its fields.
fn only(fields: &[&str]) -> Vec<u8> {
    let mut object: serde_json::Value = serde_json::from_slice(&recorded("plain.json")).unwrap();
    object.as_object_mut().unwrap().retain(|name, _| fields.contains(&name.as_str()));
    object.to_string().into_bytes()
}

fn problem(text: &[u8]) -> KeyfileError {
    keyfile::keypair(text).unwrap_err()
}

#[test]
fn a_wallet_of_bittensors_opens_and_signs() {
    let home = home();
    home.put(&recorded("plain.json"));
    let pair = load(&home.wallet).unwrap();
    assert_eq!(pair.hotkey().as_str(), PLAIN);
    assert!(verify(&PLAIN.parse().unwrap(), b"text", &pair.sign(b"text")));
}

#[test]
fn a_key_file_may_lie_outside_the_layout() {
    let mut home = home();
    home.wallet.file = Some(home.dir.path().join("credential").into());
    home.put(&recorded("plain.json"));
    assert_eq!(load(&home.wallet).unwrap().hotkey().as_str(), PLAIN);
}

#[test]
fn each_form_of_the_secret_gives_the_same_key() {
    for form in ["secretSeed", "secretPhrase", "privateKey"] {
        let pair = keyfile::keypair(&only(&["ss58Address", form])).unwrap();
        assert!(verify(&PLAIN.parse().unwrap(), b"text", &pair.sign(b"text")), "{form}");
    }
}

#[test]
fn a_seed_that_is_written_as_raw_bytes_gives_way_to_the_private_key() {
    assert_eq!(keyfile::keypair(&recorded("from_seed.json")).unwrap().hotkey().as_str(), OF_SEED);
}

#[test]
fn any_public_field_names_the_key() {
    for field in ["ss58Address", "publicKey", "accountId"] {
        assert_eq!(keyfile::keypair(&only(&[field, "secretSeed"])).unwrap().hotkey().as_str(), PLAIN);
    }
    assert_eq!(problem(&only(&["secretSeed"])), KeyfileError::NoPublicKey);
}

#[test]
fn a_file_without_a_usable_secret_is_refused() {
    assert_eq!(problem(&only(&["ss58Address"])), KeyfileError::NoSecret);
    assert_eq!(problem(b"{}"), KeyfileError::NoPublicKey);
    assert!(matches!(problem(b"[]"), KeyfileError::Json { .. }));
    assert!(matches!(problem(b"not json"), KeyfileError::Json { .. }));
    assert_eq!(problem(br#"{"cryptoType": 0}"#), KeyfileError::CryptoType(0));
}

#[test]
fn a_secret_of_another_key_is_refused() {
    let swapped = String::from_utf8(only(&["ss58Address", "secretSeed"])).unwrap().replace(PLAIN, OF_SEED);
    assert_eq!(problem(swapped.as_bytes()), KeyfileError::OtherKey(OF_SEED.parse().unwrap()));
}

#[test]
fn a_missing_credential_is_not_for_the_tool_to_make() {
    let file = Some(PathBuf::from("/run/credentials/none").into());
    let wallet = Wallet { path: "w".into(), name: "n".into(), hotkey: "h".into(), file, password_file: None };
    let text = load(&wallet).map(|_| ()).unwrap_err().to_string();
    assert_eq!(text, "no hotkey at /run/credentials/none; wallet.file must name a key file");
}

#[test]
fn a_credential_outside_of_its_unit_is_told_by_its_key() {
    let file = Some(NamedFile::Credential("hotkey".into()));
    let wallet = Wallet { path: "w".into(), name: "n".into(), hotkey: "h".into(), file, password_file: None };
    let text = show(&wallet).unwrap_err().to_string();
    assert!(text.starts_with("wallet.file: credential:hotkey: $CREDENTIALS_DIRECTORY is not set: "), "{text}");
}

#[test]
fn a_missing_hotkey_says_where_and_how_to_make_one() {
    let home = home();
    let text = load(&home.wallet).unwrap_err().to_string();
    assert!(text.contains("wallets/fleet/hotkeys/one; `byteleap wallet new --path "), "{text}");
    assert!(text.ends_with("--name fleet --hotkey one` makes one"), "{text}");
}

#[test]
fn an_encrypted_hotkey_needs_its_password() {
    let mut home = home();
    home.put(&recorded("encrypted.nacl"));
    assert!(matches!(load(&home.wallet), Err(WalletError::Encrypted { .. })));
    home.password("");
    assert!(matches!(load(&home.wallet), Err(WalletError::NoPassword { .. })));
    home.password(&format!("{PASSWORD}\n"));
    assert_eq!(load(&home.wallet).unwrap().hotkey().as_str(), ENCRYPTED);
}

#[test]
fn a_coldkey_opens_from_its_file_and_asks_only_for_the_password_that_it_needs() {
    let home = home();
    let path = home.dir.path().join("coldkey");
    fs::write(&path, recorded("plain.json")).unwrap();
    let unasked = || -> Result<Secret, WalletError> { panic!("a plain file needs no password") };
    assert_eq!(load_coldkey(&path, unasked).unwrap().hotkey().as_str(), PLAIN);
    fs::write(&path, recorded("encrypted.nacl")).unwrap();
    let opened = load_coldkey(&path, || Ok(Secret::new(PASSWORD.into())));
    assert_eq!(opened.unwrap().hotkey().as_str(), ENCRYPTED);
    let missing = load_coldkey(Path::new("/nowhere/coldkey"), unasked).map(drop).unwrap_err();
    assert_eq!(missing.to_string(), "cannot read the coldkey /nowhere/coldkey");
}

#[test]
fn a_wrong_password_is_named() {
    let mut home = home();
    home.put(&recorded("encrypted.nacl"));
    home.password("incorrect horse");
    let why = load(&home.wallet).unwrap_err();
    assert!(matches!(why, WalletError::Keyfile { source: KeyfileError::WrongPassword, .. }));
}

#[test]
fn a_damaged_encrypted_file_is_named() {
    assert_eq!(nacl::open(b"$NACL123", b"x").unwrap_err(), KeyfileError::Truncated);
    assert_eq!(nacl::open(b"$ANSIBLE_VAULT;1.1", b"x").unwrap_err(), KeyfileError::OldEncryption);
}

#[test]
fn an_encrypted_hotkey_is_shown_from_its_public_half() {
    let home = home();
    home.put(&recorded("encrypted.nacl"));
    assert!(matches!(show(&home.wallet), Err(WalletError::Encrypted { .. })));
    fs::write(public_path(&hotkey_path(&home.wallet).unwrap()), recorded("encrypted.nacl.pub.json")).unwrap();
    let shown = show(&home.wallet).unwrap();
    assert_eq!((shown.hotkey.as_str(), shown.encrypted), (ENCRYPTED, true));
}

#[test]
fn a_new_hotkey_is_its_owners_alone_and_opens_again() {
    let home = home();
    let created = create(&home.wallet).unwrap();
    assert_eq!(load(&home.wallet).unwrap().hotkey(), &created.hotkey);
    assert_eq!(show(&home.wallet).unwrap().hotkey, created.hotkey);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&created.path), 0o600);
    assert_eq!(mode(&PathBuf::from(format!("{}pub.txt", created.path.display()))), 0o600);
    assert_eq!(mode(created.path.parent().unwrap()), 0o700);
    assert_eq!(created.phrase.reveal().split(' ').count(), 12);
}

#[test]
fn a_new_hotkey_is_written_in_every_form() {
    let home = home();
    let created = create(&home.wallet).unwrap();
    let whole: serde_json::Value = serde_json::from_slice(&fs::read(&created.path).unwrap()).unwrap();
    for form in ["secretSeed", "secretPhrase", "privateKey"] {
        let alone = serde_json::json!({"ss58Address": whole["ss58Address"], form: whole[form]}).to_string();
        assert_eq!(keyfile::keypair(alone.as_bytes()).unwrap().hotkey(), &created.hotkey, "{form}");
    }
}

#[test]
fn nothing_is_overwritten() {
    let home = home();
    let created = create(&home.wallet).unwrap();
    let before = fs::read(&created.path).unwrap();
    assert!(matches!(create(&home.wallet), Err(WalletError::Exists { .. })));
    assert_eq!(fs::read(&created.path).unwrap(), before);
}
