//! The methods `sim_*`: what goes wrong, and when, by RPC. No real node has them.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{
    ControlError, Hyperparameters, Mishap, Node, RateCode, Retracted, UpgradeKind,
    params::{Params, error, invalid},
};
use crate::spoke::chain::rpc::NodeError;

/// What all of them begin with.
pub const PREFIX: &str = "sim_";

/// Each of them: its name, its parameters, and what it does.
pub const METHODS: [(&str, &str, &str); 16] = [
    ("sim_makeBlocks", "N", "makes N blocks now; one without N"),
    ("sim_stall", "true|false", "no blocks are made, everything is answered; false ends it"),
    ("sim_lag", "N", "the node has not seen the newest N blocks; 0 ends it"),
    ("sim_clockSkew", "S", "blocks are stamped S seconds ahead, behind when negative; 0 ends it"),
    ("sim_delay", "MS", "holds every answer back for so many milliseconds; 0 ends it"),
    (
        "sim_rateLimit",
        r#"{"per_s": N, "code": 429|-32999} | "off""#,
        r#"refuses what is over N requests a second; "off" ends it"#,
    ),
    ("sim_failMethod", r#""METHOD", N"#, "answers the next N requests for METHOD with an error"),
    (
        "sim_loseAnswers",
        r#""METHOD", N"#,
        "carries out the next N requests for METHOD and answers with HTTP status 502",
    ),
    ("sim_loseExtrinsics", "N", "takes the next N extrinsics, and loses them"),
    ("sim_duplicateExtrinsics", "true|false", "each extrinsic arrives twice, the second answer is told; false ends it"),
    ("sim_forgetPool", "", "empties the pool, as a restart of the node does"),
    (
        "sim_fork",
        r#"{"depth": N, "drop": true|false}"#,
        "another branch wins: the newest N blocks are made anew, without what was in them; that goes back to the pool, or is lost with drop",
    ),
    ("sim_finalityLag", "N", "blocks between the best and the finalized one"),
    ("sim_triggerEpoch", "BLOCK", "an epoch begins with that block"),
    (
        "sim_upgrade",
        r#""KIND"[, BLOCK]"#,
        "puts another runtime in place with that block, or the next; KIND as with --upgrade-at",
    ),
    (
        "sim_setHyperparameter",
        r#""NAME", VALUE"#,
        "what the subnet's owner sets, from the next block on; NAME as in the file of neurons",
    ),
];

/// Blocks that one request makes at most.
const BLOCKS_MAX: u64 = 10_000;

/// A change was refused.
const REFUSED: i64 = 9000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fork {
    depth: u64,
    /// Whether the extrinsics that were in those blocks are lost.
    #[serde(default)]
    drop: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimit {
    per_s: u32,
    /// 429 or -32999.
    code: i64,
}

fn refused(why: ControlError) -> NodeError {
    error(REFUSED, why.to_string())
}

fn parameter<T: serde::de::DeserializeOwned>(params: &Params, place: usize) -> Result<T, NodeError> {
    serde_json::from_value(params.get(place).clone()).map_err(|why| invalid(&why.to_string()))
}

impl Node {
    /// `None` for a method that is none of these. The answer is the number of the best block.
    pub(super) fn control(&mut self, method: &str, params: &Params) -> Option<Result<Json, NodeError>> {
        let done = match method {
            "sim_makeBlocks" => self.make_asked_blocks(params),
            "sim_fork" => self.asked_fork(params),
            "sim_forgetPool" => {
                self.forget_pool();
                Ok(())
            }
            "sim_stall" => params.truth(0).map(|stalled| self.stall(stalled)),
            "sim_clockSkew" => parameter(params, 0).map(|ahead_s| self.skew_clock(ahead_s)),
            "sim_lag" => params.number(0).map(|blocks| self.lag(blocks)),
            "sim_delay" => params.number(0).map(|ms| self.delay(Duration::from_millis(ms))),
            "sim_rateLimit" => self.asked_rate_limit(params),
            "sim_loseExtrinsics" => parameter(params, 0).map(|count| self.lose_extrinsics(count)),
            "sim_duplicateExtrinsics" => params.truth(0).map(|on| self.duplicate_extrinsics(on)),
            "sim_loseAnswers" => self.asked_mishap(params, Mishap::AnswerLost),
            "sim_failMethod" => self.asked_mishap(params, Mishap::Error),
            "sim_finalityLag" => params.number(0).map(|blocks| self.set_finality_lag(blocks)),
            "sim_triggerEpoch" => params.number(0).map(|block| self.trigger_epoch(block)),
            "sim_upgrade" => self.asked_upgrade(params),
            "sim_setHyperparameter" => params
                .text(0)
                .map(str::to_owned)
                .and_then(|name| self.set_hyperparameter(&name, params.get(1)).map_err(refused)),
            _ => return None,
        };
        Some(done.map(|()| json!(self.best())))
    }

    fn make_asked_blocks(&mut self, params: &Params) -> Result<(), NodeError> {
        let count = if params.get(0).is_null() { 1 } else { params.number(0)? };
        let count = u32::try_from(count).ok().filter(|count| u64::from(*count) <= BLOCKS_MAX);
        self.make_blocks(count.ok_or_else(|| invalid(&format!("at most {BLOCKS_MAX} blocks at once")))?);
        Ok(())
    }

    /// A method, and how many requests for it.
    fn asked_mishap(&mut self, params: &Params, mishap: Mishap) -> Result<(), NodeError> {
        self.spoil(params.text(0)?, parameter(params, 1)?, mishap);
        Ok(())
    }

    fn asked_fork(&mut self, params: &Params) -> Result<(), NodeError> {
        let Fork { depth, drop } = parameter(params, 0)?;
        self.fork(depth, if drop { Retracted::Lost } else { Retracted::BackInPool }).map_err(refused)
    }

    /// `{"per_s": N, "code": 429 or -32999}`, or `"off"`.
    fn asked_rate_limit(&mut self, params: &Params) -> Result<(), NodeError> {
        if params.get(0).as_str() == Some("off") {
            self.limit_rate(None);
            return Ok(());
        }
        let RateLimit { per_s, code } = parameter(params, 0)?;
        let code = match code {
            429 => RateCode::Http429,
            -32999 => RateCode::Json32999,
            other => return Err(invalid(&format!("a node that is asked too often says 429 or -32999, not {other}"))),
        };
        self.limit_rate(Some((per_s, code)));
        Ok(())
    }

    /// What changes, and in which block; in the next one without it.
    fn asked_upgrade(&mut self, params: &Params) -> Result<(), NodeError> {
        let kind: UpgradeKind = params.text(0)?.parse().map_err(|why: String| invalid(&why))?;
        let block = if params.get(1).is_null() { self.best() + 1 } else { params.number(1)? };
        self.upgrade_at(block, kind).map_err(refused)
    }

    /// What the owner of the subnet sets, from the next block on; `name` as in the file of neurons.
    pub fn set_hyperparameter(&mut self, name: &str, value: &Json) -> Result<(), ControlError> {
        let of = self.next_hyperparameters.clone().unwrap_or_else(|| self.state().hyperparameters.clone());
        let wrong = |why: serde_json::Error| ControlError::Hyperparameter(format!("{name}: {why}"));
        let mut fields = serde_json::to_value(of).map_err(wrong)?;
        fields[name] = value.clone();
        let changed: Hyperparameters = serde_json::from_value(fields).map_err(wrong)?;
        self.next_hyperparameters = Some(changed);
        Ok(())
    }
}
