//! The `data` of a `gemm_i8` challenge. Whether its size is one that is computed is `compute`'s to say.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{GEMM_I8, VERSION, shortened};
use crate::{
    units::{ChallengeId, WorkerId},
    wire::{json::Raw, limits},
};

/// What is to be computed, by which devices, and everything that enters their keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GemmI8Data {
    /// [`GEMM_I8`].
    pub challenge_type: String,
    /// [`VERSION`].
    pub version: u32,
    /// A lower-case UUID.
    pub challenge_id: ChallengeId,
    pub worker_id: WorkerId,
    pub miner_hotkey: String,
    /// For people and logs.
    pub round_id: String,
    /// From the OS, fresh for each challenge.
    #[serde(serialize_with = "write_seed", deserialize_with = "read_seed")]
    pub seed: [u8; 32],
    /// Rows and columns.
    pub matrix_size: u32,
    /// Products, each keyed by the root of the one before.
    pub rounds: u32,
    /// Each of them commits itself, and no other does.
    pub devices: Vec<String>,
}

/// Why a challenge's `data` is no `gemm_i8` task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GemmTaskFault {
    #[error("no gemm_i8 task: {0}")]
    Shape(String),
    #[error("challenge_type is not gemm_i8")]
    Type,
    #[error("version {0} of gemm_i8, where only 2 is known")]
    Version(u32),
    #[error("challenge_id is no lower-case UUID")]
    ChallengeId,
    #[error("{field} is empty, of more than {limit} bytes, or has control characters")]
    Text { field: &'static str, limit: usize },
    #[error("no device is named")]
    NoDevice,
    #[error("{got} devices, where at most {} may be named", limits::GEMM_DEVICES)]
    Devices { got: usize },
    #[error("device {at} is empty, of more than {} bytes, or has control characters", limits::DEVICE_BYTES)]
    Device { at: usize },
    #[error("device {at} is named twice")]
    Twice { at: usize },
}

impl GemmI8Data {
    pub fn read(raw: &Raw) -> Result<GemmI8Data, GemmTaskFault> {
        // As a list, serde would take the fields in order.
        if !raw.as_str().starts_with('{') {
            return Err(GemmTaskFault::Shape("no object".into()));
        }
        let data: GemmI8Data = raw.read().map_err(|why| GemmTaskFault::Shape(shortened(&why)))?;
        data.check()?;
        Ok(data)
    }

    fn check(&self) -> Result<(), GemmTaskFault> {
        if self.challenge_type != GEMM_I8 {
            return Err(GemmTaskFault::Type);
        }
        if self.version != VERSION {
            return Err(GemmTaskFault::Version(self.version));
        }
        if !is_lower_uuid(self.challenge_id.as_str()) {
            return Err(GemmTaskFault::ChallengeId);
        }
        let texts = [
            ("worker_id", self.worker_id.as_str(), limits::WORKER_ID_BYTES),
            ("miner_hotkey", &self.miner_hotkey, limits::HOTKEY_BYTES),
            ("round_id", &self.round_id, limits::UUID_BYTES),
        ];
        match texts.into_iter().find(|(_, text, limit)| !is_plain(text, *limit)) {
            Some((field, _, limit)) => Err(GemmTaskFault::Text { field, limit }),
            None => check_devices(&self.devices),
        }
    }
}

fn check_devices(devices: &[String]) -> Result<(), GemmTaskFault> {
    if devices.is_empty() {
        return Err(GemmTaskFault::NoDevice);
    }
    if devices.len() > limits::GEMM_DEVICES {
        return Err(GemmTaskFault::Devices { got: devices.len() });
    }
    let mut seen = BTreeSet::new();
    for (at, device) in devices.iter().enumerate() {
        if !is_plain(device, limits::DEVICE_BYTES) {
            return Err(GemmTaskFault::Device { at });
        }
        if !seen.insert(device) {
            return Err(GemmTaskFault::Twice { at });
        }
    }
    Ok(())
}

fn is_plain(text: &str, limit: usize) -> bool {
    (1..=limit).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn is_lower_uuid(text: &str) -> bool {
    let fits = |(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

fn write_seed<S: Serializer>(seed: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&hex::encode(seed))
}

fn read_seed<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(from)?;
    let mut seed = [0; 32];
    let refused = |_| serde::de::Error::custom("seed is not 64 hex digits");
    hex::decode_to_slice(&text, &mut seed).map_err(refused)?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json;

    const GOOD: &str = r#"{"challenge_type":"gemm_i8","version":2,"challenge_id":"8c1d6c4e-5b1a-4d53-9c86-0d1f0a2b3c4d","worker_id":"w-1","miner_hotkey":"5A","round_id":"round_1","seed":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","matrix_size":8192,"rounds":1,"devices":["GPU-1","cpu"]}"#;

    fn read(text: &str) -> Result<GemmI8Data, GemmTaskFault> {
        GemmI8Data::read(&json::parse(text).unwrap())
    }

    #[test]
    fn a_task_is_read_and_written_alike() {
        let data = read(GOOD).unwrap();
        assert_eq!((data.seed[31], data.matrix_size, data.devices.len()), (0x1f, 8192, 2));
        assert_eq!(json::text(&data), GOOD);
    }

    #[test]
    fn every_wrong_value_has_its_name() {
        use GemmTaskFault as Fault;
        let long = "x".repeat(129);
        let many = (0..65).map(|at| format!("\"{at}\"")).collect::<Vec<_>>().join(",");
        let text = |field, limit| Fault::Text { field, limit };
        let cases: [(&str, &str, Fault); 14] = [
            (":\"gemm_i8\"", ":\"gemm_i9\"", Fault::Type),
            (":2,", ":1,", Fault::Version(1)),
            ("8c1d6c4e", "8C1D6C4E", Fault::ChallengeId),
            ("8c1d6c4e-", "8c1d6c4e", Fault::ChallengeId),
            ("w-1", "", text("worker_id", 128)),
            ("w-1", "w\\u0000", text("worker_id", 128)),
            ("5A", &long, text("miner_hotkey", 64)),
            ("round_1", "", text("round_id", 128)),
            ("\"GPU-1\",\"cpu\"", "", Fault::NoDevice),
            ("\"GPU-1\",\"cpu\"", &many, Fault::Devices { got: 65 }),
            ("GPU-1", "", Fault::Device { at: 0 }),
            ("cpu", &long, Fault::Device { at: 1 }),
            ("cpu", "\\n", Fault::Device { at: 1 }),
            ("cpu", "GPU-1", Fault::Twice { at: 1 }),
        ];
        for (from, to, fault) in cases {
            assert_eq!(read(&GOOD.replacen(from, to, 1)), Err(fault), "{from} → {to}");
        }
    }

    #[test]
    fn another_shape_is_no_task() {
        for (from, to) in [
            ("8192", "8192.5"),
            ("8192", "-1"),
            ("8192", "4294967296"),
            (":1,", ":\"1\","),
            ("1f\"", "1\""),
            ("1f\"", "1f20\""),
            ("1f\"", "1g\""),
            (",\"rounds\":1", ""),
            (",\"rounds\":1", ",\"rounds\":1,\"rounds\":1"),
            (",\"rounds\":1", ",\"rounds\":1,\"iterations\":1"),
            ("[\"GPU-1\",\"cpu\"]", "\"cpu\""),
        ] {
            let fault = read(&GOOD.replacen(from, to, 1));
            assert!(matches!(fault, Err(GemmTaskFault::Shape(_))), "{from} → {to}: {fault:?}");
        }
        for text in ["[]", "null", "[\"gemm_i8\",2]"] {
            assert_eq!(read(text), Err(GemmTaskFault::Shape("no object".into())));
        }
    }

    #[test]
    fn a_long_strange_field_is_not_quoted_whole() {
        let strange = format!("{{\"{}\\u0007\":1}}", "y".repeat(5000));
        match read(&strange) {
            Err(GemmTaskFault::Shape(why)) => assert!(why.len() <= 200 && !why.contains('\u{7}'), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
