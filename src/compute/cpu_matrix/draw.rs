//! The matrices out of their stream: gone through once, then drawn wherever and whenever they are needed.
//!
//! The stream has no short cuts, but going through it costs little. A [`Survey`] remembers where every few rows
//! of A begin and hands out where the bands of B begin, so that A is never held, and bands of B are drawn by
//! whoever has time. It runs no thread.

use super::{DIGIT_TERMS, ENTRY_MAX, Spec, seed_word};
use crate::compute::{
    kernel::{BandMut, Isa, Panels},
    mt19937::Mt19937,
};

/// Rows of B that are drawn before they are packed: they stay in a core's second cache.
const BAND: usize = 32;
/// Rows of A between two remembered places.
const STEP: usize = 16;

/// A place in the stream of entries, and all entries from there on.
#[derive(Clone)]
pub struct Entries(Mt19937);

impl Entries {
    pub(super) fn of(spec: &Spec, isa: Isa) -> Entries {
        let seed = seed_word(&spec.seed);
        Entries(if isa.is_wide() { Mt19937::new(seed) } else { Mt19937::portable(seed) })
    }

    pub(super) fn fill(&mut self, values: &mut [i16]) {
        self.0.fill(values, 2 * ENTRY_MAX as u16, ENTRY_MAX);
    }

    pub(super) fn skip(&mut self, count: usize) {
        let mut passed = [0; 2048];
        for first in (0..count).step_by(passed.len()) {
            let length = passed.len().min(count - first);
            self.fill(&mut passed[..length]);
        }
    }
}

/// The way through the stream of one challenge: first all of A, then one band of B after the other.
pub struct Survey {
    pub(super) spec: Spec,
    pub(super) isa: Isa,
    entries: Entries,
    steps: Vec<Entries>,
}

impl Survey {
    pub fn new(spec: &Spec, isa: Isa) -> Survey {
        let steps = Vec::with_capacity(spec.side().div_ceil(STEP));
        Survey { spec: *spec, isa, entries: Entries::of(spec, isa), steps }
    }

    /// Goes through A, once. `go_on` is asked every few rows; its first `false` ends that with `false`.
    pub fn pass_a(&mut self, mut go_on: impl FnMut() -> bool) -> bool {
        let n = self.spec.side();
        for first in (self.steps.len() * STEP..n).step_by(STEP) {
            self.steps.push(self.entries.clone());
            self.entries.skip(STEP.min(n - first) * n);
            if !go_on() {
                return false;
            }
        }
        true
    }

    /// The place where a band of `terms` rows begins; goes on to the next one.
    pub fn pass_band(&mut self, terms: usize) -> Entries {
        let place = self.entries.clone();
        self.entries.skip(terms * self.spec.side());
        place
    }

    pub(super) fn into_steps(self) -> Steps {
        Steps { n: self.spec.side(), steps: self.steps }
    }
}

/// Where the rows of A begin.
pub(super) struct Steps {
    n: usize,
    steps: Vec<Entries>,
}

impl Steps {
    /// Draws these rows of A into `rows`.
    pub fn draw(&self, range: std::ops::Range<usize>, rows: &mut Vec<i16>) {
        rows.clear();
        let Some(step) = self.steps.get(range.start / STEP) else { return };
        let mut entries = step.clone();
        entries.skip(range.start % STEP * self.n);
        rows.resize(range.len() * self.n, 0);
        entries.fill(rows);
    }

    pub fn bytes(n: usize) -> usize {
        n.div_ceil(STEP) * size_of::<Entries>()
    }
}

/// B, packed: one slice of all terms, or slices of [`DIGIT_TERMS`] where there are further factors.
pub struct Factor(pub(super) Vec<Panels<i16>>);

impl Factor {
    pub fn new(spec: &Spec, isa: Isa) -> Factor {
        let n = spec.side();
        let slice = if spec.iterations == 1 { n } else { DIGIT_TERMS };
        Factor((0..n).step_by(slice).map(|top| Panels::new(isa, slice.min(n - top), n)).collect())
    }

    /// The bands of its rows, in order, to be drawn by anybody.
    pub fn bands_mut(&mut self) -> Vec<Band<'_>> {
        self.0.iter_mut().flat_map(|slice| slice.bands_mut(BAND)).map(Band).collect()
    }
}

/// A few rows of B that are still to be drawn.
pub struct Band<'a>(BandMut<'a, i16>);

impl Band<'_> {
    /// Rows of it.
    pub fn terms(&self) -> usize {
        self.0.terms()
    }

    /// Draws the rows from their place on, and packs them. `rows` is memory to use again.
    pub fn draw(&mut self, mut place: Entries, n: u32, rows: &mut Vec<i16>) {
        rows.resize(self.terms() * n as usize, 0);
        place.fill(rows);
        self.0.pack(rows);
    }
}

/// Draws the next rows of B, one band after the other.
pub(super) fn draw_slice(entries: &mut Entries, slice: &mut Panels<i16>, rows: &mut Vec<i16>) {
    let n = slice.columns();
    for mut band in slice.bands_mut(BAND) {
        rows.resize(band.terms() * n, 0);
        entries.fill(rows);
        band.pack(rows);
    }
}
