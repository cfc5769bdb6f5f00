//! The same code on runtimes of other ages: specs 219 (V14), 365 (V16) and 425 (V14, V15), with what each lacks.

use std::{fs, path::Path};

use byteleap::{
    machine::contract::chain::{Feature, PreflightState},
    spoke::chain::{
        metadata::{Metadata, ShapeFault},
        preflight,
    },
};

use crate::recordings::{V14, V15, metadata, read};

/// Third-party data that is not ours to carry; `None` where it does not lie beside the project.
fn shared(name: &str) -> Option<Metadata> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let path = beside.join("shared/vectors/chain/metadata").join(name);
    match fs::read(&path) {
        Ok(bytes) => Some(Metadata::parse(&bytes).unwrap()),
        Err(why) => {
            println!("skipped: {}: {why}", path.display());
            None
        }
    }
}

/// The rows that are not good: names, and what is different where something is.
fn differences(metadata: &Metadata) -> Vec<String> {
    let rows = preflight::table(metadata, 0).rows.into_iter();
    let told = rows.filter_map(|row| match row.state {
        PreflightState::Good => None,
        PreflightState::Missing => Some(format!("no {} {}", row.kind, row.name)),
        PreflightState::OtherShape(why) => Some(format!("{} {}: {why}", row.kind, row.name)),
    });
    told.collect()
}

fn broken(metadata: &Metadata) -> Vec<Feature> {
    use Feature::*;
    let all = [
        Metagraph,
        SelectiveMetagraph,
        Signing,
        Outcome,
        ServeAxon,
        SetWeights,
        TimelockedCommit,
        HashCommit,
        Standing,
        Register,
    ];
    let table = preflight::table(metadata, 0);
    all.into_iter().filter(|feature| table.broken(*feature).is_some()).collect()
}

const APIS: [&str; 6] = [
    "no runtime API SubnetInfoRuntimeApi_get_metagraph",
    "no runtime API SubnetInfoRuntimeApi_get_selective_metagraph",
    "no runtime API AccountNonceApi_account_nonce",
    "no runtime API AuraApi_slot_duration",
    "no runtime API SubnetInfoRuntimeApi_get_subnet_hyperparams_v3",
    "no runtime API SubnetInfoRuntimeApi_get_subnet_hyperparams_v2",
];

#[test]
fn spec_425_has_all_that_we_use() {
    assert_eq!(differences(&metadata(V15)), [""; 0]);
    assert_eq!(broken(&metadata(V15)), []);
}

#[test]
fn metadata_v14_lacks_the_runtime_apis_and_nothing_else() {
    use Feature::*;
    assert_eq!(differences(&metadata(V14)), APIS);
    assert_eq!(broken(&metadata(V14)), [Metagraph, SelectiveMetagraph, Signing, TimelockedCommit]);
}

#[test]
fn spec_365_lacks_only_stateful_epochs_and_a_limit_of_the_price() {
    let Some(metadata) = shared("finney_2025-12-27_bittensor-rs.scale") else { return };
    assert_eq!(metadata.version(), 16);
    assert_eq!(metadata.extensions().len(), 12);
    assert_eq!(
        differences(&metadata),
        [
            "no call SubtensorModule.register_limit",
            "no storage SubtensorModule.SubnetEpochIndex",
            "no storage SubtensorModule.LastEpochBlock",
            "no storage SubtensorModule.PendingEpochAt",
            "no runtime API SubnetInfoRuntimeApi_get_subnet_hyperparams_v3",
        ]
    );
}

#[test]
fn spec_219_is_read_and_what_it_lacks_is_named() {
    let Some(metadata) = shared("npm_mainnet.js_0.scale") else { return };
    assert_eq!((metadata.version(), metadata.extensions().len()), (14, 11));
    let told = differences(&metadata);
    for missing in
        ["no call SubtensorModule.commit_timelocked_weights", "no call SubtensorModule.set_mechanism_weights"]
    {
        assert!(told.iter().any(|row| row == missing), "{told:#?}");
    }
    let broken = broken(&metadata);
    for good in [Feature::Outcome, Feature::ServeAxon, Feature::SetWeights, Feature::Register] {
        assert!(!broken.contains(&good), "{told:#?}");
    }
    assert!(told.iter().all(|row| row.starts_with("no ")), "what it has, it has in our shape: {told:#?}");
}

#[test]
fn a_version_that_nobody_knows_is_named() {
    let mut bytes = read(V15);
    for (version, known) in [(13, false), (17, false), (255, false)] {
        bytes[4] = version;
        let fault = Metadata::parse(&bytes).map(drop).unwrap_err();
        assert_eq!(fault == ShapeFault::Version(version.into()), !known, "{fault}");
    }
    let fault = Metadata::parse(b"<html>").map(drop).unwrap_err().to_string();
    assert!(fault.contains("does not begin with"), "{fault}");
}

#[test]
fn metadata_cut_anywhere_is_refused() {
    let whole = read(V15);
    let cuts = (0..64).chain((64..whole.len()).step_by(997));
    assert!(cuts.into_iter().all(|length| Metadata::parse(&whole[..length]).is_err()));
}
