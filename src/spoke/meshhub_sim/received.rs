//! What validators sent, newest last, within bounds: the oldest go first, and how many went is said.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::units::{Hotkey, Wall};

const RECORDS_MAX: usize = 20_000;
const BYTES_MAX: usize = 64 << 20;
/// Records of one answer.
const ANSWER_MAX: usize = 1000;

/// A message of a validator, or what was wrong with a frame (type `fault`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// From 1, without a gap.
    pub number: u64,
    /// Unix seconds.
    pub at: f64,
    pub hotkey: Hotkey,
    #[serde(rename = "type")]
    pub kind: String,
    pub data: Json,
    #[serde(skip)]
    bytes: usize,
}

#[derive(Debug, Default)]
pub(super) struct Received {
    records: VecDeque<Record>,
    bytes: usize,
    count: u64,
}

impl Received {
    pub(super) fn note(&mut self, at: Wall, hotkey: &Hotkey, kind: &str, data: Json, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
        let (hotkey, kind) = (hotkey.clone(), kind.to_owned());
        self.records.push_back(Record { number: self.count, at: at.as_secs_f64(), hotkey, kind, data, bytes });
        while self.records.len() > RECORDS_MAX || (self.bytes > BYTES_MAX && self.records.len() > 1) {
            self.bytes -= self.records.pop_front().map_or(0, |oldest| oldest.bytes);
        }
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    /// Those of a type, all without it, whose number is above `after`; at most so many as one answer has.
    pub(super) fn shown(&self, kind: Option<&str>, after: u64) -> Json {
        let asked = |record: &&Record| record.number > after && kind.is_none_or(|kind| record.kind == kind);
        let records: Vec<&Record> = self.records.iter().filter(asked).take(ANSWER_MAX).collect();
        let forgotten = self.records.front().map_or(self.count, |first| first.number - 1);
        json!({"count": self.count, "forgotten": forgotten, "records": records})
    }

    pub(super) fn forget(&mut self) {
        self.records.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(received: &mut Received, kind: &str, bytes: usize) {
        received.note(Wall::from_secs(1), &Hotkey::label("5A"), kind, json!({}), bytes);
    }

    #[test]
    fn the_oldest_go_first_and_are_counted() {
        let mut received = Received::default();
        (0..RECORDS_MAX + 5).for_each(|_| note(&mut received, "a", 10));
        assert_eq!((received.records.len(), received.records.front().unwrap().number), (RECORDS_MAX, 6));
        note(&mut received, "b", BYTES_MAX);
        assert_eq!(received.records.len(), 1);
        let shown = received.shown(None, 0);
        assert_eq!((&shown["count"], &shown["forgotten"]), (&json!(RECORDS_MAX + 6), &json!(RECORDS_MAX + 5)));
    }

    #[test]
    fn a_question_names_a_type_and_a_number() {
        let mut received = Received::default();
        for kind in ["a", "b", "a"] {
            note(&mut received, kind, 1);
        }
        let numbers = |kind, after| -> Vec<u64> {
            let shown = received.shown(kind, after);
            shown["records"].as_array().unwrap().iter().map(|record| record["number"].as_u64().unwrap()).collect()
        };
        assert_eq!(
            (numbers(None, 0), numbers(Some("a"), 0), numbers(Some("a"), 1)),
            (vec![1, 2, 3], vec![1, 3], vec![3])
        );
    }
}
