//! The form that a configuration file is read through: one call a key.
//!
//! Each call says a key's path, its default and what is allowed, and gives a checked value; what is wrong
//! is noted and the default taken, so that one run finds every problem. The calls are also the list of all
//! known keys. It reads no file and knows no role.

use std::{
    fmt::Display,
    net::IpAddr,
    ops::{Bound, RangeBounds, RangeInclusive},
    path::PathBuf,
    time::Duration,
};

use super::{Checked, ConfigError, Problem, Warning, Wrong, suggest, yaml::Node};

/// A key that a role knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Dotted, e.g. `validation.cpu.matrix_size`.
    pub path: &'static str,
    /// What holds when the key is absent or null.
    pub default: Node,
    /// What it may be, in words.
    pub allowed: String,
    /// For a key of the reference implementation that has no use here: what replaces it.
    pub replaced_by: Option<&'static str>,
}

/// See the module.
pub struct Form {
    root: Node,
    keys: Vec<Key>,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl Form {
    pub fn new(root: Node) -> Form {
        let mut form = Form { root, keys: Vec::new(), problems: Vec::new(), warnings: Vec::new() };
        if !matches!(form.root, Node::Map(_)) {
            let found = form.root.shown();
            form.problem("", &found, "a section of keys");
        }
        form
    }

    /// What is read.
    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// The value at a dotted path; `None` when it, or a section above it, is absent or null.
    pub(super) fn at(&self, path: &str) -> Option<Node> {
        let mut node = &self.root;
        for part in path.split('.') {
            node = node.get(part)?;
        }
        (*node != Node::Null).then(|| node.clone())
    }

    fn known(&mut self, path: &'static str, default: Node, allowed: &str) {
        self.keys.push(Key { path, default, allowed: allowed.into(), replaced_by: None });
    }

    /// Notes that the value at `path` cannot be used.
    pub fn problem(&mut self, path: &str, found: &str, allowed: &str) {
        let wrong = Wrong::Value { found: found.into(), allowed: allowed.into() };
        self.problems.push(Problem { path: path.into(), wrong });
    }

    /// Notes something that is accepted and should be known.
    pub fn warn(&mut self, path: &str, text: &str) {
        self.warnings.push(Warning { path: path.into(), text: text.into() });
    }

    /// Is the key in the file, with a value other than null?
    pub fn is_set(&self, path: &str) -> bool {
        self.at(path).is_some()
    }

    /// Two keys that must fit each other. `allowed` says how `path` must stand to the other. Silent when one of
    /// them has a problem of its own.
    pub fn relation(&mut self, holds: bool, path: &'static str, other: &'static str, allowed: &str) {
        let troubled = self.problems.iter().any(|problem| problem.path == path || problem.path == other);
        if holds || troubled {
            return;
        }
        let default = self.keys.iter().find(|key| key.path == path).map(|key| key.default.shown());
        let found = self.at(path).map(|node| node.shown());
        let found = found.unwrap_or_else(|| format!("{} by default", default.unwrap_or_default()));
        self.problem(path, &found, allowed);
    }

    /// A value of any type: `read` turns a node into it, or gives up.
    pub fn value<T>(
        &mut self,
        path: &'static str,
        default: Node,
        allowed: &str,
        read: impl FnOnce(&Node) -> Option<T>,
    ) -> Option<T> {
        self.known(path, default, allowed);
        let node = self.at(path)?;
        let value = read(&node);
        if value.is_none() {
            self.problem(path, &node.shown(), allowed);
        }
        value
    }

    /// A value that must not be quoted when it is refused.
    pub fn secret<T>(&mut self, path: &'static str, allowed: &str, read: impl FnOnce(&Node) -> Option<T>) -> Option<T> {
        self.known(path, Node::Null, allowed);
        let value = read(&self.at(path)?);
        if value.is_none() {
            self.problem(path, "a secret in the file", allowed);
        }
        value
    }

    pub fn flag(&mut self, path: &'static str, default: bool) -> bool {
        self.value(path, Node::Bool(default), "true or false", flag_of).unwrap_or(default)
    }

    /// A whole number.
    pub fn whole<T: TryFrom<i128> + Into<i128> + Copy + PartialOrd + Display>(
        &mut self,
        path: &'static str,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let read = |node: &Node| match node {
            Node::Whole(whole) => T::try_from(*whole).ok().filter(|value| range.contains(value)),
            _ => None,
        };
        self.value(path, Node::Whole(default.into()), &allowed, read).unwrap_or(default)
    }

    /// A number, whole or not.
    pub fn number(&mut self, path: &'static str, default: f64, range: impl RangeBounds<f64>) -> f64 {
        let allowed = format!("a number {}", range_text(&range));
        let read = |node: &Node| number_of(node).filter(|value| range.contains(value));
        self.value(path, Node::Real(default), &allowed, read).unwrap_or(default)
    }

    /// A time in seconds, whole or not.
    pub fn seconds(&mut self, path: &'static str, default_s: u32, range_s: RangeInclusive<f64>) -> Duration {
        let allowed = format!("seconds {}", range_text(&range_s));
        let read = |node: &Node| number_of(node).filter(|value| range_s.contains(value)).map(Duration::from_secs_f64);
        let default = Duration::from_secs(default_s.into());
        self.value(path, Node::Whole(default_s.into()), &allowed, read).unwrap_or(default)
    }

    /// A text that may be left out and must not be empty.
    pub fn text(&mut self, path: &'static str) -> Option<String> {
        self.value(path, Node::Null, "a text", text_of)
    }

    /// A text with a default; must not be empty.
    pub fn text_or(&mut self, path: &'static str, default: &str) -> String {
        self.value(path, Node::Text(default.into()), "a text", text_of).unwrap_or_else(|| default.into())
    }

    /// A text that must be one of a few words, as spelled here. Letter case does not matter.
    pub fn word<T: Copy>(&mut self, path: &'static str, default: &str, words: &[(&str, T)]) -> Option<T> {
        let allowed = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let read = |node: &Node| {
            let text = text_of(node)?;
            words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text)).map(|(_, value)| *value)
        };
        let given = self.value(path, Node::Text(default.into()), &allowed, read);
        given.or_else(|| words.iter().find(|(word, _)| *word == default).map(|(_, value)| *value))
    }

    /// A path of a file that may be left out.
    pub fn path(&mut self, path: &'static str) -> Option<PathBuf> {
        self.value(path, Node::Null, "a path", text_of).map(PathBuf::from)
    }

    /// An address to listen on.
    pub fn ip(&mut self, path: &'static str, default: IpAddr) -> IpAddr {
        let allowed = "an IPv4 or IPv6 address";
        let read = |node: &Node| text_of(node)?.parse().ok();
        self.value(path, Node::Text(default.to_string()), allowed, read).unwrap_or(default)
    }

    /// A key of the reference implementation that has no use here: accepted, and said.
    pub fn replaced(&mut self, path: &'static str, default: Node, by: &'static str) {
        self.keys.push(Key { path, default, allowed: "anything".into(), replaced_by: Some(by) });
        if self.is_set(path) {
            self.warn(path, &format!("has no effect: {by}"));
        }
    }

    /// All keys that the calls so far have named.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Ends the reading: what nobody asked for is an unknown key.
    pub fn finish<T>(mut self, config: T) -> Result<Checked<T>, ConfigError> {
        unread(&self.root, "", &self.keys, &mut self.problems);
        if self.problems.is_empty() {
            Ok(Checked { config, warnings: self.warnings })
        } else {
            Err(ConfigError { problems: self.problems })
        }
    }
}

/// Notes what no call has named. Values are not quoted: behind a misspelt key may be a secret.
fn unread(node: &Node, above: &str, keys: &[Key], problems: &mut Vec<Problem>) {
    let Node::Map(entries) = node else { return };
    for (name, child) in entries {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        if keys.iter().any(|key| key.path == path) {
            continue;
        }
        let inside = format!("{path}.");
        let wrong = match child {
            _ if !keys.iter().any(|key| key.path.starts_with(&inside)) => {
                let meant = suggest::nearest(&path, keys.iter().map(|key| key.path)).map(str::to_owned);
                Wrong::UnknownKey { meant }
            }
            Node::Map(_) => {
                unread(child, &path, keys, problems);
                continue;
            }
            Node::Null => continue,
            other => Wrong::Value { found: other.shown(), allowed: "a section of keys".into() },
        };
        problems.push(Problem { path, wrong });
    }
}

/// YAML 1.1 files say yes and no; a YAML 1.2 reader hands these on as texts.
fn flag_of(node: &Node) -> Option<bool> {
    match node {
        Node::Bool(is) => Some(*is),
        Node::Text(text) => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" => Some(true),
            "no" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A finite number.
pub fn number_of(node: &Node) -> Option<f64> {
    match node {
        Node::Whole(whole) => Some(*whole as f64),
        Node::Real(real) => Some(*real).filter(|real| real.is_finite()),
        _ => None,
    }
}

/// A text with something in it.
pub fn text_of(node: &Node) -> Option<String> {
    match node {
        Node::Text(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        _ => None,
    }
}

fn range_text(range: &impl RangeBounds<f64>) -> String {
    let from = match range.start_bound() {
        Bound::Included(low) => format!("from {low}"),
        Bound::Excluded(low) => format!("above {low}"),
        Bound::Unbounded => String::new(),
    };
    match range.end_bound() {
        Bound::Included(high) => format!("{from} to {high}"),
        Bound::Excluded(high) => format!("{from}, less than {high}"),
        Bound::Unbounded => from,
    }
}
