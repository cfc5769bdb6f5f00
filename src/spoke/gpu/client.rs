//! One request to the GPU executor over its Unix socket, and the answer, within a time limit.
//!
//! Runs on: whichever thread asks. Owns nothing but the socket's path: each request has its own connection.

use std::{
    io::{self, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::de::DeserializeOwned;

use crate::{
    net::Clock,
    units::Mono,
    wire::{
        gpu_socket::{self, AnswerFault, FRAME_BYTES, HEAD_BYTES, PING_TIMEOUT, REQUEST_TIMEOUT, Request},
        json,
    },
};

/// How often somebody who waits looks whether that is still wanted.
const SLICE: Duration = Duration::from_millis(250);

#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    clock: Clock,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientFault {
    #[error("no executor answers at {}: {why}", .at.display())]
    Connect { at: PathBuf, why: io::Error },
    #[error("the connection to the executor broke: {0}")]
    Broken(io::Error),
    #[error("the executor ended the connection without an answer: it died, or was stopped")]
    Ended,
    #[error("the executor did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("called off")]
    CalledOff,
    #[error("the request is longer than a frame may be")]
    RequestTooLong,
    #[error("the executor's answer is empty or longer than {FRAME_BYTES} bytes")]
    AnswerTooLong,
    #[error("the executor's answer is no text")]
    NoText,
    #[error(transparent)]
    Answer(#[from] AnswerFault),
}

/// How long an answer is waited for.
struct Limit<'a> {
    clock: Clock,
    until: Mono,
    whole: Duration,
    go_on: &'a dyn Fn() -> bool,
}

impl Limit<'_> {
    fn check(&self) -> Result<(), ClientFault> {
        if !(self.go_on)() {
            return Err(ClientFault::CalledOff);
        }
        if self.clock.mono() >= self.until { Err(ClientFault::TimedOut(self.whole)) } else { Ok(()) }
    }
}

impl Client {
    pub fn new(socket: PathBuf, clock: Clock) -> Client {
        Client { socket, clock }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Asks and waits. `go_on` is looked at meanwhile: its first `false` ends the wait.
    pub fn ask<T: DeserializeOwned>(&self, request: &Request, go_on: &dyn Fn() -> bool) -> Result<T, ClientFault> {
        let whole = if *request == Request::Ping { PING_TIMEOUT } else { REQUEST_TIMEOUT };
        let limit = Limit { clock: self.clock, until: self.clock.mono() + whole, whole, go_on };
        let frame = gpu_socket::frame(&json::text(request)).ok_or(ClientFault::RequestTooLong)?;
        let connected = UnixStream::connect(&self.socket).and_then(|stream| {
            stream.set_read_timeout(Some(SLICE))?;
            stream.set_write_timeout(Some(SLICE))?;
            Ok(stream)
        });
        let mut stream = connected.map_err(|why| ClientFault::Connect { at: self.socket.clone(), why })?;
        write_all(&mut stream, &frame, &limit)?;
        let mut head = [0; HEAD_BYTES];
        read_exact(&mut stream, &mut head, &limit)?;
        let mut body = vec![0; gpu_socket::body_length(head).ok_or(ClientFault::AnswerTooLong)?];
        read_exact(&mut stream, &mut body, &limit)?;
        let text = String::from_utf8(body).map_err(|_| ClientFault::NoText)?;
        Ok(gpu_socket::answer(&text)?)
    }
}

fn is_wait(why: &io::Error) -> bool {
    matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// A peer that went away looks the same in both directions.
fn fault(why: io::Error) -> ClientFault {
    match why.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => ClientFault::Ended,
        _ => ClientFault::Broken(why),
    }
}

fn write_all(stream: &mut UnixStream, mut bytes: &[u8], limit: &Limit<'_>) -> Result<(), ClientFault> {
    while !bytes.is_empty() {
        limit.check()?;
        match stream.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(why) if is_wait(&why) => {}
            Err(why) => return Err(fault(why)),
        }
    }
    Ok(())
}

fn read_exact(stream: &mut UnixStream, mut room: &mut [u8], limit: &Limit<'_>) -> Result<(), ClientFault> {
    while !room.is_empty() {
        limit.check()?;
        match stream.read(room) {
            Ok(0) => return Err(ClientFault::Ended),
            Ok(read) => room = &mut room[read..],
            Err(why) if is_wait(&why) => {}
            Err(why) => return Err(fault(why)),
        }
    }
    Ok(())
}
