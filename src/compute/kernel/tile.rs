//! A strip of rows times all panels of columns: the order in which tiles are multiplied.
//!
//! Terms are taken in blocks, so that a strip's block and two panels' blocks stay in a core's second cache
//! and sums of words cannot leave an i32. It runs no thread: callers multiply strips side by side.

use std::ops::Range;

use super::{
    element::Element,
    pack::{Panels, Strip},
};

/// Sums of the largest tile, row by row.
pub(super) type Sums = [i32; 12 * 32];

/// Packed bytes of one row or column that are multiplied before the next panel's turn.
const BLOCK_BYTES: usize = 4096;

/// Where products are added up: `i32` (modulo 2^32) or `i64`.
///
/// An `i64` is right for any number of terms when 4096 of them fit an i32: words of −724 … 724, or any bytes.
pub trait Total: Copy + Sealed {}

/// What only this module's totals know.
pub trait Sealed {
    #[doc(hidden)]
    fn set(&mut self, sum: i32);
    #[doc(hidden)]
    fn add(&mut self, sum: i32);
}

impl Total for i32 {}

impl Sealed for i32 {
    #[inline]
    fn set(&mut self, sum: i32) {
        *self = sum;
    }

    #[inline]
    fn add(&mut self, sum: i32) {
        *self = self.wrapping_add(sum);
    }
}

impl Total for i64 {}

impl Sealed for i64 {
    #[inline]
    fn set(&mut self, sum: i32) {
        *self = i64::from(sum);
    }

    #[inline]
    fn add(&mut self, sum: i32) {
        *self = self.wrapping_add(i64::from(sum));
    }
}

impl<E: Element> Strip<E> {
    /// Writes the strip's product with all columns to `out`: the sum of the strip's row r and column c lies at
    /// r·`stride` + c. What has no place in `out` is left out. Both must be packed for the same [`Isa`] and
    /// number of terms; nothing is written otherwise.
    ///
    /// [`Isa`]: super::Isa
    pub fn multiply<T: Total>(&self, panels: &Panels<E>, out: &mut [T], stride: usize) {
        self.product(panels, out, stride, T::set);
    }

    /// The same, added to what is there.
    pub fn multiply_add<T: Total>(&self, panels: &Panels<E>, out: &mut [T], stride: usize) {
        self.product(panels, out, stride, T::add);
    }

    fn product<T: Total>(&self, panels: &Panels<E>, out: &mut [T], stride: usize, first: impl Fn(&mut T, i32)) {
        if self.isa() != panels.isa() || self.terms() != panels.terms() {
            return;
        }
        let product = Product { strip: self, panels, stride };
        let mut blocks = blocks(panels.groups(), BLOCK_BYTES / self.shape().group);
        blocks.by_ref().take(1).for_each(|block| product.block(&block, out, &first));
        blocks.for_each(|block| product.block(&block, out, &T::add));
    }
}

/// `groups` in pieces of about the same length, none longer than `most`.
fn blocks(groups: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = groups.div_ceil(most).max(1);
    (0..count).map(move |at| at * groups / count..(at + 1) * groups / count)
}

struct Product<'a, E> {
    strip: &'a Strip<E>,
    panels: &'a Panels<E>,
    stride: usize,
}

impl<E: Element> Product<'_, E> {
    /// The terms of one block, of all rows and columns.
    fn block<T: Total>(&self, block: &Range<usize>, out: &mut [T], put: &impl Fn(&mut T, i32)) {
        let count = self.panels.columns().div_ceil(self.strip.shape().columns);
        let tiles = self.strip.rows().div_ceil(self.strip.shape().rows);
        for panel in 0..count {
            let columns = self.columns(panel, block);
            let next = if panel + 1 < count { self.columns(panel + 1, block) } else { &[] };
            for tile in 0..tiles {
                let place = Place::of(self, tile, panel);
                place.expect(self, out);
                let ahead = next.get(tile * columns.len() / 8..).unwrap_or_default();
                let sums = self.sums(tile, block, columns, ahead);
                place.put(self, block.start == 0, &sums, out, put);
            }
        }
    }

    fn columns(&self, panel: usize, block: &Range<usize>) -> &[u8] {
        let shape = self.strip.shape();
        run(self.panels.packed(), self.panels.groups(), shape.columns * shape.group, panel, block)
    }

    fn sums(&self, tile: usize, block: &Range<usize>, columns: &[u8], ahead: &[u8]) -> Sums {
        let shape = self.strip.shape();
        let rows = run(self.strip.packed(), self.panels.groups(), shape.rows * shape.group, tile, block);
        let mut sums = [0; 12 * 32];
        self.strip.isa().kernels().tile(E::KIND, rows, columns, ahead, &mut sums);
        sums
    }
}

/// Where a tile's sums belong.
struct Place {
    rows: Range<usize>,
    first: usize,
    width: usize,
}

impl Place {
    fn of<E: Element>(product: &Product<'_, E>, tile: usize, panel: usize) -> Place {
        let shape = product.strip.shape();
        let first = panel * shape.columns;
        let rows = tile * shape.rows..product.strip.rows().min((tile + 1) * shape.rows);
        Place { rows, first, width: shape.columns.min(product.panels.columns() - first) }
    }

    /// Asks for the memory early: it is the one access that follows no pattern.
    fn expect<T>(&self, product: &Product<'_, impl Element>, out: &[T]) {
        for row in self.rows.clone() {
            let at = row * product.stride + self.first;
            let places = out.get(at..at + self.width).unwrap_or_default();
            product.strip.isa().kernels().soon_written(places.as_ptr().cast(), size_of_val(places));
        }
    }

    fn put<T>(
        &self,
        product: &Product<'_, impl Element>,
        corrected: bool,
        sums: &Sums,
        out: &mut [T],
        put: &impl Fn(&mut T, i32),
    ) {
        for (row, sums) in self.rows.clone().zip(sums.chunks_exact(product.strip.shape().columns)) {
            let more = if corrected { product.strip.correction(row) } else { 0 };
            let places = out.get_mut(row * product.stride + self.first..).unwrap_or_default();
            places.iter_mut().take(self.width).zip(sums).for_each(|(place, sum)| put(place, sum.wrapping_add(more)));
        }
    }
}

/// The block of one tile or panel in packed bytes: `width` bytes for each of its `groups`.
fn run<'a>(packed: &'a [u8], groups: usize, width: usize, at: usize, block: &Range<usize>) -> &'a [u8] {
    let start = at * groups;
    &packed[(start + block.start) * width..(start + block.end) * width]
}
