//! Bodies: by length, in chunks, or until the peer ends. Bounded by the limit of their target, counted as decoded.

use super::{HttpFault, Unread, head::Framing};

/// Longest line that announces a chunk, with extensions (which are ignored).
const CHUNK_LINE_BYTES: usize = 256;
/// Trailer fields together (they are dropped).
const TRAILER_BYTES: usize = 8 * 1024;

#[derive(Debug)]
pub(super) struct BodyReader {
    end: End,
    limit_bytes: usize,
    body: Vec<u8>,
}

#[derive(Debug)]
enum End {
    After {
        left: usize,
    },
    Chunks(Chunk),
    /// With the peer's end.
    OfStream,
}

#[derive(Debug)]
enum Chunk {
    Size,
    Data { left: usize },
    DataEnd,
    Trailer { seen_bytes: usize },
}

impl BodyReader {
    /// Refuses a length over the limit before a byte of it was read.
    pub(super) fn new(framing: Framing, limit_bytes: usize) -> Result<BodyReader, HttpFault> {
        let end = match framing {
            Framing::Length(left) if left > limit_bytes => return Err(HttpFault::BodyTooLarge { limit_bytes }),
            Framing::Length(left) => End::After { left },
            Framing::Chunked => End::Chunks(Chunk::Size),
            Framing::Unsaid => End::OfStream,
        };
        Ok(BodyReader { end, limit_bytes, body: Vec::new() })
    }

    /// Nothing of it is to come.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.end, End::After { left: 0 })
    }

    pub(super) fn is_until_end(&self) -> bool {
        matches!(self.end, End::OfStream)
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.body.len()
    }

    pub(super) fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// Takes what belongs to the body; `true` when it is whole.
    pub(super) fn read(&mut self, unread: &mut Unread) -> Result<bool, HttpFault> {
        match &mut self.end {
            End::After { left } => {
                *left -= unread.take(*left, &mut self.body);
                Ok(*left == 0)
            }
            End::OfStream => {
                unread.take(usize::MAX, &mut self.body);
                self.check(0).map(|()| false)
            }
            End::Chunks(_) => self.read_chunks(unread),
        }
    }

    fn check(&self, more: usize) -> Result<(), HttpFault> {
        match self.body.len().checked_add(more) {
            Some(sum) if sum <= self.limit_bytes => Ok(()),
            _ => Err(HttpFault::BodyTooLarge { limit_bytes: self.limit_bytes }),
        }
    }

    fn read_chunks(&mut self, unread: &mut Unread) -> Result<bool, HttpFault> {
        while let End::Chunks(chunk) = &mut self.end {
            let next = match chunk {
                Chunk::Size => match unread.line(CHUNK_LINE_BYTES, "chunk size line")? {
                    None => return Ok(false),
                    Some(line) => match chunk_size(&line)? {
                        0 => Chunk::Trailer { seen_bytes: 0 },
                        left => {
                            self.check(left)?;
                            Chunk::Data { left }
                        }
                    },
                },
                Chunk::Data { left } => {
                    *left -= unread.take(*left, &mut self.body);
                    if *left > 0 {
                        return Ok(false);
                    }
                    Chunk::DataEnd
                }
                Chunk::DataEnd => match unread.line(2, "end of a chunk")? {
                    None => return Ok(false),
                    Some(line) if line.is_empty() => Chunk::Size,
                    Some(_) => return Err(HttpFault::Bad("a chunk longer than its size".into())),
                },
                Chunk::Trailer { seen_bytes } => match unread.line(TRAILER_BYTES - *seen_bytes, "trailer")? {
                    None => return Ok(false),
                    Some(line) if line.is_empty() => return Ok(true),
                    Some(line) => Chunk::Trailer { seen_bytes: (*seen_bytes + line.len() + 1).min(TRAILER_BYTES) },
                },
            };
            self.end = End::Chunks(next);
        }
        Ok(false)
    }
}

fn chunk_size(line: &[u8]) -> Result<usize, HttpFault> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let text = str::from_utf8(digits).unwrap_or_default();
    // Eight hexadecimal digits are 4 GiB, over every limit; `from_str_radix` alone would take a sign.
    let fits = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let size = if fits { usize::from_str_radix(text, 16).ok() } else { None };
    size.ok_or_else(|| HttpFault::Bad("chunk size is no hexadecimal number".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunked(bytes: &[u8], limit_bytes: usize) -> Result<Option<Vec<u8>>, HttpFault> {
        let mut unread = Unread::default();
        let mut body = BodyReader::new(Framing::Chunked, limit_bytes)?;
        for byte in bytes {
            unread.push(&[*byte]);
            if body.read(&mut unread)? {
                return Ok(Some(body.into_body()));
            }
        }
        Ok(None)
    }

    #[test]
    fn chunks_are_put_together() {
        assert_eq!(chunked(b"3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\n\r\n", 64), Ok(Some(b"abc0123456789".into())));
        assert_eq!(chunked(b"0\r\nDigest: none\r\n\r\n", 64), Ok(Some(vec![])));
        assert_eq!(chunked(b"3\r\nabc\r\n", 64), Ok(None));
    }

    #[test]
    fn chunks_that_lie_are_refused() {
        for bytes in [&b"3\r\nabcd\r\n"[..], b"-3\r\nabc", b"\r\n", b"g\r\n", b"0x3\r\nabc\r\n", b"123456789\r\n"] {
            assert!(matches!(chunked(bytes, 64), Err(HttpFault::Bad(_))), "{:?}", bytes);
        }
    }

    #[test]
    fn a_chunk_over_the_limit_is_refused_before_it_is_read() {
        assert_eq!(chunked(b"41\r\n", 64), Err(HttpFault::BodyTooLarge { limit_bytes: 64 }));
        assert_eq!(chunked(b"ffffffff\r\n", 64), Err(HttpFault::BodyTooLarge { limit_bytes: 64 }));
    }

    #[test]
    fn endless_size_lines_and_trailers_are_refused() {
        assert!(chunked(&[b'0'; 300], 64).is_err());
        let trailers = [b"0\r\n".to_vec(), b"a: b\r\n".repeat(2000)].concat();
        assert!(matches!(chunked(&trailers, 64), Err(HttpFault::Bad(_))));
    }
}
