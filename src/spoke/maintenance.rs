//! The file of announced maintenance: what `byteleap maintenance` writes and the miner reads.
//!
//! Runs on: the miner's thread `maintenance`, and in the operator's tool. The file is replaced whole, by a rename, so that
//! no reader ever sees half of it. Bounded: [`MOST`] windows.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    machine::contract::maintenance::{MaintenanceLook, MaintenanceSight},
    wire::{
        limits,
        messages::{LONGEST_MAINTENANCE, MaintenanceNotice},
    },
};

/// A file that is larger was not written by us.
const LARGEST_BYTES: u64 = 1 << 20;
/// Windows, one a worker: as many as a heartbeat takes.
const MOST: usize = limits::HEARTBEAT_WORKERS;

#[derive(Debug)]
pub struct NoticeFile {
    path: Option<PathBuf>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notices {
    maintenance: Vec<MaintenanceNotice>,
}

/// Why a file of announced maintenance is of no use.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    #[error("{}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {why}", .path.display())]
    Form { path: PathBuf, why: String },
}

impl NoticeFile {
    /// `None`: nothing is ever announced.
    pub fn new(path: Option<PathBuf>) -> NoticeFile {
        NoticeFile { path }
    }

    pub fn look(&self, _: MaintenanceLook) -> MaintenanceSight {
        match self.path.as_deref().map(read) {
            None | Some(Ok(None)) => MaintenanceSight::Absent,
            Some(Ok(Some(notices))) => MaintenanceSight::Read(notices),
            Some(Err(why)) => {
                let cause = std::error::Error::source(&why).map_or(String::new(), |source| format!(": {source}"));
                MaintenanceSight::Unreadable(format!("{why}{cause}"))
            }
        }
    }
}

/// What is announced; `None`: there is no file.
pub fn read(path: &Path) -> Result<Option<Vec<MaintenanceNotice>>, NoticeError> {
    let unreadable = |source| NoticeError::File { path: path.to_owned(), source };
    let text = match fs::metadata(path).and_then(|about| match about.len() {
        0..=LARGEST_BYTES => fs::read_to_string(path),
        bytes => Err(io::Error::other(format!("{bytes} bytes, at most {LARGEST_BYTES}"))),
    }) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let wrong = |why: String| NoticeError::Form { path: path.to_owned(), why };
    let Notices { mut maintenance } =
        serde_json::from_str(&text).map_err(|why| wrong(format!("no file of maintenance: {why}")))?;
    maintenance.sort();
    check(&maintenance).map_err(wrong)?;
    Ok(Some(maintenance))
}

/// Replaces the file whole.
pub fn write(path: &Path, notices: &[MaintenanceNotice]) -> Result<(), NoticeError> {
    check(notices).map_err(|why| NoticeError::Form { path: path.to_owned(), why })?;
    let text = serde_json::to_string_pretty(&Notices { maintenance: notices.to_vec() }).unwrap_or_default();
    let new = path.with_extension("new");
    let failed = |source| NoticeError::File { path: path.to_owned(), source };
    fs::write(&new, text + "\n").and_then(|()| fs::rename(&new, path)).map_err(failed)
}

fn check(notices: &[MaintenanceNotice]) -> Result<(), String> {
    if notices.len() > MOST {
        return Err(format!("{} windows, at most {}", notices.len(), MOST));
    }
    for (place, MaintenanceNotice { worker_id, from, until }) in notices.iter().enumerate() {
        if from >= until {
            return Err(format!("worker {worker_id}: the window ends before it begins"));
        }
        let hours = LONGEST_MAINTENANCE.as_secs() / 3600;
        if until - from > LONGEST_MAINTENANCE.as_secs() {
            return Err(format!("worker {worker_id}: longer than {hours} h, which no validator takes"));
        }
        if notices[..place].iter().any(|other| other.worker_id == *worker_id) {
            return Err(format!("worker {worker_id} has two windows: one at a time"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::WorkerId;

    fn notice(worker: &str, from: u64, until: u64) -> MaintenanceNotice {
        MaintenanceNotice { worker_id: WorkerId::new(worker), from, until }
    }

    #[test]
    fn what_is_written_is_read_and_no_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("maintenance.json");
        let file = NoticeFile::new(Some(path.clone()));
        assert_eq!(file.look(MaintenanceLook), MaintenanceSight::Absent);
        write(&path, &[notice("w", 10, 20)]).unwrap();
        assert_eq!(file.look(MaintenanceLook), MaintenanceSight::Read(vec![notice("w", 10, 20)]));
        assert_eq!(NoticeFile::new(None).look(MaintenanceLook), MaintenanceSight::Absent);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn windows_that_make_no_sense_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("maintenance.json");
        for (notices, told) in [
            (vec![notice("w", 20, 20)], "worker w: the window ends"),
            (vec![notice("w", 0, 24 * 3600 + 1)], "worker w: longer than 24 h"),
            (vec![notice("w", 1, 2), notice("w", 3, 4)], "worker w has two windows"),
            ((0..=MOST as u64).map(|n| notice(&format!("w{n}"), 1, 2)).collect(), "windows, at most"),
        ] {
            assert!(write(&path, &notices).unwrap_err().to_string().contains(told));
            assert!(!path.exists());
        }
        for text in ["", "{}", "[]", r#"{"maintenance":[{"worker_id":"w"}]}"#, r#"{"maintenance":[],"x":1}"#] {
            fs::write(&path, text).unwrap();
            assert!(
                read(&path).unwrap_err().to_string().contains("maintenance.json: no file of maintenance"),
                "{text}"
            );
        }
    }
}
