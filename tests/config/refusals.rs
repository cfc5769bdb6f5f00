//! What a configuration may not say, and how it is told.

use byteleap::config::{ConfigError, Role, miner, validator, worker};

fn refused<R: Role>(text: &str) -> ConfigError {
    match R::from_yaml(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(why) => why,
    }
}

/// The one line that a file with one problem gives.
fn line<R: Role>(text: &str) -> String {
    let why = refused::<R>(text);
    assert_eq!(why.problems.len(), 1, "{why}");
    why.problems[0].to_string()
}

#[test]
fn all_problems_are_told_at_once() {
    let why = refused::<worker::Config>("ping_interval: soon\nheartbeat_interval: -1\nminer_ulr: ws://a\ncpu: 3\n");
    assert_eq!(
        why.to_string(),
        "4 problems in the configuration\n  \
         ping_interval: is \"soon\"; allowed: seconds from 0.1 to 86400\n  \
         heartbeat_interval: is -1; allowed: seconds from 0.1 to 86400\n  \
         miner_ulr: unknown key; did you mean miner_url?\n  \
         cpu: is 3; allowed: a section of keys"
    );
}

#[test]
fn an_unknown_key_is_named_with_its_path() {
    let told = line::<validator::Config>("validation: {cpu: {matrix_sise: 500}}");
    assert_eq!(told, "validation.cpu.matrix_sise: unknown key; did you mean validation.cpu.matrix_size?");
    let told = line::<validator::Config>("validation: {matrix_size: 500}");
    assert_eq!(told, "validation.matrix_size: unknown key; did you mean validation.cpu.matrix_size?");
    assert_eq!(line::<miner::Config>("telemetry: {on: true}"), "telemetry: unknown key");
}

#[test]
fn what_is_no_document_is_told() {
    assert!(line::<worker::Config>("a: [1").starts_with("(the file): is not YAML: "));
    assert_eq!(line::<worker::Config>("- 1"), "(the file): is a list of 1; allowed: a section of keys");
    assert!(line::<worker::Config>("ping_interval: 1\nping_interval: 2\n").contains("duplicate entry"));
}

#[test]
fn values_out_of_range_are_told_with_what_is_allowed() {
    let told = [
        (line::<validator::Config>("port: 0"), "port: is 0; allowed: a whole number from 1 to 65535"),
        (line::<validator::Config>("port: 70000"), "port: is 70000; allowed: a whole number from 1 to 65535"),
        (line::<validator::Config>("port: 9091.5"), "port: is 9091.5; allowed: a whole number from 1 to 65535"),
        (
            line::<validator::Config>("validation: {cpu: {matrix_size: 99}}"),
            "validation.cpu.matrix_size: is 99; allowed: a whole number from 100 to 10000",
        ),
        (
            line::<validator::Config>("validation: {participation_rate_threshold: 0.05}"),
            "validation.participation_rate_threshold: is 0.05; allowed: a number from 0.1 to 1",
        ),
        (
            line::<validator::Config>("validation: {cpu: {size_variance: .nan}}"),
            "validation.cpu.size_variance: is NaN; allowed: a number from 0 to 0.5",
        ),
        (
            line::<validator::Config>("validation: {verification_concurrent: 0}"),
            "validation.verification_concurrent: is 0; allowed: a whole number from 1 to 256, or -1 for all cores but one",
        ),
        (
            line::<worker::Config>("capabilities: [cpu_matrix, tpu_matrix]"),
            "capabilities: is a list of 2; allowed: a list of cpu_matrix, gpu_matrix and gemm_i8, at least one",
        ),
        (line::<miner::Config>("netuid: 65536"), "netuid: is 65536; allowed: a whole number from 0 to 65535"),
    ];
    for (told, expected) in told {
        assert_eq!(told, expected);
    }
}

#[test]
fn capabilities_are_a_list_of_known_names() {
    for bad in ["[]", "cpu_matrix", "[7]", "[CPU_MATRIX]", "[cpu_matrix, '']", "{cpu_matrix: true}"] {
        let told = line::<worker::Config>(&format!("capabilities: {bad}"));
        assert!(told.starts_with("capabilities: is ") && told.contains("at least one"), "{told}");
    }
}

#[test]
fn contradictions_are_told() {
    let told = [
        (
            line::<worker::Config>("ping_interval: 30"),
            "ping_timeout: is 30 by default; allowed: more than ping_interval",
        ),
        (line::<worker::Config>("ping_timeout: 15"), "ping_timeout: is 15; allowed: more than ping_interval"),
        (
            line::<miner::Config>("worker_management: {heartbeat_timeout: 30}"),
            "worker_management.heartbeat_timeout: is 30; allowed: more than worker_management.heartbeat_interval",
        ),
        (
            line::<miner::Config>("communication: {connection_timeout: 31}"),
            "communication.request_timeout: is 30 by default; allowed: not less than communication.connection_timeout",
        ),
        (
            line::<miner::Config>("worker_management: {token_file: /t, allow: [10.0.0.0/8]}"),
            "worker_management.allow: is a list of 1; allowed: left out when token_file is set: the token admits, not the network",
        ),
        (
            line::<validator::Config>("validation: {ranking_window_minutes: 3}"),
            "validation.ranking_window_minutes: is 3; allowed: at least validation.challenge_interval",
        ),
        (
            line::<validator::Config>("weight_management: {score_weights: {lease_weight: 0.9, challenge_weight: 0.3}}"),
            "weight_management.score_weights.lease_weight: is 0.9; allowed: 1 less weight_management.score_weights.challenge_weight",
        ),
        (
            line::<miner::Config>("wallet: {file: /run/credentials/miner/hotkey, name: fleet}"),
            "wallet.name: is \"fleet\"; allowed: left out when wallet.file is set: that is the key file itself",
        ),
        (
            line::<validator::Config>("external_port: 9000"),
            "external_port: is 9000; allowed: left out unless external_ip is set",
        ),
        (
            line::<validator::Config>(
                "database: {event_retention_days: 1}\nvalidation: {ranking_window_minutes: 1500}",
            ),
            "database.event_retention_days: is 1; allowed: at least validation.ranking_window_minutes",
        ),
    ];
    for (told, expected) in told {
        assert_eq!(told, expected);
    }
}

#[test]
fn a_contradiction_is_not_told_of_a_value_that_is_wrong_anyway() {
    let told = line::<worker::Config>("ping_interval: 90000");
    assert_eq!(told, "ping_interval: is 90000; allowed: seconds from 0.1 to 86400");
}

#[test]
fn other_kinds_of_challenges_and_policies_are_refused_honestly() {
    let told = line::<validator::Config>("validation: {challenge_type: matrix}");
    assert_eq!(told, "validation.challenge_type: is \"matrix\"; allowed: cpu_matrix, gpu_matrix, gemm_i8 or auto");
    let told = line::<validator::Config>("scoring: {policy: best}");
    let allowed = "reference-70-30, reference-90-10, lease-only, throughput";
    assert_eq!(told, format!("scoring.policy: is \"best\"; allowed: {allowed}"));
    let told = line::<validator::Config>("scoring: {shadow: best}");
    assert_eq!(told, format!("scoring.shadow: is \"best\"; allowed: {allowed}, or null"));
}

#[test]
fn challenges_of_different_sizes_need_a_policy_that_counts_work() {
    for (kind, policy, found) in [
        ("auto", "", "\"reference-70-30\" by default"),
        ("gemm_i8", "scoring: {policy: reference-70-30}", "\"reference-70-30\""),
    ] {
        let told = line::<validator::Config>(&format!("validation: {{challenge_type: {kind}}}\n{policy}"));
        let allowed = format!(
            "throughput when validation.challenge_type is {kind} (a policy of 1/time takes points for bigger challenges): \
             set scoring.policy: throughput"
        );
        assert_eq!(told, format!("scoring.policy: is {found}; allowed: {allowed}"));
    }
}

#[test]
fn sizes_rounds_and_samples_of_gemm_i8_have_bounds() {
    for (key, allowed) in [
        ("cpu: {matrix_size: 128}", "a multiple of 256 from 256 to 65536"),
        ("gpu: {matrix_size: 8200}", "a multiple of 256 from 256 to 65536"),
        ("gpu: {matrix_size: 65792}", "a multiple of 256 from 256 to 65536"),
        ("gpu: {matrix_size: -256}", "a multiple of 256 from 256 to 65536"),
        ("cpu: {matrix_size: 512.0}", "a multiple of 256 from 256 to 65536"),
        ("cpu: {rounds: 0}", "a whole number from 1 to 1024"),
        ("gpu: {rounds: 1025}", "a whole number from 1 to 1024"),
        ("size_variance: 0.51", "a number from 0 to 0.5"),
        ("samples: 15", "a whole number from 16 to 1024"),
        ("samples: 1025", "a whole number from 16 to 1024"),
    ] {
        let told = line::<validator::Config>(&format!("validation: {{gemm_i8: {{{key}}}}}"));
        assert!(told.starts_with("validation.gemm_i8.") && told.ends_with(&format!("; allowed: {allowed}")), "{told}");
    }
    let told = line::<validator::Config>("validation: {gpu: {model_allowlist: H100}}");
    assert!(told.ends_with("allowed: a list of texts"), "{told}");
}

#[test]
fn a_token_in_the_file_is_refused_and_not_quoted() {
    let told = line::<validator::Config>("meshhub: {access_token: hunter2-hunter2}");
    assert!(told.contains("meshhub.access_token_file") && !told.contains("hunter2"), "{told}");
    let told = line::<validator::Config>("meshhub: {acces_token: hunter2-hunter2}");
    assert!(told.contains("did you mean") && !told.contains("hunter2"), "{told}");
}

#[test]
fn a_marketplace_without_token_or_with_bad_values_is_refused() {
    let told = line::<validator::Config>("meshhub: {ws_url: 'wss://hub.example/ws'}");
    assert!(told.starts_with("meshhub.access_token_file: is null by default; allowed: a path"), "{told}");
    let told = line::<validator::Config>("meshhub: {ws_url: 'https://hub.example/ws', access_token_file: /t}");
    assert!(told.starts_with("meshhub.ws_url: is ") && told.contains("allowed: ws://"), "{told}");
    let told = line::<validator::Config>("meshhub: {server_hotkey: 5Fwrong}");
    assert!(told.starts_with("meshhub.server_hotkey: is ") && told.contains("SS58"), "{told}");
}

#[test]
fn leases_without_their_source_or_with_bad_values_are_refused() {
    let told = line::<validator::Config>("leases: {source: meshhub}");
    assert!(told.starts_with("leases.source: is ") && told.contains("meshhub.ws_url is not set"), "{told}");
    let told = line::<validator::Config>("leases: {source: rumour}");
    assert!(told.starts_with("leases.source: is ") && told.contains("none, file, meshhub"), "{told}");
    let told = line::<validator::Config>("leases: {source: file}");
    assert!(told.starts_with("leases.file: is ") && told.contains("a path, where leases.source is file"), "{told}");
    let told = line::<validator::Config>("leases: {source: file, file: /etc/leases}");
    assert!(told.starts_with("leases.file: is ") && told.contains(".json, .yaml or .yml"), "{told}");
    let told = line::<validator::Config>("leases: {on_outage: panic}");
    assert!(told.starts_with("leases.on_outage: is ") && told.contains("hold, decay, zero"), "{told}");
    assert!(line::<validator::Config>("leases: {max_age: 59}").starts_with("leases.max_age: is "));
}

#[test]
fn addresses_and_urls_are_checked() {
    for text in ["wss://a:1", "http://a:1", "ws://", "ws://a:0", "ws://a:x", "ws://[::1", "ws://a b", "ws://u@a"] {
        assert!(line::<worker::Config>(&format!("miner_url: \"{text}\"")).starts_with("miner_url: is"), "{text}");
    }
    for text in ["mainnet", "ftp://a", "http://", "http://user@host"] {
        let told = line::<miner::Config>(&format!("subtensor: {{network: \"{text}\"}}"));
        assert!(told.starts_with("subtensor.network: is"), "{told}");
    }
    for text in ["genesis: 0x2f05", "genesis: finney", "genesis: 1", "genesis: 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"] {
        let told = line::<miner::Config>(&format!("subtensor: {{{text}}}"));
        assert!(told.starts_with("subtensor.genesis: is") && told.ends_with("0x and 64 hex digits"), "{told}");
    }
    for text in ["-1", "10.5", ".nan", "often"] {
        let told = line::<miner::Config>(&format!("subtensor: {{request_interval: {text}}}"));
        assert!(told.ends_with("allowed: seconds from 0 to 10"), "{told}");
    }
    let told = line::<miner::Config>("subtensor: {metadata_cache: true}");
    assert_eq!(told, "subtensor.metadata_cache: is true; allowed: a directory, or false to keep nothing");
    for text in ["postgresql:///x", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///dir/", "x.db"] {
        let told = line::<validator::Config>(&format!("database: {{url: \"{text}\"}}"));
        assert!(told.starts_with("database.url: is"), "{told}");
    }
    assert!(line::<worker::Config>("metrics: {listen: 9100}").starts_with("metrics.listen: is 9100; allowed: address"));
    assert!(line::<worker::Config>("worker_id: \"a:b\"").starts_with("worker_id: is"));
    assert!(line::<miner::Config>("wallet: {hotkey: ../x}").starts_with("wallet.hotkey: is"));
    assert!(line::<validator::Config>("external_ip: 0.0.0.0").starts_with("external_ip: is"));
}

#[test]
fn metrics_beyond_loopback_ask_for_a_token() {
    for address in ["0.0.0.0:9100", "10.0.0.5:9100", "[::]:9100", "[2001:db8::1]:9100", "[::ffff:10.0.0.5]:9100"] {
        let bare = format!("metrics: {{listen: '{address}'}}");
        assert_eq!(
            line::<worker::Config>(&bare),
            format!(
                "metrics.listen: is \"{address}\"; allowed: an address of loopback (127.0.0.1:PORT, [::1]:PORT); or this one \
                 with metrics.token_file, a file with the token that whoever reads it must bear"
            )
        );
        assert!(line::<miner::Config>(&bare).contains("metrics.token_file"));
        assert!(line::<validator::Config>(&bare).contains("metrics.token_file"));
        let guarded = format!("metrics: {{listen: '{address}', token_file: credential:metrics}}");
        assert!(worker::Config::from_yaml(&guarded).is_ok());
    }
    for address in ["127.0.0.1:9100", "127.9.9.9:9100", "[::1]:9100", "[::ffff:127.0.0.1]:9100"] {
        assert!(miner::Config::from_yaml(&format!("metrics: {{listen: '{address}'}}")).is_ok(), "{address}");
    }
}

#[test]
fn each_entry_of_the_whitelist_is_checked() {
    let text = "metagraph:\n  validator_whitelist:\n    5Nonsense: null\n    \
                5FLGJvNvq2seB59UkKb2ftuVRab1aHzMVxuPJtPAyfsZ3vKY: host:1\n";
    let why = refused::<miner::Config>(text);
    let paths: Vec<_> = why.problems.iter().map(|problem| problem.path.as_str()).collect();
    let expected = [
        "metagraph.validator_whitelist.5Nonsense",
        "metagraph.validator_whitelist.5FLGJvNvq2seB59UkKb2ftuVRab1aHzMVxuPJtPAyfsZ3vKY",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn a_worker_with_nothing_to_offer_is_told_why() {
    for (yaml, says) in [
        ("capabilities: [gpu_matrix]", "name the vendor's executor in gpu.binary_path"),
        ("capabilities: [gpu_matrix]\ngpu: {enable: false}", "where gpu.enable is false"),
    ] {
        let told = line::<worker::Config>(yaml);
        assert!(told.starts_with("capabilities: is a list of 1; allowed: ") && told.contains(says), "{told}");
    }
    for good in ["gpu: {binary_path: /opt/vendor/executor}", "gpu: {auto_start: false}"] {
        assert!(worker::Config::from_yaml(&format!("capabilities: [gpu_matrix]\n{good}")).is_ok(), "{good}");
    }
    assert!(worker::Config::from_yaml("capabilities: [gpu_matrix, cpu_matrix]\ngpu: {enable: false}").is_ok());
}

#[test]
fn a_socket_is_no_directory_and_its_path_fits_the_kernels_limit() {
    let with = |path: &str| format!("gpu: {{socket_path: \"{path}\"}}");
    for bad in [format!("/{}", "s".repeat(107)), "/run/gpu/".to_owned()] {
        let told = line::<worker::Config>(&with(&bad));
        assert!(told.starts_with("gpu.socket_path: is ") && told.contains("at most 107 bytes"), "{told}");
    }
    let longest = worker::Config::from_yaml(&with(&format!("/{}", "s".repeat(106))));
    assert!(longest.is_ok_and(|checked| checked.warnings.is_empty()));
    let relative = worker::Config::from_yaml(&with("gpu.sock")).map(|checked| checked.warnings.len());
    assert_eq!(relative.ok(), Some(1));
}
