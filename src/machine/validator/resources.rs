//! What the hub is told of workers: everything once a session, then what changed.
//!
//! Owns what heartbeats said since the last report, and what the hub has been told in this session. It knows no link;
//! when to report is `market`'s. Bounded: [`fleet::KEPT_PER_MINER`] workers a miner, miners of the metagraph, and
//! [`MOST_WAITING`] bytes of hardware, which is kept only until it is told: a worker sends it again with each heartbeat.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{fleet, heartbeat};
use crate::{
    units::{Hotkey, Mono, Now, Wall, WorkerId, WorkerKey},
    wire::{
        json::{self, Raw},
        marketplace::{
            Hardware, MinerResources, Network, ReportMode, ResourceReport, Stamp, Stats, Status, WorkerResources,
        },
        messages::{HeartbeatData, SystemInfo, WorkerInfo, WorkerStatus},
    },
};

/// Bytes of hardware that may wait for the next report; what is over it comes with a later heartbeat.
pub(super) const MOST_WAITING: usize = 64 << 20;
/// The longest hardware of one worker that is passed on …
const HARDWARE_BYTES: usize = 32 << 10;
/// … and of all workers of a miner that waits: none takes the others' room.
const MOST_OF_MINER: usize = 1 << 20;
/// Hardware of one frame, about.
const FRAME_BYTES: usize = 256 << 10;
/// The longest description of an operating system that is passed on.
const OS_BYTES: usize = 4 << 10;

#[derive(Debug, Default)]
pub(super) struct Resources {
    /// When the last report was made; `None` until the full one was.
    last: Option<Wall>,
    miners: BTreeMap<Hotkey, BTreeMap<WorkerId, Known>>,
    /// Bytes of hardware that wait to be told.
    waiting: usize,
    /// Workers whose hardware found no room since the last report.
    postponed: usize,
}

#[derive(Debug, Default)]
struct Known {
    name: Option<String>,
    version: Option<String>,
    capabilities: Vec<String>,
    online: bool,
    uptime_seconds: Option<u64>,
    public_ip: Option<String>,
    os_info: Option<Raw>,
    heard: Now,
    /// Heard since the last report.
    news: bool,
    /// Of the heartbeats since the last report that had any: CPU, memory, storage.
    usage: [Mean; 3],
    /// Digest of the hardware that was heard last.
    print: Option<u64>,
    /// What is to be told of it.
    hardware: Option<Hardware>,
    told: Option<Told>,
}

/// What the hub has been told in this session.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Told {
    status: Status,
    lease: f64,
    /// Digest of the hardware; `None` where that found no room.
    print: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    /// A share in per cent; anything else was no measurement.
    fn take(&mut self, percent: Option<f64>) {
        if let Some(percent) = percent.filter(|percent| (0.0..=100.0).contains(percent)) {
            self.sum += percent;
            self.count += 1;
        }
    }

    fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

impl Resources {
    /// A miner's heartbeat. `prints`: digests of its workers' hardware, in their order.
    pub(super) fn heard(&mut self, now: Now, hotkey: &Hotkey, data: &HeartbeatData, prints: &[u64]) {
        let workers = self.miners.entry(hotkey.clone()).or_default();
        let mut of_miner: usize = workers.values().filter_map(|known| known.hardware.as_ref()).map(bytes).sum();
        for (info, print) in data.workers.iter().zip(prints) {
            let known = workers.entry(info.worker_id.clone()).or_default();
            known.take(now, info);
            if known.print == Some(*print) && !known.owes_hardware() {
                continue;
            }
            let pieces = Pieces::of(&info.system_info);
            (known.print, known.os_info) = (Some(*print), pieces.os_info());
            let before = known.hardware.take().as_ref().map_or(0, bytes);
            (self.waiting, of_miner) = (self.waiting - before, of_miner - before);
            let hardware = pieces.hardware();
            let size = bytes(&hardware);
            if self.waiting + size > MOST_WAITING || of_miner + size > MOST_OF_MINER {
                self.postponed += 1;
            } else {
                self.waiting += size;
                of_miner += size;
                known.hardware = Some(hardware);
            }
        }
        let over = workers.len().saturating_sub(fleet::KEPT_PER_MINER);
        let mut by_age: Vec<(Mono, WorkerId)> = Vec::new();
        if over > 0 {
            by_age.extend(workers.iter().map(|(id, known)| (known.heard.mono, id.clone())));
            by_age.sort();
        }
        for (_, oldest) in by_age.into_iter().take(over) {
            let gone = workers.remove(&oldest).and_then(|known| known.hardware);
            self.waiting -= gone.as_ref().map_or(0, bytes);
        }
    }

    /// A new session: the hub may remember nothing, so the next report is a full one.
    pub(super) fn forget(&mut self) {
        self.last = None;
        self.known().for_each(|known| known.told = None);
    }

    /// Forgets hotkeys that left the metagraph.
    pub(super) fn retain(&mut self, known: impl Fn(&Hotkey) -> bool) {
        self.miners.retain(|hotkey, _| known(hotkey));
        self.waiting = self.known().filter_map(|known| known.hardware.as_ref()).map(bytes).sum();
    }

    fn known(&mut self) -> impl Iterator<Item = &mut Known> {
        self.miners.values_mut().flat_map(BTreeMap::values_mut)
    }

    /// Workers whose hardware found no room since this was asked last.
    pub(super) fn take_postponed(&mut self) -> usize {
        std::mem::take(&mut self.postponed)
    }

    /// The frames: all workers at first, later those of whom something changed. Nothing where there is nothing to tell;
    /// as long as there are no workers, the full report is still to come. `lease`: a worker's lease score.
    pub(super) fn report(&mut self, now: Now, lease: impl Fn(&WorkerKey) -> f64) -> Vec<ResourceReport> {
        let (mut changed, mut told_bytes) = (Vec::new(), 0);
        for (hotkey, workers) in &mut self.miners {
            // Who was told to be gone is no news until it is heard again, and then all of it is.
            workers.retain(|_, known| known.is_here(now.mono) || !known.is_told_offline());
            let mut news = Vec::new();
            for (id, known) in workers.iter_mut() {
                let key = WorkerKey::new(hotkey, id);
                let score = lease(&key);
                told_bytes += known.hardware.as_ref().map_or(0, bytes);
                news.extend(known.tell(now.mono, key, score));
            }
            let here = workers.values().any(|known| now.mono.since(known.heard.mono) < fleet::HEARD_WITHIN);
            if !news.is_empty() {
                let status = if here { Status::Active } else { Status::Offline };
                changed.push(MinerResources { hotkey: hotkey.clone(), status, version: None, workers: news });
            }
        }
        self.waiting -= told_bytes - self.known().filter_map(|known| known.hardware.as_ref()).map(bytes).sum::<usize>();
        self.frames(now.wall, changed)
    }

    fn frames(&mut self, now: Wall, changed: Vec<MinerResources>) -> Vec<ResourceReport> {
        if changed.is_empty() {
            return Vec::new();
        }
        let since = self.last.replace(now).map(Stamp::offset);
        let mode = if since.is_some() { ReportMode::Delta } else { ReportMode::Full };
        let report = |miners| ResourceReport { mode, since: since.clone(), miners };
        in_frames(changed).into_iter().map(report).collect()
    }

    pub(super) fn check_invariants(&self) {
        let known = || self.miners.values().flat_map(BTreeMap::values);
        assert!(self.miners.values().all(|workers| workers.len() <= fleet::KEPT_PER_MINER));
        let waiting: usize = known().filter_map(|known| known.hardware.as_ref()).map(bytes).sum();
        assert!(waiting == self.waiting && waiting <= MOST_WAITING, "hardware that waits: {waiting} bytes");
    }
}

impl Known {
    fn take(&mut self, now: Now, info: &WorkerInfo) {
        if !self.news {
            self.usage = Default::default();
        }
        let system = &info.system_info;
        let usage = [system.cpu_usage(), system.memory_usage(), system.storage_usage()];
        self.usage.iter_mut().zip(usage).for_each(|(mean, percent)| mean.take(percent));
        self.name = info.worker_name.as_deref().map(heartbeat::clipped);
        self.version = info.worker_version.as_deref().map(heartbeat::clipped);
        self.capabilities = heartbeat::capabilities(info);
        self.online = info.status != WorkerStatus::Offline;
        self.uptime_seconds = system.uptime_seconds().filter(|seconds| *seconds >= 0.0).map(|seconds| seconds as u64);
        self.public_ip = system.public_ip().filter(|text| !text.is_empty()).map(heartbeat::clipped);
        (self.heard, self.news) = (now, true);
    }

    /// The hub does not know what was heard last, and it does not wait either.
    fn owes_hardware(&self) -> bool {
        self.hardware.is_none() && self.told.is_none_or(|told| told.print != self.print)
    }

    fn is_here(&self, now: Mono) -> bool {
        self.online && now.since(self.heard.mono) < fleet::HEARD_WITHIN
    }

    fn is_told_offline(&self) -> bool {
        self.told.is_some_and(|told| told.status == Status::Offline) && !self.news
    }

    /// The worker as it is to be told, or nothing.
    fn tell(&mut self, now: Mono, key: WorkerKey, lease: f64) -> Option<WorkerResources> {
        let status = if self.is_here(now) { Status::Active } else { Status::Offline };
        if !self.news && self.told.is_some_and(|told| (told.status, told.lease) == (status, lease)) {
            return None;
        }
        let hardware = self.hardware.take();
        let print = match hardware {
            Some(_) => self.print,
            None => self.told.and_then(|told| told.print),
        };
        (self.told, self.news) = (Some(Told { status, lease, print }), false);
        let [cpu, memory, storage] = self.usage.map(Mean::value);
        Some(WorkerResources {
            worker_id: key.worker.clone(),
            worker_key: key,
            worker_name: self.name.clone(),
            status,
            version: self.version.clone(),
            capabilities: self.capabilities.clone(),
            lease_score: lease,
            last_seen_at: Some(Stamp::offset(self.heard.wall)),
            stats: Stats { avg_cpu_usage: cpu, avg_memory_usage: memory, avg_storage_usage: storage },
            uptime_seconds: self.uptime_seconds,
            network: Network { public_ip: self.public_ip.clone() },
            os_info: self.os_info.clone(),
            hardware,
        })
    }
}

/// The parts of a hardware report that a hub is told as they were sent.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Pieces {
    cpu_info: Option<Raw>,
    memory_info: Option<Raw>,
    storage_info: Option<Raw>,
    gpu_plugin: Option<Raw>,
    motherboard_info: Option<Raw>,
    system_info: Option<Raw>,
}

impl Pieces {
    fn of(info: &SystemInfo) -> Pieces {
        json::parse(info.as_json()).unwrap_or_default()
    }

    fn os_info(&self) -> Option<Raw> {
        self.system_info.clone().filter(|raw| raw.as_str().len() <= OS_BYTES)
    }

    /// Without a part that is too long.
    fn hardware(self) -> Hardware {
        let mut room = HARDWARE_BYTES;
        let mut fits = |piece: Option<Raw>| {
            let piece = piece.filter(|raw| raw.as_str().len() <= room)?;
            room -= piece.as_str().len();
            Some(piece)
        };
        Hardware {
            gpus: fits(self.gpu_plugin),
            cpu: fits(self.cpu_info),
            memory: fits(self.memory_info),
            storage: fits(self.storage_info),
            mb_info: fits(self.motherboard_info),
        }
    }
}

fn bytes(hardware: &Hardware) -> usize {
    let Hardware { cpu, memory, storage, gpus, mb_info } = hardware;
    [cpu, memory, storage, gpus, mb_info].into_iter().flatten().map(|raw| raw.as_str().len()).sum()
}

/// At most [`ResourceReport::WORKERS`] a frame, and hardware of about [`FRAME_BYTES`]; a miner with more is in several.
fn in_frames(miners: Vec<MinerResources>) -> Vec<Vec<MinerResources>> {
    let mut frames: Vec<Vec<MinerResources>> = Vec::new();
    let (mut room, mut left) = (0, 0);
    for MinerResources { hotkey, status, version, workers } in miners {
        let mut part: Option<usize> = None;
        for worker in workers {
            let size = worker.hardware.as_ref().map_or(0, bytes);
            if room == 0 || size > left {
                frames.push(Vec::new());
                (room, left, part) = (ResourceReport::WORKERS, FRAME_BYTES.max(size), None);
            }
            (room, left) = (room - 1, left - size);
            let Some(frame) = frames.last_mut() else { continue };
            let place = *part.get_or_insert_with(|| {
                frame.push(MinerResources {
                    hotkey: hotkey.clone(),
                    status,
                    version: version.clone(),
                    workers: Vec::new(),
                });
                frame.len() - 1
            });
            frame[place].workers.push(worker);
        }
    }
    frames
}
