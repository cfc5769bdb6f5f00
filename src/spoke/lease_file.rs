//! Leases from a file: looked at, and read whole where it changed.
//!
//! Runs on: its own thread, `leases`, because disks wait and a long file takes time. All or nothing: one bad line, and
//! the file says nothing. It is read when it was the same at two looks, for half of a file may be valid too.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};

use crate::{
    machine::contract::lease_file::{FileStamp, LeaseLook, LeaseSight},
    units::WorkerKey,
    wire::marketplace::parse_worker_key,
};

/// The longest file that is read.
const LARGEST_BYTES: u64 = 16 << 20;
/// Leases of one file.
const MOST: usize = 100_000;

/// The file of the configuration.
#[derive(Debug)]
pub struct LeaseFile {
    path: PathBuf,
}

impl LeaseFile {
    pub fn new(path: PathBuf) -> LeaseFile {
        LeaseFile { path }
    }

    pub fn look(&self, look: LeaseLook) -> LeaseSight {
        self.try_look(look).unwrap_or_else(|why| LeaseSight::Unreadable(format!("{}: {why}", self.path.display())))
    }

    fn try_look(&self, look: LeaseLook) -> io::Result<LeaseSight> {
        // A pipe in its place must not hold the thread.
        let mut file =
            OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&self.path)?;
        let stamp = stamp(&file)?;
        if look.read == Some(stamp) {
            return Ok(LeaseSight::Same(stamp));
        }
        if look.seen != Some(stamp) {
            return Ok(LeaseSight::Changing(stamp));
        }
        if stamp.bytes > LARGEST_BYTES {
            let why = format!("{} bytes, at most {LARGEST_BYTES}", stamp.bytes);
            return Ok(LeaseSight::Invalid { stamp, why });
        }
        let mut text = Vec::new();
        (&mut file).take(LARGEST_BYTES + 1).read_to_end(&mut text)?;
        if self::stamp(&file)? != stamp {
            return Ok(LeaseSight::Changing(self::stamp(&file)?));
        }
        Ok(match parse(&self.path, &text) {
            Ok(leases) => LeaseSight::Read { stamp, leases },
            Err(why) => LeaseSight::Invalid { stamp, why },
        })
    }
}

fn stamp(file: &File) -> io::Result<FileStamp> {
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let modified_ns = i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec());
    Ok(FileStamp { device: about.dev(), inode: about.ino(), bytes: about.size(), modified_ns })
}

/// JSON by its name, else YAML.
fn parse(path: &Path, text: &[u8]) -> Result<Vec<(WorkerKey, f64)>, String> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err("empty; {} ends all leases".into());
    }
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let read: Leases = match is_json {
        true => serde_json::from_slice(text).map_err(|why| why.to_string())?,
        false => serde_yaml::from_slice(text).map_err(|why| why.to_string())?,
    };
    Ok(read.0)
}

/// A map from `hotkey:worker` to a score, each worker once.
struct Leases(Vec<(WorkerKey, f64)>);

impl<'de> Deserialize<'de> for Leases {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Leases, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Leases;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from \"hotkey:worker\" to a score in 0 to 1")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Leases, A::Error> {
                let mut leases = std::collections::BTreeMap::new();
                while let Some(text) = map.next_key::<String>()? {
                    let key = parse_worker_key(&text).map_err(|why| {
                        A::Error::custom(format!("key {text:?} is no hotkey:worker ({})", why.label()))
                    })?;
                    let score: f64 = map.next_value()?;
                    // A negative zero would come out as "-0".
                    let score = score + 0.0;
                    if !(0.0..=1.0).contains(&score) {
                        return Err(A::Error::custom(format!("{text}: score {score} is not in 0 to 1")));
                    }
                    if leases.insert(key, score).is_some() {
                        return Err(A::Error::custom(format!("{text} is there twice")));
                    }
                    if leases.len() > MOST {
                        return Err(A::Error::custom(format!("more than {MOST} leases")));
                    }
                }
                Ok(Leases(leases.into_iter().collect()))
            }
        }
        from.deserialize_map(Look)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

    fn read(name: &str, text: &str) -> Result<Vec<(String, f64)>, String> {
        let leases = parse(Path::new(name), text.as_bytes())?;
        Ok(leases.into_iter().map(|(key, score)| (key.worker.to_string(), score)).collect())
    }

    #[test]
    fn both_forms_say_the_same() {
        let expected = Ok(vec![("gpu-1".to_owned(), 1.0), ("gpu:2".to_owned(), 0.5)]);
        assert_eq!(read("l.yaml", &format!("# ours\n{ALICE}:gpu:2: 0.5\n{ALICE}:gpu-1: 1\n")), expected);
        assert_eq!(read("l.json", &format!("{{\"{ALICE}:gpu:2\": 0.5,\t\"{ALICE}:gpu-1\": 1}}")), expected);
        assert_eq!((read("l.yaml", "{}"), read("l.json", "{}")), (Ok(vec![]), Ok(vec![])));
    }

    #[test]
    fn one_bad_line_refuses_the_whole_file_and_is_named() {
        let good = format!("{ALICE}:good: 1.0\n");
        for (line, told) in [
            (format!("{ALICE}:bad: 1.5"), "bad: score 1.5 is not in 0 to 1"),
            (format!("{ALICE}:bad: -0.1"), "is not in 0 to 1"),
            (format!("{ALICE}:bad: .nan"), "is not in 0 to 1"),
            (format!("{ALICE}:bad: '0.5'"), "invalid type: string"),
            (format!("{ALICE}:bad:"), "invalid type: unit value"),
            (format!("{ALICE}:good: 0.5"), "good is there twice"),
            (format!("{ALICE}: 0.5"), "no_colon"),
            ("someone:w: 0.5".to_owned(), "not_hotkey"),
            (format!("{ALICE}:{}: 0.5", "w".repeat(300)), "not_worker"),
            ("- a list".to_owned(), "line 2"),
        ] {
            let why = read("l.yaml", &format!("{good}{line}\n")).unwrap_err();
            assert!(why.contains(told), "{line}: {why}");
        }
        let why = read("l.json", &format!("{{\n\"{ALICE}:good\": 1,\n\"{ALICE}:bad\": 2}}")).unwrap_err();
        assert!(why.contains("score 2") && why.contains("line 3"), "{why}");
        for half in ["", " \n", "{", "[]", "7", &format!("{{\"{ALICE}:good\": 1,")] {
            assert!(read("l.json", half).is_err(), "{half:?}");
        }
    }

    fn look(file: &LeaseFile, state: &mut LeaseLook) -> LeaseSight {
        let sight = file.look(*state);
        match &sight {
            LeaseSight::Same(stamp) | LeaseSight::Changing(stamp) => state.seen = Some(*stamp),
            LeaseSight::Read { stamp, .. } | LeaseSight::Invalid { stamp, .. } => {
                (state.read, state.seen) = (Some(*stamp), Some(*stamp));
            }
            LeaseSight::Unreadable(_) => state.seen = None,
        }
        sight
    }

    #[test]
    fn a_file_is_read_once_and_again_when_another_takes_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("leases.yaml");
        let (file, mut state) = (LeaseFile::new(path.clone()), LeaseLook::default());
        assert!(
            matches!(look(&file, &mut state), LeaseSight::Unreadable(why) if why.contains("leases.yaml") && why.contains("No such file"))
        );
        fs::write(&path, format!("{ALICE}:a: 1.0\n")).unwrap();
        assert!(matches!(look(&file, &mut state), LeaseSight::Changing(_)));
        assert!(matches!(look(&file, &mut state), LeaseSight::Read { leases, .. } if leases.len() == 1));
        assert!(matches!(look(&file, &mut state), LeaseSight::Same(_)));
        let next = dir.path().join("next.yaml");
        fs::write(&next, "{}").unwrap();
        fs::rename(next, &path).unwrap();
        assert!(matches!(look(&file, &mut state), LeaseSight::Changing(_)));
        assert!(matches!(look(&file, &mut state), LeaseSight::Read { leases, .. } if leases.is_empty()));
    }

    #[test]
    fn a_file_that_is_written_to_is_read_when_it_holds_still() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("leases.yaml");
        let (reader, mut state) = (LeaseFile::new(path.clone()), LeaseLook::default());
        let mut file = File::create(&path).unwrap();
        for id in ["a", "b"] {
            writeln!(file, "{ALICE}:{id}: 1.0").unwrap();
            assert!(matches!(look(&reader, &mut state), LeaseSight::Changing(_)));
        }
        assert!(matches!(look(&reader, &mut state), LeaseSight::Read { leases, .. } if leases.len() == 2));
    }

    #[test]
    fn what_is_no_file_or_too_long_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let told = LeaseFile::new(dir.path().to_owned()).look(LeaseLook::default());
        assert!(matches!(told, LeaseSight::Unreadable(why) if why.contains("not a regular file")));
        let pipe = dir.path().join("pipe.yaml");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let told = LeaseFile::new(pipe).look(LeaseLook::default());
        assert!(matches!(told, LeaseSight::Unreadable(why) if why.contains("not a regular file")));
        let path = dir.path().join("long.yaml");
        File::create(&path).unwrap().set_len(LARGEST_BYTES + 1).unwrap();
        let (reader, mut state) = (LeaseFile::new(path), LeaseLook::default());
        look(&reader, &mut state);
        let told = look(&reader, &mut state);
        assert!(matches!(told, LeaseSight::Invalid { why, .. } if why.contains("16777217 bytes")));
    }
}
