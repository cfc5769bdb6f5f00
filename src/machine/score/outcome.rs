//! What scoring says, with everything that explains it: no number without the numbers it was made of.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{ownership::RELEASE, policy::PolicyId};
use crate::units::{Hotkey, Wall, WorkerKey};

/// GPUs or workers that a text names; there may be more.
const NAMED: usize = 4;

/// One calculation over the whole subnet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scores {
    pub at: Wall,
    pub policy: PolicyId,
    /// Of every `base`, `performance` and `raw` here.
    pub unit: &'static str,
    /// Scored miners, by hotkey.
    pub miners: Vec<MinerScore>,
    /// Known workers: first the ranked ones in order, then those of whom no challenge counted, by key.
    pub workers: Vec<WorkerScore>,
    /// Sum of the best workers, of every hotkey with a ranked worker (also offline, also outside the metagraph).
    pub raw: BTreeMap<Hotkey, f64>,
    /// Mean challenge score of all scored miners before any was replaced.
    pub mean_challenge: f64,
    /// Counted challenges that make full participation, of a worker that was passed over in no round.
    pub baseline: f64,
    /// GPUs in quarantine, by uuid.
    pub contested: Vec<Contested>,
    /// Every composite was 0: the weights are uniform, for the record, and must not be submitted.
    pub all_zero: bool,
    /// What the silence of their source left of all leases, 0–1.
    #[serde(skip_serializing_if = "is_whole")]
    pub leases_left: f64,
}

/// A GPU that several workers proved, so that it counts for none of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contested {
    pub uuid: String,
    pub workers: Vec<WorkerKey>,
}

impl Scores {
    /// Names every number of it: equal digests are equal scores, to the bit.
    pub fn digest(&self) -> [u8; 32] {
        let text = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(text).into()
    }

    /// Why GPUs of this worker earn nothing; `None` when they do.
    pub fn verdict(&self, worker: &WorkerKey) -> Option<String> {
        let of_it = self.contested.iter().filter(|contested| contested.workers.contains(worker));
        let texts: Vec<String> = of_it.map(Contested::to_string).take(NAMED).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

impl fmt::Display for Contested {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let workers: Vec<String> = self.workers.iter().take(NAMED).map(ToString::to_string).collect();
        let (uuid, workers, release) = (&self.uuid, workers.join(" and "), RELEASE.as_secs() / 60);
        write!(
            to,
            "GPU {uuid} in quarantine: proven by {workers}; it earns for none of them until all but one have not named \
             it for {release} min, or do not prove it in a round in which another does"
        )
    }
}

/// What one miner got, and why. All but `raw` lie in [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MinerScore {
    pub hotkey: Hotkey,
    pub online: bool,
    /// Workers that are not removed.
    pub workers: u32,
    /// Of these, how many have a lease that counts.
    pub leased: u32,
    /// Of these, how many have a lease of which nothing counts, since others name or prove their GPUs.
    #[serde(skip_serializing_if = "is_none")]
    pub reduced: u32,
    /// Of these and removed ones, how many are in the ranking.
    pub ranked: u32,
    /// Sum of its best workers' performance.
    pub raw: f64,
    /// `raw` by the largest of all hotkeys.
    pub own_challenge: f64,
    /// What the composite used: its own, or the mean of all because it has leases; 0 when offline.
    pub challenge: f64,
    /// Its own challenge score was replaced by the mean.
    pub replaced: bool,
    pub lease: f64,
    /// Mean of its ranked workers; 0 when lease and challenge are both 0.
    pub availability: f64,
    pub composite: f64,
    pub weight: f64,
}

/// What one worker got, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkerScore {
    pub key: WorkerKey,
    /// Place in the ranking from 0; `None` when no challenge counted.
    pub rank: Option<u32>,
    /// Verified challenges that count.
    pub counted: u32,
    /// Verified and failed ones.
    pub attempts: u32,
    /// Verified ones that count for nothing since a GPU in them belongs to another hotkey or to nobody.
    pub disowned: u32,
    /// Verified ones that count for nothing since every GPU in them is in quarantine.
    pub quarantined: u32,
    /// Void ones. Those that the validator left without a verdict are not expected of it; the others have no effect.
    pub void: u32,
    /// Of these, those that its miner never asked for.
    pub not_fetched: u32,
    /// Failed ones.
    pub failed: u32,
    /// Why challenges failed, the most frequent first, and how many did so.
    pub failures: Vec<(Arc<str>, u32)>,
    /// t: mean time of a challenge per passed device, ms; 0 when none counted.
    pub time_ms: f64,
    /// Mean number of passed devices; 0 when none counted.
    pub devices: f64,
    /// Time of the counted challenges, not divided by devices, ms.
    pub busy_ms: f64,
    /// Operations of the counted challenges; 0 under a policy that does not ask.
    pub ops: f64,
    /// 1/t or ops/busy, as the policy has it; 0 when there is no usable time.
    pub base: f64,
    /// Rounds that passed it over: the validator had no capacity to verify it.
    pub passed_over: u32,
    /// Counted challenges that make its full participation: neither those rounds nor what the validator left
    /// without a verdict is expected of it.
    pub baseline: f64,
    /// min(1, counted / baseline).
    pub participation: f64,
    pub availability: Availability,
    /// base × participation × availability.
    pub performance: f64,
    /// `performance` by the largest of all workers.
    pub score: f64,
    /// Its lease score in force; `None` when it has none.
    pub lease: Option<f64>,
    /// What of its lease counts: less where GPUs that it names are another's, or in quarantine.
    pub lease_share: f64,
}

fn is_whole(share: &f64) -> bool {
    *share == 1.0
}

/// What was not there before it could be counted is left out where there is none of it: digests of then hold.
fn is_none(count: &u32) -> bool {
    *count == 0
}

/// A worker's availability, itemised.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Availability {
    /// Buckets that count …
    pub buckets: u32,
    /// … of this many.
    pub of: u32,
    /// Those with a heartbeat of its own, whatever GPUs it showed.
    pub own: u32,
    /// Those that do not count and lay in maintenance that its miner had announced …
    #[serde(skip_serializing_if = "is_none")]
    pub announced: u32,
    /// … and, of these, those that are not expected of it.
    #[serde(skip_serializing_if = "is_none")]
    pub excused: u32,
    /// GPUs that its miner had to show in a bucket; 0 for a CPU worker.
    pub gpus_required: u32,
    pub address_changes: u32,
    /// What the changes of address leave, 0–1.
    pub address_factor: f64,
    /// min(1, buckets / (of − excused)) × factor.
    pub value: f64,
}
