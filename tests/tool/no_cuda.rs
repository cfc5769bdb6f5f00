//! What a build without the feature `cuda` says of GPUs: that it measures none, with a status of its own.
#![cfg(not(feature = "cuda"))]

use crate::stage::run;

#[test]
fn the_bench_says_that_this_build_measures_no_gpu() {
    let ended = run(&["bench", "gpu", "--n", "512", "--json"], "");
    assert_eq!((ended.status, ended.out.as_str()), (Some(66), ""));
    assert!(ended.err.contains("built without the feature `cuda`; nothing was measured"), "{}", ended.err);
}
