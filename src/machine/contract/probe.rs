//! What the machine under us is and how busy it is, measured on request.

use super::inventory::Inventory;
use crate::wire::messages::SystemInfo;

/// Measure everything now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeRequest;

/// What was found; what could not be measured is absent from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeReply {
    pub info: SystemInfo,
    pub gpus: Inventory,
}
