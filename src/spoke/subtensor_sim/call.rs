//! The calls that are executed here, read from their arguments by name.

use scale_value::{At, Composite, Value, ValueDef};

use super::subnet::Axon;
use crate::{
    spoke::chain::calls::storage_index,
    units::{AccountId, Netuid},
};

/// A mechanism of a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub netuid: u16,
    pub mechanism: u8,
}

impl Place {
    /// The number that its weights are filed under.
    pub fn index(self) -> u16 {
        storage_index(Netuid(self.netuid), self.mechanism)
    }
}

/// Weights as they are set or revealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub dests: Vec<u16>,
    pub weights: Vec<u16>,
    pub version_key: u64,
}

/// A call that the node executes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PalletCall {
    SetWeights {
        at: Place,
        row: Row,
    },
    CommitWeights {
        at: Place,
        hash: [u8; 32],
    },
    RevealWeights {
        at: Place,
        row: Row,
        salt: Vec<u16>,
    },
    CommitTimelocked {
        at: Place,
        commit: Vec<u8>,
        reveal_round: u64,
        version: u16,
    },
    ServeAxon {
        netuid: u16,
        axon: Axon,
    },
    BurnedRegister {
        netuid: u16,
        hotkey: AccountId,
    },
    /// No more is paid than `limit_rao`.
    RegisterLimit {
        netuid: u16,
        hotkey: AccountId,
        limit_rao: u64,
    },
}

impl PalletCall {
    /// `None` for every other call.
    pub fn read(name: &str, arguments: &Value) -> Option<PalletCall> {
        let of = Arguments(arguments);
        let at = Place { netuid: of.number("netuid")?, mechanism: of.number("mecid").unwrap_or(0) };
        Some(match name.strip_prefix("SubtensorModule.")? {
            "set_weights" | "set_mechanism_weights" => PalletCall::SetWeights { at, row: of.row("dests", "weights")? },
            "commit_weights" | "commit_mechanism_weights" => {
                PalletCall::CommitWeights { at, hash: of.bytes("commit_hash")?.try_into().ok()? }
            }
            "reveal_weights" | "reveal_mechanism_weights" => {
                PalletCall::RevealWeights { at, row: of.row("uids", "values")?, salt: of.list("salt")? }
            }
            "commit_timelocked_weights" | "commit_timelocked_mechanism_weights" => PalletCall::CommitTimelocked {
                at,
                commit: of.bytes("commit")?,
                reveal_round: of.number("reveal_round")?,
                version: of.number("commit_reveal_version")?,
            },
            "serve_axon" => PalletCall::ServeAxon { netuid: at.netuid, axon: of.axon()? },
            "burned_register" => {
                PalletCall::BurnedRegister { netuid: at.netuid, hotkey: of.bytes("hotkey")?.try_into().ok()? }
            }
            "register_limit" => PalletCall::RegisterLimit {
                netuid: at.netuid,
                hotkey: of.bytes("hotkey")?.try_into().ok()?,
                limit_rao: of.number("limit_price")?,
            },
            _ => return None,
        })
    }
}

struct Arguments<'a>(&'a Value);

impl Arguments<'_> {
    fn number<N: TryFrom<u128>>(&self, field: &str) -> Option<N> {
        N::try_from(self.0.at(field)?.as_u128()?).ok()
    }

    fn list(&self, field: &str) -> Option<Vec<u16>> {
        let ValueDef::Composite(parts) = &self.0.at(field)?.value else { return None };
        parts.values().map(|part| part.as_u128().and_then(|number| u16::try_from(number).ok())).collect()
    }

    /// Bytes in however many newtypes.
    fn bytes(&self, field: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        collect_bytes(self.0.at(field)?, &mut bytes).then_some(bytes)
    }

    fn row(&self, dests: &str, weights: &str) -> Option<Row> {
        Some(Row { dests: self.list(dests)?, weights: self.list(weights)?, version_key: self.number("version_key")? })
    }

    fn axon(&self) -> Option<Axon> {
        Some(Axon {
            block: 0,
            version: self.number("version")?,
            ip: self.number("ip")?,
            port: self.number("port")?,
            ip_type: self.number("ip_type")?,
            protocol: self.number("protocol")?,
            placeholder1: self.number("placeholder1")?,
            placeholder2: self.number("placeholder2")?,
        })
    }
}

/// Whether there was nothing but bytes.
fn collect_bytes(value: &Value, into: &mut Vec<u8>) -> bool {
    match &value.value {
        ValueDef::Composite(Composite::Named(fields)) => fields.iter().all(|(_, part)| collect_bytes(part, into)),
        ValueDef::Composite(Composite::Unnamed(parts)) => parts.iter().all(|part| collect_bytes(part, into)),
        _ => match value.as_u128().and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => {
                into.push(byte);
                true
            }
            None => false,
        },
    }
}
