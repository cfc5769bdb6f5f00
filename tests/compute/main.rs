//! The recorded CPU challenges of the reference implementation against ours: the generator, the products, the
//! trees and every verdict; and the sound challenge against its known answers and its cheats. What the reference takes and ours does not is listed in `tests/data/DIFFERENCES.md`.

mod gemm_i8;
mod generator;
mod gpu;
mod product;
mod verdicts;

use serde::de::DeserializeOwned;

fn recorded<T: DeserializeOwned>(file: &str) -> T {
    let path = format!("{}/tests/data/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{path}: {why}"));
    serde_json::from_str(&text).unwrap_or_else(|why| panic!("{path}: {why}"))
}

fn seed(hex_digits: &str) -> [u8; 16] {
    let mut seed = [0; 16];
    hex::decode_to_slice(hex_digits, &mut seed).expect("a recorded seed is hex");
    seed
}
