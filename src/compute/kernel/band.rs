//! All columns of a factor, cut by terms: a matrix that comes row by row is packed a band of rows at a time.
//!
//! Bands do not depend on each other. Packing changes no value; where one panel at a time is packed, that is
//! `pack`'s.

use std::{marker::PhantomData, ops::Range};

use super::{
    element::Element,
    isa::Isa,
    pack::{FIRST_TERM, Panels, Shape},
};

/// Some terms of all columns, to be packed by whoever holds it.
#[derive(Debug)]
pub struct BandMut<'a, E> {
    isa: Isa,
    shape: Shape,
    terms: usize,
    columns: usize,
    /// The band's groups of each panel.
    panels: Vec<&'a mut [u8]>,
    of: PhantomData<E>,
}

impl<E: Element> Panels<E> {
    /// Bands of `terms` terms (rounded up to a multiple of 16), in order; the last may have fewer.
    pub fn bands_mut(&mut self, terms: usize) -> Vec<BandMut<'_, E>> {
        let (isa, shape, columns, all) = (self.isa(), self.shape(), self.columns(), self.terms());
        let terms = terms.max(1).next_multiple_of(FIRST_TERM);
        let band = |first: usize| BandMut {
            isa,
            shape,
            terms: terms.min(all - first),
            columns,
            panels: Vec::with_capacity(columns.div_ceil(shape.columns)),
            of: PhantomData,
        };
        let mut bands: Vec<_> = (0..all).step_by(terms).map(band).collect();
        let bytes = shape.groups(terms) * shape.group * shape.columns;
        for panel in self.packed_mut() {
            bands.iter_mut().zip(panel.chunks_mut(bytes)).for_each(|(band, packed)| band.panels.push(packed));
        }
        bands
    }
}

impl<E: Element> BandMut<'_, E> {
    /// Terms, and so rows of the matrix.
    pub fn terms(&self) -> usize {
        self.terms
    }

    /// Packs the band's rows, one after the other; what is missing stays as it was.
    pub fn pack(&mut self, rows: &[E]) {
        let (shape, stride) = (self.shape, self.columns.max(1));
        let groups = rows.chunks(shape.terms_per_group() * stride);
        let groups: Vec<Vec<&[E]>> = groups.map(|rows| rows.chunks_exact(stride).collect()).collect();
        for (packed, first) in self.panels.iter_mut().zip((0..self.columns).step_by(shape.columns)) {
            let done = E::weave_rows(self.isa, rows, stride, first, packed) / shape.terms_per_group();
            let columns = first..self.columns.min(first + shape.columns);
            let places = packed.chunks_exact_mut(shape.columns * shape.group);
            for (terms, place) in groups.iter().zip(places).skip(done) {
                weave(terms, columns.clone(), &shape, place);
            }
        }
    }
}

/// Writes one group of some columns, of which every term is a row.
fn weave<E: Element>(terms: &[&[E]], columns: Range<usize>, shape: &Shape, place: &mut [u8]) {
    match terms {
        [a, b] => E::weave(&[&a[columns.clone()], &b[columns]], shape, place),
        [a, b, c, d, e, f, g, h] => {
            E::weave(&[a, b, c, d, e, f, g, h].map(|row| &row[columns.clone()]), shape, place);
        }
        _ => {
            let cut: Vec<&[E]> = terms.iter().map(|row| &row[columns.clone()]).collect();
            E::weave(&cut, shape, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<E: Element + From<i8>>() {
        for isa in Isa::available() {
            for (terms, columns) in [(1, 1), (16, 32), (33, 70), (100, 31)] {
                let matrix: Vec<E> = (0..terms * columns).map(|at| E::from((at * 31 % 251) as u8 as i8)).collect();
                let (mut by_panels, mut by_bands) =
                    (Panels::<E>::new(isa, terms, columns), Panels::<E>::new(isa, terms, columns));
                by_panels.panels_mut().for_each(|mut panel| panel.pack_rows(0, &matrix, columns));
                for (at, mut band) in by_bands.bands_mut(30).into_iter().enumerate() {
                    let first = at * 32 * columns;
                    band.pack(&matrix[first..first + band.terms() * columns]);
                }
                assert_eq!(by_bands.packed(), by_panels.packed(), "{isa}, {terms} terms of {columns} columns");
            }
        }
    }

    #[test]
    fn bands_are_packed_as_panels_are() {
        check::<i8>();
        check::<i16>();
    }
}
