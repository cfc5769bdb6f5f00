//! A round's product in pieces that do not depend on each other: panels of B first, then strips of rows.
//!
//! C is never whole: each strip is multiplied, hashed and overwritten by the next. Who runs which piece on which
//! thread, and in what order within its half, changes nothing. It starts no thread itself.

use std::ops::Range;

use super::{
    Hash, RoundKey, Spec,
    draw::{self, Stream},
    row_hash,
};

/// Columns of a panel.
const PANEL_COLUMNS: usize = 32;
/// Rows of a strip.
const STRIP_ROWS: usize = 64;

/// How a challenge is cut for so many threads.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    spec: Spec,
    threads: usize,
}

impl Plan {
    pub fn new(spec: Spec, threads: usize) -> Plan {
        Plan { spec, threads: threads.max(1) }
    }

    /// Memory that the work takes at most: B, what each thread has at hand, and the answer.
    pub fn memory_bytes(&self) -> u64 {
        let n = u64::from(self.spec.n());
        let desk = STRIP_ROWS as u64 * n * (1 + 4) + 4 * n + PANEL_COLUMNS as u64 * n;
        let answer = 32 * (n + 1) * u64::from(self.spec.rounds()) + 3 * 32 * n;
        n * n + desk * self.threads as u64 + answer
    }

    /// The strips of a round, in order.
    pub fn strips(&self) -> impl Iterator<Item = Range<u32>> {
        let n = self.spec.n();
        (0..n).step_by(STRIP_ROWS).map(move |top| top..(top + STRIP_ROWS as u32).min(n))
    }

    /// Room for B, to be filled panel by panel anew in each round.
    pub fn factor(&self) -> Factor {
        Factor { n: self.spec.side(), columns: vec![0; self.spec.side() * self.spec.side()] }
    }

    /// What one thread works at.
    pub fn desk(&self) -> Desk {
        Desk { n: self.spec.side(), a: Vec::new(), c: Vec::new(), bytes: Vec::new() }
    }
}

/// B of one round.
pub struct Factor {
    n: usize,
    columns: Vec<i8>,
}

/// Some columns of B, to be filled by whoever holds them.
pub struct FactorPanel<'a> {
    first: usize,
    columns: &'a mut [i8],
}

impl Factor {
    pub fn panels_mut(&mut self) -> impl Iterator<Item = FactorPanel<'_>> {
        let panels = self.columns.chunks_mut(PANEL_COLUMNS * self.n).enumerate();
        panels.map(|(at, columns)| FactorPanel { first: at * PANEL_COLUMNS, columns })
    }
}

/// One thread's strip of A and of C.
pub struct Desk {
    n: usize,
    a: Vec<i8>,
    c: Vec<i32>,
    bytes: Vec<u8>,
}

impl Desk {
    /// Draws the columns of a panel.
    pub fn fill(&mut self, key: &RoundKey, panel: FactorPanel<'_>) {
        draw::lines(key, Stream::B, self.n, panel.first, panel.columns);
    }

    /// Draws these rows of A.
    pub fn draw(&mut self, key: &RoundKey, rows: &Range<u32>) {
        self.a.resize(rows.len() * self.n, 0);
        draw::lines(key, Stream::A, self.n, rows.start as usize, &mut self.a);
    }

    /// Multiplies the rows drawn last.
    pub fn multiply(&mut self, factor: &Factor) {
        self.c.clear();
        for row in self.a.chunks_exact(self.n) {
            let dot = |column: &[i8]| row.iter().zip(column).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum::<i32>();
            self.c.extend(factor.columns.chunks_exact(self.n).map(dot));
        }
    }

    /// Hashes the rows multiplied last, in order.
    pub fn hash(&mut self, hashes: &mut Vec<Hash>) {
        let Desk { c, bytes, n, .. } = self;
        hashes.extend(c.chunks_exact(*n).map(|row| row_hash::of_row(row, bytes)));
    }
}
