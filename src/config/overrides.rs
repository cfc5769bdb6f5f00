//! What the marketplace may change of a validator's settings, and how its changes lie over the file.
//!
//! Pure. One table names every key that may be changed and when a change takes effect; its range is the form's own. A
//! change is taken whole or not at all: file and changes together pass the same check as a file does. It stores nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Checked, ConfigError, Problem, Role, Wrong,
    form::{Form, Key},
    suggest,
    validator::Config,
    yaml::Node,
};

/// Sections that may be changed; the reference implementation merges these two, and ignores others.
pub const ROOTS: [&str; 2] = ["validation", "weight_management"];

/// What is wrong with an update is said of so many keys.
const MOST_PROBLEMS: usize = 16;
/// Longer than any key.
const MOST_PATH: usize = 100;

/// When a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    AtOnce,
    AtRestart,
    /// Known from the reference implementation; nothing here looks at it.
    Never,
}

use Effect::{AtOnce, AtRestart, Never};

/// Every key that may be changed.
const KEYS: [(&str, Effect); 35] = [
    ("validation.challenge_interval", AtOnce),
    ("validation.challenge_timeout", AtOnce),
    ("validation.proof_timeout", AtOnce),
    ("validation.ranking_window_minutes", AtOnce),
    ("validation.participation_rate_threshold", AtOnce),
    ("validation.verification_concurrent", AtRestart),
    ("validation.proof_queue_max_size", AtOnce),
    ("validation.challenge_type", AtOnce),
    ("validation.cpu.matrix_size", AtOnce),
    ("validation.cpu.size_variance", AtOnce),
    ("validation.cpu.iterations", AtOnce),
    ("validation.cpu.verification.row_verification_count", AtOnce),
    ("validation.cpu.verification.row_verification_count_variance", AtOnce),
    ("validation.gemm_i8.cpu.matrix_size", AtOnce),
    ("validation.gemm_i8.cpu.rounds", AtOnce),
    ("validation.gemm_i8.gpu.matrix_size", AtOnce),
    ("validation.gemm_i8.gpu.rounds", AtOnce),
    ("validation.gemm_i8.size_variance", AtOnce),
    ("validation.gemm_i8.samples", AtOnce),
    ("validation.gpu.model_allowlist", AtOnce),
    ("validation.gpu.matrix_size", AtOnce),
    ("validation.gpu.size_variance", AtOnce),
    ("validation.gpu.iterations", AtOnce),
    ("validation.gpu.verification.coordinate_sample_count", AtOnce),
    ("validation.gpu.verification.coordinate_sample_count_variance", AtOnce),
    ("validation.gpu.verification.row_verification_count", AtOnce),
    ("validation.gpu.verification.row_verification_count_variance", AtOnce),
    ("validation.gpu.verification.row_sample_rate", AtOnce),
    ("validation.gpu.verification.abs_tolerance", AtOnce),
    ("validation.gpu.verification.rel_tolerance", AtOnce),
    ("validation.gpu.verification.success_rate_threshold", AtOnce),
    ("weight_management.recalculate_interval", AtOnce),
    ("weight_management.score_weights.lease_weight", AtOnce),
    ("weight_management.score_weights.challenge_weight", AtOnce),
    ("weight_management.availability.window_hours", AtOnce),
];

/// Accepted, for the hub may send whole sections, and told to have no effect.
const NO_EFFECT: [(&str, Effect); 2] =
    [("validation.gpu.enable_normalization", Never), ("validation.verification_interval", Never)];

/// Of these sections, and yet the operator's alone.
const THE_FILES_ALONE: [(&str, &str); 1] =
    [("validation.gpu.trusted_signers", "it says whose signatures are believed")];

/// A key that may be changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Settable {
    pub path: &'static str,
    /// What it may be, in words.
    pub allowed: String,
    pub effect: Effect,
}

/// Every key that may be changed, in the order of the table.
pub fn settable() -> Vec<Settable> {
    let known = Config::keys();
    let all = KEYS.iter().chain(&NO_EFFECT);
    let found = all.filter_map(|(path, effect)| {
        let key = known.iter().find(|key| key.path == *path)?;
        Some(Settable { path, allowed: key.allowed.clone(), effect: *effect })
    });
    found.collect()
}

/// The table's own name of a key, and when a change of it takes effect; `None`: it may not be changed.
fn entry(path: &str) -> Option<(&'static str, Effect)> {
    KEYS.iter().chain(&NO_EFFECT).find(|(known, _)| *known == path).copied()
}

/// Keys whose change waits for a restart.
pub fn at_restart() -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter(|(_, effect)| *effect == AtRestart).map(|(path, _)| *path)
}

pub fn effect(path: &str) -> Option<Effect> {
    entry(path).map(|(_, effect)| effect)
}

/// New values by their keys.
pub type Changes = BTreeMap<&'static str, Node>;

/// What an update asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    pub changes: Changes,
    /// Sections beside those that may be changed: left as they are.
    pub ignored: Vec<String>,
}

/// Why an update changes nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    #[error("no_allowed_root")]
    NoAllowedRoot {
        /// Its sections.
        provided: Vec<String>,
    },
    #[error(transparent)]
    Invalid(#[from] ConfigError),
}

/// The changes that a payload asks for, each by its key; values are not checked yet.
pub fn read(payload: &Map<String, Value>) -> Result<Update, Refusal> {
    let mut update = Update::default();
    let mut walk = Walk { known: Config::keys(), changes: Changes::new(), problems: Vec::new() };
    for (root, below) in payload {
        if ROOTS.contains(&root.as_str()) {
            walk.take(root, below);
        } else {
            update.ignored.push(root.clone());
        }
    }
    if update.ignored.len() == payload.len() {
        return Err(Refusal::NoAllowedRoot { provided: update.ignored });
    }
    let Walk { changes, problems, .. } = walk;
    if problems.is_empty() { Ok(Update { changes, ..update }) } else { Err(ConfigError { problems }.into()) }
}

/// On the way through a payload.
struct Walk {
    known: Vec<Key>,
    changes: Changes,
    /// At most [`MOST_PROBLEMS`].
    problems: Vec<Problem>,
}

impl Walk {
    fn take(&mut self, path: &str, value: &Value) {
        if self.problems.len() >= MOST_PROBLEMS {
            return;
        }
        if let Some((key, _)) = entry(path) {
            return self.take_value(key, value);
        }
        match value {
            Value::Object(fields) if is_section(path) => {
                for (name, below) in fields {
                    self.take(&format!("{path}.{name}"), below);
                }
            }
            other if is_section(path) => self.wrong(path, node_of(other).shown(), "a section of keys".into()),
            _ => match THE_FILES_ALONE.iter().find(|(alone, _)| *alone == path) {
                Some((_, why)) => self.wrong(path, "given".into(), format!("in the file alone: {why}")),
                None => self.unknown(path),
            },
        }
    }

    /// In a file null means the default. In a change it would hide which value is meant, except where null itself is one.
    fn take_value(&mut self, path: &'static str, value: &Value) {
        let key = self.known.iter().find(|key| key.path == path);
        match key.filter(|key| value.is_null() && key.default != Node::Null).map(|key| key.allowed.clone()) {
            Some(allowed) => self.wrong(path, "null".into(), allowed),
            None => drop(self.changes.insert(path, node_of(value))),
        }
    }

    fn wrong(&mut self, path: &str, found: String, allowed: String) {
        self.problems.push(Problem { path: path.into(), wrong: Wrong::Value { found, allowed } });
    }

    /// What is longer than any key is like none of them.
    fn unknown(&mut self, path: &str) {
        let like = Some(path).filter(|path| path.len() <= MOST_PATH);
        let meant = like.and_then(|path| suggest::nearest(path, KEYS.iter().map(|(known, _)| *known)));
        let path = path.chars().take(MOST_PATH).collect();
        self.problems.push(Problem { path, wrong: Wrong::UnknownKey { meant: meant.map(str::to_owned) } });
    }
}

fn is_section(path: &str) -> bool {
    let inside = format!("{path}.");
    KEYS.iter().chain(&NO_EFFECT).any(|(known, _)| known.starts_with(&inside))
}

/// The settings' own tree of a JSON value.
pub fn node_of(value: &Value) -> Node {
    match value {
        Value::Null => Node::Null,
        Value::Bool(is) => Node::Bool(*is),
        Value::Number(number) => match number.as_i64().map(i128::from).or(number.as_u64().map(i128::from)) {
            Some(whole) => Node::Whole(whole),
            None => Node::Real(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Node::Text(text.clone()),
        Value::Array(items) => Node::List(items.iter().map(node_of).collect()),
        Value::Object(fields) => Node::Map(fields.iter().map(|(name, value)| (name.clone(), node_of(value))).collect()),
    }
}

/// The JSON of a value; what JSON cannot say is null.
pub fn json_of(node: &Node) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Bool(is) => (*is).into(),
        Node::Whole(whole) => i64::try_from(*whole).map_or(Value::Null, Value::from),
        Node::Real(real) => Value::from(*real),
        Node::Text(text) => text.clone().into(),
        Node::List(items) => items.iter().map(json_of).collect(),
        Node::Map(entries) => entries.iter().map(|(name, node)| (name.clone(), json_of(node))).collect(),
    }
}

/// A file's settings, and the changes that lie over them. Two configurations are the same when their settings are,
/// however these came about: layers always compare as equal.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    file: Option<Node>,
    /// What the file says, or the default, of every key that may be changed.
    values: Changes,
    over: Changes,
    left_out: Vec<LeftOut>,
}

impl PartialEq for Layers {
    fn eq(&self, _: &Layers) -> bool {
        true
    }
}

/// A change that was taken once, and which the form or the file does not allow any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    pub key: String,
    pub why: String,
}

impl Layers {
    /// Of a form that knows every key.
    pub(super) fn of(form: &Form) -> Layers {
        let value = |key: &Key| {
            let (path, _) = entry(key.path)?;
            Some((path, form.at(path).unwrap_or_else(|| key.default.clone())))
        };
        let values = form.keys().iter().filter_map(value).collect();
        Layers { file: Some(form.root().clone()), values, ..Layers::default() }
    }

    /// Changes in force.
    pub fn over(&self) -> &Changes {
        &self.over
    }

    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    fn root(&self) -> Node {
        self.file.clone().unwrap_or(Node::Map(Vec::new()))
    }

    /// The value of a key as the file has it, or the default; null of one that may not be changed.
    pub fn in_file(&self, path: &str) -> Node {
        self.values.get(path).cloned().unwrap_or(Node::Null)
    }

    /// The value of a key, changed or not.
    pub fn in_force(&self, path: &str) -> Node {
        self.over.get(path).cloned().unwrap_or_else(|| self.in_file(path))
    }
}

impl Config {
    /// These settings with further changes over them: all of them, or none.
    pub fn changed(&self, changes: &Changes) -> Result<Checked<Config>, ConfigError> {
        let mut over = self.layers.over.clone();
        over.extend(changes.iter().map(|(path, node)| (*path, node.clone())));
        let mut root = self.layers.root();
        for (path, node) in &over {
            put(&mut root, path, node);
        }
        let mut form = Form::new(root);
        let read = Config::read(&mut form);
        let Checked { config, warnings } = form.finish(read)?;
        let layers = Layers { over, ..self.layers.clone() };
        Ok(Checked { config: Config { layers, ..config }, warnings })
    }

    /// A file's settings with the changes that were stored. What is not allowed any more is left out, by name; the rest
    /// stands.
    pub fn with_stored(&self, stored: impl IntoIterator<Item = (String, Node)>) -> Config {
        let mut left_out = Vec::new();
        let mut changes = Changes::new();
        for (key, node) in stored {
            match entry(&key) {
                Some((path, _)) => drop(changes.insert(path, node)),
                None => left_out.push(LeftOut { key, why: "this version does not let it be changed".into() }),
            }
        }
        let mut config = loop {
            match self.changed(&changes) {
                Ok(checked) => break checked.config,
                Err(error) => leave_out(&mut changes, &error, &mut left_out),
            }
            if changes.is_empty() {
                break self.clone();
            }
        };
        config.layers.left_out = left_out;
        config
    }
}

/// Leaves out what the problems name; what fits nothing and is named by none goes whole.
fn leave_out(changes: &mut Changes, error: &ConfigError, left_out: &mut Vec<LeftOut>) {
    let is = |path: &str| error.problems.iter().any(|problem| problem.path == path);
    let mentioned = |path: &str| error.problems.iter().any(|problem| problem.to_string().contains(path));
    let pick = |test: &dyn Fn(&str) -> bool| -> Vec<&'static str> {
        changes.keys().copied().filter(|path| test(path)).collect()
    };
    let named = [pick(&is), pick(&mentioned), pick(&|_| true)].into_iter().find(|named| !named.is_empty());
    for path in named.unwrap_or_default() {
        changes.remove(path);
        let of = error.problems.iter().find(|problem| problem.to_string().contains(path)).or(error.problems.first());
        left_out.push(LeftOut { key: path.into(), why: of.map(ToString::to_string).unwrap_or_default() });
    }
}

/// Sets the value at a dotted path; sections that are not there are made.
fn put(node: &mut Node, path: &str, value: &Node) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    if !matches!(node, Node::Map(_)) {
        *node = Node::Map(Vec::new());
    }
    let Node::Map(entries) = node else { return };
    let at = entries.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
        entries.push((name.to_owned(), Node::Null));
        entries.len() - 1
    });
    match rest {
        Some(rest) => put(&mut entries[at].1, rest, value),
        None => entries[at].1 = value.clone(),
    }
}

#[cfg(test)]
mod tests;
