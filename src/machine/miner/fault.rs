//! What a worker or validator can do wrong, by name. Values for counters and logs; nothing here reacts.

use super::flows::Unasked;

/// A peer's misbehaviour, or a thing said twice. No state changed because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    #[error("first frame is no registration")]
    BadRegistration,
    #[error("no registration in time")]
    NoRegistration,
    #[error("as many workers as there may be")]
    MinerFull,
    #[error("a second registration on one connection")]
    SecondRegistration,
    #[error("frame that cannot be read")]
    BadFrame,
    #[error("frame in the name of another worker")]
    WrongName,
    #[error("system information over its limit")]
    SystemInfoTooLarge,
    #[error("too many large frames at once")]
    LargeFrames,
    #[error("silent for too long")]
    Silent,
    #[error("challenge that is or was in work")]
    DuplicateChallenge,
    #[error("result for a task that the worker does not have")]
    ForeignResult,
    #[error("result given twice")]
    ResultTwice,
    #[error("proof that nobody asked of the worker")]
    ForeignProof,
    #[error("more challenges in one answer than there may be")]
    TooManyChallenges,
}

impl Fault {
    /// Whether it costs a worker its connection.
    pub fn turns_away(self) -> bool {
        match self {
            Fault::BadRegistration | Fault::NoRegistration | Fault::MinerFull | Fault::LargeFrames | Fault::Silent => {
                true
            }
            Fault::SecondRegistration
            | Fault::BadFrame
            | Fault::WrongName
            | Fault::SystemInfoTooLarge
            | Fault::DuplicateChallenge
            | Fault::ForeignResult
            | Fault::ResultTwice
            | Fault::ForeignProof
            | Fault::TooManyChallenges => false,
        }
    }

    /// As a label of a counter.
    pub fn label(self) -> &'static str {
        match self {
            Fault::BadRegistration => "bad_registration",
            Fault::NoRegistration => "no_registration",
            Fault::MinerFull => "miner_full",
            Fault::SecondRegistration => "second_registration",
            Fault::BadFrame => "bad_frame",
            Fault::WrongName => "wrong_name",
            Fault::SystemInfoTooLarge => "system_info_too_large",
            Fault::LargeFrames => "large_frames",
            Fault::Silent => "silent",
            Fault::DuplicateChallenge => "duplicate_challenge",
            Fault::ForeignResult => "foreign_result",
            Fault::ResultTwice => "result_twice",
            Fault::ForeignProof => "foreign_proof",
            Fault::TooManyChallenges => "too_many_challenges",
        }
    }
}

/// What a peer gives as a reason, as far as a log line bears it.
pub fn shortened(why: &str) -> String {
    why.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(200).collect()
}

impl From<Unasked> for Fault {
    fn from(unasked: Unasked) -> Fault {
        match unasked {
            Unasked::Duplicate => Fault::DuplicateChallenge,
            Unasked::NotItsTask => Fault::ForeignResult,
            Unasked::ResultTwice => Fault::ResultTwice,
            Unasked::NotAskedProof => Fault::ForeignProof,
        }
    }
}
