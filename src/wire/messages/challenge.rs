//! `ChallengeSynapse` and `ChallengeProofSynapse`: commitment, what to prove, proof. Arithmetic is `compute`'s.

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use super::{
    Raw, SCHEMA_VERSION,
    gemm_i8::{COMMITMENT_SIG_VER, Sample},
    schema_version,
};
use crate::{
    units::{ChallengeId, WorkerId},
    wire::{code::Code, json, limits},
};

/// Phase 1: the roots that a worker commits itself to. The validator reads `C` as [`Commitment`]s; a miner passes
/// them on unread (`CommitmentData<Raw>`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommitmentData<C = Vec<Commitment>> {
    pub challenge_id: ChallengeId,
    pub worker_id: WorkerId,
    pub commitments: C,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug_info: Option<Raw>,
    /// Extension, for `gemm_i8` challenges alone: there is nothing to commit to, and why. `commitments` is empty
    /// then, and so are the answer's `proof_requests`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<WorkFailure>,
    #[serde(default = "schema_version")]
    pub schema_version: u32,
}

/// Why a worker has not computed what it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkFailure {
    pub code: Code,
    /// In the worker's or the miner's words; of any length and content, as far as its reader knows.
    pub reason: String,
}

impl<C> CommitmentData<C> {
    pub fn new(challenge_id: ChallengeId, worker_id: WorkerId, commitments: C) -> CommitmentData<C> {
        let (debug_info, failure) = (None, None);
        CommitmentData { challenge_id, worker_id, commitments, debug_info, failure, schema_version: SCHEMA_VERSION }
    }
}

impl CommitmentData {
    /// In place of a commitment.
    pub fn failed(challenge_id: ChallengeId, worker_id: WorkerId, failure: WorkFailure) -> CommitmentData {
        CommitmentData { failure: Some(failure), ..CommitmentData::new(challenge_id, worker_id, Vec::new()) }
    }
}

/// One device's root. The CPU's uuid is `-1` in `cpu_matrix`, `cpu` in `gemm_i8`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedCommitment")]
pub struct Commitment {
    pub uuid: String,
    /// Hex.
    pub merkle_root: String,
    /// 0 CPU, 1 GPU, 2 `gemm_i8` on either.
    pub sig_ver: u8,
    /// A GPU's signature, hex or base64, for version 1; "" for the others.
    pub sig_val: String,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The device uuid of the CPU.
pub const CPU_UUID: &str = "-1";

impl Commitment {
    pub fn cpu(merkle_root: String) -> Commitment {
        Commitment { uuid: CPU_UUID.into(), merkle_root, sig_ver: 0, sig_val: String::new(), extra: Map::new() }
    }

    /// A device's root of a `gemm_i8` challenge: it needs no signature, the root binds.
    pub fn gemm_i8(uuid: &str, root: &[u8; 32]) -> Commitment {
        let (uuid, merkle_root) = (uuid.to_owned(), hex::encode(root));
        Commitment { uuid, merkle_root, sig_ver: COMMITMENT_SIG_VER, sig_val: String::new(), extra: Map::new() }
    }
}

#[derive(Deserialize)]
struct UncheckedCommitment {
    uuid: String,
    merkle_root: String,
    #[serde(default)]
    sig_ver: u8,
    #[serde(default)]
    sig_val: String,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl TryFrom<UncheckedCommitment> for Commitment {
    type Error = &'static str;
    fn try_from(from: UncheckedCommitment) -> Result<Commitment, &'static str> {
        let UncheckedCommitment { uuid, merkle_root, sig_ver, sig_val, extra } = from;
        if merkle_root.is_empty() || !merkle_root.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("merkle_root must be hex");
        }
        match sig_ver {
            0 => {}
            1 if is_encoded(&sig_val) => {}
            1 => return Err("sig_val of a GPU must be hex or base64"),
            COMMITMENT_SIG_VER if sig_val.is_empty() => {}
            COMMITMENT_SIG_VER => return Err("sig_val of version 2 must be empty"),
            _ => return Err("sig_ver must be 0, 1 or 2"),
        }
        Ok(Commitment { uuid, merkle_root, sig_ver, sig_val, extra })
    }
}

fn is_encoded(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    !text.is_empty() && text.bytes().all(letter)
}

/// The answer to a commitment: what to prove. A miner passes `R` on unread (`ProofRequests<Raw>`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProofRequests<R = Vec<DeviceRequest>> {
    pub proof_requests: R,
}

/// What one device is to prove: of `gemm_i8` samples and nothing else, of the others rows and coordinates, not
/// both empty.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeviceRequest {
    pub uuid: String,
    #[serde(default)]
    pub rows: Vec<u32>,
    /// (row, column); the CPU is asked for none.
    #[serde(default)]
    pub coordinates: Vec<(u32, u32)>,
    #[serde(default)]
    pub samples: Vec<Sample>,
}

impl DeviceRequest {
    pub fn rows(uuid: &str, rows: Vec<u32>) -> DeviceRequest {
        DeviceRequest { uuid: uuid.into(), rows, coordinates: Vec::new(), samples: Vec::new() }
    }

    pub fn values(uuid: &str, coordinates: Vec<(u32, u32)>, rows: Vec<u32>) -> DeviceRequest {
        DeviceRequest { coordinates, ..DeviceRequest::rows(uuid, rows) }
    }

    pub fn samples(uuid: &str, samples: Vec<Sample>) -> DeviceRequest {
        DeviceRequest { samples, ..DeviceRequest::rows(uuid, Vec::new()) }
    }
}

/// Readers of the first version need `rows` and `coordinates`, empty or not, and know no `samples`.
impl Serialize for DeviceRequest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut fields = to.serialize_map(None)?;
        fields.serialize_entry("uuid", &self.uuid)?;
        let first = self.samples.is_empty();
        if first || !self.rows.is_empty() {
            fields.serialize_entry("rows", &self.rows)?;
        }
        if first || !self.coordinates.is_empty() {
            fields.serialize_entry("coordinates", &self.coordinates)?;
        }
        if !first {
            fields.serialize_entry("samples", &self.samples)?;
        }
        fields.end()
    }
}

/// Phase 2. The validator reads `P` as [`DeviceProof`]s; a miner passes them on unread (`ProofData<Raw>`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProofData<P = Vec<DeviceProof>> {
    pub challenge_id: ChallengeId,
    pub proofs: P,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug_info: Option<DebugInfo>,
    #[serde(default = "schema_version")]
    pub schema_version: u32,
}

/// When each side did its part, Unix ms by name. Curiosity of people: it decides nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DebugInfo {
    #[serde(default)]
    pub timestamps: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceProof {
    pub uuid: String,
    #[serde(default, deserialize_with = "json::at_most::<_, _, { limits::PROOF_ROWS }>")]
    pub row_hashes: Vec<String>,
    #[serde(default, deserialize_with = "json::at_most::<_, _, { limits::PROOF_ROWS }>")]
    pub merkle_proofs: Vec<MerkleProof>,
    /// What was no number is NaN here, and fails where it is compared.
    #[serde(default, deserialize_with = "numbers")]
    pub coordinate_values: Vec<f64>,
}

/// From a leaf to the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MerkleProof {
    pub leaf_index: u32,
    pub leaf_hash: String,
    #[serde(deserialize_with = "json::at_most::<_, _, { limits::PROOF_PATH }>")]
    pub proof_hashes: Vec<String>,
    /// True: the sibling is on the right.
    #[serde(deserialize_with = "json::at_most::<_, _, { limits::PROOF_PATH }>")]
    pub proof_directions: Vec<bool>,
}

fn numbers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let values = json::at_most::<D, Option<f64>, { limits::PROOF_VALUES }>(from)?;
    Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}

/// The answer to a proof.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusAnswer {
    pub challenge_status: String,
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default)]
    pub challenge_id: Option<ChallengeId>,
}

impl StatusAnswer {
    /// The proof waits for its verification.
    pub fn queued(challenge: &ChallengeId) -> StatusAnswer {
        StatusAnswer {
            challenge_status: "queued".into(),
            message: Some("Proof data received and queued for verification".into()),
            challenge_id: Some(challenge.clone()),
        }
    }
}

impl<P> ProofData<P> {
    pub fn new(challenge_id: ChallengeId, proofs: P) -> ProofData<P> {
        ProofData { challenge_id, proofs, debug_info: None, schema_version: SCHEMA_VERSION }
    }
}

impl DeviceProof {
    /// A proof of CPU rows; the counts of hashes and Merkle proofs are the verifier's to check.
    pub fn cpu(row_hashes: Vec<String>, merkle_proofs: Vec<MerkleProof>) -> DeviceProof {
        DeviceProof { uuid: CPU_UUID.into(), row_hashes, merkle_proofs, coordinate_values: vec![] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::{self, JsonFault};

    fn commitment(text: &str) -> Result<Commitment, JsonFault> {
        json::parse(text)
    }

    #[test]
    fn a_root_is_hex_and_a_gpu_signs() {
        assert!(commitment(r#"{"uuid":"-1","merkle_root":"ab","sig_ver":0,"sig_val":""}"#).is_ok());
        assert!(commitment(r#"{"uuid":"GPU-1","merkle_root":"ab","sig_ver":1,"sig_val":"aGk="}"#).is_ok());
        for bad in [
            r#"{"uuid":"-1","merkle_root":"zz"}"#,
            r#"{"uuid":"-1","merkle_root":""}"#,
            r#"{"uuid":"GPU-1","merkle_root":"ab","sig_ver":1,"sig_val":""}"#,
            r#"{"uuid":"GPU-1","merkle_root":"ab","sig_ver":1,"sig_val":"a b"}"#,
            r#"{"uuid":"cpu","merkle_root":"ab","sig_ver":2,"sig_val":"ab"}"#,
            r#"{"uuid":"cpu","merkle_root":"ab","sig_ver":3}"#,
            r#"{"merkle_root":"ab"}"#,
        ] {
            assert!(matches!(commitment(bad), Err(JsonFault::Shape(_))), "{bad}");
        }
    }

    #[test]
    fn a_root_of_gemm_i8_has_a_version_of_its_own_and_no_signature() {
        let sent = format!(r#"{{"uuid":"cpu","merkle_root":"{}","sig_ver":2,"sig_val":""}}"#, "0a".repeat(32));
        let ours = Commitment::gemm_i8("cpu", &[10; 32]);
        assert_eq!((json::text(&ours), commitment(&sent).unwrap()), (sent, ours));
    }

    #[test]
    fn what_failed_is_said_in_place_of_a_commitment_and_only_then() {
        let (id, worker) = (ChallengeId::new("c"), WorkerId::new("w"));
        let failure = WorkFailure { code: 1005, reason: "no memory".into() };
        let failed = CommitmentData::failed(id.clone(), worker.clone(), failure);
        let sent = r#"{"challenge_id":"c","worker_id":"w","commitments":[],"failure":{"code":1005,"reason":"no memory"},"schema_version":1}"#;
        assert_eq!((json::text(&failed), json::parse(sent).unwrap()), (sent.to_owned(), failed));
        let made = CommitmentData::new(id, worker, vec![Commitment::cpu("ab".into())]);
        assert!(!json::text(&made).contains("failure"));
    }

    #[test]
    fn samples_are_asked_for_alone_and_rows_as_ever() {
        let rows = DeviceRequest::rows("-1", vec![3]);
        assert_eq!(json::text(&rows), r#"{"uuid":"-1","rows":[3],"coordinates":[]}"#);
        let samples = DeviceRequest::samples("cpu", vec![Sample { round: 0, row: 7, chunk: 1 }]);
        assert_eq!(json::text(&samples), r#"{"uuid":"cpu","samples":[[0,7,1]]}"#);
        for request in [rows, samples] {
            assert_eq!(json::parse::<DeviceRequest>(&json::text(&request)).unwrap(), request);
        }
    }

    #[test]
    fn a_commitments_further_fields_are_passed_on() {
        let sent = r#"{"uuid":"-1","merkle_root":"ab","sig_ver":0,"sig_val":"","note":[1]}"#;
        assert_eq!(json::text(&commitment(sent).unwrap()), sent);
    }

    #[test]
    fn directions_are_booleans_and_an_index_is_whole() {
        let good = r#"{"leaf_index":3,"leaf_hash":"a","proof_hashes":["b"],"proof_directions":[true]}"#;
        assert!(json::parse::<MerkleProof>(good).is_ok());
        for (from, to) in [("true", "1"), (":3", ":3.0"), (":3", ":-1"), (":3", ":\"3\"")] {
            assert!(json::parse::<MerkleProof>(&good.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn no_list_of_a_proof_is_longer_than_a_proof_can_be() {
        let list = |entry: &str, count: usize| format!("[{}]", vec![entry; count].join(","));
        let with =
            |field: &str, list: &str| json::parse::<DeviceProof>(&format!(r#"{{"uuid":"-1","{field}":{list}}}"#));
        for (field, entry, most) in
            [("row_hashes", "\"\"", limits::PROOF_ROWS), ("coordinate_values", "0", limits::PROOF_VALUES)]
        {
            assert!(with(field, &list(entry, most)).is_ok(), "{field}");
            let why = with(field, &list(entry, most + 1)).unwrap_err().to_string();
            assert!(why.contains(&format!("more than {most}")), "{why}");
        }
        let path = |count: usize| {
            let directions = list("true", count);
            let path = r#"[{"leaf_index":0,"leaf_hash":"","proof_hashes":[],"proof_directions":"#;
            with("merkle_proofs", &format!("{path}{directions}}}]"))
        };
        assert!(path(limits::PROOF_PATH).is_ok() && path(limits::PROOF_PATH + 1).is_err());
    }

    #[test]
    fn a_value_that_is_no_number_survives_as_such() {
        let proof: DeviceProof = json::parse(r#"{"uuid":"G","coordinate_values":[1.5,NaN,-Infinity]}"#).unwrap();
        assert_eq!(proof.coordinate_values[0], 1.5);
        assert!(proof.coordinate_values[1..].iter().all(|value| value.is_nan()));
        assert!(json::text(&proof).contains("[1.5,null,null]"));
    }
}
