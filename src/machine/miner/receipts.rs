//! Receipts of our workers: which validators give them, and what came so far of a page after the other.
//!
//! Owns the pages of calculations that are not complete yet, bounded by what one miner may have. Nothing of a receipt is
//! believed here: the spoke verifies before it writes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Command, Miner, fault::shortened, lanes::Purpose};
use crate::{
    machine::{
        Output,
        contract::receipts::{DEPTH, ReceiptsKeep, ReceiptsKept},
    },
    metrics::Metric,
    units::{Hotkey, Now, WorkerId},
    wire::{
        http::Response,
        json,
        limits::HEARTBEAT_WORKERS,
        messages::Answer,
        receipt::{ANNOUNCEMENT, FORMAT, ReceiptRequest, ReceiptResponse, SignedReceipt},
    },
};

/// Calculations that wait for the spoke; the oldest goes, for newer ones come.
const WAITING: usize = 64;

#[derive(Debug, Default)]
pub struct Receipts {
    /// They said so in an answer.
    givers: BTreeSet<Hotkey>,
    pages: BTreeMap<Hotkey, Vec<SignedReceipt>>,
    waiting: VecDeque<ReceiptsKeep>,
    with_spoke: usize,
}

impl Receipts {
    /// Reads what a response says of its sender.
    pub fn heard(&mut self, from: &Hotkey, response: &Response) {
        let announced =
            response.headers.get(ANNOUNCEMENT).is_some_and(|value| value.split(',').any(|word| word.trim() == FORMAT));
        if announced && !self.givers.contains(from) {
            self.givers.insert(from.clone());
        }
    }

    pub fn gives(&self, validator: &Hotkey) -> bool {
        self.givers.contains(validator)
    }

    /// Forgets validators that are not listed any more.
    pub fn keep(&mut self, listed: impl Fn(&Hotkey) -> bool) {
        self.givers.retain(|hotkey| listed(hotkey));
        self.pages.retain(|hotkey, _| listed(hotkey));
    }

    /// Takes a page in; says behind which worker the next one begins, if there is one.
    fn page(
        &mut self,
        from: &Hotkey,
        miner: &Hotkey,
        response: ReceiptResponse,
        last: Option<WorkerId>,
    ) -> Option<ReceiptRequest> {
        let ReceiptResponse { receipts, more } = response;
        let pages = self.pages.entry(from.clone()).or_default();
        pages.extend(receipts);
        if more && pages.len() < HEARTBEAT_WORKERS && last.is_some() {
            return Some(ReceiptRequest { after: last });
        }
        let receipts = self.pages.remove(from).unwrap_or_default();
        if !receipts.is_empty() {
            self.waiting.push_back(ReceiptsKeep { validator: from.clone(), miner: miner.clone(), receipts });
        }
        if self.waiting.len() > WAITING {
            self.waiting.pop_front();
        }
        None
    }

    fn next(&mut self) -> Option<ReceiptsKeep> {
        let keep = (self.with_spoke < DEPTH).then(|| self.waiting.pop_front()).flatten()?;
        self.with_spoke += 1;
        Some(keep)
    }
}

/// The worker that a receipt says to be of, unverified: a lie costs its teller no more than his own pages.
fn worker_of(receipt: &SignedReceipt) -> Option<WorkerId> {
    #[derive(serde::Deserialize)]
    struct Named {
        worker: WorkerId,
    }
    json::object::<Named>(&receipt.text).ok().map(|named| named.worker)
}

impl Miner {
    /// Asks a validator for the receipts of its newest calculation, from the first worker on.
    pub(super) fn ask_for_receipts(&mut self, now: Now, to: &Hotkey) {
        self.uplink.receipts.pages.remove(to);
        self.uplink.submit(now.mono, to, Purpose::Receipts, json::text(&ReceiptRequest { after: None }));
    }

    pub(super) fn receipts_given(&mut self, now: Now, from: &Hotkey, answer: Answer<ReceiptResponse>) {
        let response = match answer {
            Answer::Given(response) => response,
            Answer::Refused(why) => {
                self.uplink.receipts.pages.remove(from);
                return log::debug!(target: "miner", "{from} gives no receipts: {}", shortened(&why));
            }
        };
        let last = response.receipts.last().and_then(worker_of);
        let miner = self.uplink.hotkey().clone();
        if let Some(next) = self.uplink.receipts.page(from, &miner, response, last) {
            self.uplink.submit(now.mono, from, Purpose::Receipts, json::text(&next));
        }
    }

    /// Hands the spoke what is complete.
    pub(super) fn keep_receipts(&mut self) {
        while let Some(keep) = self.uplink.receipts.next() {
            self.counters.count(Metric::SpokeRequests, &["receipts"]);
            self.outbox.push_back(Output::Command(Command::Receipts(Box::new(keep))));
        }
    }

    pub(super) fn receipts_kept(&mut self, kept: ReceiptsKept) {
        self.uplink.receipts.with_spoke = self.uplink.receipts.with_spoke.saturating_sub(1);
        let ReceiptsKept { validator, kept, faults, .. } = kept;
        match faults.first() {
            None => log::debug!(target: "miner", "{kept} receipts of {validator} kept"),
            Some(first) => {
                log::warn!(target: "miner", "{} receipts of {validator} not kept, {kept} kept: {}", faults.len(), shortened(first));
            }
        }
    }
}
