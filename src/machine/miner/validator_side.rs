//! The rounds to validators, and what their answers lead to.

use std::time::Duration;

use super::{
    Miner, assignment,
    failure::Failure,
    fault::shortened,
    flows::End,
    lanes::{Lane, Purpose},
    report,
    schedule::{Reason, Round},
    uplink::{self, Ended},
};
use crate::{
    machine::contract::bulk::Reply,
    metrics::Metric,
    units::{Hotkey, Mono, Now},
    wire::{
        code, json,
        messages::{Answer, HeartbeatResponse, ProofRequests, Raw, StatusAnswer, TaskRequest},
        websocket::is_filled_list,
    },
};

impl Miner {
    /// Heartbeats and polls that are due.
    pub(super) fn make_rounds(&mut self, now: Now) {
        let idle = self.idle_workers();
        for (to, round) in self.schedule.take_due(now.mono, self.reason()) {
            let lane = match round {
                Round::Heartbeat => Lane::Heartbeat,
                Round::Poll => Lane::Poll,
                Round::Receipts => Lane::Receipts,
            };
            if self.validators.passed_over_until(&to, now.mono).is_some() || !self.uplink.is_idle(&to, lane) {
                continue;
            }
            match round {
                Round::Heartbeat => self.send_heartbeat(now, &to),
                Round::Receipts if !self.uplink.receipts.gives(&to) => {}
                Round::Receipts => self.ask_for_receipts(now, &to),
                Round::Poll => {
                    let poll = TaskRequest::poll(self.uplink.hotkey(), Some(idle.clone()), now.wall);
                    let request = TaskRequest { market_tasks_held: Some(self.market_tasks.held_of(&to)), ..poll };
                    self.uplink.submit(now.mono, &to, Purpose::Poll, json::text(&request));
                }
            }
        }
    }

    /// Which rounds there is reason for.
    pub(super) fn reason(&self) -> Reason {
        Reason { heartbeat: !self.workers.is_empty(), poll: self.idle_count() > 0, receipts: self.wants_receipts }
    }

    pub(super) fn send_heartbeat(&mut self, now: Now, to: &Hotkey) {
        let workers = self.workers.iter().map(|worker| (worker, self.flows.is_busy(&worker.id)));
        let maintenance = self.maintenance.announced(now.wall);
        for text in report::heartbeats(self.uplink.hotkey(), now, workers, maintenance.as_deref()) {
            self.uplink.submit(now.mono, to, Purpose::Heartbeat, text);
        }
    }

    pub(super) fn message_ended(&mut self, now: Now, ended: Ended) {
        let Ended { to, purpose, outcome, took } = ended;
        self.count_call(&purpose, &outcome, took);
        self.judge(now.mono, &to, &outcome);
        match (purpose, outcome) {
            (Some(Purpose::Heartbeat), Ok(Some(Reply::Heartbeat(answer)))) => self.heartbeat_answered(&to, answer),
            (Some(Purpose::Poll), Ok(Some(Reply::Tasks(answer)))) => match answer {
                Answer::Given(tasks) => self.tasks_given(now, &to, tasks),
                Answer::Refused(why) => log::warn!(target: "miner", "{to} refuses our poll: {}", shortened(&why)),
            },
            (Some(Purpose::Commit(key)), outcome) => {
                let message_id = uplink::new_uuid(&mut self.rng);
                let steps = self.flows.committed(now, &key, message_id, requests_of(outcome));
                self.follow(now, steps);
            }
            (Some(Purpose::Submit(key)), outcome) => {
                let steps = self.flows.submitted(now.mono, &key, end_of(outcome));
                self.follow(now, steps);
            }
            (Some(Purpose::Receipts), Ok(Some(Reply::Receipts(answer)))) => self.receipts_given(now, &to, answer),
            (Some(Purpose::Report(key)), Ok(reply)) => match reply {
                Some(Reply::Requests(Answer::Refused(why))) => {
                    log::debug!(target: "miner", "{to} does not hear why challenge {} failed: {}", key.challenge, shortened(&why));
                }
                _ => log::debug!(target: "miner", "{to} knows that challenge {} failed", key.challenge),
            },
            (None, Ok(_)) => log::info!(target: "miner", "session with validator {to} opened"),
            (purpose, Err(failure)) => {
                log::debug!(target: "miner", "{to}, {}: {}", said_of(&purpose), shortened(&failure.to_string()))
            }
            (Some(Purpose::Heartbeat | Purpose::Poll | Purpose::Receipts), Ok(_)) => {
                log::debug!(target: "miner", "{to}: foreign answer")
            }
        }
    }

    pub(super) fn heartbeat_answered(&mut self, from: &Hotkey, answer: Answer<HeartbeatResponse>) {
        match answer {
            Answer::Given(answer) if answer.error_code == code::SUCCESS => {}
            Answer::Given(answer) => {
                let why = shortened(&answer.message.unwrap_or_default());
                log::warn!(target: "miner", "{from} refuses our heartbeat ({}): {why}", answer.error_code);
            }
            Answer::Refused(why) => log::warn!(target: "miner", "{from} refuses our heartbeat: {}", shortened(&why)),
        }
    }

    /// Keeps the record of who answers.
    pub(super) fn judge(&mut self, now: Mono, to: &Hotkey, outcome: &Result<Option<Reply>, Failure>) {
        match outcome {
            Ok(_) => self.validators.answered(to, now),
            Err(failure) if failure.is_answer() => self.validators.answered(to, now),
            // Its handshakes have been counted already.
            Err(Failure::NoSession) => {}
            Err(failure) => {
                let passed_over = self.validators.silent(to, now);
                let why = shortened(&failure.to_string());
                if let Some(ttl) = passed_over {
                    log::warn!(target: "miner", "validator {to} passed over for {} s: {why}", ttl.as_secs());
                } else if self.validators.fell_silent(to) {
                    log::warn!(target: "miner", "validator {to} does not answer: {why}");
                }
            }
        }
    }

    pub(super) fn count_call(
        &mut self,
        purpose: &Option<Purpose>,
        outcome: &Result<Option<Reply>, Failure>,
        took: Duration,
    ) {
        let synapse = purpose.as_ref().map_or("SessionInitSynapse", |purpose| purpose.lane().kind().class());
        let label = outcome.as_ref().err().map_or("answered", Failure::label);
        self.counters.count(Metric::Calls, &[synapse, label]);
        if outcome.is_ok() {
            self.counters.observe(Metric::CallSeconds, &[synapse], took);
        }
    }
}

fn requests_of(outcome: Result<Option<Reply>, Failure>) -> Result<Raw, End> {
    match outcome {
        Ok(Some(Reply::Requests(Answer::Given(ProofRequests { proof_requests: list })))) => match is_filled_list(&list)
        {
            true if assignment::fits(&list) => Ok(list),
            true => Err(End::Refused(format!("it asks for {} bytes: too many for a worker", list.as_str().len()))),
            false => Err(End::Refused("no proof was asked for".into())),
        },
        Ok(Some(Reply::Requests(Answer::Refused(why)))) => Err(End::Refused(shortened(&why))),
        Ok(_) => Err(End::Unanswered("an answer to something else".into())),
        Err(failure) => Err(unanswered(failure)),
    }
}

fn end_of(outcome: Result<Option<Reply>, Failure>) -> End {
    match outcome {
        Ok(Some(Reply::Status(Answer::Given(StatusAnswer { .. })))) => End::Accepted,
        Ok(Some(Reply::Status(Answer::Refused(why)))) => End::Refused(shortened(&why)),
        Ok(_) => End::Unanswered("an answer to something else".into()),
        Err(failure) => unanswered(failure),
    }
}

fn unanswered(failure: Failure) -> End {
    match failure {
        Failure::Refused(refusal) => End::Refused(shortened(&refusal.to_string())),
        failure => End::Unanswered(shortened(&failure.to_string())),
    }
}

fn said_of(purpose: &Option<Purpose>) -> &'static str {
    purpose.as_ref().map_or("handshake", |purpose| match purpose.lane() {
        Lane::Heartbeat => "heartbeat",
        Lane::Poll => "poll",
        Lane::Commitment => "commitment",
        Lane::Proof => "proof",
        Lane::Receipts => "receipts",
    })
}
