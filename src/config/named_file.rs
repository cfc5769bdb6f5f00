//! A file as a setting names it: by its path, or as a credential that the service manager hands to the unit.
//!
//! Pure: where a credential lies, [`file::locate`](super::file::locate) alone knows.

use std::{fmt, path::PathBuf};

use super::{
    form::{Form, text_of},
    yaml::Node,
};

/// What a credential's name stands behind.
const PREFIX: &str = "credential:";
const ALLOWED: &str = "a path, or credential:NAME (systemd's LoadCredential; NAME of visible ASCII without / and :)";
/// Longest name that systemd takes.
const NAME_BYTES: usize = 255;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedFile {
    /// As written; a leading `~` stands for the home directory.
    Path(PathBuf),
    /// The file of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

impl NamedFile {
    fn of(text: &str) -> Option<NamedFile> {
        match text.strip_prefix(PREFIX) {
            Some(name) => is_credential(name).then(|| NamedFile::Credential(name.into())),
            None => Some(NamedFile::Path(text.into())),
        }
    }
}

impl From<PathBuf> for NamedFile {
    fn from(path: PathBuf) -> NamedFile {
        NamedFile::Path(path)
    }
}

/// As the file has it.
impl fmt::Display for NamedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NamedFile::Path(path) => write!(f, "{}", path.display()),
            NamedFile::Credential(name) => write!(f, "{PREFIX}{name}"),
        }
    }
}

/// One name in one directory, in the letters that systemd takes; blanks, which it takes too, are a slip of the pen.
fn is_credential(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':';
    (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(plain) && name != "." && name != ".."
}

/// A file that may be left out.
pub fn read(form: &mut Form, path: &'static str) -> Option<NamedFile> {
    form.value(path, Node::Null, ALLOWED, |node| NamedFile::of(&text_of(node)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_path_or_a_credential() {
        assert_eq!(NamedFile::of("/etc/key"), Some(NamedFile::Path("/etc/key".into())));
        assert_eq!(NamedFile::of("./credential:key"), Some(NamedFile::Path("./credential:key".into())));
        for name in ["hotkey", "fleet.hotkey", "a-b_c@d", ".hidden", "...", &"n".repeat(255)] {
            let text = format!("credential:{name}");
            let named = NamedFile::of(&text).unwrap();
            assert_eq!((&named, named.to_string()), (&NamedFile::Credential(name.into()), text));
        }
    }

    #[test]
    fn a_credential_is_one_name_in_one_directory() {
        for name in ["", ".", "..", "a/b", "/etc/shadow", "../x", "a:b", "a b", "a\tb", "é", &"n".repeat(256)] {
            assert_eq!(NamedFile::of(&format!("credential:{name}")), None, "{name:?}");
        }
    }
}
