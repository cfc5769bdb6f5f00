//! Every byte that another program reads: synapses, sessions, message bodies, WebSocket frames.
//!
//! Quiet: values in, values out. It opens no socket and decides nothing about what happens next.
//!
//! | module | what it writes down |
//! |---|---|
//! | [`http`] | an HTTP/1.1 message as a value |
//! | [`synapse`] | Bittensor's dendrite → axon calls over HTTP: headers, signatures, bodies, refusals |
//! | [`session`] | X25519 handshake, encrypted packages, replay window |
//! | [`messages`] | the bodies inside those packages |
//! | [`websocket`] | the frames between worker and miner |
//! | [`marketplace`] | the frames between validator and compute marketplace |
//! | [`gpu_socket`] | the frames between worker and GPU executor |
//! | [`keys`] | sr25519 identities |
//! | [`json`] | JSON as the network writes it, bare `NaN` and `Infinity` included |
//! | [`code`], [`limits`] | error codes and bounds |

pub mod code;
pub mod gpu_socket;
pub mod http;
pub mod json;
pub mod keys;
pub mod limits;
pub mod marketplace;
pub mod messages;
pub mod receipt;
pub mod session;
pub mod synapse;
pub mod websocket;
