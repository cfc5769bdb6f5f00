//! What this build is: its version, the revision of its source, and what it was built for.
//!
//! Constants of the source and of the build's own choices alone. It never says when, where or by whom it was built: the same
//! source gives the same bits.

use std::{env::consts, sync::LazyLock};

pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// As whoever built it says in `BYTELEAP_REVISION`: a commit, with `-dirty` behind it where the source was changed since.
pub const REVISION: &str = match option_env!("BYTELEAP_REVISION") {
    Some(revision) if !revision.is_empty() => revision,
    _ => "unknown",
};

/// Those of Cargo's features that are in it.
pub const FEATURES: &[&str] = if cfg!(feature = "cuda") { &["cuda"] } else { &[] };

/// With the optimisations of a release, or with the checks of a debug build.
pub const PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

const LIBRARY: &str = match (cfg!(target_env = "gnu"), cfg!(target_env = "musl")) {
    (true, _) => "-gnu",
    (_, true) => "-musl",
    _ => "",
};

/// Processor, system and C library: `x86_64-linux-gnu`.
pub fn target() -> String {
    format!("{}-{}{LIBRARY}", consts::ARCH, consts::OS)
}

/// What follows the name of a program in the answer to `--version`.
pub static SHORT: LazyLock<String> = LazyLock::new(|| format!("{VERSION} (revision {REVISION})"));

/// All of it in one line, for a log.
pub fn line() -> String {
    let features: String = FEATURES.iter().map(|feature| format!(", {feature}")).collect();
    format!("{}, {}, {PROFILE} build{features}", *SHORT, target())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_built_and_no_more() {
        let begin = format!("{VERSION} (revision {REVISION}), {}, {PROFILE} build", target());
        assert!(line().starts_with(&begin), "{}", line());
        assert_eq!(line().ends_with(", cuda"), cfg!(feature = "cuda"));
        assert!(target().starts_with(consts::ARCH));
    }
}
