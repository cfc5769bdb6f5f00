//! Words that have no place here.

use byteleap::metrics::Metric;

use crate::{
    none,
    source::{Source, of_src, running, rust, texts},
};

/// Not in any text of the repository. In pieces, so that this file passes too.
const BANNED: [&str; 22] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
    concat!("for ", "now"),
    concat!("place", "holder"),
    concat!("unimpl", "emented!"),
    concat!("to", "do!("),
    concat!("db", "g!("),
    concat!("allow(", "dead_code"),
    concat!("#[ig", "nore"),
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("files.python", "hosted"),
    concat!("registry.", "npmjs"),
    concat!("proxy.", "golang"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
    concat!("/tmp", "/bl"),
    concat!("../sha", "red"),
];

/// Names that say nothing.
const EMPTY_NAMES: [&str; 4] =
    [concat!("Mana", "ger"), concat!("Hand", "ler"), concat!("Hel", "per"), concat!("Ut", "il")];

fn everything() -> Vec<Source> {
    let all = texts(".").into_iter();
    all.filter(|source| !source.path.ends_with(".lock") && !source.path.starts_with(".git/")).collect()
}

#[test]
fn banned_words_are_absent() {
    let mut findings = Vec::new();
    for source in everything() {
        for (number, line) in source.text.lines().enumerate() {
            let hits = BANNED.iter().filter(|word| has(line, word));
            findings.extend(hits.map(|word| format!("{}:{}: {word}", source.path, number + 1)));
        }
    }
    none("a banned word", findings);
}

/// A banned word of letters alone counts when it stands alone.
fn has(line: &str, word: &str) -> bool {
    let letters = word.bytes().all(|byte| byte.is_ascii_alphabetic());
    let edge = |c: Option<char>| !letters || !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word)
        .any(|(at, _)| edge(line[..at].chars().next_back()) && edge(line[at + word.len()..].chars().next()))
}

/// A name in the catalogue that nothing measures would be a lie on every dashboard.
#[test]
fn every_metric_is_measured() {
    let code: String = running().iter().map(Source::code).collect();
    let measured = |metric: &Metric| {
        let word = format!("Metric::{metric:?}");
        code.match_indices(&word).any(|(at, _)| !code[at + word.len()..].starts_with(|c: char| c.is_alphanumeric()))
    };
    let idle = Metric::ALL.iter().filter(|metric| !measured(metric));
    none("a metric that nothing measures", idle.map(|metric| format!("{metric:?}")).collect());
}

#[test]
fn names_say_what_a_thing_is() {
    let mut findings = Vec::new();
    for source in of_src().into_iter().chain(rust("tests")) {
        let code = crate::source::blank(&source.text);
        let declared = ["struct ", "enum ", "trait ", "type ", "mod "].iter().flat_map(|kind| declared(&code, kind));
        let empty = declared.filter(|name| EMPTY_NAMES.iter().any(|word| says_nothing(name, word)));
        findings.extend(empty.map(|name| format!("{}: {name}", source.path)));
    }
    none("a name that says nothing", findings);
}

fn says_nothing(name: &str, word: &str) -> bool {
    name.contains(word) || name.split('_').any(|part| part.trim_end_matches('s') == word.to_ascii_lowercase())
}

fn declared<'a>(code: &'a str, kind: &str) -> Vec<&'a str> {
    let names = code.match_indices(kind).map(|(at, _)| {
        let rest = &code[at + kind.len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    });
    names.collect()
}

#[test]
fn words_are_found_where_they_stand_alone() {
    assert!(has(concat!("// TO", "DO later"), concat!("TO", "DO")));
    assert!(!has(concat!("// MASTO", "DON"), concat!("TO", "DO")));
    assert!(says_nothing(concat!("string_ut", "ils"), concat!("Ut", "il")));
    assert!(!says_nothing("until", concat!("Ut", "il")));
}
