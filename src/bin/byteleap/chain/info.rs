//! `byteleap chain info`: the node, the subnet, and where a hotkey stands in it.

use byteleap::{
    config::subtensor::Subtensor,
    exit::Failure,
    machine::contract::chain::{Feature, Head, Metagraph, Neuron, Preflight, Standing},
    spoke::chain::hyperparameters::{Setting, SubnetInfo},
    units::{Hotkey, Wall},
};
use serde_json::{Value, json};

use super::{
    Told,
    metagraph::{axon, hyperparameters, neuron_json, yes_or_no},
    node::{Node, Place, Who},
    preflight::broken,
    table::Facts,
    which::Which,
};

/// A block is made each 12 seconds; one that is older than this, or from the future, is not in order.
const BLOCK_AGE_MAX_S: f64 = 60.0;
const BLOCK_AHEAD_MAX_S: f64 = 5.0;

/// What the real chain takes for a block.
const BLOCK_TIME_S: u64 = 12;

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub who: Who,
}

/// All that was asked.
struct Seen {
    settings: Subtensor,
    which: Which,
    /// The command lines that are proposed.
    to_register: Option<String>,
    to_look: String,
    head: Head,
    now: Wall,
    graph: Metagraph,
    preflight: Preflight,
    /// Of our neuron, or of any: the epoch is everybody's.
    standing: Option<Standing>,
    hotkey: Option<Hotkey>,
    /// What the runtime lists, or why that cannot be read.
    listed: Result<SubnetInfo, String>,
}

pub fn tell(options: &Options) -> Result<Told, Failure> {
    let settings = options.place.settings()?;
    let hotkey = options.who.hotkey(&options.place, &settings)?;
    let mut node = Node::reading(&options.place, settings)?;
    let head = node.head()?;
    let which = node.which(&head)?;
    let now = node.now();
    let graph = node.metagraph()?;
    let preflight = node.preflight()?;
    let of = hotkey.as_ref().and_then(|hotkey| graph.neuron(hotkey)).or(graph.neurons.first()).cloned();
    let standing = match of.filter(|_| preflight.broken(Feature::Standing).is_none()) {
        Some(neuron) => Some(node.standing(0, &neuron)?),
        None => None,
    };
    let netuid = node.netuid;
    let listed = node.chain().subnet_info(netuid, None).map_err(|why| why.to_string());
    let to_register = hotkey.as_ref().map(|hotkey| node.to_register(hotkey));
    let to_look = node.command("preflight");
    let settings = node.settings.subtensor;
    let seen = Seen { settings, which, to_register, to_look, head, now, graph, preflight, standing, hotkey, listed };
    Ok(Told::new(seen.text(), seen.json()))
}

impl Seen {
    fn text(&self) -> String {
        let mut text = format!("{}\n{}\n{}", self.node(), self.subnet(), self.hyperparameters());
        if let Some(hotkey) = &self.hotkey {
            text += &format!("\n{}", self.standing_of(hotkey));
        }
        text
    }

    fn node(&self) -> Facts {
        let head = &self.head;
        let mut facts = Facts::of("node");
        self.which.tell(&mut facts);
        facts.add("best block", head.best);
        facts.add("finalized", format!("{} ({} behind)", head.finalized, head.best.saturating_sub(head.finalized)));
        facts.add("clock", clock(self.age_s()));
        let bad = broken(&self.preflight).len();
        facts.add(
            "preflight",
            match bad {
                0 => format!("good ({} names)", self.preflight.rows.len()),
                bad => {
                    format!("{bad} of {} names are not as known: run {}", self.preflight.rows.len(), self.to_look)
                }
            },
        );
        facts
    }

    /// Age of the best block by our clock; negative when it is from our future.
    fn age_s(&self) -> Option<f64> {
        self.head.best_at.map(|at| self.now.as_secs_f64() - at.as_secs_f64())
    }

    fn subnet(&self) -> Facts {
        let graph = &self.graph;
        let mut facts = Facts::of(format!("subnet {} at block {}", graph.netuid.0, graph.block));
        let permits = graph.neurons.iter().filter(|neuron| neuron.validator_permit).count();
        facts.add("neurons", format!("{}, {permits} with a validator's permit", graph.neurons.len()));
        facts.add("tempo", format!("{} blocks", graph.tempo));
        if let Some(standing) = &self.standing {
            let blocks = standing.next_epoch_block.saturating_sub(self.head.best);
            facts.add("epoch", standing.epoch);
            facts.add("next epoch", format!("block {}, {}", standing.next_epoch_block, ahead(blocks)));
        }
        facts.add("weights", self.path());
        facts.add("weights rate limit", format!("{} blocks between two settings", graph.weights_rate_limit));
        facts.add("serving rate limit", format!("{} blocks between two announcements", graph.serving_rate_limit));
        if let Ok(listed) = &self.listed {
            facts.add("a place costs", format!("{:.9} TAO", listed.burn_rao as f64 / 1e9));
            facts.add("owner", listed.owner.as_ref().map_or("-", Hotkey::as_str));
        }
        facts
    }

    /// As the runtime lists them, under its own names.
    fn hyperparameters(&self) -> Facts {
        let mut facts = Facts::of("hyper-parameters");
        match &self.listed {
            Ok(listed) => listed.hyperparameters.iter().for_each(|(name, setting)| facts.add(name, setting)),
            Err(why) => facts.add("unknown", why),
        }
        facts
    }

    fn hyperparameters_json(&self) -> Value {
        let mut all = hyperparameters(&self.graph);
        for (name, setting) in self.listed.iter().flat_map(|listed| &listed.hyperparameters) {
            all[name] = match setting {
                Setting::Flag(is) => json!(is),
                Setting::Number(number) => {
                    u64::try_from(*number).map_or_else(|_| json!(number.to_string()), Value::from)
                }
                Setting::Balance(rao) => json!(*rao as f64 / 1e9),
                Setting::Fraction(fraction) => json!(fraction),
                Setting::Text(text) => json!(text),
            };
        }
        all
    }

    fn broken(&self, feature: Feature) -> Option<&str> {
        self.preflight.broken(feature).map(|row| row.name.as_str())
    }

    /// How weights are set here, now, and the feature that this takes.
    fn choice(&self) -> (&'static str, Feature) {
        match (self.graph.commit_reveal, self.broken(Feature::TimelockedCommit)) {
            (false, _) => ("in the open (commit-reveal is off)", Feature::SetWeights),
            (true, None) => {
                ("committed, encrypted to a round of drand; the chain opens them", Feature::TimelockedCommit)
            }
            (true, Some(_)) => ("committed by hash and revealed later", Feature::HashCommit),
        }
    }

    /// What in the runtime keeps weights from being set, whoever wants to.
    fn hindrance(&self) -> Option<&str> {
        let (_, way) = self.choice();
        [Feature::Metagraph, Feature::Signing, Feature::Standing, Feature::Outcome, way]
            .into_iter()
            .find_map(|feature| self.broken(feature))
    }

    fn path(&self) -> String {
        let graph = &self.graph;
        let after = match graph.commit_reveal {
            true if graph.reveal_period == 1 => ", an epoch later".to_owned(),
            true => format!(", {} epochs later", graph.reveal_period),
            false => String::new(),
        };
        let (path, _) = self.choice();
        match self.hindrance() {
            None => format!("{path}{after}"),
            Some(name) => format!("{path}{after}: impossible, {name} is not as known"),
        }
    }

    fn standing_of(&self, hotkey: &Hotkey) -> Facts {
        let mut facts = Facts::of(format!("hotkey {hotkey}"));
        let Some(neuron) = self.graph.neuron(hotkey) else {
            facts.add("registered", format!("no; run {}", self.to_register.as_deref().unwrap_or_default()));
            return facts;
        };
        facts.add("registered", "yes");
        facts.add("uid", neuron.uid.0);
        facts.add("permit", yes_or_no(neuron.validator_permit));
        facts.add("stake", format!("{:.3} TAO", neuron.stake_tao));
        facts.add("active", yes_or_no(neuron.active));
        facts.add("axon", axon(neuron));
        facts.add("last update", format!("block {}, {}", neuron.last_update, self.ago(neuron.last_update)));
        facts.add("weights", self.may_set(neuron));
        if let Some(standing) = &self.standing {
            facts.add("commitments", format!("{} wait to be opened", standing.commits.len()));
        }
        facts
    }

    fn ago(&self, block: u64) -> String {
        let blocks = self.head.best.saturating_sub(block);
        format!("{blocks} blocks ago")
    }

    fn may_set(&self, neuron: &Neuron) -> String {
        if let Some(name) = self.hindrance() {
            return format!("cannot be set: {name} is not as this version knows it; run {}", self.to_look);
        }
        match self.blocks_until_weights(neuron) {
            _ if !neuron.validator_permit => "not without a validator's permit, which more stake gives".into(),
            0 => "may be set now".into(),
            blocks => format!("may be set {}", ahead(blocks)),
        }
    }

    /// The chain counts from the last update to the block that includes the setting.
    fn blocks_until_weights(&self, neuron: &Neuron) -> u64 {
        match neuron.last_update {
            0 => 0,
            last => (last + self.graph.weights_rate_limit).saturating_sub(self.head.best + 1),
        }
    }

    fn json(&self) -> Value {
        let (head, graph) = (&self.head, &self.graph);
        let mut node = self.which.json();
        let facts = [
            ("network", json!(self.settings.network)),
            ("endpoints", json!(self.settings.endpoints)),
            ("best", json!(head.best)),
            ("finalized", json!(head.finalized)),
            ("best_age_s", json!(self.age_s())),
            ("preflight_good", json!(broken(&self.preflight).is_empty())),
        ];
        node.extend(facts.map(|(name, value)| (name.to_owned(), value)));
        json!({
            "node": node,
            "subnet": {
                "netuid": graph.netuid,
                "block": graph.block,
                "neurons": graph.neurons.len(),
                "epoch": self.standing.as_ref().map(|standing| standing.epoch),
                "next_epoch_block": self.standing.as_ref().map(|standing| standing.next_epoch_block),
                "weights_path": self.path(),
                "weights_hindered_by": self.hindrance(),
                "hyperparameters": self.hyperparameters_json(),
                "price_tao": self.listed.as_ref().ok().map(|listed| listed.burn_rao as f64 / 1e9),
            },
            "hotkey": self.hotkey.as_ref().map(|hotkey| self.hotkey_json(hotkey)),
        })
    }

    fn hotkey_json(&self, hotkey: &Hotkey) -> Value {
        let neuron = self.graph.neuron(hotkey);
        json!({
            "hotkey": hotkey,
            "registered": neuron.is_some(),
            "neuron": neuron.map(neuron_json),
            "blocks_until_weights": neuron.map(|neuron| self.blocks_until_weights(neuron)),
            "commitments": neuron.and(self.standing.as_ref()).map(|standing| standing.commits.len()),
        })
    }
}

fn ahead(blocks: u64) -> String {
    let minutes = blocks * BLOCK_TIME_S / 60;
    format!("in {blocks} blocks, about {minutes} min")
}

/// What the age of the best block says of the two clocks.
fn clock(age_s: Option<f64>) -> String {
    match age_s {
        None => "unknown: the best block has no timestamp".into(),
        Some(age) if age < -BLOCK_AHEAD_MAX_S => {
            format!("this machine's is {:.0} s behind the chain's: set it, or every signature is refused", -age)
        }
        Some(age) if age > BLOCK_AGE_MAX_S => {
            format!("the best block is {age:.0} s old: this machine's clock is ahead, or the node stands still")
        }
        Some(age) => format!("agrees with the chain's; the best block is {:.0} s old", age.max(0.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_named() {
        assert_eq!(clock(Some(7.4)), "agrees with the chain's; the best block is 7 s old");
        assert_eq!(clock(Some(-2.0)), "agrees with the chain's; the best block is 0 s old");
        assert!(clock(Some(-61.0)).starts_with("this machine's is 61 s behind"));
        assert!(clock(Some(95.0)).contains("95 s old: this machine's clock is ahead, or the node stands still"));
        assert!(clock(None).contains("no timestamp"));
    }
}
