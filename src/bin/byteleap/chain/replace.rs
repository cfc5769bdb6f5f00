//! A file replaced whole or not at all: whoever reads it sees the old text or the new one.

use std::{
    fs::{self, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use tempfile::NamedTempFile;

/// Of a file that was not there: a firewall's rules are no secret.
const MODE: u32 = 0o644;

/// Keeps the permissions of a file that it replaces. A fault names the path.
pub fn file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, bytes).map_err(|why| io::Error::new(why.kind(), format!("cannot write {}: {why}", path.display())))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // a link is followed: what it points to is replaced, beside which the new text is made ready
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().filter(|of| !of.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let permissions = fs::metadata(&path).map_or_else(|_| Permissions::from_mode(MODE), |of| of.permissions());
    let mut draft = NamedTempFile::new_in(directory)?;
    draft.write_all(bytes)?;
    draft.as_file().set_permissions(permissions)?;
    draft.as_file().sync_all()?;
    draft.persist(&path)?;
    fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_permissions_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("allow.nft");
        file(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        file(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let text = file(Path::new("/nowhere/allow.nft"), b"").unwrap_err().to_string();
        assert!(text.starts_with("cannot write /nowhere/allow.nft: No such file"), "{text}");
    }
}
