//! `byteleap bench` of products and checks: what its object holds, and what it says without NumPy.

use std::process::Command;

use serde_json::Value;

fn bench(arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_byteleap"));
    let output = command.arg("bench").args(arguments).args(["--quick", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn is_positive(figures: &Value, path: &str) {
    let value = figures.pointer(path).and_then(Value::as_f64);
    assert!(value.is_some_and(|value| value > 0.0), "{path} of {figures}");
}

#[test]
fn a_part_alone_names_the_machine_and_nothing_else() {
    let figures = bench(&["hash", "--threads", "1"]);
    for path in ["/machine/threads", "/hash/sha256_gb_per_s", "/hash/blake3_gb_per_s"] {
        is_positive(&figures, path);
    }
    assert!(figures["machine"]["instruction"]["int8"].is_string(), "{figures}");
    assert!(figures.get("gemm_i8").is_none() && figures.get("rng").is_none(), "{figures}");
}

#[test]
fn all_parts_have_their_figures() {
    // without optimisation a product takes minutes
    if cfg!(debug_assertions) {
        return;
    }
    let figures = bench(&["--python", "/nowhere/python"]);
    let cpu_matrix =
        ["challenge_ms", "product_share_of_peak", "verify_50_rows_ms"].map(|of| format!("/cpu_matrix/{of}"));
    let gemm = ["product_share_of_peak", "challenge_over_product", "verify_64_samples_s", "peak_rss_mib"];
    let gemm = gemm.map(|of| format!("/gemm_i8/{of}"));
    let rng = ["/rng/mt19937_gb_per_s", "/rng/chacha8_gb_per_s"].map(str::to_owned);
    for path in [cpu_matrix.as_slice(), &gemm, &rng].concat() {
        is_positive(&figures, &path);
    }
    // the host's own python3 may have NumPy; where none has, it says why
    let speedup = &figures["cpu_matrix"]["speedup_vs_numpy"];
    let reason = figures["cpu_matrix"]["speedup_vs_numpy_reason"].as_str();
    assert!(speedup.is_number() || reason.is_some_and(|why| why.contains("has no NumPy")), "{figures}");
}
