//! The subnet's hyper-parameters and what else an operator wants to know of it, all of one block.
//!
//! For people: whatever the runtime lists is shown by its own name. What machines act on is in the metagraph.

use scale_value::{Composite, Value, ValueDef};

use super::{
    Chain, ChainError, answer,
    entries::{Answers, Entry, calls_of, number},
    metadata::{Metadata, ShapeFault},
    read::{At, header_at},
    rpc::{Call, Rpc},
};
use crate::units::{AccountId, BlockNumber, Hotkey, Netuid, Uid};

/// Pairs of name and value.
pub const V3_API: &str = "SubnetInfoRuntimeApi_get_subnet_hyperparams_v3";
/// A struct.
pub const V2_API: &str = "SubnetInfoRuntimeApi_get_subnet_hyperparams_v2";

/// What is shown where the runtime has no such API.
const STORED: &[(&str, &str)] = &[
    ("tempo", "Tempo"),
    ("min_allowed_weights", "MinAllowedWeights"),
    ("max_weights_limit", "MaxWeightsLimit"),
    ("weights_rate_limit", "WeightsSetRateLimit"),
    ("weights_version", "WeightsVersionKey"),
    ("serving_rate_limit", "ServingRateLimit"),
    ("commit_reveal_weights_enabled", "CommitRevealWeightsEnabled"),
    ("commit_reveal_period", "RevealPeriodEpochs"),
    ("immunity_period", "ImmunityPeriod"),
    ("activity_cutoff", "ActivityCutoff"),
    ("min_burn", "MinBurn"),
    ("max_burn", "MaxBurn"),
];

/// A subnet, as an operator looks at it.
#[derive(Clone, Debug, PartialEq)]
pub struct SubnetInfo {
    pub netuid: Netuid,
    pub block: BlockNumber,
    pub hyperparameters: Vec<(String, Setting)>,
    /// The coldkey that the subnet belongs to.
    pub owner: Option<Hotkey>,
    /// What a registration costs now.
    pub burn_rao: u64,
    /// Epochs so far; `None` where the runtime does not count them.
    pub epoch: Option<u64>,
    /// Blocks since the last epoch.
    pub blocks_since_epoch: u64,
    /// Of the hotkey that was asked about; `None` when it is not registered.
    pub uid: Option<Uid>,
}

/// The value of a hyper-parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    Flag(bool),
    Number(u128),
    /// In RAO.
    Balance(u64),
    Fraction(f64),
    /// Of a kind that is not known here.
    Text(String),
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Setting::Flag(flag) => write!(f, "{flag}"),
            Setting::Number(number) => write!(f, "{number}"),
            Setting::Balance(rao) => write!(f, "{} TAO", *rao as f64 / 1e9),
            Setting::Fraction(fraction) => write!(f, "{fraction}"),
            Setting::Text(text) => f.write_str(text),
        }
    }
}

/// Where the hyper-parameters come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Api(&'static str),
    Storage,
}

impl Source {
    fn of(metadata: &Metadata) -> Source {
        let api = [V3_API, V2_API].into_iter().find(|api| metadata.api(api).is_ok());
        api.map_or(Source::Storage, Source::Api)
    }
}

fn entries(netuid: Netuid, hotkey: Option<&AccountId>) -> Vec<Entry> {
    let subnet = || [number(netuid.0)];
    let mut entries = vec![
        Entry::new("NetworksAdded", subnet()),
        Entry::optional("SubnetOwner", subnet()),
        Entry::new("Burn", subnet()),
        Entry::optional("SubnetEpochIndex", subnet()),
        Entry::new("BlocksSinceLastStep", subnet()),
    ];
    entries.extend(hotkey.map(|account| Entry::new("Uids", [number(netuid.0), Value::from_bytes(account)])));
    entries
}

fn stored_settings(netuid: Netuid) -> Vec<Entry> {
    STORED.iter().map(|(_, item)| Entry::optional(item, [number(netuid.0)])).collect()
}

impl<R: Rpc> Chain<R> {
    /// What an operator wants to know of a subnet, and of a hotkey's place in it.
    pub fn subnet_info(&mut self, netuid: Netuid, hotkey: Option<&Hotkey>) -> Result<SubnetInfo, ChainError> {
        let account = hotkey.map(account_of).transpose()?;
        let read = self.read(At::Best, |runtime, hash| {
            let metadata = &runtime.metadata;
            let mut calls = vec![header_at(hash)];
            calls.extend(calls_of(metadata, hash, &entries(netuid, account.as_ref()))?);
            match Source::of(metadata) {
                Source::Api(api) => {
                    let arguments = metadata.api_arguments(api, &[number(netuid.0)])?;
                    calls.push(Call::state(api, &arguments, Some(hash)));
                }
                Source::Storage => calls.extend(calls_of(metadata, hash, &stored_settings(netuid))?),
            }
            Ok(calls)
        })?;
        let metadata = &read.runtime.metadata;
        let mut answers = Answers::new(metadata, &read.answers);
        let block = answer::header_number(answers.next()?)?;
        if !answers.entry::<bool>("NetworksAdded")?.unwrap_or_default() {
            return Err(ChainError::NoSubnet(netuid.0));
        }
        let owner: Option<AccountId> = answers.optional("SubnetOwner")?;
        let burn_rao = answers.number("Burn")?;
        let epoch = answers.optional("SubnetEpochIndex")?;
        let blocks_since_epoch = answers.number("BlocksSinceLastStep")?;
        let uid = if account.is_some() { answers.entry::<u16>("Uids")?.map(Uid) } else { None };
        let owner = owner.filter(|account| *account != [0; 32]).map(|account| Hotkey::from_account(&account));
        let hyperparameters = match Source::of(metadata) {
            Source::Api(api) => {
                decode(metadata, api, &answer::bytes(api, answers.next()?)?)?.ok_or(ChainError::NoSubnet(netuid.0))?
            }
            Source::Storage => from_storage(&mut answers)?,
        };
        Ok(SubnetInfo { netuid, block, hyperparameters, owner, burn_rao, epoch, blocks_since_epoch, uid })
    }
}

fn account_of(hotkey: &Hotkey) -> Result<AccountId, ShapeFault> {
    hotkey.account().map_err(|why| ShapeFault::Other(format!("hotkey {hotkey}: {why}")))
}

fn from_storage(answers: &mut Answers) -> Result<Vec<(String, Setting)>, ChainError> {
    let mut settings = Vec::new();
    for (name, item) in STORED {
        let value: Option<Value> = answers.optional(item)?;
        settings.extend(value.map(|value| ((*name).to_owned(), setting(&value))));
    }
    Ok(settings)
}

/// The hyper-parameters by name; `None` for a subnet that does not exist.
pub fn decode(metadata: &Metadata, api: &str, bytes: &[u8]) -> Result<Option<Vec<(String, Setting)>>, ShapeFault> {
    let answer = metadata.value(api, metadata.api(api)?.output, bytes)?;
    let ValueDef::Variant(option) = answer.value else { return Err(unread(api)) };
    let Some(Value { value: ValueDef::Composite(all), .. }) = option.values.into_values().next() else {
        return Ok(None);
    };
    match all {
        Composite::Named(fields) => {
            Ok(Some(fields.iter().map(|(name, value)| (name.clone(), setting(value))).collect()))
        }
        Composite::Unnamed(pairs) => {
            let pairs = pairs.iter().map(|pair| named(pair).ok_or_else(|| unread(api)));
            pairs.collect::<Result<_, _>>().map(Some)
        }
    }
}

pub fn check(metadata: &Metadata, api: &str) -> Result<(), ShapeFault> {
    let filled = metadata.filled(api, metadata.api(api)?.output)?;
    decode(metadata, api, &filled)?.map(drop).ok_or_else(|| unread(api))
}

fn unread(api: &str) -> ShapeFault {
    ShapeFault::Other(format!("{api} answers neither fields nor pairs of a name and a value"))
}

/// A pair `{ name, value }`, the name in bytes.
fn named(pair: &Value) -> Option<(String, Setting)> {
    let ValueDef::Composite(Composite::Named(fields)) = &pair.value else { return None };
    let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let ValueDef::Composite(name) = &field("name")?.value else { return None };
    let bytes: Option<Vec<u8>> = name.values().map(|byte| u8::try_from(byte.as_u128()?).ok()).collect();
    Some((String::from_utf8_lossy(&bytes?).into_owned(), setting(field("value")?)))
}

fn setting(value: &Value) -> Setting {
    match &value.value {
        ValueDef::Variant(kind) => match (kind.name.as_str(), kind.values.values().next()) {
            ("TaoBalance", Some(rao)) => rao.as_u128().and_then(|rao| u64::try_from(rao).ok()).map(Setting::Balance),
            ("I32F32", Some(bits)) => fixed(bits, 32),
            ("U64F64", Some(bits)) => fixed(bits, 64),
            (_, Some(inner)) => Some(setting(inner)),
            (name, None) => Some(Setting::Text(name.to_owned())),
        },
        ValueDef::Primitive(_) => value.as_bool().map(Setting::Flag).or(value.as_u128().map(Setting::Number)),
        ValueDef::Composite(_) => fixed(value, 32),
        ValueDef::BitSequence(_) => None,
    }
    .unwrap_or_else(|| Setting::Text(value.to_string()))
}

/// A fixed-point number `{ bits }` with so many binary places.
fn fixed(value: &Value, places: i32) -> Option<Setting> {
    let ValueDef::Composite(Composite::Named(fields)) = &value.value else { return None };
    let [(name, bits)] = fields.as_slice() else { return None };
    let bits = bits.as_i128().map(|bits| bits as f64).or(bits.as_u128().map(|bits| bits as f64))?;
    (name == "bits").then(|| Setting::Fraction(bits / 2f64.powi(places)))
}
