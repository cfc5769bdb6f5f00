//! What an operator may set: YAML text in, checked settings out.
//!
//! Pure: the text is read by [`file`], which alone touches the disk. A configuration is checked whole; every
//! problem is reported at once, with its path, what was found and what is allowed. Keys of the reference
//! implementation are taken as they are where the thing exists; one that has no use here is accepted with a
//! warning that says what replaces it. A key that is absent or null has its default.

pub mod file;
pub mod form;
mod gpu_matrix;
pub mod leases;
pub mod logging;
pub mod meshhub;
pub mod miner;
pub mod named_file;
pub mod networks;
pub mod on_chain;
pub mod overrides;
pub mod scoring;
pub mod shared;
pub mod subtensor;
mod suggest;
pub mod validation;
pub mod validator;
mod validator_later;
pub mod wallet;
pub mod worker;
pub mod yaml;

use std::fmt;

/// Settings that passed every check, with what an operator should know about them.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked<T> {
    pub config: T,
    pub warnings: Vec<Warning>,
}

/// A key that is accepted although it does not do what one might expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub path: String,
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}

/// One thing that is wrong in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted; empty when the document as a whole is meant.
    pub path: String,
    pub wrong: Wrong,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// What the file says (or that it says nothing), and what it may say.
    Value { found: String, allowed: String },
    /// No such key; perhaps another one was meant.
    UnknownKey { meant: Option<String> },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "(the file)" } else { &self.path };
        match &self.wrong {
            Wrong::Value { found, allowed } => write!(f, "{path}: is {found}; allowed: {allowed}"),
            Wrong::UnknownKey { meant: None } => write!(f, "{path}: unknown key"),
            Wrong::UnknownKey { meant: Some(near) } => write!(f, "{path}: unknown key; did you mean {near}?"),
        }
    }
}

/// Everything that is wrong in a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.problems.len() == 1 { "problem" } else { "problems" };
        write!(f, "{} {plural} in the configuration", self.problems.len())?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

/// A role's settings: what [`file::load`] needs of it.
pub trait Role: Sized {
    /// `validator`, `miner` or `worker`.
    const NAME: &'static str;
    /// What the daemon does, for its help.
    const ABOUT: &'static str;
    /// The files that its configuration names, for its help.
    const FILES: &'static str;
    /// Takes every key that the role knows out of the form.
    fn read(form: &mut form::Form) -> Self;
    /// For the logger, before anything else runs.
    fn logging(&self) -> &logging::Logging;

    /// Reads and checks a whole file's text.
    fn from_yaml(text: &str) -> Result<Checked<Self>, ConfigError> {
        let root = yaml::parse(text).map_err(|why| not_yaml(&why))?;
        let mut form = form::Form::new(root);
        let config = Self::read(&mut form);
        form.finish(config)
    }

    /// Every key that the role knows, in the order of the example file.
    fn keys() -> Vec<form::Key> {
        let mut form = form::Form::new(yaml::Node::Map(Vec::new()));
        Self::read(&mut form);
        form.keys().to_vec()
    }
}

fn not_yaml(why: &yaml::YamlError) -> ConfigError {
    let wrong = Wrong::Value { found: why.to_string(), allowed: "a YAML document".into() };
    ConfigError { problems: vec![Problem { path: String::new(), wrong }] }
}
