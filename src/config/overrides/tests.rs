//! Every refusal by its name, and what is taken.

use serde_json::json;

use super::*;
use crate::config::form::Key;

const FILE: &str = "validation: {challenge_interval: 300, cpu: {matrix_size: 2000}}\nweight_management: {score_weights: {lease_weight: 0.7}}\n";

fn config(text: &str) -> Config {
    Config::from_yaml(text).unwrap().config
}

fn update(payload: &Value) -> Result<Update, Refusal> {
    read(payload.as_object().unwrap())
}

/// What the file and the payload come to.
fn applied(payload: &Value) -> Result<Config, String> {
    let changes = update(payload).map_err(|refusal| refusal.to_string())?.changes;
    config(FILE).changed(&changes).map(|checked| checked.config).map_err(|error| error.to_string())
}

#[test]
fn the_table_has_every_key_of_its_sections() {
    let ours = |key: &Key| ROOTS.iter().any(|root| key.path.starts_with(&format!("{root}.")));
    let mut known: Vec<&str> = Config::keys().iter().filter(|key| ours(key)).map(|key| key.path).collect();
    let mut listed: Vec<&str> = settable().iter().map(|key| key.path).collect();
    listed.extend(THE_FILES_ALONE.iter().map(|(path, _)| *path));
    known.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, known);
    assert_eq!(settable().len(), KEYS.len() + NO_EFFECT.len(), "a key of the table that no form has");
}

#[test]
fn an_update_lies_over_the_file() {
    let payload = json!({
        "validation": {"challenge_interval": 500, "cpu": {"matrix_size": 222}},
        "weight_management": {"score_weights": {"lease_weight": 0.6, "challenge_weight": 0.4}},
        "database": {"url": "ignored"},
    });
    let asked = update(&payload).unwrap();
    assert_eq!((asked.changes.len(), asked.ignored), (4, vec!["database".to_owned()]));
    let all = applied(&payload).unwrap();
    let validation = &all.validation;
    assert_eq!((validation.challenge_interval.as_secs(), validation.cpu.matrix_size), (500, 222));
    assert_eq!((all.scoring.lease_weight, all.scoring.challenge_weight), (0.6, 0.4));
    // What it does not name stays.
    assert_eq!((validation.cpu.row_count, &all.store), (50, &config(FILE).store));
    let layers = &all.layers;
    assert_eq!(layers.in_force("validation.challenge_interval"), Node::Whole(500));
    assert_eq!(layers.in_file("validation.challenge_interval"), Node::Whole(300));
    assert_eq!(layers.in_file("validation.cpu.iterations"), Node::Whole(1));
    // A second one lies over the first.
    let again = all.changed(&update(&json!({"validation": {"challenge_interval": 600}})).unwrap().changes).unwrap();
    let validation = again.config.validation;
    assert_eq!((validation.challenge_interval.as_secs(), validation.cpu.matrix_size), (600, 222));
}

#[test]
fn unknown_sections_alone_are_refused_as_the_protocol_has_it() {
    let refusal = update(&json!({"security": {"rate_limit": {"max_requests": 1}}, "x": 1})).unwrap_err();
    assert_eq!(refusal, Refusal::NoAllowedRoot { provided: vec!["security".into(), "x".into()] });
    assert_eq!(refusal.to_string(), "no_allowed_root");
    assert_eq!(update(&json!({})).unwrap_err(), Refusal::NoAllowedRoot { provided: vec![] });
}

#[test]
fn each_refusal_names_the_key_and_what_it_may_be() {
    for (payload, named) in [
        (
            json!({"validation": {"challenge_interval": 0}}),
            "validation.challenge_interval: is 0; allowed: seconds from 0.1",
        ),
        (json!({"validation": {"challenge_interval": "500"}}), "is \"500\"; allowed: seconds"),
        (json!({"validation": {"challenge_interval": "oops"}}), "validation.challenge_interval: is \"oops\""),
        (json!({"validation": {"challenge_interval": true}}), "is true"),
        (
            json!({"validation": {"challenge_interval": null}}),
            "validation.challenge_interval: is null; allowed: seconds",
        ),
        (json!({"validation": {"challenge_interval": [5]}}), "is a list of 1"),
        (json!({"validation": {"challenge_interval": {"s": 5}}}), "is a section of 1 keys"),
        (json!({"validation": {"participation_rate_threshold": 1.5}}), "a number from 0.1 to 1"),
        (json!({"validation": {"cpu": {"matrix_size": 20_000}}}), "a whole number from 100 to 10000"),
        (json!({"validation": {"cpu": {"matrix_size": 200.5}}}), "validation.cpu.matrix_size: is 200.5"),
        (json!({"validation": {"cpu": 5}}), "validation.cpu: is 5; allowed: a section of keys"),
        (json!({"validation": "text"}), "validation: is \"text\"; allowed: a section of keys"),
        (json!({"validation": null}), "validation: is null; allowed: a section of keys"),
        (json!({"validation": {"chalenge_interval": 5}}), "unknown key; did you mean validation.challenge_interval?"),
        (json!({"validation": {"database": {"url": "x"}}}), "validation.database: unknown key"),
        (json!({"validation": {"gpu": {"trusted_signers": ["04"]}}}), "in the file alone: it says whose signatures"),
        (
            json!({"validation": {"gpu": {"verification": {"success_rate_threshold": 2}}}}),
            "success_rate_threshold: is 2",
        ),
        (json!({"weight_management": {"availability": {"window_hours": 0}}}), "window_hours: is 0"),
        (json!({"weight_management": {"score_weights": {"lease_weight": 0.5, "challenge_weight": 0.6}}}), "1 less"),
        // It needs another policy, which is the file's.
        (json!({"validation": {"challenge_type": "gemm_i8"}}), "scoring.policy"),
    ] {
        let refused = applied(&payload).unwrap_err();
        assert!(refused.contains(named), "{payload}: {refused}");
        // All or nothing: one of them that is good changes nothing either.
        let mut both = payload.clone();
        if let Some(fields) = both["validation"].as_object_mut() {
            fields.insert("proof_timeout".into(), json!(100));
            assert!(applied(&both).is_err(), "{both}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_of_some_keys_and_a_key_without_end_is_cut() {
    let many: Map<String, Value> = (0..5000).map(|number| (format!("k{number}"), json!(1))).collect();
    let Err(Refusal::Invalid(error)) = update(&json!({"validation": many})) else { panic!("taken") };
    assert_eq!(error.problems.len(), MOST_PROBLEMS);
    let long = json!({"validation": {"x".repeat(60_000): 1}});
    assert!(update(&long).unwrap_err().to_string().len() < 300);
}

#[test]
fn null_is_a_value_where_the_form_has_it_as_one() {
    let config = applied(&json!({"weight_management": {"score_weights": {"lease_weight": null}}})).unwrap();
    assert_eq!(config.scoring.lease_weight, 0.7);
}

#[test]
fn what_was_stored_and_is_not_allowed_any_more_is_left_out_by_name_and_the_rest_stands() {
    let stored = [
        ("validation.challenge_interval", Node::Whole(600)),
        ("validation.cpu.matrix_size", Node::Whole(5)),
        ("validation.gone", Node::Whole(5)),
        ("wallet.hotkey", Node::Text("another".into())),
    ];
    let all = config(FILE).with_stored(stored.map(|(key, node)| (key.to_owned(), node)));
    assert_eq!((all.validation.challenge_interval.as_secs(), all.validation.cpu.matrix_size), (600, 2000));
    let left: Vec<&str> = all.layers.left_out().iter().map(|left| left.key.as_str()).collect();
    assert_eq!(left, ["validation.gone", "wallet.hotkey", "validation.cpu.matrix_size"]);
    assert!(all.layers.left_out()[2].why.contains("a whole number from 100 to 10000"));
    assert_eq!(all.wallet, config(FILE).wallet);
}

#[test]
fn a_change_that_the_file_does_not_fit_any_more_is_left_out() {
    // The file took lease_weight back to the policy's own when the pair was set; now it names one of its own again.
    let stored = [("weight_management.score_weights.challenge_weight".to_owned(), Node::Real(0.9))];
    let all = config(FILE).with_stored(stored);
    assert_eq!((all.scoring.lease_weight, all.layers.left_out().len()), (0.7, 1));
    let stored = [("validation.challenge_type".to_owned(), Node::Text("auto".into()))];
    let all = config(FILE).with_stored(stored);
    assert_eq!(all.layers.left_out()[0].key, "validation.challenge_type");
    assert_eq!(all.validation, config(FILE).validation);
}

#[test]
fn values_survive_json() {
    for node in [Node::Whole(-1), Node::Real(0.25), Node::Text("auto".into()), Node::Null, Node::Bool(true)] {
        assert_eq!(node_of(&json_of(&node)), node);
    }
    let list = Node::List(vec![Node::Text("H100".into())]);
    assert_eq!(node_of(&serde_json::from_str(&json_of(&list).to_string()).unwrap()), list);
}
