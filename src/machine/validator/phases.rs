//! The two phases of a challenge as a miner goes through them: the hand-out, the commitment, the proof.
//!
//! It carries what a request says to the life cycle and makes the answer. The rules of each step are with
//! `challenges`, what a worker shows is taken apart in `evidence`, and verifiers judge it.

use super::{
    Validator,
    axon::Pending,
    challenges::{Commitment, Reaction},
    draw, evidence,
    fault::Fault,
    incoming::Proofs,
};
use crate::{
    compute::gpu_matrix,
    config::validator::Tolerance,
    machine::contract::{
        store::{Asked, CPU_MATRIX, ChallengeRow, End, GPU_MATRIX, Work},
        verify::{Evidence, VerifyRequest},
    },
    metrics::Metric,
    units::{ChallengeId, Now},
    wire::{
        json,
        messages::{
            self, CPU_UUID, ChallengeData, ChallengeSpec, CommitmentData, DeviceProof, DeviceRequest, ProofData,
            ProofRequests, Raw, StatusAnswer, TaskRequest, TaskResponse,
            gemm_i8::{GEMM_I8, GemmI8Data, VERSION},
        },
    },
};

impl Validator {
    /// The clock of each challenge starts with this answer.
    pub(super) fn hand_out(&mut self, now: Now, pending: &Pending, request: &TaskRequest) -> String {
        let rows = self.challenges.hand_out(now, &pending.head.hotkey, request.idle_workers.as_deref());
        let limit_s = self.config.validation.challenge_timeout.as_secs_f64().ceil() as u32;
        let specs = rows.iter().filter_map(|row| spec_of(row, limit_s.clamp(1, 300))).collect();
        let mut answer = TaskResponse::new(specs, now.wall);
        self.add_market_tasks(now, &pending.head.hotkey, request, &mut answer);
        json::text(&answer)
    }

    pub(super) fn commitment(
        &mut self,
        now: Now,
        pending: &Pending,
        data: &CommitmentData,
    ) -> Result<ProofRequests, Fault> {
        let commitment = Commitment {
            id: data.challenge_id.as_str(),
            worker: &data.worker_id,
            devices: &data.commitments,
            signers: &self.config.validation.gpu_matrix.signers,
            failure: data.failure.as_ref().map(|failure| failure.reason.as_str()),
            arrived: pending.arrived,
        };
        let (rng, validation) = (&mut self.rng, &self.config.validation);
        let draw = |row: &ChallengeRow| draw::asked(rng, validation, &row.work);
        let proof_requests = match self.challenges.commit(now, &pending.head.hotkey, &commitment, draw)? {
            Reaction::Prove(asked, computation) => {
                self.counters.observe(Metric::ComputationSeconds, &[kind_of(&asked)], computation);
                requests(asked, &data.commitments)
            }
            Reaction::Over => Vec::new(),
        };
        Ok(ProofRequests { proof_requests })
    }

    pub(super) fn proof(
        &mut self,
        now: Now,
        pending: &Pending,
        data: ProofData<Proofs>,
    ) -> Result<StatusAnswer, Fault> {
        if data.challenge_id.as_str().is_empty() || data.proofs.is_empty() {
            return Err(Fault::ProofIncomplete);
        }
        let (row, committed) = self.challenges.awaiting_proof(&pending.head.hotkey, data.challenge_id.as_str())?;
        let id = row.id.clone();
        let evidence = match (&row.work, data.proofs) {
            (Work::GpuMatrix { n, .. }, Proofs::Rows(proofs)) => {
                let (rng, gpu) = (&mut self.rng, &self.config.validation.gpu_matrix);
                let columns = || gpu_matrix::columns(rng, *n, gpu.column_rate);
                let Tolerance { absolute, relative, threshold } = gpu.tolerance;
                let rules = gpu_matrix::Rules { absolute, relative, threshold };
                evidence::of_gpus(row, committed, proofs, rules, columns)
            }
            (Work::CpuMatrix { .. }, Proofs::Rows(proofs)) => evidence::of_cpu(row, committed, the_cpu_proof(proofs)?),
            (Work::GemmI8 { .. }, Proofs::GemmI8(proofs)) => evidence::of_devices(row, committed, proofs),
            (Work::CpuMatrix { .. } | Work::GpuMatrix { .. }, Proofs::GemmI8(_)) => {
                return Err(Fault::OtherKind { id, asked: row.work.kind(), got: GEMM_I8 });
            }
            (Work::GemmI8 { .. }, Proofs::Rows(_)) => Err(format!("a proof of {CPU_MATRIX}, not of {GEMM_I8}")),
        };
        self.queue(now, id, evidence)
    }

    /// A proof that cannot be right ends its challenge at once; one that finds no room is nobody's fault.
    fn queue(&mut self, now: Now, id: ChallengeId, evidence: Result<Evidence, String>) -> Result<StatusAnswer, Fault> {
        let evidence = match evidence {
            Ok(evidence) => evidence,
            Err(reason) => {
                self.challenges.end(now, &id, End::Failed(reason.clone()), None);
                return Err(Fault::BadProof { id, reason });
            }
        };
        if !self.verification.push(VerifyRequest { id: id.clone(), evidence }) {
            self.challenges.end(now, &id, End::Void("verification queue full".into()), None);
            return Err(Fault::QueueFull(id));
        }
        self.challenges.verifying(now, &id);
        Ok(StatusAnswer::queued(&id))
    }
}

fn the_cpu_proof(proofs: Vec<DeviceProof>) -> Result<DeviceProof, Fault> {
    let [proof] = <[DeviceProof; 1]>::try_from(proofs).map_err(|_| Fault::OtherDevices)?;
    if proof.uuid != CPU_UUID {
        return Err(Fault::OtherDevices);
    }
    if proof.row_hashes.is_empty() {
        return Err(Fault::NoRowHashes);
    }
    Ok(proof)
}

fn kind_of(asked: &Asked) -> &'static str {
    match asked {
        Asked::Rows(_) => CPU_MATRIX,
        Asked::Values { .. } => GPU_MATRIX,
        Asked::Samples(_) => GEMM_I8,
    }
}

/// `committed`: checked, and in the order that was stored.
fn requests(asked: Asked, committed: &[messages::Commitment]) -> Vec<DeviceRequest> {
    match asked {
        Asked::Values { coordinates, rows } => {
            let of = |one: &messages::Commitment| DeviceRequest::values(&one.uuid, coordinates.clone(), rows.clone());
            committed.iter().map(of).collect()
        }
        Asked::Rows(rows) => vec![DeviceRequest::rows(CPU_UUID, rows)],
        Asked::Samples(devices) => {
            devices.into_iter().map(|(uuid, samples)| DeviceRequest::samples(&uuid, samples)).collect()
        }
    }
}

fn spec_of(row: &ChallengeRow, timeout: u32) -> Option<ChallengeSpec> {
    let data = match &row.work {
        Work::CpuMatrix { n, iterations } => Raw::of(&matrix(row, *n, *iterations)?),
        Work::GpuMatrix { n, iterations, .. } => {
            let (mode, target_gpu_id) = (Some(0), Some(-1));
            Raw::of(&ChallengeData { mode, target_gpu_id, ..matrix(row, *n, *iterations)? })
        }
        Work::GemmI8 { n, rounds, devices } => Raw::of(&gemm_i8(row, *n, *rounds, devices)?),
    };
    Some(ChallengeSpec {
        challenge_id: row.id.clone(),
        challenge_type: row.work.kind().into(),
        data: data.ok()?,
        timeout,
        target_worker_id: row.target.worker.clone(),
    })
}

fn matrix(row: &ChallengeRow, n: u32, iterations: u32) -> Option<ChallengeData> {
    Some(ChallengeData {
        challenge_type: row.work.kind().into(),
        matrix_size: n,
        seed: evidence::seed(row)?,
        iterations,
        mode: None,
        target_gpu_id: None,
        challenge_id: Some(row.id.clone()),
        worker_id: Some(row.target.worker.clone()),
        miner_hotkey: Some(row.target.hotkey.to_string()),
        round_id: Some(row.round_id.clone()),
    })
}

fn gemm_i8(row: &ChallengeRow, n: u32, rounds: u32, devices: &[String]) -> Option<GemmI8Data> {
    Some(GemmI8Data {
        challenge_type: GEMM_I8.into(),
        version: VERSION,
        challenge_id: row.id.clone(),
        worker_id: row.target.worker.clone(),
        miner_hotkey: row.target.hotkey.to_string(),
        round_id: row.round_id.clone(),
        seed: evidence::seed(row)?,
        matrix_size: n,
        rounds,
        devices: devices.to_vec(),
    })
}
