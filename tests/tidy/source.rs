//! The files of the house, and Rust text with its comments and literals blanked.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A text file of the repository.
pub struct Source {
    /// Relative to the repository, with `/`.
    pub path: String,
    pub text: String,
}

impl Source {
    /// `wire` for `src/wire/http.rs`; `config` for `src/config/mod.rs`; `log` for `src/log.rs`; `bin`.
    pub fn room(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        let first = rest.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    /// Names of modules from the crate's root: `wire::http` has two.
    pub fn depth(&self) -> usize {
        let parts = self.path.split('/').skip(1).filter(|part| !["mod.rs", "lib.rs"].contains(part));
        parts.count()
    }

    /// Where the files of its submodules lie: `src/wire/` for `src/wire/mod.rs` and `src/wire.rs`.
    fn submodules(&self) -> &str {
        let stem = self.path.trim_end_matches(".rs");
        ["mod", "lib", "main"].iter().find_map(|name| stem.strip_suffix(name)).unwrap_or(stem).trim_end_matches('/')
    }

    /// Modules in files of their own that only tests see, as beginnings of paths.
    fn test_modules(&self) -> Vec<String> {
        let code = blank(&self.text);
        let marked = code.match_indices(TEST_MARK).filter_map(|(at, _)| {
            let item = &code[at + TEST_MARK.len()..at + item_end(&code[at..])];
            Some(item.trim().strip_prefix("mod ")?.strip_suffix(';')?.trim().to_owned())
        });
        marked.flat_map(|name| ["/", ".rs"].map(|end| format!("{}/{name}{end}", self.submodules()))).collect()
    }

    /// The code without comments, literals and `#[cfg(test)]` modules; line breaks stay where they were.
    pub fn code(&self) -> String {
        without_tests(&blank(&self.text))
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Rust files below `src`.
pub fn of_src() -> Vec<Source> {
    rust("src")
}

/// Rust files below `src` whose code runs outside tests.
pub fn running() -> Vec<Source> {
    let all = of_src();
    let tests: Vec<String> = all.iter().flat_map(Source::test_modules).collect();
    all.into_iter().filter(|source| !tests.iter().any(|path| source.path.starts_with(path))).collect()
}

/// Rust files below a directory.
pub fn rust(directory: &str) -> Vec<Source> {
    texts(directory).into_iter().filter(|source| source.path.ends_with(".rs")).collect()
}

/// All text files below a directory, recorded data and build output excluded. Paths in order.
pub fn texts(directory: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root().join(directory), &mut paths);
    paths.sort();
    paths.iter().filter_map(|path| read(path)).collect()
}

fn read(path: &Path) -> Option<Source> {
    let text = fs::read_to_string(path).ok()?;
    let path = path.strip_prefix(root()).ok()?.to_str()?.to_owned();
    Some(Source { path, text })
}

fn walk(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let skipped = ["target", ".git", "data", "result", "venv", "__pycache__"].iter().any(|skip| name == *skip);
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !skipped => walk(&path, into),
            Ok(kind) if kind.is_file() && !skipped => into.push(path),
            _ => {}
        }
    }
}

/// Rust text with comments, strings and character literals turned to spaces, byte for byte.
pub fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = at + literal_or_comment(&bytes[at..], at > 0 && is_word(bytes[at - 1]));
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(code).expect("only whole characters were blanked")
}

/// Length of the comment or literal that starts here; 0 when none does.
fn literal_or_comment(rest: &[u8], in_word: bool) -> usize {
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => 1 + string(&rest[1..]),
        [b'r', ..] if !in_word => raw_string(rest, 1),
        [b'b', b'r', ..] if !in_word => raw_string(rest, 2),
        [b'\'', ..] => character(rest),
        _ => 0,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Up to and with the closing quote.
fn string(rest: &[u8]) -> usize {
    let mut at = 0;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[u8], prefix: usize) -> usize {
    let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(prefix + hashes) != Some(&b'"') {
        return 0;
    }
    let close = [&b"\""[..], &vec![b'#'; hashes]].concat();
    let body = prefix + hashes + 1;
    let end = rest[body..].windows(close.len()).position(|window| window == close);
    end.map_or(rest.len(), |end| body + end + close.len())
}

/// A character literal, not a lifetime.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        let end = rest.iter().skip(3).position(|byte| *byte == b'\'');
        return end.map_or(rest.len(), |end| end + 4);
    }
    let close = rest.iter().skip(1).take(5).position(|byte| *byte == b'\'');
    match close {
        Some(len) if len > 0 && std::str::from_utf8(&rest[1..=len]).is_ok_and(|text| text.chars().count() == 1) => {
            len + 2
        }
        _ => 0,
    }
}

pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Before what only tests see.
const TEST_MARK: &str = "#[cfg(test)]";

/// The functions that assert what a machine holds true: for tests and the simulator.
const INVARIANTS: &str = "fn check_invariants(";

/// Blanked code without the modules that only tests see, and without the checks of invariants.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(start) = [TEST_MARK, INVARIANTS].iter().filter_map(|mark| rest.find(mark)).min() {
        kept.push_str(&rest[..start]);
        let end = start + item_end(&rest[start..]);
        kept.extend(rest[start..end].chars().filter(|c| *c == '\n'));
        rest = &rest[end..];
    }
    kept + rest
}

/// Length of the item at the start of blanked code: to its `;`, or to the end of its braces.
pub fn item_end(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[test]
fn literals_and_comments_are_not_code() {
    let code = blank(
        "let a = \"x // \\\" y\"; // std::fs\nlet b = r#\"\"q\"#; /* a /* b */ c */ let c = '\\''; let d: &'a str = 'é';",
    );
    let words: Vec<&str> = code.split_whitespace().collect();
    let expected = "let a = ; let b = ; let c = ; let d: &'a str = ;";
    assert_eq!(words, expected.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn modules_of_tests_are_not_code() {
    let code =
        without_tests("use a;\n#[cfg(test)]\nmod tests {\n use b;\n {}\n}\nuse c;\n#[cfg(test)]\nmod more;\nuse d;");
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["use", "a;", "use", "c;", "use", "d;"]);
    assert_eq!(code.lines().count(), 10);
}
