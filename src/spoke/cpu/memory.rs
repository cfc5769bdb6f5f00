//! What memory this host can spare, asked before work that needs much of it. It reserves nothing.

/// What could be had now without swapping: the host's, or what is left of this process's own control group.
pub fn available_bytes() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let host = system.available_memory();
    // Files that were read count against a group too, but go when memory is wanted: only what is held counts.
    let group = system.cgroup_limits().map(|group| group.total_memory.saturating_sub(group.rss));
    group.map_or(host, |group| group.min(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_runs_tests_has_some_memory_left() {
        assert!(available_bytes() > 16 << 20);
    }
}
