//! Every bound on what a peer may send, in one place. Constants only: who enforces each is named beside it.

use std::time::Duration;

/// Largest request or response head, request line and all header fields together (the loop).
pub const HEADER_BYTES: usize = 64 * 1024;
/// Most header fields of one message (the loop).
pub const HEADER_FIELDS: usize = 100;
/// Largest body of a synapse other than a proof, up or down (the loop).
pub const BODY_BYTES: usize = 1024 * 1024;
/// Largest body of a `ChallengeProofSynapse` (the loop).
pub const PROOF_BODY_BYTES: usize = 32 * 1024 * 1024;
/// Largest WebSocket message (the loop).
pub const WEBSOCKET_BYTES: usize = 16 * 1024 * 1024;
/// Largest frame that workers of the reference implementation accept.
pub const WORKER_FRAME_BYTES: usize = 1024 * 1024;
/// Largest frame to and from the marketplace (the loop, and the reader again).
pub const MARKETPLACE_BYTES: usize = 10 * 1024 * 1024;
/// A body above this is decrypted and parsed in a spoke, never on the loop (the machines).
pub const BULK_BYTES: usize = 64 * 1024;

/// Largest list of commitments that a miner passes on; one has less than 1 KiB (the machines).
pub const COMMITMENTS_BYTES: usize = 256 * 1024;

/// Most leases of one publish: 256 miners with as many workers as a heartbeat may name.
pub const LEASES: usize = 256 * HEARTBEAT_WORKERS;
/// Longest configuration update, and how many levels of objects and lists it may have.
pub const CONFIG_UPDATE_BYTES: usize = 64 * 1024;
pub const CONFIG_UPDATE_DEPTH: usize = 8;
/// Longest key and type of a marketplace's task.
pub const TASK_KEY_BYTES: usize = 256;
/// Longest payload of a marketplace's task: it travels in the answer to a task poll.
pub const TASK_PAYLOAD_BYTES: usize = 64 * 1024;
/// Most tasks of the marketplace that a miner has of one validator, and names in a poll.
pub const MARKET_TASKS_HELD: usize = 128;
/// Most tasks of the marketplace in one answer to a poll, and their payloads together; one may be longer alone.
pub const MARKET_TASKS_ANSWER: usize = 16;
pub const MARKET_TASKS_BYTES: usize = 48 * 1024;

/// Longest worker id that is accepted (frames and heartbeats); those of the network have 16 letters.
pub const WORKER_ID_BYTES: usize = 128;
/// Longest dendrite uuid; a UUID has 36 letters.
pub const UUID_BYTES: usize = 128;
/// Longest session id a client accepts; a UUID has 36 letters.
pub const SESSION_ID_BYTES: usize = 128;
/// Most workers that a heartbeat may name.
pub const HEARTBEAT_WORKERS: usize = 1024;
/// Most challenges in one answer to a task poll; a validator makes at most 100.
pub const TASK_CHALLENGES: usize = 1024;
/// Most rows that a device may prove in a `cpu_matrix` or `gpu_matrix` challenge: all of the largest CPU matrix.
pub const PROOF_ROWS: usize = 10_000;
/// Most siblings of one of these rows that are read; no tree is that high.
pub const PROOF_PATH: usize = 256;
/// Most values that a device may show for them.
pub const PROOF_VALUES: usize = 1 << 20;
/// Largest side of a challenge's matrices.
pub const MATRIX_SIZE: u32 = 1 << 16;
/// Most rounds of a `gemm_i8` challenge: minutes of the fastest devices, and 64 KiB of tops in a proof.
pub const GEMM_ROUNDS: u32 = 1024;
/// Most devices of one `gemm_i8` challenge.
pub const GEMM_DEVICES: usize = 64;
/// Most chunks that one device is asked to open: 3 MiB of proof.
pub const GEMM_SAMPLES: usize = 1024;
/// Most siblings of a chunk in its row: 256 chunks at the largest side.
pub const GEMM_CHUNK_PATH: usize = 8;
/// Most siblings of a row in its round.
pub const GEMM_ROW_PATH: usize = 16;
/// Longest device uuid; a GPU's has 40 letters.
pub const DEVICE_BYTES: usize = 128;
/// Longest hotkey; SS58 has 48 letters.
pub const HOTKEY_BYTES: usize = 64;
/// Longest time limit of a challenge.
pub const CHALLENGE_TIMEOUT_S: u32 = 300;

/// How long a session lives.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(21_600);
/// How long before its end a client renews a session.
pub const SESSION_RENEWAL: Duration = Duration::from_secs(300);
/// Sessions that a validator keeps for one hotkey; one more evicts the least recently used.
pub const SESSIONS_PER_HOTKEY: usize = 3;
/// Handshakes of one hotkey within [`HANDSHAKE_WINDOW`].
pub const HANDSHAKES: usize = 5;
pub const HANDSHAKE_WINDOW: Duration = Duration::from_secs(60);
/// Width W of the replay window.
pub const REPLAY_WINDOW: u64 = 1024;

/// A sender's own time-out counts for at most this in the rule of nonces.
pub const NONCE_TIMEOUT: Duration = Duration::from_secs(300);
/// What the rule of nonces assumes of a sender that names no time-out.
pub const NONCE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(12);
/// What the rule of nonces adds to the time-out.
pub const NONCE_SLACK: Duration = Duration::from_secs(4);
/// Last nonces that a validator keeps for one hotkey (one a dendrite uuid).
pub const NONCES_PER_HOTKEY: usize = 2048;

/// How long a client waits for a synapse's answer.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(30);
pub const TASK_TIMEOUT: Duration = Duration::from_secs(10);
pub const COMMITMENT_TIMEOUT: Duration = Duration::from_secs(30);
pub const PROOF_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a worker may take to answer a proof request of the first version: it has everything ready.
pub const WORKER_PROOF_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take where the rows to be opened are computed again. A thousand samples of the largest matrices on
/// one slow core take longer than 30 s; what comes later than a validator's own limit (120 s from the commitment, by
/// default) counts for nothing, and the proof has to travel yet.
pub const OPENING_TIMEOUT: Duration = Duration::from_secs(100);
/// How long a miner waits for the registration of a new connection.
pub const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(30);
