//! The cards as the kernel lists them: those of NVIDIA's driver, and those on the PCI bus, whatever drives them.
//!
//! It reads names and short texts, and opens no device. The root is an argument, so that tests have their own.

use std::{fs, path::Path};

use crate::machine::contract::inventory::{BusCard, KernelCard};

/// More than any host has.
const CARDS_MAX: usize = 64;
const NVIDIA: &str = "0x10de";
/// VGA and 3D controllers: what computes. An audio function of a card has another class.
const CLASSES: [&str; 2] = ["0x0300", "0x0302"];
/// A line of the driver is much shorter.
const TEXT_BYTES: usize = 128;

/// The driver's own list, by address; `None`: it is not loaded, or not seen from here.
pub fn kernel(root: &Path) -> Option<Vec<KernelCard>> {
    let mut cards: Vec<KernelCard> = fs::read_dir(root.join("proc/driver/nvidia/gpus"))
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let pci = entry.file_name().to_str()?.parse().ok()?;
            let text = fs::read_to_string(entry.path().join("information")).unwrap_or_default();
            let field = |name: &str| field(&text, name);
            // A card that was not asked yet shows question marks.
            let uuid = field("GPU UUID").filter(|uuid| !uuid.contains('?'));
            let minor = field("Device Minor").and_then(|minor| minor.parse().ok());
            Some(KernelCard { pci, uuid, model: field("Model"), minor })
        })
        .take(CARDS_MAX)
        .collect();
    cards.sort_by_key(|card| card.pci);
    Some(cards)
}

/// NVIDIA's graphics cards on the bus, by address.
pub fn bus(root: &Path) -> Vec<BusCard> {
    let Ok(entries) = fs::read_dir(root.join("sys/bus/pci/devices")) else { return Vec::new() };
    let cards = entries.filter_map(Result::ok).filter_map(|entry| {
        let at = entry.path();
        let text = |name: &str| fs::read_to_string(at.join(name)).unwrap_or_default();
        let graphics = CLASSES.iter().any(|class| text("class").starts_with(class));
        if text("vendor").trim() != NVIDIA || !graphics {
            return None;
        }
        let driver = fs::read_link(at.join("driver")).ok();
        let driver = driver.as_deref().and_then(Path::file_name).and_then(|name| Some(name.to_str()?.to_owned()));
        Some(BusCard { pci: entry.file_name().to_str()?.parse().ok()?, driver })
    });
    let mut cards: Vec<BusCard> = cards.take(CARDS_MAX).collect();
    cards.sort_by_key(|card| card.pci);
    cards
}

/// `Name:   value` of one line.
fn field(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?.trim();
    let plain = !value.is_empty() && value.len() <= TEXT_BYTES && !value.chars().any(char::is_control);
    plain.then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_drivers_list_is_read_and_a_card_that_was_not_asked_has_no_uuid() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(kernel(root.path()), None);
        let card = |at: &str, text: &str| {
            let directory = root.path().join("proc/driver/nvidia/gpus").join(at);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("information"), text).unwrap();
        };
        card("0000:5e:00.0", "Model: \t\t NVIDIA H100\nGPU UUID: \t GPU-????????-????-????-????-????????????\n");
        card("0000:3b:00.0", "Model: \t\t NVIDIA H100\nIRQ:   \t\t 12\nGPU UUID: \t GPU-1\nDevice Minor: \t 0\n");
        let cards = kernel(root.path()).unwrap();
        assert_eq!((cards[0].pci.bus, cards[0].uuid.as_deref(), cards[0].minor), (0x3b, Some("GPU-1"), Some(0)));
        assert_eq!((cards[1].model.as_deref(), cards[1].uuid.as_deref()), (Some("NVIDIA H100"), None));
    }

    #[test]
    fn graphics_cards_of_nvidia_are_found_with_what_drives_them() {
        let root = tempfile::tempdir().unwrap();
        let device = |at: &str, vendor: &str, class: &str, driver: Option<&str>| {
            let directory = root.path().join("sys/bus/pci/devices").join(at);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("vendor"), format!("{vendor}\n")).unwrap();
            fs::write(directory.join("class"), format!("{class}\n")).unwrap();
            if let Some(driver) = driver {
                symlink(format!("../../../bus/pci/drivers/{driver}"), directory.join("driver")).unwrap();
            }
        };
        device("0000:3b:00.0", "0x10de", "0x030200", Some("nvidia"));
        device("0000:5e:00.0", "0x10de", "0x030000", Some("vfio-pci"));
        device("0000:5f:00.0", "0x10de", "0x030000", None);
        device("0000:5e:00.1", "0x10de", "0x040300", Some("snd_hda_intel"));
        device("0000:01:00.0", "0x8086", "0x030000", Some("i915"));
        let found = bus(root.path());
        let drivers: Vec<_> = found.iter().map(|card| (card.pci.bus, card.driver.as_deref())).collect();
        assert_eq!(drivers, [(0x3b, Some("nvidia")), (0x5e, Some("vfio-pci")), (0x5f, None)]);
    }
}
