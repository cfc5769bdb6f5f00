//! A whole challenge on one device: all rounds, each under the key that the one before gives.
//!
//! Runs on: the device's thread. It looks between two rounds whether the answer is still wanted.

use super::{fault::JobFault, room::Room};
use crate::{
    compute::gemm_i8::{Answer, KeyPrefix, Progress, Spec},
    cuda::Kernels,
    net::Clock,
    wire::gpu_socket::Timings,
};

/// Row hashes that are kept of one answer: 512 rounds of n = 32,768.
const KEPT_BYTES: u64 = 512 << 20;

/// The answer, and what its time went into: stages by the device's own events, the whole by the clock.
pub fn challenge(
    kernels: &Kernels,
    spec: Spec,
    prefix: KeyPrefix,
    clock: Clock,
    go_on: impl Fn() -> bool,
) -> Result<(Answer, Timings), JobFault> {
    check_kept(&spec)?;
    let (began, uuid) = (clock.mono(), prefix.device().to_owned());
    let room = Room::new(kernels, &uuid, spec.n(), spec.n())?;
    let mut progress = Progress::new(spec, prefix);
    let mut sum = Timings::default();
    while let Some(key) = progress.next_key() {
        if !go_on() {
            return Err(JobFault::CalledOff);
        }
        let (hashes, took) = room.round(&key).map_err(|fault| JobFault::Cuda { uuid: uuid.clone(), fault })?;
        sum.generate += took.generate;
        sum.multiply += took.multiply;
        sum.hash += took.hash;
        // As many as the round has rows: the room is as high as the matrix.
        let _ = progress.add_round(&hashes);
    }
    sum.total = clock.mono().since(began).as_secs_f64() * 1e3;
    Ok((progress.finish().ok_or(JobFault::NothingKept { uuid })?, sum))
}

fn check_kept(spec: &Spec) -> Result<(), JobFault> {
    let (n, rounds) = (spec.n(), spec.rounds());
    let needed = u64::from(n) * u64::from(rounds) * 32;
    if needed <= KEPT_BYTES {
        return Ok(());
    }
    let (needed_mib, limit_mib) = (needed.div_ceil(1 << 20), KEPT_BYTES >> 20);
    Err(JobFault::TooMuchKept { n, rounds, needed_mib, limit_mib })
}
