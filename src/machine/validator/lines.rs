//! Machine-readable lines about challenge rounds and weights, and nothing else.
//!
//! Each line is at level info with target `validator`; fields are `key=value`, single spaces between them,
//! and keep their names and order:
//!
//! ```text
//! challenge state=created id=… type=cpu_matrix size=500 hotkey=… worker=…
//! challenge state=sent id=… type=… size=… hotkey=… worker=…
//! challenge state=committed id=… type=… size=… hotkey=… worker=… computation_ms=163.250
//! challenge state=verified id=… type=… size=… hotkey=… worker=… computation_ms=163.250 verify_ms=12.100
//! challenge state=failed id=… type=… size=… hotkey=… worker=… computation_ms=- verify_ms=- reason="no commitment within 60 s"
//! challenge state=void id=… (as failed)
//! round issued=840 passed_over=1200 expected_ms=167990.000 capacity_ms=168000.000
//! scores miners=2 above_zero=2 all_zero=false
//! shadow policy=lease-only/1 changed=2 largest=+0.312500 hotkey=…
//! weights state=intent block=1200 uids=2
//! weights state=submitted hash=0x… after=1201 until=1209
//! weights state=included block=1203
//! weights state=confirmed block=1203
//! weights state=refused reason="…"
//! ```
//!
//! The verdict on a `gemm_i8` challenge says how sure it is behind `verify_ms`: `soundness_bits=9.7`, minus the
//! binary logarithm of the chance that a device which skipped a tenth of the work had passed. One that is verified
//! although devices failed names them in a `note="…"` at its end. A round has a line when it passed workers over.
//!
//! A field that was never measured is `-`. Ids and names come from miners: what could break a line apart
//! (blanks, control characters, quotes) is shown as `_`.

use std::fmt;

use crate::machine::{
    contract::store::{ChallengeRow, End},
    score::{Difference, PolicyId, Scores},
};

/// A peer's text made safe for one log line: at most 128 characters, no blanks, quotes or control characters.
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().take(128).try_for_each(|c| {
            let breaks = c.is_whitespace() || c.is_control() || c == '"';
            fmt::Write::write_char(f, if breaks { '_' } else { c })
        })
    }
}

/// A duration in milliseconds, or `-` when it was never measured.
struct Ms(Option<f64>);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ms) => write!(f, "{ms:.3}"),
            None => f.write_str("-"),
        }
    }
}

/// The fields that every line about a challenge has.
struct Which<'a>(&'a ChallengeRow);

impl fmt::Display for Which<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ChallengeRow { id, target, work, .. } = self.0;
        let (kind, size) = (work.kind(), work.matrix_size());
        let worker = Plain(target.worker.as_str());
        write!(f, "id={id} type={kind} size={size} hotkey={} worker={worker}", target.hotkey)
    }
}

/// A challenge moved on: `created` or `sent`.
pub fn moved(state: &str, row: &ChallengeRow) {
    log::info!(target: "validator", "challenge state={state} {}", Which(row));
}

pub fn committed(row: &ChallengeRow, computation_ms: f64) {
    log::info!(target: "validator", "challenge state=committed {} computation_ms={}", Which(row), Ms(Some(computation_ms)));
}

/// What is known of a challenge at its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    pub computation_ms: Option<f64>,
    pub verify_ms: Option<f64>,
    pub soundness_bits: Option<f64>,
}

/// A challenge ended.
pub fn ended(row: &ChallengeRow, end: &End, measured: Measured) {
    log::info!(target: "validator", "{}", end_line(row, end, measured));
}

fn end_line(row: &ChallengeRow, end: &End, measured: Measured) -> String {
    let (state, name, said) = match end {
        End::Verified { note, .. } => ("verified", "note", note.as_ref()),
        End::Failed(reason) => ("failed", "reason", Some(reason)),
        End::Void(reason) => ("void", "reason", Some(reason)),
    };
    let said = said.map(|text| format!(" {name}=\"{}\"", quoted(text))).unwrap_or_default();
    let sure = measured.soundness_bits.filter(|_| measured.verify_ms.is_some());
    let sure = sure.map(|bits| format!(" soundness_bits={bits:.1}")).unwrap_or_default();
    let (computation, verify) = (Ms(measured.computation_ms), Ms(measured.verify_ms));
    let which = Which(row);
    format!("challenge state={state} {which} computation_ms={computation} verify_ms={verify}{sure}{said}")
}

/// A round that did not reach everybody, because there is no time to verify more.
pub fn passed_over(issued: usize, passed_over: usize, expected_ms: f64, capacity_ms: f64) {
    let (expected, capacity) = (Ms(Some(expected_ms)), Ms(Some(capacity_ms)));
    log::info!(
        target: "validator",
        "round issued={issued} passed_over={passed_over} expected_ms={expected} capacity_ms={capacity}"
    );
}

/// One calculation over the subnet.
pub fn scored(scores: &Scores) {
    let above = scores.miners.iter().filter(|miner| miner.composite > 0.0).count();
    let (miners, zero) = (scores.miners.len(), scores.all_zero);
    log::info!(target: "validator", "scores miners={miners} above_zero={above} all_zero={zero}");
}

/// What the shadow policy would have made of the same facts.
pub fn shadow(policy: PolicyId, differences: &[Difference]) {
    let changed = differences.iter().filter(|of| of.change() != 0.0).count();
    let Some(largest) = differences.first() else { return };
    let (change, hotkey) = (largest.change(), Plain(largest.hotkey.as_str()));
    log::info!(target: "validator", "shadow policy={policy} changed={changed} largest={change:+.6} hotkey={hotkey}");
}

/// A reason as it stands between quotes: blanks stay, what ends the quote or the line does not.
pub fn quoted(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() || c == '"' { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        machine::contract::store::Work,
        units::{ChallengeId, Hotkey, Wall, WorkerId, WorkerKey},
    };

    #[test]
    fn a_workers_name_cannot_forge_a_line() {
        assert_eq!(Plain("w 1\nchallenge state=\"verified\"").to_string(), "w_1_challenge_state=_verified_");
        assert_eq!(quoted("bad\nroot \"x\""), "bad_root _x_");
    }

    fn ended_as(work: Work, end: End, verify_ms: Option<f64>, soundness_bits: Option<f64>) -> String {
        let row = ChallengeRow {
            id: ChallengeId::new("c1"),
            target: WorkerKey::new(&Hotkey::label("alice"), &WorkerId::new("w1")),
            work,
            seed: String::new(),
            round_id: String::new(),
            created: Wall(0),
        };
        end_line(&row, &end, Measured { computation_ms: Some(20.0), verify_ms, soundness_bits })
    }

    #[test]
    fn a_verdict_on_gemm_i8_says_how_sure_it_is() {
        let gemm = || Work::GemmI8 { n: 512, rounds: 1, devices: vec![] };
        let head = "type=gemm_i8 size=512 hotkey=alice worker=w1 computation_ms=20.000";
        let passed = |note| End::Verified { success_count: 1, ops: 1.0, note, passed: vec![] };
        let line = |end, verify_ms| ended_as(gemm(), end, verify_ms, Some(9.728));
        let verified = format!("challenge state=verified id=c1 {head} verify_ms=1.500 soundness_bits=9.7");
        assert_eq!(line(passed(None), Some(1.5)), verified);
        assert_eq!(
            line(passed(Some("device GPU-1: no".into())), Some(1.5)),
            format!("{verified} note=\"device GPU-1: no\"")
        );
        let failed = format!("challenge state=failed id=c1 {head} verify_ms=1.500 soundness_bits=9.7 reason=\"no\"");
        assert_eq!(line(End::Failed("no".into()), Some(1.5)), failed);
        let void = format!("challenge state=void id=c1 {head} verify_ms=- reason=\"restart\"");
        assert_eq!(line(End::Void("restart".into()), None), void, "without a verdict nothing is sure");
    }

    #[test]
    fn the_lines_of_cpu_matrix_are_as_they_were() {
        let end = End::Verified { success_count: 1, ops: 1.0, note: None, passed: vec![] };
        let line = ended_as(Work::CpuMatrix { n: 500, iterations: 1 }, end, Some(12.1), None);
        let head = "challenge state=verified id=c1 type=cpu_matrix size=500 hotkey=alice worker=w1";
        assert_eq!(line, format!("{head} computation_ms=20.000 verify_ms=12.100"));
    }

    #[test]
    fn what_was_not_measured_is_a_dash() {
        assert_eq!(Ms(None).to_string(), "-");
        assert_eq!(Ms(Some(1.0)).to_string(), "1.000");
    }
}
