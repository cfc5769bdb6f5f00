//! Openings: the rows that samples lie in are computed again, at most 256 at a time, for no product is kept.
//!
//! Runs on: the device's thread. It trusts the device no more than a validator does: what was computed again must be
//! what was committed to.

use std::collections::BTreeMap;

use super::{
    fault::JobFault,
    room::{OPENED_ROWS, Room},
};
use crate::{
    compute::gemm_i8::{Answer, RoundPaths, asked},
    cuda::Kernels,
    wire::messages::gemm_i8::{GemmProof, Opening, Sample},
};

/// The proof of these samples, in their order.
pub fn open(
    kernels: &Kernels,
    answer: &Answer,
    samples: &[Sample],
    go_on: impl Fn() -> bool,
) -> Result<GemmProof, JobFault> {
    let uuid = answer.prefix().device();
    let asked = asked(answer, samples).map_err(|fault| JobFault::Open { uuid: uuid.into(), fault })?;
    let room = Room::new(kernels, uuid, OPENED_ROWS, answer.spec().n())?;
    let keys = answer.keys();
    let mut opened = BTreeMap::new();
    for (round, rows) in asked {
        let Some(key) = keys.get(round as usize) else { continue };
        room.draw_b(key).map_err(|fault| JobFault::Cuda { uuid: uuid.into(), fault })?;
        let paths = RoundPaths::new(answer, round);
        let rows: Vec<u32> = rows.into_iter().collect();
        for batch in rows.chunks(OPENED_ROWS as usize) {
            if !go_on() {
                return Err(JobFault::CalledOff);
            }
            let chaining = room.chaining(key, batch).map_err(|fault| JobFault::Cuda { uuid: uuid.into(), fault })?;
            let wanted = |sample: &&Sample| sample.round == round && batch.contains(&sample.row);
            for sample in samples.iter().filter(wanted) {
                opened.insert(*sample, opening(&room, &paths, uuid, batch, &chaining, *sample)?);
            }
        }
    }
    let openings = samples.iter().filter_map(|sample| opened.get(sample).cloned()).collect();
    Ok(GemmProof { uuid: uuid.to_owned(), tops: answer.tops().to_vec(), openings })
}

fn opening(
    room: &Room<'_>,
    paths: &RoundPaths<'_>,
    uuid: &str,
    batch: &[u32],
    chaining: &[[u8; 32]],
    sample: Sample,
) -> Result<Opening, JobFault> {
    let unreliable = || JobFault::Unreliable { uuid: uuid.to_owned(), sample };
    let at = batch.iter().position(|row| *row == sample.row).ok_or_else(unreliable)?;
    let values = room.values(at, sample.chunk).map_err(|fault| JobFault::Cuda { uuid: uuid.to_owned(), fault })?;
    let row = chaining.chunks_exact(chaining.len() / batch.len()).nth(at).unwrap_or_default();
    paths.opening(sample.row, sample.chunk, values, row).ok_or_else(unreliable)
}
