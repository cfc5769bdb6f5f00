//! Runtime APIs, by the name that `state_call` takes: arguments in SCALE, answers in the shapes of the metadata.
//!
//! A field that the simulation has no meaning for is there all the same, as zero, empty or absent.

use parity_scale_codec::{Compact, Encode};
use scale_value::Value;

use super::{
    Node,
    blocks::Block,
    params::client_error,
    storage::{axon, blocks_since_step, pairs},
    subnet::Neuron,
};
use crate::spoke::chain::{
    metadata::{Metadata, ShapeFault},
    rpc::NodeError,
    scale,
};

/// Why an API has no answer.
enum Refused {
    Unknown,
    Arguments,
    Shape(ShapeFault),
}

impl From<ShapeFault> for Refused {
    fn from(fault: ShapeFault) -> Refused {
        Refused::Shape(fault)
    }
}

type Answer = Result<Vec<u8>, Refused>;

impl Node {
    pub(super) fn runtime_api(&self, api: &str, arguments: &[u8], at: &Block) -> Result<Vec<u8>, NodeError> {
        self.api(api, arguments, at).map_err(|refused| {
            client_error(&match refused {
                Refused::Unknown => format!("Execution failed: Exported method {api} is not found (simulated)"),
                Refused::Arguments => format!("Execution failed: {api} cannot decode its arguments"),
                Refused::Shape(fault) => format!("Execution failed: {api}: {fault}"),
            })
        })
    }

    fn api(&self, api: &str, arguments: &[u8], at: &Block) -> Answer {
        let metadata = &at.runtime.metadata;
        let output = metadata.api(api).map_err(|_| Refused::Unknown)?.output;
        let arguments = cut_arguments(metadata, api, arguments)?;
        match api {
            "Core_version" => Ok(metadata.constant("System", "Version")?.1.to_vec()),
            "Metadata_metadata" => Ok(at.runtime.v14.encode()),
            "Metadata_metadata_versions" => Ok(vec![14u32, 15].encode()),
            "Metadata_metadata_at_version" => Ok(match number(&arguments, 0)? {
                14 => Some(&at.runtime.v14).encode(),
                15 => Some(&at.runtime.v15).encode(),
                _ => None::<Vec<u8>>.encode(),
            }),
            "AccountNonceApi_account_nonce" => {
                let account = arguments.first().and_then(|bytes| (*bytes).try_into().ok()).ok_or(Refused::Arguments)?;
                Ok(metadata.encode(api, output, &Value::u128(at.subnet.nonce(account).into()))?)
            }
            _ => subnet_api(api, &arguments, output, at),
        }
    }
}

/// What is known of one subnet; `None` (or an empty list) for every other.
fn subnet_api(api: &str, arguments: &[&[u8]], output: u32, at: &Block) -> Answer {
    let metadata = &at.runtime.metadata;
    let exists = number(arguments, 0)? == u64::from(at.subnet.netuid.0);
    let whole = |exists: bool, of: &dyn Fn(&str) -> Option<Value>| -> Answer {
        if !exists {
            return Ok(vec![0]);
        }
        Ok([vec![1], of_struct(metadata, metadata.some_type(output)?, of)?].concat())
    };
    match api {
        "SubnetInfoRuntimeApi_get_metagraph"
        | "SubnetInfoRuntimeApi_get_subnet_state"
        | "SubnetInfoRuntimeApi_get_subnet_hyperparams"
        | "SubnetInfoRuntimeApi_get_subnet_hyperparams_v2" => whole(exists, &|name| field(at, name)),
        "SubnetInfoRuntimeApi_get_selective_metagraph" if !exists => Ok(vec![0]),
        "SubnetInfoRuntimeApi_get_selective_metagraph" => selective(metadata, arguments, output, at),
        "SubnetInfoRuntimeApi_get_next_epoch_start_block" if exists => {
            let tempo = u64::from(at.subnet.hyperparameters.tempo).max(1);
            Ok(Some(at.number - blocks_since_step(at) + tempo).encode())
        }
        "SubnetInfoRuntimeApi_get_next_epoch_start_block" => Ok(vec![0]),
        "NeuronInfoRuntimeApi_get_neuron" | "NeuronInfoRuntimeApi_get_neuron_lite" => {
            let uid = number(arguments, 1)?;
            let neuron = usize::try_from(uid).ok().and_then(|uid| at.subnet.neurons.get(uid));
            whole(exists && neuron.is_some(), &|name| neuron_field(at, uid, neuron?, name))
        }
        "NeuronInfoRuntimeApi_get_neurons" | "NeuronInfoRuntimeApi_get_neurons_lite" => {
            let neurons = if exists { at.subnet.neurons.as_slice() } else { &[] };
            let mut bytes = Compact(neurons.len() as u32).encode();
            for (uid, neuron) in (0..).zip(neurons) {
                let of = |name: &str| neuron_field(at, uid, neuron, name);
                bytes.extend(of_struct(metadata, metadata.element(output)?, &of)?);
            }
            Ok(bytes)
        }
        _ => Err(Refused::Unknown),
    }
}

/// The arguments of an API, one by one.
fn cut_arguments<'a>(metadata: &Metadata, api: &str, mut bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, Refused> {
    let inputs = &metadata.api(api)?.inputs;
    let cut = inputs.iter().map(|id| metadata.cut(api, *id, &mut bytes));
    let arguments = cut.collect::<Result<_, _>>().map_err(|_| Refused::Arguments)?;
    if bytes.is_empty() { Ok(arguments) } else { Err(Refused::Arguments) }
}

/// A little-endian number of up to eight bytes.
fn number(arguments: &[&[u8]], place: usize) -> Result<u64, Refused> {
    let bytes = arguments.get(place).filter(|bytes| bytes.len() <= 8).ok_or(Refused::Arguments)?;
    let mut whole = [0; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    Ok(u64::from_le_bytes(whole))
}

/// A struct, field by field: what `of` knows, and zero for the rest.
fn of_struct(metadata: &Metadata, id: u32, of: &dyn Fn(&str) -> Option<Value>) -> Result<Vec<u8>, ShapeFault> {
    let mut bytes = Vec::new();
    for (name, id) in metadata.fields(id)? {
        bytes.extend(match of(name) {
            Some(value) => metadata.encode(name, id, &value)?,
            None => metadata.zero(name, id)?,
        });
    }
    Ok(bytes)
}

/// The fields with the asked indexes, all others absent. The first field is always there.
fn selective(metadata: &Metadata, arguments: &[&[u8]], output: u32, at: &Block) -> Answer {
    let mut rest = *arguments.get(1).ok_or(Refused::Arguments)?;
    scale::cut_compact(&mut rest).map_err(|_| Refused::Arguments)?;
    let asked: Vec<u16> = rest.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let mut bytes = vec![1];
    for (index, (name, id)) in (0..).zip(metadata.fields(metadata.some_type(output)?)?) {
        match (index, field(at, name)) {
            (0, Some(value)) => bytes.extend(metadata.encode(name, id, &value)?),
            (_, _) if !asked.contains(&index) => bytes.push(0),
            (_, Some(value)) => {
                bytes.push(1);
                bytes.extend(metadata.encode(name, metadata.some_type(id)?, &value)?);
            }
            (_, None) => {
                bytes.push(1);
                bytes.extend(metadata.zero(name, metadata.some_type(id)?)?);
            }
        }
    }
    Ok(bytes)
}

fn text(of: &str) -> Value {
    Value::from_bytes(of)
}

/// A field of the subnet, by the name that metagraphs and hyperparameters give it.
fn field(at: &Block, name: &str) -> Option<Value> {
    let (subnet, of) = (&at.subnet, &at.subnet.hyperparameters);
    let count = subnet.neurons.len();
    Some(match name {
        "netuid" => Value::u128(subnet.netuid.0.into()),
        "name" => text("simulated"),
        "symbol" => text("s"),
        "block" => Value::u128(at.number.into()),
        "tempo" => Value::u128(of.tempo.into()),
        "last_step" => Value::u128((at.number - blocks_since_step(at)).into()),
        "blocks_since_last_step" => Value::u128(blocks_since_step(at).into()),
        "min_allowed_weights" => Value::u128(of.min_allowed_weights.into()),
        "max_weights_limit" => Value::u128(of.max_weights_limit.into()),
        "weights_version" => Value::u128(of.weights_version.into()),
        "weights_rate_limit" => Value::u128(of.weights_rate_limit.into()),
        "serving_rate_limit" => Value::u128(of.serving_rate_limit.into()),
        "commit_reveal_weights_enabled" => Value::bool(of.commit_reveal),
        "commit_reveal_period" => Value::u128(1),
        "activity_cutoff" => Value::u128(5000),
        "max_validators" => Value::u128(128),
        "num_uids" => Value::u128(count as u128),
        "max_uids" => Value::u128(256),
        "subnet_is_active" => Value::bool(true),
        _ => return neurons_field(&subnet.neurons, name),
    })
}

/// A field with one value for each neuron.
fn neurons_field(neurons: &[Neuron], name: &str) -> Option<Value> {
    let list = |of: fn(&Neuron) -> Value| Some(Value::unnamed_composite(neurons.iter().map(of)));
    match name {
        "hotkeys" => list(|neuron| Value::from_bytes(neuron.hotkey)),
        "coldkeys" => list(|neuron| Value::from_bytes(neuron.coldkey)),
        "identities" => list(|_| Value::unnamed_variant("None", [])),
        "axons" => list(|neuron| axon(&neuron.axon.unwrap_or_default())),
        "active" => list(|_| Value::bool(true)),
        "validator_permit" => list(|neuron| Value::bool(neuron.validator_permit)),
        "last_update" => list(|neuron| Value::u128(neuron.last_update.into())),
        "alpha_stake" | "total_stake" => list(|neuron| Value::u128(neuron.stake_rao.into())),
        "pruning_score"
        | "emission"
        | "dividends"
        | "incentives"
        | "consensus"
        | "trust"
        | "rank"
        | "block_at_registration"
        | "tao_stake" => list(|_| Value::u128(0)),
        _ => None,
    }
}

/// A field of one neuron.
fn neuron_field(at: &Block, uid: u64, neuron: &Neuron, name: &str) -> Option<Value> {
    Some(match name {
        "hotkey" => Value::from_bytes(neuron.hotkey),
        "coldkey" => Value::from_bytes(neuron.coldkey),
        "uid" => Value::u128(uid.into()),
        "netuid" => Value::u128(at.subnet.netuid.0.into()),
        "active" => Value::bool(true),
        "axon_info" => axon(&neuron.axon.unwrap_or_default()),
        "stake" => {
            let held = [Value::from_bytes(neuron.coldkey), Value::u128(neuron.stake_rao.into())];
            Value::unnamed_composite([Value::unnamed_composite(held)])
        }
        "last_update" => Value::u128(neuron.last_update.into()),
        "validator_permit" => Value::bool(neuron.validator_permit),
        "weights" => pairs(&neuron.weights),
        _ => return None,
    })
}
