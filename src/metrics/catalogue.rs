//! Every metric of the project: its name, what it says, its kind and labels. Names end in their unit.

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only up, from 0 at the start of the process.
    Counter,
    /// Up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

macro_rules! catalogue {
    ($($(#[$role:meta])* $id:ident $kind:ident $name:literal [$($label:literal),*] $help:literal)*) => {
        /// A metric of the catalogue, in the order of the page.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Metric {
            $($(#[$role])* #[doc = $help] $id,)*
        }

        impl Metric {
            pub const ALL: &[Metric] = &[$(Metric::$id),*];

            /// As Prometheus knows it.
            pub fn name(self) -> &'static str {
                match self { $(Metric::$id => concat!("byteleap_", $name)),* }
            }

            /// One sentence.
            pub fn help(self) -> &'static str {
                match self { $(Metric::$id => $help),* }
            }

            pub fn kind(self) -> Kind {
                match self { $(Metric::$id => Kind::$kind),* }
            }

            /// Names of its labels, in the order in which values are given.
            pub fn labels(self) -> &'static [&'static str] {
                match self { $(Metric::$id => &[$($label),*]),* }
            }
        }
    };
}

catalogue! {
    // every daemon
    BuildInfo Gauge "build_info" ["version", "revision"] "Always 1; the labels say what runs."
    UptimeSeconds Gauge "uptime_seconds" [] "Time since the process started."
    WallDriftSeconds Gauge "wall_drift_seconds" [] "How far the wall clock has left the monotonic clock since the start."
    WallAlarm Gauge "wall_alarm" [] "1 while the wall clock is not to be trusted, so scoring and submission pause."
    Connections Gauge "connections" ["link"] "Open connections."
    ConnectionsOpened Counter "connections_opened_total" ["link"] "Connections accepted, or dialed with success."
    ConnectionsClosed Counter "connections_closed_total" ["link", "reason"] "Connections that ended, by reason."
    ConnectionsRefused Counter "connections_refused_total" ["listener", "limit"] "Connections closed at once, because a limit was reached."
    DialsFailed Counter "dials_failed_total" ["link", "reason"] "Connections that were asked for and never opened."
    ReceivedBytes Counter "received_bytes_total" ["link"] "Bytes read from sockets."
    SentBytes Counter "sent_bytes_total" ["link"] "Bytes written to sockets."
    Turns Counter "turns_total" [] "Turns of the event loop."
    TurnSeconds Histogram "turn_seconds" [] "Time of one turn of the event loop, waiting excluded."
    TurnLongestSeconds Gauge "turn_longest_seconds" [] "Longest turn of the event loop so far, waiting excluded."
    QueueDepth Gauge "queue_depth" ["queue"] "Entries of a bounded queue."
    QueueLimit Gauge "queue_limit" ["queue"] "Most entries that a bounded queue may have."
    SpokeRequests Counter "spoke_requests_total" ["spoke"] "Requests handed to a spoke."
    SpokeFailures Counter "spoke_failures_total" ["spoke", "reason"] "Requests that a spoke could not serve."
    Faults Counter "faults_total" ["fault"] "Misbehaviour of peers, by name."

    // the chain: validator and miner
    ChainBlock Gauge "chain_block" [] "Number of the best block seen."
    ChainBlockAgeSeconds Gauge "chain_block_age_seconds" [] "Time since the best block was seen to move: validators look each 30 s, miners each metagraph.sync_interval."
    ChainClockSkewSeconds Gauge "chain_clock_skew_seconds" [] "The system clock less the chain's, as of the last block that was seen to come; some seconds are usual."
    ChainRequests Counter "chain_requests_total" ["call", "outcome"] "Calls to a node of the chain."
    MetagraphAgeSeconds Gauge "metagraph_age_seconds" [] "Age of the metagraph: since it was read; for a validator at least that of the newest block of the node."
    Neurons Gauge "neurons" [] "Neurons in the metagraph."
    HotkeyRegistered Gauge "hotkey_registered" [] "1 when the metagraph has our hotkey, 0 when it has not."
    ChainPreflight Gauge "chain_preflight" ["kind", "name"] "1 when the chain's runtime has what is used of it in the shape that is known, 0 when not."

    // validator: the marketplace
    MarketplaceUp Gauge "marketplace_up" [] "1 while there is a session with the marketplace, 0 while there is none; left out without one in the configuration."
    MarketplaceFrames Counter "marketplace_frames_total" ["direction", "type"] "Messages from (in) and to (out) the marketplace."
    MarketplaceFaults Counter "marketplace_faults_total" ["fault"] "Frames and messages of the marketplace that were dropped, by what was wrong."
    MarketplaceLosses Counter "marketplace_losses_total" ["reason"] "Sessions and attempts that ended."
    MarketplaceTasksOpen Gauge "marketplace_tasks_open" ["state"] "Tasks of the marketplace that count: held by their miner, or waiting for it to ask; a miner's are held."
    MarketplaceTasks Counter "marketplace_tasks_total" ["outcome"] "What became of tasks of the marketplace."
    ConfigUpdates Counter "config_updates_total" ["outcome"] "Updates of the configuration by the marketplace: accepted or refused."
    ConfigOverrides Gauge "config_overrides" ["state"] "Settings that the marketplace changed: in_force; restart, which wait for one; left_out, which are not allowed any more."
    LeasesSkipped Counter "leases_skipped_total" ["reason"] "Published leases that were passed over, by what was wrong."
    LeasesAgeSeconds Gauge "leases_age_seconds" [] "Time since the source last said anything valid about leases; left out when it never did."
    Leases Gauge "leases" [] "Leases above 0, of known workers and of others."
    LeasesInForce Gauge "leases_in_force" [] "Share of each lease that the silence of its source leaves, 0 to 1."
    LeaseFileValid Gauge "lease_file_valid" [] "1 while leases.file is there and valid, 0 while it is not and the last leases stay; left out where it is not the source."
    LeasesDropped Counter "leases_dropped_total" [] "Leases that ended because there were too many."

    // miner: what it announces
    MaintenanceAnnounced Gauge "maintenance_announced" [] "Announced maintenance that is not over, workers; left out where there never was any."

    // validator: the axon
    Requests Counter "requests_total" ["synapse"] "Requests of miners, by synapse, answered or refused."
    Refusals Counter "refusals_total" ["code", "reason"] "Requests refused, by code of the answer and reason."
    RequestSeconds Histogram "request_seconds" ["synapse"] "From the last byte of a request to its answer handed to the socket."
    Sessions Gauge "sessions" [] "Sessions that can be used."
    SignedBodies Gauge "validators_signed_bodies" [] "Validators that announced btauth/1, so our requests to them are signed with their bodies."
    SessionsOpened Counter "sessions_opened_total" [] "Handshakes that succeeded."
    SessionsEnded Counter "sessions_ended_total" ["reason"] "Sessions that expired, were replaced or evicted."
    Heartbeats Counter "heartbeats_total" [] "Heartbeats accepted (validator: of miners; miner: of workers)."
    MinersOnline Gauge "miners_online" [] "Miners with a heartbeat in time."
    WorkersPassedOver Counter "workers_passed_over_total" [] "Workers in heartbeats of miners that named more new ones in an hour than are taken in."
    WorkersOnline Gauge "workers_online" [] "Workers with a heartbeat in time."

    // validator: challenges, store, weights
    ChallengesCreated Counter "challenges_created_total" ["kind"] "Challenges made."
    ChallengesOpen Gauge "challenges_open" ["state"] "Challenges that have not ended, by state."
    ChallengesEnded Counter "challenges_ended_total" ["end", "reason"] "Challenges verified, failed or void, by reason."
    ComputationSeconds Histogram "computation_seconds" ["kind"] "From the hand-out of a challenge to its commitment."
    VerifySeconds Histogram "verify_seconds" ["kind"] "Time of one verification."
    VerifyExpectedSeconds Gauge "verify_expected_seconds" ["kind"] "Time that verifying one device's challenge of the configured size is expected to take, by what was measured (gemm_i8: a GPU's)."
    VerifyCapacitySeconds Gauge "verify_capacity_seconds" [] "Time of all verifiers that the challenges of one interval may be expected to need."
    VerifyReservedSeconds Gauge "verify_reserved_seconds" [] "Time of the verifiers that the open challenges are expected to need."
    ChallengesPassedOver Counter "challenges_passed_over_total" [] "Workers that a round gave no challenge, because there was no time to verify it or the store was behind."
    StoreBatchSeconds Histogram "store_batch_seconds" [] "From a batch handed to the store to its commit."
    StoreWrites Counter "store_writes_total" [] "Writes committed."
    StoreFailures Counter "store_failures_total" ["reason"] "Requests to the store that took no effect."
    Scorings Counter "scorings_total" ["outcome"] "Score calculations."
    ScoringPaused Gauge "scoring_paused" ["reason"] "1 while scores and weights pause, by reason."
    GpusQuarantined Gauge "gpus_quarantined" [] "GPUs that several workers proved in the last calculation: they earn for none of them."
    ShadowWeightChange Gauge "shadow_weight_change" ["hotkey"] "What a miner's share of all weight would change by under the shadow policy, in the last calculation."
    MinersScored Gauge "miners_scored" [] "Miners with a weight above 0 in the last calculation."
    WeightSubmissions Counter "weight_submissions_total" ["outcome"] "Weight vectors and their extrinsics, by outcome."
    WeightsAwaited Gauge "weights_awaited" [] "Weight vectors that are in a block, and that the finalized chain does not show yet."
    WeightsOverdue Gauge "weights_overdue" [] "1 when the chain has confirmed no weights of ours for three tempos."
    SecondsSinceConfirmedWeights Gauge "seconds_since_confirmed_weights" [] "Time since the chain confirmed weights of ours, also across restarts; before the first time, since the start."

    // miner
    Workers Gauge "workers" ["state"] "Connected workers, idle or busy."
    WorkersRegistered Counter "workers_registered_total" [] "Registrations accepted."
    WorkersRefused Counter "workers_refused_total" ["reason"] "Workers that were turned away."
    Validators Gauge "validators" ["state"] "Validators, served or blacklisted."
    Calls Counter "calls_total" ["synapse", "outcome"] "Requests to validators."
    CallSeconds Histogram "call_seconds" ["synapse"] "Time of one request to a validator."
    Flows Gauge "flows" ["state"] "Challenges on their way between a validator and a worker."
    MarketTaskExpires Gauge "marketplace_task_expires_seconds" ["task", "worker"] "When a task of the marketplace for a worker of this miner expires, in Unix seconds; at most 128 of them are shown."
    FlowsEnded Counter "flows_ended_total" ["end"] "Two-phase flows that ended, by how."

    // worker
    MinerConnected Gauge "miner_connected" [] "1 while registered at the miner."
    Reconnects Counter "reconnects_total" [] "Attempts to reach the miner after the first."
    Tasks Counter "tasks_total" ["kind", "outcome"] "Tasks finished."
    TaskSeconds Histogram "task_seconds" ["kind"] "Computation time of a task."
    Proofs Counter "proofs_total" ["outcome"] "Proof requests answered."
    GpuCards Gauge "gpu_cards" ["verdict"] "GPUs that NVML, CUDA, the kernel or the PCI bus names, by the health gate's verdict."
    KeptResults Gauge "kept_results" [] "Results kept for proofs."
    KeptBytes Gauge "kept_bytes" [] "Memory of the results kept for proofs."
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_end_as_their_kind_asks() {
        let names: BTreeSet<_> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        assert_eq!(names.len(), Metric::ALL.len());
        for metric in Metric::ALL {
            let total = metric.name().ends_with("_total");
            assert_eq!(total, metric.kind() == Kind::Counter, "{}", metric.name());
            let seconds = metric.name().ends_with("_seconds");
            assert!(seconds || metric.kind() != Kind::Histogram, "{}", metric.name());
        }
    }

    #[test]
    fn names_and_labels_are_what_prometheus_takes() {
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        for metric in Metric::ALL {
            assert!(plain(metric.name()), "{}", metric.name());
            assert!(metric.labels().iter().all(|label| plain(label) && *label != "le"), "{}", metric.name());
            assert!(metric.labels().len() <= 2, "{}", metric.name());
            assert!(metric.help().ends_with('.'), "{}", metric.name());
        }
    }
}
