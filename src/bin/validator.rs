//! The daemon `validator`; see `byteleap::daemon::validator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    byteleap::daemon::validator::main(std::env::args_os())
}
