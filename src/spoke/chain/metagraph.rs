//! The subnet's state, in one call: the fields that we use, found by name.
//!
//! Asked for in part where the runtime hands out parts: exactly the fields that we decode, so what comes is complete
//! for us or refused. On any surprise with a part the whole is asked for; where the surprise proves that the runtime has
//! no such part, from then on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use scale_decode::DecodeAsType;
use scale_value::Value;

use super::{
    Chain, ChainError, answer,
    metadata::{Metadata, ShapeFault},
    read::At,
    rpc::{Call, Rpc},
};
use crate::{
    machine::contract::chain::{Metagraph, Neuron},
    units::{AccountId, Hotkey, Netuid, Uid},
};

/// By the name that `state_call` takes.
pub const API: &str = "SubnetInfoRuntimeApi_get_metagraph";
pub const SELECTIVE_API: &str = "SubnetInfoRuntimeApi_get_selective_metagraph";

/// RAO in a TAO.
const RAO: f64 = 1e9;

/// Declares the struct of what we use, the same with each field optional, and their names.
macro_rules! subnet {
    ($($field:ident: $of:ty,)*) => {
        #[derive(DecodeAsType)]
        struct Subnet {
            netuid: u16,
            $($field: $of,)*
        }

        /// The answer for a part: what was not asked for is absent.
        #[derive(DecodeAsType)]
        struct Part {
            netuid: u16,
            $($field: Option<$of>,)*
        }

        /// Beside the netuid, which is always there.
        const FIELDS: &[&str] = &[$(stringify!($field)),*];

        impl Part {
            fn complete(self) -> Result<Subnet, ShapeFault> {
                Ok(Subnet { netuid: self.netuid, $($field: self.$field.ok_or_else(|| absent(stringify!($field)))?,)* })
            }
        }
    };
}

subnet! {
    block: u64,
    tempo: u16,
    weights_rate_limit: u64,
    serving_rate_limit: u64,
    weights_version: u64,
    min_allowed_weights: u16,
    max_weights_limit: u16,
    commit_reveal_weights_enabled: bool,
    commit_reveal_period: u64,
    hotkeys: Vec<AccountId>,
    coldkeys: Vec<AccountId>,
    axons: Vec<Axon>,
    active: Vec<bool>,
    validator_permit: Vec<bool>,
    last_update: Vec<u64>,
    total_stake: Vec<u64>,
}

/// Whether the runtime can be said not to hand out the part that we use. What a node fails at may work the next time,
/// and bytes may be cut on their way.
fn proves_no_parts(error: &ChainError) -> bool {
    match error {
        ChainError::Shape(fault) => !matches!(fault, ShapeFault::Bytes { .. }),
        ChainError::Node { error, .. } => error.message.contains("is not found"),
        _ => false,
    }
}

fn absent(field: &str) -> ShapeFault {
    ShapeFault::Other(format!("{SELECTIVE_API}: asked for {field}, which is not in the answer"))
}

#[derive(DecodeAsType)]
struct Axon {
    block: u64,
    ip: u128,
    port: u16,
    ip_type: u8,
}

impl Axon {
    /// `None` when it was never served, or serves nowhere.
    fn address(&self) -> Option<SocketAddr> {
        let ip: IpAddr = match self.ip_type {
            4 => Ipv4Addr::from(u32::try_from(self.ip).ok()?).into(),
            6 => Ipv6Addr::from(self.ip).into(),
            _ => return None,
        };
        (self.port != 0 && !ip.is_unspecified()).then_some(SocketAddr::new(ip, self.port))
    }
}

impl<R: Rpc> Chain<R> {
    /// The part that we use, where the runtime hands out parts; else all of it.
    pub(super) fn metagraph(&mut self, netuid: Netuid) -> Result<Metagraph, ChainError> {
        let spec = |chain: &Chain<R>| chain.runtimes.last().map(|runtime| runtime.spec_version);
        if spec(self).is_none_or(|spec| !self.whole_metagraphs.contains(&spec)) {
            match self.selective(netuid) {
                Err(error @ (ChainError::Shape(_) | ChainError::Answer { .. } | ChainError::Node { .. })) => {
                    log::warn!(target: "chain", "no part of the metagraph, all of it is asked for instead: {error}");
                    self.whole_metagraphs.extend(spec(self).filter(|_| proves_no_parts(&error)));
                }
                read => return read,
            }
        }
        let asked = Value::u128(netuid.0.into());
        let graph = self.ask_metagraph(API, netuid, |_| Ok(vec![asked.clone()]), decode)?;
        graph.ok_or(ChainError::NoSubnet(netuid.0))
    }

    fn selective(&mut self, netuid: Netuid) -> Result<Metagraph, ChainError> {
        let arguments = |metadata: &Metadata| {
            let places = places(metadata)?.into_iter().map(|place| Value::u128(place.into()));
            Ok(vec![Value::u128(netuid.0.into()), Value::unnamed_composite(places)])
        };
        let graph = self.ask_metagraph(SELECTIVE_API, netuid, arguments, decode_selective)?;
        graph.ok_or(ChainError::NoSubnet(netuid.0))
    }

    fn ask_metagraph(
        &mut self,
        api: &'static str,
        netuid: Netuid,
        arguments: impl Fn(&Metadata) -> Result<Vec<Value>, ShapeFault>,
        decode: impl Fn(&Metadata, &[u8]) -> Result<Option<Metagraph>, ShapeFault>,
    ) -> Result<Option<Metagraph>, ChainError> {
        let read = self.read(At::Best, |runtime, hash| {
            let metadata = &runtime.metadata;
            let arguments = metadata.api_arguments(api, &arguments(metadata)?)?;
            Ok(vec![Call::state(api, &arguments, Some(hash))])
        })?;
        let [bytes] = answer::exactly(read.answers)?;
        let graph = decode(&read.runtime.metadata, &answer::bytes(api, &bytes)?)?;
        match graph {
            Some(graph) if graph.netuid != netuid => Err(answer::wrong(api, "another subnet")),
            graph => Ok(graph),
        }
    }
}

/// Decodes the answer; `None` when the subnet does not exist.
pub fn decode(metadata: &Metadata, bytes: &[u8]) -> Result<Option<Metagraph>, ShapeFault> {
    let subnet: Option<Subnet> = metadata.decode(API, metadata.api(API)?.output, bytes)?;
    subnet.map(Subnet::read).transpose()
}

/// Decodes the answer for a part, which must hold all that we use.
pub fn decode_selective(metadata: &Metadata, bytes: &[u8]) -> Result<Option<Metagraph>, ShapeFault> {
    let part: Option<Part> = metadata.decode(SELECTIVE_API, metadata.api(SELECTIVE_API)?.output, bytes)?;
    part.map(|part| part.complete()?.read()).transpose()
}

/// The places of the fields that we use: what a part is asked for by. The first is always asked for.
pub fn places(metadata: &Metadata) -> Result<Vec<u16>, ShapeFault> {
    let fields = metadata.fields(metadata.some_type(metadata.api(SELECTIVE_API)?.output)?)?;
    let place = |wanted: &&str| {
        let place = fields.iter().position(|(name, _)| name == wanted);
        let place = place.and_then(|place| u16::try_from(place).ok());
        place.ok_or_else(|| ShapeFault::Other(format!("{SELECTIVE_API} has no field {wanted}")))
    };
    std::iter::once(Ok(0)).chain(FIELDS.iter().map(place)).collect()
}

/// All that we read is there, under the names and in the shapes that we read it by.
pub fn check(metadata: &Metadata) -> Result<(), ShapeFault> {
    decode(metadata, &metadata.filled(API, metadata.api(API)?.output)?).map(drop)
}

pub fn check_selective(metadata: &Metadata) -> Result<(), ShapeFault> {
    places(metadata)?;
    decode_selective(metadata, &metadata.filled(SELECTIVE_API, metadata.api(SELECTIVE_API)?.output)?).map(drop)
}

impl Subnet {
    fn read(self) -> Result<Metagraph, ShapeFault> {
        self.check_lengths()?;
        let neurons = (0..=u16::MAX).zip(&self.hotkeys).zip(&self.coldkeys).zip(&self.axons);
        let standing = self.validator_permit.iter().zip(&self.last_update).zip(&self.total_stake).zip(&self.active);
        let neurons =
            neurons.zip(standing).map(|((((uid, hotkey), coldkey), axon), (((permit, update), stake), active))| {
                Neuron {
                    uid: Uid(uid),
                    hotkey: Hotkey::from_account(hotkey),
                    coldkey: Hotkey::from_account(coldkey),
                    axon: axon.address(),
                    axon_block: axon.block,
                    active: *active,
                    validator_permit: *permit,
                    stake_tao: *stake as f64 / RAO,
                    last_update: *update,
                }
            });
        Ok(Metagraph {
            netuid: Netuid(self.netuid),
            block: self.block,
            tempo: self.tempo,
            weights_rate_limit: self.weights_rate_limit,
            serving_rate_limit: self.serving_rate_limit,
            weights_version: self.weights_version,
            min_allowed_weights: self.min_allowed_weights,
            max_weights_limit: self.max_weights_limit,
            commit_reveal: self.commit_reveal_weights_enabled,
            reveal_period: self.commit_reveal_period,
            neurons: neurons.collect(),
        })
    }

    /// All lists speak of the same neurons.
    fn check_lengths(&self) -> Result<(), ShapeFault> {
        let count = self.hotkeys.len();
        let lists = [
            ("coldkeys", self.coldkeys.len()),
            ("axons", self.axons.len()),
            ("active", self.active.len()),
            ("validator_permit", self.validator_permit.len()),
            ("last_update", self.last_update.len()),
            ("total_stake", self.total_stake.len()),
        ];
        match lists.into_iter().find(|(_, length)| *length != count) {
            Some((name, length)) => Err(ShapeFault::Other(format!("{API}: {count} hotkeys but {length} {name}"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use parity_scale_codec::{Compact, Encode};
    use scale_info::{MetaType, PortableRegistry, Registry, TypeInfo};

    use super::*;

    #[derive(Encode, TypeInfo)]
    struct NetUid(u16);

    #[derive(Encode, TypeInfo)]
    struct Account([u8; 32]);

    #[derive(Encode, TypeInfo)]
    struct Place {
        port: u16,
        block: Compact<u32>,
        since: u64,
        ip: (u128,),
        ip_type: u8,
    }

    /// A runtime to come: other order, other widths, newtypes, fields that we do not know.
    #[derive(Encode, TypeInfo)]
    struct Later {
        total_stake: Vec<u128>,
        novelty: Option<Vec<u32>>,
        tempo: Compact<u32>,
        netuid: NetUid,
        block: u32,
        weights_rate_limit: Compact<u128>,
        weights_version: u64,
        min_allowed_weights: Compact<u16>,
        max_weights_limit: u16,
        serving_rate_limit: Compact<u64>,
        commit_reveal_weights_enabled: (bool,),
        commit_reveal_period: u32,
        hotkeys: Vec<Account>,
        coldkeys: Vec<[u8; 32]>,
        axons: Vec<Place>,
        validator_permit: Vec<bool>,
        active: Vec<bool>,
        last_update: Vec<Compact<u32>>,
    }

    fn later() -> Later {
        Later {
            total_stake: vec![2_500_000_000, 0],
            novelty: Some(vec![1, 2]),
            tempo: Compact(99),
            netuid: NetUid(128),
            block: 7,
            weights_rate_limit: Compact(100),
            weights_version: 3,
            min_allowed_weights: Compact(1),
            max_weights_limit: 65535,
            serving_rate_limit: Compact(50),
            commit_reveal_weights_enabled: (true,),
            commit_reveal_period: 1,
            hotkeys: vec![Account([1; 32]), Account([2; 32])],
            coldkeys: vec![[3; 32]; 2],
            axons: vec![
                Place { port: 9091, block: Compact(3), since: 1, ip: (0x2001_0db8 << 96,), ip_type: 6 },
                Place { port: 0, block: Compact(0), since: 0, ip: (0,), ip_type: 0 },
            ],
            validator_permit: vec![true, false],
            active: vec![true, false],
            last_update: vec![Compact(5), Compact(0)],
        }
    }

    fn read(of: &Later) -> Result<Metagraph, ShapeFault> {
        let mut registry = Registry::new();
        let id = registry.register_type(&MetaType::new::<Later>()).id;
        let types: PortableRegistry = registry.into();
        Subnet::decode_as_type(&mut &*of.encode(), id, &types).unwrap().read()
    }

    #[test]
    fn newtypes_other_widths_and_new_fields_do_not_matter() {
        let graph = read(&later()).unwrap();
        assert_eq!((graph.netuid, graph.block, graph.tempo), (Netuid(128), 7, 99));
        assert_eq!((graph.weights_rate_limit, graph.commit_reveal), (100, true));
        assert_eq!(graph.neurons[0].axon, Some("[2001:db8::]:9091".parse().unwrap()));
        assert_eq!((graph.neurons[0].stake_tao, graph.neurons[0].last_update), (2.5, 5));
        assert_eq!((graph.neurons[1].axon, graph.neurons[1].uid), (None, Uid(1)));
    }

    #[test]
    fn lists_of_different_lengths_are_refused() {
        let mut short = later();
        short.axons.pop();
        assert!(read(&short).unwrap_err().to_string().contains("2 hotkeys but 1 axons"));
    }
}
