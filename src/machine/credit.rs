//! Credit with a spoke: how many requests it may still be handed before its channel is full.
//!
//! Owns the requests that wait for credit, oldest first. The bound on what waits is the caller's: it knows
//! whom to refuse.

use std::collections::VecDeque;

#[derive(Debug)]
pub struct Credit<Q> {
    depth: usize,
    handed_out: usize,
    waiting: VecDeque<Q>,
}

impl<Q> Credit<Q> {
    /// `depth`: requests that the spoke's channel holds.
    pub fn new(depth: usize) -> Credit<Q> {
        Credit { depth, handed_out: 0, waiting: VecDeque::new() }
    }

    pub fn push(&mut self, request: Q) {
        self.waiting.push_back(request);
    }

    /// The next request to hand over, if there is one and the spoke has room.
    pub fn take(&mut self) -> Option<Q> {
        if self.handed_out >= self.depth {
            return None;
        }
        let request = self.waiting.pop_front()?;
        self.handed_out += 1;
        Some(request)
    }

    /// The spoke answered one request.
    pub fn give_back(&mut self) {
        debug_assert!(self.handed_out > 0, "an answer without a request");
        self.handed_out = self.handed_out.saturating_sub(1);
    }

    /// Requests that were pushed and are not answered yet.
    pub fn open(&self) -> usize {
        self.handed_out + self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spoke_is_never_handed_more_than_it_holds() {
        let mut credit = Credit::new(2);
        (1..=3).for_each(|request| credit.push(request));
        assert_eq!((credit.take(), credit.take(), credit.take()), (Some(1), Some(2), None));
        assert_eq!(credit.open(), 3);
        credit.give_back();
        assert_eq!((credit.take(), credit.take()), (Some(3), None));
        credit.give_back();
        credit.give_back();
        assert_eq!(credit.open(), 0);
    }
}
