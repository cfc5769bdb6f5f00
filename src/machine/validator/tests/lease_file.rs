//! A validator whose leases come from a file.

use super::bench::{Bench, CONFIG, Miner, keys};
use crate::{
    machine::contract::{
        lease_file::{FileStamp, LeaseSight},
        store::{Snapshot, Write},
    },
    metrics::Metric,
    units::{WorkerId, WorkerKey},
};

fn stamp(inode: u64) -> FileStamp {
    FileStamp { device: 1, inode, bytes: 9, modified_ns: 0 }
}

fn read(inode: u64, miner: &Miner, leases: &[(&str, f64)]) -> LeaseSight {
    let key = |worker: &str| WorkerKey::new(miner.hotkey(), &WorkerId::new(worker));
    LeaseSight::Read { stamp: stamp(inode), leases: leases.iter().map(|(id, score)| (key(id), *score)).collect() }
}

#[test]
fn a_file_of_leases_spares_workers_and_stays_when_it_breaks() {
    let mut miner = Miner::new(1);
    let config = format!("{CONFIG}leases: {{source: file, file: /l.yaml}}\n");
    let own = (1..=20).map(keys).find(|keys| keys.hotkey() == miner.hotkey()).unwrap();
    let mut bench = Bench::start(keys(200), &config, &[&own], Snapshot::default());
    let invalid = LeaseSight::Invalid { stamp: stamp(2), why: "line 3: half of it".into() };
    bench.sights.extend([read(1, &miner, &[("w00", 1.0)]), LeaseSight::Same(stamp(1)), invalid]);
    bench.sights.extend(std::iter::repeat_n(LeaseSight::Same(stamp(2)), 200));
    miner.handshake(&mut bench).unwrap();
    miner.heartbeat(&mut bench, &["w00", "w01"]);
    bench.seconds(2);
    assert_eq!(bench.counted(Metric::LeaseFileValid, &[]), Some(1.0));
    bench.seconds(238);
    let tasks: Vec<String> =
        miner.tasks(&mut bench, None).iter().map(|task| task.target_worker_id.to_string()).collect();
    assert_eq!(tasks, ["w01"]);
    assert_eq!(bench.counted(Metric::LeaseFileValid, &[]), Some(0.0));
    assert!(bench.counted(Metric::LeasesAgeSeconds, &[]).is_some_and(|age| age > 200.0), "a bad file says nothing");
    bench.sights.clear();
    bench.sights.push_back(read(3, &miner, &[]));
    bench.sights.extend(std::iter::repeat_n(LeaseSight::Same(stamp(3)), 5));
    bench.seconds(5);
    assert_eq!(
        (bench.counted(Metric::Leases, &[]), bench.counted(Metric::LeaseFileValid, &[])),
        (Some(0.0), Some(1.0))
    );
    let written = bench.written.iter().filter(|write| matches!(write, Write::Leases(_))).count();
    assert_eq!(written, 2, "a lease, and its end");
}
