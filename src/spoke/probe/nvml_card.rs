//! One card through NVML: each reading by itself, so that one that a card refuses leaves the others.

use nvml_wrapper::{
    Device,
    bitmasks::device::ThrottleReasons,
    enum_wrappers::device::{EccCounter, MemoryError, TemperatureSensor},
    enums::device::SampleValue,
    error::NvmlError,
    structs::device::FieldId,
};

use crate::machine::contract::inventory::{Card, Ecc, Mig, Pcie, Readings, Remapped, Throttle};

/// The library's numbers of what has no call of its own: rows that were remapped.
const REMAPPED: [u32; 4] = [142, 143, 144, 145];
/// No name of a card is so long.
const TEXT_BYTES: usize = 128;
/// More instances than a card can be divided into.
const INSTANCES_MAX: u32 = 16;

const REASONS: [(ThrottleReasons, Throttle); 9] = [
    (ThrottleReasons::GPU_IDLE, Throttle::Idle),
    (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, Throttle::ApplicationClocks),
    (ThrottleReasons::SW_POWER_CAP, Throttle::SoftwarePowerCap),
    (ThrottleReasons::HW_SLOWDOWN, Throttle::HardwareSlowdown),
    (ThrottleReasons::SYNC_BOOST, Throttle::SyncBoost),
    (ThrottleReasons::SW_THERMAL_SLOWDOWN, Throttle::SoftwareThermal),
    (ThrottleReasons::HW_THERMAL_SLOWDOWN, Throttle::HardwareThermal),
    (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, Throttle::PowerBrake),
    (ThrottleReasons::DISPLAY_CLOCK_SETTING, Throttle::DisplayClocks),
];

/// Whether an error says that the card is gone, and not that it lacks a reading.
pub fn is_lost(why: &NvmlError) -> bool {
    matches!(why, NvmlError::GpuLost | NvmlError::ResetRequired | NvmlError::IrqIssue)
}

/// Everything that it tells.
pub fn read(index: u32, device: &Device<'_>) -> Card {
    let mut lost = None;
    let uuid = kept(device.uuid(), &mut lost);
    let name = kept(device.name(), &mut lost);
    let pci = kept(device.pci_info(), &mut lost).and_then(|pci| pci.bus_id.parse().ok());
    let readings = readings(device, &mut lost);
    Card { index, uuid: uuid.filter(|text| plain(text)), name: name.filter(|text| plain(text)), pci, lost, readings }
}

fn plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_BYTES && !text.chars().any(char::is_control)
}

/// A reading that was had. The first error that says that the card is gone is kept.
fn kept<T>(reading: Result<T, NvmlError>, lost: &mut Option<String>) -> Option<T> {
    match reading {
        Ok(value) => Some(value),
        Err(why) => {
            if lost.is_none() && is_lost(&why) {
                *lost = Some(why.to_string());
            }
            None
        }
    }
}

fn readings(device: &Device<'_>, lost: &mut Option<String>) -> Readings {
    let memory = kept(device.memory_info(), lost);
    Readings {
        memory_total_bytes: memory.as_ref().map(|memory| memory.total),
        memory_used_bytes: memory.as_ref().map(|memory| memory.used),
        temperature_c: kept(device.temperature(TemperatureSensor::Gpu), lost),
        power_mw: kept(device.power_usage(), lost),
        gpu_percent: kept(device.utilization_rates(), lost).map(|rates| rates.gpu),
        pcie: Pcie {
            width: kept(device.current_pcie_link_width(), lost),
            width_max: kept(device.max_pcie_link_width(), lost),
            generation: kept(device.current_pcie_link_gen(), lost),
            generation_max: kept(device.max_pcie_link_gen(), lost),
        },
        throttle: kept(device.current_throttle_reasons(), lost).map(throttle),
        ecc: Ecc {
            enabled: kept(device.is_ecc_enabled(), lost).map(|ecc| ecc.currently_enabled),
            volatile_uncorrected: uncorrected(device, EccCounter::Volatile, lost),
            aggregate_uncorrected: uncorrected(device, EccCounter::Aggregate, lost),
        },
        remapped: remapped(device, lost),
        mig: kept(device.mig_mode(), lost).map(|mode| mig(device, mode.current == 1)),
        xids: None,
    }
}

fn uncorrected(device: &Device<'_>, counter: EccCounter, lost: &mut Option<String>) -> Option<u64> {
    kept(device.total_ecc_errors(MemoryError::Uncorrected, counter), lost)
}

fn throttle(now: ThrottleReasons) -> Vec<Throttle> {
    REASONS.iter().filter(|(reason, _)| now.contains(*reason)).map(|(_, reason)| *reason).collect()
}

fn remapped(device: &Device<'_>, lost: &mut Option<String>) -> Remapped {
    let values = kept(device.field_values_for(&REMAPPED.map(FieldId)), lost).unwrap_or_default();
    let value = |at: usize| match values.get(at)?.as_ref().ok()?.value.as_ref().ok()? {
        SampleValue::U32(value) => Some(u64::from(*value)),
        SampleValue::U64(value) => Some(*value),
        SampleValue::I64(value) => u64::try_from(*value).ok(),
        SampleValue::F64(_) => None,
    };
    Remapped {
        correctable: value(0),
        uncorrectable: value(1),
        pending: value(2).map(|pending| pending > 0),
        failure: value(3).map(|failure| failure > 0),
    }
}

/// Instances are numbered with gaps, up to what the card could have.
fn mig(device: &Device<'_>, enabled: bool) -> Mig {
    let most = if enabled { device.mig_device_count().ok() } else { None };
    let exists = |index: &u32| device.mig_device_by_index(*index).is_ok();
    let instances = most.map(|most| (0..most.min(INSTANCES_MAX)).filter(exists).count() as u32);
    Mig { enabled, instances }
}
