//! What was seen of a host's GPUs at one moment: by NVML, by the kernel's driver, on the PCI bus.
//!
//! It judges nothing, and a reading that was not had is `None`, never zero.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// All that was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    pub nvml: Nvml,
    /// Cards of the kernel's driver; `None`: it is not loaded, or hides them.
    pub kernel: Option<Vec<KernelCard>>,
    /// NVIDIA's graphics cards on the PCI bus, whatever drives them.
    pub bus: Vec<BusCard>,
}

/// What NVIDIA's management library had to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Nvml {
    /// It cannot be asked, and why.
    Absent(String),
    /// It was asked and has not answered yet. A driver that hangs looks like this.
    Silent,
    Read(NvmlReading),
}

impl Default for Nvml {
    fn default() -> Nvml {
        Nvml::Absent("it was not asked yet".into())
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct NvmlReading {
    /// As the library says it.
    pub driver: Option<String>,
    /// The newest CUDA that the driver does, as `12.4`.
    pub cuda: Option<String>,
    pub cards: Vec<Card>,
}

impl Inventory {
    /// NVML's cards; none when it did not answer.
    pub fn cards(&self) -> &[Card] {
        self.reading().map_or(&[], |reading| &reading.cards)
    }

    pub fn reading(&self) -> Option<&NvmlReading> {
        if let Nvml::Read(reading) = &self.nvml { Some(reading) } else { None }
    }
}

/// One card as NVML sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Card {
    /// NVML's own numbering.
    pub index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pci: Option<PciAddress>,
    /// It does not answer any more, in NVML's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    #[serde(flatten)]
    pub readings: Readings,
}

/// What NVML measured of one card.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Readings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_mw: Option<u32>,
    /// Share of time with a kernel running, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_percent: Option<u32>,
    pub pcie: Pcie,
    /// Why the clocks are lower than they could be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Vec<Throttle>>,
    pub ecc: Ecc,
    pub remapped: Remapped,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mig: Option<Mig>,
    /// Errors that the driver has reported since it is listened to, each number once. `None`: nobody listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xids: Option<Vec<u64>>,
}

/// The link to the host: lanes and generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pcie {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// What card and slot could do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_max: Option<u32>,
}

/// A reason for lower clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Throttle {
    Idle,
    ApplicationClocks,
    SoftwarePowerCap,
    HardwareSlowdown,
    SyncBoost,
    SoftwareThermal,
    HardwareThermal,
    PowerBrake,
    DisplayClocks,
}

/// Errors of the card's memory that could not be corrected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ecc {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Since the driver was loaded or the card reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volatile_uncorrected: Option<u64>,
    /// In the card's life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregate_uncorrected: Option<u64>,
}

/// Rows of the card's memory that spare ones stand in for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Remapped {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correctable: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncorrectable: Option<u64>,
    /// One waits for a reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<bool>,
    /// One could not be replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<bool>,
}

/// The card's division into instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mig {
    pub enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<u32>,
}

/// One card as the kernel's driver lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelCard {
    pub pci: PciAddress,
    /// `None`: the driver has not asked the card yet.
    pub uuid: Option<String>,
    pub model: Option<String>,
    /// The number of its device file.
    pub minor: Option<u32>,
}

/// One card as the PCI bus lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusCard {
    pub pci: PciAddress,
    /// The kernel module that has it; `None`: no module.
    pub driver: Option<String>,
}

/// Where a card is plugged in. Written as the kernel does, `0000:3b:00.0`; NVML and CUDA have other lengths and cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PciAddress {
    pub domain: u32,
    pub bus: u8,
    pub device: u8,
    pub function: u8,
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a PCI address: {0:?}")]
pub struct NoPciAddress(String);

impl FromStr for PciAddress {
    type Err = NoPciAddress;

    fn from_str(text: &str) -> Result<PciAddress, NoPciAddress> {
        parts(text).ok_or_else(|| NoPciAddress(text.chars().take(32).collect()))
    }
}

fn parts(text: &str) -> Option<PciAddress> {
    let (domain, rest) = text.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.').unwrap_or((rest, "0"));
    let byte = |text| u8::from_str_radix(text, 16).ok();
    Some(PciAddress {
        domain: u32::from_str_radix(domain, 16).ok()?,
        bus: byte(bus)?,
        device: byte(device)?,
        function: byte(function)?,
    })
}

impl Serialize for PciAddress {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_in_all_its_spellings() {
        for text in ["00000000:3B:00.0", "0000:3b:00.0", "0000:3B:00.0", "0:3b:0"] {
            assert_eq!(text.parse::<PciAddress>().unwrap().to_string(), "0000:3b:00.0", "{text}");
        }
        for text in ["", "3b:00.0", "0000:3b", "0000:100:00.0", "0000:zz:00.0"] {
            assert!(text.parse::<PciAddress>().is_err(), "{text}");
        }
    }
}
