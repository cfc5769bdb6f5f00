//! The entry of every fuzz target: libFuzzer's bytes into the target of the binary's name.

#![no_main]

mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::target(env!("CARGO_BIN_NAME"))(data));
