//! Receipts on the miner's disk: a directory a validator, a file a calculation, the newest ones kept.
//!
//! Runs on: its own thread, `receipts`, because signatures take time and disks wait. A receipt that does not verify is
//! not written; what is read again is verified again, for a disk is nobody's word.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    machine::contract::receipts::{CALCULATION_BYTES, ReceiptsKeep, ReceiptsKept},
    units::{Hotkey, Netuid, Wall},
    wire::{
        marketplace::Stamp,
        receipt::{Receipt, ReceiptFault, SignedReceipt},
    },
};

/// A file that is larger was not written by us: at worst every byte of a text is escaped by a second one.
const LARGEST_BYTES: u64 = 8 * CALCULATION_BYTES as u64;
/// How far a validator's clock may be before ours. The time that a receipt says decides which one is the newest.
const AHEAD: Duration = Duration::from_secs(60);

/// Where receipts are kept.
#[derive(Debug)]
pub struct Drawer {
    directory: PathBuf,
    /// Calculations of one validator.
    most: usize,
}

/// One calculation's file.
#[derive(Serialize, Deserialize)]
struct Sheet {
    validator: Hotkey,
    receipts: Vec<SignedReceipt>,
}

/// Why a kept calculation can not be used.
#[derive(Debug, thiserror::Error)]
pub enum DrawerError {
    #[error("{}: cannot be read", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: not a file of receipts ({why}); move it away", .path.display())]
    Form { path: PathBuf, why: String },
    #[error("{}: of {}, which is to come by this host's clock", .path.display(), Stamp::seconds(*.at))]
    Early { path: PathBuf, at: Wall },
    #[error("{}: {fault}", .path.display())]
    OfAnother { path: PathBuf, fault: ReceiptFault },
}

/// Whose receipts are looked for, and when.
#[derive(Clone, Debug)]
pub struct Reader {
    pub miner: Hotkey,
    pub netuid: Netuid,
    pub now: Wall,
}

/// What a validator's directory came to.
#[derive(Debug)]
pub struct Found {
    /// The directory's name: the validator's hotkey.
    pub validator: String,
    pub kept: Option<Kept>,
    /// What is newer than that, and cannot be used.
    pub passed_by: Vec<DrawerError>,
}

/// A calculation as it was kept, each receipt verified anew.
#[derive(Debug)]
pub struct Kept {
    pub validator: Hotkey,
    pub at_s: u64,
    pub receipts: Vec<Result<Receipt, ReceiptFault>>,
    /// As they came.
    pub signed: Vec<SignedReceipt>,
}

fn to_come(at_s: u64, now: Wall) -> bool {
    Wall::from_secs(at_s) > now + AHEAD
}

impl Drawer {
    pub fn new(directory: PathBuf, most: usize) -> Drawer {
        Drawer { directory, most }
    }

    /// Writes what verifies.
    pub fn keep(&mut self, request: &ReceiptsKeep) -> ReceiptsKept {
        let ReceiptsKeep { validator, miner, netuid, heard, receipts } = request;
        let mut faults = Vec::new();
        let mut good: Vec<(u64, SignedReceipt)> = Vec::new();
        for signed in receipts {
            match signed.open(validator, miner, *netuid) {
                Ok(receipt) if to_come(receipt.at_s, *heard) => {
                    let (said, ours) = (Stamp::seconds(Wall::from_secs(receipt.at_s)), Stamp::seconds(*heard));
                    faults.push(format!("a receipt of {said}, and it is {ours} by our clock"));
                }
                Ok(receipt) => good.push((receipt.at_s, signed.clone())),
                Err(fault) => faults.push(fault.to_string()),
            }
        }
        // Honest pages are all of one calculation; a file says when it is of, so it is of one in any case.
        let newest = good.iter().map(|(at_s, _)| *at_s).max();
        good.retain(|(at_s, _)| Some(*at_s) == newest);
        let mut kept = good.len();
        if let Some(at_s) = newest
            && let Err(why) = self.write(validator, at_s, *heard, good.into_iter().map(|(_, signed)| signed).collect())
        {
            faults.push(format!("{}: {why}", self.directory.display()));
            kept = 0;
        }
        let at = newest.filter(|_| kept > 0).map(Wall::from_secs);
        ReceiptsKept { validator: validator.clone(), kept, at, faults }
    }

    fn write(&self, validator: &Hotkey, at_s: u64, now: Wall, receipts: Vec<SignedReceipt>) -> io::Result<()> {
        let directory = self.directory.join(validator.as_str());
        fs::create_dir_all(&directory)?;
        let text = serde_json::to_vec(&Sheet { validator: validator.clone(), receipts })?;
        if text.len() as u64 > LARGEST_BYTES {
            return Err(io::Error::other(format!("{} bytes, at most {LARGEST_BYTES}", text.len())));
        }
        let partial = directory.join("sheet.part");
        let mut file = File::create(&partial)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&partial, directory.join(format!("{at_s}.json")))?;
        File::open(&directory)?.sync_all()?;
        // One that says to be of later was kept under another clock: it shall not push out those of now.
        let mut past = sheets(&directory)?;
        past.retain(|(at_s, _)| !to_come(*at_s, now));
        for (_, old) in past.iter().take(past.len().saturating_sub(self.most)) {
            fs::remove_file(old)?;
        }
        Ok(())
    }
}

/// The files of one validator, oldest first.
fn sheets(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let at_s = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        let ours = path.extension().is_some_and(|extension| extension == "json");
        all.extend(at_s.filter(|_| ours).map(|at_s| (at_s, path)));
    }
    all.sort();
    Ok(all)
}

/// The newest calculation of each validator that can be used, by the directories' names. A directory that is not there
/// holds none; what is wrong with one validator's files says nothing of another's.
pub fn newest(directory: &Path, reader: &Reader) -> Result<Vec<Found>, DrawerError> {
    let failed = |source| DrawerError::File { path: directory.to_path_buf(), source };
    let entries = match fs::read_dir(directory) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(failed)?;
    paths.retain(|path| path.is_dir());
    paths.sort();
    Ok(paths.iter().map(|path| newest_in(path, reader)).filter(Found::is_something).collect())
}

fn newest_in(directory: &Path, reader: &Reader) -> Found {
    let validator = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = Found { validator, kept: None, passed_by: Vec::new() };
    let sheets = sheets(directory).unwrap_or_else(|source| {
        found.passed_by.push(DrawerError::File { path: directory.to_path_buf(), source });
        Vec::new()
    });
    for (at_s, path) in sheets.into_iter().rev() {
        match read(path, at_s, &found.validator, reader) {
            Ok(kept) => return Found { kept: Some(kept), ..found },
            Err(why) => found.passed_by.push(why),
        }
    }
    found
}

impl Found {
    fn is_something(&self) -> bool {
        self.kept.is_some() || !self.passed_by.is_empty()
    }
}

fn read(path: PathBuf, at_s: u64, validator: &str, reader: &Reader) -> Result<Kept, DrawerError> {
    if to_come(at_s, reader.now) {
        return Err(DrawerError::Early { path, at: Wall::from_secs(at_s) });
    }
    let text = match fs::metadata(&path).and_then(|about| match about.len() {
        0..=LARGEST_BYTES => fs::read_to_string(&path),
        bytes => Err(io::Error::other(format!("{bytes} bytes, at most {LARGEST_BYTES}"))),
    }) {
        Ok(text) => text,
        Err(why) if why.kind() == ErrorKind::InvalidData => {
            return Err(DrawerError::Form { path, why: why.to_string() });
        }
        Err(source) => return Err(DrawerError::File { path, source }),
    };
    let sheet: Sheet = match serde_json::from_str(&text) {
        Ok(sheet) => sheet,
        Err(why) => return Err(DrawerError::Form { path, why: why.to_string() }),
    };
    if sheet.validator.as_str() != validator {
        return Err(DrawerError::Form { path, why: format!("it is of the validator {}", sheet.validator) });
    }
    let open = |signed: &SignedReceipt| signed.open(&sheet.validator, &reader.miner, reader.netuid);
    let receipts: Vec<_> = sheet.receipts.iter().map(open).collect();
    match receipts.first() {
        None => Err(DrawerError::Form { path, why: "without a receipt".into() }),
        Some(Err(fault)) if receipts.iter().all(|of| of.as_ref().is_err_and(ReceiptFault::is_of_another)) => {
            Err(DrawerError::OfAnother { path, fault: fault.clone() })
        }
        Some(_) => Ok(Kept { validator: sheet.validator, at_s, receipts, signed: sheet.receipts }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        units::WorkerId,
        wire::{keys::Keypair, receipt::FORMAT},
    };

    fn key(seed: u8) -> Keypair {
        Keypair::from_seed([seed; 32]).unwrap()
    }

    fn receipt(at_s: u64, worker: &str) -> SignedReceipt {
        let receipt = Receipt {
            receipt: FORMAT.into(),
            validator: key(1).hotkey().clone(),
            netuid: 128,
            block: 1,
            at: String::new(),
            at_s,
            policy: serde_json::Value::Null,
            hotkey: key(2).hotkey().clone(),
            worker: WorkerId::new(worker),
            challenges: Default::default(),
            availability: Default::default(),
            performance: 0.0,
            score: 0.0,
            rank: None,
            lease: Default::default(),
            miner: Default::default(),
            network: Default::default(),
            reasons: vec![],
        };
        receipt.sign(&key(1))
    }

    const NOW: Wall = Wall(5_000_000_000_000);

    fn request(receipts: Vec<SignedReceipt>) -> ReceiptsKeep {
        let (validator, miner) = (key(1).hotkey().clone(), key(2).hotkey().clone());
        ReceiptsKeep { validator, miner, netuid: Netuid(128), heard: NOW, receipts }
    }

    fn reader() -> Reader {
        Reader { miner: key(2).hotkey().clone(), netuid: Netuid(128), now: NOW }
    }

    /// What is found of the only validator: when the calculation is of, and what was passed by.
    fn only(directory: &Path) -> (Option<u64>, Vec<DrawerError>) {
        let mut found = newest(directory, &reader()).unwrap();
        assert_eq!(found.len(), 1);
        let Found { kept, passed_by, .. } = found.remove(0);
        (kept.map(|kept| kept.at_s), passed_by)
    }

    #[test]
    fn the_newest_calculations_are_kept_and_verified_again_when_they_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut drawer = Drawer::new(dir.path().join("receipts"), 3);
        for at_s in [5, 100, 30, 7, 1000] {
            let done = drawer.keep(&request(vec![receipt(at_s, "w1"), receipt(at_s, "w2")]));
            assert_eq!((done.kept, done.at, done.faults), (2, Some(Wall::from_secs(at_s)), vec![]));
        }
        let own = dir.path().join("receipts").join(key(1).hotkey().as_str());
        let left: Vec<u64> = sheets(&own).unwrap().into_iter().map(|(at_s, _)| at_s).collect();
        assert_eq!(left, [30, 100, 1000]);
        let found = newest(&dir.path().join("receipts"), &reader()).unwrap();
        let kept = found[0].kept.as_ref().unwrap();
        let names: Vec<_> = kept.receipts.iter().map(|receipt| receipt.as_ref().unwrap().worker.to_string()).collect();
        assert_eq!((found.len(), kept.at_s, names), (1, 1000, vec!["w1".to_string(), "w2".to_string()]));
        let path = own.join("1000.json");
        let text = fs::read_to_string(&path).unwrap().replace("\\\"score\\\":0.0", "\\\"score\\\":1.0");
        fs::write(&path, text).unwrap();
        let altered = newest(&dir.path().join("receipts"), &reader()).unwrap().remove(0).kept.unwrap();
        assert!(matches!(altered.receipts[..], [Err(ReceiptFault::Altered(_)), Err(ReceiptFault::Altered(_))]));
    }

    #[test]
    fn a_time_to_come_is_refused_and_pushes_nothing_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut drawer = Drawer::new(dir.path().to_path_buf(), 1);
        let done = drawer.keep(&request(vec![receipt(5061, "w1")]));
        assert_eq!((done.kept, done.at), (0, None));
        let said = "a receipt of 1970-01-01T01:24:21Z, and it is 1970-01-01T01:23:20Z by our clock";
        assert_eq!(done.faults, [said]);
        let done = drawer.keep(&ReceiptsKeep { heard: Wall::from_secs(9000), ..request(vec![receipt(9000, "w1")]) });
        assert_eq!(done.kept, 1, "by a clock that was wrong");
        assert_eq!(drawer.keep(&request(vec![receipt(5060, "w1")])).kept, 1);
        let (at_s, passed_by) = only(dir.path());
        assert_eq!(at_s, Some(5060));
        assert!(matches!(passed_by[..], [DrawerError::Early { at: Wall(9_000_000_000_000), .. }]), "{passed_by:?}");
    }

    #[test]
    fn a_bad_sheet_is_named_and_the_next_older_one_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut drawer = Drawer::new(dir.path().to_path_buf(), 9);
        for at_s in [1, 2, 3, 4] {
            assert_eq!(drawer.keep(&request(vec![receipt(at_s, "w1")])).kept, 1);
        }
        let own = dir.path().join(key(1).hotkey().as_str());
        fs::write(own.join("4.json"), "").unwrap();
        fs::write(own.join("3.json"), [0xFF; 9]).unwrap();
        fs::create_dir(own.join("9.json")).unwrap();
        let other = dir.path().join("another");
        fs::create_dir(&other).unwrap();
        fs::copy(own.join("1.json"), other.join("1.json")).unwrap();
        let found = newest(dir.path(), &reader()).unwrap();
        let of: Vec<_> = found.iter().map(|of| (of.kept.as_ref().map(|kept| kept.at_s), of.passed_by.len())).collect();
        assert_eq!(of, [(Some(2), 3), (None, 1)]);
        let said = format!("it is of the validator {}", key(1).hotkey());
        assert!(found[1].passed_by[0].to_string().contains(&said), "{:?}", found[1].passed_by);
        let named: Vec<bool> = found[0].passed_by.iter().map(|why| matches!(why, DrawerError::Form { .. })).collect();
        assert_eq!(named, [false, true, true], "{:?}", found[0].passed_by);
        assert!(fs::read_dir(&own).unwrap().all(|entry| entry.unwrap().path().extension().unwrap() == "json"));
    }

    #[test]
    fn sheets_of_another_hotkey_or_subnet_are_passed_by() {
        let dir = tempfile::tempdir().unwrap();
        let mut drawer = Drawer::new(dir.path().to_path_buf(), 9);
        drawer.keep(&request(vec![receipt(1, "w1")]));
        let other = Reader { miner: key(3).hotkey().clone(), ..reader() };
        let passed_by = newest(dir.path(), &other).unwrap().remove(0).passed_by;
        let fault = ReceiptFault::OtherMiner(key(2).hotkey().clone());
        assert!(matches!(&passed_by[..], [DrawerError::OfAnother { fault: of, .. }] if *of == fault), "{passed_by:?}");
        let elsewhere = ReceiptsKeep { netuid: Netuid(1), ..request(vec![receipt(2, "w1")]) };
        assert_eq!(drawer.keep(&elsewhere).faults, ["a receipt of the subnet 128, and this miner is on 1"]);
        assert_eq!(only(dir.path()).0, Some(1));
    }

    #[test]
    fn what_does_not_verify_is_named_and_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut drawer = Drawer::new(dir.path().to_path_buf(), 3);
        let forged = SignedReceipt { signature: receipt(1, "w1").signature, ..receipt(1, "w2") };
        let done = drawer.keep(&request(vec![receipt(1, "w1"), forged.clone()]));
        assert_eq!((done.kept, done.faults.len()), (1, 1));
        assert!(done.faults[0].contains("was altered"), "{:?}", done.faults);
        let done = drawer.keep(&request(vec![forged]));
        assert_eq!((done.kept, done.at), (0, None));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let done = Drawer::new(file.clone(), 3).keep(&request(vec![receipt(1, "w1")]));
        assert_eq!((done.kept, done.at), (0, None));
        assert!(done.faults[0].starts_with(&format!("{}: ", file.display())), "{:?}", done.faults);
        assert!(newest(&dir.path().join("none"), &reader()).unwrap().is_empty());
    }
}
