//! What the runtime APIs say of the subnet and its neurons, field by field, by the names of the metadata.

use scale_value::Value;

use super::{
    blocks::Block,
    items::{axon, pairs},
    registration::{BURN_MAX_RAO, BURN_MIN_RAO, NEURONS_MAX},
    subnet::Neuron,
};

/// Fields of a neuron that have no meaning here, and are 0.
const ZEROES: &[&str] =
    &["pruning_score", "emission", "dividends", "incentives", "consensus", "trust", "rank", "tao_stake"];

fn number(of: impl Into<u128>) -> Value {
    Value::u128(of.into())
}

fn text(of: &str) -> Value {
    Value::from_bytes(of)
}

/// A field of the subnet, by the name that metagraphs and hyperparameters give it.
pub fn of_subnet(at: &Block, mechanism: u8, name: &str) -> Option<Value> {
    let (subnet, of) = (&at.subnet, &at.subnet.hyperparameters);
    Some(match name {
        "netuid" => number(subnet.netuid.0),
        "name" => text("simulated"),
        "symbol" => text("s"),
        "block" => number(at.number),
        "last_step" => number(subnet.epochs.last_block),
        "blocks_since_last_step" => number(subnet.epochs.since_step),
        "tempo" => number(of.tempo),
        "min_allowed_weights" => number(of.min_allowed_weights),
        "max_weights_limit" => number(of.max_weights_limit),
        "weights_version" => number(of.weights_version),
        "weights_rate_limit" => number(of.weights_rate_limit),
        "serving_rate_limit" => number(of.serving_rate_limit),
        "commit_reveal_weights_enabled" => Value::bool(of.commit_reveal),
        "commit_reveal_period" => number(of.reveal_period),
        "activity_cutoff" => number(5000u16),
        "max_validators" => number(128u8),
        "num_uids" => number(subnet.neurons.len() as u128),
        "max_uids" => number(NEURONS_MAX as u128),
        "burn" => number(subnet.burn.price(at.number)),
        "min_burn" => number(BURN_MIN_RAO),
        "max_burn" => number(BURN_MAX_RAO),
        "registration_allowed" | "subnet_is_active" => Value::bool(true),
        _ => return of_neurons(&subnet.neurons, mechanism, name),
    })
}

/// A field of the subnet as it is listed among all: some have names that mean other things in a metagraph.
pub fn of_market(at: &Block, name: &str) -> Option<Value> {
    match name {
        "subnet_name" => of_subnet(at, 0, "name"),
        "token_symbol" => of_subnet(at, 0, "symbol"),
        "netuid" | "tempo" | "last_step" | "blocks_since_last_step" => of_subnet(at, 0, name),
        // Clients divide one by the other for a price.
        "alpha_in" | "tao_in" => Some(number(1_000_000_000u64)),
        _ => None,
    }
}

/// What `get_subnet_hyperparams_v3` lists: names, kinds and values.
pub fn hyperparameters(at: &Block) -> Value {
    let entries = [
        ("min_allowed_weights", "U16"),
        ("max_weights_limit", "U16"),
        ("tempo", "U16"),
        ("weights_version", "U64"),
        ("weights_rate_limit", "U64"),
        ("activity_cutoff", "U64"),
        ("registration_allowed", "Bool"),
        ("min_burn", "TaoBalance"),
        ("max_burn", "TaoBalance"),
        ("serving_rate_limit", "U64"),
        ("max_validators", "U16"),
        ("commit_reveal_period", "U64"),
        ("commit_reveal_weights_enabled", "Bool"),
        ("subnet_is_active", "Bool"),
    ];
    let entry = |(name, kind): (&str, &str)| {
        let value = Value::unnamed_variant(kind, [of_subnet(at, 0, name)?]);
        Some(Value::named_composite([("name", text(name)), ("value", value)]))
    };
    Value::unnamed_composite(entries.into_iter().filter_map(entry))
}

/// A field with one value for each neuron.
fn of_neurons(neurons: &[Neuron], mechanism: u8, name: &str) -> Option<Value> {
    let list = |of: &dyn Fn(&Neuron) -> Value| Some(Value::unnamed_composite(neurons.iter().map(of)));
    match name {
        "hotkeys" => list(&|neuron| Value::from_bytes(neuron.hotkey)),
        "coldkeys" => list(&|neuron| Value::from_bytes(neuron.coldkey)),
        "identities" => list(&|_| Value::unnamed_variant("None", [])),
        "axons" => list(&|neuron| axon(&neuron.axon.unwrap_or_default())),
        "active" => list(&|_| Value::bool(true)),
        "validator_permit" => list(&|neuron| Value::bool(neuron.validator_permit)),
        "last_update" => list(&|neuron| number(neuron.held(mechanism).last_update)),
        "block_at_registration" => list(&|neuron| number(neuron.registered_at)),
        "alpha_stake" | "total_stake" => list(&|neuron| number(neuron.stake_rao)),
        _ if ZEROES.contains(&name) => list(&|_| number(0u8)),
        _ => None,
    }
}

/// A field of one neuron.
pub fn of_neuron(at: &Block, uid: u64, neuron: &Neuron, name: &str) -> Option<Value> {
    Some(match name {
        "hotkey" => Value::from_bytes(neuron.hotkey),
        "coldkey" => Value::from_bytes(neuron.coldkey),
        "uid" => number(uid),
        "netuid" => number(at.subnet.netuid.0),
        "active" => Value::bool(true),
        "axon_info" => axon(&neuron.axon.unwrap_or_default()),
        "stake" => {
            let held = [Value::from_bytes(neuron.coldkey), number(neuron.stake_rao)];
            Value::unnamed_composite([Value::unnamed_composite(held)])
        }
        "last_update" => number(neuron.held(0).last_update),
        "validator_permit" => Value::bool(neuron.validator_permit),
        "weights" => pairs(&neuron.held(0).weights),
        _ => return None,
    })
}
