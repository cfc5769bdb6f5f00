//! Receipts on request: which calculation they are of, who has asked how often, and what is being signed.
//!
//! Owns the newest scores as receipts need them, and the requests whose receipts the bulk spoke signs. Both are bounded:
//! signing a page takes milliseconds, and receipts do not change before the next calculation.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Command, Validator, axon::Pending, fault::Fault, sessions::SessionId};
use crate::{
    machine::{
        contract::{
            store::Calculation,
            validator_bulk::{ReceiptWork, ValidatorBulk},
        },
        score::receipts::Book,
    },
    units::{Hotkey, Now},
    wire::{
        json,
        receipt::{PAGE, ReceiptRequest, ReceiptResponse},
    },
};

/// Pages that may be with the spoke at once.
pub const MOST_JOBS: usize = 8;
/// Pages that one miner may have of one calculation: all its workers, and once more after a restart.
const PAGES: u32 = 24;

#[derive(Debug, Default)]
pub struct Receipts {
    book: Option<Arc<Book>>,
    asked: BTreeMap<Hotkey, u32>,
    jobs: BTreeMap<u64, (Pending, SessionId)>,
    last: u64,
}

impl Receipts {
    /// New scores: everybody may ask anew.
    pub fn scored(&mut self, book: Book) {
        self.book = Some(Arc::new(book));
        self.asked.clear();
    }

    /// The book to be read from for this miner, unless it has asked too often or too many ask at once.
    fn admit(&mut self, hotkey: &Hotkey) -> Result<Option<Arc<Book>>, Fault> {
        let busy: BTreeSet<&Hotkey> = self.jobs.values().map(|(pending, _)| &pending.head.hotkey).collect();
        if self.jobs.len() >= MOST_JOBS || busy.contains(hotkey) {
            return Err(Fault::ReceiptsBusy);
        }
        let Some(book) = &self.book else { return Ok(None) };
        let asked = self.asked.entry(hotkey.clone()).or_default();
        if *asked >= PAGES {
            return Err(Fault::ReceiptsAskedOften);
        }
        *asked += 1;
        Ok(Some(Arc::clone(book)))
    }

    fn keep(&mut self, pending: Pending, session: SessionId) -> u64 {
        self.last += 1;
        self.jobs.insert(self.last, (pending, session));
        self.last
    }

    pub fn check_invariants(&self) {
        assert!(self.jobs.len() <= MOST_JOBS, "too many pages are being signed");
    }
}

impl Validator {
    /// The newest scores, as receipts tell them.
    pub(super) fn book(&self, calculation: &Calculation) -> Book {
        Book {
            validator: self.me.hotkey().clone(),
            netuid: self.config.netuid,
            block: self.chain.block().unwrap_or(0),
            policy: calculation.policy.clone(),
            scores: Arc::new(calculation.scores.clone()),
        }
    }

    pub(super) fn receipts(&mut self, now: Now, pending: Pending, session: SessionId, request: ReceiptRequest) {
        let text = match self.receipts.admit(&pending.head.hotkey) {
            Ok(Some(book)) => {
                let (hotkey, key) = (pending.head.hotkey.clone(), self.me.clone());
                let job = self.receipts.keep(pending, session);
                let work = ReceiptWork { job, book, hotkey, after: request.after, key };
                return self.command(Command::Bulk(ValidatorBulk::Receipts(Box::new(work))));
            }
            Ok(None) => json::text(&ReceiptResponse { receipts: Vec::new(), more: false }),
            Err(fault) => self.failure(&pending, &fault),
        };
        self.answer_sealed(now, &pending, &session, &text);
    }

    pub(super) fn receipts_signed(&mut self, now: Now, job: u64, text: &str) {
        if let Some((pending, session)) = self.receipts.jobs.remove(&job) {
            self.answer_sealed(now, &pending, &session, text);
        }
    }
}

/// Signs a page. Runs in the spoke.
pub fn serve(work: &ReceiptWork) -> String {
    let (page, more) = work.book.page(&work.hotkey, work.after.as_ref(), PAGE);
    json::text(&ReceiptResponse { receipts: page.iter().map(|receipt| receipt.sign(&work.key)).collect(), more })
}
