//! The chain spoke against what a real Subtensor node said (recorded at spec 425), and against the simulated
//! one, in process and over HTTP.

mod blocks;
mod cached;
mod endpoints;
mod reads;
mod recorded;
mod recorded_writes;
mod recordings;
mod rpc_errors;
mod runtimes;
mod simulated;
mod simulated_commits;
mod simulated_faults;
mod simulated_registration;
mod simulated_reveals;
mod simulated_upgrade;
mod simulation;
mod subscriptions;
mod writes;
