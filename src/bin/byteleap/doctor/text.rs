//! What was seen, for people and for programs.

#[cfg(feature = "cuda")]
use byteleap::executor::largest_n;
use byteleap::machine::{
    contract::{
        gpu::ExecutorReply,
        inventory::{Card, Nvml},
    },
    health::{Grade, Report},
};
use serde_json::{Value, json};

use super::{devices::Access, gpu::Seen};
use crate::table::{Column, Facts, Table};

const UNKNOWN: &str = "-";

pub fn text(seen: &Seen) -> String {
    let parts = [driver(seen).to_string(), executor(seen).to_string(), cards(seen), limits(seen).to_string()];
    format!("{}\n{}\n{}", parts.join("\n"), told(seen), problems(seen))
}

fn or_unknown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| value.to_string())
}

fn driver(seen: &Seen) -> Facts {
    let (driver, reading) = (seen.driver.as_ref(), seen.inventory.reading());
    let mut facts = Facts::of("driver");
    facts.add("kernel runs", or_unknown(driver.and_then(|driver| driver.booted.as_ref())));
    facts.add("on disk", or_unknown(driver.and_then(|driver| driver.on_disk.as_ref())));
    facts.add("NVML", nvml(seen));
    facts.add("CUDA up to", or_unknown(reading.and_then(|reading| reading.cuda.as_ref())));
    facts
}

fn nvml(seen: &Seen) -> String {
    match &seen.inventory.nvml {
        Nvml::Absent(why) => format!("none: {why}"),
        Nvml::Silent => "does not answer".to_owned(),
        Nvml::Read(reading) => or_unknown(reading.driver.as_ref()),
    }
}

fn executor(seen: &Seen) -> Facts {
    let executor = &seen.executor;
    let mut facts = Facts::of("executor");
    let program = executor.program.as_ref().map(|path| path.display().to_string());
    facts.add("program", program.unwrap_or_else(|| "started by somebody else (gpu.auto_start: false)".into()));
    let socket = executor.socket.as_ref().map(|path| path.display().to_string());
    facts.add("socket", socket.unwrap_or_else(|| "in a private directory of each run".into()));
    let source = if executor.running { "the one that runs" } else { "one started for this question" };
    facts.add(
        "says",
        match &executor.said {
            ExecutorReply::Down(why) => why.clone(),
            ExecutorReply::Up(info) => {
                let kind = if info.gemm_i8 { "computes gemm_i8" } else { "signs gpu_matrix" };
                let note = info.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
                format!("{} GPUs, {kind}{note} ({source})", info.gpus.len())
            }
        },
    );
    facts
}

/// NVML's card and the executor's entry behind a report.
fn behind<'a>(seen: &'a Seen, report: &Report) -> (Option<&'a Card>, Option<&'a serde_json::Map<String, Value>>) {
    let same = |uuid: Option<&String>| uuid.is_some() && uuid == report.uuid.as_ref();
    let card = seen.inventory.cards().iter().find(|card| same(card.uuid.as_ref()));
    let gpu = match &seen.executor.said {
        ExecutorReply::Up(info) => info.gpus.iter().find(|gpu| same(Some(&gpu.uuid))),
        ExecutorReply::Down(_) => None,
    };
    (card, gpu.map(|gpu| &gpu.told))
}

/// The largest challenge that fits what is free of a card now.
fn largest(gpu: Option<&serde_json::Map<String, Value>>) -> Option<u32> {
    largest_n(gpu?.get("free_memory")?.as_u64()?)
}

/// A build without our executor does not know what another one needs.
#[cfg(not(feature = "cuda"))]
fn largest_n(_free_bytes: u64) -> Option<u32> {
    None
}

fn cards(seen: &Seen) -> String {
    use Column::{Number, Text};
    if seen.reports.is_empty() {
        return "cards\n  none\n".into();
    }
    let columns = [
        Text("card"),
        Text("place"),
        Text("verdict"),
        Number("MiB"),
        Number("used"),
        Number("°C"),
        Number("W"),
        Number("busy"),
        Text("PCIe"),
        Number("ECC"),
        Text("rows"),
        Text("XIDs"),
        Number("largest n"),
    ];
    let mut table = Table::new(&columns);
    seen.reports.iter().for_each(|report| table.row(row(seen, report)));
    let names =
        seen.reports.iter().filter_map(|report| Some(format!("  {}  {}\n", report.pci?, report.uuid.as_ref()?)));
    format!("cards\n{table}{}", names.collect::<String>())
}

fn row(seen: &Seen, report: &Report) -> Vec<String> {
    let (card, gpu) = behind(seen, report);
    let readings = card.map(|card| &card.readings);
    let mib = |bytes: Option<u64>| or_unknown(bytes.map(|bytes| bytes >> 20));
    let link = readings.map(|readings| readings.pcie);
    let lanes = link.and_then(|link| {
        Some(format!("x{}/x{} gen{}/{}", link.width?, link.width_max?, link.generation?, link.generation_max?))
    });
    let rows = readings.map(|readings| readings.remapped);
    let rows = rows.and_then(|rows| {
        Some(match (rows.failure?, rows.pending?) {
            (true, _) => "failed",
            (false, true) => "pending",
            (false, false) => "good",
        })
    });
    let xids = xids(seen, report, readings.and_then(|readings| readings.xids.as_ref()));
    vec![
        or_unknown(report.name.as_ref()),
        or_unknown(report.pci),
        verdict(seen, report.grade),
        mib(readings.and_then(|readings| readings.memory_total_bytes)),
        mib(readings.and_then(|readings| readings.memory_used_bytes)),
        or_unknown(readings.and_then(|readings| readings.temperature_c)),
        or_unknown(readings.and_then(|readings| readings.power_mw).map(|mw| mw / 1000)),
        or_unknown(readings.and_then(|readings| readings.gpu_percent).map(|percent| format!("{percent} %"))),
        or_unknown(lanes),
        or_unknown(readings.and_then(|readings| readings.ecc.volatile_uncorrected)),
        or_unknown(rows),
        or_unknown(xids),
        or_unknown(largest(gpu)),
    ]
}

/// Those of the kernel's log, and those that came while this was looked at. Without the log nobody knows of any before.
fn xids(seen: &Seen, report: &Report, heard: Option<&Vec<u64>>) -> Option<String> {
    let log = seen.logged.as_ref();
    let logged = log.and_then(|logged| logged.get(&report.pci?));
    let mut all: Vec<u64> = logged.into_iter().chain(heard).flatten().copied().collect();
    all.sort_unstable();
    all.dedup();
    let said = all.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    if all.is_empty() { log.map(|_| "none".to_owned()) } else { Some(said) }
}

fn verdict(seen: &Seen, grade: Grade) -> String {
    match (grade, &seen.inventory.nvml) {
        (Grade::Unknown, Nvml::Silent) => "unknown: NVML does not answer".into(),
        (Grade::Unknown, _) => "unknown: no NVML".into(),
        (Grade::Noted, _) => "not ours".into(),
        (grade, _) => grade.name().into(),
    }
}

fn access(access: &Access) -> String {
    match access {
        Access::Open => "can be opened".into(),
        Access::Missing => "missing".into(),
        Access::Permissions => "refused by its permissions".into(),
        Access::ControlGroup => "refused by the control group".into(),
        Access::Other(why) => why.clone(),
    }
}

fn limits(seen: &Seen) -> Facts {
    let mut facts = Facts::of("limits");
    let memlock = seen.limits.memlock_bytes.map_or("unlimited".to_owned(), |bytes| format!("{} KiB", bytes >> 10));
    facts.add("locked memory", memlock);
    let log = if seen.logged.is_some() {
        "can be read"
    } else {
        "may not be read: XIDs of before are not known (run as root)"
    };
    facts.add("kernel's log", log);
    for device in &seen.limits.devices {
        facts.add(device.path.display().to_string(), access(&device.access));
    }
    if seen.limits.devices.is_empty() {
        facts.add("/dev/nvidia*", "none");
    }
    facts
}

fn uuids(list: &[Value]) -> String {
    let uuids: Vec<&str> = list.iter().filter_map(|entry| entry["uuid"].as_str()).collect();
    if uuids.is_empty() { "none".to_owned() } else { uuids.join(", ") }
}

fn told(seen: &Seen) -> Facts {
    let told = &seen.told;
    let mut facts = Facts::of("what a validator would see");
    let capabilities = told.capabilities.join(", ");
    facts.add("capabilities", if capabilities.is_empty() { "none".to_owned() } else { capabilities });
    facts.add("gpu_plugin (owned)", uuids(&told.gpu_plugin));
    facts.add("gpu_info (there)", uuids(&told.gpu_info));
    facts.add("gpu_health (troubled)", uuids(&told.gpu_health));
    facts
}

fn problems(seen: &Seen) -> String {
    if seen.problems.is_empty() {
        return "no problem found\n".into();
    }
    let each = seen.problems.iter().map(|problem| {
        let weight = if problem.stops { "stops work" } else { "attend to" };
        format!("  {weight}: {}\n    → {}\n", problem.what, problem.remedy)
    });
    format!("problems\n{}", each.collect::<String>())
}

pub fn json(seen: &Seen) -> Value {
    let reading = seen.inventory.reading();
    let cards = seen.reports.iter().map(|report| {
        let (card, gpu) = behind(seen, report);
        json!({"report": report, "verdict": verdict(seen, report.grade), "nvml": card, "executor": gpu, "largest_gemm_i8_n": largest(gpu)})
    });
    let devices = seen.limits.devices.iter().map(
        |device| json!({"path": device.path, "access": access(&device.access), "open": device.access == Access::Open}),
    );
    let (up, said) = match &seen.executor.said {
        ExecutorReply::Up(info) => (true, info.note.clone()),
        ExecutorReply::Down(why) => (false, Some(why.clone())),
    };
    let troubles: Vec<String> = seen.executor.troubles.iter().map(ToString::to_string).collect();
    let told = &seen.told;
    let logged = seen.logged.as_ref().map(|logged| {
        let each = logged.iter().map(|(pci, xids)| (pci.to_string(), json!(xids)));
        Value::Object(each.collect())
    });
    json!({
        "driver": {
            "booted": seen.driver.as_ref().and_then(|driver| driver.booted.as_ref()),
            "on_disk": seen.driver.as_ref().and_then(|driver| driver.on_disk.as_ref()),
            "nvml": nvml(seen),
            "cuda": reading.and_then(|reading| reading.cuda.as_ref()),
        },
        "executor": {"program": seen.executor.program, "socket": seen.executor.socket, "socket_troubles": troubles, "running": seen.executor.running, "answers": up, "note": said},
        "cards": cards.collect::<Vec<_>>(),
        "limits": {"memlock_bytes": seen.limits.memlock_bytes, "devices": devices.collect::<Vec<_>>()},
        "xids_since_boot": logged,
        "told": {"capabilities": told.capabilities, "idle": told.idle, "gpu_plugin": told.gpu_plugin, "gpu_info": told.gpu_info, "gpu_health": told.gpu_health},
        "problems": seen.problems,
        "stopped": seen.problems.iter().any(|problem| problem.stops),
    })
}
