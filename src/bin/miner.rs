//! The daemon `miner`; see `byteleap::daemon::miner`.

use std::process::ExitCode;

fn main() -> ExitCode {
    byteleap::daemon::miner::main(std::env::args_os())
}
