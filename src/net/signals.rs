//! SIGTERM and SIGINT as bytes on a pipe that the loop polls. Counts them; what a second one means is the loop's.

use std::io::{self, Read};

use mio::{Interest, Registry, Token, net::UnixStream};
use signal_hook::{
    SigId,
    consts::{SIGINT, SIGTERM},
    low_level::{pipe, unregister},
};

pub(super) struct Signals {
    heard: UnixStream,
    hooks: Vec<SigId>,
}

impl Signals {
    pub(super) fn install(registry: &Registry, token: Token) -> io::Result<Signals> {
        let (mut heard, said) = UnixStream::pair()?;
        registry.register(&mut heard, token, Interest::READABLE)?;
        let said = std::os::fd::OwnedFd::from(said);
        let hooks = vec![pipe::register(SIGTERM, said.try_clone()?)?, pipe::register(SIGINT, said)?];
        Ok(Signals { heard, hooks })
    }

    /// How many came since the last look.
    pub(super) fn take(&mut self) -> usize {
        let mut bytes = [0; 16];
        let mut count = 0;
        while let Ok(more @ 1..) = self.heard.read(&mut bytes) {
            count += more;
        }
        count
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.hooks.drain(..).for_each(|hook| {
            unregister(hook);
        });
    }
}
