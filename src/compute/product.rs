//! Exact products of a few rows with a whole matrix that lies by columns.
//!
//! Plain loops that the compiler turns into multiply-add instructions; no thread, no `unsafe`.

/// Terms that a sum of products of two entries may have before it could leave an i32: 8192·500² < 2^31.
const NARROW_TERMS: usize = 8192;
/// Rows that pass over a column together, so that it is read once for all of them.
const LANES: usize = 4;

fn dot(row: &[i16], column: &[i16]) -> i64 {
    let part = |(row, column): (&[i16], &[i16])| {
        let sum: i32 = row.iter().zip(column).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        i64::from(sum)
    };
    row.chunks(NARROW_TERMS).zip(column.chunks(NARROW_TERMS)).map(part).sum()
}

/// `rows` (entries of −500 … 500, each `n` long) times the matrix.
pub(super) fn narrow(rows: &[i16], columns: &[i16], n: usize) -> Vec<i64> {
    let mut block = vec![0; rows.len()];
    let groups = rows.chunks(LANES * n).zip(block.chunks_mut(LANES * n));
    for (rows, out) in groups {
        for (j, column) in columns.chunks_exact(n).enumerate() {
            for (row, out) in rows.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
                out[j] = dot(row, column);
            }
        }
    }
    block
}

/// `rows` (any values) times the matrix, modulo 2^64.
pub(super) fn wide(rows: &[i64], columns: &[i16], n: usize) -> Vec<i64> {
    let mut block = vec![0; rows.len()];
    for (j, column) in columns.chunks_exact(n).enumerate() {
        for (row, out) in rows.chunks_exact(n).zip(block.chunks_exact_mut(n)) {
            let terms = row.iter().zip(column).map(|(a, b)| a.wrapping_mul(i64::from(*b)));
            out[j] = terms.fold(0, i64::wrapping_add);
        }
    }
    block
}
