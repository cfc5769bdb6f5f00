//! Who may import whom, and what quiet rooms may not name.

use crate::{
    none, paths,
    source::{Source, of_src, running},
};

/// What each room may name of the house, besides itself. The order is the order of the house.
const ROOMS: [(&str, &[&str]); 19] = [
    ("units", &[]),
    ("metrics", &["units"]),
    ("config", &["units"]),
    ("wire", &["units"]),
    ("compute", &["units", "wire"]),
    ("machine", &["units", "wire", "compute", "config", "metrics"]),
    ("log", &["config"]),
    ("notify", &[]),
    ("version", &[]),
    ("wallet", &["units", "wire", "config"]),
    ("exit", &["config", "log", "machine", "notify", "wallet"]),
    ("net", &["units", "wire", "machine", "metrics", "exit", "notify", "spoke", "version"]),
    ("spoke", &["units", "wire", "compute", "machine", "metrics", "net"]),
    ("cuda", &[]),
    ("executor", &["units", "wire", "compute", "config", "cuda", "exit", "log", "net", "version"]),
    ("daemon", &["wire", "machine", "config", "log", "wallet", "exit", "net", "spoke", "version"]),
    ("devnet", &["units", "wire", "config", "wallet", "net", "spoke"]),
    ("lib", &[]),
    ("bin", &[]),
];

const QUIET: [&str; 6] = ["units", "wire", "compute", "machine", "config", "metrics"];

/// Loud although its room is quiet: the one place where a configuration file is read.
const EXCEPT: [&str; 1] = ["src/config/file.rs"];

/// Paths that quiet rooms do not name, by their beginning.
const LOUD: [&str; 32] = [
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "std::os",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::time::UNIX_EPOCH",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::Condvar",
    "std::sync::mpsc",
    "std::sync::atomic",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "mio",
    "tungstenite",
    "crossbeam",
    "rusqlite",
    "ureq",
    "rustls",
    "rustix",
    "sysinfo",
    "signal_hook",
    "getrandom",
    "tempfile",
    "libc",
    "cust",
    "std::panic",
];

/// All of `std::net` that is a value and not a socket.
const ADDRESSES: [&str; 8] =
    ["SocketAddr", "SocketAddrV4", "SocketAddrV6", "IpAddr", "Ipv4Addr", "Ipv6Addr", "AddrParseError", "self"];

/// Macros that speak to a terminal.
const PRINTING: [&str; 4] = ["println!", "eprintln!", "print!", "eprint!"];

#[test]
fn imports_go_one_way() {
    let findings = running().iter().flat_map(foreign_rooms).collect();
    none("a room names another one that its place does not allow", findings);
}

#[test]
fn every_room_has_its_place() {
    let unknown = |source: &&Source| !ROOMS.iter().any(|(room, _)| source.room() == Some(room));
    let findings = of_src().iter().filter(unknown).map(|source| source.path.clone()).collect();
    none("a file of no room", findings);
}

#[test]
fn quiet_rooms_are_quiet() {
    let quiet = |source: &&Source| {
        source.room().is_some_and(|room| QUIET.contains(&room)) && !EXCEPT.contains(&source.path.as_str())
    };
    let findings = running().iter().filter(quiet).flat_map(loud_names).collect();
    none("a quiet room names a clock, socket, file, thread, channel or terminal", findings);
}

/// Where `unsafe` may stand: the processor's instructions, the driver's symbols, the fence around its bindings, and
/// NVIDIA's product that ours is measured by.
const UNSAFE: [&str; 5] =
    ["src/compute/kernel/", "src/cuda/api.rs", "src/cuda/driver.rs", "src/cuda/fence.rs", "src/cuda/cublas_lt.rs"];

#[test]
fn unsafe_code_has_its_places() {
    let safe = |source: &&Source| !UNSAFE.iter().any(|place| source.path.starts_with(place));
    let is_unsafe = |source: &&Source| {
        let code = source.code();
        code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
    };
    let findings = running().iter().filter(safe).filter(is_unsafe).map(|source| source.path.clone()).collect();
    none("unsafe code outside its places", findings);
}

#[test]
fn only_tools_print() {
    let findings = running().iter().filter(|source| source.room() != Some("bin")).flat_map(printing).collect();
    none("a terminal is spoken to outside src/bin", findings);
}

fn foreign_rooms(source: &Source) -> Vec<String> {
    let room = source.room().unwrap_or_default();
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else { return Vec::new() };
    if ["bin", "lib"].contains(&room) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for path in paths::named(&source.code()) {
        let parts: Vec<&str> = path.split("::").collect();
        let climbs = parts.iter().take_while(|part| **part == "super").count();
        let named = match parts.as_slice() {
            ["crate", named, ..] => named,
            _ if climbs >= source.depth() => "the crate's root, by super",
            _ => continue,
        };
        if named != room && !allowed.contains(&named) {
            findings.push(format!("{}: {path}", source.path));
        }
    }
    findings
}

fn loud_names(source: &Source) -> Vec<String> {
    let named = paths::named(&source.code());
    let loud = named.iter().filter(|path| is_loud(path)).map(|path| format!("{}: {path}", source.path));
    loud.collect()
}

fn is_loud(path: &str) -> bool {
    if let Some(rest) = path.strip_prefix("std::net::") {
        return !rest.split("::").next().is_some_and(|first| ADDRESSES.contains(&first));
    }
    let glob = path.starts_with("std::") && path.ends_with("::*");
    glob || LOUD.iter().any(|loud| path == *loud || path.starts_with(&format!("{loud}::")))
}

fn printing(source: &Source) -> Vec<String> {
    if source.path == "src/exit.rs" {
        return Vec::new();
    }
    let code = source.code();
    PRINTING.iter().filter(|word| code.contains(**word)).map(|word| format!("{}: {word}", source.path)).collect()
}

#[test]
fn loud_paths_are_known() {
    for path in
        ["std::fs::read", "std::net::TcpStream", "std::net::*", "mio::Poll", "std::time::Instant::now", "std::fs"]
    {
        assert!(is_loud(path), "{path}");
    }
    for path in ["std::net::SocketAddr", "std::time::Duration", "mionic::x", "std::net::IpAddr::V4", "std::fmt::Write"]
    {
        assert!(!is_loud(path), "{path}");
    }
}
