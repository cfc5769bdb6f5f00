//! The simulated node without a socket: a chain spoke speaks with it through the same JSON, over a link that can
//! break as a network does.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use serde_json::Value as Json;

use super::{Answered, Node};
use crate::spoke::chain::rpc::{Call, NodeError, Rpc, RpcError, read_answers, request_text};

/// An answer that is held back for longer counts as none.
const TIMEOUT: Duration = Duration::from_secs(10);

const ENDPOINT: &str = "in process (simulated)";

/// How a request comes to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It never arrives.
    Request,
    /// It arrives and is carried out, and the answer is lost.
    Answer,
    /// The answer is cut off in its middle.
    Truncated,
    /// Something else answers in the node's place, and no JSON.
    Garbled,
}

/// A way to a node that others in this thread may have too. Its clones are the same link.
#[derive(Clone)]
pub struct InProcess {
    node: Rc<RefCell<Node>>,
    link: Rc<Link>,
}

#[derive(Default)]
struct Link {
    /// How, and for how many requests still.
    broken: Cell<Option<(Broken, u32)>>,
    /// Blocks that the node at this end of the link is behind the chain.
    lag: Cell<u64>,
}

impl InProcess {
    pub fn new(node: Rc<RefCell<Node>>) -> InProcess {
        InProcess { node, link: Rc::default() }
    }

    /// The next `requests` requests over this link come to nothing.
    pub fn break_next(&self, how: Broken, requests: u32) {
        self.link.broken.set((requests > 0).then_some((how, requests)));
    }

    /// Works again.
    pub fn mend(&self) {
        self.link.broken.set(None);
    }

    /// Over this link the chain is seen as it was so many blocks ago: another node, that lags.
    pub fn lag(&self, blocks: u64) {
        self.link.lag.set(blocks);
    }

    fn fault(&self) -> Option<Broken> {
        let (how, requests) = self.link.broken.get()?;
        self.break_next(how, requests - 1);
        Some(how)
    }

    fn ask(&self, body: &[u8]) -> (Answered, Duration) {
        let mut node = self.node.borrow_mut();
        let lag = node.faults.lag;
        node.lag(lag.max(self.link.lag.get()));
        let delay = node.answer_delay();
        let answered = node.respond(body);
        node.lag(lag);
        (answered, delay)
    }
}

fn unreachable(why: &str) -> RpcError {
    RpcError::Unreachable { endpoint: ENDPOINT.into(), why: why.into() }
}

impl Rpc for InProcess {
    fn batch(&mut self, calls: &[Call]) -> Result<Vec<Result<Json, NodeError>>, RpcError> {
        let fault = self.fault();
        if fault == Some(Broken::Request) {
            return Err(unreachable("connection refused"));
        }
        let (answered, delay) = self.ask(request_text(calls).as_bytes());
        let text = match answered {
            Answered::Text(text) => text,
            Answered::Nothing => String::new(),
            Answered::Lost => return Err(unreachable("HTTP status 502")),
            Answered::TooManyRequests => return Err(RpcError::RateLimited { endpoint: ENDPOINT.into() }),
        };
        let text = match fault {
            Some(Broken::Answer) => return Err(unreachable("connection reset")),
            None if delay > TIMEOUT => return Err(unreachable("no answer in 10 s")),
            Some(Broken::Truncated) => text.chars().take(text.len() / 2).collect(),
            Some(Broken::Garbled) => "<html>502 Bad Gateway</html>".into(),
            _ => text,
        };
        read_answers(text.as_bytes(), calls.len()).map_err(|why| unreachable(&why))
    }
}
