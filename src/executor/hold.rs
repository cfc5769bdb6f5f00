//! One executor a card on a host: two workers that prove one card earn by it neither, for validators put it into quarantine.
//!
//! Runs on: the device's thread, before it opens the device. Owns a name in the kernel's list of abstract sockets, which no
//! file outlives: it is free again when the process ends, however it ends. Seen are all executors that share this network
//! namespace, whatever their user and directories; those of a container with a network of its own are not.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    time::Duration,
};

use crossbeam::channel;

use crate::{net::Clock, units::Mono};

/// Whoever sets it computes beside another executor: a doctor that looks, a test. A worker never does.
pub const SHARE: &str = "BYTELEAP_GPU_SHARE";
/// An executor that is about to end, as its worker has, still has its cards for a moment.
const PATIENCE: Duration = Duration::from_secs(10);
const SLICE: Duration = Duration::from_millis(100);

/// Nobody else has the card while this lives.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "held, never accepted from")] Option<UnixListener>);

impl Hold {
    /// The card for this process; waits a little for one that is about to give it back.
    pub fn take(uuid: &str, clock: Clock) -> Result<Hold, String> {
        Hold::take_within(uuid, clock, clock.mono() + PATIENCE)
    }

    fn take_within(uuid: &str, clock: Clock, until: Mono) -> Result<Hold, String> {
        loop {
            match listen(uuid) {
                Ok(listener) => return Ok(Hold(Some(listener))),
                Err(why) if why.kind() == io::ErrorKind::AddrInUse && clock.mono() < until => {
                    let _: Result<(), _> = channel::never().recv_timeout(SLICE);
                }
                Err(why) if why.kind() == io::ErrorKind::AddrInUse => return Err(taken(uuid)),
                Err(why) => {
                    log::warn!(target: "gpu", "{uuid}: whether another executor of this host has it is not known: {why}");
                    return Ok(Hold(None));
                }
            }
        }
    }
}

fn listen(uuid: &str) -> io::Result<UnixListener> {
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(format!("byteleap-gpu/{uuid}"))?)
}

fn taken(uuid: &str) -> String {
    format!(
        "another executor of this host has it, and a card that two workers prove earns for neither: stop one of the workers, or \
         give each its own cards (CUDA_VISIBLE_DEVICES), and start this one again; whose it is: ss -xlp | grep {uuid}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_one_executors_until_that_ends() {
        let (clock, uuid) = (Clock::start(), format!("GPU-of-a-test-{}", std::process::id()));
        let first = Hold::take(&uuid, clock).unwrap();
        let why = Hold::take_within(&uuid, clock, clock.mono()).unwrap_err();
        assert!(why.contains("another executor of this host has it") && why.contains(&uuid), "{why}");
        assert!(Hold::take_within(&format!("{uuid}-other"), clock, clock.mono()).is_ok());
        drop(first);
        assert!(Hold::take_within(&uuid, clock, clock.mono()).is_ok());
    }
}
