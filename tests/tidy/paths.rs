//! The paths that a piece of Rust names: `use` trees spread out, and paths written in place.

use crate::source::is_word;

/// Every path in blanked code with at least two parts, `use` trees spread: `use a::{b, c::d as e}` gives `a::b`
/// and `a::c::d`. Leading `::` is dropped.
pub fn named(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let bytes = code.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if is_word(bytes[at]) && !bytes[at].is_ascii_digit() {
            at += path(&code[at..], String::new(), &mut found);
        } else {
            at += 1;
        }
    }
    found.retain(|path| path.contains("::"));
    found
}

/// Reads one path, or the tree that it opens; gives its length.
fn path(code: &str, mut prefix: String, found: &mut Vec<String>) -> usize {
    let mut at = 0;
    loop {
        let word = word_len(&code[at..]);
        if word > 0 {
            prefix.push_str(&code[at..at + word]);
            at += word;
        } else if code[at..].starts_with('*') && prefix.ends_with("::") {
            prefix.push('*');
            found.push(prefix);
            return at + 1;
        } else if code[at..].starts_with('{') && prefix.ends_with("::") {
            return at + group(&code[at..], &prefix, found);
        } else {
            found.push(prefix.trim_end_matches("::").to_owned());
            return at.max(1);
        }
        if !code[at..].starts_with("::") {
            found.push(prefix);
            return at;
        }
        prefix.push_str("::");
        at += 2;
    }
}

/// Reads `{a, b::c, self}`; gives its length.
fn group(code: &str, prefix: &str, found: &mut Vec<String>) -> usize {
    let mut at = 1;
    loop {
        at += code[at..].len() - code[at..].trim_start_matches([' ', '\n', '\t', ',']).len();
        if code[at..].starts_with('}') {
            return at + 1;
        }
        if at >= code.len() {
            return at;
        }
        let renaming = code[at..].starts_with("as ");
        let entry = if renaming { String::new() } else { prefix.to_owned() };
        at += if renaming { 3 + word_len(&code[at + 3..]) } else { path(&code[at..], entry, found) };
    }
}

fn word_len(code: &str) -> usize {
    code.bytes().take_while(|byte| is_word(*byte)).count()
}

#[test]
fn trees_are_spread() {
    let code =
        "use std::{fs, io::{self, Write as _}, net::*};\nlet x = std::env::var; use crate::units::Now; a.b::<c::D>()";
    let expected =
        ["std::fs", "std::io::self", "std::io::Write", "std::net::*", "std::env::var", "crate::units::Now", "c::D"];
    assert_eq!(named(code), expected);
}
