//! What a devnet shows: a line an event, a table or one JSON object at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use byteleap::{
    devnet::{
        ledger::{Challenge, Ledger},
        process::Usage,
    },
    units::Uid,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::run::Worker;
use crate::{Fault, print};

/// Where lines go: progress never mixes with the JSON object.
pub struct Show {
    pub json: bool,
}

#[derive(Debug, Serialize)]
pub struct ProcessReport {
    pub name: String,
    pub role: &'static str,
    pub pid: u32,
    #[serde(flatten)]
    pub usage: Usage,
}

pub struct Outcome {
    pub ledger: Ledger,
    pub workers: Vec<Worker>,
    /// Our weights as the chain holds them.
    pub read_back: Vec<(Uid, u16)>,
    pub processes: Vec<ProcessReport>,
    pub rounds: usize,
    /// What the simulated marketplace heard, where there is one.
    pub hub: Option<Value>,
    /// Why not everything was verified and confirmed.
    pub fault: Option<String>,
}

/// What was shown already.
#[derive(Default)]
pub struct Told {
    verdicts: BTreeMap<String, String>,
    confirmed: BTreeSet<u64>,
}

impl Told {
    /// A line for each challenge that moved on and each confirmation that is new.
    pub fn changes(&mut self, ledger: &Ledger, show: &Show) {
        for challenge in &ledger.challenges {
            let before = self.verdicts.insert(challenge.challenge_id.clone(), challenge.verdict.clone());
            if before.as_ref() != Some(&challenge.verdict) {
                show.line(&challenge_line(challenge));
            }
        }
        if let Some(confirmed) = &ledger.confirmed
            && self.confirmed.insert(confirmed.block)
        {
            let weights: Vec<String> =
                confirmed.weights.iter().map(|(uid, _, share)| format!("uid {uid}: {share}")).collect();
            show.line(&format!("weights confirmed at block {}: {}", confirmed.block, weights.join(", ")));
        }
    }
}

fn challenge_line(challenge: &Challenge) -> String {
    let Challenge { challenge_id, worker_id, kind, matrix_size, verdict, .. } = challenge;
    let short = challenge_id.get(..8).unwrap_or(challenge_id);
    let mut line = format!("challenge {short} {kind} n={matrix_size} worker {worker_id}: {verdict}");
    if let (Some(computed), Some(verified)) = (challenge.computation_ms, challenge.verify_ms) {
        line += &format!(" (computed in {computed:.0} ms, checked in {verified:.1} ms)");
    }
    if let Some(reason) = &challenge.reason {
        line += &format!(": {reason}");
    }
    line
}

impl Show {
    pub fn line(&self, text: &str) {
        // a reader that is gone does not stop the devnet
        let _ = if self.json { writeln!(io::stderr(), "{text}") } else { writeln!(io::stdout(), "{text}") };
    }

    /// Prints what there is, then says what is wrong with it.
    pub fn outcome(&self, outcome: Result<Outcome, Fault>) -> Result<(), Fault> {
        let fault = match outcome {
            Ok(outcome) if self.json => {
                print::line(&as_json(&outcome).to_string())?;
                outcome.fault
            }
            Ok(outcome) => {
                print::all(&table(&outcome))?;
                outcome.fault
            }
            Err(why) => {
                if self.json {
                    print::line(&json!({"fault": why.to_string()}).to_string())?;
                }
                Some(why.to_string())
            }
        };
        fault.map_or(Ok(()), |fault| Err(fault.into()))
    }
}

fn as_json(outcome: &Outcome) -> Value {
    let submitted = outcome.ledger.confirmed.as_ref();
    let read_back: Vec<(u16, u16)> = outcome.read_back.iter().map(|(uid, share)| (uid.0, *share)).collect();
    let (ended, open): (Vec<_>, Vec<_>) = outcome.ledger.challenges.iter().partition(|challenge| challenge.has_ended());
    let worker = |worker: &Worker| {
        let verified = outcome.ledger.verified(&worker.hotkey, &worker.worker_id);
        let Worker { hotkey, worker_id, kind, leased } = worker;
        json!({"hotkey": hotkey, "worker_id": worker_id, "challenge_type": kind, "leased": leased, "verified": verified})
    };
    let workers: Vec<Value> = outcome.workers.iter().map(worker).collect();
    json!({
        "fault": outcome.fault,
        "rounds": outcome.rounds,
        "workers": workers,
        "challenges": ended,
        // of the next round, which began before the weights were confirmed
        "challenges_open": open.len(),
        "scores": outcome.ledger.scores,
        "weights": {"submitted": submitted, "on_chain": read_back},
        "marketplace": outcome.hub,
        "processes": outcome.processes,
    })
}

fn table(outcome: &Outcome) -> String {
    let (head, kind) = (["verified", "computed ms", "checked ms"], "challenge");
    let mut text =
        format!("\n{:<50} {:<18} {kind:<12} {:>8} {:>12} {:>11}\n", "miner", "worker", head[0], head[1], head[2]);
    for Worker { hotkey, worker_id, kind, leased } in &outcome.workers {
        let kind = if *leased { "leased" } else { *kind };
        let of_worker = |c: &&Challenge| c.hotkey == *hotkey && c.worker_id == *worker_id;
        let challenges: Vec<_> = outcome.ledger.challenges.iter().filter(of_worker).collect();
        let verified = outcome.ledger.verified(hotkey, worker_id);
        let computed = mean(challenges.iter().filter_map(|challenge| challenge.computation_ms));
        let checked = mean(challenges.iter().filter_map(|challenge| challenge.verify_ms));
        text += &format!("{hotkey:<50} {worker_id:<18} {kind:<12} {verified:>8} {computed:>12} {checked:>11}\n");
    }
    text += &format!("\n{:<50} {:>9} {:>9} {:>12} {:>9}\n", "miner", "challenge", "lease", "availability", "weight");
    for score in &outcome.ledger.scores {
        let (hotkey, challenge, lease) = (&score.hotkey, score.challenge, score.lease);
        text +=
            &format!("{hotkey:<50} {challenge:>9.4} {lease:>9.4} {:>12.6} {:>9.4}\n", score.availability, score.weight);
    }
    text += &format!("\n{:<14} {:>8} {:>14} {:>9}\n", "process", "pid", "peak RSS KiB", "CPU s");
    for process in &outcome.processes {
        let rss = process.usage.peak_rss_kib.map_or("?".into(), |kib| kib.to_string());
        let cpu = process.usage.cpu_s.map_or("?".into(), |seconds| format!("{seconds:.2}"));
        text += &format!("{:<14} {:>8} {rss:>14} {cpu:>9}\n", process.name, process.pid);
    }
    text
}

fn mean(values: impl Iterator<Item = f64>) -> String {
    let (count, sum) = values.fold((0u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    if count == 0 { "-".into() } else { format!("{:.1}", sum / f64::from(count)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_values_have_no_mean() {
        assert_eq!(mean([].into_iter()), "-");
        assert_eq!(mean([1.0, 2.0].into_iter()), "1.5");
    }
}
