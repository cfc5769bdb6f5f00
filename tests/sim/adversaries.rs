//! Every lie at once, in fair weather: each is named by its own words, and no liar is ever verified.

use std::time::Duration;

use byteleap::machine::contract::store::End;
use serde_json::json;

use crate::{
    liars::Lie,
    roles::Honesty,
    subnet::{Part, Subnet},
};

/// Several challenges for everybody.
const SPAN: Duration = Duration::from_secs(if cfg!(debug_assertions) { 2 * 60 } else { 4 * 60 });

/// Three rounds of three chunks a row: a tree with an odd level, a row of two subtrees, a round between two others.
fn run() -> Subnet {
    let liars: Vec<Part> = Lie::ALL.into_iter().map(Part::liar).collect();
    let honest = [Part::HONEST, Part { only_cpu_matrix: true, ..Part::HONEST }];
    let (first, second) = liars.split_at(liars.len() / 2);
    let cast = vec![[first, &honest].concat(), [&honest, second].concat()];
    let size = json!({"matrix_size": if cfg!(debug_assertions) { 256 } else { 768 }, "rounds": 3});
    let mut subnet = Subnet::of(1, &json!({"gemm_i8": {"cpu": size}}), cast);
    subnet.calm(SPAN);
    subnet
}

#[test]
fn every_lie_is_named_and_no_liar_is_verified() {
    let ends = run().ends();
    let mut wrong = Vec::new();
    for (honesty, ends) in ends {
        let right = |end: &End| match (honesty, end) {
            (Honesty::Honest, end) => matches!(end, End::Verified { .. }),
            (Honesty::Liar(lie), End::Failed(why)) => why.contains(lie.reason()),
            (Honesty::Liar(_), _) => false,
        };
        if ends.len() < 3 || !ends.iter().all(right) {
            wrong.push(format!("{honesty:?}: {} ends, the first {:?}", ends.len(), ends.first()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
