//! Rounds of challenges that passed workers over: a row a round, its workers as one list of row numbers.
//!
//! The list is ascending, each number as what it is above the one before, in bytes of seven bits, low ones first, the
//! eighth set while more follow: a byte or two a worker. A row for each worker and round would be the second largest
//! table. It never decides whom a round passes over, nor what that means for a score.

use rusqlite::{Transaction, params};

use super::{Problem, exactly_one, heartbeats, load::unreadable, nonsense, stamp};
use crate::units::{Wall, WorkerKey};

/// Workers that one round may pass over: 256 miners that name as many as a heartbeat may.
const MOST: usize = 256 * 1024;

/// A round that passes over nobody leaves nothing; one that was told before is refused, for it would count twice. A
/// worker that was never heard has no participation to lower, and is left out.
pub(super) fn began(to: &Transaction, seq: i64, at: Wall, passed_over: &[WorkerKey]) -> Result<(), Problem> {
    if passed_over.is_empty() {
        return Ok(());
    }
    if passed_over.len() > MOST {
        return Err(nonsense(format!("a round passed over {} workers; there are at most {MOST}", passed_over.len())));
    }
    let mut workers = Vec::with_capacity(passed_over.len());
    for key in passed_over {
        workers.extend(heartbeats::find(to, key)?);
    }
    let inserted = to
        .prepare_cached("INSERT INTO rounds (at, passed_over, seq) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![stamp(at), encode(workers), seq])?;
    exactly_one(inserted, || format!("the round of {} ns: began before", at.0))
}

/// The workers' rows of one round.
pub(super) fn numbers(list: &[u8]) -> rusqlite::Result<Vec<i64>> {
    let broken = || unreadable(0, "a list of workers that breaks off");
    Numbers::of(list).map(|number| number.ok_or_else(broken)).collect()
}

fn encode(mut numbers: Vec<i64>) -> Vec<u8> {
    numbers.sort_unstable();
    numbers.dedup();
    let mut bytes = Vec::with_capacity(2 * numbers.len());
    let mut last = 0;
    for number in numbers {
        let mut above = number.abs_diff(last);
        last = number;
        while above >= 0x80 {
            bytes.push(above as u8 | 0x80);
            above >>= 7;
        }
        bytes.push(above as u8);
    }
    bytes
}

/// The numbers of a list; `None` where it makes no sense, and then no more.
struct Numbers<'a> {
    bytes: &'a [u8],
    last: i64,
}

impl<'a> Numbers<'a> {
    fn of(bytes: &'a [u8]) -> Numbers<'a> {
        Numbers { bytes, last: 0 }
    }

    fn above(&mut self) -> Option<i64> {
        let mut above: u64 = 0;
        for shift in (0..63).step_by(7) {
            let (byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            above |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return i64::try_from(above).ok();
            }
        }
        None
    }
}

impl Iterator for Numbers<'_> {
    type Item = Option<i64>;

    fn next(&mut self) -> Option<Option<i64>> {
        if self.bytes.is_empty() {
            return None;
        }
        let number = self.above().and_then(|above| self.last.checked_add(above));
        match number {
            Some(number) => self.last = number,
            None => self.bytes = &[],
        }
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_take_a_byte_each() {
        assert_eq!(encode((1..=25_600).collect()).len(), 25_600);
        assert_eq!(encode(vec![300, 1]), [1, 0xAB, 2]);
        assert_eq!(encode(vec![]), [0; 0]);
    }

    #[test]
    fn a_list_that_breaks_off_or_runs_over_says_so() {
        for bytes in [&[0x80][..], &[1, 0xFF], &[0xFF; 12], &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 1]]
        {
            let read: Vec<_> = Numbers::of(bytes).collect();
            assert_eq!(read.last(), Some(&None), "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn a_list_comes_back(numbers in prop::collection::btree_set(1..i64::MAX, 0..50), near in 1..i64::MAX - 300) {
            let all: Vec<i64> = numbers.into_iter().chain(near..near + 300).collect();
            let bytes = encode(all.clone());
            let mut expected = all;
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(Numbers::of(&bytes).collect::<Option<Vec<_>>>(), Some(expected));
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(Numbers::of(&bytes).count() <= bytes.len());
        }
    }
}
