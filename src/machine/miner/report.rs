//! What a heartbeat says: every registered worker, idle or busy, with its hardware as it told it.
//!
//! Owns nothing. A report that would not fit one request is said in several.

use super::workers::Worker;
use crate::{
    units::{Hotkey, Now},
    wire::{
        json,
        messages::{HeartbeatData, MaintenanceNotice, SCHEMA_VERSION, WorkerInfo, WorkerStatus, gemm_i8::GEMM_I8},
    },
};

/// Plaintext of one heartbeat, about: encrypted and wrapped it stays under the 1 MiB of a synapse's body.
const PLAINTEXT_BYTES: usize = 600 * 1024;

/// Room for a worker's fields besides its hardware and capabilities: three short texts, escaped, and numbers.
const FIELDS_BYTES: usize = 2048;

/// The plaintexts of one round of heartbeats; none without workers. Each says all of the maintenance.
pub fn heartbeats<'a>(
    me: &Hotkey,
    now: Now,
    workers: impl Iterator<Item = (&'a Worker, bool)>,
    maintenance: Option<&[MaintenanceNotice]>,
) -> Vec<String> {
    let text = |workers| text(me, now, workers, maintenance);
    let mut texts = Vec::new();
    let (mut batch, mut size) = (Vec::new(), 0);
    for (worker, busy) in workers {
        let bytes = size_of(worker);
        if size + bytes > PLAINTEXT_BYTES && !batch.is_empty() {
            texts.push(text(std::mem::take(&mut batch)));
            size = 0;
        }
        size += bytes;
        batch.push(info(worker, busy));
    }
    if !batch.is_empty() {
        texts.push(text(batch));
    }
    texts
}

fn size_of(worker: &Worker) -> usize {
    let capabilities: usize = worker.capabilities.iter().map(|capability| capability.len() + 3).sum();
    FIELDS_BYTES + capabilities + worker.system_info.as_json().len()
}

fn info(worker: &Worker, busy: bool) -> WorkerInfo {
    WorkerInfo {
        worker_id: worker.id.clone(),
        worker_name: worker.name.clone(),
        worker_version: Some(worker.version.clone()),
        capabilities: worker.capabilities.clone(),
        status: if busy { WorkerStatus::Busy } else { WorkerStatus::Online },
        system_info: worker.system_info.clone(),
        connected_at: Some(worker.connected_at.as_secs_f64()),
        last_heartbeat: Some(worker.last_heartbeat.as_secs_f64()),
    }
}

fn text(me: &Hotkey, now: Now, workers: Vec<WorkerInfo>, maintenance: Option<&[MaintenanceNotice]>) -> String {
    json::text(&HeartbeatData {
        hotkey: me.to_string(),
        timestamp: now.wall.as_secs_f64(),
        workers,
        miner_info: None,
        miner_features: vec![GEMM_I8.into()],
        maintenance: maintenance.map(<[_]>::to_vec),
        schema_version: SCHEMA_VERSION,
    })
}
