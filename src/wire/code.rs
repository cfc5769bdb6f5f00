//! The network's error codes, as they stand in `error_code` fields. Numbers only: no texts, no policy.

/// An error code of the network, 0 … 5001.
pub type Code = u16;

pub const SUCCESS: Code = 0;
pub const INVALID_REQUEST: Code = 1000;
pub const INVALID_RESPONSE: Code = 1001;
pub const TIMEOUT: Code = 1002;
/// Network trouble; also "rate limited".
pub const NETWORK: Code = 1003;
pub const HEARTBEAT_FAILED: Code = 1004;
pub const TASK_FAILED: Code = 1005;
pub const CHALLENGE_FAILED: Code = 1006;
pub const CONFIG_INVALID: Code = 2000;
pub const CONFIG_MISSING: Code = 2001;
pub const CONFIG_CONFLICT: Code = 2002;
pub const VALIDATION: Code = 3000;
pub const BAD_SIGNATURE: Code = 3001;
pub const BAD_PROOF: Code = 3002;
pub const MERKLE_FAILURE: Code = 3003;
pub const SESSION_REQUIRED: Code = 4010;
/// The session cannot be used with this package: malformed, of another session, sender or type, bad tag.
pub const SESSION_UNKNOWN: Code = 4011;
/// The session is not there (any more): expired, evicted, or forgotten by a restart.
pub const SESSION_EXPIRED: Code = 4012;
pub const REHANDSHAKE: Code = 4013;
pub const REPLAY: Code = 4014;
/// The decrypted body does not fit its message, or there is none.
pub const BAD_AAD: Code = 4015;
pub const BAD_NONCE: Code = 4016;
pub const WINDOW_EXCEEDED: Code = 4017;
pub const HANDSHAKE_FAILED: Code = 4018;
pub const SESSION_LIMIT: Code = 4019;
pub const SEQUENCE: Code = 4020;
pub const DATABASE: Code = 5000;
pub const DATABASE_CONNECTION: Code = 5001;

/// Whether a client that gets this code drops its session, makes a new handshake and repeats the request once.
pub fn asks_for_new_session(code: Code) -> bool {
    matches!(code, SESSION_UNKNOWN | SESSION_EXPIRED | REHANDSHAKE | SEQUENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_fault_and_a_rate_limit_keep_the_session() {
        assert!([4011, 4012, 4013, 4020].into_iter().all(asks_for_new_session));
        assert!(![0, 1003, 4015, 4018].into_iter().any(asks_for_new_session));
    }
}
