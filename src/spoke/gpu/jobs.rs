//! Jobs for the GPUs: one at a time, all of its devices at once.
//!
//! Runs on: its own thread, `gpu`. Owns nothing between two jobs. A job that is called off is no longer waited for; the
//! executor may go on with it until the next one comes.

use std::{collections::BTreeMap, time::Duration};

use super::{Client, client::ClientFault};
use crate::{
    compute::{
        gemm_i8::{KeyPrefix, Spec},
        merkle::Tree,
        row_hash::RowHash,
    },
    machine::contract::{
        cpu::Split,
        gpu::{GpuAnswer, GpuKept, GpuOutcome, GpuReply, GpuRequest, GpuTask},
    },
    spoke::CallOff,
    wire::{
        gpu_socket::{GemmDevice, GemmResult, GemmTask, MatrixResult, MatrixTask, Request, Submitted, Timings},
        messages::Commitment,
    },
};

/// What [`crate::spoke::spawn`] serves requests with.
#[derive(Clone, Debug)]
pub struct Jobs {
    client: Client,
    called_off: CallOff,
}

impl Jobs {
    pub fn new(client: Client, called_off: CallOff) -> Jobs {
        Jobs { client, called_off }
    }

    pub fn serve(&self, request: GpuRequest) -> GpuReply {
        let began = self.client.clock().mono();
        let go_on = || !self.called_off.covers(request.job.0);
        let computed = match &request.task {
            GpuTask::GemmI8 { spec, prefixes } => self.gemm_i8(*spec, prefixes, &go_on),
            GpuTask::GpuMatrix { seed, n, iterations } => self.gpu_matrix(seed, *n, *iterations, &go_on),
        };
        let outcome = match computed {
            Ok((answer, split)) => {
                GpuOutcome::Computed { answer, took: self.client.clock().mono().since(began), split }
            }
            Err(_) if !go_on() => GpuOutcome::CalledOff,
            Err(why) => GpuOutcome::Failed(why),
        };
        GpuReply { job: request.job, outcome }
    }

    fn gemm_i8(
        &self,
        spec: Spec,
        prefixes: &[KeyPrefix],
        go_on: &dyn Fn() -> bool,
    ) -> Result<(GpuAnswer, Split), String> {
        let device = |prefix: &KeyPrefix| GemmDevice { uuid: prefix.device().into(), key_prefix: prefix.to_hex() };
        let devices = prefixes.iter().map(device).collect();
        let task = GemmTask { matrix_size: spec.n(), rounds: spec.rounds(), devices };
        let answer: Submitted<GemmResult> = self.ask(&Request::SubmitGemmI8 { task }, go_on)?;
        let mut by_uuid: BTreeMap<&str, &GemmResult> =
            answer.results.iter().map(|one| (one.gpu_uuid.as_str(), one)).collect();
        let commitment = |prefix: &KeyPrefix| {
            let one = by_uuid.remove(prefix.device());
            let one = one.ok_or_else(|| format!("the executor has no root of device {}", prefix.device()))?;
            let root = root(&one.merkle_root);
            let root = root.ok_or_else(|| format!("the executor's root of device {} is none", prefix.device()))?;
            Ok(Commitment::gemm_i8(prefix.device(), &root))
        };
        let commitments = prefixes.iter().map(commitment).collect::<Result<Vec<_>, String>>()?;
        Ok((GpuAnswer { commitments, kept: GpuKept::GemmI8(spec) }, split(&answer.results)))
    }

    fn gpu_matrix(
        &self,
        seed: &str,
        n: u32,
        iterations: u32,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(GpuAnswer, Split), String> {
        let task =
            MatrixTask { seed: seed.into(), target_gpu_id: -1, matrix_size: n, mode: 0, matrix_iterations: iterations };
        let answer: Submitted<MatrixResult> = self.ask(&Request::SubmitChallenge { task }, go_on)?;
        if answer.results.is_empty() {
            return Err("the executor has computed on no GPU".into());
        }
        let (mut commitments, mut trees) = (Vec::new(), BTreeMap::new());
        for one in answer.results {
            trees.insert(one.gpu_uuid.clone(), tree(n, &one)?);
            let MatrixResult { gpu_uuid: uuid, merkle_root, sig_ver, sig_val, .. } = one;
            commitments.push(Commitment { uuid, sig_ver, sig_val, ..Commitment::cpu(merkle_root) });
        }
        Ok((GpuAnswer { commitments, kept: GpuKept::GpuMatrix { n, trees } }, Split::default()))
    }

    fn ask<T: serde::de::DeserializeOwned>(&self, request: &Request, go_on: &dyn Fn() -> bool) -> Result<T, String> {
        self.client.ask(request, go_on).map_err(|why: ClientFault| why.to_string())
    }
}

fn root(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
}

/// Proofs are made from it later: it must be what was signed.
fn tree(n: u32, one: &MatrixResult) -> Result<Tree, String> {
    let uuid = &one.gpu_uuid;
    let leaves: Result<Vec<RowHash>, _> = one.row_hashes.iter().map(|hash| hash.parse()).collect();
    let leaves = leaves.map_err(|_| format!("a row hash of device {uuid} is none"))?;
    let whole = leaves.len() == n as usize;
    let tree = Tree::new(leaves).filter(|_| whole).ok_or_else(|| format!("device {uuid} has not {n} row hashes"))?;
    match tree.root().eq_ignore_ascii_case(&one.merkle_root) {
        true => Ok(tree),
        false => Err(format!("the root of device {uuid} is not that of its row hashes")),
    }
}

/// Of the device that took longest.
fn split(results: &[GemmResult]) -> Split {
    let slowest = results.iter().map(|one| one.timings_ms).max_by(|one, other| one.total.total_cmp(&other.total));
    let Timings { generate, multiply, hash, .. } = slowest.unwrap_or_default();
    let span = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default();
    Split { generate: span(generate), multiply: span(multiply), hash: span(hash) }
}
