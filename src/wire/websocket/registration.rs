//! `register`: the first frame of a worker, and what each way to get it wrong closes the connection with.

use serde::{Deserialize, Serialize};

use super::{close, type_of};
use crate::{
    units::WorkerId,
    wire::{json, limits, messages::SystemInfo},
};

/// A worker introduces itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Register {
    pub worker_id: WorkerId,
    #[serde(default)]
    pub worker_name: Option<String>,
    pub worker_version: String,
    /// `cpu_matrix`, `gpu_matrix`. May be missing, not null.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// May be missing, not null.
    #[serde(default)]
    pub system_info: SystemInfo,
}

/// Why a connection is closed instead of registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterRefusal {
    #[error("Invalid registration")]
    Invalid,
    #[error("Invalid or missing worker_id")]
    WorkerId,
    #[error("Missing worker_version")]
    WorkerVersion,
}

impl RegisterRefusal {
    /// The close code; the reason is the `Display` text.
    pub fn close_code(self) -> u16 {
        match self {
            RegisterRefusal::Invalid => close::BAD_REGISTRATION,
            RegisterRefusal::WorkerId => close::NO_WORKER_ID,
            RegisterRefusal::WorkerVersion => close::NO_WORKER_VERSION,
        }
    }
}

impl Register {
    /// Reads the first frame of a connection.
    pub fn parse_first(text: &str) -> Result<Register, RegisterRefusal> {
        match type_of(text) {
            Ok(kind) if kind == "register" => {}
            _ => return Err(RegisterRefusal::Invalid),
        }
        json::object::<Register>(text).map_err(|_| RegisterRefusal::Invalid)?.checked()
    }

    /// With its id trimmed; an id or version of spaces alone is none.
    pub(super) fn checked(self) -> Result<Register, RegisterRefusal> {
        let id = self.worker_id.as_str().trim();
        if id.is_empty() || id.len() > limits::WORKER_ID_BYTES {
            return Err(RegisterRefusal::WorkerId);
        }
        if self.worker_version.trim().is_empty() {
            return Err(RegisterRefusal::WorkerVersion);
        }
        Ok(Register { worker_id: WorkerId::new(id), ..self })
    }
}
