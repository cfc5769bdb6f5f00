//! The devices: all of them opened at once, each on its own thread, while the socket answers already.
//!
//! Runs on: the thread `open`, once; any thread may wait for what it finds. A device that does not open in time is left
//! out by name and holds up no other: loading the kernels may mean compiling them, and a sick card may never answer.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};

use super::{
    device::{Device, Opening},
    fault::JobFault,
    thread,
};
use crate::{
    cuda::{self, DeviceFacts},
    net::Clock,
    units::Mono,
};

/// How long a device may take to open. Compiling all kernels takes the driver seconds; a worker's request has 300 s.
pub const OPEN_LIMIT: Duration = Duration::from_secs(120);
/// How long a request waits for the devices: a little longer, so that what is said is which of them opened.
const WAIT_LIMIT: Duration = Duration::from_secs(150);
/// How often it is looked whether whoever waits is still there.
const SLICE: Duration = Duration::from_millis(200);

/// What was found, when it is.
pub struct Inventory {
    found: OnceLock<Found>,
    /// Closed when there is something.
    ready: Receiver<()>,
    /// The first card that lost its context: with it this process ends, whatever the others say afterwards.
    lost: Arc<OnceLock<String>>,
}

/// Which devices are opened.
#[derive(Default)]
pub struct Plan {
    /// Those to do without, and why.
    pub left_out: BTreeMap<String, String>,
    /// Also those that another executor of this host has.
    pub shared: bool,
}

/// The devices that opened, and why others did not.
#[derive(Default)]
pub struct Found {
    pub devices: Vec<Device>,
    pub note: Option<String>,
}

impl Inventory {
    /// Nothing yet, and what to close when there is something.
    pub fn new() -> (Inventory, Sender<()>) {
        let (closing, ready) = channel::bounded(1);
        (Inventory { found: OnceLock::new(), ready, lost: Arc::default() }, closing)
    }

    /// Whose context is lost, if one is.
    pub fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// A device whose work has stood still for longer than this.
    pub fn stuck(&self, now: Mono, limit: Duration) -> Option<&str> {
        let stuck = |device: &&Device| device.quiet_for(now).is_some_and(|quiet| quiet > limit);
        self.found.get()?.devices.iter().find(stuck).map(|device| device.facts.uuid.as_str())
    }

    /// Opens all devices but those that are left out; waits for each no longer than [`OPEN_LIMIT`].
    pub fn fill(&self, plan: &Plan, clock: Clock) {
        // Filled once: by the one thread that does it.
        let _ = self.found.set(look(plan, clock, &self.lost));
    }

    /// The devices, as soon as they are open. `gone`: nobody waits any longer.
    pub fn wait(&self, clock: Clock, gone: impl Fn() -> bool) -> Result<&Found, JobFault> {
        let until = clock.mono() + WAIT_LIMIT;
        loop {
            if let Some(found) = self.found.get() {
                return Ok(found);
            }
            match self.ready.recv_timeout(SLICE) {
                Err(RecvTimeoutError::Timeout) if gone() => return Err(JobFault::CalledOff),
                Err(RecvTimeoutError::Timeout) if clock.mono() < until => {}
                Err(RecvTimeoutError::Disconnected) if self.found.get().is_some() => {}
                _ => return Err(JobFault::Opening { waited_s: WAIT_LIMIT.as_secs() }),
            }
        }
    }
}

fn look(plan: &Plan, clock: Clock, lost: &Arc<OnceLock<String>>) -> Found {
    let named = match cuda::start().and_then(|()| Ok(cuda::devices()?)) {
        Ok(named) => named,
        Err(why) => {
            log::warn!(target: "gpu", "no GPU is offered: {why}");
            return Found { devices: Vec::new(), note: Some(why.to_string()) };
        }
    };
    if named.is_empty() {
        return Found { devices: Vec::new(), note: Some("the driver names no device".into()) };
    }
    let left_out = &plan.left_out;
    let (left, named): (Vec<_>, Vec<_>) = named.into_iter().partition(|facts| left_out.contains_key(&facts.uuid));
    let mut notes: Vec<String> = left.iter().map(|facts| missing(facts, &left_out[&facts.uuid])).collect();
    let opening: Vec<_> = named
        .into_iter()
        .map(|facts| (facts.clone(), Device::start(facts, plan.shared, clock, lost.clone())))
        .collect();
    let (until, mut devices) = (clock.mono() + OPEN_LIMIT, Vec::new());
    for (facts, begun) in opening {
        match opened(begun, until.since(clock.mono())) {
            Ok(device) => devices.push(device),
            Err(why) => notes.push(missing(&facts, &why)),
        }
    }
    Found { devices, note: (!notes.is_empty()).then(|| notes.join("; ")) }
}

fn opened(begun: io::Result<Opening>, patience: Duration) -> Result<Device, String> {
    let opening = begun.map_err(|why| format!("its thread does not start: {why}"))?;
    opening.finish(patience)
}

fn missing(facts: &DeviceFacts, why: &str) -> String {
    let said = format!("{} ({}): {why}", facts.uuid, facts.name);
    log::warn!(target: "gpu", "not offered: {said}");
    said
}

/// Fills the inventory on a thread of its own.
pub fn fill_meanwhile(inventory: Arc<Inventory>, closing: Sender<()>, plan: Plan, clock: Clock) -> io::Result<()> {
    thread::start("open".into(), move || {
        inventory.fill(&plan, clock);
        drop(closing);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_before_the_devices_are_open_waits_for_them_or_leaves() {
        let (clock, (inventory, closing)) = (Clock::start(), Inventory::new());
        assert!(matches!(inventory.wait(clock, || true), Err(JobFault::CalledOff)));
        let _ = inventory.found.set(Found { note: Some("none".into()), ..Found::default() });
        drop(closing);
        let found = inventory.wait(clock, || true).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(found.note.as_deref(), Some("none"));
    }

    #[test]
    fn a_thread_that_opens_nothing_is_no_empty_inventory() {
        let (inventory, closing) = Inventory::new();
        drop(closing);
        let fault = inventory.wait(Clock::start(), || false).map(|_| ()).unwrap_err();
        assert!(fault.to_string().contains("still being opened"), "{fault}");
    }
}
