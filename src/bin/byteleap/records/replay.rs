//! `byteleap replay`: what was scored, and the weights that were set, calculated again from the log.

use byteleap::{
    exit::Failure,
    machine::score::Scores,
    spoke::store::replay::{Archive, Mismatch, Recorded, RecordedWeights},
    units::{Wall, from_date},
};
use serde_json::{Value, json};

use super::{Source, date, say};

#[derive(clap::Args)]
#[command(
    after_help = "Ends with status 0 when everything is identical to the bit, and with 1 when something differs."
)]
pub struct Replay {
    #[command(flatten)]
    source: Source,
    /// The calculation in force at this time: 2026-11-22T14:03:26Z, or Unix seconds
    #[arg(long, value_name = "TIME", value_parser = moment, group = "which")]
    at: Option<Wall>,
    /// The weights set as number N, with the calculation that they were made from [default: the newest]
    #[arg(long, value_name = "N", group = "which")]
    epoch: Option<u64>,
    /// Every calculation that the database has, and all weights
    #[arg(long, group = "which")]
    all: bool,
    /// One JSON object in place of text
    #[arg(long)]
    json: bool,
}

fn moment(text: &str) -> Result<Wall, String> {
    let seconds = text.parse().ok().or_else(|| from_date(text));
    let seconds = seconds.filter(|seconds| *seconds < u64::MAX / 1_000_000_000);
    seconds.map(Wall::from_secs).ok_or_else(|| format!("{text:?} is no time: 2026-11-22T14:03:26Z, or Unix seconds"))
}

/// One comparison.
struct Compared {
    what: String,
    mismatch: Option<Mismatch>,
    json: Value,
}

pub fn replay(options: &Replay) -> Result<(), Failure> {
    let path = options.source.path()?;
    let archive = Archive::open(&path).map_err(Failure::config)?;
    let compared = compare(options, &archive)?;
    let different = compared.iter().filter(|of| of.mismatch.is_some()).count();
    let mut text = String::new();
    for of in &compared {
        let verdict = of.mismatch.as_ref().map_or("identical".to_owned(), |what| format!("DIFFERENT: {what}"));
        text += &format!("{}: {verdict}\n", of.what);
    }
    let list: Vec<&Value> = compared.iter().map(|of| &of.json).collect();
    say(options.json, &text, &json!({"identical": different == 0, "compared": list}))?;
    match different {
        0 => Ok(()),
        _ => Err(Failure::failed(format!("{different} of {} differ from what was recorded", compared.len()))),
    }
}

fn compare(options: &Replay, archive: &Archive) -> Result<Vec<Compared>, Failure> {
    let newest = Wall(i64::MAX as u64);
    if options.all {
        let moments = archive.moments().map_err(Failure::failed)?;
        let mut all =
            moments.into_iter().map(|at| scores(archive, at).map(|(of, _)| of)).collect::<Result<Vec<_>, _>>()?;
        for id in archive.epochs().map_err(Failure::failed)? {
            all.extend(epoch(archive, Some(id))?.pop());
        }
        return Ok(all);
    }
    match (options.at, options.epoch) {
        (Some(at), _) => Ok(vec![scores(archive, at)?.0]),
        (None, Some(id)) => epoch(archive, Some(id)),
        (None, None) if archive.weights(None).map_err(Failure::failed)?.is_some() => epoch(archive, None),
        (None, None) => Ok(vec![scores(archive, newest)?.0]),
    }
}

fn scores(archive: &Archive, until: Wall) -> Result<(Compared, Scores), Failure> {
    let recorded = archive.recorded(until).map_err(Failure::failed)?;
    let recorded = recorded.ok_or_else(|| Failure::failed(nothing(archive, until)))?;
    let again = archive.again(&recorded).map_err(Failure::failed)?;
    Ok((of_scores(&recorded, &again), again))
}

fn nothing(archive: &Archive, until: Wall) -> String {
    match archive.moments().unwrap_or_default().first() {
        Some(first) => format!("no scores were calculated until {}: the oldest are of {}", date(until), date(*first)),
        None => "no scores were calculated yet, or all are older than database.event_retention_days".to_owned(),
    }
}

fn of_scores(recorded: &Recorded, again: &Scores) -> Compared {
    let mismatch = recorded.mismatch(again);
    let (at, policy) = (date(recorded.at), recorded.policy.id);
    let (miners, workers) = (again.miners.len(), again.workers.len());
    let what = format!("scores of {at} by {policy}, {miners} miners, {workers} workers, facts up to {}", recorded.seq);
    let json = json!({
        "of": "scores", "at": at, "policy": recorded.policy, "facts": recorded.seq, "miners": miners,
        "workers": workers, "digest": hex::encode(recorded.digest), "identical": mismatch.is_none(),
        "difference": mismatch.as_ref().map(ToString::to_string),
    });
    Compared { what, mismatch, json }
}

/// The scores that the weights were made from, then the weights.
fn epoch(archive: &Archive, id: Option<u64>) -> Result<Vec<Compared>, Failure> {
    let found = archive.weights(id).map_err(Failure::failed)?;
    let name = id.map_or("any".to_owned(), |id| format!("{id}"));
    let weights = found.ok_or_else(|| Failure::failed(format!("the database has no weights of number {name}")))?;
    let Some(scored_at) = weights.scored_at else {
        let text =
            format!("weights {} were set by a version that kept no log: they can not be calculated again", weights.id);
        return Err(Failure::failed(text));
    };
    let (of_scores, again) = scores(archive, scored_at)?;
    Ok(vec![of_scores, of_weights(&weights, scored_at, &again)])
}

fn of_weights(weights: &RecordedWeights, scored_at: Wall, again: &Scores) -> Compared {
    let mismatch = weights.mismatch(again);
    let (at, count) = (date(weights.at), weights.weights.len());
    let mut what = format!("weights {} of {at}, block {}, {count} uids", weights.id, weights.at_block);
    if !weights.left_out.is_empty() {
        let names: Vec<String> = weights.left_out.iter().map(|(hotkey, why)| format!("{hotkey} ({why})")).collect();
        what += &format!(", without {}", names.join(", "));
    }
    let json = json!({
        "of": "weights", "epoch": weights.id, "at": at, "block": weights.at_block, "scored_at": date(scored_at),
        "weights": weights.weights, "left_out": weights.left_out, "identical": mismatch.is_none(),
        "difference": mismatch.as_ref().map(ToString::to_string),
    });
    Compared { what, mismatch, json }
}
