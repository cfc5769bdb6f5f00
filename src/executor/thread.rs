//! Where the executor's threads are born. They are never joined: they end with the process.

use std::{io, thread};

#[expect(
    clippy::disallowed_methods,
    reason = "the executor's threads live as long as its process, and no hub waits for them"
)]
pub fn start(name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name).spawn(run).map(drop)
}
