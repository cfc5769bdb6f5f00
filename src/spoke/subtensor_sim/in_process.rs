//! The simulated node without a socket: a chain spoke speaks with it through the same JSON.

use std::{cell::RefCell, rc::Rc};

use serde_json::Value as Json;

use super::Node;
use crate::spoke::chain::rpc::{Call, NodeError, Rpc, RpcError, read_answers, request_text};

/// A way to a node that others in this thread may have too.
#[derive(Clone)]
pub struct InProcess {
    node: Rc<RefCell<Node>>,
}

impl InProcess {
    pub fn new(node: Rc<RefCell<Node>>) -> InProcess {
        InProcess { node }
    }
}

impl Rpc for InProcess {
    fn batch(&mut self, calls: &[Call]) -> Result<Vec<Result<Json, NodeError>>, RpcError> {
        let answer = self.node.borrow_mut().answer(request_text(calls).as_bytes()).unwrap_or_default();
        read_answers(answer.as_bytes(), calls.len())
            .map_err(|why| RpcError::Unreachable { endpoint: "in process (simulated)".into(), why })
    }
}
