//! Receipts: asked of those who give them, page after page, and handed to the disk whole.

use super::{
    validator::Mood,
    world::{World, heartbeat},
};
use crate::{
    machine::contract::receipts::ReceiptsKeep,
    units::{Netuid, PeerId, WorkerId},
    wire::{receipt::RECEIPT_BYTES, synapse::SynapseKind},
};

fn world() -> (World, PeerId) {
    let mut world = World::new(1);
    let ann = world.join("ann");
    world.bob().receipts = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
    (world, ann)
}

/// Lets time pass while the worker tells that it lives.
fn alive((world, ann): &mut (World, PeerId), secs: u64) {
    for _ in 0..secs / 10 {
        world.pass_secs(10);
        world.says(*ann, &heartbeat());
    }
}

#[test]
fn they_are_asked_for_page_by_page_and_kept_together() {
    let mut both = world();
    alive(&mut both, 900);
    let asked: Vec<Option<String>> =
        both.0.bob().receipts_asked.iter().map(|asked| asked.after.as_ref().map(ToString::to_string)).collect();
    let round = [None, Some("b".to_owned()), Some("d".to_owned())];
    assert_eq!(asked[..3], round);
    assert!(asked.chunks(3).all(|round_again| round_again == round), "{asked:?}");
    let counts: Vec<usize> = both.0.receipts.iter().map(|kept| kept.receipts.len()).collect();
    assert!(!counts.is_empty() && counts.iter().all(|count| *count == 5), "{counts:?}");
}

#[test]
fn a_validator_that_refuses_them_is_served_on_and_asked_again_at_the_next_round() {
    let mut both = world();
    both.0.bob().set(SynapseKind::Receipt, Mood::Error("not now"));
    alive(&mut both, 900);
    assert!(both.0.receipts.is_empty());
    assert!(both.0.bob().polls.len() > 10);
    both.0.bob().set(SynapseKind::Receipt, Mood::Serves);
    alive(&mut both, 420);
    assert_eq!(both.0.receipts.len(), 1);
}

#[test]
fn a_calculation_that_comes_between_two_pages_leaves_no_half_sheet() {
    let mut both = world();
    both.0.bob().receipts_at_s = [1, 2].into();
    alive(&mut both, 900);
    let names = |kept: &ReceiptsKeep| kept.receipts.iter().map(|one| one.text.clone()).collect::<Vec<_>>();
    let expected = ["a", "b", "c", "d", "e"].map(|worker| format!(r#"{{"at_s":2,"worker":"{worker}"}}"#));
    assert_eq!(names(&both.0.receipts[0]), expected);
    assert_eq!(both.0.bob().receipts_asked[1].after, Some(WorkerId::new("b")));
    assert_eq!(both.0.bob().receipts_asked[2].after, None);
    assert_eq!(both.0.receipts[0].netuid, Netuid(128));
}

#[test]
fn a_receipt_without_measure_is_dropped_and_the_others_are_kept() {
    let mut both = world();
    both.0.bob().receipts[1] = "b".repeat(RECEIPT_BYTES);
    alive(&mut both, 900);
    let counts: Vec<usize> = both.0.receipts.iter().map(|kept| kept.receipts.len()).collect();
    assert!(!counts.is_empty() && counts.iter().all(|count| *count == 4), "{counts:?}");
}
