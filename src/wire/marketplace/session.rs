//! One end of an encrypted connection between a validator and the hub.

use super::{
    Body, BodyFault,
    frame::{Encrypted, Frame, FrameFault, HubError, sealed},
};
use crate::{
    units::{Hotkey, Wall},
    wire::session::{self, Session, SessionFault},
};

#[derive(Debug)]
pub struct HubSession {
    session: Session,
}

/// What a frame said.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming<B> {
    /// Plain, and nobody's word.
    Error(HubError),
    /// Authenticated, and its number is taken, also when the body is not understood. Whoever sends a `message_id`
    /// wants an acknowledgement.
    Message { message_id: Option<String>, kind: String, body: Result<B, BodyFault> },
}

/// A frame whose tag was good. Its number must still be admitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened<B> {
    pub seq: u64,
    pub message_id: Option<String>,
    pub kind: String,
    pub body: Result<B, BodyFault>,
}

impl HubSession {
    pub(super) fn new(session: Session) -> HubSession {
        HubSession { session }
    }

    /// One end of a session whose keys were recorded elsewhere.
    #[cfg(test)]
    pub(crate) fn recorded(session: Session) -> HubSession {
        HubSession::new(session)
    }

    pub fn id(&self) -> &str {
        self.session.id()
    }
    pub fn peer(&self) -> &Hotkey {
        self.session.peer()
    }

    /// The frame of a message. `message_id` asks for an acknowledgement.
    pub fn seal(&mut self, now: Wall, message_id: Option<&str>, body: &impl Body) -> Result<String, SessionFault> {
        self.seal_text(now, message_id, body.kind(), &body.to_json())
    }

    /// The frame of any plaintext: what a hub under test may send.
    pub fn seal_text(
        &mut self,
        now: Wall,
        message_id: Option<&str>,
        kind: &str,
        plaintext: &str,
    ) -> Result<String, SessionFault> {
        let package = self.session.seal_typed(kind, plaintext)?;
        Ok(sealed(now, message_id, &Encrypted::of(package)))
    }

    /// Reads a frame and takes its number.
    pub fn open<B: Body>(&mut self, text: &str) -> Result<Incoming<B>, FrameFault> {
        let frame = Frame::parse(text)?;
        if frame.is_error() {
            return frame.data().map(Incoming::Error);
        }
        let Opened { seq, message_id, kind, body } = self.opener().open_frame(frame)?;
        self.admit(seq)?;
        Ok(Incoming::Message { message_id, kind, body })
    }

    /// What decrypts and parses frames of this session; cheap to clone, may be sent to a spoke with a big one. Frames
    /// that came behind that one must wait for it: a number is only taken upwards.
    pub fn opener(&self) -> HubOpener {
        HubOpener { opener: self.session.opener() }
    }

    /// Takes the number of a frame whose tag was good.
    pub fn admit(&mut self, seq: u64) -> Result<(), FrameFault> {
        let highest = self.session.window().highest();
        let taken = self.session.window().clone().admit(seq);
        match taken {
            Err(session::WindowFault::Replay) => Err(FrameFault::Replayed { seq }),
            Err(session::WindowFault::TooFar) => Err(FrameFault::TooFar { seq, highest }),
            Err(session::WindowFault::TooOld) => Err(FrameFault::Reordered { seq, highest }),
            // Within the window and never seen: fine for requests that race each other, not on one stream.
            Ok(()) if seq < highest => Err(FrameFault::Reordered { seq, highest }),
            Ok(()) => self.session.admit(seq).map_err(FrameFault::Package),
        }
    }
}

/// Decrypts frames of one session, without judging their numbers.
#[derive(Clone, Debug)]
pub struct HubOpener {
    opener: session::Opener,
}

impl HubOpener {
    /// For a frame that is no error of the hub's; errors are short and never need a spoke.
    pub fn open<B: Body>(&self, text: &str) -> Result<Opened<B>, FrameFault> {
        self.open_frame(Frame::parse(text)?)
    }

    fn open_frame<B: Body>(&self, frame: Frame) -> Result<Opened<B>, FrameFault> {
        let Frame { kind, message_id, encrypted, .. } = frame;
        let Some(encrypted) = encrypted else { return Err(FrameFault::Plain(kind)) };
        if kind != encrypted.message_type {
            return Err(FrameFault::Types { outer: kind, inner: encrypted.message_type });
        }
        let package = encrypted.package();
        let opened = package.check_version().and_then(|()| self.opener.open_typed(&kind, &package));
        let opened = opened.map_err(FrameFault::Package)?;
        let body = B::read(&kind, &opened.plaintext);
        Ok(Opened { seq: opened.seq, message_id, kind, body })
    }
}
