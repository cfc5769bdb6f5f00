//! Synapses: Bittensor 9.10's calls from dendrite (client) to axon (server), one `POST` each.
//!
//! Client side: [`Call`] makes the request, [`parse_answer`] reads the response. Server side, in the order of
//! checks: [`kind_of`], [`Head::parse`], (limits and metagraph: the machine's), [`Head::is_for`], nonce,
//! [`Head::verify`] (or [`btauth::Claim::verify`], where the body is signed, too), [`Body::parse`], [`Body::speaks_for`], then [`answer`] or [`AxonRefusal::response`]. It keeps no nonces and
//! counts nothing.

mod answer;
mod body;
pub mod btauth;
mod call;
mod head;
mod refusal;

pub use self::{
    answer::answer,
    body::Body,
    call::{Call, CallFault, OpenCall, SignedCall, parse_answer},
    head::{Head, Signs},
    refusal::AxonRefusal,
};

/// SHA3-256 of the empty text: none of the classes names fields to hash.
pub const BODY_HASH: &str = "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a";

/// Bittensor 9.10.0, as its `version` headers count.
pub const BITTENSOR_VERSION: u32 = 9_010_000;

/// The classes of synapses: five of the network's, and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SynapseKind {
    SessionInit,
    Heartbeat,
    Task,
    Challenge,
    ChallengeProof,
    /// Of ours: a peer that knows it not answers that it is unknown. Asked only of those that announce it.
    Receipt,
}

impl SynapseKind {
    pub const ALL: [SynapseKind; 6] = [
        SynapseKind::SessionInit,
        SynapseKind::Heartbeat,
        SynapseKind::Task,
        SynapseKind::Challenge,
        SynapseKind::ChallengeProof,
        SynapseKind::Receipt,
    ];

    /// The class name: the URL path without its slash, and the field `name`.
    pub fn class(self) -> &'static str {
        &self.path()[1..]
    }

    pub fn path(self) -> &'static str {
        match self {
            SynapseKind::SessionInit => "/SessionInitSynapse",
            SynapseKind::Heartbeat => "/HeartbeatSynapse",
            SynapseKind::Task => "/TaskSynapse",
            SynapseKind::Challenge => "/ChallengeSynapse",
            SynapseKind::ChallengeProof => "/ChallengeProofSynapse",
            SynapseKind::Receipt => "/ReceiptSynapse",
        }
    }

    /// The name that goes into the crypto.
    pub fn protocol_type(self) -> &'static str {
        match self {
            SynapseKind::SessionInit => "SESSION_INIT_V1",
            SynapseKind::Heartbeat => "HEARTBEAT_V1",
            SynapseKind::Task => "TASK_V1",
            SynapseKind::Challenge => "CHALLENGE_V1",
            SynapseKind::ChallengeProof => "CHALLENGE_PROOF_V1",
            SynapseKind::Receipt => "RECEIPT_V1",
        }
    }

    /// Whether `request` and `response` are packages of a session: all but the handshake's.
    pub fn is_encrypted(self) -> bool {
        self != SynapseKind::SessionInit
    }
}

/// Which synapse a request's target names; `None` is a 404 ([`AxonRefusal::UnknownSynapse`]).
pub fn kind_of(target: &str) -> Option<SynapseKind> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    SynapseKind::ALL.into_iter().find(|kind| kind.path() == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_synapse() {
        for kind in SynapseKind::ALL {
            assert_eq!(kind_of(kind.path()), Some(kind));
            assert_eq!(kind.path(), format!("/{}", kind.class()));
        }
        assert_eq!(kind_of("/TaskSynapse?x=1"), Some(SynapseKind::Task));
        for path in ["", "/", "/TaskSynapse/", "/Synapse", "TaskSynapse", "/taskSynapse"] {
            assert_eq!(kind_of(path), None, "{path}");
        }
    }
}
