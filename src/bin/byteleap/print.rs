//! What a tool says on standard output: all of it at once, and no complaint when the reader has heard enough.

use std::io::{self, ErrorKind, Write};

/// `text` and the end of its line. `byteleap wallet show | head -1` is a reader that leaves before the end.
pub fn line(text: &str) -> io::Result<()> {
    all(&format!("{text}\n"))
}

pub fn all(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(why) if why.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
