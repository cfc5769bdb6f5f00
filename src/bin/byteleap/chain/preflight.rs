//! `byteleap chain preflight`: every name and shape that we use, and whether the chain's runtime has it.

use byteleap::{
    exit::Failure,
    machine::contract::chain::{Feature, Preflight, PreflightRow, PreflightState},
};
use serde_json::{Value, json};

use super::{
    Told,
    node::{Node, Place},
    table::{Column, Table},
};

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub place: Place,
}

pub fn tell(options: &Options) -> Result<Told, Failure> {
    let preflight = Node::reading(&options.place, options.place.settings()?)?.preflight()?;
    Ok(Told { text: text(&preflight), json: as_json(&preflight), fault: fault(&preflight) })
}

fn text(preflight: &Preflight) -> String {
    let columns = ["kind", "name", "found", "shape", "used by"].map(Column::Text);
    let mut table = Table::new(&columns);
    for row in &preflight.rows {
        let (found, shape) = match &row.state {
            PreflightState::Good => ("yes", "as known"),
            PreflightState::Missing => ("no", "-"),
            PreflightState::OtherShape(what) => ("yes", what.as_str()),
        };
        table.row([row.kind, &row.name, found, shape, &features(row)].map(str::to_owned));
    }
    format!("runtime spec {}, metadata V{}\n{table}", preflight.spec_version, preflight.metadata_version)
}

fn features(row: &PreflightRow) -> String {
    let names: Vec<&str> = row.used_by.iter().map(|feature| feature.name()).collect();
    if names.is_empty() { "(no daemon)".to_owned() } else { names.join(", ") }
}

/// What only this tool shows is missed by nobody.
pub fn broken(preflight: &Preflight) -> Vec<&PreflightRow> {
    let rows = preflight.rows.iter();
    rows.filter(|row| row.state != PreflightState::Good && !row.used_by.is_empty()).collect()
}

/// How many are not as we know them, and which features do not work therefore.
fn fault(preflight: &Preflight) -> Option<String> {
    let bad = broken(preflight);
    let mut lost: Vec<Feature> = bad.iter().flat_map(|row| row.used_by.iter().copied()).collect();
    lost.sort_unstable();
    lost.dedup();
    let names: Vec<&str> = lost.into_iter().map(Feature::name).collect();
    let count = (bad.len(), preflight.rows.len());
    let what = format!("{} of {} names are not as this version knows them", count.0, count.1);
    (!bad.is_empty()).then(|| format!("{what}; disabled: {}; update", names.join(", ")))
}

fn as_json(preflight: &Preflight) -> Value {
    let row = |row: &PreflightRow| {
        let (found, shape) = match &row.state {
            PreflightState::Good => (true, Value::Null),
            PreflightState::Missing => (false, Value::Null),
            PreflightState::OtherShape(what) => (true, json!(what)),
        };
        let used_by: Vec<&str> = row.used_by.iter().map(|feature| feature.name()).collect();
        let good = row.state == PreflightState::Good;
        json!({"kind": row.kind, "name": row.name, "good": good, "found": found, "other_shape": shape, "used_by": used_by})
    };
    json!({
        "spec_version": preflight.spec_version,
        "metadata_version": preflight.metadata_version,
        "good": broken(preflight).is_empty(),
        "rows": preflight.rows.iter().map(row).collect::<Vec<Value>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, used_by: &'static [Feature], state: PreflightState) -> PreflightRow {
        PreflightRow { kind: "call", name: name.into(), used_by, state }
    }

    #[test]
    fn what_is_broken_is_named_with_what_it_disables() {
        let mut rows = vec![row("SubtensorModule.set_weights", &[Feature::SetWeights], PreflightState::Good)];
        let mut preflight = Preflight { spec_version: 425, metadata_version: 15, rows: rows.clone() };
        assert_eq!(fault(&preflight), None);
        rows.push(row("SubtensorModule.serve_axon", &[Feature::ServeAxon], PreflightState::Missing));
        rows.push(row("System.Events", &[Feature::Outcome], PreflightState::OtherShape("a tuple".into())));
        rows.push(row("SubtensorModule.SubnetOwner", &[], PreflightState::Missing));
        preflight.rows = rows;
        let told = fault(&preflight).unwrap();
        assert_eq!(told, "2 of 4 names are not as this version knows them; disabled: outcome, serve_axon; update");
        let table = text(&preflight);
        assert!(table.contains("call  SubtensorModule.serve_axon   no     -         serve_axon\n"), "{table}");
        assert_eq!(as_json(&preflight)["rows"][2]["other_shape"], "a tuple");
    }
}
