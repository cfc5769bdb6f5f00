//! Which GPU lost its context when, in a file beside the socket: what it takes to leave out a card that ends the process
//! again and again, so that the others work.
//!
//! Runs on: the main thread, at the start and at the end. A context that is lost is lost for the whole process, with all
//! of its cards; the next process asks here which card to do without. What cannot be read is nothing known, said in the
//! log: a missing note leaves out no card.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::units::Wall;

/// So many losses within [`SPAN`] are one too many.
const LIMIT: usize = 3;
const SPAN: Duration = Duration::from_secs(3600);
/// Losses that are kept: the newest.
const KEPT: usize = 64;
const FILE_BYTES: u64 = 16 << 10;

/// A loss a line: seconds since 1970, and whose it was.
#[derive(Debug)]
pub struct Losses {
    at: PathBuf,
    lines: Vec<(u64, String)>,
}

impl Losses {
    /// What executors on this socket have noted within the last hour.
    pub fn read(socket: &Path, now: Wall) -> Losses {
        let mut name = OsString::from(socket);
        name.push(".lost");
        let at = PathBuf::from(name);
        let text = read(&at).unwrap_or_else(|why| {
            log::warn!(target: "gpu", "which GPUs lost their contexts cannot be read from {}: {why}", at.display());
            String::new()
        });
        // A clock that was set back makes a loss no older.
        let recent = |(at, _): &(u64, String)| seconds(now).abs_diff(*at) <= SPAN.as_secs();
        let lines = text.lines().filter_map(line).filter(recent).collect();
        Losses { at, lines }
    }

    /// The cards to do without, and why.
    pub fn left_out(&self) -> BTreeMap<String, String> {
        let mut counts = BTreeMap::<&str, usize>::new();
        self.lines.iter().for_each(|(_, uuid)| *counts.entry(uuid).or_default() += 1);
        let why = |count: usize| {
            format!(
                "left out, so that the others work: it hung or lost its context {count} times within an hour, which ends the whole \
                 process; look for its XID in the kernel's log. An executor that is started an hour later tries it again, or \
                 sooner without {}",
                self.at.display()
            )
        };
        counts
            .into_iter()
            .filter(|(_, count)| *count >= LIMIT)
            .map(|(uuid, count)| (uuid.to_owned(), why(count)))
            .collect()
    }

    /// Notes one more, for the next process.
    pub fn add(&mut self, uuid: &str, now: Wall) {
        self.lines.push((seconds(now), uuid.to_owned()));
        self.lines.drain(..self.lines.len().saturating_sub(KEPT));
        if let Err(why) = self.write() {
            log::warn!(target: "gpu", "that {uuid} lost its context cannot be noted in {}: {why}", self.at.display());
        }
    }

    /// All of it or none, for this user alone.
    fn write(&self) -> io::Result<()> {
        let directory = self.at.parent().filter(|directory| !directory.as_os_str().is_empty());
        let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))?;
        for (at, uuid) in &self.lines {
            writeln!(file, "{at} {uuid}")?;
        }
        file.persist(&self.at).map(drop).map_err(|why| why.error)
    }
}

/// The file's text; nothing where there is none. In a directory of many users another one's word does not count.
fn read(at: &Path) -> io::Result<String> {
    let found = match fs::symlink_metadata(at) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(String::new()),
        found => found?,
    };
    if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it is no file of this user"));
    }
    let mut text = String::new();
    File::open(at)?.take(FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn line(text: &str) -> Option<(u64, String)> {
    let (at, uuid) = text.split_once(' ')?;
    Some((at.parse().ok()?, uuid.to_owned()))
}

fn seconds(at: Wall) -> u64 {
    at.0 / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Wall {
        Wall((1_000_000 + minutes * 60) * 1_000_000_000)
    }

    #[test]
    fn three_losses_within_an_hour_leave_a_card_out_and_no_other() {
        let site = tempfile::tempdir().unwrap();
        let socket = site.path().join("gpu.sock");
        for (minute, uuid) in [(0, "GPU-1"), (5, "GPU-2"), (10, "GPU-1"), (20, "GPU-1")] {
            let mut losses = Losses::read(&socket, at(minute));
            assert!(losses.left_out().is_empty(), "minute {minute}");
            losses.add(uuid, at(minute));
        }
        let left_out = |minute| Losses::read(&socket, at(minute)).left_out();
        assert_eq!(left_out(30).keys().collect::<Vec<_>>(), ["GPU-1"]);
        assert!(left_out(30)["GPU-1"].contains("3 times") && left_out(30)["GPU-1"].contains("gpu.sock.lost"));
        assert!(left_out(61).is_empty(), "the first is over an hour old");
    }

    #[test]
    fn what_is_no_note_of_ours_leaves_out_nothing() {
        let site = tempfile::tempdir().unwrap();
        let (socket, note) = (site.path().join("gpu.sock"), site.path().join("gpu.sock.lost"));
        let lines = |now| Losses::read(&socket, now).lines.len();
        assert_eq!(lines(at(0)), 0);
        fs::write(&note, "1000000 GPU-1\nnonsense\n-1 GPU-2\n\n1000000\n").unwrap();
        assert_eq!(lines(at(0)), 1);
        fs::write(&note, [0xff, 0xfe]).unwrap();
        assert_eq!(lines(at(0)), 0);
        fs::remove_file(&note).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &note).unwrap();
        assert_eq!(lines(at(0)), 0);
    }

    #[test]
    fn only_the_newest_are_kept() {
        let site = tempfile::tempdir().unwrap();
        let socket = site.path().join("gpu.sock");
        let mut losses = Losses::read(&socket, at(0));
        (0..100).for_each(|number| losses.add(&format!("GPU-{number}"), at(0)));
        let read = Losses::read(&socket, at(1));
        assert_eq!((read.lines.len(), read.lines[0].1.as_str()), (KEPT, "GPU-36"));
    }
}
