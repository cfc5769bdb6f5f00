//! Every cheat of a device, and the reason it is refused with. Each prover here knows the code and picks its lies;
//! it does not know before its commitment which chunks it will be asked for.

use byteleap::{
    compute::gemm_i8::{
        GemmFault, Hash, KeyPrefix,
        reference::{Book, leaf, row_hashes},
        verify,
    },
    units::{ChallengeId, WorkerId},
    wire::{
        json,
        messages::gemm_i8::{GemmProof, GemmProofFault, OpeningFault, Sample},
    },
};

use super::{prefix, product, spec};

const N: u32 = 768;

fn at(round: u32, row: u32, chunk: u32) -> Sample {
    Sample { round, row, chunk }
}

fn ours() -> KeyPrefix {
    prefix(1, "cpu")
}

/// A device that computes as it should, except for what `lie` makes of a round's product.
fn liar(rounds: u32, lie: impl Fn(u32, &mut [i32])) -> Book {
    Book::with(spec(N, rounds), ours(), |round, key| {
        let mut c = product(key, N as usize);
        lie(round, &mut c);
        c
    })
}

fn honest(rounds: u32) -> Book {
    liar(rounds, |_, _| {})
}

/// A book whose rounds have these leaves in place of those of their products.
fn with_leaves(rounds: u32, leaves: impl Fn(u32, Vec<Hash>) -> Vec<Hash>) -> Book {
    let mut book = Book { products: vec![], leaves: vec![], tops: vec![], root: [0; 32], ..honest(1) };
    book.spec = spec(N, rounds);
    for round in 0..rounds {
        let c = product(&book.prefix.round(round, &book.root), N as usize);
        let hashes = row_hashes(&c, N as usize);
        book.add(c, leaves(round, hashes));
    }
    book
}

fn leaves(hashes: &[Hash]) -> Vec<Hash> {
    (0..).zip(hashes).map(|(row, hash)| leaf(row, hash)).collect()
}

/// What the validator says who asked for these chunks of this commitment, in its own challenge.
fn verdict(book: &Book, asked: &[Sample], proof: &GemmProof) -> Result<(), GemmFault> {
    verify(&book.spec, &ours(), &book.root, asked, proof)
}

fn asked_of(book: &Book, asked: &[Sample]) -> Result<(), GemmFault> {
    verdict(book, asked, &book.open(asked))
}

fn all_wrong(verdict: Result<(), GemmFault>, sample: Sample) {
    match verdict {
        Err(GemmFault::Values { sample: at, wrong, .. }) if at == sample => assert!(wrong > 250, "{wrong}"),
        other => panic!("{sample}: {other:?}"),
    }
}

#[test]
fn who_computes_passes() {
    let book = honest(2);
    let asked = [at(0, 0, 0), at(1, 767, 2), at(1, 512, 1), at(0, 511, 2), at(0, 0, 0)];
    assert_eq!(asked_of(&book, &asked), Ok(()));
}

#[test]
fn a_skipped_chunk_is_told_by_its_zeros_and_a_made_up_one_by_its_values() {
    let skipped = liar(1, |_, c| c[5 * 768 + 256..5 * 768 + 512].fill(0));
    assert_eq!(asked_of(&skipped, &[at(0, 5, 1)]), Err(GemmFault::Zeros { sample: at(0, 5, 1) }));
    assert_eq!(asked_of(&skipped, &[at(0, 5, 0), at(0, 4, 1)]), Ok(()), "the chunks beside it are there");
    let made_up = liar(1, |_, c| (0..).zip(&mut c[5 * 768..6 * 768]).for_each(|(value, place)| *place = value));
    all_wrong(asked_of(&made_up, &[at(0, 4, 0), at(0, 5, 2)]), at(0, 5, 2));
}

#[test]
fn a_product_of_zeros_is_told_so() {
    let zeros = liar(1, |_, c| c.fill(0));
    assert_eq!(asked_of(&zeros, &[at(0, 9, 2)]), Err(GemmFault::Zeros { sample: at(0, 9, 2) }));
}

#[test]
fn who_computes_the_last_round_alone_is_caught_in_the_others() {
    let last = liar(3, |round, c| {
        if round < 2 {
            c.fill(7)
        }
    });
    all_wrong(asked_of(&last, &[at(2, 1, 1), at(0, 1, 1)]), at(0, 1, 1));
    all_wrong(asked_of(&last, &[at(1, 1, 1)]), at(1, 1, 1));
    assert_eq!(asked_of(&last, &[at(2, 1, 1)]), Ok(()), "which is why all rounds are asked for");
}

#[test]
fn one_faked_round_of_many_is_caught_where_it_is() {
    let faked = liar(4, |round, c| {
        if round == 1 {
            c.fill(-1)
        }
    });
    assert_eq!(asked_of(&faked, &[at(0, 3, 0), at(2, 3, 1), at(3, 3, 2)]), Ok(()));
    all_wrong(asked_of(&faked, &[at(0, 3, 0), at(1, 700, 0)]), at(1, 700, 0));
}

#[test]
fn leaves_of_nothing_do_not_fit_what_is_computed_when_asked() {
    let random = with_leaves(1, |_, hashes| hashes.into_iter().rev().collect());
    assert_eq!(asked_of(&random, &[at(0, 8, 0)]), Err(GemmFault::Path { sample: at(0, 8, 0) }));
    let one_round = with_leaves(2, |round, hashes| if round == 0 { vec![[9; 32]; 768] } else { leaves(&hashes) });
    assert_eq!(asked_of(&one_round, &[at(1, 8, 0)]), Ok(()));
    assert_eq!(asked_of(&one_round, &[at(0, 8, 0)]), Err(GemmFault::Path { sample: at(0, 8, 0) }));
}

#[test]
fn leaves_that_are_swapped_reordered_or_doubled_do_not_stand_for_each_other() {
    // The leaves themselves change places: a leaf holds its index, so the path ends elsewhere.
    let swapped = with_leaves(1, |_, hashes| {
        let mut leaves = leaves(&hashes);
        leaves.swap(3, 4);
        leaves
    });
    assert_eq!(asked_of(&swapped, &[at(0, 3, 0)]), Err(GemmFault::Path { sample: at(0, 3, 0) }));
    let reordered = with_leaves(1, |_, hashes| leaves(&hashes).into_iter().rev().collect());
    assert_eq!(asked_of(&reordered, &[at(0, 0, 0)]), Err(GemmFault::Path { sample: at(0, 0, 0) }));
    // Rows change places, or one row stands for all, under leaves of the right index.
    let rows = liar(1, |_, c| c[..2 * 768].rotate_left(768));
    all_wrong(asked_of(&rows, &[at(0, 1, 0)]), at(0, 1, 0));
    let doubled = liar(1, |_, c| (1..768).for_each(|row| c.copy_within(..768, row * 768)));
    assert_eq!(asked_of(&doubled, &[at(0, 0, 1)]), Ok(()));
    all_wrong(asked_of(&doubled, &[at(0, 1, 1)]), at(0, 1, 1));
    // Chunks of one row change places.
    let chunks = liar(1, |_, c| c[..768].rotate_left(256));
    all_wrong(asked_of(&chunks, &[at(0, 0, 0)]), at(0, 0, 0));
}

#[test]
fn one_value_off_by_one_is_named() {
    let book = liar(1, |_, c| c[700 * 768 + 300] += 1);
    let right = honest(1).products[0][700 * 768 + 300];
    let sample = at(0, 700, 1);
    let fault = GemmFault::Values { sample, wrong: 1, column: 300, got: right + 1, want: right };
    assert_eq!(asked_of(&book, &[at(0, 1, 0), sample]), Err(fault.clone()));
    let text = format!(
        "round 0 row 700 chunk 1: 1 of 256 values are not the product's; the first, column 300, is {}",
        right + 1
    );
    assert!(fault.to_string().starts_with(&text), "{fault}");
    // Corrected after the commitment, it is no longer what was committed to.
    let mut proof = book.open(&[sample]);
    proof.openings[0].values[300 - 256] -= 1;
    assert_eq!(verdict(&book, &[sample], &proof), Err(GemmFault::Path { sample }));
}

#[test]
fn keys_of_others_give_other_products() {
    let id = ChallengeId::new("8c1d6c4e-5b1a-4d53-9c86-0d1f0a2b3c4d");
    let key = |id: &ChallengeId, seed: u8, miner: &str, worker: &str, device: &str| {
        let mut bytes = [0; 32];
        bytes[0] = seed;
        KeyPrefix::new(id, &bytes, miner, &WorkerId::new(worker), device)
    };
    assert_eq!(key(&id, 1, "5A", "w-1", "cpu"), ours());
    let others = [
        key(&ChallengeId::new("8c1d6c4e-5b1a-4d53-9c86-0d1f0a2b3c4e"), 1, "5A", "w-1", "cpu"),
        key(&id, 2, "5A", "w-1", "cpu"),
        key(&id, 1, "5B", "w-1", "cpu"),
        key(&id, 1, "5A", "w-2", "cpu"),
        key(&id, 1, "5A", "w-1", "GPU-1"),
    ];
    for other in others {
        let book = Book::with(spec(N, 1), other, |_, key| product(key, N as usize));
        // Even under the right name.
        let proof = GemmProof { uuid: "cpu".into(), ..book.open(&[at(0, 2, 2)]) };
        all_wrong(verdict(&book, &[at(0, 2, 2)], &proof), at(0, 2, 2));
    }
}

#[test]
fn the_proof_of_another_device_is_refused_by_its_name() {
    let book = Book::with(spec(N, 1), prefix(1, "GPU-1"), |_, key| product(key, N as usize));
    let fault = GemmFault::Device { got: "GPU-1".into(), asked: "cpu".into() };
    assert_eq!(asked_of(&book, &[at(0, 2, 2)]), Err(fault));
}

#[test]
fn replays_do_not_fit() {
    let book = honest(1);
    let earlier = Book::with(spec(N, 1), prefix(2, "cpu"), |_, key| product(key, N as usize));
    let asked = [at(0, 2, 2)];
    // The proof of an earlier challenge under this one's commitment.
    let fault = GemmFault::Root { got: earlier.root, committed: book.root };
    assert_eq!(verdict(&book, &asked, &earlier.open(&asked)), Err(fault));
    // Commitment and proof of an earlier challenge.
    all_wrong(asked_of(&earlier, &asked), asked[0]);
    // This challenge's proof of what others were asked for.
    let fault = GemmFault::Place { at: 0, got: at(0, 3, 2), asked: asked[0] };
    assert_eq!(verdict(&book, &asked, &book.open(&[at(0, 3, 2)])), Err(fault));
}

#[test]
fn tops_and_openings_are_as_many_as_asked_and_in_order() {
    let book = honest(2);
    let asked = [at(0, 1, 0), at(1, 2, 1)];
    let with = |change: fn(&mut GemmProof)| {
        let mut proof = book.open(&asked);
        change(&mut proof);
        verdict(&book, &asked, &proof).unwrap_err()
    };
    assert_eq!(with(|proof| proof.tops.truncate(1)), GemmFault::Tops { got: 1, rounds: 2 });
    assert_eq!(with(|proof| proof.tops.push([0; 32])), GemmFault::Tops { got: 3, rounds: 2 });
    assert!(matches!(with(|proof| proof.tops.swap(0, 1)), GemmFault::Root { .. }));
    assert_eq!(with(|proof| proof.openings.truncate(1)), GemmFault::Openings { got: 1, asked: 2 });
    assert_eq!(with(|proof| proof.openings.clear()), GemmFault::Openings { got: 0, asked: 2 });
    let padded = with(|proof| proof.openings.push(proof.openings[0].clone()));
    assert_eq!(padded, GemmFault::Openings { got: 3, asked: 2 });
    let place = GemmFault::Place { at: 0, got: asked[1], asked: asked[0] };
    assert_eq!(with(|proof| proof.openings.swap(0, 1)), place);
    let doubled = with(|proof| proof.openings[1] = proof.openings[0].clone());
    assert_eq!(doubled, GemmFault::Place { at: 1, got: asked[0], asked: asked[1] });
    // The right name on another round's opening.
    let renamed = with(|proof| proof.openings[0].round = 1);
    assert_eq!(renamed, GemmFault::Place { at: 0, got: at(1, 1, 0), asked: asked[0] });
    let moved = with(|proof| proof.openings[0].values = proof.openings[1].values.clone());
    assert_eq!(moved, GemmFault::Path { sample: asked[0] });
}

#[test]
fn paths_have_the_length_of_their_place() {
    let book = honest(1);
    let asked = [at(0, 700, 0)];
    let with = |change: fn(&mut Vec<Hash>, &mut Vec<Hash>)| {
        let mut proof = book.open(&asked);
        let opening = &mut proof.openings[0];
        change(&mut opening.chunk_path, &mut opening.row_path);
        verdict(&book, &asked, &proof).unwrap_err()
    };
    let (sample, chunk) = (asked[0], |got| GemmFault::ChunkPath { sample: asked[0], got, want: 2 });
    assert_eq!(with(|chunks, _| chunks.truncate(1)), chunk(1));
    assert_eq!(with(|chunks, _| chunks.push([0; 32])), chunk(3));
    let row = |got| GemmFault::RowPath { sample, got, want: 9 };
    assert_eq!(with(|_, rows| rows.truncate(8)), row(8));
    assert_eq!(with(|_, rows| rows.push([0; 32])), row(10));
    // 700 stands under a last node that is carried up: nine siblings, where a full tree has ten.
    assert_eq!(with(|chunks, _| chunks.swap(0, 1)), GemmFault::Path { sample });
    assert_eq!(with(|_, rows| rows.swap(0, 8)), GemmFault::Path { sample });
}

#[test]
fn openings_that_are_cut_stretched_or_padded_are_no_proof() {
    let text = json::text(&honest(1).open(&[at(0, 5, 1)]));
    let read = |text: &str| GemmProof::read(&json::parse(text).expect("JSON of another shape"));
    assert!(read(&text).is_ok());
    let values = text.find("\"values\":\"").expect("an opening has values") + 10;
    let opening = |why| Err(GemmProofFault::Opening { at: 0, why });
    let cut = format!("{}{}", &text[..values], &text[values + 4..]);
    assert_eq!(read(&cut), opening(OpeningFault::ValuesLength { letters: 1364 }));
    let stretched = format!("{}AAAA{}", &text[..values], &text[values..]);
    assert_eq!(read(&stretched), opening(OpeningFault::ValuesLength { letters: 1372 }));
    let padded = format!("{}===={}", &text[..values], &text[values + 4..]);
    assert_eq!(read(&padded), opening(OpeningFault::Values));
    let more = text.replacen("\"round\":0,", "\"round\":0,\"pad\":\"x\",", 1);
    assert!(matches!(read(&more), Err(GemmProofFault::Opening { at: 0, why: OpeningFault::Shape(_) })));
    let digits = text.replacen("\"chunk_path\":[\"", "\"chunk_path\":[\"00", 1);
    assert_eq!(read(&digits), opening(OpeningFault::Hash { field: "chunk_path", level: 0 }));
}

#[test]
fn a_check_that_asks_for_nothing_or_for_what_is_not_there_shows_nothing() {
    let book = honest(1);
    assert_eq!(verdict(&book, &[], &book.open(&[])), Err(GemmFault::NothingAsked));
    let sample = at(1, 0, 0);
    let fault = GemmFault::NoSuchChunk { sample, rounds: 1, n: N };
    assert_eq!(verdict(&book, &[sample], &book.open(&[at(0, 0, 0)])), Err(fault));
}

#[test]
fn the_same_lie_is_always_told_by_the_same_reason() {
    let book = liar(2, |_, c| c.fill(3));
    let asked = [at(1, 9, 2), at(1, 3, 0), at(0, 8, 2), at(0, 9, 1), at(0, 2, 1)];
    // The first by round and chunk, then in the order asked.
    for _ in 0..3 {
        all_wrong(asked_of(&book, &asked), at(0, 9, 1));
    }
}

#[test]
fn a_smaller_matrix_is_not_committed_to_in_place_of_the_one_asked_for() {
    let small = Book::with(spec(512, 1), ours(), |_, key| product(key, 512));
    let asked = [at(0, 2, 1)];
    let verdict = verify(&spec(N, 1), &ours(), &small.root, &asked, &small.open(&asked));
    assert!(matches!(verdict, Err(GemmFault::Root { .. })), "{verdict:?}");
}
