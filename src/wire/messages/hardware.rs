//! What a machine says of its hardware: kept as the text that was sent, with the few fields that decide something.
//!
//! It never invents a measurement: what was not said is `None`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::{Map, Value};

use crate::wire::json::{self, AnyObject, JsonFault, Raw};

/// A `SystemInfo` object. Its text is passed on as sent; its known fields have been checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SystemInfo {
    /// `None`: the empty object.
    raw: Option<Raw>,
    facts: Facts,
}

/// One entry of `gpu_info` or `gpu_plugin`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Gpu {
    #[serde(default, deserialize_with = "text_or_none")]
    pub uuid: Option<String>,
    /// The model, e.g. `NVIDIA GeForce RTX 4090`.
    #[serde(default, deserialize_with = "text_or_none")]
    pub name: Option<String>,
}

/// These objects are free: one whose uuid is no text has none, and spoils nothing else.
fn text_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(from)? {
        Value::String(text) => Ok(Some(text)),
        _ => Ok(None),
    }
}

/// The known fields. One that may not be null is `Some(None)` when it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Facts {
    #[serde(deserialize_with = "said")]
    cpu_count: Option<Option<f64>>,
    #[serde(deserialize_with = "said")]
    cpu_usage: Option<Option<f64>>,
    #[serde(deserialize_with = "said")]
    memory_total: Option<Option<f64>>,
    #[serde(deserialize_with = "said")]
    memory_available: Option<Option<f64>>,
    #[serde(deserialize_with = "said")]
    memory_usage: Option<Option<f64>>,
    #[serde(deserialize_with = "said")]
    disk_total: Option<Option<f64>>,
    #[serde(deserialize_with = "said")]
    disk_free: Option<Option<f64>>,
    #[serde(deserialize_with = "said")]
    gpu_info: Option<Option<Vec<Gpu>>>,
    #[serde(deserialize_with = "said")]
    gpu_plugin: Option<Option<Vec<Gpu>>>,
    public_ip: Option<String>,
    uptime_seconds: Option<f64>,
    miner_version: Option<String>,
    cpu_info: Option<AnyObject>,
    memory_info: Option<AnyObject>,
    system_info: Option<AnyObject>,
    motherboard_info: Option<AnyObject>,
    storage_info: Option<AnyObject>,
}

fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

/// Fields that a validator may not be sent as `null`: with one such field it refuses a whole heartbeat.
const NUMBERS: [&str; 7] =
    ["cpu_count", "cpu_usage", "memory_total", "memory_available", "memory_usage", "disk_total", "disk_free"];
const LISTS: [&str; 2] = ["gpu_info", "gpu_plugin"];

impl Facts {
    fn has_null(&self) -> bool {
        let numbers = [self.cpu_count, self.cpu_usage, self.memory_total, self.memory_available, self.memory_usage];
        let disk = [self.disk_total, self.disk_free];
        let lists = [&self.gpu_info, &self.gpu_plugin];
        numbers.contains(&Some(None)) || disk.contains(&Some(None)) || lists.contains(&&Some(None))
    }
}

impl SystemInfo {
    /// From what a probe found: any value that serialises to an object.
    pub fn of(value: &impl Serialize) -> Result<SystemInfo, JsonFault> {
        SystemInfo::from_raw(Raw::of(value)?)
    }

    /// With this field in place of what was there; as it was when that makes no sense.
    pub fn with(&self, field: &str, value: Value) -> SystemInfo {
        let changed = json::parse::<Map<String, Value>>(self.as_json()).and_then(|mut fields| {
            fields.insert(field.to_owned(), value);
            SystemInfo::of(&fields)
        });
        changed.unwrap_or_else(|_| self.clone())
    }

    /// Nothing known.
    pub fn empty() -> SystemInfo {
        SystemInfo::default()
    }

    fn from_raw(raw: Raw) -> Result<SystemInfo, JsonFault> {
        let facts = json::object::<Facts>(raw.as_str())?;
        let raw = if facts.has_null() { without_nulls(&raw)? } else { raw };
        Ok(SystemInfo { raw: Some(raw), facts })
    }

    /// The object as text: as sent, or without the numbers and lists that were `null`.
    pub fn as_json(&self) -> &str {
        self.raw.as_ref().map_or("{}", Raw::as_str)
    }
    /// Logical cores.
    pub fn cpu_count(&self) -> Option<f64> {
        self.facts.cpu_count.flatten()
    }
    /// Megabytes.
    pub fn memory_total_mib(&self) -> Option<f64> {
        self.facts.memory_total.flatten()
    }
    /// Per cent.
    pub fn cpu_usage(&self) -> Option<f64> {
        self.facts.cpu_usage.flatten()
    }
    /// Per cent.
    pub fn memory_usage(&self) -> Option<f64> {
        self.facts.memory_usage.flatten()
    }
    /// Per cent, where both sizes were told.
    pub fn storage_usage(&self) -> Option<f64> {
        let (total, free) = (self.facts.disk_total.flatten()?, self.facts.disk_free.flatten()?);
        (total > 0.0).then(|| 100.0 * (1.0 - free / total))
    }
    pub fn uptime_seconds(&self) -> Option<f64> {
        self.facts.uptime_seconds
    }
    pub fn public_ip(&self) -> Option<&str> {
        self.facts.public_ip.as_deref()
    }
    /// GPUs that were there at that moment: they count for availability.
    pub fn gpus_present(&self) -> &[Gpu] {
        self.facts.gpu_info.as_ref().and_then(Option::as_deref).unwrap_or_default()
    }
    /// GPUs of the inventory: they count for ownership, and for challenges.
    pub fn gpus_owned(&self) -> &[Gpu] {
        self.facts.gpu_plugin.as_ref().and_then(Option::as_deref).unwrap_or_default()
    }
}

fn without_nulls(raw: &Raw) -> Result<Raw, JsonFault> {
    let mut object: Map<String, Value> = raw.read()?;
    object.retain(|name, value| !value.is_null() || !(NUMBERS.iter().chain(&LISTS)).any(|known| known == name));
    Raw::of(&object)
}

impl Serialize for SystemInfo {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.raw {
            Some(raw) => raw.serialize(to),
            None => Map::new().serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for SystemInfo {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<SystemInfo, D::Error> {
        SystemInfo::from_raw(Raw::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_passed_on_as_sent() {
        let sent = r#"{ "cpu_count": 2, "fans": [1.50], "gpu_info": [{"uuid": "GPU-1", "temperature": 40}] }"#;
        let info: SystemInfo = json::parse(sent).unwrap();
        assert_eq!(json::text(&info), sent);
        assert_eq!(info.gpus_present()[0].uuid.as_deref(), Some("GPU-1"));
        assert_eq!((info.cpu_count(), info.memory_total_mib(), info.gpus_owned().len()), (Some(2.0), None, 0));
    }

    #[test]
    fn a_number_that_is_none_is_left_out() {
        let info: SystemInfo = json::parse(r#"{"cpu_usage":NaN,"gpu_info":null,"public_ip":null,"x":null}"#).unwrap();
        assert_eq!(info.as_json(), r#"{"public_ip":null,"x":null}"#);
    }

    #[test]
    fn a_gpu_whose_uuid_is_no_text_has_none() {
        let info: SystemInfo = json::parse(r#"{"gpu_plugin":[{"uuid":7,"name":"A"},{"uuid":"GPU-1"}]}"#).unwrap();
        let uuids = info.gpus_owned().iter().map(|gpu| gpu.uuid.as_deref());
        assert_eq!(uuids.collect::<Vec<_>>(), [None, Some("GPU-1")]);
    }

    #[test]
    fn a_known_field_of_another_type_is_refused() {
        let wrong = ["null", "[]", r#"{"cpu_count":"2"}"#, r#"{"gpu_info":[1]}"#, r#"{"gpu_plugin":{}}"#];
        for text in wrong.into_iter().chain([r#"{"storage_info":[]}"#, r#"{"public_ip":7}"#]) {
            assert!(json::parse::<SystemInfo>(text).is_err(), "{text}");
        }
    }
}
