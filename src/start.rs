//! What the three daemons do first, and the same way: arguments, configuration, logger, panic hook.
//!
//! It runs on the main thread, before any spoke exists, and hands checked settings to the role.

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser};

use crate::{
    config::{
        ConfigError, Role,
        file::{FileError, load},
    },
    exit::{self, Code, Failure},
    log::{self, say},
    machine::Exit,
};

/// What each daemon takes.
#[derive(Parser)]
#[command(version, about = "A daemon of ByteLeap's compute network")]
struct Arguments {
    /// The configuration file (YAML); without it, ROLE.yaml in the working directory
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the configuration, say what is wrong with it, and end
    #[arg(long)]
    check: bool,
}

/// The whole of a daemon's `main`: `run` gets settings that passed every check.
pub fn daemon<R: Role>(run: impl FnOnce(R) -> Result<Exit, Failure>) -> ExitCode {
    let arguments = match arguments(R::NAME) {
        Ok(arguments) => arguments,
        Err(why) => return usage(&why),
    };
    let file = arguments.config.unwrap_or_else(|| format!("{}.yaml", R::NAME).into());
    match load::<R>(&file) {
        Err(FileError::Invalid { path, source }) => {
            tell(R::NAME, &path.display().to_string(), &source);
            Code::Config.into()
        }
        loaded => exit::daemon(R::NAME, || {
            let checked = loaded?;
            for warning in &checked.warnings {
                say(::log::Level::Warn, R::NAME, &format!("{}: {warning}", file.display()));
            }
            if arguments.check {
                return Ok(Exit::Done);
            }
            log::init(checked.config.logging());
            run(checked.config)
        }),
    }
}

fn arguments(role: &'static str) -> Result<Arguments, clap::Error> {
    let matches = Arguments::command().name(role).try_get_matches()?;
    Arguments::from_arg_matches(&matches)
}

/// Help and version are answers, anything else is the operator's to correct.
fn usage(why: &clap::Error) -> ExitCode {
    // The terminal may be closed; there is nowhere else to say so.
    let _ = why.print();
    if why.use_stderr() { Code::Config.into() } else { Code::Done.into() }
}

/// A line for each problem.
fn tell(role: &str, path: &str, error: &ConfigError) {
    for problem in &error.problems {
        say(::log::Level::Error, role, &format!("{path}: {problem}"));
    }
}
