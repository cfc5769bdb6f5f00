//! What a configuration may say, and what it then means.

use std::{path::Path, time::Duration};

use byteleap::{
    config::{
        Checked, Role,
        leases::{LeaseSource, OnOutage},
        miner::{self},
        subtensor::CachePlace,
        validator::{self, ChallengeType, GemmSize, GpuMatrix, PolicyName, Tolerance, Verifiers},
        worker,
    },
    units::Signer,
};
use log::LevelFilter;

fn accepted<R: Role>(text: &str) -> Checked<R> {
    R::from_yaml(text).unwrap_or_else(|why| panic!("{why}"))
}

fn warnings<R: Role>(text: &str) -> Vec<String> {
    accepted::<R>(text).warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn null_and_an_empty_section_are_the_default() {
    let text = "ping_interval: null\nlogging:\nmetrics: {}\ngpu:\n";
    assert_eq!(accepted::<worker::Config>(text), accepted::<worker::Config>(""));
}

#[test]
fn a_workers_own_values_are_taken() {
    let text = "miner_url: ws://[2001:db8::7]:7800/fleet\nworker_id: 00112233445566aa\nping_interval: 0.5\n\
                cpu: {threads: 3}\nlogging: {level: warning, targets: {net: Debug}}\nmetrics: {listen: '[::1]:9100'}\n";
    let config = accepted::<worker::Config>(text).config;
    assert_eq!(
        (config.miner.host.as_str(), config.miner.port, config.miner.path.as_str()),
        ("2001:db8::7", 7800, "/fleet")
    );
    assert_eq!(config.miner.authority(), "[2001:db8::7]:7800");
    assert_eq!(config.id.unwrap().as_str(), "00112233445566aa");
    assert_eq!(config.ping_interval, Duration::from_millis(500));
    assert_eq!(config.cpu_threads, Some(3));
    assert_eq!((config.logging.level, config.logging.targets["net"]), (LevelFilter::Warn, LevelFilter::Debug));
    let metrics = config.metrics.unwrap();
    assert_eq!((metrics.listen.to_string().as_str(), metrics.token_file), ("[::1]:9100", None));
}

#[test]
fn a_worker_offers_what_it_is_told_to_and_everything_otherwise() {
    let offered = |text: &str| {
        let config = accepted::<worker::Config>(text).config;
        config.capabilities.iter().map(|capability| capability.name()).collect::<Vec<_>>()
    };
    assert_eq!(offered(""), ["cpu_matrix", "gpu_matrix", "gemm_i8"]);
    assert_eq!(offered("capabilities: null"), offered(""));
    assert_eq!(offered("capabilities: [cpu_matrix]"), ["cpu_matrix"]);
    assert_eq!(offered("capabilities: [gemm_i8, cpu_matrix, gemm_i8]"), ["cpu_matrix", "gemm_i8"]);
}

#[test]
fn gpus_are_used_by_our_own_executor_unless_the_file_says_otherwise() {
    let gpu = |text: &str| accepted::<worker::Config>(text).config.gpu;
    let usual = worker::Gpu { enable: true, auto_start: true, binary: None, socket: None };
    assert_eq!((gpu(""), warnings::<worker::Config>("gpu: {enable: true}")), (usual, vec![]));
    let other = gpu("gpu: {enable: false, auto_start: false, binary_path: /opt/gpu, socket_path: /run/gpu.sock}");
    let (binary, socket) = (Some("/opt/gpu".into()), Some("/run/gpu.sock".into()));
    assert_eq!(other, worker::Gpu { enable: false, auto_start: false, binary, socket });
}

#[test]
fn a_miner_url_without_port_or_path_has_the_usual_ones() {
    let config = accepted::<worker::Config>("miner_url: ws://miner.example").config;
    assert_eq!((config.miner.authority().as_str(), config.miner.path.as_str()), ("miner.example:80", "/"));
}

#[test]
fn networks_have_names_urls_and_lists() {
    let endpoints = |text: &str| accepted::<miner::Config>(text).config.subtensor.endpoints;
    assert_eq!(endpoints("subtensor: {network: local}"), ["http://127.0.0.1:9944"]);
    assert_eq!(endpoints("subtensor: {network: 'ws://10.0.0.1:9944'}"), ["http://10.0.0.1:9944"]);
    assert_eq!(endpoints("subtensor: {network: 'wss://node.example:443'}"), ["https://node.example:443"]);
    assert_eq!(endpoints("subtensor: {endpoints: ['http://a:1', 'https://b:2']}"), ["http://a:1", "https://b:2"]);
}

#[test]
fn which_chain_it_is_follows_from_the_network_that_is_named() {
    let genesis = |text: &str| accepted::<miner::Config>(text).config.subtensor.genesis;
    let finney = genesis("").unwrap();
    assert_eq!(hex::encode(finney), "2f0555cc76fc2840a25a6ea3b9637146806f1f44b090c175ffde2a7e5ab36c03");
    assert_eq!(genesis("subtensor: {network: finney, endpoints: ['http://a:1']}"), Some(finney));
    let own = format!("subtensor: {{genesis: '0x{}', network: local}}", "0a".repeat(32));
    assert_eq!(genesis(&own), Some([10; 32]));
    for of_any_chain in
        ["{network: local}", "{network: test}", "{network: 'http://a:1'}", "{endpoints: ['http://a:1']}"]
    {
        assert_eq!(genesis(&format!("subtensor: {of_any_chain}")), None, "{of_any_chain}");
    }
}

#[test]
fn how_often_a_node_is_asked_and_what_is_kept_is_said_or_left_to_the_daemon() {
    let subtensor = |text: &str| accepted::<validator::Config>(&format!("subtensor: {{{text}}}")).config.subtensor;
    assert_eq!((subtensor("").request_interval, subtensor("").metadata_cache), (None, CachePlace::Usual));
    assert_eq!(subtensor("request_interval: 0").request_interval, Some(Duration::ZERO));
    assert_eq!(subtensor("request_interval: 2.5").request_interval, Some(Duration::from_millis(2500)));
    assert_eq!(subtensor("metadata_cache: false").metadata_cache, CachePlace::Nowhere);
    assert_eq!(subtensor("metadata_cache: ~/c").metadata_cache, CachePlace::Directory("~/c".into()));
}

#[test]
fn a_whitelist_names_validators_with_or_without_address() {
    let text = "metagraph:\n  validator_whitelist:\n    5FLGJvNvq2seB59UkKb2ftuVRab1aHzMVxuPJtPAyfsZ3vKY: null\n    \
                5GzrzkuT6kzZj7QMFBSiZwJ1GMmQdrMhzJoirW61nAuU7DMx: \"192.0.2.7:9091\"\n";
    let whitelist = accepted::<miner::Config>(text).config.validators.whitelist;
    let addresses: Vec<_> = whitelist.values().map(|to| to.map(|to| to.to_string())).collect();
    assert_eq!(addresses, [None, Some("192.0.2.7:9091".to_owned())]);
}

#[test]
fn without_a_list_loopback_and_private_networks_may_connect() {
    let allow = accepted::<miner::Config>("").config.workers.allow;
    let admitted = |address: &str| allow.iter().any(|network| network.contains(address.parse().unwrap()));
    for address in
        ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"]
    {
        assert!(admitted(address), "{address}");
    }
    for address in ["8.8.8.8", "172.32.0.1", "192.169.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
        assert!(!admitted(address), "{address}");
    }
}

#[test]
fn a_store_is_where_its_url_says() {
    let path = |url: &str| accepted::<validator::Config>(&format!("database: {{url: '{url}'}}")).config.store.path;
    assert_eq!(path("sqlite:///./validator.db"), Path::new("./validator.db"));
    assert_eq!(path("sqlite:////var/lib/v.db"), Path::new("/var/lib/v.db"));
    assert_eq!(path("sqlite+aiosqlite:///v.db"), Path::new("v.db"));
}

#[test]
fn what_is_announced_is_the_external_address() {
    let config = |text: &str| accepted::<validator::Config>(text).config;
    assert_eq!(config("").announce, None);
    assert_eq!(config("external_ip: 192.0.2.7\nport: 8000").announce.unwrap().to_string(), "192.0.2.7:8000");
    let mapped = config("external_ip: '2001:db8::1'\nexternal_port: 80").announce.unwrap();
    assert_eq!(mapped.to_string(), "[2001:db8::1]:80");
}

#[test]
fn verifiers_are_counted_or_all_cores_but_one() {
    let config = accepted::<validator::Config>("validation: {verification_concurrent: -1}").config;
    assert_eq!(config.validation.verifiers, Verifiers::AllCoresButOne);
    assert_eq!(config.validation.verifiers.threads(8), 7);
    assert_eq!(config.validation.verifiers.threads(1), 1);
    assert_eq!(Verifiers::Count(3).threads(1), 3);
}

#[test]
fn what_is_challenged_and_how_it_is_scored_go_together() {
    let text = "validation: {challenge_type: auto, gemm_i8: {cpu: {matrix_size: 512, rounds: 3}, samples: 128}}\n\
                scoring: {policy: throughput}\n";
    let config = accepted::<validator::Config>(text).config;
    assert_eq!(
        (config.validation.challenge_type, config.scoring.policy),
        (ChallengeType::Auto, PolicyName::Throughput)
    );
    assert_eq!((config.scoring.lease_weight, config.scoring.challenge_weight), (0.7, 0.3));
    let gemm = config.validation.gemm_i8;
    assert_eq!(gemm.cpu, GemmSize { matrix_size: 512, rounds: 3 });
    assert_eq!((gemm.gpu, gemm.samples), (GemmSize { matrix_size: 32_768, rounds: 24 }, 128));
    let plain = "validation: {challenge_type: cpu_matrix}\nscoring: {policy: throughput}\n";
    assert_eq!(accepted::<validator::Config>(plain).config.scoring.policy, PolicyName::Throughput);
}

#[test]
fn the_allow_list_has_parts_of_models_in_any_letter_case() {
    let allows = |text: &str, model: &str| accepted::<validator::Config>(text).config.validation.allows_gpu(model);
    assert!(allows("", "NVIDIA GeForce RTX 4090"));
    assert!(allows("", "nvidia h200"));
    assert!(!allows("", "NVIDIA GeForce GTX 1080"));
    assert!(allows("validation: {gpu: {model_allowlist: []}}", "anything"));
    assert!(!allows("validation: {gpu: {model_allowlist: [B200]}}", "NVIDIA H200"));
}

#[test]
fn gpu_matrix_has_the_sizes_tolerances_and_signers_of_its_section() {
    let of = |text: &str| accepted::<validator::Config>(text).config.validation;
    let usual = of("validation: {challenge_type: gpu_matrix}");
    assert_eq!(usual.challenge_type, ChallengeType::GpuMatrix);
    let GpuMatrix { matrix_size, row_count, tolerance, signers, .. } = usual.gpu_matrix;
    let usual = Tolerance { absolute: 0.02, relative: 0.005, threshold: 0.85 };
    assert_eq!((matrix_size, row_count, tolerance), (32_768, 2, usual));
    assert_eq!(signers, [Signer::of_hex(Signer::VENDOR).expect("the vendor's key")]);
    let compressed = format!("03{}", &Signer::VENDOR[2..66]);
    let own = of(&format!("validation: {{gpu: {{iterations: 2, trusted_signers: ['{compressed}']}}}}")).gpu_matrix;
    assert_eq!((own.iterations, own.signers), (2, signers));
    let refused = |keys: &str| {
        let text = format!("validation: {{gpu: {{{keys}}}}}");
        validator::Config::from_yaml(&text).expect_err(keys).to_string()
    };
    for keys in ["trusted_signers: []", "trusted_signers: ['04ab']", "trusted_signers: ab"] {
        assert!(refused(keys).contains("validation.gpu.trusted_signers"), "{keys}");
    }
    let rows = "matrix_size: 65536, verification: {row_verification_count: 16}";
    assert!(refused(rows).contains("row_verification_count"));
}

#[test]
fn challenges_that_hardly_anybody_answers_in_time_are_told() {
    let of = |keys: &str| {
        let rest = "external_ip: 192.0.2.7\nscoring: {policy: throughput}\n";
        warnings::<validator::Config>(&format!("{rest}validation: {{challenge_type: auto, {keys}}}"))
    };
    assert_eq!(of("challenge_interval: 240"), [""; 0]);
    let told = of("gemm_i8: {cpu: {matrix_size: 65536, rounds: 16}}");
    let text = "the largest challenge has 9007.199 Tera-operations: only a device that does 150.120 of them a second answers \
                within validation.challenge_timeout (60 s)";
    assert_eq!(told, [format!("validation.gemm_i8.cpu: {text}")]);
    let short = of("challenge_timeout: 2");
    assert_eq!(short.len(), 2, "{short:?}");
    assert!(short[0].starts_with("validation.gemm_i8.cpu: ") && short[1].starts_with("validation.gemm_i8.gpu: "));
}

#[test]
fn a_tempo_of_zero_switches_weights_off() {
    let config = accepted::<validator::Config>("metagraph: {weight_update_tempo: 0}").config;
    assert_eq!(config.weights.update_tempo_blocks, None);
}

#[test]
fn debugging_is_a_level_or_a_switch() {
    let level = |text: &str| accepted::<miner::Config>(text).config.logging.level;
    assert_eq!(level("logging: {log_level: ERROR, enable_debug: yes}"), LevelFilter::Debug);
    assert_eq!(level("logging: {log_level: TRACE, enable_debug: true}"), LevelFilter::Trace);
    assert_eq!(level("logging: {log_level: CRITICAL}"), LevelFilter::Error);
}

/// A file as an operator of the reference implementation has it: it works, and says what has no effect.
#[test]
fn an_old_file_works_and_says_what_has_no_effect() {
    let text = "netuid: 128\nsubtensor: {network: finney}\nlogging: {log_level: INFO, enable_debug: false, log_dir: logs}\n\
                worker_management: {host: 0.0.0.0, port: 7799, max_tasks_per_worker: 1}\nmax_retries: 3\n";
    let journal = "logs go to standard error; journald (or a shell redirection) keeps and rotates them";
    assert_eq!(
        warnings::<miner::Config>(text),
        [
            format!("logging.log_dir: has no effect: {journal}"),
            "worker_management.max_tasks_per_worker: has no effect: a worker has one task at a time, until its two phases \
             have ended"
                .to_owned(),
        ]
    );
}

#[test]
fn the_marketplace_has_a_url_and_a_token_in_a_file() {
    let text =
        "external_ip: 192.0.2.7\nmeshhub: {ws_url: 'wss://hub.example/ws', access_token: '', access_token_file: /t}\n";
    let checked = accepted::<validator::Config>(text);
    assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
    let hub = checked.config.meshhub.unwrap();
    assert_eq!(
        (hub.url.host.as_str(), hub.url.port, hub.url.path.as_str(), hub.url.tls),
        ("hub.example", 443, "/ws", true)
    );
    assert_eq!((hub.reconnect_delay.as_secs(), hub.heartbeat_interval.as_secs()), (30, 60));
    let plain = text.replace("wss://", "ws://");
    assert!(warnings::<validator::Config>(&plain)[0].contains("sends the access token in clear"));
    assert!(warnings::<validator::Config>(&plain.replace("hub.example", "127.0.0.1:9510")).is_empty());
    let off = accepted::<validator::Config>("external_ip: 192.0.2.7\n");
    assert_eq!(off.config.meshhub, None);
}

#[test]
fn leases_come_from_the_marketplace_where_there_is_one_and_are_held_by_default() {
    let hub = "external_ip: 192.0.2.7\nmeshhub: {ws_url: 'wss://hub.example/ws', access_token_file: /t}\n";
    let leases = |text: &str| accepted::<validator::Config>(text).config.leases;
    let (with, without) = (leases(hub), leases("external_ip: 192.0.2.7\n"));
    assert_eq!((with.source, without.source), (LeaseSource::Meshhub, LeaseSource::None));
    assert_eq!((with.on_outage, with.max_age.as_secs()), (OnOutage::Hold, 3600));
    let file = leases("external_ip: 192.0.2.7\nleases: {source: file, file: /l.yaml}\n");
    assert_eq!((file.source, file.file.as_deref()), (LeaseSource::File, Some(Path::new("/l.yaml"))));
    let set = leases(&format!("{hub}leases: {{source: none, on_outage: decay, max_age: 600}}\n"));
    assert_eq!((set.source, set.on_outage, set.max_age.as_secs()), (LeaseSource::None, OnOutage::Decay, 600));
}

#[test]
fn other_shares_than_the_policys_are_used_and_told() {
    let text =
        "external_ip: 192.0.2.7\nweight_management: {score_weights: {lease_weight: 0.9, challenge_weight: 0.1}}\n";
    let checked = accepted::<validator::Config>(text);
    assert_eq!(checked.config.scoring.lease_weight, 0.9);
    assert_eq!(checked.warnings.len(), 1);
}
