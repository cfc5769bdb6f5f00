//! The simulated subtensor upgrades its runtime as a real chain does.

use byteleap::{
    spoke::{
        chain::{calls, metadata::Metadata, rpc::to_hex},
        subtensor_sim::{ControlError, UpgradeKind},
    },
    units::Uid,
};
use parity_scale_codec::Decode;
use serde_json::json;

use crate::simulation::{NETUID, Simulation, key};

fn weights() -> calls::Arguments {
    calls::set_weights(NETUID, &[(Uid(1), 65535)], 0)
}

fn spec_at(simulation: &Simulation, block: u64) -> u64 {
    let hash = to_hex(&simulation.block_hash(block));
    simulation.call("state_getRuntimeVersion", json!([hash])).unwrap()["specVersion"].as_u64().unwrap()
}

/// What storage says that it was migrated to.
fn migrated_to(simulation: &Simulation, block: u64) -> u64 {
    #[derive(scale_decode::DecodeAsType)]
    struct LastRuntimeUpgrade {
        spec_version: u32,
    }
    let LastRuntimeUpgrade { spec_version } = simulation.storage(("System", "LastRuntimeUpgrade"), &[], Some(block));
    spec_version.into()
}

fn upgraded(kind: UpgradeKind) -> Simulation {
    let mut simulation = Simulation::plain();
    simulation.node.borrow_mut().upgrade(kind).unwrap();
    simulation.blocks(2);
    simulation
}

#[test]
fn the_block_of_an_upgrade_says_the_new_version_before_its_storage_does() {
    let mut simulation = Simulation::plain();
    simulation.node.borrow_mut().upgrade_at(7, UpgradeKind::Version).unwrap();
    simulation.blocks(3);
    let versions: Vec<_> =
        (5..=8).map(|block| (spec_at(&simulation, block), migrated_to(&simulation, block))).collect();
    assert_eq!(versions, [(425, 425), (425, 425), (426, 425), (426, 426)]);
    let made = simulation.node.borrow_mut().upgrade_at(8, UpgradeKind::Version);
    assert_eq!(made, Err(ControlError::Made(8)));
}

#[test]
fn every_kind_takes_what_is_signed_with_its_own_metadata() {
    for kind in [UpgradeKind::Version, UpgradeKind::Shuffle, UpgradeKind::Newtype, UpgradeKind::EmptyExtension] {
        let mut simulation = upgraded(kind);
        simulation.put(&key(1), "set_weights", weights()).unwrap();
        simulation.blocks(1);
        assert_eq!(simulation.results(), [(8, "success".into())], "{kind:?}");
        let last_update: Vec<u64> =
            simulation.storage(("SubtensorModule", "LastUpdate"), &[&NETUID.0.to_le_bytes()], None);
        assert_eq!(last_update, [8, 0, 0], "{kind:?}");
    }
}

#[test]
fn a_new_extension_that_carries_something_refuses_what_lacks_it() {
    let simulation = upgraded(UpgradeKind::Extension);
    let before = Simulation::plain();
    let old = before.signed(&key(1), "set_weights", weights());
    assert!([1001, 1010].contains(&simulation.submit(&old).unwrap_err().code));
}

#[test]
fn an_older_block_reads_with_its_own_runtime() {
    let mut simulation = Simulation::plain();
    simulation.put(&key(1), "set_weights", weights()).unwrap();
    simulation.blocks(1);
    simulation.node.borrow_mut().upgrade(UpgradeKind::Shuffle).unwrap();
    simulation.blocks(2);
    simulation.put(&key(2), "set_weights", weights()).unwrap();
    simulation.blocks(1);
    let first = |block: u64| -> u8 {
        let key = to_hex(simulation.metadata().storage("System", "Events").unwrap().prefix());
        // How many, the phase of the first (Initialization), its event.
        let events = simulation.bytes("state_getStorage", json!([key, to_hex(&simulation.block_hash(block))]));
        events[2]
    };
    assert_ne!(first(6), first(9), "the index of Drand moved");
    let at = |block: u64| to_hex(&simulation.block_hash(block));
    assert_ne!(
        simulation.call("state_getMetadata", json!([at(6)])).unwrap(),
        simulation.call("state_getMetadata", json!([at(9)])).unwrap()
    );
}

#[test]
fn what_waits_over_an_upgrade_is_dropped_and_not_included() {
    let mut simulation = Simulation::plain();
    simulation.node.borrow_mut().upgrade(UpgradeKind::Version).unwrap();
    let bytes = simulation.signed(&key(1), "set_weights", weights());
    simulation.blocks(1);
    // Made for the runtime before, handed in after: no signature for this one.
    assert_eq!(simulation.submit(&bytes).unwrap_err().data, Some(json!("Transaction has a bad signature")));
}

#[test]
fn both_versions_of_the_metadata_are_upgraded_alike() {
    let simulation = upgraded(UpgradeKind::Shuffle);
    let v14 = Metadata::parse(&simulation.bytes("state_getMetadata", json!([]))).unwrap();
    let v15 = simulation.metadata();
    assert_eq!((v14.version(), v15.version()), (14, 15));
    for (pallet, event) in [("System", "ExtrinsicSuccess"), ("SubtensorModule", "WeightsSet")] {
        assert_eq!(v14.event_prefix(pallet, event).unwrap(), v15.event_prefix(pallet, event).unwrap());
    }
    let versions = simulation.bytes("state_call", json!(["Metadata_metadata_versions", "0x"]));
    assert_eq!(Vec::<u32>::decode(&mut &*versions).unwrap(), [14, 15]);
}

#[test]
fn an_upgrade_can_be_asked_for_by_rpc() {
    let mut simulation = Simulation::plain();
    assert!(simulation.call("sim_upgrade", json!(["downgrade"])).unwrap_err().data.is_some());
    assert_eq!(simulation.call("sim_upgrade", json!(["shuffle", 3])).unwrap_err().message, "block 3 is made already");
    simulation.call("sim_upgrade", json!(["empty-extension"])).unwrap();
    simulation.blocks(1);
    assert_eq!(spec_at(&simulation, 6), 426);
}
