//! `byteleap chain weights`: what a neuron's weights are, what it has committed, and how old all that is.

use byteleap::{
    exit::Failure,
    machine::contract::chain::{HeldCommit, Metagraph, Neuron, Standing},
    spoke::chain::rpc::to_hex,
    units::Uid,
};
use serde_json::{Value, json};

use super::{
    Told,
    node::{Node, Place, Who},
    table::{Column, Facts, Table},
};

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub who: Who,
    /// The neuron with this uid, in place of a hotkey's
    #[arg(long, value_name = "N", conflicts_with = "hotkey")]
    uid: Option<u16>,
    /// Of this mechanism of the subnet
    #[arg(long, value_name = "N", default_value_t = 0)]
    mechanism: u8,
}

pub fn tell(options: &Options) -> Result<Told, Failure> {
    let settings = options.place.settings()?;
    let hotkey = match options.uid {
        Some(_) => None,
        None => options.who.hotkey(&options.place, &settings)?,
    };
    let mut node = Node::reading(&options.place, settings)?;
    let graph = node.metagraph()?;
    let neuron = match (options.uid, hotkey) {
        (Some(uid), _) => {
            let found = graph.neurons.iter().find(|neuron| neuron.uid == Uid(uid));
            found.ok_or_else(|| Failure::failed(format!("no neuron has uid {uid} in subnet {}", node.netuid.0)))?
        }
        (None, Some(hotkey)) => graph.neuron(&hotkey).ok_or_else(|| node.not_registered(&hotkey))?,
        (None, None) => {
            return Err(Failure::config("whose weights? --uid, --hotkey, or --config with a daemon's file"));
        }
    };
    let standing = node.standing(options.mechanism, neuron)?;
    Ok(Told::new(text(&graph, neuron, &standing), as_json(&graph, neuron, options.mechanism, &standing)))
}

fn text(graph: &Metagraph, neuron: &Neuron, standing: &Standing) -> String {
    let mut facts = Facts::of(format!("uid {}, hotkey {}", neuron.uid.0, neuron.hotkey));
    facts.add("finalized block", standing.block);
    let age = standing.block.saturating_sub(standing.last_update);
    facts.add("last update", format!("block {}, {age} blocks before", standing.last_update));
    facts.add("epoch", format!("{}, the next begins at block {}", standing.epoch, standing.next_epoch_block));
    facts.add("commitments", standing.commits.len());
    facts.add("weights", standing.weights.len());
    let mut text = facts.to_string();
    if !standing.commits.is_empty() {
        text += &format!("\n{}", commits(standing));
    }
    if !standing.weights.is_empty() {
        text += &format!("\n{}", weights(graph, standing));
    }
    text
}

fn commits(standing: &Standing) -> Table {
    let mut table = Table::new(&[
        Column::Number("committed at"),
        Column::Number("of epoch"),
        Column::Number("opens in epoch"),
        Column::Number("drand round"),
        Column::Text("hash"),
    ]);
    for HeldCommit { epoch, block, hash, drand_round } in &standing.commits {
        let opens = epoch.saturating_add(standing.reveal_period).to_string();
        let round = drand_round.map_or("-".into(), |round| round.to_string());
        table.row([block.to_string(), epoch.to_string(), opens, round, to_hex(hash)]);
    }
    table
}

fn weights(graph: &Metagraph, standing: &Standing) -> Table {
    let total: f64 = standing.weights.iter().map(|(_, weight)| f64::from(*weight)).sum();
    let mut table =
        Table::new(&[Column::Number("uid"), Column::Number("weight"), Column::Number("share"), Column::Text("hotkey")]);
    for (uid, weight) in &standing.weights {
        let share = if total > 0.0 { f64::from(*weight) / total } else { 0.0 };
        let of = graph.neurons.iter().find(|neuron| neuron.uid == *uid);
        let hotkey = of.map_or_else(|| "(not registered)".to_owned(), |neuron| neuron.hotkey.to_string());
        table.row([uid.0.to_string(), weight.to_string(), format!("{share:.6}"), hotkey]);
    }
    table
}

fn as_json(graph: &Metagraph, neuron: &Neuron, mechanism: u8, standing: &Standing) -> Value {
    let weights: Vec<(u16, u16)> = standing.weights.iter().map(|(uid, weight)| (uid.0, *weight)).collect();
    let commit = |commit: &HeldCommit| {
        let opens_in_epoch = commit.epoch.saturating_add(standing.reveal_period);
        json!({"epoch": commit.epoch, "block": commit.block, "hash": to_hex(&commit.hash),
               "drand_round": commit.drand_round, "opens_in_epoch": opens_in_epoch})
    };
    json!({
        "netuid": graph.netuid,
        "mechanism": mechanism,
        "uid": neuron.uid,
        "hotkey": neuron.hotkey,
        "block": standing.block,
        "last_update": standing.last_update,
        "epoch": standing.epoch,
        "next_epoch_block": standing.next_epoch_block,
        "weights": weights,
        "commits": standing.commits.iter().map(commit).collect::<Vec<Value>>(),
    })
}
