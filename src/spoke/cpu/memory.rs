//! What memory this host can spare, asked before work that needs much of it. It reserves nothing.

use std::{fs, path::Path};

use rustix::{
    param::page_size,
    process::{Resource, getrlimit},
};

/// Where control groups lie.
const GROUPS: &str = "/sys/fs/cgroup";

/// What could be had now without swapping: the host's, or what is left of this process's own control groups or of
/// its address space (`ulimit -v`). What a system does not tell of is taken for no limit.
pub fn available_bytes() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let space = left_of_space(getrlimit(Resource::As).current, &statm, page_size() as u64);
    [left_of(Path::new(GROUPS), &groups), space].into_iter().flatten().fold(system.available_memory(), u64::min)
}

/// What is left of a limited address space; `statm` begins with the pages that are taken.
fn left_of_space(limit: Option<u64>, statm: &str, page_bytes: u64) -> Option<u64> {
    let taken: u64 = statm.split_whitespace().next()?.parse().ok()?;
    Some(limit?.saturating_sub(taken * page_bytes))
}

/// The least that is left of the process's control groups and those that they lie in, named as in
/// `/proc/self/cgroup`; `None` when none has a limit.
fn left_of(root: &Path, groups: &str) -> Option<u64> {
    let lefts = groups.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let (root, limit, held) = match controllers {
            "" => (root.to_owned(), "memory.max", "anon "),
            _ if controllers.split(',').any(|one| one == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes", "total_rss ")
            }
            _ => return None,
        };
        let groups = Path::new(path.trim_start_matches('/')).ancestors();
        groups.filter_map(|group| left(&root.join(group), limit, held)).min()
    });
    lefts.min()
}

/// Files that were read count against a group too, but go when memory is wanted: only what is held counts.
fn left(group: &Path, limit: &str, held: &str) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    let limit: u64 = read(limit)?.trim().parse().ok()?;
    let stat = read("memory.stat")?;
    let held: u64 = stat.lines().find_map(|line| line.strip_prefix(held))?.trim().parse().ok()?;
    Some(limit.saturating_sub(held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_runs_tests_has_some_memory_left() {
        assert!(available_bytes() > 16 << 20);
    }

    #[test]
    fn a_limited_address_space_counts() {
        assert_eq!(left_of_space(Some(10 << 20), "256 7 3 1 0 9 0", 4096), Some(9 << 20));
        assert_eq!(left_of_space(Some(1 << 20), "256 7 3 1 0 9 0", 8192), Some(0));
        assert_eq!(left_of_space(None, "256 7 3 1 0 9 0", 4096), None);
    }

    #[test]
    fn the_tightest_group_around_this_process_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = |path: &str, limit: (&str, &str), held: &str| {
            let group = root.path().join(path);
            fs::create_dir_all(&group).unwrap();
            fs::write(group.join(limit.0), limit.1).unwrap();
            fs::write(group.join("memory.stat"), held).unwrap();
        };
        let of = |groups| left_of(root.path(), groups);
        group("", ("memory.max", "9000\n"), "anon 1000\nfile 7\n");
        group("system.slice", ("memory.max", "700\n"), "anon 300\nfile 7\n");
        group("system.slice/worker.service", ("memory.max", "max\n"), "anon 200\n");
        group("memory/a/b", ("memory.limit_in_bytes", "50\n"), "rss 1\ntotal_rss 60\n");
        assert_eq!(of("0::/system.slice/worker.service\n"), Some(400));
        assert_eq!(of("0::/elsewhere\n"), Some(8000));
        assert_eq!(of("3:cpu:/a\n4:memory:/a/b\n"), Some(0));
        assert_eq!(of("3:cpu:/a\n4:memory:/elsewhere\nnothing\n"), None);
    }
}
