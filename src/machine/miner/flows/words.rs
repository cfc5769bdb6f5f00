//! The words of a flow: what it is about, what is to be done, how it ends. Values only.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    units::{ChallengeId, Hotkey, Mono, WorkerId},
    wire::{
        code,
        limits::{OPENING_TIMEOUT, WORKER_PROOF_TIMEOUT},
        messages::{Raw, WorkFailure, gemm_i8::GEMM_I8},
    },
};

/// A challenge as this miner knows it: ids are the validators' own to choose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowKey {
    pub validator: Hotkey,
    pub challenge: ChallengeId,
}

/// What a validator asks of one worker. `data` goes to the worker as it came.
#[derive(Clone, Debug)]
pub struct Task {
    pub challenge: ChallengeId,
    pub worker: WorkerId,
    pub kind: Kind,
    pub data: Raw,
    /// From the hand-out to the commitment.
    pub timeout: Duration,
}

/// A challenge type by its name: `cpu_matrix`, `gpu_matrix`, `gemm_i8`, or one that this version has not heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind(pub String);

impl Kind {
    /// How long the worker may take for its proof. Those of the first version are kept ready; others are
    /// computed when they are asked for.
    pub fn proof_wait(&self) -> Duration {
        match self.0.as_str() {
            "cpu_matrix" | "gpu_matrix" => WORKER_PROOF_TIMEOUT,
            _ => OPENING_TIMEOUT,
        }
    }

    /// Whether a validator that makes such challenges can be told that a worker failed.
    pub fn bears_failures(&self) -> bool {
        self.0 == GEMM_I8
    }
}

/// Whether the worker that a challenge names can take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    Able,
    /// No such worker is registered.
    Unknown,
    /// It does not say that it can do this kind.
    Incapable,
    /// The challenge does not fit the frames that workers take.
    TooLarge,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Step {
    /// Hand the task to its worker; `timeout` is what is left of the challenge's.
    Assign { key: FlowKey, task: Task, timeout: Duration },
    /// Send the worker's commitments, unread, to the validator; of no use after `until`.
    Commit { key: FlowKey, worker: WorkerId, commitments: Raw, until: Mono },
    /// Tell the validator that there will be no commitment.
    Report { key: FlowKey, worker: WorkerId, failure: WorkFailure },
    /// Ask the worker for proofs, as the validator asked.
    Ask { key: FlowKey, worker: WorkerId, message_id: String, requests: Raw },
    /// Send the worker's proofs, unread, to the validator.
    Submit { key: FlowKey, proofs: Raw, stamps: Stamps },
    /// It is over; the worker is free.
    Ended { key: FlowKey, worker: WorkerId, end: End },
}

/// Unix milliseconds, and milliseconds that something took, by the names of the debugging stamps.
pub type Stamps = BTreeMap<String, u64>;

/// How a flow ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The validator took the proof.
    #[error("proof accepted")]
    Accepted,
    /// Never given to a worker, and why. The first version's wire has no way to say so.
    #[error("declined: {0}")]
    Declined(Decline),
    /// The worker said that it failed.
    #[error("the worker failed: {}", .0.reason)]
    WorkerFailed(WorkFailure),
    /// The worker was gone when it was to be told something.
    #[error("the worker is gone")]
    WorkerGone,
    /// A wait was over: which.
    #[error("too late: {0}")]
    Late(Wait),
    /// The validator answered with an error.
    #[error("the validator refuses: {0}")]
    Refused(String),
    /// The validator did not answer, or not usably.
    #[error("the validator did not answer: {0}")]
    Unanswered(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Decline {
    #[error("no such worker")]
    UnknownWorker,
    #[error("the worker does not do this kind")]
    Incapable,
    /// Its worker is busy, and too many challenges wait for it.
    #[error("the worker is busy, and others wait for it")]
    WorkerBusy,
    #[error("too large for a worker's frame")]
    TooLarge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wait {
    #[error("the worker was busy all the time")]
    Idle,
    #[error("no result from the worker")]
    Result,
    #[error("no proof from the worker")]
    Proof,
}

impl End {
    /// What a validator is told of it, if it can be told; nothing when its own clock says it already.
    pub fn failure(&self) -> Option<WorkFailure> {
        match self {
            End::WorkerFailed(failure) => Some(failure.clone()),
            End::Declined(_) | End::WorkerGone => {
                Some(WorkFailure { code: code::TASK_FAILED, reason: self.to_string() })
            }
            End::Accepted | End::Late(_) | End::Refused(_) | End::Unanswered(_) => None,
        }
    }

    /// As a label of a counter.
    pub fn label(&self) -> &'static str {
        match self {
            End::Accepted => "accepted",
            End::Declined(Decline::UnknownWorker) => "declined_unknown_worker",
            End::Declined(Decline::Incapable) => "declined_incapable",
            End::Declined(Decline::WorkerBusy) => "declined_worker_busy",
            End::Declined(Decline::TooLarge) => "declined_too_large",
            End::WorkerFailed(_) => "worker_failed",
            End::WorkerGone => "worker_gone",
            End::Late(Wait::Idle) => "late_idle",
            End::Late(Wait::Result) => "late_result",
            End::Late(Wait::Proof) => "late_proof",
            End::Refused(_) => "refused",
            End::Unanswered(_) => "unanswered",
        }
    }
}

/// Why something was not taken. The peer misbehaves, or says a thing twice; no flow changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    #[error("a challenge that is or was in work here")]
    Duplicate,
    #[error("a task that this worker does not have")]
    NotItsTask,
    #[error("a result that was given before")]
    ResultTwice,
    #[error("a proof that nobody asked of this worker")]
    NotAskedProof,
}

/// What a worker says of its computation.
#[derive(Debug)]
pub struct Computed {
    /// The commitments, unread: a list that is not empty. Or what went wrong.
    pub outcome: Result<Raw, WorkFailure>,
    pub stamps: Stamps,
}

/// What a worker answers to a proof request.
#[derive(Debug)]
pub struct Proved {
    /// The proofs, unread: a list that is not empty. Or what went wrong.
    pub outcome: Result<Raw, WorkFailure>,
    pub stamps: Stamps,
}
