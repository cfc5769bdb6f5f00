//! What a worker shows for its challenge, held against what it was asked: commitments and proofs taken apart by
//! device, and the end that the verdicts on them lead to.
//!
//! Pure functions over values. They judge form alone and compute no proof; whether a challenge is open, and what a
//! fault does to it, is the life cycle's to say.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    compute::{cpu_matrix, gemm_i8, gpu_matrix, gpu_signature::Signed},
    machine::{
        contract::{
            store::{Asked, ChallengeRow, End, Work},
            verify::{DeviceEvidence, DeviceVerdict, Evidence, GpuEvidence},
        },
        validator::{challenges::Committed, incoming::GemmText},
    },
    units::Signer,
    wire::messages::{
        CPU_UUID, Commitment, DeviceProof,
        gemm_i8::{COMMITMENT_SIG_VER, Sample},
    },
};

/// The share of the work whose skipping soundness is stated for.
const SKIPPED: f64 = 0.1;
/// Letters of a peer's text that go into a reason.
const TEXT: usize = 200;
/// Failed devices that a reason names; the others are counted.
const NAMED: usize = 4;
/// Longest Merkle path of `cpu_matrix` that is taken in: a tree of 10,000 leaves has 14 levels.
const MOST_SIBLINGS: usize = 64;
/// `sig_ver` of a commitment that an executor signed.
const GPU_SIG_VER: u8 = 1;
/// Longest hash of a `cpu_matrix` proof, in characters.
const HASH_TEXT: usize = 64;

/// (device, root in lower case) in the order of the challenge, when the commitment is that of all its devices and of
/// no other; else what is wrong with it.
/// A GPU's of `gpu_matrix` must be signed by one of `signers`; of its worker's GPUs any may commit.
pub fn roots(row: &ChallengeRow, given: &[Commitment], signers: &[Signer]) -> Result<Vec<(String, String)>, String> {
    match &row.work {
        Work::GpuMatrix { gpus, .. } => {
            let mut seen = BTreeSet::new();
            given.iter().map(|one| gpu_root(row, gpus, one, signers, &mut seen)).collect()
        }
        Work::CpuMatrix { .. } => cpu_root(given).map(|root| vec![root]),
        Work::GemmI8 { devices, .. } => {
            let by_uuid = each_once(devices, given.iter().map(|one| (one.uuid.as_str(), one)), "commitment")?;
            by_uuid.into_iter().map(|(uuid, one)| Ok((uuid.clone(), gemm_root(one)?))).collect()
        }
    }
}

/// A CPU commits once, under its own uuid.
fn cpu_root(given: &[Commitment]) -> Result<(String, String), String> {
    match given {
        [one] if one.uuid == CPU_UUID && one.sig_ver != COMMITMENT_SIG_VER => {
            Ok((CPU_UUID.into(), one.merkle_root.to_ascii_lowercase()))
        }
        [one] if one.uuid == CPU_UUID => Err(format!("sig_ver {} of cpu_matrix, expected 0", one.sig_ver)),
        _ => Err(format!("{} devices, expected {CPU_UUID} alone", given.len())),
    }
}

fn gpu_root<'a>(
    row: &ChallengeRow,
    gpus: &[String],
    given: &'a Commitment,
    signers: &[Signer],
    seen: &mut BTreeSet<&'a str>,
) -> Result<(String, String), String> {
    let Commitment { uuid, merkle_root, sig_ver, sig_val, .. } = given;
    let device = || shortened(uuid);
    if uuid == CPU_UUID {
        return Err(format!("commitment of the CPU, {CPU_UUID:?}, to a challenge of GPUs"));
    }
    if !gpus.contains(uuid) {
        return Err(format!("commitment of GPU {}, which no heartbeat of this worker has named", device()));
    }
    if !seen.insert(uuid) {
        return Err(format!("commitment of GPU {} twice", device()));
    }
    if *sig_ver != GPU_SIG_VER {
        return Err(format!("sig_ver {sig_ver} of GPU {}, expected {GPU_SIG_VER}", device()));
    }
    let signed = Signed { version: *sig_ver, seed: &row.seed, uuid, root: merkle_root };
    signed.check(signers, sig_val).map_err(|fault| format!("GPU {}: {fault}", device()))?;
    Ok((uuid.clone(), merkle_root.to_ascii_lowercase()))
}

fn gemm_root(given: &Commitment) -> Result<String, String> {
    let device = || shortened(&given.uuid);
    if given.sig_ver != COMMITMENT_SIG_VER {
        return Err(format!("sig_ver {} of device {}, expected {COMMITMENT_SIG_VER}", given.sig_ver, device()));
    }
    if given.merkle_root.len() != 64 {
        let digits = given.merkle_root.len();
        return Err(format!("merkle_root of device {} has {digits} hex digits, expected 64", device()));
    }
    Ok(given.merkle_root.to_ascii_lowercase())
}

/// What was given for each of these devices, in their order: one for each, none for any other.
fn each_once<'a, T>(
    devices: &'a [String],
    given: impl Iterator<Item = (&'a str, T)>,
    what: &str,
) -> Result<Vec<(&'a String, T)>, String> {
    let mut by_uuid = BTreeMap::new();
    for (uuid, one) in given {
        if !devices.iter().any(|device| device == uuid) {
            return Err(format!("{what} of device {}, which was not asked", shortened(uuid)));
        }
        if by_uuid.insert(uuid, one).is_some() {
            return Err(format!("{what} of device {} twice", shortened(uuid)));
        }
    }
    let of = |device: &'a String| by_uuid.remove(device.as_str()).map(|one| (device, one)).ok_or(device);
    let ordered: Result<Vec<_>, _> = devices.iter().map(of).collect();
    ordered.map_err(|device| format!("no {what} of device {device}"))
}

/// The proof of a CPU, ready for a verifier; the reason when it cannot be the rows asked for.
pub fn of_cpu(row: &ChallengeRow, committed: &Committed, proof: DeviceProof) -> Result<Evidence, String> {
    let (Work::CpuMatrix { n, iterations }, Asked::Rows(rows), [(_, root)]) =
        (&row.work, &committed.asked, &committed.roots[..])
    else {
        return Err("no challenge of cpu_matrix".into());
    };
    fits(&proof, rows.len())?;
    let seed = seed(row).ok_or("its seed is not 16 bytes")?;
    let spec = cpu_matrix::Spec::new(seed, *n, *iterations).map_err(|fault| fault.to_string())?;
    Ok(Evidence::CpuMatrix { spec, root: root.clone(), rows: rows.clone(), proof })
}

/// Whether a proof may wait in memory: its counts are those asked for, and nothing in it is longer than it can be.
fn fits(proof: &DeviceProof, asked: usize) -> Result<(), String> {
    match proof.coordinate_values.is_empty() {
        true => counted(proof, asked),
        false => Err("proof with values of a CPU, which has none".into()),
    }
}

fn counted(proof: &DeviceProof, asked: usize) -> Result<(), String> {
    let (hashes, paths) = (proof.row_hashes.len(), proof.merkle_proofs.len());
    if hashes != asked || paths != asked {
        return Err(format!("{hashes} row hashes and {paths} Merkle proofs for {asked} rows"));
    }
    let siblings = proof.merkle_proofs.iter().flat_map(|path| &path.proof_hashes);
    let leaves = proof.merkle_proofs.iter().map(|path| &path.leaf_hash);
    let long = proof.row_hashes.iter().chain(leaves).chain(siblings).any(|hash| hash.len() > HASH_TEXT);
    let deep =
        proof.merkle_proofs.iter().any(|path| path.proof_hashes.len().max(path.proof_directions.len()) > MOST_SIBLINGS);
    if long || deep { Err("proof with hashes that no row has".into()) } else { Ok(()) }
}

/// The proofs of the GPUs that committed, ready for a verifier: exactly theirs; else the reason. `columns` draws those
/// that are looked at in the rows of one GPU.
pub fn of_gpus(
    row: &ChallengeRow,
    committed: &Committed,
    proofs: Vec<DeviceProof>,
    rules: gpu_matrix::Rules,
    mut columns: impl FnMut() -> Vec<u32>,
) -> Result<Evidence, String> {
    let (Work::GpuMatrix { n, iterations, .. }, Asked::Values { coordinates, rows }) = (&row.work, &committed.asked)
    else {
        return Err("no challenge of gpu_matrix".into());
    };
    let (uuids, roots): (Vec<String>, Vec<String>) = committed.roots.iter().cloned().unzip();
    let names: Vec<String> = proofs.iter().map(|proof| proof.uuid.clone()).collect();
    let shown = each_once(&uuids, names.iter().map(String::as_str).zip(proofs), "proof")?;
    let values = coordinates.len() + rows.len() * *n as usize;
    let gpus = shown.into_iter().zip(roots).map(|((uuid, proof), root)| {
        fits_gpu(&proof, rows.len(), values)?;
        let gpu = gpu_matrix::Device::new(&row.seed, uuid, *n, *iterations);
        Ok(GpuEvidence { gpu, root, columns: columns(), proof })
    });
    let gpus = gpus.collect::<Result<_, String>>()?;
    Ok(Evidence::GpuMatrix { rules, coordinates: coordinates.clone(), rows: rows.clone(), gpus })
}

fn fits_gpu(proof: &DeviceProof, rows: usize, values: usize) -> Result<(), String> {
    let got = proof.coordinate_values.len();
    if got != values {
        return Err(format!("device {}: {got} values where {values} were asked for", shortened(&proof.uuid)));
    }
    counted(proof, rows)
}

/// The proofs of the devices that committed, ready for a verifier: exactly theirs, at least one of which can be
/// read; else the reason.
pub fn of_devices(row: &ChallengeRow, committed: &Committed, proofs: Vec<GemmText>) -> Result<Evidence, String> {
    let (Work::GemmI8 { n, rounds, devices }, Asked::Samples(asked)) = (&row.work, &committed.asked) else {
        return Err("no challenge of gemm_i8".into());
    };
    let spec = gemm_i8::Spec::new(*n, *rounds).map_err(|fault| fault.to_string())?;
    let seed = seed(row).ok_or("its seed is not 32 bytes")?;
    let uuids: Vec<String> = proofs.iter().map(|proof| proof.uuid.clone()).collect();
    let given = uuids.iter().map(String::as_str).zip(proofs);
    let proofs = each_once(devices, given, "proof")?;
    if proofs.iter().all(|(_, proof)| proof.proof.is_err()) {
        let why = proofs.into_iter().filter_map(|(uuid, proof)| Some((uuid.as_str(), proof.proof.err()?.to_string())));
        return Err(named(why.collect()));
    }
    let shown = proofs.into_iter().zip(committed.roots.iter().zip(asked));
    let evidence = shown.map(|((uuid, proof), ((_, root), (_, samples)))| {
        let prefix = gemm_i8::KeyPrefix::new(&row.id, &seed, row.target.hotkey.as_str(), &row.target.worker, uuid);
        let root = bytes(root).ok_or_else(|| format!("the root of device {} is not 32 bytes", shortened(uuid)))?;
        Ok(DeviceEvidence { prefix, root, samples: samples.clone(), proof: proof.proof })
    });
    Ok(Evidence::GemmI8 { spec, devices: evidence.collect::<Result<_, String>>()? })
}

/// The seed of a challenge, as many bytes as its kind has.
pub fn seed<const N: usize>(row: &ChallengeRow) -> Option<[u8; N]> {
    bytes(&row.seed)
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
}

/// Minus the binary logarithm of the chance that a device which skipped a tenth of the work passes.
pub fn soundness_bits(asked: &Asked) -> Option<f64> {
    let Asked::Samples(devices) = asked else { return None };
    let fewest = devices.iter().map(|(_, samples): &(String, Vec<Sample>)| samples.len()).min()?;
    Some(gemm_i8::soundness_bits(fewest, SKIPPED))
}

/// How the verdicts on its devices end a challenge: it passes when at least one of them did.
pub fn end(work: &Work, verdicts: &[DeviceVerdict]) -> End {
    let passed = verdicts.iter().filter(|device| device.verdict.is_ok()).count();
    let failed = || -> Vec<(&str, String)> {
        let why = |device: &DeviceVerdict| device.verdict.as_ref().err().map(ToString::to_string);
        verdicts.iter().filter_map(|device| Some((device.uuid.as_str(), why(device)?))).collect()
    };
    match (passed, verdicts, work) {
        (0, [], _) => End::Failed("nothing was proved".into()),
        (0, [one], Work::CpuMatrix { .. }) => {
            End::Failed(one.verdict.as_ref().err().map_or_else(String::new, ToString::to_string))
        }
        (0, ..) => End::Failed(named(failed())),
        _ => End::Verified {
            success_count: u32::try_from(passed).unwrap_or(u32::MAX),
            ops: work.ops() * passed as f64,
            note: (passed < verdicts.len()).then(|| named(failed())),
            passed: verdicts.iter().filter(|one| one.verdict.is_ok()).map(|one| one.uuid.clone()).collect(),
        },
    }
}

/// Devices and what is wrong with them.
fn named(failed: Vec<(&str, String)>) -> String {
    let more = failed.len().saturating_sub(NAMED);
    let texts =
        failed.into_iter().take(NAMED).map(|(uuid, why)| format!("device {}: {}", shortened(uuid), shortened(&why)));
    let texts: Vec<String> = texts.chain((more > 0).then(|| format!("{more} more devices"))).collect();
    texts.join("; ")
}

/// A peer's text as part of a reason: not too long, no control characters.
pub fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT).collect()
}
