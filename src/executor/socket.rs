//! The socket's place: a directory for this user alone where there is none yet, the socket of mode 0600, and one that
//! a dead executor left behind.
//!
//! Runs on: the main thread, once. It never takes the place of a process that answers, nor of a file that is no socket.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, ErrorKind},
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

#[derive(Debug, thiserror::Error)]
pub enum SocketFault {
    #[error("another process answers on {}: an executor runs there; stop it, or name another --socket", .0.display())]
    InUse(PathBuf),
    #[error("{} is no socket, and is left alone: name another --socket", .0.display())]
    NotASocket(PathBuf),
    #[error("cannot listen on {}", .at.display())]
    Listen { at: PathBuf, source: io::Error },
}

pub fn bind(at: &Path) -> Result<UnixListener, SocketFault> {
    let listen = |source| SocketFault::Listen { at: at.to_owned(), source };
    if let Some(directory) = at.parent().filter(|directory| !directory.as_os_str().is_empty() && !directory.exists()) {
        DirBuilder::new().mode(0o700).create(directory).map_err(listen)?;
    }
    clear(at)?;
    // Nobody may connect between bind and chmod.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(at);
    rustix::process::umask(before);
    let listener = bound.map_err(listen)?;
    fs::set_permissions(at, Permissions::from_mode(0o600)).map_err(listen)?;
    Ok(listener)
}

/// Removes a socket on which nobody answers.
fn clear(at: &Path) -> Result<(), SocketFault> {
    let listen = |source| SocketFault::Listen { at: at.to_owned(), source };
    let found = match fs::symlink_metadata(at) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(listen)?,
    };
    if !found.file_type().is_socket() {
        return Err(SocketFault::NotASocket(at.to_owned()));
    }
    match UnixStream::connect(at) {
        Ok(_) => Err(SocketFault::InUse(at.to_owned())),
        Err(why) if why.kind() == ErrorKind::ConnectionRefused => {
            log::info!(target: "gpu", "{} was left behind by a process that has ended: replaced", at.display());
            fs::remove_file(at).map_err(listen)
        }
        Err(why) => Err(listen(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dead_socket_is_replaced() {
        let site = tempfile::tempdir().unwrap();
        let at = site.path().join("run/gpu.sock");
        let first = bind(&at).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&at), mode(at.parent().unwrap())), (0o600, 0o700));
        assert!(matches!(bind(&at), Err(SocketFault::InUse(_))));
        drop(first);
        assert!(bind(&at).is_ok());
        fs::remove_file(&at).unwrap();
        fs::write(&at, "mine").unwrap();
        assert!(matches!(bind(&at), Err(SocketFault::NotASocket(_))));
        assert_eq!(fs::read(&at).unwrap(), b"mine");
    }
}
