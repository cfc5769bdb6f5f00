//! Runtime APIs, by the name that `state_call` takes: arguments in SCALE, answers in the shapes of the metadata.
//!
//! A field that the simulation has no meaning for is there all the same, as zero, empty or absent.

use parity_scale_codec::{Compact, Encode};
use scale_value::Value;

use super::{Node, blocks::Block, fields, params::client_error};
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
            "SubnetInfoRuntimeApi_get_all_dynamic_info" => {
                let (id, count) = (metadata.some_type(metadata.element(output)?)?, Compact(1u32).encode());
                Ok([count, vec![1], of_struct(metadata, id, &|name| fields::of_market(at, name))?].concat())
            }
            _ => subnet_api(api, &arguments, output, at),
        }
    }
}

/// What is known of one subnet; `None` (or an empty list) for every other.
fn subnet_api(api: &str, arguments: &[&[u8]], output: u32, at: &Block) -> Answer {
    let metadata = &at.runtime.metadata;
    let (pallet, name) = api.split_once('_').unwrap_or_default();
    let mechanism = if name.contains("mechagraph") { number(arguments, 1)? } else { 0 };
    let mechanism = u8::try_from(mechanism).map_err(|_| Refused::Arguments)?;
    let exists = number(arguments, 0)? == u64::from(at.subnet.netuid.0);
    let exists = exists && mechanism < at.subnet.hyperparameters.mechanisms;
    if pallet == "NeuronInfoRuntimeApi" {
        return neuron_api(name, arguments, output, (at, exists));
    }
    match name {
        "get_next_epoch_start_block" => {
            let epochs = at.subnet.epochs.next_block(at.subnet.hyperparameters.tempo);
            Ok(epochs.filter(|_| exists).encode())
        }
        "get_metagraph"
        | "get_mechagraph"
        | "get_subnet_state"
        | "get_dynamic_info"
        | "get_subnet_hyperparams"
        | "get_subnet_hyperparams_v2"
        | "get_selective_metagraph"
        | "get_selective_mechagraph"
        | "get_subnet_hyperparams_v3"
            if !exists =>
        {
            Ok(vec![0])
        }
        "get_metagraph"
        | "get_mechagraph"
        | "get_subnet_state"
        | "get_subnet_hyperparams"
        | "get_subnet_hyperparams_v2" => {
            some(of_struct(metadata, metadata.some_type(output)?, &|name| fields::of_subnet(at, mechanism, name))?)
        }
        "get_dynamic_info" => {
            some(of_struct(metadata, metadata.some_type(output)?, &|name| fields::of_market(at, name))?)
        }
        "get_selective_metagraph" => selective(metadata, arguments.get(1), output, (at, 0)),
        "get_selective_mechagraph" => selective(metadata, arguments.get(2), output, (at, mechanism)),
        "get_subnet_hyperparams_v3" => {
            some(metadata.encode(api, metadata.some_type(output)?, &fields::hyperparameters(at))?)
        }
        _ => Err(Refused::Unknown),
    }
}

fn some(value: Vec<u8>) -> Answer {
    Ok([vec![1], value].concat())
}

fn neuron_api(name: &str, arguments: &[&[u8]], output: u32, (at, exists): (&Block, bool)) -> Answer {
    let metadata = &at.runtime.metadata;
    let neurons = if exists { at.subnet.neurons.as_slice() } else { &[] };
    match name {
        "get_neuron" | "get_neuron_lite" => {
            let uid = number(arguments, 1)?;
            let Some(neuron) = usize::try_from(uid).ok().and_then(|uid| neurons.get(uid)) else { return Ok(vec![0]) };
            some(of_struct(metadata, metadata.some_type(output)?, &|name| fields::of_neuron(at, uid, neuron, name))?)
        }
        "get_neurons" | "get_neurons_lite" => {
            let mut bytes = Compact(neurons.len() as u32).encode();
            for (uid, neuron) in (0..).zip(neurons) {
                let of = |name: &str| fields::of_neuron(at, uid, neuron, name);
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
fn selective(metadata: &Metadata, asked: Option<&&[u8]>, output: u32, (at, mechanism): (&Block, u8)) -> Answer {
    let mut rest = *asked.ok_or(Refused::Arguments)?;
    scale::cut_compact(&mut rest).map_err(|_| Refused::Arguments)?;
    let asked: Vec<u16> = rest.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let mut bytes = vec![1];
    for (index, (name, id)) in (0..).zip(metadata.fields(metadata.some_type(output)?)?) {
        let value = fields::of_subnet(at, mechanism, name);
        if index == 0 {
            bytes.extend(metadata.encode(name, id, &value.ok_or(Refused::Arguments)?)?);
        } else if asked.contains(&index) {
            bytes.push(1);
            let id = metadata.some_type(id)?;
            bytes.extend(value.map_or_else(|| metadata.zero(name, id), |value| metadata.encode(name, id, &value))?);
        } else {
            bytes.push(0);
        }
    }
    Ok(bytes)
}
