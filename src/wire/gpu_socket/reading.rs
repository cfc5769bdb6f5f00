//! A request as the executor reads it: bounded, strict where it is ours, and every fault with a name of its own.
//!
//! It never answers and never judges whether a GPU is there or large enough.

use serde_json::Value;

use super::{GemmDevice, GemmTask, HEAD_BYTES, Request};
use crate::wire::{json, limits};

/// Largest request: a thousand samples, or 64 devices with their keys, need a tenth of it.
pub const REQUEST_BYTES: usize = 1 << 20;
/// Longest `key_prefix` that is accepted, in bytes: every text in it at its own longest needs less.
pub const KEY_PREFIX_BYTES: usize = 1024;

/// The commands there are, as they are named to somebody who sent another.
const COMMANDS: [&str; 8] = [
    "ping",
    "get_gpu_info",
    "submit_challenge",
    "get_result_coords",
    "get_result_rows",
    "clear_result_cache",
    "submit_gemm_i8",
    "open_gemm_i8",
];

/// Why a request is none. The text goes back to who sent it, and into the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    #[error("malformed frame: a length of 0")]
    Empty,
    #[error("malformed frame: a length of {got}, where a request has at most {REQUEST_BYTES} bytes")]
    TooLong { got: u32 },
    #[error("malformed frame: it ends after {got} of {want} bytes")]
    Cut { got: usize, want: usize },
    #[error("malformed frame: the body is not UTF-8")]
    NotText,
    #[error("the body is no JSON: {0}")]
    Json(String),
    #[error("the body is no object with a text `command`")]
    NoCommand,
    #[error("unknown command {got:?}; there are {}", COMMANDS.join(", "))]
    UnknownCommand { got: String },
    #[error("{command}: {why}")]
    Shape { command: String, why: String },
    #[error(transparent)]
    Task(#[from] TaskFault),
}

/// Why a `submit_gemm_i8` cannot be taken, whatever the GPUs are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskFault {
    #[error("submit_gemm_i8: no device")]
    NoDevice,
    #[error("submit_gemm_i8: {got} devices, where at most {} are taken", limits::GEMM_DEVICES)]
    Devices { got: usize },
    #[error("submit_gemm_i8: device {at} has no uuid of 1 to {} plain bytes", limits::DEVICE_BYTES)]
    Uuid { at: usize },
    #[error("submit_gemm_i8: device {at} is named twice")]
    Twice { at: usize },
    #[error("submit_gemm_i8: key_prefix of device {at} is not 1 to {KEY_PREFIX_BYTES} bytes in hex")]
    KeyPrefix { at: usize },
    #[error("submit_gemm_i8: key_prefix of device {at} does not end in its uuid")]
    OtherDevice { at: usize },
}

/// The length of the request behind this head.
pub fn request_length(head: [u8; HEAD_BYTES]) -> Result<usize, RequestFault> {
    match u32::from_le_bytes(head) {
        0 => Err(RequestFault::Empty),
        got if got as usize > REQUEST_BYTES => Err(RequestFault::TooLong { got }),
        length => Ok(length as usize),
    }
}

/// Reads the body of a request.
pub fn request(body: &[u8]) -> Result<Request, RequestFault> {
    let text = std::str::from_utf8(body).map_err(|_| RequestFault::NotText)?;
    let value: Value = json::parse(text).map_err(|why| RequestFault::Json(plain(&why.to_string())))?;
    let Some(command) = value.as_object().and_then(|object| object.get("command")).and_then(Value::as_str) else {
        return Err(RequestFault::NoCommand);
    };
    if !COMMANDS.contains(&command) {
        return Err(RequestFault::UnknownCommand { got: plain(command) });
    }
    // From the text and not from the value: there, a field that comes twice is a fault.
    let read = json::parse::<Request>(text);
    let request = read.map_err(|why| RequestFault::Shape { command: command.into(), why: plain(&why.to_string()) })?;
    if let Request::SubmitGemmI8 { task } = &request {
        task.check()?;
    }
    Ok(request)
}

/// A peer's words, short and without control characters.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

impl GemmTask {
    /// The devices are few, each once, and each key belongs to its device.
    fn check(&self) -> Result<(), TaskFault> {
        match self.devices.len() {
            0 => return Err(TaskFault::NoDevice),
            got if got > limits::GEMM_DEVICES => return Err(TaskFault::Devices { got }),
            _ => {}
        }
        for (at, device) in self.devices.iter().enumerate() {
            device.check(at)?;
            if self.devices[..at].iter().any(|before| before.uuid == device.uuid) {
                return Err(TaskFault::Twice { at });
            }
        }
        Ok(())
    }
}

impl GemmDevice {
    fn check(&self, at: usize) -> Result<(), TaskFault> {
        let length = (1..=limits::DEVICE_BYTES).contains(&self.uuid.len());
        if !length || self.uuid.chars().any(char::is_control) {
            return Err(TaskFault::Uuid { at });
        }
        let prefix = self.prefix().ok_or(TaskFault::KeyPrefix { at })?;
        if prefix.ends_with(self.uuid.as_bytes()) { Ok(()) } else { Err(TaskFault::OtherDevice { at }) }
    }

    /// The key's hash input, up to and including the device; `None`: it is no hex, or too long.
    pub fn prefix(&self) -> Option<Vec<u8>> {
        let bytes = hex::decode(&self.key_prefix).ok()?;
        (1..=KEY_PREFIX_BYTES).contains(&bytes.len()).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_bounded_below_and_above() {
        assert_eq!(request_length([0; 4]), Err(RequestFault::Empty));
        assert_eq!(request_length([0, 0, 16, 0]), Ok(REQUEST_BYTES));
        assert_eq!(request_length([1, 0, 16, 0]), Err(RequestFault::TooLong { got: 1_048_577 }));
        assert_eq!(request_length([255; 4]), Err(RequestFault::TooLong { got: u32::MAX }));
    }

    #[test]
    fn every_command_is_known() {
        for command in COMMANDS {
            let read = request(format!(r#"{{"command":"{command}"}}"#).as_bytes());
            assert!(!matches!(read, Err(RequestFault::UnknownCommand { .. })), "{command}: {read:?}");
        }
    }

    #[test]
    fn what_is_no_request_is_told_so_by_name() {
        let fault = |text: &str| request(text.as_bytes()).unwrap_err();
        assert_eq!(request(&[0xff, 0xfe]), Err(RequestFault::NotText));
        assert!(matches!(fault("ping"), RequestFault::Json(_)));
        for text in ["[]", "7", "{}", r#"{"command":7}"#] {
            assert_eq!(fault(text), RequestFault::NoCommand, "{text}");
        }
        let unknown = fault(r#"{"command":"format_disk\u0007"}"#);
        assert_eq!(unknown, RequestFault::UnknownCommand { got: "format_disk".into() });
        assert!(unknown.to_string().contains("open_gemm_i8"));
        let shape = fault(r#"{"command":"open_gemm_i8","gpu_uuid":"G","samples":[[0,1]]}"#);
        assert!(matches!(&shape, RequestFault::Shape { command, .. } if command == "open_gemm_i8"), "{shape}");
        let long = fault(&format!(r#"{{"command":"{}"}}"#, "x".repeat(9000)));
        assert!(long.to_string().len() < 500);
    }

    fn submit(devices: &str) -> Result<Request, RequestFault> {
        let text = r#"{"command":"submit_gemm_i8","task":{"matrix_size":256,"rounds":1,"devices":[D]}}"#;
        request(text.replace('D', devices).as_bytes())
    }

    #[test]
    fn a_task_has_few_devices_each_once_with_a_key_of_its_own() {
        // "ab" is 6162 in hex
        assert!(submit(r#"{"uuid":"ab","key_prefix":"006162"}"#).is_ok());
        let long = format!(r#"{{"uuid":"ab","key_prefix":"{}6162"}}"#, "00".repeat(KEY_PREFIX_BYTES));
        let many = vec![r#"{"uuid":"ab","key_prefix":"6162"}"#; 65].join(",");
        for (devices, fault) in [
            ("", TaskFault::NoDevice),
            (many.as_str(), TaskFault::Devices { got: 65 }),
            (r#"{"uuid":"","key_prefix":"6162"}"#, TaskFault::Uuid { at: 0 }),
            (r#"{"uuid":"a\u0000","key_prefix":"6162"}"#, TaskFault::Uuid { at: 0 }),
            (r#"{"uuid":"ab","key_prefix":"616"}"#, TaskFault::KeyPrefix { at: 0 }),
            (r#"{"uuid":"ab","key_prefix":""}"#, TaskFault::KeyPrefix { at: 0 }),
            (&long, TaskFault::KeyPrefix { at: 0 }),
            (r#"{"uuid":"ab","key_prefix":"6163"}"#, TaskFault::OtherDevice { at: 0 }),
            (r#"{"uuid":"ab","key_prefix":"6162"},{"uuid":"ab","key_prefix":"6162"}"#, TaskFault::Twice { at: 1 }),
        ] {
            assert_eq!(submit(devices), Err(RequestFault::Task(fault)), "{devices}");
        }
    }
}
