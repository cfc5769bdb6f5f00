//! Single rows with single columns as they lie in memory: what a verifier needs, where packing would cost
//! more than it gains.

use super::{element::Element, isa::Isa};

/// Rows and columns that are multiplied while they stay in a core's first cache.
const ROWS: usize = 4;
const COLUMNS: usize = 4;

/// Each of the rows with each of the columns, modulo 2^32, `terms` elements each: the sum of row r and column
/// c is `sums[r · columns + c]`. What has no place in `sums`, and a row or column that is cut short, is left out.
pub fn dots<E: Element>(isa: Isa, terms: usize, rows: &[E], columns: &[E], sums: &mut [i32]) {
    let terms = terms.max(1);
    let width = columns.len() / terms;
    let rows: Vec<&[E]> = rows.chunks_exact(terms).collect();
    let columns: Vec<&[E]> = columns.chunks_exact(terms).collect();
    for (at, columns) in columns.chunks(COLUMNS).enumerate() {
        for (rows, sums) in rows.chunks(ROWS).zip(sums.chunks_mut(ROWS * width)) {
            let mut tile = [0; ROWS * COLUMNS];
            E::dots(isa, rows, columns, &mut tile);
            for (sums, tile) in sums.chunks_mut(width).zip(tile.chunks(columns.len())).take(rows.len()) {
                let places = sums.get_mut(at * COLUMNS..).unwrap_or_default();
                places.iter_mut().zip(tile).for_each(|(place, sum)| *place = *sum);
            }
        }
    }
}
