//! Reading the JSON of a node's answers: numbers, hashes, bytes. What is not there is named, never assumed.

use scale_decode::DecodeAsType;
use serde_json::Value as Json;

use super::{
    ChainError,
    metadata::{Metadata, Storage},
    rpc::from_hex,
};
use crate::units::BlockNumber;

/// A node may say this much of an error, or of what its chain is called; the rest reaches no log and no terminal.
const WORDS_MAX: usize = 500;

/// A node's own words, fit to be shown: cut, and without what could steer a terminal.
pub fn bounded(words: &str) -> String {
    words.chars().take(WORDS_MAX).map(|c| if c.is_control() { '_' } else { c }).collect()
}

/// Exactly so many answers.
pub fn exactly<T, const N: usize>(answers: Vec<T>) -> Result<[T; N], ChainError> {
    let count = answers.len();
    answers
        .try_into()
        .map_err(|_| ChainError::Answer { method: "batch", what: format!("{count} results to {N} calls") })
}

/// The number in a header.
pub fn header_number(header: &Json) -> Result<BlockNumber, ChainError> {
    let number = header["number"].as_str().and_then(|text| text.strip_prefix("0x"));
    // The parser would take a sign, too.
    let number = number.filter(|digits| !digits.starts_with('+'));
    let number = number.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    number.ok_or_else(|| wrong("chain_getHeader", "without a block number"))
}

pub fn hash(method: &'static str, answer: &Json) -> Result<[u8; 32], ChainError> {
    bytes(method, answer)?.try_into().map_err(|_| wrong(method, "a hash that has not 32 bytes"))
}

pub fn bytes(method: &'static str, answer: &Json) -> Result<Vec<u8>, ChainError> {
    answer.as_str().and_then(from_hex).ok_or_else(|| wrong(method, "without bytes"))
}

pub fn u32_field(method: &'static str, answer: &Json, field: &str) -> Result<u32, ChainError> {
    let number = answer[field].as_u64().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| wrong(method, &format!("without {field}")))
}

/// A storage value, or what its absence stands for; `None` where that is nothing.
pub fn stored<T: DecodeAsType>(item: &Storage, metadata: &Metadata, answer: &Json) -> Result<Option<T>, ChainError> {
    let bytes = match answer {
        Json::Null => item.default.clone(),
        stored => Some(bytes("state_getStorage", stored)?),
    };
    Ok(bytes.map(|bytes| metadata.decode(&item.name, item.value, &bytes)).transpose()?)
}

pub fn wrong(method: &'static str, what: &str) -> ChainError {
    ChainError::Answer { method, what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_node_are_cut_and_steer_no_terminal() {
        assert_eq!(bounded("Priority is too low: (1 vs 1)"), "Priority is too low: (1 vs 1)");
        assert_eq!(bounded("a\x1b[2Jb\n"), "a_[2Jb_");
        assert_eq!(bounded(&"é".repeat(1 << 20)).chars().count(), WORDS_MAX);
    }
}
