//! What this process may do here: lock memory, and open the driver's devices. A refusal by a control group looks different
//! from one by a file's permissions, and is told apart.

use std::{
    fs::OpenOptions,
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use byteleap::machine::contract::inventory::Inventory;
use rustix::{
    fs::OFlags,
    io::Errno,
    process::{Resource, getrlimit},
};

pub struct Limits {
    /// `None`: no limit.
    pub memlock_bytes: Option<u64>,
    /// Those that the driver has, or should have; none where there is no driver.
    pub devices: Vec<DeviceFile>,
}

pub struct DeviceFile {
    pub path: PathBuf,
    pub access: Access,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    Open,
    Missing,
    /// By the file's owner and mode.
    Permissions,
    /// By the control group that this process is in.
    ControlGroup,
    Other(String),
}

/// The driver's common devices: its control, and the one that CUDA needs.
const COMMON: [&str; 2] = ["nvidiactl", "nvidia-uvm"];

pub fn look(inventory: &Inventory) -> Limits {
    let minors = inventory.kernel.iter().flatten().filter_map(|card| card.minor).map(|minor| format!("nvidia{minor}"));
    let needed = inventory.kernel.iter().flat_map(|_| COMMON.map(str::to_owned)).chain(minors);
    let there = Path::new("/dev").read_dir().into_iter().flatten().filter_map(Result::ok);
    let found = there.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_device(name));
    let mut names: Vec<String> = needed.chain(found).collect();
    names.sort();
    names.dedup();
    let devices = names.into_iter().map(|name| device(&Path::new("/dev").join(name))).collect();
    Limits { memlock_bytes: getrlimit(Resource::Memlock).current, devices }
}

/// `nvidia0`, `nvidiactl`, `nvidia-uvm`: what computing needs of all that begins so.
fn is_device(name: &str) -> bool {
    let number = name.strip_prefix("nvidia").is_some_and(|rest| !rest.is_empty() && rest.parse::<u32>().is_ok());
    number || COMMON.contains(&name)
}

fn device(path: &Path) -> DeviceFile {
    let opened = OpenOptions::new().read(true).write(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path);
    DeviceFile { path: path.to_owned(), access: opened.map_or_else(|why| access(&why), |_| Access::Open) }
}

/// The kernel answers EACCES where the file's mode refuses, EPERM where a control group's device rule does.
fn access(why: &io::Error) -> Access {
    match (why.kind(), why.raw_os_error()) {
        (ErrorKind::NotFound, _) => Access::Missing,
        (_, Some(code)) if code == Errno::ACCESS.raw_os_error() => Access::Permissions,
        (_, Some(code)) if code == Errno::PERM.raw_os_error() => Access::ControlGroup,
        _ => Access::Other(why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refuses_a_device_is_told_apart() {
        let of = |errno: Errno| access(&io::Error::from_raw_os_error(errno.raw_os_error()));
        assert_eq!(of(Errno::ACCESS), Access::Permissions);
        assert_eq!(of(Errno::PERM), Access::ControlGroup);
        assert_eq!(of(Errno::NOENT), Access::Missing);
        assert!(matches!(of(Errno::IO), Access::Other(_)));
    }

    #[test]
    fn only_what_computing_needs_is_opened() {
        assert!(["nvidia0", "nvidia15", "nvidiactl", "nvidia-uvm"].iter().all(|name| is_device(name)));
        let others = ["nvidia", "nvidia-modeset", "nvidia-caps", "nvidia-uvm-tools", "nvidia-nvswitch0", "null"];
        assert!(!others.iter().any(|name| is_device(name)));
    }
}
