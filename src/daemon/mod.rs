//! The daemons put together: arguments, configuration, keys, spokes, loop. Nothing else is done here.
//!
//! One file a role; this one holds what all three do first. It runs on the main thread and hands checked settings
//! to the role. The binaries of the roles and `byteleap run` both start here.

pub mod chain;
pub mod executor;
pub mod miner;
pub mod validator;
pub mod worker;

use std::{ffi::OsString, io, path::PathBuf, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::{
    config::{
        ConfigError, Role,
        file::{FileError, load, metrics_token},
        shared::Metrics,
    },
    exit::{self, Code, Failure},
    log::{self, say},
    machine::Exit,
    net::{Connections, HttpOptions, Listener, NetError, Serve},
    spoke::store::OpenError,
    version,
};

/// What each daemon takes.
#[derive(Parser)]
#[command(version = version::SHORT.as_str())]
struct Arguments {
    /// The configuration file (YAML); without it, ROLE.yaml in the working directory
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the configuration, say what is wrong with it, and end; touches no other file
    #[arg(long)]
    check: bool,
    /// Check the configuration and the files that it names, say what is wrong, and end
    #[arg(long)]
    check_files: bool,
}

/// The whole of a daemon's `main`: `run` gets settings that passed every check. `words` begins with the program's name;
/// `files` tries the files that the settings name.
fn start<R: Role>(
    words: impl Iterator<Item = OsString>,
    files: impl FnOnce(&R) -> Vec<Failure>,
    run: impl FnOnce(R) -> Result<Exit, Failure>,
) -> ExitCode {
    let arguments = match arguments::<R>(words) {
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
            if arguments.check && !arguments.check_files {
                return Ok(Exit::Done);
            }
            log::init(checked.config.logging());
            if arguments.check_files {
                return usable(R::NAME, &files(&checked.config));
            }
            ::log::info!(target: R::NAME, "{} {}", R::NAME, version::line());
            run(checked.config)
        }),
    }
}

/// A line for each file that cannot be used.
fn usable(role: &str, failures: &[Failure]) -> Result<Exit, Failure> {
    for failure in failures {
        say(::log::Level::Error, role, &exit::causes(failure.error.as_ref()));
    }
    match failures.len() {
        0 => Ok(Exit::Done),
        1 => Err(Failure::config("a file that the configuration names cannot be used")),
        count => Err(Failure::config(format!("{count} files that the configuration names cannot be used"))),
    }
}

/// Those of the attempts that failed.
fn failures<const N: usize>(attempts: [Result<(), Failure>; N]) -> Vec<Failure> {
    attempts.into_iter().filter_map(Result::err).collect()
}

fn arguments<R: Role>(words: impl Iterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let files =
        format!("Check the configuration and the files that it names ({}), say what is wrong, and end", R::FILES);
    let config = format!("The configuration file (YAML); without it, {}.yaml in the working directory", R::NAME);
    let command = Arguments::command().name(R::NAME).about(R::ABOUT);
    let command = command.mut_arg("check_files", |of| of.help(files)).mut_arg("config", |of| of.help(config));
    let matches = command.try_get_matches_from(words)?;
    Arguments::from_arg_matches(&matches)
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Failure {
        match error {
            // whoever has it now may be about to end
            NetError::Listen { ref source, .. } if source.kind() == io::ErrorKind::AddrInUse => Failure::failed(error),
            NetError::Listen { .. } => Failure::config(error),
            NetError::System { .. } => Failure::failed(error),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        if error.may_pass() { Failure::failed(error) } else { Failure::config(error) }
    }
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

/// A generator seeded by the operating system.
fn generator() -> Result<ChaCha20Rng, Failure> {
    Ok(ChaCha20Rng::from_seed(fresh_seed()?))
}

fn fresh_seed() -> Result<[u8; 32], Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|why| Failure::failed(format!("no randomness from the system: {why}")))?;
    Ok(seed)
}

/// The door for operators and Prometheus, if the settings have one.
fn metrics(door: Option<&Metrics>) -> Result<Option<Listener>, Failure> {
    let Some(door) = door else { return Ok(None) };
    let serve = Serve::Metrics(HttpOptions::default(), metrics_token(Some(door))?);
    Ok(Some(Listener::bind(door.listen, serve, Connections::default())?))
}
