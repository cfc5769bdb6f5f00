//! `byteleap version`: what this build is. The daemons beside it are of the same build when they say the same.

use byteleap::{exit::Failure, version};
use serde_json::json;

use crate::print;

#[derive(clap::Args)]
pub struct Version {
    /// One JSON object in place of text
    #[arg(long)]
    json: bool,
}

pub fn version(options: &Version) -> Result<(), Failure> {
    let text = if options.json {
        json!({
            "version": version::VERSION,
            "revision": version::REVISION,
            "features": version::FEATURES,
            "target": version::target(),
            "profile": version::PROFILE,
        })
        .to_string()
    } else {
        format!("byteleap {}", version::line())
    };
    print::line(&text).map_err(Failure::failed)
}
