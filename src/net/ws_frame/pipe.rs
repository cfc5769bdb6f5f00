//! The stream that `tungstenite` reads and writes: two buffers in memory. It hands out at most one frame at a
//! time, so that between frames nothing of the peer is buffered inside the library.

use std::io::{self, Cursor, Read, Write};

use tungstenite::protocol::frame::FrameHeader;

#[derive(Debug, Default)]
pub(super) struct Pipe {
    input: Vec<u8>,
    start: usize,
    /// Bytes until the end of the frame that is being handed out.
    frame_left: u64,
    ended: bool,
    output: Vec<u8>,
}

/// An empty buffer of more than this is given back.
const KEPT_BYTES: usize = 16 * 1024;

impl Pipe {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        // A peer whose every piece ends within a header never lets it run empty.
        if self.start > KEPT_BYTES {
            self.input.drain(..self.start);
            self.start = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn swap_output(&mut self, out: &mut Vec<u8>) {
        std::mem::swap(&mut self.output, out);
    }

    pub(super) fn is_at_frame_start(&self) -> bool {
        self.frame_left == 0
    }

    pub(super) fn unread_bytes(&self) -> usize {
        self.unread().len()
    }

    fn unread(&self) -> &[u8] {
        self.input.get(self.start..).unwrap_or_default()
    }

    /// Length of the frame at the front, as far as its header says; `None` until the header is whole.
    fn frame_length(&self) -> Option<u64> {
        let mut cursor = Cursor::new(self.unread());
        match FrameHeader::parse(&mut cursor) {
            Ok(Some((_, payload))) => Some(payload.saturating_add(cursor.position())),
            Ok(None) => None,
            // The library says itself what is wrong once it gets the bytes.
            Err(_) => Some(u64::MAX),
        }
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        self.frame_left = self.frame_left.saturating_sub(count as u64);
        if self.start >= self.input.len() {
            self.start = 0;
            self.input.clear();
            if self.input.capacity() > KEPT_BYTES {
                self.input = Vec::new();
            }
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.frame_left == 0 {
            self.frame_left = self.frame_length().unwrap_or(0);
        }
        let most = usize::try_from(self.frame_left).unwrap_or(usize::MAX).min(into.len());
        let count = self.unread().read(into.get_mut(..most).unwrap_or_default())?;
        match count {
            0 if self.ended => Ok(0),
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => {
                self.consume(count);
                Ok(count)
            }
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_not_kept_although_a_header_is_always_cut() {
        let mut pipe = Pipe::default();
        // A ping of a hundred bytes, its header cut behind the first one.
        let (first, rest) = ([0x89], [vec![100], vec![0; 100]].concat());
        pipe.push(&first);
        for _ in 0..10_000 {
            pipe.push(&rest);
            pipe.push(&first);
            let mut into = [0; 256];
            let read: usize = std::iter::from_fn(|| pipe.read(&mut into).ok()).sum();
            assert_eq!(read, 102);
        }
        assert!(pipe.input.capacity() <= 4 * KEPT_BYTES, "{} bytes are kept", pipe.input.capacity());
    }
}
