//! `MESH_LEASE_PUBLISH_V1`: how much of each worker is leased. One bad item costs that item alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BodyFault, body, kind};
use crate::{
    units::{Hotkey, WorkerId, WorkerKey},
    wire::{
        json::{self, Raw},
        limits,
    },
};

/// Scores as published, in order: where a worker comes twice, the later one counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeasePublish {
    /// Each in [0, 1].
    pub scores: Vec<(WorkerKey, f64)>,
    pub skipped: Skipped,
}

/// Why an item is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    NotObject,
    /// No `workerKey`, or no text.
    NoKey,
    /// A key without `:`.
    NoColon,
    /// What stands before the `:` is no hotkey.
    NotHotkey,
    /// A worker id that is empty or over [`limits::WORKER_ID_BYTES`].
    NotWorker,
    /// No score, null, or a bare `NaN` or `Infinity`.
    NoScore,
    /// Neither a number nor a text that is one.
    NotNumber,
    /// A number outside [0, 1].
    OutOfRange,
}

impl Skip {
    /// For counters and logs.
    pub fn label(self) -> &'static str {
        match self {
            Skip::NotObject => "not_object",
            Skip::NoKey => "no_key",
            Skip::NoColon => "no_colon",
            Skip::NotHotkey => "not_hotkey",
            Skip::NotWorker => "not_worker",
            Skip::NoScore => "no_score",
            Skip::NotNumber => "not_number",
            Skip::OutOfRange => "out_of_range",
        }
    }
}

/// What was passed over: all of it counted, the first few by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Skipped {
    pub counts: BTreeMap<Skip, u32>,
    /// Item as sent (cut) and why, at most [`Skipped::EXAMPLES`].
    pub examples: Vec<(String, Skip)>,
}

impl Skipped {
    pub const EXAMPLES: usize = 4;
    const EXAMPLE_CHARS: usize = 160;

    pub fn total(&self) -> u32 {
        self.counts.values().sum()
    }

    fn note(&mut self, item: &str, why: Skip) {
        *self.counts.entry(why).or_default() += 1;
        if self.examples.len() < Skipped::EXAMPLES {
            self.examples.push((item.chars().take(Skipped::EXAMPLE_CHARS).collect(), why));
        }
    }
}

/// Reads `hotkey:worker_id`, split at the first `:`.
pub fn parse_worker_key(text: &str) -> Result<WorkerKey, Skip> {
    let (hotkey, worker) = text.split_once(':').ok_or(Skip::NoColon)?;
    let hotkey: Hotkey = hotkey.parse().map_err(|_| Skip::NotHotkey)?;
    Ok(WorkerKey::new(&hotkey, &worker_id(worker)?))
}

fn worker_id(text: &str) -> Result<WorkerId, Skip> {
    match (1..=limits::WORKER_ID_BYTES).contains(&text.len()) {
        true => Ok(WorkerId::new(text)),
        false => Err(Skip::NotWorker),
    }
}

/// A [`WorkerKey`] as text, for fields.
pub(super) mod key_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{WorkerKey, parse_worker_key};

    pub fn serialize<S: Serializer>(key: &WorkerKey, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(key)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<WorkerKey, D::Error> {
        let text = String::deserialize(from)?;
        parse_worker_key(&text).map_err(|why| D::Error::custom(format!("workerKey {text:?}: {}", why.label())))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Publish {
    #[serde(deserialize_with = "json::at_most::<_, _, { limits::LEASES }>")]
    worker_scores: Vec<Raw>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(default)]
    worker_key: Option<Raw>,
    #[serde(default)]
    score: Option<Raw>,
}

impl LeasePublish {
    pub(super) fn read(plaintext: &str) -> Result<LeasePublish, BodyFault> {
        let publish: Publish = body(kind::LEASE_PUBLISH, plaintext)?;
        let mut read = LeasePublish::default();
        let mut hotkeys = LastHotkey::default();
        for item in &publish.worker_scores {
            match one(item.as_str(), &mut hotkeys) {
                Ok(lease) => read.scores.push(lease),
                Err(why) => read.skipped.note(item.as_str(), why),
            }
        }
        Ok(read)
    }

    pub(super) fn to_json(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Item<'a> {
            #[serde(with = "key_text")]
            worker_key: &'a WorkerKey,
            score: f64,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Publish<'a> {
            worker_scores: Vec<Item<'a>>,
        }
        let items = self.scores.iter().map(|(worker_key, score)| Item { worker_key, score: *score });
        json::text(&Publish { worker_scores: items.collect() })
    }
}

fn one(item: &str, hotkeys: &mut LastHotkey) -> Result<(WorkerKey, f64), Skip> {
    let item: Item = json::object(item).map_err(|_| Skip::NotObject)?;
    let key = item.worker_key.ok_or(Skip::NoKey)?;
    let key: String = key.read().map_err(|_| Skip::NoKey)?;
    let (hotkey, worker) = key.split_once(':').ok_or(Skip::NoColon)?;
    let worker = worker_id(worker)?;
    let hotkey = hotkeys.read(hotkey)?;
    Ok((WorkerKey { hotkey, worker }, score(item.score.ok_or(Skip::NoScore)?.as_str())?))
}

fn score(text: &str) -> Result<f64, Skip> {
    let number = match text.starts_with('"') {
        true => {
            let text: String = serde_json::from_str(text).map_err(|_| Skip::NotNumber)?;
            text.trim().parse().map_err(|_| Skip::NotNumber)?
        }
        false => serde_json::from_str::<f64>(text).map_err(|_| Skip::NotNumber)?,
    };
    match number {
        number if f64::is_nan(number) => Err(Skip::NotNumber),
        // A negative zero would come out as "-0".
        number if (0.0..=1.0).contains(&number) => Ok(number + 0.0),
        _ => Err(Skip::OutOfRange),
    }
}

/// A checksum a hotkey, not one a worker: a publish names a miner's workers one after the other.
#[derive(Default)]
struct LastHotkey(Option<Hotkey>);

impl LastHotkey {
    fn read(&mut self, text: &str) -> Result<Hotkey, Skip> {
        if let Some(last) = self.0.as_ref().filter(|last| last.as_str() == text) {
            return Ok(last.clone());
        }
        let hotkey: Hotkey = text.parse().map_err(|_| Skip::NotHotkey)?;
        Ok(self.0.insert(hotkey).clone())
    }
}
