//! NVIDIA's driver as the kernel runs it and as the disk has it: after an update the two differ until the host is booted
//! again, and nothing on a GPU starts meanwhile.
//!
//! It reads names and one line of text, opens no device and loads no library. The directories are arguments, so that tests
//! have their own.

use std::{fs, path::Path};

use serde::Serialize;

/// Where distributions keep the driver's libraries; the first is NixOS's.
const LIBRARIES: [&str; 5] =
    ["run/opengl-driver/lib", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "usr/lib"];
/// The library whose name ends in the driver's version.
const LIBRARY: &str = "libcuda.so.";

/// The driver of this host, as far as it has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Driver {
    /// What the kernel runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booted: Option<String>,
    /// What programs load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_disk: Option<String>,
}

impl Driver {
    /// `None`: there is none, neither in the kernel nor on the disk.
    pub fn of(root: &Path) -> Option<Driver> {
        let booted = fs::read_to_string(root.join("proc/driver/nvidia/version")).ok();
        let booted = booted.as_deref().and_then(version);
        let on_disk = LIBRARIES.iter().find_map(|library| library_version(&root.join(library)));
        (booted.is_some() || on_disk.is_some()).then_some(Driver { booted, on_disk })
    }

    /// What is wrong and what to do about it.
    pub fn advice(&self) -> Option<String> {
        match (&self.booted, &self.on_disk) {
            (Some(booted), Some(on_disk)) if booted != on_disk => Some(format!(
                "the kernel runs NVIDIA's driver {booted}, the disk has {on_disk}: GPUs work again after a reboot"
            )),
            (None, Some(on_disk)) => Some(format!(
                "NVIDIA's driver {on_disk} is installed and the kernel has not loaded it: load the module nvidia, or reboot"
            )),
            _ => None,
        }
    }
}

/// `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  …`: the first word that looks like a version.
fn version(text: &str) -> Option<String> {
    text.lines().next()?.split_whitespace().find(|word| is_version(word)).map(str::to_owned)
}

fn is_version(word: &str) -> bool {
    word.contains('.') && word.len() <= 32 && word.split('.').all(|part| part.parse::<u32>().is_ok())
}

fn library_version(directory: &Path) -> Option<String> {
    let names = fs::read_dir(directory).ok()?.filter_map(Result::ok).map(|entry| entry.file_name());
    let versions = names.filter_map(|name| name.to_str()?.strip_prefix(LIBRARY).map(str::to_owned));
    versions.filter(|version| is_version(version)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\nGCC version: 12.2.0\n";

    fn host(booted: bool, library: Option<&str>) -> Option<Driver> {
        let root = tempfile::tempdir().unwrap();
        if booted {
            fs::create_dir_all(root.path().join("proc/driver/nvidia")).unwrap();
            fs::write(root.path().join("proc/driver/nvidia/version"), LINE).unwrap();
        }
        if let Some(version) = library {
            let directory = root.path().join("usr/lib/x86_64-linux-gnu");
            fs::create_dir_all(&directory).unwrap();
            for name in ["libcuda.so.1".to_owned(), format!("libcuda.so.{version}")] {
                fs::write(directory.join(name), "").unwrap();
            }
        }
        Driver::of(root.path())
    }

    #[test]
    fn a_host_without_a_driver_says_nothing() {
        assert_eq!(host(false, None), None);
    }

    #[test]
    fn the_same_driver_booted_and_on_disk_needs_nothing() {
        let driver = host(true, Some("535.183.01")).unwrap();
        assert_eq!((driver.booted.as_deref(), driver.advice()), (Some("535.183.01"), None));
    }

    #[test]
    fn another_driver_on_disk_wants_a_reboot() {
        let advice = host(true, Some("550.54.14")).unwrap().advice().unwrap();
        let text = "the kernel runs NVIDIA's driver 535.183.01, the disk has 550.54.14: GPUs work again after a reboot";
        assert_eq!(advice, text);
        assert!(host(false, Some("550.54.14")).unwrap().advice().unwrap().contains("has not loaded it"));
    }

    #[test]
    fn a_driver_whose_libraries_lie_elsewhere_is_no_fault() {
        assert_eq!(host(true, None).unwrap().advice(), None);
    }
}
