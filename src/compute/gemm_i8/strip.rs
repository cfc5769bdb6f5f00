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
use crate::compute::kernel::{Isa, PanelMut, Panels, Strip};

/// How a challenge is cut for so many threads.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    spec: Spec,
    isa: Isa,
    threads: usize,
    strip_rows: usize,
}

impl Plan {
    /// With the fastest instructions of this machine.
    pub fn new(spec: Spec, threads: usize) -> Plan {
        Plan::on(Isa::best(), spec, threads)
    }

    pub fn on(isa: Isa, spec: Spec, threads: usize) -> Plan {
        let threads = threads.max(1);
        let mut strip_rows = Strip::<i8>::rows_for(isa, spec.side(), threads);
        while strip_rows > LEAST_STRIP_ROWS && strip_rows * spec.side() * ROW_BYTES * threads > STRIPS_BYTES {
            strip_rows /= 2;
        }
        Plan { spec, isa, threads, strip_rows }
    }

    /// Memory that the work takes at most: B, what each thread has at hand, and the answer.
    pub fn memory_bytes(&self) -> u64 {
        let (n, rows) = (self.spec.side(), self.strip_rows as u64);
        let factor = Panels::<i8>::bytes(self.isa, n, n);
        let panel = factor.div_ceil(n as u64) * MOST_PANEL_COLUMNS;
        let desk = panel + rows * (n * ROW_BYTES) as u64;
        let answer = 32 * (n as u64 + 1) * (u64::from(self.spec.rounds()) + 4);
        factor + desk * self.threads as u64 + answer
    }

    /// The strips of a round, in order.
    pub fn strips(&self) -> impl Iterator<Item = Range<u32>> + use<> {
        let (n, rows) = (self.spec.n(), self.strip_rows.max(1) as u32);
        (0..n).step_by(rows as usize).map(move |top| top..(top + rows).min(n))
    }

    /// Room for B, to be filled panel by panel anew in each round.
    pub fn factor(&self) -> Factor {
        Factor { panels: Panels::new(self.isa, self.spec.side(), self.spec.side()) }
    }

    /// What one thread works at.
    pub fn desk(&self) -> Desk {
        let n = self.spec.side();
        let strip = Strip::new(self.isa, n, self.strip_rows);
        Desk { isa: self.isa, n, drawn: Vec::new(), strip, product: Vec::new() }
    }
}

/// Columns of the widest panel of any instruction set.
const MOST_PANEL_COLUMNS: u64 = 64;
/// Of each element of a strip: drawn, packed (bytes may be packed as words), multiplied.
const ROW_BYTES: usize = 1 + 2 + 4;
/// What the strips of all threads take together, as long as they are higher than [`LEAST_STRIP_ROWS`].
const STRIPS_BYTES: usize = 768 << 20;
/// Lower strips would read B from memory faster than it comes.
const LEAST_STRIP_ROWS: usize = 24;

/// B of one round.
pub struct Factor {
    panels: Panels<i8>,
}

impl Factor {
    /// Some columns each, to be filled by whoever holds them.
    pub fn panels_mut(&mut self) -> impl Iterator<Item = PanelMut<'_, i8>> {
        self.panels.panels_mut()
    }
}

/// One thread's rows of A and of C, used again and again.
pub struct Desk {
    isa: Isa,
    n: usize,
    drawn: Vec<i8>,
    strip: Strip<i8>,
    product: Vec<i32>,
}

impl Desk {
    /// Draws the columns of a panel.
    pub fn fill(&mut self, key: &RoundKey, mut panel: PanelMut<'_, i8>) {
        let columns = panel.range();
        self.drawn.resize(columns.len() * self.n, 0);
        draw::lines(self.isa, key, Stream::B, self.n, columns.start, &mut self.drawn);
        panel.pack_columns(&self.drawn);
    }

    /// Draws rows of A: a strip of [`Plan::strips`].
    pub fn draw(&mut self, key: &RoundKey, rows: &Range<u32>) {
        self.drawn.resize(rows.len() * self.n, 0);
        draw::lines(self.isa, key, Stream::A, self.n, rows.start as usize, &mut self.drawn);
        self.strip.pack(self.drawn.chunks_exact(self.n));
    }

    /// Multiplies the rows drawn last.
    pub fn multiply(&mut self, factor: &Factor) {
        self.product.resize(self.strip.rows() * self.n, 0);
        self.strip.multiply(&factor.panels, &mut self.product, self.n);
    }

    /// Hashes the rows multiplied last, in order.
    pub fn hash(&mut self, hashes: &mut Vec<Hash>) {
        hashes.extend(self.product.chunks_exact(self.n).map(row_hash::of_row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_whatever_the_instructions_and_threads() {
        const GIB: u64 = 1 << 30;
        for isa in Isa::available() {
            for threads in [1, 2, 8, 64] {
                let need = |n| Plan::on(isa, Spec::new(n, 1).unwrap(), threads).memory_bytes();
                assert!(need(32_768) < 3 * GIB && need(8192) < GIB, "{isa} {threads} threads");
            }
        }
    }

    #[test]
    fn strips_cover_every_row_once() {
        for (n, threads) in [(256, 1), (768, 2), (1280, 7), (8192, 64)] {
            let rows: Vec<u32> = Plan::new(Spec::new(n, 1).unwrap(), threads).strips().flatten().collect();
            assert!(rows.into_iter().eq(0..n), "{n}");
        }
    }
}
