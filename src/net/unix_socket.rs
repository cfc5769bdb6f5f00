//! The place of a Unix socket: who is there, what is wrong with it, and which file is whose.
//!
//! Any thread may call. It never waits: a process that listens and accepts nobody is there all the same. It removes no file
//! but one that is known to be the caller's own.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
};

/// `sun_path` without its NUL.
const PATH_BYTES: usize = 107;
/// Anybody may write.
const OTHERS_WRITE: u32 = 0o002;
/// Whoever may write may not remove what is another one's.
const STICKY: u32 = 0o1000;

/// Who is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Nobody,
    /// A socket on which nobody listens any more.
    Stale,
    Live,
    /// Something else has the path.
    NotASocket,
}

pub fn look(at: &Path) -> io::Result<Found> {
    let found = match fs::symlink_metadata(at) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Found::Nobody),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Ok(Found::NotASocket);
    }
    let caller =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    match connect(&caller, &SocketAddrUnix::new(at)?) {
        // AGAIN: as many wait already as may.
        Ok(()) | Err(Errno::AGAIN) => Ok(Found::Live),
        Err(Errno::CONNREFUSED) => Ok(Found::Stale),
        Err(Errno::NOENT) => Ok(Found::Nobody),
        Err(why) => Err(why.into()),
    }
}

/// The file that a socket was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    at: PathBuf,
    device: u64,
    inode: u64,
}

impl Own {
    /// Of the socket that is there now.
    pub fn of(at: &Path) -> Option<Own> {
        let found = fs::symlink_metadata(at).ok().filter(|found| found.file_type().is_socket())?;
        Some(Own { at: at.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Whether the path still names it.
    pub fn is_there(&self) -> bool {
        Own::of(&self.at).is_some_and(|now| now == *self)
    }

    /// Removes it, and nothing that has taken its place. What cannot be removed is replaced by the next one.
    pub fn remove(&self) {
        if self.is_there() {
            let _ = fs::remove_file(&self.at);
        }
    }
}

/// What is wrong with a path for a socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("{} is relative: another place in each working directory", .0.display())]
    Relative(PathBuf),
    #[error("{} has {} bytes, the path of a socket has at most {PATH_BYTES}", .0.display(), .0.as_os_str().len())]
    TooLong(PathBuf),
    #[error("{} is a directory", .0.display())]
    Directory(PathBuf),
    #[error("{} is no socket, and is left alone", .0.display())]
    NotASocket(PathBuf),
    #[error("the directory {} is missing", .0.display())]
    NoDirectory(PathBuf),
    #[error("{} cannot be looked at: {why}", .at.display())]
    Hidden { at: PathBuf, why: String },
    #[error("every user of this host may write to {} (mode {mode:04o}), and put a socket or files of their own there", .at.display())]
    OpenToAll { at: PathBuf, mode: u32 },
}

impl Trouble {
    /// Nobody can listen there, or should.
    pub fn stops(&self) -> bool {
        match self {
            Trouble::Relative(_) => false,
            Trouble::OpenToAll { mode, .. } => mode & STICKY == 0,
            _ => true,
        }
    }

    pub fn remedy(&self) -> String {
        match self {
            Trouble::Relative(_) => "name the whole path, from / on".into(),
            Trouble::TooLong(_) => "name a shorter path".into(),
            Trouble::Directory(at) => format!("name a file in it, as {}", at.join("gpu.sock").display()),
            Trouble::NotASocket(_) => "name another path".into(),
            Trouble::NoDirectory(at) => {
                format!("make it for the worker's user alone: install -d -m 0700 -o USER {}", at.display())
            }
            Trouble::Hidden { .. } => "give the worker's user the right to enter its directory".into(),
            Trouble::OpenToAll { .. } => {
                "name a path in a directory of the worker's user alone (mode 0700), or leave it out for a private one"
                    .into()
            }
        }
    }
}

/// All that is wrong with the path. `makes`: whoever listens makes the last directory, for its user alone.
pub fn troubles(at: &Path, makes: bool) -> Vec<Trouble> {
    let mut found = Vec::new();
    if at.is_relative() {
        found.push(Trouble::Relative(at.to_owned()));
    }
    if at.as_os_str().len() > PATH_BYTES {
        found.push(Trouble::TooLong(at.to_owned()));
    }
    match fs::symlink_metadata(at) {
        Ok(there) if there.is_dir() => found.push(Trouble::Directory(at.to_owned())),
        Ok(there) if !there.file_type().is_socket() => found.push(Trouble::NotASocket(at.to_owned())),
        _ => {}
    }
    found.extend(of_directory(directory(at), makes));
    found
}

/// The directory that a socket is made in.
pub fn directory(at: &Path) -> &Path {
    at.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn of_directory(directory: &Path, makes: bool) -> Option<Trouble> {
    match fs::metadata(directory) {
        Ok(there) if there.mode() & OTHERS_WRITE != 0 => {
            Some(Trouble::OpenToAll { at: directory.to_owned(), mode: there.mode() & 0o7777 })
        }
        Ok(_) => None,
        Err(why) if why.kind() == io::ErrorKind::NotFound && makes => {
            let above = self::directory(directory);
            if above == directory { None } else { of_directory(above, false) }
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => Some(Trouble::NoDirectory(directory.to_owned())),
        Err(why) => Some(Trouble::Hidden { at: directory.to_owned(), why: why.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::PermissionsExt, net::UnixListener};

    use super::*;

    #[test]
    fn who_is_at_a_path_is_told_without_waiting() {
        let site = tempfile::tempdir().unwrap();
        let at = site.path().join("gpu.sock");
        assert_eq!(look(&at).unwrap(), Found::Nobody);
        let listener = UnixListener::bind(&at).unwrap();
        // nobody accepts: more than may wait
        assert!((0..300).all(|_| look(&at).unwrap() == Found::Live));
        drop(listener);
        assert_eq!(look(&at).unwrap(), Found::Stale);
        fs::remove_file(&at).unwrap();
        fs::write(&at, "").unwrap();
        assert_eq!(look(&at).unwrap(), Found::NotASocket);
    }

    #[test]
    fn only_ones_own_socket_is_removed() {
        let site = tempfile::tempdir().unwrap();
        let at = site.path().join("gpu.sock");
        let _first = UnixListener::bind(&at).unwrap();
        let own = Own::of(&at).unwrap();
        fs::rename(&at, site.path().join("moved")).unwrap();
        let _second = UnixListener::bind(&at).unwrap();
        own.remove();
        assert_eq!(look(&at).unwrap(), Found::Live);
        Own::of(&at).unwrap().remove();
        assert_eq!(look(&at).unwrap(), Found::Nobody);
    }

    #[test]
    fn each_trouble_of_a_path_is_named_with_its_remedy() {
        let site = tempfile::tempdir().unwrap();
        let named = |at: &Path, makes| {
            let all: Vec<String> = troubles(at, makes).iter().map(|one| format!("{one}; {}", one.remedy())).collect();
            all.join(" | ")
        };
        assert_eq!(named(&site.path().join("gpu.sock"), false), "");
        assert!(named(site.path(), false).contains("is a directory; name a file in it"));
        assert!(named(Path::new("gpu.sock"), false).contains("is relative"));
        assert!(named(&site.path().join("s".repeat(108)), false).contains("at most 107"));
        let deep = site.path().join("run/gpu.sock");
        assert!(named(&deep, false).contains("run is missing; make it for the worker's user alone"));
        assert_eq!(named(&deep, true), "");
        assert!(named(&site.path().join("a/b/gpu.sock"), true).contains("/a is missing"));
        let modes = |mode| {
            fs::set_permissions(site.path(), fs::Permissions::from_mode(mode)).unwrap();
            troubles(&deep, true).iter().map(Trouble::stops).collect::<Vec<_>>()
        };
        assert_eq!([modes(0o777), modes(0o1777), modes(0o755)], [vec![true], vec![false], vec![]]);
    }
}
