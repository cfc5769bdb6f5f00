//! Each problem with its remedy, from what was seen. Pure.

use byteleap::machine::{
    contract::{gpu::ExecutorReply, inventory::Nvml},
    health::{Grade, meaning},
};
use serde::Serialize;

use super::{devices::Access, gpu::Seen};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// GPUs, or one of them, cannot work until it is solved.
    pub stops: bool,
    pub what: String,
    pub remedy: String,
}

fn stops(what: impl Into<String>, remedy: impl Into<String>) -> Problem {
    Problem { stops: true, what: what.into(), remedy: remedy.into() }
}

fn hampers(what: impl Into<String>, remedy: impl Into<String>) -> Problem {
    Problem { stops: false, what: what.into(), remedy: remedy.into() }
}

pub fn problems(seen: &Seen) -> Vec<Problem> {
    if !seen.config.gpu.enable {
        // It is as somebody wanted it.
        let what = "gpu.enable is false: the worker leaves the GPUs alone, and none was looked for";
        return vec![hampers(what, "nothing if that is wanted; else set gpu.enable: true")];
    }
    let parts =
        [driver(seen), devices(seen), socket(seen), executor(seen), nvml(seen), cards(seen), logged(seen), idle(seen)];
    let mut all: Vec<Problem> = parts.into_iter().flatten().collect();
    all.sort_by_key(|problem| !problem.stops);
    all
}

fn driver(seen: &Seen) -> Vec<Problem> {
    let Some(driver) = &seen.driver else { return Vec::new() };
    let advice = driver.advice().map(|advice| {
        let (what, remedy) = advice.split_once(": ").unwrap_or((&advice, "reboot"));
        stops(what, remedy)
    });
    let (booted, library) =
        (driver.booted.as_ref(), seen.inventory.reading().and_then(|reading| reading.driver.as_ref()));
    let other = booted.zip(library).filter(|(booted, library)| booted != library).map(|(booted, library)| {
        let what = format!("the kernel runs NVIDIA's driver {booted}, NVML is of {library}");
        hampers(what, "have one version of driver and libraries; in a container, those of its host")
    });
    advice.into_iter().chain(other).collect()
}

fn devices(seen: &Seen) -> Vec<Problem> {
    let refused = seen.limits.devices.iter().filter_map(|device| {
        let path = device.path.display();
        Some(match &device.access {
            Access::Open => return None,
            Access::Missing if device.path.ends_with("nvidia-uvm") => {
                stops(format!("{path} is missing"), "load the module nvidia_uvm: nvidia-modprobe -u -c=0, as root")
            }
            Access::Missing => {
                stops(format!("{path} is missing"), "nvidia-modprobe -c=0 as root; in a container, pass it in")
            }
            Access::Permissions => stops(
                format!("{path} may not be read and written by this user"),
                "run as the worker's user; give that user the group of the device (often video or render)",
            ),
            Access::ControlGroup => stops(
                format!("{path} is refused by this process's control group"),
                "systemd: DeviceAllow=/dev/nvidia* rw and PrivateDevices=no; container: pass the device in",
            ),
            Access::Other(why) => {
                stops(format!("{path} cannot be opened: {why}"), "see the kernel's log: dmesg | grep NVRM")
            }
        })
    });
    refused.collect()
}

fn executor(seen: &Seen) -> Vec<Problem> {
    let executor = &seen.executor;
    if let (Some(program), Some(why), false) = (&executor.program, &executor.unusable, executor.running) {
        let what = format!("the executor {} cannot be started: {why}", program.display());
        return vec![stops(what, "install byteleap-gpu beside the worker, or name one in gpu.binary_path")];
    }
    match &executor.said {
        ExecutorReply::Down(why) if executor.program.is_none() => {
            vec![stops(format!("no GPU executor: {why}"), "start it, or set gpu.auto_start: true; see gpu.socket_path")]
        }
        ExecutorReply::Down(why) => {
            vec![stops(format!("no GPU executor: {why}"), "see what it says above, and gpu.binary_path")]
        }
        ExecutorReply::Up(info) if info.gpus.is_empty() => {
            let why = info.note.as_deref().unwrap_or("it gives no reason");
            if why.starts_with("no CUDA driver") {
                let remedy = "install NVIDIA's driver, or give libcuda.so.1 to this container; a worker without it serves \
                              with its CPU";
                return vec![stops(why, remedy)];
            }
            let (why, remedy) = with_remedy(why, "see what it says above, and the kernel's log: dmesg | grep NVRM");
            vec![stops(format!("the executor finds no GPU: {why}"), remedy)]
        }
        ExecutorReply::Up(info) => {
            let some = info.note.as_deref().map(|note| {
                let (note, remedy) = with_remedy(note, "see what it says above");
                stops(format!("the executor leaves out a GPU: {note}"), remedy)
            });
            some.into_iter().collect()
        }
    }
}

/// An error of the driver brings its own remedy; `otherwise`: what else there is to do.
fn with_remedy<'a>(note: &'a str, otherwise: &'a str) -> (&'a str, &'a str) {
    note.split_once("; to do: ").unwrap_or((note, otherwise))
}

fn socket(seen: &Seen) -> Vec<Problem> {
    let each = seen.executor.troubles.iter().map(|trouble| {
        let (what, remedy) = (format!("gpu.socket_path: {trouble}"), trouble.remedy());
        if trouble.stops() { stops(what, remedy) } else { hampers(what, remedy) }
    });
    each.collect()
}

/// Where an executor is missing, its own problem says so.
fn idle(seen: &Seen) -> Vec<Problem> {
    let answers = matches!(seen.executor.said, ExecutorReply::Up(_));
    let told = seen.told.idle.as_deref().filter(|_| answers);
    let split = told.map(|told| told.rsplit_once("; ").unwrap_or((told, "change capabilities")));
    split.map(|(what, remedy)| stops(what, remedy)).into_iter().collect()
}

fn nvml(seen: &Seen) -> Vec<Problem> {
    // Without any driver it is no news.
    let found = matches!(&seen.executor.said, ExecutorReply::Up(info) if !info.gpus.is_empty());
    match &seen.inventory.nvml {
        Nvml::Absent(why) if found => vec![hampers(
            format!("NVML cannot be asked: {why}"),
            "install the driver's libnvidia-ml.so.1; without it no fault of a card is noticed before it fails",
        )],
        Nvml::Silent => vec![hampers(
            "NVML does not answer",
            "a card or the driver may hang: see dmesg | grep NVRM, and whether nvidia-smi answers; then reboot",
        )],
        _ => Vec::new(),
    }
}

fn cards(seen: &Seen) -> Vec<Problem> {
    let troubled = seen.reports.iter().filter(|report| report.grade > Grade::Noted);
    let each = troubled.flat_map(|report| {
        report.findings.iter().filter(|finding| finding.grade > Grade::Noted).map(|finding| Problem {
            stops: finding.grade == Grade::Withheld,
            what: format!("{}: {}", report.title(), finding.reason),
            remedy: finding.action.clone(),
        })
    });
    each.collect()
}

/// The log names errors that a reset has cured since: they stop nothing by themselves.
fn logged(seen: &Seen) -> Vec<Problem> {
    let each = seen.logged.iter().flatten().filter_map(|(pci, xids)| {
        let finding = meaning(xids)?;
        let what = format!("the kernel's log since the boot, PCI {pci}: {}", finding.reason);
        Some(hampers(what, format!("{}; past, if the card was reset since", finding.action)))
    });
    each.collect()
}
