//! Receipts of our workers: which validators give them, and what came so far of a page after the other.
//!
//! Owns the pages of calculations that are not complete yet, bounded by what one miner may have. Nothing of a receipt is
//! believed here: the spoke verifies before it writes. How much is held is ours to say, and no validator's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Command, Miner, fault::shortened, lanes::Purpose};
use crate::{
    machine::{
        Output,
        contract::receipts::{CALCULATION_BYTES, DEPTH, ReceiptsKeep, ReceiptsKept},
    },
    metrics::Metric,
    units::{Hotkey, Now, WorkerId},
    wire::{
        http::Response,
        json,
        limits::HEARTBEAT_WORKERS,
        messages::Answer,
        receipt::{ANNOUNCEMENT, FORMAT, PAGE, ReceiptRequest, ReceiptResponse, SignedReceipt},
    },
};

/// Calculations that wait for the spoke; the oldest goes, for newer ones come.
const WAITING: usize = 64;
/// Pages of one calculation: what has more workers than a heartbeat may name is kept as far as these go.
const PAGES: usize = HEARTBEAT_WORKERS.div_ceil(PAGE);
/// How often a round begins again because a newer calculation came between two pages.
const RESTARTS: u32 = 2;
/// Of all that is not with the spoke yet, of every validator together.
const HELD_BYTES: usize = 64 << 20;

#[derive(Debug, Default)]
pub struct Receipts {
    /// They said so in an answer.
    givers: BTreeSet<Hotkey>,
    pages: BTreeMap<Hotkey, Pages>,
    waiting: VecDeque<ReceiptsKeep>,
    with_spoke: usize,
}

/// What came so far of one calculation.
#[derive(Debug, Default)]
struct Pages {
    receipts: Vec<SignedReceipt>,
    bytes: usize,
    count: usize,
    restarts: u32,
    /// The last receipt's.
    last: Option<Place>,
}

/// Which calculation a receipt says to be of, and which worker: unverified, a lie costs its teller no more than his own
/// pages.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
struct Place {
    at_s: u64,
    worker: WorkerId,
}

impl Place {
    fn of(receipt: &SignedReceipt) -> Option<Place> {
        json::object(&receipt.text).ok()
    }
}

/// What follows from a page.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Ask(ReceiptRequest),
    Complete(Vec<SignedReceipt>),
}

/// Why a calculation was let go, with all of it that had come.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum PageFault {
    #[error("a page with more behind it that does not say where it ends")]
    NoEnd,
    #[error("asked for what is behind {after:?}, it gives what ends with {with:?}")]
    NotBehind { after: WorkerId, with: WorkerId },
    #[error("a newer calculation came between its pages {RESTARTS} times and once more; the next round asks again")]
    Restless,
    #[error("over {CALCULATION_BYTES} bytes in one calculation")]
    TooMuch,
    #[error("over {HELD_BYTES} bytes wait for the disk, of all validators together")]
    Full,
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

    /// Takes a page in. With a fault, nothing of its calculation is held any more.
    fn page(&mut self, from: &Hotkey, response: ReceiptResponse) -> Result<Next, PageFault> {
        let mut pages = self.pages.remove(from).unwrap_or_default();
        let (page, more) = (response.receipts, response.more);
        let place = page.last().and_then(Place::of);
        if let Some(last) = &pages.last {
            match &place {
                Some(place) if place.at_s == last.at_s && place.worker <= last.worker => {
                    return Err(PageFault::NotBehind { after: last.worker.clone(), with: place.worker.clone() });
                }
                Some(place) if place.at_s == last.at_s => {}
                // There was more behind the last page; when that is nothing now, the calculation is another too.
                _ if pages.restarts == RESTARTS => return Err(PageFault::Restless),
                _ => return Ok(self.again(from, pages.restarts + 1)),
            }
        }
        pages.count += 1;
        pages.bytes += page.iter().map(SignedReceipt::bytes).sum::<usize>();
        if pages.bytes > CALCULATION_BYTES {
            return Err(PageFault::TooMuch);
        }
        if self.held() + pages.bytes > HELD_BYTES {
            return Err(PageFault::Full);
        }
        pages.receipts.extend(page);
        if !more || pages.count == PAGES {
            return Ok(Next::Complete(pages.receipts));
        }
        let after = place.ok_or(PageFault::NoEnd)?;
        pages.last = Some(after.clone());
        self.pages.insert(from.clone(), pages);
        Ok(Next::Ask(ReceiptRequest { after: Some(after.worker) }))
    }

    fn again(&mut self, from: &Hotkey, restarts: u32) -> Next {
        self.pages.insert(from.clone(), Pages { restarts, ..Pages::default() });
        Next::Ask(ReceiptRequest { after: None })
    }

    /// Bytes of what is not with the spoke.
    fn held(&self) -> usize {
        let waiting = self.waiting.iter().flat_map(|keep| &keep.receipts).map(SignedReceipt::bytes);
        self.pages.values().map(|pages| pages.bytes).sum::<usize>() + waiting.sum::<usize>()
    }

    fn wait(&mut self, keep: ReceiptsKeep) {
        self.waiting.push_back(keep);
        if self.waiting.len() > WAITING {
            self.waiting.pop_front();
        }
    }

    fn next(&mut self) -> Option<ReceiptsKeep> {
        let keep = (self.with_spoke < DEPTH).then(|| self.waiting.pop_front()).flatten()?;
        self.with_spoke += 1;
        Some(keep)
    }
}

impl Miner {
    /// Asks a validator for the receipts of its newest calculation, from the first worker on.
    pub(super) fn ask_for_receipts(&mut self, now: Now, to: &Hotkey) {
        self.uplink.receipts.pages.remove(to);
        self.uplink.submit(now.mono, to, Purpose::Receipts, json::text(&ReceiptRequest { after: None }));
    }

    pub(super) fn receipts_given(&mut self, now: Now, from: &Hotkey, answer: Answer<ReceiptResponse>) {
        let mut response = match answer {
            Answer::Given(response) => response,
            Answer::Refused(why) => {
                self.uplink.receipts.pages.remove(from);
                return log::debug!(target: "miner", "{from} gives no receipts: {}", shortened(&why));
            }
        };
        let came = response.receipts.len();
        response.receipts.retain(SignedReceipt::fits);
        if came > response.receipts.len() {
            log::warn!(target: "miner", "{} receipts of {from} not kept: longer than receipts may be", came - response.receipts.len());
        }
        match self.uplink.receipts.page(from, response) {
            Ok(Next::Ask(next)) => self.uplink.submit(now.mono, from, Purpose::Receipts, json::text(&next)),
            Ok(Next::Complete(receipts)) if receipts.is_empty() => {}
            Ok(Next::Complete(receipts)) => {
                let (miner, netuid) = (self.uplink.hotkey().clone(), self.netuid);
                let keep = ReceiptsKeep { validator: from.clone(), miner, netuid, heard: now.wall, receipts };
                self.uplink.receipts.wait(keep);
            }
            Err(fault) => log::warn!(target: "miner", "receipts of {from} not kept: {fault}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bob() -> Hotkey {
        Hotkey::label("5Bob")
    }

    fn receipt(at_s: u64, worker: &str) -> SignedReceipt {
        let text = serde_json::json!({"at_s": at_s, "worker": worker}).to_string();
        SignedReceipt { text, signature: "0x".into() }
    }

    fn page(at_s: u64, workers: &[&str], more: bool) -> ReceiptResponse {
        ReceiptResponse { receipts: workers.iter().map(|worker| receipt(at_s, worker)).collect(), more }
    }

    fn behind(worker: &str) -> Result<Next, PageFault> {
        Ok(Next::Ask(ReceiptRequest { after: Some(WorkerId::new(worker)) }))
    }

    fn from_the_first() -> Result<Next, PageFault> {
        Ok(Next::Ask(ReceiptRequest { after: None }))
    }

    fn names(next: Result<Next, PageFault>) -> Vec<String> {
        let Ok(Next::Complete(receipts)) = next else { panic!("{next:?}") };
        receipts.iter().map(|receipt| Place::of(receipt).unwrap().worker.to_string()).collect()
    }

    #[test]
    fn a_newer_calculation_between_two_pages_begins_again() {
        let mut of = Receipts::default();
        assert_eq!(of.page(&bob(), page(1, &["a", "b"], true)), behind("b"));
        assert_eq!(of.page(&bob(), page(2, &["c"], false)), from_the_first());
        assert_eq!(of.page(&bob(), page(2, &["a", "b"], true)), behind("b"));
        assert_eq!(names(of.page(&bob(), page(2, &["c"], false))), ["a", "b", "c"]);
        assert_eq!((of.pages.len(), of.held()), (0, 0));
    }

    #[test]
    fn a_newer_calculation_with_nobody_behind_the_last_page_begins_again_too() {
        let mut of = Receipts::default();
        assert_eq!(of.page(&bob(), page(1, &["a", "b"], true)), behind("b"));
        assert_eq!(of.page(&bob(), page(2, &[], false)), from_the_first());
        assert_eq!(names(of.page(&bob(), page(2, &["a"], false))), ["a"]);
    }

    #[test]
    fn a_calculation_that_changes_with_each_page_is_let_go() {
        let mut of = Receipts::default();
        for at_s in 0..u64::from(RESTARTS) {
            assert_eq!(of.page(&bob(), page(2 * at_s, &["a"], true)), behind("a"));
            assert_eq!(of.page(&bob(), page(2 * at_s + 1, &["b"], true)), from_the_first());
        }
        assert_eq!(of.page(&bob(), page(98, &["a"], true)), behind("a"));
        assert_eq!(of.page(&bob(), page(99, &["b"], true)), Err(PageFault::Restless));
        assert_eq!(of.held(), 0);
    }

    #[test]
    fn pages_that_do_not_go_on_are_let_go() {
        let mut of = Receipts::default();
        assert_eq!(of.page(&bob(), page(1, &["a", "b"], true)), behind("b"));
        let fault = PageFault::NotBehind { after: WorkerId::new("b"), with: WorkerId::new("b") };
        assert_eq!(of.page(&bob(), page(1, &["b"], true)), Err(fault));
        assert_eq!(of.page(&bob(), page(1, &[], true)), Err(PageFault::NoEnd));
        assert_eq!((of.pages.len(), of.held()), (0, 0));
    }

    #[test]
    fn pages_without_end_are_cut() {
        let mut of = Receipts::default();
        for count in 1..PAGES {
            let name = format!("w{count:03}");
            assert_eq!(of.page(&bob(), page(1, &[&name], true)), behind(&name));
        }
        assert_eq!(names(of.page(&bob(), page(1, &["w999"], true))).len(), PAGES);
    }

    #[test]
    fn bytes_of_one_validator_and_of_all_are_bounded() {
        let mut of = Receipts::default();
        let large =
            |worker: &str| SignedReceipt { signature: "0".repeat(CALCULATION_BYTES - 100), ..receipt(1, worker) };
        let first = ReceiptResponse { receipts: vec![large("a")], more: true };
        assert_eq!(of.page(&bob(), first), behind("a"));
        let second = ReceiptResponse { receipts: vec![large("b")], more: true };
        assert_eq!(of.page(&bob(), second), Err(PageFault::TooMuch));
        for validator in 0..HELD_BYTES / CALCULATION_BYTES {
            let one = ReceiptResponse { receipts: vec![large("a")], more: true };
            assert_eq!(of.page(&Hotkey::label(&format!("5Bob{validator}")), one), behind("a"));
        }
        let one = ReceiptResponse { receipts: vec![large("a")], more: false };
        assert_eq!(of.page(&bob(), one), Err(PageFault::Full));
        assert!(of.held() <= HELD_BYTES);
    }
}
