//! Proofs of what the GPU executor has computed: all devices are asked at once.
//!
//! Runs on: the thread `open`, with one more for each device while it asks. Owns nothing.

use serde::Serialize;

use super::Client;
use crate::{
    compute::merkle::Tree,
    machine::contract::gpu::{GpuAnswer, GpuKept},
    spoke::in_parallel,
    wire::{
        gpu_socket::{Opened, Request, Rows, Values},
        messages::{DeviceProof, DeviceRequest, MerkleProof, Raw, gemm_i8::GemmProof},
    },
};

/// A list of proofs, one for each request in its order.
pub fn proofs(
    client: &Client,
    answer: &GpuAnswer,
    requests: &[DeviceRequest],
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<Raw, String> {
    let hands: Vec<&DeviceRequest> = requests.iter().collect();
    let proofs = in_parallel("open", hands, |request| proof(client, answer, request, go_on));
    let proofs = proofs.into_iter().collect::<Result<Vec<Raw>, String>>()?;
    Raw::of(&proofs).map_err(|why| why.to_string())
}

fn proof(
    client: &Client,
    answer: &GpuAnswer,
    request: &DeviceRequest,
    go_on: &dyn Fn() -> bool,
) -> Result<Raw, String> {
    let text = match &answer.kept {
        GpuKept::GemmI8(_) => Raw::of(&gemm_i8(client, request, go_on)?),
        GpuKept::GpuMatrix { n, trees } => {
            let tree = trees.get(&request.uuid).ok_or_else(|| format!("nothing is kept of device {}", request.uuid))?;
            Raw::of(&gpu_matrix(client, *n, tree, request, go_on)?)
        }
    };
    text.map_err(|why| why.to_string())
}

fn gemm_i8(client: &Client, request: &DeviceRequest, go_on: &dyn Fn() -> bool) -> Result<GemmProof, String> {
    #[derive(Serialize)]
    struct Text<'a> {
        uuid: &'a str,
        tops: Raw,
        openings: Raw,
        row_hashes: [(); 0],
        merkle_proofs: [(); 0],
        coordinate_values: [(); 0],
    }
    let (gpu_uuid, samples) = (request.uuid.clone(), request.samples.clone());
    let opened: Result<Opened, _> = client.ask(&Request::OpenGemmI8 { gpu_uuid, samples }, go_on);
    let Opened { tops, openings, .. } = opened.map_err(|why| why.to_string())?;
    let uuid = &request.uuid;
    let text = Text { uuid, tops, openings, row_hashes: [], merkle_proofs: [], coordinate_values: [] };
    let text = Raw::of(&text).map_err(|why| why.to_string())?;
    let proof = GemmProof::read(&text).map_err(|why| format!("the executor's opening of device {uuid}: {why}"))?;
    let opened = proof.openings.iter().map(|opening| opening.sample());
    match opened.eq(request.samples.iter().copied()) {
        true => Ok(proof),
        false => Err(format!("the executor has opened other samples of device {uuid} than were asked for")),
    }
}

fn gpu_matrix(
    client: &Client,
    n: u32,
    tree: &Tree,
    request: &DeviceRequest,
    go_on: &dyn Fn() -> bool,
) -> Result<DeviceProof, String> {
    let (uuid, told) = (&request.uuid, |why: super::client::ClientFault| why.to_string());
    let ask = Request::GetResultCoords { gpu_uuid: uuid.clone(), queries: request.coordinates.clone() };
    let Values { mut values, .. } = client.ask(&ask, go_on).map_err(told)?;
    let ask = Request::GetResultRows { gpu_uuid: uuid.clone(), row_indices: request.rows.clone() };
    let Rows { mut rows, .. } = client.ask(&ask, go_on).map_err(told)?;
    let mut paths = Vec::new();
    for row in &request.rows {
        let found = rows.remove(&row.to_string()).filter(|found| found.len() == n as usize);
        values.extend(found.ok_or_else(|| format!("the executor has no row {row} of device {uuid}"))?);
        paths.push(path(tree, *row).ok_or_else(|| format!("device {uuid} has no row {row}"))?);
    }
    let hashes = paths.iter().map(|path| path.leaf_hash.clone()).collect();
    Ok(DeviceProof { uuid: uuid.clone(), coordinate_values: values, ..DeviceProof::cpu(hashes, paths) })
}

fn path(tree: &Tree, row: u32) -> Option<MerkleProof> {
    let leaf_hash = tree.leaves().get(row as usize)?.to_string();
    let path = tree.prove(row)?;
    Some(MerkleProof { leaf_index: row, leaf_hash, proof_hashes: path.siblings, proof_directions: path.on_the_right })
}
