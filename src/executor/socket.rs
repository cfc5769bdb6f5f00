//! The socket's place: a directory for this user alone where there is none yet, the socket of mode 0600, and one that
//! a dead executor left behind.
//!
//! Runs on: the main thread, once. It never takes the place of a process that answers, nor of a file that is no socket.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use crate::net::unix_socket::{Found, Own, Trouble, directory, look, troubles};

#[derive(Debug, thiserror::Error)]
pub enum SocketFault {
    #[error("another process answers on {}: an executor runs there; stop it, or name another --socket", .0.display())]
    InUse(PathBuf),
    #[error("--socket: {trouble}; {}", .trouble.remedy())]
    Trouble { trouble: Trouble },
    #[error("cannot listen on {}", .at.display())]
    Listen { at: PathBuf, source: io::Error },
}

/// The listener, and the file that is its own.
pub fn bind(at: &Path) -> Result<(UnixListener, Option<Own>), SocketFault> {
    let listen = |source| SocketFault::Listen { at: at.to_owned(), source };
    for trouble in troubles(at, true) {
        match trouble.stops() {
            true => return Err(SocketFault::Trouble { trouble }),
            false => log::warn!(target: "gpu", "--socket: {trouble}; {}", trouble.remedy()),
        }
    }
    let directory = directory(at);
    if !directory.exists() {
        DirBuilder::new().mode(0o700).create(directory).map_err(listen)?;
        log::info!(target: "gpu", "made the directory {}, for this user alone (mode 0700)", directory.display());
    }
    clear(at)?;
    // Nobody may connect between bind and chmod.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(at);
    rustix::process::umask(before);
    let listener = bound.map_err(listen)?;
    fs::set_permissions(at, Permissions::from_mode(0o600)).map_err(listen)?;
    Ok((listener, Own::of(at)))
}

/// Removes a socket on which nobody answers.
fn clear(at: &Path) -> Result<(), SocketFault> {
    let listen = |source| SocketFault::Listen { at: at.to_owned(), source };
    match look(at).map_err(listen)? {
        Found::Nobody => Ok(()),
        Found::NotASocket => Err(SocketFault::Trouble { trouble: Trouble::NotASocket(at.to_owned()) }),
        Found::Live => Err(SocketFault::InUse(at.to_owned())),
        Found::Stale => {
            log::info!(target: "gpu", "{} was left behind by a process that has ended: replaced", at.display());
            fs::remove_file(at).map_err(listen)
        }
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
        assert!(matches!(bind(&at), Err(SocketFault::Trouble { trouble: Trouble::NotASocket(_) })));
        assert_eq!(fs::read(&at).unwrap(), b"mine");
    }

    #[test]
    fn a_directory_that_all_may_write_to_is_refused_by_name() {
        let site = tempfile::tempdir().unwrap();
        fs::set_permissions(site.path(), Permissions::from_mode(0o777)).unwrap();
        let why = bind(&site.path().join("gpu.sock")).map(drop).unwrap_err().to_string();
        assert!(why.contains("every user of this host may write to") && why.contains("mode 0777"), "{why}");
        fs::set_permissions(site.path(), Permissions::from_mode(0o1777)).unwrap();
        assert!(bind(&site.path().join("gpu.sock")).is_ok(), "as /tmp: said, and taken");
    }
}
