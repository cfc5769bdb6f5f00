//! The GPU executor `byteleap-gpu`; see `byteleap::executor`.

use std::process::ExitCode;

fn main() -> ExitCode {
    byteleap::executor::main(std::env::args_os())
}
