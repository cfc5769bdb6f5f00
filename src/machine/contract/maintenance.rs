//! The file of announced maintenance on the miner's host.

use crate::wire::messages::MaintenanceNotice;

/// Requests that may be with the spoke.
pub const DEPTH: usize = 1;

/// A look at the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaintenanceLook;

/// What the look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaintenanceSight {
    /// There is no file.
    Absent,
    /// All that is announced, by worker.
    Read(Vec<MaintenanceNotice>),
    /// It could not be read, or is no such file.
    Unreadable(String),
}
