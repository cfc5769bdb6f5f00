//! `cpu_matrix` on all threads of the executor: one goes through the stream and says where each band of B begins,
//! the others draw and pack bands as they come, and it joins them when it is through. Then each takes strips of
//! rows, draws, multiplies and hashes them. What a piece is, and what its right result is, is `compute`'s.

use std::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use crossbeam::channel::{self, Receiver, Sender};

use crate::{
    compute::{
        cpu_matrix::{Band, Entries, Factor, Matrices, Spec, Survey},
        kernel::Isa,
        merkle::Tree,
        row_hash::RowHash,
    },
    machine::contract::cpu::Split,
    net::Clock,
    spoke::in_parallel,
};

/// The tree over all row hashes, and what each thread's time went into on average. `None` when `go_on` said so.
pub fn compute(spec: &Spec, threads: usize, clock: Clock, go_on: impl Fn() -> bool + Sync) -> Option<(Tree, Split)> {
    let began = clock.mono();
    let matrices = draw(spec, threads, &go_on)?;
    let generate = clock.mono().since(began);
    let strips = matrices.strips(threads);
    let next = AtomicUsize::new(0);
    let done = in_parallel("cpu", vec![(); threads.min(strips.len())], |()| {
        take_strips(&matrices, &clock, &go_on, || strips.get(next.fetch_add(1, Ordering::Relaxed)).cloned())
    });
    let mean = |part: fn(&Done) -> Duration| done.iter().map(part).sum::<Duration>() / done.len().max(1) as u32;
    let split = Split { generate, multiply: mean(|done| done.multiply), hash: mean(|done| done.hash) };
    let mut hashes: Vec<_> = done.into_iter().flat_map(|done| done.hashes).collect();
    hashes.sort_unstable_by_key(|(first, _)| *first);
    let leaves: Vec<RowHash> = hashes.into_iter().flat_map(|(_, hashes)| hashes).collect();
    let whole = leaves.len() == spec.n as usize;
    Tree::new(leaves).filter(|_| whole).map(|tree| (tree, split))
}

/// What one thread has to do with B.
enum Part<'a> {
    Survey(&'a mut Survey, Vec<Band<'a>>, Sender<(Band<'a>, Entries)>),
    Draw,
}

fn draw(spec: &Spec, threads: usize, go_on: &(impl Fn() -> bool + Sync)) -> Option<Matrices> {
    let isa = Isa::best();
    let (mut survey, mut factor) = (Survey::new(spec, isa), Factor::new(spec, isa));
    let bands = factor.bands_mut();
    let (place, places) = channel::bounded(bands.len());
    let mut parts = vec![Part::Survey(&mut survey, bands, place)];
    parts.resize_with(threads.max(1), || Part::Draw);
    in_parallel("cpu", parts, |part| {
        if let Part::Survey(survey, bands, place) = part {
            pass(survey, bands, &place, go_on);
        }
        draw_bands(spec, &places, go_on);
    });
    drop(places);
    go_on().then(|| Matrices::new(survey, factor))
}

/// Goes through the stream, and hands out each band with its place.
fn pass<'a>(
    survey: &mut Survey,
    bands: Vec<Band<'a>>,
    place: &Sender<(Band<'a>, Entries)>,
    go_on: &(impl Fn() -> bool + Sync),
) {
    if !survey.pass_a(go_on) {
        return;
    }
    for band in bands {
        let begins = survey.pass_band(band.terms());
        // There is room for all of them; nobody takes them any more once the product is called off.
        let _ = place.try_send((band, begins));
        if !go_on() {
            return;
        }
    }
}

fn draw_bands(spec: &Spec, places: &Receiver<(Band<'_>, Entries)>, go_on: &(impl Fn() -> bool + Sync)) {
    let mut rows = Vec::new();
    for (mut band, begins) in places.iter().take_while(|_| go_on()) {
        band.draw(begins, spec.n, &mut rows);
    }
}

/// What one thread has done.
struct Done {
    hashes: Vec<(u32, Vec<RowHash>)>,
    multiply: Duration,
    hash: Duration,
}

/// Strips of rows, one after the other, until there are no more or the product is called off.
fn take_strips(
    matrices: &Matrices,
    clock: &Clock,
    go_on: &impl Fn() -> bool,
    mut next: impl FnMut() -> Option<Range<u32>>,
) -> Done {
    let mut hand = matrices.hand();
    let mut done = Done { hashes: Vec::new(), multiply: Duration::ZERO, hash: Duration::ZERO };
    while let Some(rows) = next().filter(|_| go_on()) {
        let began = clock.mono();
        if !hand.multiply(rows.clone(), go_on) {
            break;
        }
        let multiplied = clock.mono();
        done.hashes.push((rows.start, hand.row_hashes()));
        done.multiply += multiplied.since(began);
        done.hash += clock.mono().since(multiplied);
    }
    done
}
