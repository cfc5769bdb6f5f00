//! Receipts on their way to the miner's disk: verified and written by a spoke, for signatures take time and disks wait.

use crate::{
    units::{Hotkey, Netuid, Wall},
    wire::receipt::SignedReceipt,
};

/// Requests that may be with the spoke.
pub const DEPTH: usize = 1;
/// Of the receipts of one calculation, as they travel. One has 3 to 5 KiB.
pub const CALCULATION_BYTES: usize = 8 << 20;

/// All receipts of one calculation of one validator.
#[derive(Debug)]
pub struct ReceiptsKeep {
    pub validator: Hotkey,
    /// Whose workers they must be of.
    pub miner: Hotkey,
    /// Of which subnet.
    pub netuid: Netuid,
    /// When the last of them came: scores are of before that.
    pub heard: Wall,
    pub receipts: Vec<SignedReceipt>,
}

/// What became of them.
#[derive(Debug)]
pub struct ReceiptsKept {
    pub validator: Hotkey,
    pub kept: usize,
    /// When the scores are of; `None`: nothing was kept.
    pub at: Option<Wall>,
    /// What was wrong with those that were not.
    pub faults: Vec<String>,
}
