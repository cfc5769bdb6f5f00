//! How another thread ends the loop's wait. Owns nothing but the waker; never carries data.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use mio::{Registry, Token, Waker};

/// Wakes the loop. Many calls before it looks are one wake-up.
#[derive(Clone, Debug)]
pub struct Wake(Arc<Bell>);

#[derive(Debug)]
struct Bell {
    waker: Waker,
    rung: AtomicBool,
}

impl Wake {
    /// A registry takes one waker, so a loop has one `Wake`.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Wake> {
        let waker = Waker::new(registry, token)?;
        Ok(Wake(Arc::new(Bell { waker, rung: AtomicBool::new(false) })))
    }

    pub fn wake(&self) {
        if !self.0.rung.swap(true, Ordering::AcqRel)
            && let Err(error) = self.0.waker.wake()
        {
            log::error!(target: "net", "cannot wake the loop: {error}");
        }
    }

    /// Called by the loop before it looks at what it was woken for.
    pub(super) fn heard(&self) {
        self.0.rung.store(false, Ordering::Release);
    }
}
