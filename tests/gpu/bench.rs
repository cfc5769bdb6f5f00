//! `byteleap bench gpu` over the fake driver and a fake cuBLASLt that looks at each argument: whatever it times is an
//! emulation's, and its device says so; what is held here is that every way is taken, compared and told.

use std::process::Command;

use serde_json::Value;

use crate::world::{fake_cublas_lt, fake_driver};

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {} {}", self.out, self.err))
    }
}

fn bench(words: &[&str], libraries: &str, knobs: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_byteleap"));
    command.args(["bench", "gpu", "--repeats", "1"]).args(words);
    let ended = command.env("LD_LIBRARY_PATH", libraries).envs(knobs.iter().copied()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: ended.status.code(), out: text(&ended.stdout), err: text(&ended.stderr) }
}

fn driver() -> String {
    fake_driver().display().to_string()
}

fn both() -> String {
    format!("{}:{}", fake_driver().display(), fake_cublas_lt().display())
}

#[test]
fn every_kernel_of_a_hopper_is_measured_beside_cublas_and_gives_the_cpus_root() {
    let ran = bench(&["--n", "256", "--json"], &both(), &[("FAKE_CUDA_CC", "90")]);
    assert_eq!(ran.code, Some(0), "{} {}", ran.out, ran.err);
    let card = &ran.json()["cards"][0];
    assert!(card["name"].as_str().unwrap().starts_with("CPU emulation"), "{card}");
    assert!(card["peak_tops"].is_null(), "an unknown card has no peak: {card}");
    assert_eq!(card["cublas"], "libcublasLt.so.12 (999999)");
    let size = &card["sizes"][0];
    let paths: Vec<&str> = size["paths"].as_array().unwrap().iter().map(|row| row["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["wgmma, sm_90a.cubin", "mma, sm_90a.cubin", "mma, compiled by the driver"]);
    assert_eq!((&size["paths_agree"], &size["checked_by"]), (&true.into(), &"root of the CPU".into()), "{size}");
    assert_eq!((&size["cublas"]["agrees"], &size["cublas"]["ways"]), (&true.into(), &1.into()), "{size}");
    for row in size["paths"].as_array().unwrap() {
        for figure in ["generate_ms", "multiply_ms", "hash_ms", "whole_ms", "whole_tops"] {
            assert!(row[figure].as_f64().unwrap() > 0.0, "{figure}: {row}");
        }
        assert!(row["product"]["tops"].as_f64().unwrap() > 0.0 && row["product"]["share_of_cublas"].is_f64(), "{row}");
    }
}

#[test]
fn what_is_not_there_or_does_not_fit_is_said_and_the_rest_is_measured() {
    let words = ["--n", "256,512", "--check-up-to", "0"];
    let ran = bench(&words, &driver(), &[("FAKE_CUDA_MEMORY", "1000000")]);
    assert_eq!(ran.code, Some(0), "{} {}", ran.out, ran.err);
    for said in [
        "CPU emulation (cc 80)",
        "no peak is known of it",
        "64 samples by a validator's check",
        "not measured: no libcublasLt.so.13, .12 or .11 is found",
        "n = 512 needs 2 MiB of GPU memory",
    ] {
        assert!(ran.out.contains(said), "{said}: {}", ran.out);
    }
}

/// A script that asks for what does not fit must not take silence for a measurement.
#[test]
fn a_card_that_nothing_fits_has_a_status_and_a_reason() {
    let knobs = [("FAKE_CUDA_MEMORY", "1000000"), ("FAKE_CUDA_DEVICES", "2")];
    let ran = bench(&["--n", "512,768"], &driver(), &knobs);
    assert_eq!(ran.code, Some(65), "{} {}", ran.out, ran.err);
    for number in ["000", "001"] {
        let said = format!("nothing was measured of GPU-fa4e0000-0000-0000-0000-000000000{number}");
        assert!(ran.err.contains(&said) && ran.err.contains("n = 512 needs 2 MiB"), "{}", ran.err);
    }
    let old = bench(&["--n", "256"], &driver(), &[("FAKE_CUDA_CC", "75")]);
    assert!(old.code == Some(1) && old.err.contains("compute capability 7.5 is older than 8.0"), "{}", old.err);
    assert!(old.out.contains("WRONG: "), "and the card is told of: {}", old.out);
}

#[test]
fn cublas_that_has_no_way_to_multiply_is_no_figure() {
    let knobs = [("FAKE_CUBLASLT_NO_WAY", "1")];
    let ran = bench(&["--n", "256", "--json"], &both(), &knobs);
    let size = &ran.json()["cards"][0]["sizes"][0];
    assert!(ran.code == Some(0) && size["cublas"].is_null(), "{size}");
    assert!(size["cublas_fault"].as_str().unwrap().contains("no way to multiply 256 × 256 × 256"), "{size}");
}

#[test]
fn a_wrong_product_is_found_and_fails_the_bench() {
    let knobs = [("FAKE_CUDA_CC", "90"), ("FAKE_CUDA_CORRUPT", "gemm_s8_wgmma")];
    let ran = bench(&["--n", "256"], &both(), &knobs);
    assert_eq!(ran.code, Some(1), "{} {}", ran.out, ran.err);
    for said in ["do not agree on the root", "the root is not the CPU's", "cuBLASLt is another than ours"] {
        assert!(ran.err.contains(said) && ran.out.contains(said), "{said}: {} {}", ran.out, ran.err);
    }
    let words = ["--n", "256", "--check-up-to", "0"];
    let ran = bench(&words, &driver(), &knobs);
    assert_eq!(ran.code, Some(1), "{} {}", ran.out, ran.err);
}

/// What was measured before a card failed is told, and how it ended.
#[test]
fn a_card_that_fails_in_between_ends_the_bench_by_name() {
    let knobs = [("FAKE_CUDA_FAIL", "cuLaunchKernel:3:719:sticky")];
    let ran = bench(&["--n", "256,512", "--json"], &driver(), &knobs);
    assert_eq!(ran.code, Some(1), "{} {}", ran.out, ran.err);
    let card = &ran.json()["cards"][0];
    assert!(card["fault"].as_str().unwrap().starts_with("n = 256: GPU-fa4e"), "{card}");
    assert!(ran.err.contains("CUDA error 719"), "{}", ran.err);
}

#[test]
fn without_a_gpu_it_says_so_with_a_status_of_its_own() {
    for (libraries, knobs, said) in
        [("", vec![], "no CUDA driver: "), (driver().as_str(), vec![("FAKE_CUDA_DEVICES", "0")], "CUDA error 100")]
    {
        let ran = bench(&["--n", "256"], libraries, &knobs);
        assert_eq!((ran.code, ran.out.as_str()), (Some(66), ""));
        assert!(ran.err.contains(said) && ran.err.contains("nothing was measured"), "{}", ran.err);
    }
    let ran = bench(&["--n", "256", "--device", "7"], &driver(), &[]);
    assert!(ran.code == Some(66) && ran.err.contains("no GPU of number 7"), "{}", ran.err);
}

/// The script for the first hour with a real card, as far as an emulation can run it.
#[test]
fn the_script_for_a_real_card_runs_through() {
    let site = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cuda/on_gpu");
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_byteleap")).parent().unwrap();
    let mut command = Command::new("bash");
    command.arg(script).arg(site.path()).env("BYTELEAP_BIN", bin).envs([("SIDES", "256"), ("REPEATS", "1")]);
    let ended = command.env("LD_LIBRARY_PATH", both()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    let wrote = |name: &str| std::fs::read_to_string(site.path().join(name)).unwrap();
    assert!(wrote("bench.txt").contains("CPU emulation (cc 80)"), "whose figures these are: {said}");
    let figures: Value = serde_json::from_str(&wrote("bench-json.txt")).unwrap();
    assert_eq!(figures["cards"][0]["sizes"][0]["cublas"]["agrees"], true, "{figures}");
    assert!(!wrote("machine.txt").is_empty(), "{said}");
}

#[test]
fn the_script_says_what_it_lacks_and_what_to_do() {
    let site = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cuda/on_gpu");
    let built = std::path::Path::new(env!("CARGO_BIN_EXE_byteleap")).parent().unwrap();
    let ran = |words: &[&std::path::Path], bin: &std::path::Path| {
        let mut command = Command::new("bash");
        command.arg(script).args(words).env("BYTELEAP_BIN", bin).env("LD_LIBRARY_PATH", "").env("SIDES", "256");
        let ended = command.output().unwrap();
        (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
    };
    let (code, said) = ran(&[], built);
    assert!(code == Some(64) && said.contains("usage: on_gpu OUT"), "{said}");
    let (code, said) = ran(&[site.path()], site.path());
    assert!(code == Some(66) && said.contains("cargo build --release") && said.contains("BYTELEAP_BIN"), "{said}");
    let (code, said) = ran(&[site.path()], built);
    assert!(code == Some(66) && said.contains("byteleap doctor gpu"), "{said}");
}
