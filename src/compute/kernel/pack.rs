//! Operands in the order in which the kernels read them: columns in panels, rows in tiles of a strip.
//!
//! Memory is cut into groups: a few terms of one row or column that lie side by side, then the same terms of
//! the next one. A panel or tile holds all its groups from the first term to the last, so that any run of
//! terms of it is one slice. Packing changes no value, except that bytes of columns are shifted by 128 where
//! the instruction wants one unsigned operand.

use std::marker::PhantomData;

use super::{element::Element, isa::Isa};

/// How one kind of element is packed for one [`Isa`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of a tile.
    pub rows: usize,
    /// Columns of a panel.
    pub columns: usize,
    /// Bytes of a group.
    pub group: usize,
    /// Bytes of an element once packed.
    pub element: usize,
    /// Whether bytes of columns are packed as value + 128.
    pub shifted: bool,
}

impl Shape {
    pub fn terms_per_group(&self) -> usize {
        self.group / self.element
    }

    pub fn groups(&self, terms: usize) -> usize {
        terms.div_ceil(self.terms_per_group())
    }
}

/// Zeroed bytes from a cache line's beginning on.
#[derive(Debug)]
struct Lines {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

const LINE: usize = 64;

impl Lines {
    fn zeroed(len: usize) -> Lines {
        let bytes = vec![0; len + LINE];
        let start = bytes.as_ptr().align_offset(LINE).min(LINE);
        Lines { bytes, start, len }
    }

    fn get(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }

    fn get_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

/// Groups of one lane that are written before the next lane's turn: what they are read from and written to
/// stays in a core's first cache.
const RUN: usize = 16;

/// Writes lanes (rows or columns, of `terms` elements at most) into a tile or panel of `width` of them.
fn pack_lanes<E: Element>(isa: Isa, shape: &Shape, width: usize, shifted: bool, lanes: &[&[E]], packed: &mut [u8]) {
    let done = E::pack(isa, lanes, width, shifted, packed);
    let per_group = shape.terms_per_group();
    let rest = packed.get_mut(done * width * shape.group..).unwrap_or_default();
    for (run, places) in rest.chunks_mut(RUN * width * shape.group).enumerate() {
        for (at, lane) in lanes.iter().enumerate() {
            let lane = lane.get((done + run * RUN) * per_group..).unwrap_or_default();
            let lane = &lane[..lane.len().min(RUN * per_group)];
            let quads = if shape.group == 4 { E::scatter(lane, shape.element, shifted, at, width, places) } else { 0 };
            let groups = lane.chunks(per_group).zip(places.chunks_exact_mut(width * shape.group)).skip(quads);
            for (group, place) in groups {
                E::write(group, shape.element, shifted, &mut place[at * shape.group..(at + 1) * shape.group]);
            }
        }
    }
}

/// All columns of one factor, packed panel by panel. Shared by all who multiply.
#[derive(Debug)]
pub struct Panels<E> {
    isa: Isa,
    shape: Shape,
    terms: usize,
    columns: usize,
    lines: Lines,
    of: PhantomData<E>,
}

/// What the first term of a band of rows is a multiple of.
pub const FIRST_TERM: usize = 16;

/// One panel, to be packed by whoever holds it; panels do not depend on each other.
#[derive(Debug)]
pub struct PanelMut<'a, E> {
    isa: Isa,
    shape: Shape,
    terms: usize,
    first: usize,
    columns: usize,
    packed: &'a mut [u8],
    of: PhantomData<E>,
}

impl<E: Element> Panels<E> {
    /// Room for `columns` columns of `terms` elements each, all zero.
    pub fn new(isa: Isa, terms: usize, columns: usize) -> Panels<E> {
        let shape = isa.kernels().shape(E::KIND);
        let len = columns.div_ceil(shape.columns) * shape.groups(terms) * shape.group * shape.columns;
        Panels { isa, shape, terms, columns, lines: Lines::zeroed(len), of: PhantomData }
    }

    /// Bytes that [`Panels::new`] takes.
    pub fn bytes(isa: Isa, terms: usize, columns: usize) -> u64 {
        let shape = isa.kernels().shape(E::KIND);
        let panel = (shape.groups(terms) * shape.group * shape.columns) as u64;
        columns.div_ceil(shape.columns) as u64 * panel + LINE as u64
    }

    /// Columns of every panel but the last, which may have fewer.
    pub fn panel_columns(&self) -> usize {
        self.shape.columns
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    pub fn terms(&self) -> usize {
        self.terms
    }

    /// The panels, in order.
    pub fn panels_mut(&mut self) -> impl Iterator<Item = PanelMut<'_, E>> {
        let (isa, shape, terms, columns) = (self.isa, self.shape, self.terms, self.columns);
        let bytes = self.panel_bytes().max(1);
        self.lines.get_mut().chunks_exact_mut(bytes).enumerate().map(move |(at, packed)| {
            let first = at * shape.columns;
            PanelMut { isa, shape, terms, first, columns: shape.columns.min(columns - first), packed, of: PhantomData }
        })
    }

    fn panel_bytes(&self) -> usize {
        self.shape.groups(self.terms) * self.shape.group * self.shape.columns
    }

    /// The instructions that it is packed for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    pub(super) fn packed(&self) -> &[u8] {
        self.lines.get()
    }

    /// The panels' bytes, one after the other.
    pub(super) fn packed_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let bytes = self.panel_bytes().max(1);
        self.lines.get_mut().chunks_exact_mut(bytes)
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn groups(&self) -> usize {
        self.shape.groups(self.terms)
    }
}

impl<E: Element> PanelMut<'_, E> {
    /// The columns that belong here.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.columns
    }

    /// Packs columns that each lie in one piece, one after the other: `terms` elements each. What is missing
    /// stays as it was, what is too much is left out.
    pub fn pack_columns(&mut self, columns: &[E]) {
        let lanes: Vec<&[E]> = columns.chunks_exact(self.terms.max(1)).take(self.columns).collect();
        pack_lanes(self.isa, &self.shape, self.shape.columns, self.shape.shifted, &lanes, self.packed);
    }

    /// Packs out of a matrix that lies by rows of `stride` columns, one row for each term: those of
    /// [`PanelMut::range`]. The first row is term `first`, a multiple of [`FIRST_TERM`].
    pub fn pack_rows(&mut self, first: usize, matrix: &[E], stride: usize) {
        let (shape, columns) = (self.shape, self.range());
        let per_group = shape.terms_per_group();
        let places = self.packed.chunks_exact_mut(shape.columns * shape.group).skip(first / per_group);
        for (rows, place) in matrix.chunks(per_group * stride.max(1)).zip(places) {
            let mut terms = [&[][..]; FIRST_TERM];
            let cut = rows.chunks_exact(stride.max(1)).map(|row| row.get(columns.clone()).unwrap_or_default());
            let count = terms.iter_mut().zip(cut).map(|(slot, row)| *slot = row).count();
            E::weave(&terms[..count], &shape, place);
        }
    }
}

/// Some rows of the other factor, packed. Each thread has its own and fills it again and again.
#[derive(Debug)]
pub struct Strip<E> {
    isa: Isa,
    shape: Shape,
    terms: usize,
    room: usize,
    rows: usize,
    lines: Lines,
    /// What shifting the columns by 128 added, with the other sign: a value for each row.
    corrections: Vec<i32>,
    of: PhantomData<E>,
}

impl<E: Element> Strip<E> {
    /// Room for `rows` rows of `terms` elements each, all zero. [`Strip::rows_for`] says how many do well.
    pub fn new(isa: Isa, terms: usize, rows: usize) -> Strip<E> {
        let shape = isa.kernels().shape(E::KIND);
        let tiles = rows.div_ceil(shape.rows);
        let len = tiles * shape.groups(terms) * shape.group * shape.rows;
        let corrections = vec![0; tiles * shape.rows];
        Strip { isa, shape, terms, room: rows, rows: 0, lines: Lines::zeroed(len), corrections, of: PhantomData }
    }

    /// Rows of a strip that stays in a core's cache beside a panel, and leaves each of so many threads about
    /// the same work.
    pub fn rows_for(isa: Isa, rows: usize, threads: usize) -> usize {
        const MOST: usize = 96;
        let (tile, threads) = (isa.kernels().shape(E::KIND).rows, threads.max(1));
        let (tiles, most) = (rows.div_ceil(tile), MOST / tile);
        let longest_share = |height: usize| tiles.div_ceil(height).div_ceil(threads) * height;
        // A strip of half the height reads the other factor twice as often: worth a sixteenth of the work.
        let cost = |height: &usize| longest_share(*height) * (8 * most + most - height);
        (1..=most).rev().min_by_key(cost).unwrap_or(1) * tile
    }

    /// Packs rows of `terms` elements each in place of what was here; those beyond its room are left out.
    pub fn pack<'a>(&mut self, rows: impl IntoIterator<Item = &'a [E]>) {
        let (shape, bytes) = (self.shape, self.tile_bytes().max(1));
        let mut rows = rows.into_iter().take(self.room).map(|row| &row[..row.len().min(self.terms)]);
        self.rows = 0;
        let places = self.lines.get_mut().chunks_exact_mut(bytes).zip(self.corrections.chunks_exact_mut(shape.rows));
        for (place, corrections) in places {
            let tile: Vec<&[E]> = rows.by_ref().take(shape.rows).collect();
            pack_lanes(self.isa, &shape, shape.rows, false, &tile, place);
            for (row, correction) in tile.iter().zip(corrections) {
                *correction = if shape.shifted { E::sum(row).wrapping_mul(-128) } else { 0 };
            }
            self.rows += tile.len();
        }
    }

    /// Rows that it has room for.
    pub fn room(&self) -> usize {
        self.corrections.len()
    }

    /// Rows packed by the last [`Strip::pack`].
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn terms(&self) -> usize {
        self.terms
    }

    fn tile_bytes(&self) -> usize {
        self.shape.groups(self.terms) * self.shape.group * self.shape.rows
    }

    pub(super) fn isa(&self) -> Isa {
        self.isa
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// What is added to the sums of a row for the shift of the columns.
    pub(super) fn correction(&self, row: usize) -> i32 {
        self.corrections.get(row).copied().unwrap_or_default()
    }

    pub(super) fn packed(&self) -> &[u8] {
        self.lines.get()
    }
}
