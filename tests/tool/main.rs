//! `byteleap chain` against a simulated chain in a process of its own: what each subcommand says to people and to
//! programs, and how it ends when something is wrong. Every wait has a deadline.

mod acts;
mod allowlist;
mod extrinsics;
mod lost;
mod reads;
mod stage;
mod which;
