//! Every byte that another program reads: synapses, sessions, message bodies, WebSocket frames.
//!
//! Quiet: values in, values out. It opens no socket and decides nothing about what happens next.

pub mod http;
