//! What lies where, how each file opens, how long it may be, and what the package draws in.

use std::{collections::BTreeMap, fs};

use crate::{
    none,
    source::{Source, of_src, root, rust},
};

const TOP: [&str; 12] = [
    "Cargo.toml",
    "Cargo.lock",
    "flake.nix",
    "flake.lock",
    "src",
    "contrib",
    "cuda",
    "nixos-modules",
    "config",
    "tests",
    "README.md",
    "CHANGELOG.md",
];

const MAX_LINES: usize = 600;

/// A daemon's main is arguments, configuration, spokes, loop: nothing else fits.
const MAX_LINES_OF_A_DAEMON: usize = 160;

/// Asynchronous runtimes, and what only they need.
const RUNTIMES: [&str; 8] =
    ["tokio", "async-std", "smol", "futures-executor", "async-executor", "async-io", "glommio", "monoio"];

/// One generation of each.
const ONCE: [&str; 9] =
    ["aes-gcm", "aes", "sha2", "hkdf", "hmac", "digest", "x25519-dalek", "curve25519-dalek", "schnorrkel"];

fn names(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(directory)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_top_level_is_what_it_should_be() {
    let mut findings = names(".");
    findings.retain(|name| !name.starts_with('.') && !TOP.contains(&name.as_str()));
    findings.retain(|name| !["LICENSE", "target", "result", "proptest-regressions"].contains(&name.as_str()));
    none("something else lies at the top", findings);
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let all: Vec<Source> = of_src().into_iter().chain(rust("tests")).collect();
    let without = all.iter().filter(|source| !source.text.starts_with("//! "));
    none("a file does not open with //!", without.map(|source| source.path.clone()).collect());
}

#[test]
fn files_are_not_long() {
    let all: Vec<Source> = of_src().into_iter().chain(rust("tests")).collect();
    let lines = |source: &Source| source.text.lines().count();
    let long = all.iter().filter(|source| lines(source) > MAX_LINES);
    let findings = long.map(|source| format!("{}: {} lines", source.path, lines(source))).collect();
    none("a file is longer than 600 lines", findings);
}

#[test]
fn daemons_only_compose() {
    let mut findings = Vec::new();
    for role in ["validator", "miner", "worker"] {
        let path = format!("src/bin/{role}.rs");
        let lines = fs::read_to_string(root().join(&path)).unwrap().lines().count();
        if lines > MAX_LINES_OF_A_DAEMON {
            findings.push(format!("{path}: {lines} lines"));
        }
    }
    none("a daemon's main does more than compose", findings);
}

/// Packages of the lock file with their versions.
fn locked() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let mut packages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let quoted = |line: &str, key: &str| line.strip_prefix(key).map(|rest| rest.trim_matches('"').to_owned());
    let mut name = String::new();
    for line in text.lines() {
        if let Some(found) = quoted(line, "name = ") {
            name = found;
        } else if let Some(version) = quoted(line, "version = ").filter(|_| !name.is_empty()) {
            packages.entry(std::mem::take(&mut name)).or_default().push(version);
        }
    }
    packages
}

#[test]
fn no_asynchronous_runtime_is_drawn_in() {
    let locked = locked();
    assert!(locked.contains_key("mio"));
    let findings = RUNTIMES.iter().filter(|name| locked.contains_key(**name)).map(|name| (*name).to_owned());
    none("Cargo.lock has an asynchronous runtime", findings.collect());
}

#[test]
fn each_primitive_is_there_once() {
    let locked = locked();
    let twice = ONCE.iter().filter(|name| locked.get(**name).is_some_and(|versions| versions.len() > 1));
    none("Cargo.lock has two generations", twice.map(|name| format!("{name}: {:?}", locked[*name])).collect());
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut explained = false;
    let mut findings = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
            explained = false;
        } else if line.starts_with('#') {
            explained = true;
        } else if line.is_empty() {
            explained = false;
        } else if inside && !explained {
            findings.push(line.to_owned());
        }
    }
    none("a dependency stands under no comment", findings);
}

/// nixpkgs refuses a file set with a path that does not exist.
#[test]
fn what_the_nix_package_is_made_of_exists() {
    let text = fs::read_to_string(root().join("nixos-modules/package.nix")).unwrap();
    let paths: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("../")).collect();
    assert!(paths.contains(&"src"), "{paths:?}");
    let missing = paths.iter().filter(|path| !root().join(path).exists());
    none("nixos-modules/package.nix names what is not there", missing.map(|path| (*path).to_owned()).collect());
}
