//! Functions stay short, and nothing that a peer reaches can panic.

use crate::{
    none,
    source::{Source, is_word, item_end, of_src, running, rust},
};

const MAX_LINES: usize = 70;

/// Ways to panic. Tests use them; code that runs does not.
const PANICS: [&str; 6] = [".unwrap()", ".expect(", "panic!(", "unreachable!(", "assert!(", "assert_eq!("];

/// Where an error cannot happen, or leaves nothing to go on with: the file, and how often.
const CANNOT_FAIL: [(&str, usize); 4] = [
    // HKDF refuses outputs over 8,160 bytes; a key has 32
    ("src/wire/session/handshake.rs", 1),
    // AES-GCM refuses texts of 64 GiB and more; a body has 32 MiB at most
    ("src/wire/session/package.rs", 1),
    // The provider of ciphers is compiled in, with both versions of TLS
    ("src/net/tls.rs", 1),
    // At start: without its threads a daemon is nothing. A join gives on what a panic hook has ended already
    ("src/spoke/thread.rs", 3),
];

#[test]
fn functions_are_short() {
    let all: Vec<Source> = of_src().into_iter().chain(rust("tests")).collect();
    none("a function is longer than 70 lines", all.iter().flat_map(long_functions).collect());
}

#[test]
fn code_that_runs_does_not_panic_by_word() {
    none("a panic by word outside tests", running().iter().flat_map(panics).collect());
}

fn long_functions(source: &Source) -> Vec<String> {
    let code = crate::source::blank(&source.text);
    let mut findings = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if at > 0 && is_word(code.as_bytes()[at - 1]) {
            continue;
        }
        let lines = code[at..at + item_end(&code[at..])].lines().count();
        if lines > MAX_LINES {
            let name = code[at + 3..].split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
            findings.push(format!("{}: {name} has {lines} lines", source.path));
        }
    }
    findings
}

fn panics(source: &Source) -> Vec<String> {
    let code = source.code();
    let mut findings = Vec::new();
    for (number, line) in code.lines().enumerate() {
        if PANICS.iter().any(|word| line.match_indices(word).any(|(at, _)| is_panic(line, at, word))) {
            findings.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
        }
    }
    let known = CANNOT_FAIL.iter().find(|(path, _)| *path == source.path).map_or(0, |(_, count)| *count);
    if findings.len() == known { Vec::new() } else { findings }
}

/// Other things are called so too: a method `expect` with arguments, `debug_assert!`.
fn is_panic(line: &str, at: usize, word: &str) -> bool {
    let after = line[at + word.len()..].trim_start();
    match word {
        ".expect(" => after.is_empty() || after.starts_with(')'),
        ".unwrap()" => true,
        _ => at == 0 || !is_word(line.as_bytes()[at - 1]),
    }
}

#[test]
fn panics_are_told_from_their_namesakes() {
    let hit = |line: &str, word: &str| line.find(word).is_some_and(|at| is_panic(line, at, word));
    assert!(hit("x.expect(      );", ".expect("));
    assert!(!hit("package.expect(&id, kind)?", ".expect("));
    assert!(!hit("debug_assert!(a)", "assert!("));
    assert!(hit("if x { panic!(  ) }", "panic!("));
}
