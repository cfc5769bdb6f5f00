//! Receipts on the miner's disk: a directory a validator, a file a calculation, the newest ones kept.
//!
//! Runs on: its own thread, `receipts`, because signatures take time and disks wait. A receipt that does not verify is
//! not written; what is read again is verified again, for a disk is nobody's word.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    machine::contract::receipts::{ReceiptsKeep, ReceiptsKept},
    units::{Hotkey, Wall},
    wire::receipt::{Receipt, ReceiptFault, SignedReceipt},
};

/// A file that is larger was not written by us.
const LARGEST_BYTES: u64 = 64 << 20;

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

/// Why a kept calculation can not be read.
#[derive(Debug, thiserror::Error)]
pub enum DrawerError {
    #[error("{}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: not a file of receipts ({why})", .path.display())]
    Form { path: PathBuf, why: String },
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

impl Drawer {
    pub fn new(directory: PathBuf, most: usize) -> Drawer {
        Drawer { directory, most }
    }

    /// Writes what verifies.
    pub fn keep(&mut self, request: &ReceiptsKeep) -> ReceiptsKept {
        let ReceiptsKeep { validator, miner, receipts } = request;
        let mut faults = Vec::new();
        let mut good: Vec<(u64, SignedReceipt)> = Vec::new();
        for signed in receipts {
            match signed.open(validator, miner) {
                Ok(receipt) => good.push((receipt.at_s, signed.clone())),
                Err(fault) => faults.push(fault.to_string()),
            }
        }
        // A calculation may have come between two pages: the newest is whole enough to be kept.
        let newest = good.iter().map(|(at_s, _)| *at_s).max();
        good.retain(|(at_s, _)| Some(*at_s) == newest);
        let mut kept = good.len();
        if let Some(at_s) = newest
            && let Err(why) = self.write(validator, at_s, good.into_iter().map(|(_, signed)| signed).collect())
        {
            faults.push(format!("{}: {why}", self.directory.display()));
            kept = 0;
        }
        let at = newest.filter(|_| kept > 0).map(Wall::from_secs);
        ReceiptsKept { validator: validator.clone(), kept, at, faults }
    }

    fn write(&self, validator: &Hotkey, at_s: u64, receipts: Vec<SignedReceipt>) -> io::Result<()> {
        let directory = self.directory.join(validator.as_str());
        fs::create_dir_all(&directory)?;
        let path = directory.join(format!("{at_s}.json"));
        let partial = directory.join(format!("{at_s}.part"));
        let text = serde_json::to_vec(&Sheet { validator: validator.clone(), receipts })?;
        fs::write(&partial, text)?;
        fs::rename(&partial, &path)?;
        let sheets = sheets(&directory)?;
        for (_, old) in sheets.iter().take(sheets.len().saturating_sub(self.most)) {
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

/// The newest calculation of each validator, by hotkey. A directory that is not there holds none.
pub fn newest(directory: &Path, miner: &Hotkey) -> Result<Vec<Kept>, DrawerError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| DrawerError::File { path, source }
    };
    let entries = match fs::read_dir(directory) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed(directory))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed(directory))?.path();
        if path.is_dir()
            && let Some((at_s, sheet)) = sheets(&path).map_err(failed(&path))?.pop()
        {
            found.push(read(&sheet, at_s, miner)?);
        }
    }
    found.sort_by(|a, b| a.validator.cmp(&b.validator));
    Ok(found)
}

fn read(path: &Path, at_s: u64, miner: &Hotkey) -> Result<Kept, DrawerError> {
    let failed = |source| DrawerError::File { path: path.to_path_buf(), source };
    let form = |why: String| DrawerError::Form { path: path.to_path_buf(), why };
    if fs::metadata(path).map_err(failed)?.len() > LARGEST_BYTES {
        return Err(form(format!("over {LARGEST_BYTES} bytes")));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let sheet: Sheet = serde_json::from_str(&text).map_err(|why| form(why.to_string()))?;
    let receipts = sheet.receipts.iter().map(|signed| signed.open(&sheet.validator, miner)).collect();
    Ok(Kept { validator: sheet.validator, at_s, receipts, signed: sheet.receipts })
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

    fn request(receipts: Vec<SignedReceipt>) -> ReceiptsKeep {
        ReceiptsKeep { validator: key(1).hotkey().clone(), miner: key(2).hotkey().clone(), receipts }
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
        let kept = newest(&dir.path().join("receipts"), key(2).hotkey()).unwrap();
        let names: Vec<_> =
            kept[0].receipts.iter().map(|receipt| receipt.as_ref().unwrap().worker.to_string()).collect();
        assert_eq!((kept.len(), kept[0].at_s, names), (1, 1000, vec!["w1".to_string(), "w2".to_string()]));
        let path = own.join("1000.json");
        let text = fs::read_to_string(&path).unwrap().replace("\\\"score\\\":0.0", "\\\"score\\\":1.0");
        fs::write(&path, text).unwrap();
        let altered = newest(&dir.path().join("receipts"), key(2).hotkey()).unwrap();
        assert!(matches!(altered[0].receipts[..], [Err(ReceiptFault::Altered(_)), Err(ReceiptFault::Altered(_))]));
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
        assert!(newest(&dir.path().join("none"), key(2).hotkey()).unwrap().is_empty());
    }
}
