//! What a refusal means and what to do about it: the one catalogue of pool errors, of the numbers that the chain's
//! own checks refuse with, and of dispatch errors by their names in the metadata.
//!
//! Words only. A refusal that is not listed keeps the words of the node and has no remedy.

use super::rpc::NodeError;
use crate::machine::contract::chain::PoolFault;

/// A pool's refusal, read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    pub fault: PoolFault,
    pub text: String,
    pub remedy: Option<&'static str>,
}

const REGISTER: &str = "the hotkey is not registered in the subnet: register it (byteleap chain register --burned)";
const STAKE: &str = "the hotkey's stake is under the subnet's threshold: stake more to it";
const PERMIT: &str = "only the validators with the most stake may set weights: stake more to this hotkey";
pub const UPDATE: &str = "the chain's runtime may have changed: look at byteleap chain preflight, and update byteleap";
pub const NETWORK: &str = "check netuid and which network the endpoints belong to";
pub const CHAIN: &str = "correct subtensor.endpoints (or subtensor.genesis), and restart";
const RATE: &str = "the chain's rate limit: it is tried again when enough blocks have passed";
const AXON: &str =
    "the chain refuses the announced address: set external_ip and external_port to what the internet reaches";
const OTHER_SIGNER: &str = "another process signs with this hotkey: run one daemon for each hotkey";
const VERSION_KEY: &str = "the subnet's weights version was raised meanwhile: the next weights carry it";
const WEIGHTS: &str = "the chain refuses the weights: report this with the log of the epoch";

/// What nodes answer an extrinsic with: code, the text it is told from others by, and what it means.
const POOL: [(i64, &str, PoolFault, Option<&str>); 14] = [
    (1010, "Custom error: 6", PoolFault::TooSoon, Some(RATE)),
    (1010, "Custom error: 12", PoolFault::TooSoon, Some(RATE)),
    (1010, "Custom error: 15", PoolFault::SignAgain, None),
    (1010, "Custom error: 17", PoolFault::TooSoon, None),
    (1010, "outdated", PoolFault::Stale, None),
    (1010, "bad signature", PoolFault::SignAgain, None),
    (1010, "ancient birth block", PoolFault::SignAgain, None),
    (1010, "valid in the future", PoolFault::Later, Some(OTHER_SIGNER)),
    (1010, "exhaust the block limits", PoolFault::Later, None),
    (1010, "call is not expected", PoolFault::Refused, Some(UPDATE)),
    (1010, "Inability to pay", PoolFault::Refused, Some("the signing account cannot pay the fee: fund it")),
    (1012, "", PoolFault::Later, None),
    (1014, "", PoolFault::Occupied, None),
    (1016, "", PoolFault::Later, None),
];

/// The numbers that the chain's own checks refuse with.
const CUSTOM: [(u8, &str, Option<&str>); 15] = [
    (0, "coldkey swap in progress", Some("wait until the coldkey's swap is done")),
    (1, "stake too low", Some(STAKE)),
    (2, "balance too low", Some("the signing account has too little: fund it")),
    (3, "no such subnet", Some(NETWORK)),
    (6, "rate limit exceeded", Some(RATE)),
    (10, "hotkey not registered in the subnet", Some(REGISTER)),
    (11, "invalid IP address", Some(AXON)),
    (12, "serving rate limit exceeded", Some(RATE)),
    (13, "invalid port", Some(AXON)),
    (15, "invalid reveal round", None),
    (16, "no commit found", None),
    (17, "not in the reveal range", None),
    (18, "input lengths differ", Some(WEIGHTS)),
    (19, "uid not found", Some(REGISTER)),
    (255, "bad request", Some(UPDATE)),
];

const SUBTENSOR: &str = "SubtensorModule.";

/// Errors of the chain's pallet.
const DISPATCH: [(&str, &str); 27] = [
    ("HotKeyNotRegisteredInSubNet", REGISTER),
    ("HotKeyNotRegisteredInNetwork", REGISTER),
    ("HotKeyAccountNotExists", REGISTER),
    ("NeuronNoValidatorPermit", PERMIT),
    ("NotEnoughStake", STAKE),
    ("NotEnoughStakeToSetWeights", STAKE),
    ("SettingWeightsTooFast", RATE),
    ("CommittingWeightsTooFast", RATE),
    ("ServingRateLimitExceeded", RATE),
    ("TxRateLimitExceeded", RATE),
    ("NetworkTxRateLimitExceeded", RATE),
    ("IncorrectWeightVersionKey", VERSION_KEY),
    ("CommitRevealEnabled", "the subnet now wants weights committed: the next ones are"),
    ("CommitRevealDisabled", "the subnet now wants weights in the open: the next ones are"),
    ("IncorrectCommitRevealVersion", UPDATE),
    ("TooManyUnrevealedCommits", "commitments of this hotkey wait to be opened: it is tried again after their epoch"),
    ("ExpiredWeightCommit", "the reveal came after its epoch: the next weights are committed anew"),
    ("RevealTooEarly", "the reveal came before its epoch: it is tried again in it"),
    ("AdminActionProhibitedDuringWeightsWindow", "the end of a tempo is closed for this: it is tried again after it"),
    ("DuplicateUids", WEIGHTS),
    ("UidVecContainInvalidOne", "a neuron left the subnet meanwhile: the next weights are without it"),
    (
        "WeightVecLengthIsLow",
        "the subnet wants more weights than there are: see min_allowed_weights in byteleap chain info",
    ),
    ("MaxWeightExceeded", "a weight is over the subnet's limit: see max_weights_limit in byteleap chain info"),
    ("WeightVecNotEqualSize", WEIGHTS),
    ("InvalidIpAddress", AXON),
    ("InvalidPort", AXON),
    ("SubnetNotExists", NETWORK),
];

/// Registration, which only `byteleap chain` does, and what every call may end with.
const OTHER: [(&str, &str); 10] = [
    (
        "SubtensorModule.RegistrationPriceLimitExceeded",
        "the price rose over the limit before the block: nothing was paid; look at the price and run it again",
    ),
    ("SubtensorModule.NotEnoughBalanceToStake", "the coldkey has less than the cost of registration: fund it"),
    ("SubtensorModule.TooManyRegistrationsThisBlock", "registrations of this block are used up: try again"),
    ("SubtensorModule.TooManyRegistrationsThisInterval", "registrations of this interval are used up: try again later"),
    ("SubtensorModule.SubNetRegistrationDisabled", "the subnet takes no registrations now"),
    ("SubtensorModule.HotKeyAlreadyRegisteredInSubNet", "the hotkey is registered already: nothing is to be done"),
    ("SubtensorModule.MechanismDoesNotExist", "the subnet has no such mechanism"),
    ("SubtensorModule.DisabledTemporarily", "the chain has switched this off for a while: it is tried again"),
    ("System.CallFiltered", "the chain has switched this call off (safe mode or an upgrade): it is tried again"),
    ("Balances.InsufficientBalance", "the signing account has too little: fund it"),
];

/// Reads a pool's refusal.
pub fn pool(error: &NodeError) -> Refusal {
    let data = error.data_text();
    let custom = custom_number(&data);
    // "Custom error: 1" begins what "Custom error: 12" is.
    let is_meant = |text: &str| if text.starts_with("Custom") { data.trim() == text } else { data.contains(text) };
    let row = POOL.iter().find(|(code, text, ..)| *code == error.code && is_meant(text));
    let named = custom.and_then(custom_row);
    Refusal {
        fault: row.map_or(PoolFault::Refused, |(_, _, fault, _)| *fault),
        text: named.map_or_else(|| error.to_string(), |(_, name, _)| format!("{name} ({error})")),
        remedy: named.and_then(|(.., remedy)| *remedy).or(row.and_then(|(.., remedy)| *remedy)),
    }
}

/// What to do about a dispatch error, by its name in the metadata.
pub fn dispatch(error: &str) -> Option<&'static str> {
    let ours = error.strip_prefix(SUBTENSOR).and_then(|name| DISPATCH.iter().find(|(known, _)| *known == name));
    let row = ours.or_else(|| OTHER.iter().find(|(known, _)| *known == error));
    row.map(|(_, remedy)| *remedy)
}

fn custom_number(data: &str) -> Option<u8> {
    data.trim().strip_prefix("Custom error: ")?.parse().ok()
}

fn custom_row(number: u8) -> Option<&'static (u8, &'static str, Option<&'static str>)> {
    CUSTOM.iter().find(|(known, ..)| *known == number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(code: i64, data: &str) -> Refusal {
        pool(&NodeError { code, message: "Invalid Transaction".into(), data: Some(json!(data)) })
    }

    #[test]
    fn a_refusal_by_number_is_named() {
        let refusal = refusal(1010, "Custom error: 12");
        assert_eq!(refusal.text, "serving rate limit exceeded (error 1010: Invalid Transaction (Custom error: 12))");
        assert_eq!((refusal.fault, refusal.remedy), (PoolFault::TooSoon, Some(RATE)));
    }

    #[test]
    fn another_refusal_keeps_the_words_of_the_node() {
        let refusal = refusal(1010, "Transaction has a bad signature");
        assert_eq!(refusal.text, "error 1010: Invalid Transaction (Transaction has a bad signature)");
        assert_eq!(refusal.fault, PoolFault::SignAgain);
    }

    #[test]
    fn each_refusal_says_what_to_do_next() {
        let faults = [
            (1010, "Transaction is outdated", PoolFault::Stale),
            (1010, "Transaction has an ancient birth block", PoolFault::SignAgain),
            (1010, "Custom error: 1", PoolFault::Refused),
            (1010, "Custom error: 15", PoolFault::SignAgain),
            (1010, "Custom error: 77", PoolFault::Refused),
            (1012, "", PoolFault::Later),
            (1014, "The transaction has too low priority to replace another transaction", PoolFault::Occupied),
            (1016, "", PoolFault::Later),
            (1099, "Transaction is outdated", PoolFault::Refused),
        ];
        for (code, data, fault) in faults {
            assert_eq!(refusal(code, data).fault, fault, "{code} {data}");
        }
        assert_eq!(refusal(1010, "Custom error: 1").remedy, Some(STAKE));
        assert_eq!(refusal(1010, "Custom error: 10").remedy, Some(REGISTER));
    }

    #[test]
    fn a_dispatch_error_has_its_remedy_by_name() {
        assert_eq!(dispatch("SubtensorModule.NeuronNoValidatorPermit"), Some(PERMIT));
        assert_eq!(dispatch("System.CallFiltered").map(|text| text.contains("safe mode")), Some(true));
        assert_eq!(dispatch("Balances.NeuronNoValidatorPermit"), None);
        assert_eq!(dispatch("SubtensorModule.InvalidSeal"), None);
    }
}
