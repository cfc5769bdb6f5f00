//! `byteleap replay`: what was scored, and the weights that were set, calculated again from the log.

use byteleap::{
    exit::Failure,
    machine::score::Scores,
    spoke::store::replay::{Archive, Became, Mismatch, Recorded, RecordedWeights},
    units::{Wall, from_date},
};
use serde_json::{Value, json};

use super::{Source, date, say};

#[derive(clap::Args)]
#[command(
    after_help = "Ends with status 0 when everything is identical to the bit, and with 1 when something differs. With \
                  --all, weights whose calculation is not kept any more are named, and are not counted as different."
)]
pub struct Replay {
    #[command(flatten)]
    source: Source,
    /// The calculation in force at this time, as precise as it is written: 2026-11-22T14:03:26Z (all of that second),
    /// 2026-11-22T14:03:26.918159Z, or Unix seconds
    #[arg(long, value_name = "TIME", value_parser = moment, group = "which")]
    at: Option<Wall>,
    /// The weights made as number N, with the calculation that they were made from [default: the newest]
    #[arg(long, value_name = "N", group = "which")]
    epoch: Option<u64>,
    /// Every calculation that the database has, and all weights
    #[arg(long, group = "which")]
    all: bool,
    /// One JSON object in place of text
    #[arg(long)]
    json: bool,
}

/// The last nanosecond of what is written: what is printed is cut off, and means what it was cut from.
fn moment(text: &str) -> Result<Wall, String> {
    let wrong = || format!("{text:?} is no time: 2026-11-22T14:03:26Z, with a fraction or without, or Unix seconds");
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction.strip_suffix('Z').unwrap_or(fraction))),
        None => (text, None),
    };
    let seconds = whole.parse().ok().or_else(|| from_date(whole)).ok_or_else(wrong)?;
    let nanos = match fraction {
        None => 999_999_999,
        Some(digits) if (1..=9).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            format!("{digits:9<9}").parse().map_err(|_| wrong())?
        }
        Some(_) => return Err(wrong()),
    };
    u64::checked_mul(seconds, 1_000_000_000).and_then(|at| at.checked_add(nanos)).map(Wall).ok_or_else(wrong)
}

enum Verdict {
    Identical,
    Different(Mismatch),
    /// There is nothing to compare with.
    NotKept(String),
}

impl Verdict {
    fn of(mismatch: Option<Mismatch>) -> Verdict {
        mismatch.map_or(Verdict::Identical, Verdict::Different)
    }

    fn text(&self) -> String {
        match self {
            Verdict::Identical => "identical".into(),
            Verdict::Different(what) => format!("DIFFERENT: {what}"),
            Verdict::NotKept(what) => format!("not kept any more: {what}"),
        }
    }

    /// What was compared, with the verdict.
    fn beside(&self, mut of: Value) -> Value {
        (of["identical"], of["difference"], of["not_kept"]) = match self {
            Verdict::Identical => (json!(true), Value::Null, Value::Null),
            Verdict::Different(what) => (json!(false), json!(what.to_string()), Value::Null),
            Verdict::NotKept(what) => (Value::Null, Value::Null, json!(what)),
        };
        of
    }
}

/// One comparison.
struct Compared {
    what: String,
    verdict: Verdict,
    json: Value,
}

pub fn replay(options: &Replay) -> Result<(), Failure> {
    let path = options.source.path()?;
    let archive = Archive::open(&path).map_err(Failure::config)?;
    let compared = compare(options, &archive)?;
    let different = compared.iter().filter(|of| matches!(of.verdict, Verdict::Different(_))).count();
    let text: String = compared.iter().map(|of| format!("{}: {}\n", of.what, of.verdict.text())).collect();
    let list: Vec<&Value> = compared.iter().map(|of| &of.json).collect();
    say(options.json, &text, &json!({"identical": different == 0, "compared": list}))?;
    match different {
        0 => Ok(()),
        _ => Err(Failure::failed(format!("{different} of {} differ from what was recorded", compared.len()))),
    }
}

fn compare(options: &Replay, archive: &Archive) -> Result<Vec<Compared>, Failure> {
    if options.all {
        return all(archive);
    }
    match (options.at, options.epoch) {
        (Some(at), _) => until(archive, at),
        (None, Some(id)) => epoch(archive, Some(id)),
        (None, None) if archive.weights(None).map_err(Failure::failed)?.is_some() => epoch(archive, None),
        (None, None) => until(archive, Wall(i64::MAX as u64)),
    }
}

/// What a running validator prunes meanwhile is not there, and nothing else of it is wrong.
fn all(archive: &Archive) -> Result<Vec<Compared>, Failure> {
    let mut all = Vec::new();
    for at in archive.moments().map_err(Failure::failed)? {
        if let Some(recorded) = archive.exactly(at).map_err(Failure::failed)? {
            all.push(scores(archive, &recorded)?.0);
        }
    }
    for id in archive.epochs().map_err(Failure::failed)? {
        let Some(weights) = archive.weights(Some(id)).map_err(Failure::failed)? else { continue };
        let Some(scored_at) = weights.scored_at else { continue };
        let verdict = match archive.exactly(scored_at).map_err(Failure::failed)? {
            Some(recorded) => Verdict::of(weights.mismatch(&archive.again(&recorded).map_err(Failure::failed)?)),
            None => Verdict::NotKept(format!("the calculation of {}", date(scored_at))),
        };
        all.push(of_weights(archive, &weights, scored_at, verdict)?);
    }
    Ok(all)
}

fn until(archive: &Archive, until: Wall) -> Result<Vec<Compared>, Failure> {
    let recorded = archive.recorded(until).map_err(Failure::failed)?;
    let recorded = recorded.ok_or_else(|| Failure::failed(nothing(archive, until)))?;
    Ok(vec![scores(archive, &recorded)?.0])
}

fn nothing(archive: &Archive, until: Wall) -> String {
    match archive.moments().unwrap_or_default().first() {
        Some(first) => format!("no scores were calculated until {}: the oldest are of {}", date(until), date(*first)),
        None => "no scores were calculated yet, or all are older than database.event_retention_days".to_owned(),
    }
}

fn scores(archive: &Archive, recorded: &Recorded) -> Result<(Compared, Scores), Failure> {
    let again = archive.again(recorded).map_err(Failure::failed)?;
    let verdict = Verdict::of(recorded.mismatch(&again));
    let (at, policy) = (date(recorded.at), recorded.policy.id);
    let (miners, workers) = (again.miners.len(), again.workers.len());
    let what = format!("scores of {at} by {policy}, {miners} miners, {workers} workers, facts up to {}", recorded.seq);
    let json = verdict.beside(json!({
        "of": "scores", "at": at, "policy": recorded.policy, "facts": recorded.seq, "miners": miners,
        "workers": workers, "digest": hex::encode(recorded.digest),
    }));
    Ok((Compared { what, verdict, json }, again))
}

/// The scores that the weights were made from, then the weights.
fn epoch(archive: &Archive, id: Option<u64>) -> Result<Vec<Compared>, Failure> {
    let found = archive.weights(id).map_err(Failure::failed)?;
    let name = id.map_or("any".to_owned(), |id| format!("{id}"));
    let weights = found.ok_or_else(|| Failure::failed(format!("the database has no weights of number {name}")))?;
    let number = weights.id;
    let Some(scored_at) = weights.scored_at else {
        let text =
            format!("weights {number} were made by a version that kept no log: they can not be calculated again");
        return Err(Failure::failed(text));
    };
    let recorded = archive.exactly(scored_at).map_err(Failure::failed)?.ok_or_else(|| {
        Failure::failed(format!(
            "weights {number} were made from the scores of {}, and that calculation was not kept: its write was lost, or \
             it is older than database.event_retention_days; --all compares what is kept",
            date(scored_at)
        ))
    })?;
    let (of_scores, again) = scores(archive, &recorded)?;
    Ok(vec![of_scores, of_weights(archive, &weights, scored_at, Verdict::of(weights.mismatch(&again)))?])
}

fn of_weights(
    archive: &Archive,
    weights: &RecordedWeights,
    scored_at: Wall,
    verdict: Verdict,
) -> Result<Compared, Failure> {
    let became = archive.became(weights.id).map_err(Failure::failed)?;
    let (at, count) = (date(weights.at), weights.weights.len());
    let mut what = format!("weights {} of {at}, block {}, {count} uids", weights.id, weights.at_block);
    if !weights.left_out.is_empty() {
        let names: Vec<String> = weights.left_out.iter().map(|(hotkey, why)| format!("{hotkey} ({why})")).collect();
        what += &format!(", without {}", names.join(", "));
    }
    what += &format!(", {}", on_chain(became.as_ref()));
    let chain = became.as_ref().map_or(
        json!({"state": "meant"}),
        |became| json!({"state": became.kind, "at": date(became.at), "block": became.block, "reason": became.reason}),
    );
    let json = verdict.beside(json!({
        "of": "weights", "epoch": weights.id, "at": at, "block": weights.at_block, "scored_at": date(scored_at),
        "weights": weights.weights, "left_out": weights.left_out, "chain": chain,
    }));
    Ok(Compared { what, verdict, json })
}

/// What is known of them on the chain: that a vector is made again says nothing of that.
fn on_chain(became: Option<&Became>) -> String {
    let Some(Became { kind, block, reason, .. }) = became else {
        return "meant to be set and not sent yet".into();
    };
    let block = block.map_or(String::new(), |block| format!(" in block {block}"));
    let reason = reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
    match kind.as_str() {
        "submitted" => "sent, and in no block yet".into(),
        "included" => format!("included{block}, not confirmed yet"),
        "confirmed" => format!("confirmed on the chain{block}"),
        "refused" => format!("meant to be set and refused{reason}"),
        "expired" => "meant to be set, and no block took them in time".into(),
        "dropped" => format!("meant to be set, committed, and never in force{reason}"),
        "superseded" => "meant to be set, and newer ones came first".into(),
        other => format!("{other}{block}{reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_as_precise_as_it_is_written() {
        let second = 1_795_356_206_000_000_000;
        for (text, nanos) in [
            ("2026-11-22T14:03:26Z", 999_999_999),
            ("1795356206", 999_999_999),
            ("2026-11-22T14:03:26.918159Z", 918_159_999),
            ("2026-11-22 14:03:26.5", 599_999_999),
            ("1795356206.000000001", 1),
        ] {
            assert_eq!(moment(text), Ok(Wall(second + nanos)), "{text}");
        }
        for text in ["", "noon", "1.", ".5", "1.x", "1.-1", "1.0000000001", "2026-11-22T14:03:26.5Z0", "18446744074"] {
            assert!(moment(text).is_err(), "{text}");
        }
        assert_eq!(moment(&date(Wall(second + 918_159_074))), Ok(Wall(second + 918_159_999)));
    }
}
