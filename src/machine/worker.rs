//! The worker: registers at its miner, computes what it is given, proves what it computed.
//!
//! This file is the switchboard: it takes each input to the part that owns the matter and turns what the
//! parts want into outputs. The parts: [`uplink`] (the way to the miner), [`pulse`] (signs of life),
//! [`tasks`] (what is computed, what waits to be sent), [`gpus`] (what computes beside the CPU), [`kept`] (what proofs need), [`opens`] (proofs that are
//! computed when they are asked for), [`answers`] (frames).
//! A lost connection costs nothing but the connection: tasks and kept results live on.

mod answers;
mod gpus;
mod idle;
mod kept;
mod opens;
mod preview;
mod pulse;
mod refusal;
mod status;
mod tasks;
mod uplink;

use std::{collections::VecDeque, time::Duration};

use rand_chacha::ChaCha20Rng;

use self::{
    gpus::Gpus,
    kept::{Kept, Proof},
    opens::{Opens, Wanted},
    pulse::Pulse,
    refusal::Refusal,
    tasks::{Arrival, Given, Product, Task, Tasks},
    uplink::{Loss, LossClass, Uplink, Wish},
};
use super::{
    Dial, Exit, Gone, Input, Machine, Message, Output,
    contract::{
        cpu::{CpuJob, CpuReply, CpuRequest},
        gpu::{ExecutorReply, ExecutorRequest, GpuJob, GpuReply, GpuRequest},
        open::{OpenId, OpenOutcome, OpenReply, OpenRequest},
        probe::{ProbeReply, ProbeRequest},
        resolve::{ResolveReply, ResolveRequest},
    },
};
use crate::{
    config::worker::{Capability, Config, MinerUrl},
    metrics::{Counters, Metric, Page},
    units::{Hotkey, Mono, Now, PeerId, Secret, Wall, WorkerId},
    wire::{
        messages::Raw,
        websocket::{ProofRequest, TaskAssignment, ToMiner, ToWorker},
    },
};

pub use self::{
    opens::OPENING_DEPTH,
    preview::{Preview, preview},
    tasks::EXECUTOR_DEPTH,
};

/// How long a stopping worker goes on for what it has begun: with its flush it has ended within 5 s.
pub const DRAIN: Duration = Duration::from_secs(3);
/// WebSocket's own code for an end as planned.
const NORMAL_CLOSURE: u16 = 1000;
const STOPPING: &str = "worker stopping";
/// As a label: a task that this version has not heard of.
const UNKNOWN_KIND: &str = "other";

/// What a worker asks of its spokes.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Cpu(CpuRequest),
    /// Not a request: it has no answer of its own.
    CallOff(CpuJob),
    Gpu(GpuRequest),
    /// Like [`Command::CallOff`].
    CallOffGpu(GpuJob),
    Executor(ExecutorRequest),
    /// Whatever looks after the executor is to leave off. Not a request either.
    LeaveExecutor,
    Open(OpenRequest),
    /// Like [`Command::CallOff`].
    CallOffOpening(OpenId),
    Probe(ProbeRequest),
    Resolve(ResolveRequest),
}

/// What its spokes report.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Cpu(CpuReply),
    Gpu(GpuReply),
    Executor(ExecutorReply),
    Opened(OpenReply),
    Probe(Box<ProbeReply>),
    Resolved(ResolveReply),
}

/// Who this worker says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Stable for the machine.
    pub id: WorkerId,
    /// For people.
    pub name: Option<String>,
    /// Of this program; not empty.
    pub version: String,
}

#[derive(Debug)]
pub struct Worker {
    identity: Identity,
    miner: MinerUrl,
    token: Option<Secret>,
    uplink: Uplink,
    pulse: Pulse,
    tasks: Tasks,
    gpus: Gpus,
    kept: Kept,
    opens: Opens,
    /// When a proof was last given.
    proven: Option<Mono>,
    /// When a stopping worker gives up waiting for what it has begun.
    stopping: Option<Mono>,
    exited: bool,
    counters: Counters,
    outputs: VecDeque<Output<Command>>,
}

impl Worker {
    /// `token` is what the miner asks for, if it asks for one; `rng` spreads the waits between attempts.
    pub fn new(config: &Config, identity: Identity, token: Option<Secret>, rng: ChaCha20Rng) -> Worker {
        Worker {
            gpus: Gpus::of(config, rng.clone()),
            tasks: Tasks::new(identity.id.clone(), config.capabilities.clone(), config.default_task_timeout),
            identity,
            miner: config.miner.clone(),
            token,
            uplink: Uplink::new(config.reconnect_interval, rng),
            pulse: Pulse::new(config.heartbeat_interval, config.system_info_interval),
            kept: Kept::default(),
            opens: Opens::default(),
            proven: None,
            stopping: None,
            exited: false,
            counters: Counters::default(),
            outputs: VecDeque::new(),
        }
    }

    fn send(&mut self, peer: PeerId, frame: &ToMiner) {
        self.outputs.push_back(Output::Send { peer, message: Message::Text(frame.to_text()) });
    }

    fn fault(&mut self, name: &'static str, what: &str) {
        self.counters.count(Metric::Faults, &[name]);
        log::debug!(target: "worker", "ignored from the miner: {what}");
    }

    fn received(&mut self, now: Now, at: Mono, peer: PeerId, message: &Message) {
        let Message::Text(text) = message else {
            return self.fault("not_text", "a message that is no text frame");
        };
        match ToWorker::parse(text) {
            Ok(ToWorker::RegistrationAck) => self.acknowledged(now, peer),
            Ok(_) if self.uplink.registered() != Some(peer) => self.fault("early_frame", "a frame before the ack"),
            Ok(ToWorker::HeartbeatAck) => {}
            Ok(ToWorker::TaskAssignment(given)) => self.assigned(now, at, peer, &given),
            Ok(ToWorker::ProofRequest(asked)) => self.proof_asked(now, at, peer, &asked),
            Ok(ToWorker::HeartbeatRequest(message_id)) => {
                let answer = answers::sign_of_life(&self.identity, now.wall, message_id);
                self.send(peer, &answer);
            }
            Err(fault) => {
                self.fault("bad_frame", &fault.to_string());
                self.refuse_unreadable(now, text);
            }
        }
    }

    fn acknowledged(&mut self, now: Now, peer: PeerId) {
        if !self.uplink.acknowledged(now.mono, peer) {
            return self.fault("stray_ack", "an acknowledgement of nothing");
        }
        log::info!(target: "worker", "registered at {} as {}", self.miner.authority(), self.identity.id);
        self.pulse.registered(now.mono);
    }

    fn assigned(&mut self, now: Now, at: Mono, peer: PeerId, given: &TaskAssignment) {
        if self.tasks.is_current(&given.task_id) {
            return self.fault("repeated_task", "a task that is being computed");
        }
        let arrival = Arrival { mono: at, wall: answers::wall_at(now, at), from: peer };
        let begun = match self.tasks.read(arrival, given, &self.gpus) {
            Ok(_) if self.stopping.is_some() => Err(Refusal::Stopping),
            Ok(task) => self.begin(task),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = begun {
            self.refuse(now, kind_of(&given.task_type), &given.task_id, &refusal);
        }
    }

    fn begin(&mut self, task: Task) -> Result<(), Refusal> {
        if let Some(job) = self.tasks.displaced_by(&task) {
            log::info!(target: "worker", "task {} takes the place of one that the miner has forgotten", task.id);
            self.call_off(job);
        }
        let (validator, kind, side) = (task.validator.clone(), task.capability().name(), task.side());
        let request = self.tasks.begin(task)?;
        log::debug!(target: "worker", "computing {kind} {side}×{side} for {validator}");
        self.kept.superseded(&validator);
        let command = match request {
            Given::Cpu(request) => Command::Cpu(request),
            Given::Gpu(request) => {
                self.kept.gpus_taken();
                Command::Gpu(request)
            }
        };
        self.outputs.push_back(Output::Command(command));
        Ok(())
    }

    fn call_off(&mut self, job: Given<CpuJob, GpuJob>) {
        let command = match job {
            Given::Cpu(job) => Command::CallOff(job),
            Given::Gpu(job) => Command::CallOffGpu(job),
        };
        self.outputs.push_back(Output::Command(command));
    }

    /// Answers an assignment that is not computed.
    fn refuse(&mut self, now: Now, kind: &'static str, task_id: &str, refusal: &Refusal) {
        log::warn!(target: "worker", "task {task_id} failed: {refusal}");
        self.counters.count(Metric::Tasks, &[kind, refusal.label()]);
        let frame = answers::refused(&self.identity, now.wall, task_id, refusal);
        self.post(&frame, now.mono + answers::REFUSAL_LIFE);
    }

    /// An assignment whose body is unusable still has a task id that somebody waits for.
    fn refuse_unreadable(&mut self, now: Now, text: &str) {
        if let Some(task_id) = answers::task_id_of(text) {
            self.refuse(now, UNKNOWN_KIND, &task_id, &Refusal::Data("not readable as a task assignment".into()));
        }
    }

    fn computed(&mut self, now: Now, done: Option<(Task, Result<Product, Refusal>)>) {
        let Some((task, result)) = done else { return };
        match result {
            Ok(product) => self.deliver(now, task, product),
            Err(refusal) => self.refuse(now, task.capability().name(), &task.id, &refusal),
        }
    }

    fn deliver(&mut self, now: Now, task: Task, product: Product) {
        let kind = task.capability().name();
        self.counters.count(Metric::Tasks, &[kind, "computed"]);
        self.counters.observe(Metric::TaskSeconds, &[kind], product.took);
        let (side, took, crew) = (task.side(), product.took, product.crew);
        log::info!(target: "worker", "task {} ({kind}, {side}×{side}) computed in {took:?} on {crew}", task.id);
        let frame = answers::computed(&self.identity, now.wall, &task, &product);
        self.post(&frame, task.until);
        let dropped = self.kept.keep(now.mono, task.validator, task.challenge, product.answer);
        if dropped > 0 {
            log::warn!(target: "worker", "{dropped} older answers cannot be proven any more: too much is kept for proofs");
        }
    }

    fn post(&mut self, frame: &ToMiner, until: Mono) {
        if !self.tasks.post(frame.to_text(), until) {
            log::warn!(target: "worker", "the oldest undelivered result was dropped: too many wait for the miner");
        }
    }

    fn proof_asked(&mut self, now: Now, at: Mono, peer: PeerId, asked: &ProofRequest) {
        let (validator, challenge) = (&asked.data.validator_hotkey, &asked.data.challenge_id);
        let received = answers::wall_at(now, at);
        let text = match self.kept.proof(validator, challenge, &asked.data.requests) {
            Ok(Proof::ToOpen(what)) => {
                let (validator, challenge) = (validator.clone(), challenge.clone());
                let message_id = asked.message_id.clone();
                let wanted = Wanted { validator, challenge, message_id, received, from: peer, what };
                return self.want_opening(wanted);
            }
            Ok(Proof::Ready(proof)) => {
                self.give_proof(now.mono);
                self.kept.proven(now.mono, validator, challenge);
                let proofs = Raw::of(&[proof]).map_err(|why| why.to_string());
                answers::proof(&asked.message_id, received, now.wall, proofs)
            }
            Err(why) => self.unproven(&asked.message_id, received, now.wall, validator, &why.to_string()),
        };
        self.outputs.push_back(Output::Send { peer, message: Message::Text(text) });
    }

    fn give_proof(&mut self, now: Mono) {
        self.counters.count(Metric::Proofs, &["proven"]);
        self.proven = Some(now);
    }

    /// The answer to a proof request that gets no proof.
    fn unproven(&mut self, message_id: &str, received: Wall, now: Wall, validator: &Hotkey, why: &str) -> String {
        self.counters.count(Metric::Proofs, &["refused"]);
        log::warn!(target: "worker", "no proof for {validator}: {why}");
        answers::proof(message_id, received, now, Err(why.to_owned()))
    }

    fn want_opening(&mut self, wanted: Wanted) {
        let (taken, called_off) = self.opens.want(wanted);
        self.call_off_opening(called_off);
        if !taken {
            self.fault("repeated_proof", "a proof request that was taken before");
        }
    }

    fn call_off_opening(&mut self, id: Option<OpenId>) {
        self.outputs.extend(id.map(|id| Output::Command(Command::CallOffOpening(id))));
    }

    fn opened_answer(&mut self, now: Now, reply: OpenReply) {
        let Some(wanted) = self.opens.finished(&reply) else { return };
        let Wanted { validator, message_id, received, .. } = &wanted;
        let frame = match reply.outcome {
            OpenOutcome::Opened { proofs, took } => {
                log::debug!(target: "worker", "proof for {validator} made in {took:?}");
                self.give_proof(now.mono);
                answers::proof(message_id, *received, now.wall, Ok(proofs))
            }
            OpenOutcome::CalledOff => {
                self.unproven(message_id, *received, now.wall, validator, "the opening was called off")
            }
            OpenOutcome::Refused(why) => self.unproven(message_id, *received, now.wall, validator, &why),
        };
        if self.opens.ready(validator, frame) > 0 {
            log::warn!(target: "worker", "the oldest undelivered proof was dropped: too many wait for the miner");
        }
    }

    fn executor_said(&mut self, now: Mono, reply: ExecutorReply) {
        let (next, changed) = self.gpus.heard(now, reply);
        if changed {
            self.pulse.news(now);
        }
        self.outputs.extend(next.map(|request| Output::Command(Command::Executor(request))));
    }

    fn probed(&mut self, now: Mono, reply: ProbeReply) {
        self.pulse.probed(now, reply.info);
        if self.gpus.read(reply.gpus) {
            self.pulse.news(now);
        }
    }

    fn lost(&mut self, now: Mono, peer: PeerId, reason: &Gone) {
        let was_registered = self.uplink.registered() == Some(peer);
        if was_registered {
            self.pulse.lost();
        }
        match self.uplink.lost(now, peer, reason) {
            Some(Ok(wish)) => self.fulfil(wish),
            Some(Err(loss)) => self.report(&loss, was_registered),
            None => {}
        }
    }

    fn report(&self, loss: &Loss, was_registered: bool) {
        let miner = self.miner.authority();
        let wait = loss.retry_in.as_secs_f64();
        match loss.class {
            LossClass::Refused => {
                let reason = &loss.reason;
                log::error!(target: "worker", "{miner} refuses this worker ({reason}): see token_file here and worker_management there; next attempt in {wait:.0} s");
            }
            LossClass::Full => log::warn!(target: "worker", "{}; next attempt in {wait:.0} s", loss.reason),
            LossClass::Transport if was_registered => {
                log::warn!(target: "worker", "lost {miner}: {}; next attempt in {wait:.1} s", loss.reason);
            }
            LossClass::Transport => {
                log::warn!(target: "worker", "cannot reach {miner}: {}; next attempt in {wait:.1} s", loss.reason);
            }
        }
    }

    fn fulfil(&mut self, wish: Wish) {
        let output = match wish {
            Wish::Resolve => {
                let MinerUrl { host, port, .. } = &self.miner;
                Output::Command(Command::Resolve(ResolveRequest { host: host.clone(), port: *port }))
            }
            Wish::Dial { peer, to } => {
                let (host, path) = (self.miner.authority(), self.miner.path.clone());
                let bearer = self.token.clone();
                let dial = Dial::WebSocket { to, host, path, bearer, timeout: uplink::DIAL_TIMEOUT };
                Output::Dial { peer, dial }
            }
            Wish::Close { peer, code, reason } => Output::Close { peer, code, reason: reason.into() },
        };
        self.outputs.push_back(output);
    }

    fn resolved(&mut self, now: Mono, reply: ResolveReply) {
        if !self.uplink.is_resolving() {
            return;
        }
        match self.uplink.resolved(now, reply.addresses) {
            Ok(wish) => self.fulfil(wish),
            Err(loss) => self.report(&loss, false),
        }
    }

    fn opened(&mut self, now: Mono, peer: PeerId) {
        if self.uplink.opened(now, peer) {
            let frame =
                answers::register(&self.identity, self.tasks.offered(&self.gpus), self.gpus.told(&self.pulse.info()));
            self.send(peer, &frame);
        }
    }

    /// Everything that time alone brings about, and what may be sent since the last input.
    fn tick(&mut self, now: Now) {
        if self.pulse.wants_probe(now.mono) {
            self.outputs.push_back(Output::Command(Command::Probe(ProbeRequest)));
        }
        let start = self.gpus.wants(now.mono).filter(|_| self.stopping.is_none());
        self.outputs.extend(start.map(|request| Output::Command(Command::Executor(request))));
        if let Some((job, task)) = self.tasks.timed_out(now.mono) {
            self.call_off(job);
            self.refuse(now, task.capability().name(), &task.id, &Refusal::TimedOut(task.timeout));
        }
        self.kept.expire(now.mono);
        let stale = self.opens.keep(|validator, challenge| self.kept.has(validator, challenge));
        self.call_off_opening(stale);
        self.outputs.extend(self.opens.next().map(|request| Output::Command(Command::Open(request))));
        if let Some(peer) = self.uplink.registered() {
            self.speak(now, peer);
        }
        match self.stopping {
            None => self.pursue(now.mono),
            Some(until) => self.drained(now.mono, until),
        }
    }

    /// What a registered worker has to say of its own accord.
    fn speak(&mut self, now: Now, peer: PeerId) {
        if self.pulse.wants_beat(now.mono) {
            let (offered, info) = (self.tasks.offered(&self.gpus), self.gpus.told(&self.pulse.info()));
            let frame = answers::heartbeat(offered, info, self.gpus.summary(), self.tasks.active());
            self.send(peer, &frame);
        }
        while let Some(text) = self.tasks.next_parcel(now.mono) {
            self.outputs.push_back(Output::Send { peer, message: Message::Text(text) });
        }
        while let Some((text, validator, challenge)) = self.opens.next_ready(peer) {
            self.kept.proven(now.mono, &validator, &challenge);
            self.outputs.push_back(Output::Send { peer, message: Message::Text(text) });
        }
    }

    fn pursue(&mut self, now: Mono) {
        let begin = if self.pulse.ready(now) { self.uplink.start() } else { None };
        begin.into_iter().chain(self.uplink.due(now)).for_each(|wish| self.fulfil(wish));
    }

    fn stop(&mut self, now: Mono) {
        if self.stopping.is_none() {
            log::info!(target: "worker", "stopping: no new tasks");
            self.stopping = Some(now + DRAIN);
        }
    }

    /// Ends the worker once nothing that it has begun can still be of use.
    fn drained(&mut self, now: Mono, until: Mono) {
        let begun = !self.tasks.is_idle() || self.kept.has_unproven();
        if self.exited || (begun && self.uplink.registered().is_some() && now < until) {
            return;
        }
        self.exited = true;
        if let Some(job) = self.tasks.abandon() {
            self.call_off(job);
        }
        self.outputs.push_back(Output::Command(Command::LeaveExecutor));
        let opening = self.opens.abandon();
        self.call_off_opening(opening);
        if let Some(peer) = self.uplink.stop() {
            self.outputs.push_back(Output::Close { peer, code: NORMAL_CLOSURE, reason: STOPPING.into() });
        }
        self.outputs.push_back(Output::Exit(Exit::Done));
    }
}

/// A task's kind as a label: bounded, whatever is asked.
fn kind_of(task_type: &str) -> &'static str {
    Capability::of(task_type).map_or(UNKNOWN_KIND, Capability::name)
}

impl Machine for Worker {
    type Command = Command;
    type Event = Event;

    fn handle(&mut self, now: Now, input: Input<Event>) {
        if self.exited {
            return;
        }
        match input {
            Input::Opened { peer, .. } => self.opened(now.mono, peer),
            Input::Received { peer, message, at } => self.received(now, at, peer, &message),
            Input::Closed { peer, reason } | Input::DialFailed { peer, reason } => self.lost(now.mono, peer, &reason),
            Input::Event(Event::Cpu(reply)) => {
                let done = self.tasks.finished(reply);
                self.computed(now, done);
            }
            Input::Event(Event::Gpu(GpuReply { job, outcome })) => {
                let reply = GpuReply { job, outcome: self.gpus.only_offered(outcome) };
                let done = self.tasks.finished_on_gpus(reply);
                self.computed(now, done);
            }
            Input::Event(Event::Executor(reply)) => self.executor_said(now.mono, reply),
            Input::Event(Event::Opened(reply)) => self.opened_answer(now, reply),
            Input::Event(Event::Probe(reply)) => self.probed(now.mono, *reply),
            Input::Event(Event::Resolved(reply)) => self.resolved(now.mono, reply),
            Input::Deadline => {}
            Input::Stop => self.stop(now.mono),
        }
        self.tick(now);
    }

    fn poll(&mut self) -> Option<Output<Command>> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Mono> {
        if self.exited {
            return None;
        }
        let executor = self.gpus.deadline().filter(|_| self.stopping.is_none());
        let parts =
            [executor, self.pulse.deadline(), self.tasks.deadline(), self.kept.deadline(), self.uplink.deadline()];
        parts.into_iter().flatten().chain(self.stopping).min()
    }

    fn observe(&self, page: &mut Page) {
        self.counters.write(page);
        page.set(Metric::MinerConnected, &[], f64::from(u8::from(self.uplink.registered().is_some())));
        for (verdict, cards) in self.gpus.verdicts() {
            page.set(Metric::GpuCards, &[verdict], cards as f64);
        }
        page.set(Metric::KeptResults, &[], self.kept.count() as f64);
        page.set(Metric::KeptBytes, &[], self.kept.bytes() as f64);
        page.add(Metric::Reconnects, &[], self.uplink.attempts().saturating_sub(1) as f64);
    }

    fn status(&self, now: Now) -> String {
        self.in_a_line(now.mono)
    }
}

#[cfg(test)]
mod tests;
