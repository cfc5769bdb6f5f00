//! `byteleap chain` against a simulated chain in a process of its own, and `byteleap doctor` over fake libraries: what each
//! subcommand says to people and to programs, and how it ends when something is wrong. Every wait has a deadline.

mod acts;
mod allowlist;
mod build_release;
mod doctor;
mod extrinsics;
mod lost;
mod maintenance;
mod meshhub_sim;
mod no_cuda;
mod reads;
mod records;
mod sbom;
mod stage;
mod version;
mod which;
mod why;
