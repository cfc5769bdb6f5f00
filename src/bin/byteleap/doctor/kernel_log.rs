//! Errors (XID) that the kernel's log has since the boot. NVML tells of those alone that come while somebody listens, and a
//! doctor comes late.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use byteleap::machine::contract::inventory::PciAddress;
use rustix::fs::OFlags;

/// Numbers by card, each once.
pub type LoggedXids = BTreeMap<PciAddress, Vec<u64>>;

/// The kernel's own limit of one record.
const RECORD_BYTES: usize = 8 << 10;
/// More than any kernel's log holds.
const RECORDS_MAX: usize = 1 << 18;

/// `None`: this process may not read it.
pub fn xids(log: &Path) -> Option<LoggedXids> {
    let opened = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(log);
    let (mut file, mut found) = (opened.ok()?, LoggedXids::new());
    for _ in 0..RECORDS_MAX {
        let Some(record) = record(&mut file) else { break };
        if let Some((pci, xid)) = xid(&record) {
            let numbers = found.entry(pci).or_default();
            if !numbers.contains(&xid) {
                numbers.push(xid);
            }
        }
    }
    Some(found)
}

/// One read gives one record; none when the end is reached.
fn record(file: &mut File) -> Option<String> {
    let mut bytes = vec![0; RECORD_BYTES];
    loop {
        match file.read(&mut bytes) {
            Ok(0) => return None,
            Ok(length) => return Some(String::from_utf8_lossy(&bytes[..length]).into_owned()),
            // It was written over meanwhile: the next read goes on with the oldest that is left.
            Err(why) if matches!(why.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {}
            Err(_) => return None,
        }
    }
}

/// `…;NVRM: Xid (PCI:0000:3b:00): 79, pid=…`
fn xid(record: &str) -> Option<(PciAddress, u64)> {
    let (_, rest) = record.split_once("NVRM: Xid (PCI:")?;
    let (pci, rest) = rest.split_once("): ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((pci.parse().ok()?, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_the_driver_names_card_and_number() {
        let text = "4,1031,7269103,-;NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.\n";
        let (pci, number) = xid(text).unwrap();
        assert_eq!((pci.to_string(), number), ("0000:3b:00.0".to_owned(), 79));
        for other in [
            "6,1,2,-;NVRM: loading NVIDIA UNIX Kernel Module",
            "NVRM: Xid (PCI:zz): 1",
            "NVRM: Xid (PCI:0000:3b:00): x",
            "",
        ] {
            assert_eq!(xid(other), None, "{other}");
        }
    }

    #[test]
    fn a_log_that_is_not_there_is_not_an_empty_one() {
        assert_eq!(xids(Path::new("/nowhere/kmsg")), None);
        assert_eq!(xids(Path::new("/dev/null")), Some(LoggedXids::new()));
    }
}
