//! What a GPU commits to and opens is the CPU's, bit for bit, whichever kernel ran; the validator's own check takes it.

use byteleap::{
    compute::gemm_i8::{self, KeyPrefix, Spec, samples, verify},
    units::{ChallengeId, WorkerId},
    wire::{
        json,
        messages::{
            Raw,
            gemm_i8::{GemmProof, Sample},
        },
    },
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde_json::{Value, json};

use crate::world::{Executor, submit, uuid};

fn prefix(device: &str) -> KeyPrefix {
    KeyPrefix::new(&ChallengeId::new("c"), &[9; 32], "5A", &WorkerId::new("w"), device)
}

/// The answer to `open_gemm_i8` as the proof that a worker makes of it.
fn proof(uuid: &str, opened: &Value) -> GemmProof {
    assert_eq!(opened["success"], true, "{opened}");
    let text = json!({
        "uuid": uuid, "tops": opened["tops"], "openings": opened["openings"],
        "row_hashes": [], "merkle_proofs": [], "coordinate_values": [],
    });
    GemmProof::read(&json::parse::<Raw>(&text.to_string()).unwrap()).unwrap()
}

fn commits_and_opens(executor: &Executor, device: &str, n: u32, rounds: u32) {
    let spec = Spec::new(n, rounds).unwrap();
    let answer = executor.ask(&submit(n, rounds, &[(device, prefix(device).to_hex())]));
    let cpu = gemm_i8::compute(spec, prefix(device)).unwrap();
    assert_eq!(answer["results"][0]["merkle_root"], hex::encode(cpu.root()), "n = {n}: {answer}\n{}", executor.log());
    assert!(answer["results"][0]["timings_ms"]["total"].as_f64().unwrap() > 0.0);
    let corner = Sample { round: rounds - 1, row: n - 1, chunk: n / 256 - 1 };
    let asked = [samples(&mut ChaCha8Rng::seed_from_u64(1), &spec, 3), vec![corner]].concat();
    let open = json!({"command": "open_gemm_i8", "gpu_uuid": device, "samples": asked});
    let proof = proof(device, &executor.ask(&open));
    assert_eq!(verify(&spec, &prefix(device), cpu.root(), &asked, &proof), Ok(()));
    assert_eq!(proof, gemm_i8::open(&cpu, &asked).unwrap());
}

#[test]
fn the_portable_product_is_the_cpus() {
    let executor = Executor::start(&[("FAKE_CUDA_CC", "80")]);
    assert!(executor.log().contains("kernels sm_80.cubin"), "{}", executor.log());
    commits_and_opens(&executor, &uuid(0), 256, 2);
    commits_and_opens(&executor, &uuid(0), 512, 1);
}

#[test]
fn hoppers_product_is_the_cpus() {
    let executor = Executor::start(&[("FAKE_CUDA_CC", "90")]);
    assert!(executor.log().contains("kernels sm_90a.cubin"), "{}", executor.log());
    commits_and_opens(&executor, &uuid(0), 512, 2);
    commits_and_opens(&executor, &uuid(0), 768, 1);
}

#[test]
fn what_the_driver_compiles_gives_the_same() {
    let executor = Executor::start(&[("FAKE_CUDA_CC", "110")]);
    assert!(executor.log().contains("kernels compute_80.ptx"), "{}", executor.log());
    commits_and_opens(&executor, &uuid(0), 256, 1);
}

#[test]
fn machine_code_that_does_not_load_is_compiled_instead() {
    let executor = Executor::start(&[("FAKE_CUDA_FAIL", "cuModuleLoadDataEx:1:209")]);
    assert!(executor.log().contains("sm_80.cubin does not load"), "{}", executor.log());
    commits_and_opens(&executor, &uuid(0), 256, 1);
}

#[test]
fn several_devices_answer_one_task_each_under_its_own_key() {
    let executor = Executor::start(&[("FAKE_CUDA_DEVICES", "3"), ("FAKE_CUDA_CC", "90")]);
    let info = executor.ask(&json!({"command": "get_gpu_info"}));
    assert_eq!((info["gpu_count"].as_u64(), info["gemm_i8"].as_u64()), (Some(3), Some(1)), "{info}");
    assert_eq!(info["gpus"][2]["pci_bus_id"], json!("0000:03:00.0"), "{info}");
    let uuids = [2, 0].map(uuid);
    let devices: Vec<(&str, String)> = uuids.iter().map(|uuid| (uuid.as_str(), prefix(uuid).to_hex())).collect();
    let answer = executor.ask(&submit(256, 1, &devices));
    for (at, uuid) in uuids.iter().enumerate() {
        let cpu = gemm_i8::compute(Spec::new(256, 1).unwrap(), prefix(uuid)).unwrap();
        let result = &answer["results"][at];
        assert_eq!((&result["gpu_uuid"], &result["merkle_root"]), (&json!(uuid), &json!(hex::encode(cpu.root()))));
    }
    let clear = |gpu_uuid: Option<&String>| {
        let named = gpu_uuid.map_or(
            json!({"command": "clear_result_cache"}),
            |uuid| json!({"command": "clear_result_cache", "gpu_uuid": uuid}),
        );
        executor.ask(&named)["cleared_count"].as_u64()
    };
    assert_eq!([clear(Some(&uuids[0])), clear(None), clear(None)], [Some(1), Some(1), Some(0)]);
}
