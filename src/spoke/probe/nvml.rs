//! NVIDIA's management library: bound at run time, asked on a thread of its own.
//!
//! Runs on: the thread `nvml`, which nobody joins: the driver behind the library may hang for ever, and then nobody but
//! this thread does. Owns the library, the events and the errors (XID) that were heard since the worker's start. They come
//! from the library's event sets, one a card, asked without waiting: the kernel's log has them too, but a hardened service
//! may not read it, it is text, and it still names what a reset has cured. What a card refuses to tell is left out.

use std::{collections::BTreeMap, ffi::OsStr, time::Duration};

use crossbeam::channel::{self, Receiver, Sender, TrySendError};
use nvml_wrapper::{
    Nvml as Library, bitmasks::event::EventTypes, enums::event::XidError, error::NvmlError, event::EventSet,
};

use super::nvml_card::read;
use crate::{
    machine::contract::inventory::{Card, Nvml, NvmlReading},
    spoke::aside,
};

/// Where it lies when the loader does not find it by name: NixOS.
const PLACES: [&str; 2] = ["libnvidia-ml.so.1", "/run/opengl-driver/lib/libnvidia-ml.so.1"];
const CARDS_MAX: u32 = 64;
/// Events that are taken from one card at once, and numbers that are kept of it.
const EVENTS_MAX: usize = 32;

/// The way to the thread.
#[derive(Debug)]
pub struct Watch {
    ask: Sender<()>,
    answers: Receiver<Nvml>,
    /// A question is out.
    asked: bool,
}

impl Watch {
    pub fn start() -> Watch {
        let (ask, asked) = channel::bounded(1);
        let (answer, answers) = channel::bounded(1);
        // Without it every question finds nobody, which is said.
        aside("nvml", move || serve(&asked, &answer));
        Watch { ask, answers, asked: false }
    }

    /// A reading that is not older than the question, if there is one within `patience`.
    pub fn read(&mut self, patience: Duration) -> Nvml {
        if self.asked && self.answers.try_recv().is_err() {
            return Nvml::Silent;
        }
        match self.ask.try_send(()) {
            Ok(()) => self.asked = true,
            Err(TrySendError::Full(())) => return Nvml::Silent,
            Err(TrySendError::Disconnected(())) => return Nvml::Absent("its thread could not be started".into()),
        }
        match self.answers.recv_timeout(patience) {
            Ok(answer) => {
                self.asked = false;
                answer
            }
            Err(_) => Nvml::Silent,
        }
    }
}

/// Numbers heard of each card, by uuid.
type Heard = BTreeMap<String, Vec<u64>>;

fn serve(asked: &Receiver<()>, answers: &Sender<Nvml>) {
    let mut heard = Heard::new();
    let mut pending = asked.recv().is_ok();
    while pending {
        pending = match open() {
            Ok(library) => attend(&library, &mut heard, asked, answers),
            Err(why) => answers.send(Nvml::Absent(why)).is_ok() && asked.recv().is_ok(),
        };
    }
}

fn open() -> Result<Library, String> {
    let mut first = None;
    for place in PLACES {
        match Library::builder().lib_path(OsStr::new(place)).init() {
            Ok(library) => return Ok(library),
            Err(NvmlError::LibloadingError(why)) => first = first.or_else(|| Some(why.to_string())),
            // It is there and refuses: that is what counts.
            Err(why) => return Err(why.to_string()),
        }
    }
    Err(first.unwrap_or_default())
}

/// Answers questions, the first of which is out, until the library must be opened again; `false`: nobody asks any more.
fn attend(library: &Library, heard: &mut Heard, asked: &Receiver<()>, answers: &Sender<Nvml>) -> bool {
    let mut events = Vec::new();
    let mut known = Vec::new();
    loop {
        let count = match library.device_count() {
            Ok(count) => count.min(CARDS_MAX),
            Err(why) => return answers.send(Nvml::Absent(why.to_string())).is_ok() && asked.recv().is_ok(),
        };
        for index in events.len() as u32..count {
            events.push(listen(library, index));
        }
        let cards: Vec<Card> = (0..count).map(|index| card(library, index, &mut known, &events, heard)).collect();
        let driver = library.sys_driver_version().ok();
        let cuda =
            library.sys_cuda_driver_version().ok().map(|number| format!("{}.{}", number / 1000, number % 1000 / 10));
        // The library counts cards when it is opened: where there were none, some may have come.
        let again = cards.is_empty();
        if answers.send(Nvml::Read(NvmlReading { driver, cuda, cards })).is_err() || asked.recv().is_err() {
            return false;
        }
        if again {
            return true;
        }
    }
}

/// One card. A card that is lost is told under the name that it had.
fn card(
    library: &Library,
    index: u32,
    known: &mut Vec<Card>,
    events: &[Option<EventSet<'_>>],
    heard: &mut Heard,
) -> Card {
    let before = known.iter().find(|card| card.index == index).cloned();
    let mut card = match library.device_by_index(index) {
        Ok(device) => read(index, &device),
        Err(why) => Card { index, lost: Some(why.to_string()), ..Card::default() },
    };
    if let Some(before) = before {
        card.uuid = card.uuid.or(before.uuid);
        card.name = card.name.or(before.name);
        card.pci = card.pci.or(before.pci);
    }
    known.retain(|one| one.index != index);
    known.push(Card { readings: Default::default(), lost: None, ..card.clone() });
    if let (Some(uuid), Some(Some(set))) = (&card.uuid, events.get(index as usize)) {
        let numbers = heard.entry(uuid.clone()).or_default();
        hear(set, numbers);
        card.readings.xids = Some(numbers.clone());
    }
    card
}

/// A set a card: one that refuses spoils none of the others'.
fn listen(library: &Library, index: u32) -> Option<EventSet<'_>> {
    let device = library.device_by_index(index).ok()?;
    let set = library.create_event_set().ok()?;
    device.register_events(EventTypes::CRITICAL_XID_ERROR, set).ok()
}

/// Takes what has come, and waits for nothing.
fn hear(set: &EventSet<'_>, numbers: &mut Vec<u64>) {
    for _ in 0..EVENTS_MAX {
        match set.wait(0) {
            Ok(event) => {
                if let Some(XidError::Value(xid)) = event.event_data
                    && !numbers.contains(&xid)
                    && numbers.len() < EVENTS_MAX
                {
                    numbers.push(xid);
                }
            }
            // Nothing came, or the card is gone, which its readings say.
            Err(_) => return,
        }
    }
}
