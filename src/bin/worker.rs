//! The daemon `worker`; see `byteleap::daemon::worker`.

use std::process::ExitCode;

fn main() -> ExitCode {
    byteleap::daemon::worker::main(std::env::args_os())
}
