//! Receipts: what a validator says of one worker's score, itemised and signed, and how a miner asks for them.
//!
//! The signature is over the text as it is sent: sorted keys, no blanks. Whoever keeps the text and the signature can
//! show it to anybody. A peer that knows no receipts refuses the synapse as unknown, and nothing else changes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    json,
    keys::{self, Keypair},
};
use crate::units::{Hotkey, Netuid, WorkerId};

/// What `receipt` says, and what is signed begins with: a signature over anything else of ours is none over a receipt.
pub const FORMAT: &str = "byteleap-receipt/1";
/// A header of the answers of those who serve receipts; its value is [`FORMAT`].
pub const ANNOUNCEMENT: &str = "byteleap-receipts";
/// Receipts in one answer.
pub const PAGE: usize = 100;
/// Of one receipt's text.
pub const RECEIPT_BYTES: usize = 16 * 1024;
/// `0x` and 128 hex digits.
const SIGNATURE_BYTES: usize = 130;

/// One worker's score in one calculation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// [`FORMAT`].
    pub receipt: String,
    /// Who signs.
    pub validator: Hotkey,
    pub netuid: u16,
    /// Newest block that the validator knew.
    pub block: u64,
    /// When the scores are of: ISO 8601, UTC.
    pub at: String,
    /// Unix seconds of the same.
    pub at_s: u64,
    /// Name, version and every parameter.
    pub policy: Value,
    pub hotkey: Hotkey,
    pub worker: WorkerId,
    pub challenges: Challenges,
    pub availability: Availability,
    /// base × participation × availability, in `challenges.unit`.
    pub performance: f64,
    /// By the best of all workers, 0–1.
    pub score: f64,
    /// Place among all ranked workers, from 1; `None` when no challenge counted.
    pub rank: Option<u32>,
    pub lease: Lease,
    pub miner: Miner,
    pub network: Network,
    /// What costs most first; empty when there is nothing to say.
    pub reasons: Vec<Reason>,
}

/// What its challenges add up to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Challenges {
    /// Those created since then are looked at: ISO 8601.
    pub since: String,
    pub counted: u32,
    /// That many make full participation.
    pub expected: f64,
    /// Verified and failed ones.
    pub attempts: u32,
    pub failed: u32,
    /// Why, the most frequent first, with how many.
    pub failures: Vec<(String, u32)>,
    pub void: u32,
    pub not_fetched: u32,
    pub disowned: u32,
    pub quarantined: u32,
    /// Rounds that passed it over.
    pub passed_over: u32,
    pub mean_time_ms: f64,
    pub mean_devices: f64,
    pub busy_ms: f64,
    pub operations: f64,
    pub base: f64,
    /// Of base and performance.
    pub unit: String,
    /// 0–1.
    pub participation: f64,
}

/// How present it was, in steps of 5 minutes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Availability {
    pub hours: u32,
    /// Steps that count …
    pub steps: u32,
    /// … of this many.
    pub of: u32,
    /// Those with a heartbeat of its own.
    pub own: u32,
    /// Those that do not count and lay in maintenance that its miner had announced …
    #[serde(default)]
    pub announced_maintenance: u32,
    /// … and, of these, those that are not expected of it.
    #[serde(default)]
    pub excused_maintenance: u32,
    /// GPUs that its miner had to show in a step.
    pub gpus_required: u32,
    pub address_changes: u32,
    pub address_factor: f64,
    /// 0–1.
    pub value: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// 0–1; `None`: no source ever told of one.
    pub score: Option<f64>,
    /// What of it counts, 0–1.
    pub counted_share: f64,
}

/// Its miner in the same calculation; `None` of a number: the miner was not scored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Miner {
    /// Known, and registered on the subnet.
    pub scored: bool,
    pub online: bool,
    pub workers: u32,
    pub leased: u32,
    pub ranked: u32,
    pub raw: f64,
    pub own_challenge: f64,
    /// What the composite used.
    pub challenge: f64,
    /// That is the mean of all miners, because it has leases.
    pub challenge_is_mean: bool,
    pub lease: f64,
    pub composite: f64,
    /// Share of the whole subnet, 0–1.
    pub weight: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    pub mean_challenge: f64,
    /// Nobody earned anything, and no weights are set.
    pub all_zero: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    pub code: String,
    pub text: String,
    pub remedy: String,
}

/// A receipt as it travels and is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedReceipt {
    /// The receipt's JSON, with sorted keys and no blanks.
    pub text: String,
    /// `0x` and 128 hex digits.
    pub signature: String,
}

/// What is wrong with a receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptFault {
    #[error("a receipt of {0} bytes, at most {RECEIPT_BYTES}")]
    TooLong(usize),
    #[error("a signature that is no 0x and 128 hex digits")]
    NoSignature,
    #[error("the signature is not {0}'s over this text: it was altered, or somebody else signed it")]
    Altered(Hotkey),
    #[error("no receipt of ours: {0}")]
    Form(String),
    #[error("a receipt of the format {0:?}, where {FORMAT:?} is known")]
    Format(String),
    #[error("a receipt of the validator {told}, sent by {by}")]
    OtherValidator { told: Hotkey, by: Hotkey },
    #[error("a receipt of the miner {0}, which is another")]
    OtherMiner(Hotkey),
    #[error("a receipt of the subnet {told}, and this miner is on {own}")]
    OtherSubnet { told: u16, own: u16 },
}

impl ReceiptFault {
    /// A good receipt, but none of this miner: its hotkey or its subnet was another then.
    pub fn is_of_another(&self) -> bool {
        matches!(self, ReceiptFault::OtherMiner(_) | ReceiptFault::OtherSubnet { .. })
    }
}

impl Receipt {
    /// Signs it.
    pub fn sign(&self, key: &Keypair) -> SignedReceipt {
        // A map of values sorts its keys; numbers are written as the shortest text that reads back the same.
        let text = serde_json::to_value(self).map(|value| value.to_string()).unwrap_or_default();
        let signature = keys::signature_text(&key.sign(&signed_text(&text)));
        SignedReceipt { text, signature }
    }
}

fn signed_text(text: &str) -> Vec<u8> {
    [FORMAT.as_bytes(), b"\n", text.as_bytes()].concat()
}

impl SignedReceipt {
    /// What it takes to hold it.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.signature.len()
    }

    /// Whether it has no more bytes than a receipt may have.
    pub fn fits(&self) -> bool {
        self.text.len() <= RECEIPT_BYTES && self.signature.len() <= SIGNATURE_BYTES
    }

    /// What it says, when `validator` signed exactly this of a worker of `miner` on that subnet.
    pub fn open(&self, validator: &Hotkey, miner: &Hotkey, netuid: Netuid) -> Result<Receipt, ReceiptFault> {
        if self.text.len() > RECEIPT_BYTES {
            return Err(ReceiptFault::TooLong(self.text.len()));
        }
        let signature = keys::parse_signature(&self.signature).ok_or(ReceiptFault::NoSignature)?;
        if !keys::verify(validator, &signed_text(&self.text), &signature) {
            return Err(ReceiptFault::Altered(validator.clone()));
        }
        let read: Receipt = json::parse(&self.text).map_err(|fault| ReceiptFault::Form(fault.to_string()))?;
        if read.receipt != FORMAT {
            return Err(ReceiptFault::Format(read.receipt));
        }
        if read.validator != *validator {
            return Err(ReceiptFault::OtherValidator { told: read.validator, by: validator.clone() });
        }
        if read.hotkey != *miner {
            return Err(ReceiptFault::OtherMiner(read.hotkey));
        }
        match read.netuid == netuid.0 {
            true => Ok(read),
            false => Err(ReceiptFault::OtherSubnet { told: read.netuid, own: netuid.0 }),
        }
    }
}

/// Miner → validator: the receipts of my workers of the newest calculation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRequest {
    /// Workers behind this one, in order of their names; `None`: from the first.
    #[serde(default)]
    pub after: Option<WorkerId>,
}

/// Validator → miner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptResponse {
    /// At most [`PAGE`], in order of the workers' names; none before the first calculation.
    #[serde(deserialize_with = "json::at_most::<_, _, PAGE>")]
    pub receipts: Vec<SignedReceipt>,
    /// There are workers behind the last.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Netuid = Netuid(128);

    fn key(seed: u8) -> Keypair {
        Keypair::from_seed([seed; 32]).unwrap()
    }

    fn receipt() -> Receipt {
        Receipt {
            receipt: FORMAT.into(),
            validator: key(1).hotkey().clone(),
            netuid: 128,
            block: 1200,
            at: "2026-11-22T14:03:26.918159Z".into(),
            at_s: 1_795_356_206,
            policy: serde_json::json!({"id": {"name": "reference-70-30", "version": 2}}),
            hotkey: key(2).hotkey().clone(),
            worker: WorkerId::new("w1"),
            challenges: Challenges { mean_time_ms: 1.0 / 3.0, unit: "1/ms".into(), ..Challenges::default() },
            availability: Availability::default(),
            performance: 0.1 + 0.2,
            score: 1.0,
            rank: Some(1),
            lease: Lease::default(),
            miner: Miner::default(),
            network: Network::default(),
            reasons: vec![Reason { code: "no_lease".into(), text: "…".into(), remedy: "…".into() }],
        }
    }

    #[test]
    fn a_signed_receipt_opens_to_what_was_signed() {
        let signed = receipt().sign(&key(1));
        assert_eq!(signed.open(key(1).hotkey(), key(2).hotkey(), OURS), Ok(receipt()));
        assert!(signed.text.starts_with(r#"{"at":"2026-11-22T14:03:26.918159Z","at_s":1795356206,"availability":"#));
        assert!(!signed.text.contains(": "), "{}", signed.text);
    }

    #[test]
    fn a_receipt_altered_in_any_byte_is_none() {
        let signed = receipt().sign(&key(1));
        for place in 0..signed.text.len() {
            let mut bytes = signed.text.clone().into_bytes();
            bytes[place] ^= 1;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            let altered = SignedReceipt { text, ..signed.clone() };
            let fault = altered.open(key(1).hotkey(), key(2).hotkey(), OURS);
            assert_eq!(fault, Err(ReceiptFault::Altered(key(1).hotkey().clone())), "byte {place}");
        }
        for place in 2..signed.signature.len() {
            let mut bytes = signed.signature.clone().into_bytes();
            bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
            let altered = SignedReceipt { signature: String::from_utf8(bytes).unwrap(), ..signed.clone() };
            assert!(altered.open(key(1).hotkey(), key(2).hotkey(), OURS).is_err(), "digit {place}");
        }
    }

    #[test]
    fn a_receipt_of_somebody_else_is_named() {
        let (validator, miner) = (key(1).hotkey().clone(), key(2).hotkey().clone());
        let open = |receipt: Receipt| receipt.sign(&key(1)).open(&validator, &miner, OURS);
        let other = key(3).hotkey().clone();
        assert_eq!(open(Receipt { hotkey: other.clone(), ..receipt() }), Err(ReceiptFault::OtherMiner(other.clone())));
        let elsewhere = Receipt { netuid: 1, ..receipt() };
        assert_eq!(open(elsewhere), Err(ReceiptFault::OtherSubnet { told: 1, own: 128 }));
        let told = Receipt { validator: other.clone(), ..receipt() };
        assert_eq!(open(told), Err(ReceiptFault::OtherValidator { told: other, by: validator.clone() }));
        let newer = Receipt { receipt: "byteleap-receipt/2".into(), ..receipt() };
        assert_eq!(open(newer), Err(ReceiptFault::Format("byteleap-receipt/2".into())));
        let long = SignedReceipt { text: "x".repeat(RECEIPT_BYTES + 1), ..receipt().sign(&key(1)) };
        assert_eq!(long.open(&validator, &miner, OURS), Err(ReceiptFault::TooLong(RECEIPT_BYTES + 1)));
        let unsigned = SignedReceipt { signature: "0x00".into(), ..receipt().sign(&key(1)) };
        assert_eq!(unsigned.open(&validator, &miner, OURS), Err(ReceiptFault::NoSignature));
    }

    #[test]
    fn a_signature_over_another_text_of_ours_is_none_over_a_receipt() {
        let text = receipt().sign(&key(1)).text;
        let signature = keys::signature_text(&key(1).sign(text.as_bytes()));
        assert!(SignedReceipt { text, signature }.open(key(1).hotkey(), key(2).hotkey(), OURS).is_err());
    }

    #[test]
    fn what_is_longer_than_a_receipt_does_not_fit_and_a_page_too_many_is_none() {
        let good = receipt().sign(&key(1));
        assert_eq!((good.fits(), good.bytes()), (true, good.text.len() + SIGNATURE_BYTES));
        assert!(!SignedReceipt { text: "x".repeat(RECEIPT_BYTES + 1), ..good.clone() }.fits());
        assert!(!SignedReceipt { signature: "0".repeat(SIGNATURE_BYTES + 1), ..good.clone() }.fits());
        let page = |count| json::text(&ReceiptResponse { receipts: vec![good.clone(); count], more: false });
        assert_eq!(json::parse::<ReceiptResponse>(&page(PAGE)).unwrap().receipts.len(), PAGE);
        assert!(json::parse::<ReceiptResponse>(&page(PAGE + 1)).is_err());
    }
}
