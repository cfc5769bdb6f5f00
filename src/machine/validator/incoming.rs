//! What a miner said, out of its decrypted request: typed, and refused where a field breaks a rule of the wire.
//!
//! Pure functions, called on the loop for small bodies and in the bulk spoke for big ones. They judge form
//! alone; whether a challenge exists or a hotkey may speak is decided elsewhere.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use crate::{
    units::WorkerId,
    wire::{
        json::{self, JsonFault},
        limits,
        messages::{
            self, CommitmentData, DeviceProof, HeartbeatData, ProofData, REQUEST_CHALLENGE, Raw, TaskRequest,
            gemm_i8::{GemmProof, GemmProofFault},
        },
        receipt::ReceiptRequest,
        session::SessionFault,
        synapse::SynapseKind,
    },
};

/// A request of an encrypted synapse.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    Heartbeat(Box<HeartbeatData>),
    Task(TaskRequest),
    Commitment(CommitmentData),
    Proof(Box<ProofData<Proofs>>),
    Receipts(ReceiptRequest),
}

/// The proofs of a challenge's devices, by the kind that they have the shape of.
#[derive(Clone, Debug, PartialEq)]
pub enum Proofs {
    /// Of `cpu_matrix` or `gpu_matrix`.
    Rows(Vec<DeviceProof>),
    GemmI8(Vec<GemmText>),
}

impl Proofs {
    pub fn is_empty(&self) -> bool {
        match self {
            Proofs::Rows(proofs) => proofs.is_empty(),
            Proofs::GemmI8(proofs) => proofs.is_empty(),
        }
    }
}

/// One device's proof of `gemm_i8`, read strictly: what is wrong with one is that device's fault, and no other's.
#[derive(Clone, Debug, PartialEq)]
pub struct GemmText {
    /// As far as it could be read.
    pub uuid: String,
    pub proof: Result<GemmProof, GemmProofFault>,
}

/// Reads the plaintext of a synapse of this kind.
pub fn read(kind: SynapseKind, plaintext: &str) -> Result<Incoming, SessionFault> {
    match kind {
        SynapseKind::Heartbeat => heartbeat(messages::parse_request(plaintext)?),
        SynapseKind::Task => task(messages::parse_request(plaintext)?),
        SynapseKind::Challenge => messages::parse_request(plaintext).map(Incoming::Commitment),
        SynapseKind::ChallengeProof => proof(messages::parse_request(plaintext)?),
        SynapseKind::Receipt => messages::parse_request(plaintext).map(Incoming::Receipts),
        SynapseKind::SessionInit => Err(SessionFault::Body("a handshake is not encrypted".into())),
    }
}

fn heartbeat(data: HeartbeatData) -> Result<Incoming, SessionFault> {
    if data.workers.len() > limits::HEARTBEAT_WORKERS {
        let text = format!("{} workers, at most {}", data.workers.len(), limits::HEARTBEAT_WORKERS);
        return Err(SessionFault::Body(text));
    }
    match data.workers.iter().find(|worker| !is_usable(&worker.worker_id)) {
        Some(_) => Err(SessionFault::Body("worker_id is empty, too long or holds control characters".into())),
        None => Ok(Incoming::Heartbeat(Box::new(data))),
    }
}

/// A list of idle workers is gone through for each challenge that waits: it is as short as a heartbeat's.
fn task(request: TaskRequest) -> Result<Incoming, SessionFault> {
    let idle = request.idle_workers.as_ref().map_or(0, Vec::len);
    if idle > limits::HEARTBEAT_WORKERS {
        return Err(SessionFault::Body(format!("{idle} idle workers, at most {}", limits::HEARTBEAT_WORKERS)));
    }
    match request.request_type == REQUEST_CHALLENGE {
        true => Ok(Incoming::Task(request)),
        false => Err(SessionFault::Body(format!("request_type must be {REQUEST_CHALLENGE:?}"))),
    }
}

fn proof(data: ProofData<Raw>) -> Result<Incoming, SessionFault> {
    let proofs = proofs(&data.proofs).map_err(|fault| SessionFault::Body(fault.to_string()))?;
    let ProofData { challenge_id, debug_info, schema_version, .. } = data;
    Ok(Incoming::Proof(Box::new(ProofData { challenge_id, proofs, debug_info, schema_version })))
}

/// The first proof tells the kind: only those of `gemm_i8` have tops and openings.
fn proofs(list: &Raw) -> Result<Proofs, JsonFault> {
    match list.read::<First>() {
        Ok(First(true)) => {
            let texts = list.read::<Devices<Raw>>()?.0;
            Ok(Proofs::GemmI8(
                texts.iter().map(|text| GemmText { uuid: uuid(text), proof: GemmProof::read(text) }).collect(),
            ))
        }
        _ => list.read::<Devices<DeviceProof>>().map(|proofs| Proofs::Rows(proofs.0)),
    }
}

fn uuid(text: &Raw) -> String {
    #[derive(Deserialize)]
    struct Named {
        uuid: String,
    }
    let uuid = text.read::<Named>().map(|named| named.uuid).unwrap_or_default();
    if uuid.len() <= limits::DEVICE_BYTES { uuid } else { String::new() }
}

/// Whether the first of a list of proofs has the shape of `gemm_i8`.
struct First(bool);

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<First, D::Error> {
        #[derive(Deserialize)]
        struct Shape {
            tops: Option<IgnoredAny>,
            openings: Option<IgnoredAny>,
        }
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = First;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of proofs")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First, A::Error> {
                let first = list.next_element::<Shape>()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first.is_some_and(|first| first.tops.is_some() || first.openings.is_some())))
            }
        }
        from.deserialize_seq(Look)
    }
}

/// The proofs of at most as many devices as a challenge may have.
#[derive(Deserialize)]
#[serde(transparent)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Devices<T>(#[serde(deserialize_with = "json::at_most::<_, _, { limits::GEMM_DEVICES }>")] Vec<T>);

pub(super) fn is_usable(id: &WorkerId) -> bool {
    let text = id.as_str();
    !text.is_empty() && text.len() <= limits::WORKER_ID_BYTES && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: SynapseKind, plaintext: &str) -> u16 {
        read(kind, plaintext).unwrap_err().code()
    }

    #[test]
    fn a_body_that_does_not_fit_its_model_is_4015_and_no_object_4011() {
        assert_eq!(refused(SynapseKind::Task, r#"{"hotkey":"x"}"#), 4015);
        assert_eq!(refused(SynapseKind::Task, r#"{"hotkey":"x","request_type":"lunch","timestamp":1}"#), 4015);
        assert_eq!(refused(SynapseKind::Task, "[]"), 4011);
        assert_eq!(refused(SynapseKind::Heartbeat, "no"), 4011);
    }

    #[test]
    fn one_bad_worker_refuses_the_whole_heartbeat() {
        let with = |worker: &str| {
            let good = r#"{"worker_id":"w1","status":"online"}"#;
            read(SynapseKind::Heartbeat, &format!(r#"{{"hotkey":"x","timestamp":1,"workers":[{good},{worker}]}}"#))
        };
        assert!(with(r#"{"worker_id":"w2","status":"busy"}"#).is_ok());
        for bad in [r#"{"worker_id":"w2","status":"sleeping"}"#, r#"{"worker_id":"","status":"online"}"#] {
            assert_eq!(with(bad).unwrap_err().code(), 4015);
        }
        assert_eq!(with(r#"{"worker_id":"a\nb","status":"online"}"#).unwrap_err().code(), 4015);
    }

    #[test]
    fn a_poll_names_no_more_idle_workers_than_a_heartbeat_may() {
        let poll = |idle: usize| {
            let idle = vec![r#""w""#; idle].join(",");
            read(SynapseKind::Task, &format!(r#"{{"hotkey":"x","request_type":"challenge","idle_workers":[{idle}]}}"#))
        };
        assert!(poll(limits::HEARTBEAT_WORKERS).is_ok());
        assert_eq!(poll(limits::HEARTBEAT_WORKERS + 1).unwrap_err().code(), 4015);
    }

    fn proofs(list: &str) -> Result<Proofs, u16> {
        let text = format!(r#"{{"challenge_id":"c","proofs":{list}}}"#);
        match read(SynapseKind::ChallengeProof, &text) {
            Ok(Incoming::Proof(data)) => Ok(data.proofs),
            Ok(other) => panic!("{other:?}"),
            Err(fault) => Err(fault.code()),
        }
    }

    #[test]
    fn the_first_proof_tells_the_kind() {
        let old = r#"{"uuid":"-1","row_hashes":["ab"],"coordinate_values":[NaN]}"#;
        let new = r#"{"uuid":"cpu","tops":[],"openings":[],"row_hashes":[],"merkle_proofs":[],"coordinate_values":[]}"#;
        for list in ["[]".to_owned(), format!("[{old}]"), format!("[{old},{new}]")] {
            assert!(matches!(proofs(&list), Ok(Proofs::Rows(_))), "{list}");
        }
        for list in
            [format!("[{new}]"), format!("[{new},{old}]"), r#"[{"openings":7}]"#.into(), r#"[{"tops":[]}]"#.into()]
        {
            assert!(matches!(proofs(&list), Ok(Proofs::GemmI8(_))), "{list}");
        }
        for list in ["null", "{}", "[1]", r#"[{"uuid":7}]"#, r#"[{"row_hashes":[]}]"#] {
            assert_eq!(proofs(list), Err(4015), "{list}");
        }
    }

    #[test]
    fn a_proof_that_cannot_be_read_is_the_fault_of_its_device_alone() {
        let good =
            r#"{"uuid":"GPU-1","tops":[],"openings":[],"row_hashes":[],"merkle_proofs":[],"coordinate_values":[]}"#;
        let bad =
            r#"{"uuid":"GPU-2","tops":["zz"],"openings":[],"row_hashes":[],"merkle_proofs":[],"coordinate_values":[]}"#;
        let Ok(Proofs::GemmI8(read)) = proofs(&format!("[{good},{bad},[1]]")) else { panic!("gemm_i8") };
        let uuids: Vec<_> = read.iter().map(|one| (one.uuid.as_str(), one.proof.is_ok())).collect();
        assert_eq!(uuids, [("GPU-1", true), ("GPU-2", false), ("", false)]);
        assert_eq!(read[1].proof, Err(GemmProofFault::Top { round: 0 }));
    }

    #[test]
    fn no_list_of_proofs_is_longer_than_a_challenge_has_devices() {
        let list = |count: usize| format!("[{}]", vec![r#"{"tops":[]}"#; count].join(","));
        assert!(proofs(&list(64)).is_ok());
        assert_eq!(proofs(&list(65)), Err(4015));
    }
}
