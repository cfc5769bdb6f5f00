//! A file that says what is leased: looked at now and then, read where it changed.

use crate::units::WorkerKey;

/// Requests that may be with the spoke.
pub const DEPTH: usize = 1;

/// What a file was when it was looked at. Another inode is another file, renamed into its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    pub device: u64,
    pub inode: u64,
    pub bytes: u64,
    pub modified_ns: i128,
}

/// A look at the file of the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeaseLook {
    /// What it was when it was read last, valid or not.
    pub read: Option<FileStamp>,
    /// What it was at the last look.
    pub seen: Option<FileStamp>,
}

/// What the look came to.
#[derive(Clone, Debug, PartialEq)]
pub enum LeaseSight {
    /// As it was when it was read last.
    Same(FileStamp),
    /// Somebody writes to it: it is read when it is the same at two looks.
    Changing(FileStamp),
    /// All leases that there are.
    Read { stamp: FileStamp, leases: Vec<(WorkerKey, f64)> },
    /// It is there, and no file of leases.
    Invalid { stamp: FileStamp, why: String },
    /// It could not be looked at.
    Unreadable(String),
}
