//! The real binaries on loopback: what survives a kill, what a daemon says when it cannot start, and what bad input
//! does to a whole one. Every wait has a deadline.

mod bad_input;
mod bench;
mod btauth;
mod chain_calls;
mod chain_weather;
mod devnet;
mod doors;
mod kill;
mod meshhub;
mod overrides;
mod records;
mod service;
mod tls_front;
mod weights;
