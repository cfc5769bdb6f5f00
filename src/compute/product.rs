//! Exact products of a few rows with a whole matrix that lies by columns.
//!
//! Plain loops that the compiler turns into multiply-add instructions; no thread, no `unsafe`.

/// Terms that a sum of products of two entries may have before it could leave an i32: 8192·500² < 2^31.
const NARROW_TERMS: usize = 8192;
/// Columns that are used for every row of a block before the next ones are read: they stay in a core's cache.
const COLUMNS: usize = 64;

/// Four rows with one column, so that the column is read once for all of them. All of one length.
fn dot4(rows: [&[i16]; 4], column: &[i16]) -> [i32; 4] {
    let len = column.len();
    let [a, b, c, d] = rows.map(|row| &row[..len]);
    let mut sums = [0; 4];
    for k in 0..len {
        let factor = i32::from(column[k]);
        sums[0] += i32::from(a[k]) * factor;
        sums[1] += i32::from(b[k]) * factor;
        sums[2] += i32::from(c[k]) * factor;
        sums[3] += i32::from(d[k]) * factor;
    }
    sums
}

fn dot(row: &[i16], column: &[i16]) -> i32 {
    row.iter().zip(column).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

/// `rows` (entries of −500 … 500, each `n` long) times the matrix.
pub(super) fn narrow(rows: &[i16], columns: &[i16], n: usize) -> Vec<i64> {
    let mut block = vec![0; rows.len()];
    for (tile, columns) in columns.chunks(COLUMNS * n).enumerate() {
        for (rows, out) in rows.chunks(4 * n).zip(block.chunks_mut(4 * n)) {
            for (at, column) in columns.chunks_exact(n).enumerate() {
                add_column(rows, column, &mut out[tile * COLUMNS + at..], n);
            }
        }
    }
    block
}

/// Up to four rows with one column; `out` begins at the column's place in the first row.
fn add_column(rows: &[i16], column: &[i16], out: &mut [i64], n: usize) {
    for from in (0..n).step_by(NARROW_TERMS) {
        let terms = from..n.min(from + NARROW_TERMS);
        let column = &column[terms.clone()];
        if rows.len() == 4 * n {
            let rows = [0, 1, 2, 3].map(|row| &rows[row * n..][terms.clone()]);
            for (row, sum) in dot4(rows, column).into_iter().enumerate() {
                out[row * n] += i64::from(sum);
            }
        } else {
            for (row, values) in rows.chunks_exact(n).enumerate() {
                out[row * n] += i64::from(dot(&values[terms.clone()], column));
            }
        }
    }
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
