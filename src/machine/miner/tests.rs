//! The miner among workers and validators, in domain words. The validators here are made of the wire's own
//! server side, so every handshake, package and signature is real.

mod btauth;
mod ends;
mod market_tasks;
mod passing_on;
mod receipts;
mod recordings;
mod rounds;
mod status;
mod two_phases;
mod validator;
mod worker_links;
mod world;
