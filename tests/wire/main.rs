//! The wire against the recordings of the reference implementation, through the public API alone.

mod bodies;
mod btauth;
mod frames;
mod handshakes;
mod json;
mod marketplace;
mod support;
mod synapses;
