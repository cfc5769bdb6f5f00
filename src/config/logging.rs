//! `logging.*`: how much is said.

use std::collections::BTreeMap;

use log::LevelFilter;

use super::{
    form::{Form, text_of},
    yaml::Node,
};

/// What the logger lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    pub level: LevelFilter,
    /// By target (the room: `net`, `validator`, `chain` …), in place of `level`.
    pub targets: BTreeMap<String, LevelFilter>,
}

/// The words for levels, the reference implementation's included.
const LEVELS: [(&str, LevelFilter); 8] = [
    ("INFO", LevelFilter::Info),
    ("DEBUG", LevelFilter::Debug),
    ("TRACE", LevelFilter::Trace),
    ("WARNING", LevelFilter::Warn),
    ("WARN", LevelFilter::Warn),
    ("ERROR", LevelFilter::Error),
    ("CRITICAL", LevelFilter::Error),
    ("OFF", LevelFilter::Off),
];

const JOURNAL: &str = "logs go to standard error; journald (or a shell redirection) keeps and rotates them";

/// The validator's and the miner's spelling.
pub fn daemon(form: &mut Form) -> Logging {
    let level = level(form, "logging.log_level");
    let debug = form.flag("logging.enable_debug", false);
    let targets = targets(form);
    Logging { level: if debug { level.max(LevelFilter::Debug) } else { level }, targets }
}

/// The worker's spelling.
pub fn worker(form: &mut Form) -> Logging {
    let logging = Logging { level: level(form, "logging.level"), targets: targets(form) };
    form.replaced("logging.filepath", Node::Null, JOURNAL);
    form.replaced("logging.rotation", Node::Null, JOURNAL);
    form.replaced("logging.retention", Node::Null, JOURNAL);
    form.replaced("logging.format", Node::Null, "one format: time or journald priority, level, target, text");
    logging
}

/// `logging.log_dir` of the validator and the miner.
pub fn log_dir(form: &mut Form) {
    form.replaced("logging.log_dir", Node::Null, JOURNAL);
}

fn level(form: &mut Form, path: &'static str) -> LevelFilter {
    form.word(path, "INFO", &LEVELS).unwrap_or(LevelFilter::Info)
}

fn targets(form: &mut Form) -> BTreeMap<String, LevelFilter> {
    let allowed = "a section of targets with a level each, e.g. {net: DEBUG}";
    form.value("logging.targets", Node::Map(Vec::new()), allowed, read_targets).unwrap_or_default()
}

fn read_targets(node: &Node) -> Option<BTreeMap<String, LevelFilter>> {
    let Node::Map(entries) = node else { return None };
    entries.iter().map(|(target, level)| Some((target.clone(), level_of(&text_of(level)?)?))).collect()
}

fn level_of(text: &str) -> Option<LevelFilter> {
    LEVELS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, level)| *level)
}
