//! A subnet on one machine: its files, its processes, and what its validator has written down.
//!
//! For the operator's tool and for the tests that try the real daemons; no daemon uses it. It runs on the thread
//! that asks, starts no thread itself, and only the chain and the marketplace that it starts are simulated.

pub mod dendrite;
pub mod ledger;
pub mod process;
pub mod site;
pub mod subnet;

use std::{io, process::ExitStatus};

use crate::wallet::WalletError;

/// Why a subnet could not be started, watched or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Wallet(#[from] WalletError),
    #[error("a configuration could not be written: {0}")]
    Settings(#[from] serde_json::Error),
    #[error("the validator's database: {0}")]
    Database(#[from] rusqlite::Error),
    #[error("the axon: {0}")]
    Axon(String),
    #[error("a simulation announced no address")]
    NoAddress,
    #[error("no process is called {0}")]
    Unknown(String),
    #[error("not within {patience_s} s: {what}")]
    NotInTime { patience_s: u64, what: String },
    #[error("{name} (pid {pid}) ended unasked, {status}; the end of its log:\n{log}")]
    Ended { name: String, pid: u32, status: ExitStatus, log: String },
    #[error("{name} did not stop cleanly: {status}; the end of its log:\n{log}")]
    Unclean { name: String, status: String, log: String },
}
