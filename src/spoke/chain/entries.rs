//! Entries of the pallet's storage: asked for by name and key, decoded in the order in which they were asked.

use scale_decode::DecodeAsType;
use scale_value::Value;
use serde_json::Value as Json;

use super::{
    ChainError, answer,
    calls::PALLET,
    metadata::{Metadata, ShapeFault},
    rpc::Call,
};

/// One entry, as it is asked for.
pub(super) struct Entry {
    item: &'static str,
    key: Vec<Value>,
    /// A runtime without the item has no such entries, which is no fault.
    is_optional: bool,
}

impl Entry {
    pub fn new(item: &'static str, key: impl Into<Vec<Value>>) -> Entry {
        Entry { item, key: key.into(), is_optional: false }
    }

    pub fn optional(item: &'static str, key: impl Into<Vec<Value>>) -> Entry {
        Entry { is_optional: true, ..Entry::new(item, key) }
    }

    fn is_asked(&self, metadata: &Metadata) -> bool {
        !self.is_optional || metadata.storage(PALLET, self.item).is_ok()
    }

    fn call(&self, metadata: &Metadata, hash: &[u8; 32]) -> Result<Call, ShapeFault> {
        let item = metadata.storage(PALLET, self.item)?;
        Ok(Call::storage(&metadata.storage_key(item, &self.key)?, Some(hash)))
    }
}

/// The calls that ask one block for entries; for optional ones only where the runtime has them.
pub(super) fn calls_of(metadata: &Metadata, hash: &[u8; 32], entries: &[Entry]) -> Result<Vec<Call>, ShapeFault> {
    entries.iter().filter(|entry| entry.is_asked(metadata)).map(|entry| entry.call(metadata, hash)).collect()
}

pub(super) fn number(of: impl Into<u128>) -> Value {
    Value::u128(of.into())
}

/// The answers that are left.
pub(super) struct Answers<'a> {
    metadata: &'a Metadata,
    rest: &'a [Json],
}

impl<'a> Answers<'a> {
    pub fn new(metadata: &'a Metadata, answers: &'a [Json]) -> Answers<'a> {
        Answers { metadata, rest: answers }
    }

    pub fn next(&mut self) -> Result<&'a Json, ChainError> {
        let (next, rest) = self.rest.split_first().ok_or_else(|| answer::wrong("batch", "too few results"))?;
        self.rest = rest;
        Ok(next)
    }

    /// The answer to [`Entry::new`]; `None` where nothing is stored, and no default stands for that.
    pub fn entry<T: DecodeAsType>(&mut self, item: &str) -> Result<Option<T>, ChainError> {
        let storage = self.metadata.storage(PALLET, item)?;
        answer::stored(storage, self.metadata, self.next()?)
    }

    /// The answer to [`Entry::optional`].
    pub fn optional<T: DecodeAsType>(&mut self, item: &str) -> Result<Option<T>, ChainError> {
        if self.metadata.storage(PALLET, item).is_ok() { self.entry(item) } else { Ok(None) }
    }

    /// The answer to [`Entry::new`] for an item that always has a value: what was never written has the default that
    /// the metadata names. An item without one is another than we know.
    pub fn value<T: DecodeAsType>(&mut self, item: &str) -> Result<T, ChainError> {
        self.entry(item)?.ok_or_else(|| ShapeFault::Other(format!("{PALLET}.{item} holds nothing")).into())
    }

    pub fn number(&mut self, item: &str) -> Result<u64, ChainError> {
        self.value(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_and_has_no_default_is_no_zero() {
        let metadata = Metadata::parse(include_bytes!("../subtensor_sim/data/spec425_v15.scale")).unwrap();
        let mut answers = Answers::new(&metadata, &[Json::Null, Json::Null]);
        assert_eq!(answers.number("Tempo").unwrap(), 360, "the default of the metadata");
        let fault = answers.number("Uids").unwrap_err().to_string();
        assert_eq!(fault, "SubtensorModule.Uids holds nothing");
    }
}
