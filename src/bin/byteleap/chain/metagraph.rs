//! `byteleap chain metagraph`: who takes part.

use byteleap::{
    exit::Failure,
    machine::contract::chain::{Metagraph, Neuron},
};
use serde_json::{Value, json};

use super::{
    Told,
    node::{Node, Place},
    table::{Column, Table},
};

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub place: Place,
}

pub fn tell(options: &Options) -> Result<Told, Failure> {
    let graph = Node::reading(&options.place, options.place.settings()?)?.metagraph()?;
    Ok(Told::new(text(&graph), as_json(&graph)))
}

fn text(graph: &Metagraph) -> String {
    let mut table = Table::new(&[
        Column::Number("uid"),
        Column::Text("hotkey"),
        Column::Text("permit"),
        Column::Number("stake TAO"),
        Column::Text("axon"),
        Column::Number("last update"),
        Column::Text("active"),
    ]);
    for neuron in &graph.neurons {
        table.row([
            neuron.uid.0.to_string(),
            neuron.hotkey.to_string(),
            yes_or_no(neuron.validator_permit).to_owned(),
            format!("{:.3}", neuron.stake_tao),
            axon(neuron),
            neuron.last_update.to_string(),
            yes_or_no(neuron.active).to_owned(),
        ]);
    }
    format!("subnet {} at block {}, {} neurons\n{table}", graph.netuid.0, graph.block, graph.neurons.len())
}

pub fn yes_or_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// Where a neuron says that it is reached.
pub fn axon(neuron: &Neuron) -> String {
    neuron.axon.map_or("-".into(), |address| address.to_string())
}

fn as_json(graph: &Metagraph) -> Value {
    let neurons: Vec<Value> = graph.neurons.iter().map(neuron_json).collect();
    json!({
        "netuid": graph.netuid,
        "block": graph.block,
        "hyperparameters": hyperparameters(graph),
        "neurons": neurons,
    })
}

pub fn neuron_json(neuron: &Neuron) -> Value {
    json!({
        "uid": neuron.uid,
        "hotkey": neuron.hotkey,
        "coldkey": neuron.coldkey,
        "axon": neuron.axon,
        "axon_block": neuron.axon_block,
        "active": neuron.active,
        "validator_permit": neuron.validator_permit,
        "stake_tao": neuron.stake_tao,
        "last_update": neuron.last_update,
    })
}

/// By the chain's own names.
pub fn hyperparameters(graph: &Metagraph) -> Value {
    json!({
        "tempo": graph.tempo,
        "weights_rate_limit": graph.weights_rate_limit,
        "serving_rate_limit": graph.serving_rate_limit,
        "weights_version": graph.weights_version,
        "min_allowed_weights": graph.min_allowed_weights,
        "max_weights_limit": graph.max_weights_limit,
        "commit_reveal_weights_enabled": graph.commit_reveal,
        "commit_reveal_period": graph.reveal_period,
    })
}
