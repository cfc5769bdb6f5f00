//! The simulated node as a machine, so that the loop that carries the daemons gives it its socket.
//!
//! Owns the node, the subscriptions of its connections and the answers on their way out. HTTP requests and the texts of
//! WebSockets are the same calls; only those who can be pushed to may subscribe. Blocks come by deadline. Lines of the
//! journal go to one spoke that appends them to a file, one at a time, so a slow disk delays the journal and not the
//! chain.

use std::{collections::VecDeque, fs::File, io::Write};

use super::{Answered, Node, held::Held, subscriptions::Subscriptions};
use crate::{
    machine::{Exit, Gone, Input, Link, Machine, Message, Output},
    metrics::Page,
    net::{HttpOptions, Serve, WebSocketOptions},
    units::{Mono, Now, PeerId},
    wire::http::{Headers, Request, Response},
};

/// A node takes requests of this size, and answers of as many bytes may wait for a reader.
const MESSAGE_BYTES: usize = 15 << 20;

/// Both kinds of JSON-RPC on one port, as a node has it.
pub fn door() -> Serve {
    let http = HttpOptions { body_bytes: |_| MESSAGE_BYTES, ..HttpOptions::default() };
    let message_bytes = MESSAGE_BYTES;
    let websocket =
        WebSocketOptions { message_bytes, write_buffer_bytes: message_bytes, ..WebSocketOptions::default() };
    Serve::Both(Link::Chain, http, websocket)
}

/// What became of a journal line; the text says why it was lost.
pub type Written = Result<(), String>;

/// A node behind a [`door`].
pub struct Server {
    node: Node,
    subscriptions: Subscriptions,
    held: Held,
    outbox: VecDeque<Output<String>>,
    /// Whether anybody wants the journal.
    journal: bool,
    writing: bool,
    stopping: bool,
}

impl Server {
    /// `journal`: whether commands (lines to append) are carried out; without it there are none.
    pub fn new(node: Node, journal: bool) -> Server {
        Server {
            node,
            subscriptions: Subscriptions::default(),
            held: Held::default(),
            outbox: VecDeque::new(),
            journal,
            writing: false,
            stopping: false,
        }
    }

    fn answer(&mut self, now: Now, peer: PeerId, request: &Request) {
        let mut headers = Headers::new();
        let response = if request.method == "POST" {
            headers.push("content-type", "application/json");
            let (status, body) = match self.node.respond(&request.body) {
                Answered::Text(text) => (200, text.into_bytes()),
                Answered::Nothing => (200, Vec::new()),
                Answered::TooManyRequests => (429, b"too many requests\n".to_vec()),
                Answered::Lost => (502, b"the answer was lost\n".to_vec()),
            };
            Response { status, headers, body }
        } else {
            headers.push("allow", "POST");
            Response { status: 405, headers, body: b"JSON-RPC is asked by POST\n".to_vec() }
        };
        self.send(now, peer, Message::Response(response));
    }

    /// Now, or later where the node is slow on purpose.
    fn send(&mut self, now: Now, peer: PeerId, message: Message) {
        self.held.push(now.mono + self.node.answer_delay(), peer, message);
    }

    fn send_due(&mut self, now: Now) {
        while let Some((peer, message)) = self.held.pop(now.mono) {
            self.outbox.push_back(Output::Send { peer, message });
        }
    }

    fn converse(&mut self, now: Now, peer: PeerId, text: &str) {
        let subscriptions = &mut self.subscriptions;
        let answer = self
            .node
            .answer_by(text.as_bytes(), &mut |node, method, params| subscriptions.call(node, peer, method, params));
        if let Some(text) = answer {
            self.send(now, peer, Message::Text(text));
        }
    }

    /// Behind the answers, so that who has subscribed knows the id.
    fn tell_news(&mut self, now: Now) {
        for (peer, text) in self.subscriptions.news(&self.node) {
            self.send(now, peer, Message::Text(text));
        }
    }

    fn part(&mut self, peer: PeerId, reason: &Gone) {
        self.subscriptions.forget(peer);
        self.held.forget(peer);
        if let Gone::Limit(limit) = reason {
            log::warn!(target: "subtensor-sim", "{peer} was closed: {limit}");
        }
    }

    /// Hands on the next line, one at a time; the node bounds those that wait.
    fn write_journal(&mut self) {
        while !self.writing {
            let Some(line) = self.node.take_journal_line() else { break };
            log::debug!(target: "subtensor-sim", "{line}");
            if self.journal {
                self.outbox.push_back(Output::Command(line));
                self.writing = true;
            }
        }
        if self.stopping && !self.writing {
            self.stopping = false;
            self.outbox.push_back(Output::Exit(Exit::Done));
        }
    }
}

impl Machine for Server {
    type Command = String;
    type Event = Written;

    fn handle(&mut self, now: Now, input: Input<Written>) {
        self.node.advance(now);
        match input {
            Input::Received { peer, message: Message::Request(request), .. } => self.answer(now, peer, &request),
            Input::Received { peer, message: Message::Text(text), .. } => self.converse(now, peer, &text),
            Input::Closed { peer, reason } => self.part(peer, &reason),
            Input::Event(written) => {
                self.writing = false;
                if let Err(why) = written {
                    log::error!(target: "subtensor-sim", "a journal line is lost: {why}");
                }
            }
            Input::Stop => self.stopping = true,
            _ => {}
        }
        self.tell_news(now);
        self.send_due(now);
        self.write_journal();
    }

    fn poll(&mut self) -> Option<Output<String>> {
        self.outbox.pop_front()
    }

    fn deadline(&self) -> Option<Mono> {
        self.node.deadline().into_iter().chain(self.held.deadline()).min()
    }

    fn observe(&self, _page: &mut Page) {}
}

/// What the journal's spoke does with each line.
pub fn append(mut file: File) -> impl FnMut(String) -> Written + Send + 'static {
    move |line| file.write_all(format!("{line}\n").as_bytes()).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::{Genesis, Hyperparameters, RateCode},
        *,
    };
    use crate::units::Netuid;

    const PEER: u64 = 1;

    fn server(journal: bool) -> Server {
        let genesis = Genesis::new(Netuid(128), Vec::new(), Hyperparameters::default()).unwrap();
        Server::new(Node::new(genesis, Duration::from_secs(12), Now::default()).unwrap(), journal)
    }

    fn ask(server: &mut Server, method: &str, body: &str) -> Response {
        let request = Request { method: method.into(), target: "/".into(), headers: Headers::new(), body: body.into() };
        let message = Message::Request(request);
        server.handle(Now::default(), Input::Received { peer: PeerId::accepted(PEER), message, at: Mono(0) });
        match server.poll() {
            Some(Output::Send { message: Message::Response(response), .. }) => response,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_post_is_answered_and_a_get_is_not_allowed() {
        let answer = ask(&mut server(false), "POST", r#"{"jsonrpc":"2.0","id":1,"method":"system_chain"}"#);
        assert_eq!(answer.status, 200);
        assert!(String::from_utf8(answer.body).unwrap().contains("Subtensor (simulated)"));
        assert_eq!(ask(&mut server(false), "GET", "").status, 405);
    }

    #[test]
    fn a_slow_node_holds_its_answers_back() {
        let mut server = server(false);
        server.node.delay(Duration::from_secs(3));
        let request = Request {
            method: "POST".into(),
            target: "/".into(),
            headers: Headers::new(),
            body: br#"{"jsonrpc":"2.0","id":1,"method":"system_chain"}"#.to_vec(),
        };
        let message = Message::Request(request);
        server.handle(Now::default(), Input::Received { peer: PeerId::accepted(PEER), message, at: Mono(0) });
        assert!(server.poll().is_none());
        let due = Now { mono: server.deadline().unwrap(), ..Now::default() };
        assert_eq!(due.mono, Mono(0) + Duration::from_secs(3));
        server.handle(due, Input::Deadline);
        assert!(matches!(server.poll(), Some(Output::Send { .. })));
    }

    #[test]
    fn too_many_requests_have_their_status() {
        let mut server = server(false);
        server.node.limit_rate(Some((0, RateCode::Http429)));
        assert_eq!(ask(&mut server, "POST", r#"{"jsonrpc":"2.0","id":1,"method":"system_chain"}"#).status, 429);
        let off = r#"{"jsonrpc":"2.0","id":1,"method":"sim_rateLimit","params":["off"]}"#;
        assert_eq!(ask(&mut server, "POST", off).status, 200);
    }

    #[test]
    fn blocks_come_by_deadline_even_after_a_long_sleep() {
        let mut server = server(false);
        let mut now = Now { mono: server.deadline().unwrap(), ..Now::default() };
        server.handle(now, Input::Deadline);
        assert_eq!(server.node.best(), 1);
        now.mono = now.mono + Duration::from_secs(1_000_000);
        server.handle(now, Input::Deadline);
        assert!(server.node.best() <= 65);
        assert!(server.deadline().unwrap() > now.mono);
    }

    #[test]
    fn the_journal_is_written_line_by_line_and_to_the_end_before_it_stops() {
        let mut server = server(true);
        let bad = r#"{"jsonrpc":"2.0","id":1,"method":"author_submitExtrinsic","params":["0x00"]}"#;
        ask(&mut server, "POST", &format!("[{bad},{bad}]"));
        server.handle(Now::default(), Input::Stop);
        for _ in 0..2 {
            assert!(matches!(server.poll(), Some(Output::Command(line)) if line.contains("refused")));
            assert!(server.poll().is_none());
            server.handle(Now::default(), Input::Event(Ok(())));
        }
        assert!(matches!(server.poll(), Some(Output::Exit(Exit::Done))));
    }
}
