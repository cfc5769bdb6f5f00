//! The house rules that a compiler does not hold: walls between rooms, headers, lengths, words, dependencies.

mod files;
mod functions;
mod paths;
mod source;
mod walls;
mod words;

/// Fails with every finding, one a line.
fn none(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}\n  {}", findings.join("\n  "));
}
