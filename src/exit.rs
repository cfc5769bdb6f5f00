//! How a process ends: its exit status, the one printing of an error with its causes, and the panic hook.
//!
//! Owns the meaning of exit statuses. Nothing else in the project ends a process, and nothing here retries.

use std::{
    error::Error,
    io::{self, Write},
    panic, process, thread,
};

use crate::{config::file::FileError, log, machine::Exit, notify::Notifier, wallet::WalletError};

/// Exit statuses of every binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Asked to stop, and stopped; or the one thing to do was done.
    Done = 0,
    /// It could not go on. A restart may help.
    Failed = 1,
    /// Nothing that was asked for could be measured (`EX_DATAERR`): no n fits the card.
    NothingMeasured = 65,
    /// There is no GPU to measure (`EX_NOINPUT`): no driver, no card, or a build without CUDA.
    NoGpu = 66,
    /// A GPU's context is lost to this process (`EX_UNAVAILABLE`): a new one may have it again.
    GpuLost = 69,
    /// The operator must change something first (`EX_CONFIG`): no restart helps.
    Config = 78,
}

impl From<Code> for process::ExitCode {
    fn from(code: Code) -> process::ExitCode {
        process::ExitCode::from(code as u8)
    }
}

/// An error that ends the process, and the status it ends with.
#[derive(Debug)]
pub struct Failure {
    pub code: Code,
    pub error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// A restart may help.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { code: Code::Failed, error: error.into() }
    }

    /// The operator must act.
    pub fn config(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { code: Code::Config, error: error.into() }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Failure {
        Failure::config(error)
    }
}

impl From<WalletError> for Failure {
    fn from(error: WalletError) -> Failure {
        Failure::config(error)
    }
}

/// The whole of a daemon's `main`: hook, run, say why it ended, status. `role` names the log lines.
pub fn daemon(role: &'static str, run: impl FnOnce() -> Result<Exit, Failure>) -> process::ExitCode {
    install_panic_hook();
    let (code, text) = match run() {
        Ok(Exit::Done) => (Code::Done, None),
        Ok(Exit::Failed(text)) => (Code::Failed, Some(text)),
        Ok(Exit::Config(text)) => (Code::Config, Some(text)),
        Err(failure) => (failure.code, Some(causes(failure.error.as_ref()))),
    };
    if let Some(text) = text {
        log::say(::log::Level::Error, role, &text);
        Notifier::from_env().status(&text);
    }
    code.into()
}

/// The whole of a tool's `main`: run, say why it failed, status.
pub fn tool(name: &'static str, run: impl FnOnce() -> Result<(), Failure>) -> process::ExitCode {
    match run() {
        Ok(()) => Code::Done.into(),
        Err(failure) => {
            // nobody may be there to read it; the status says it too
            let _ = writeln!(io::stderr(), "{name}: {}", causes(failure.error.as_ref()));
            failure.code.into()
        }
    }
}

/// An error and what caused it, outermost first: `a: b: c`.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// From now on a panic in any thread is logged with its thread and place, and ends the process at once: a
/// daemon without one of its threads is worse than a restart.
pub fn install_panic_hook() {
    panic::set_hook(Box::new(|info| {
        let thread = thread::current();
        let place = info.location().map_or_else(|| "unknown place".to_owned(), ToString::to_string);
        let what = info.payload_as_str().unwrap_or("(no text)");
        let text = format!("panic in thread {} at {place}: {what}", thread.name().unwrap_or("without name"));
        log::say(::log::Level::Error, "panic", &text);
        abort();
    }));
}

#[expect(clippy::disallowed_methods, reason = "the state is in doubt: no unwinding, no destructors")]
fn abort() -> ! {
    process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the store")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn an_error_is_told_with_its_causes() {
        let error = Outer(std::io::Error::other("disk full"));
        assert_eq!(causes(&error), "cannot open the store: disk full");
    }

    #[test]
    fn statuses_are_those_that_systemd_knows() {
        let codes = [Code::Done, Code::Failed, Code::NothingMeasured, Code::NoGpu, Code::GpuLost, Code::Config];
        assert_eq!(codes.map(|code| code as u8), [0, 1, 65, 66, 69, 78]);
    }
}
