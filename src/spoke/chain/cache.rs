//! Metadata kept on disk, so that a start asks the node for a version instead of a megabyte.
//!
//! Runs on the chain spoke's thread. Owns the files `metadata-GENESIS-sSPEC-vFORMAT.scale` of one directory: each
//! opens with a hash of the rest, is written beside and renamed, and is believed only when that hash holds and the
//! reader of metadata is content with it. A cache that cannot be read or written is a warning and never a failure:
//! what it lacks is fetched. It speaks with no node.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{hash::blake2_256, rpc::to_hex};

/// Metadata of so many runtimes is kept: a host with several chains has several files each.
pub const FILES_MAX: usize = 8;

/// Metadata is about 350 kB; nothing near this is read into memory.
const FILE_BYTES_MAX: u64 = 32 << 20;

const HASH_BYTES: usize = 32;

/// What one file is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Of<'a> {
    pub genesis: &'a [u8; 32],
    pub spec_version: u32,
    /// Of the format: 14, 15 or 16.
    pub format: u32,
}

impl Of<'_> {
    fn file_name(&self) -> String {
        let genesis = to_hex(self.genesis);
        let genesis = genesis.trim_start_matches("0x");
        format!("metadata-{genesis}-s{}-v{}.scale", self.spec_version, self.format)
    }
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
enum CacheFault {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it has {0} bytes, and no metadata has so many")]
    TooLong(u64),
    #[error("its bytes are not those that were written")]
    Torn,
    #[error("{0}")]
    NotUsable(String),
}

/// A directory of metadata, or none.
#[derive(Clone, Debug, Default)]
pub struct MetadataCache {
    directory: Option<PathBuf>,
}

impl MetadataCache {
    /// Keeps nothing and has nothing.
    pub fn none() -> MetadataCache {
        MetadataCache::default()
    }

    /// The directory is made when there is something to keep.
    pub fn at(directory: PathBuf) -> MetadataCache {
        MetadataCache { directory: Some(directory) }
    }

    /// What `reading` makes of the metadata of a runtime; `formats` in the order in which they are wanted. A file that
    /// is not whole, or that `reading` refuses, is named in a warning, removed and passed over.
    pub fn read<T>(
        &self,
        genesis: &[u8; 32],
        spec_version: u32,
        formats: &[u32],
        mut reading: impl FnMut(&[u8]) -> Result<T, String>,
    ) -> Option<T> {
        let directory = self.directory.as_ref()?;
        formats.iter().find_map(|format| {
            let path = directory.join(Of { genesis, spec_version, format: *format }.file_name());
            match read(&path).and_then(|bytes| reading(&bytes).map_err(CacheFault::NotUsable)) {
                Ok(read) => Some(read),
                Err(CacheFault::Io(why)) if why.kind() == io::ErrorKind::NotFound => None,
                Err(why) => {
                    refuse(&path, &why);
                    None
                }
            }
        })
    }

    /// Keeps the metadata of a runtime, and lets the oldest files go.
    pub fn write(&self, of: Of<'_>, metadata: &[u8]) {
        let Some(directory) = &self.directory else { return };
        match write(directory, &of.file_name(), metadata).and_then(|()| prune(directory)) {
            Ok(()) => {
                log::debug!(target: "chain", "metadata of spec {} kept in {}", of.spec_version, directory.display());
            }
            Err(why) => log::warn!(
                target: "chain",
                "metadata of spec {} is not kept in {} ({why}): each start fetches it anew; see subtensor.metadata_cache",
                of.spec_version,
                directory.display()
            ),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CacheFault> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > FILE_BYTES_MAX {
        return Err(CacheFault::TooLong(length));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    match bytes.split_at_checked(HASH_BYTES) {
        Some((hash, metadata)) if hash == blake2_256(metadata) => Ok(metadata.to_vec()),
        _ => Err(CacheFault::Torn),
    }
}

fn refuse(path: &Path, why: &CacheFault) {
    log::warn!(target: "chain", "cached metadata {} is not used: {why}; it is fetched anew", path.display());
    // The file that is fetched takes its place, so one that cannot be removed does no harm.
    let _ = fs::remove_file(path);
}

/// Whole or not at all, also when the power goes: the name is given to bytes that are on the disk.
fn write(directory: &Path, name: &str, metadata: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut file = tempfile::Builder::new().prefix("metadata-").suffix(".part").tempfile_in(directory)?;
    file.write_all(&blake2_256(metadata))?;
    file.write_all(metadata)?;
    file.as_file().sync_all()?;
    file.persist(directory.join(name)).map_err(|refused| refused.error)?;
    Ok(())
}

/// Lets go what is older than the newest [`FILES_MAX`], halves of interrupted writes included. Another daemon may do
/// the same at the same time, so what is gone already is no fault.
fn prune(directory: &Path) -> io::Result<()> {
    let ours = fs::read_dir(directory)?.filter_map(Result::ok);
    let ours = ours.filter(|entry| is_ours(&entry.file_name().to_string_lossy()));
    let dated = |entry: fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
    let mut files: Vec<(SystemTime, PathBuf)> = ours.filter_map(dated).collect();
    files.sort_unstable();
    let surplus = files.len().saturating_sub(FILES_MAX);
    files.iter().take(surplus).try_for_each(|(_, path)| match fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    })
}

fn is_ours(name: &str) -> bool {
    name.starts_with("metadata-") && (name.ends_with(".scale") || name.ends_with(".part"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const GENESIS: [u8; 32] = [7; 32];

    fn of(spec_version: u32, format: u32) -> Of<'static> {
        Of { genesis: &GENESIS, spec_version, format }
    }

    fn stage() -> (tempfile::TempDir, MetadataCache) {
        let files = tempfile::tempdir().unwrap();
        let cache = MetadataCache::at(files.path().join("deep/inside"));
        (files, cache)
    }

    fn read(cache: &MetadataCache, spec_version: u32) -> Option<Vec<u8>> {
        cache.read(&GENESIS, spec_version, &[15, 14], |bytes| Ok(bytes.to_vec()))
    }

    #[test]
    fn what_was_kept_is_read_by_chain_version_and_format() {
        let (_files, cache) = stage();
        cache.write(of(425, 14), b"fourteen");
        assert_eq!(read(&cache, 425).unwrap(), b"fourteen");
        cache.write(of(425, 15), b"fifteen");
        assert_eq!(read(&cache, 425).unwrap(), b"fifteen");
        assert_eq!(read(&cache, 426), None);
        assert_eq!(cache.read(&[8; 32], 425, &[15], |_| Ok(())), None);
    }

    #[test]
    fn a_damaged_file_is_passed_over_and_removed() {
        let (files, cache) = stage();
        cache.write(of(425, 15), b"metadata");
        let path = files.path().join("deep/inside").join(of(425, 15).file_name());
        let whole = fs::read(&path).unwrap();
        for bytes in [&whole[..whole.len() - 1], &whole[..5], &[], &[&whole[..], b"x"].concat()] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(read(&cache, 425), None);
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_its_reader_refuses_is_not_used_and_another_format_is() {
        let (_files, cache) = stage();
        cache.write(of(425, 15), b"of another runtime");
        cache.write(of(425, 14), b"good");
        let reading = |bytes: &[u8]| if bytes == b"good" { Ok(()) } else { Err("metadata of spec 1".to_owned()) };
        assert_eq!(cache.read(&GENESIS, 425, &[15, 14], reading), Some(()));
        assert_eq!(cache.read(&GENESIS, 425, &[15], |_| Ok(())), None, "a refused file is gone");
    }

    #[test]
    fn the_oldest_files_go_and_nothing_else_does() {
        let (files, cache) = stage();
        let directory = files.path().join("deep/inside");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("validator.db"), b"not ours").unwrap();
        fs::write(directory.join("metadata-x.part"), b"half").unwrap();
        let old = |name: String, age_s: u64| {
            let file = File::options().append(true).open(directory.join(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(age_s)).unwrap();
        };
        old("metadata-x.part".into(), 0);
        for spec in 1..=20 {
            cache.write(of(spec, 15), b"metadata");
            old(of(spec, 15).file_name(), spec.into());
        }
        let kept: Vec<u32> = (1..=20).filter(|spec| read(&cache, *spec).is_some()).collect();
        assert_eq!(kept, (13..=20).collect::<Vec<_>>());
        assert!(directory.join("validator.db").exists() && !directory.join("metadata-x.part").exists());
    }

    #[test]
    fn a_directory_that_cannot_be_is_no_failure() {
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("file");
        fs::write(&file, b"").unwrap();
        let cache = MetadataCache::at(file.join("below"));
        cache.write(of(425, 15), b"metadata");
        assert_eq!(read(&cache, 425), None);
        MetadataCache::none().write(of(425, 15), b"metadata");
        assert_eq!(read(&MetadataCache::none(), 425), None);
    }
}
