//! The compute marketplace: what the hub says is carried to who it is for, and what it is told is said in time.
//!
//! Owns the link (`machine::hub_link`), when the next heartbeat and the next report are due, and the frames of reports
//! that are on their way. It stops nothing: without the hub the last leases stay, and everything else goes on. Nothing
//! waits for the hub; what cannot be said is not said.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use rand_chacha::ChaCha20Rng;

use super::{Command, Event, Phase, Validator, fleet, leases::Word, resources::Resources, tasks::Tasks};
use crate::{
    config::{
        leases::{LeaseSource, Leases, OnOutage},
        meshhub::MeshHub,
    },
    machine::{
        Input, Message, Output,
        contract::validator_bulk::{ValidatorBulk, ValidatorBulkDone},
        hub_link::{HubLink, Loss, News, Settings, Want},
        hub_reports,
        score::{Policy, Scores, report::report},
        status::span,
    },
    metrics::{Counters, Metric, Page},
    units::{Hotkey, Mono, Now, Secret},
    wire::{
        marketplace::{Ack, Body, BodyFault, FrameFault, FromHub, Heartbeat, LeasePublish, Statistics, ToHub},
        messages::HeartbeatData,
    },
};

/// Between two lines about the same trouble with the hub.
const SAY_AGAIN: Duration = Duration::from_secs(600);
/// Frames of reports go out at this pace: a report of the whole network is hundreds, each is sealed on the loop, and a
/// socket that is given them faster than it sends them is closed.
const BYTES_A_SECOND: usize = 1 << 20;
/// The longest id of a message that is acknowledged; it is repeated in the answer.
const MESSAGE_ID_BYTES: usize = 256;
/// Of what a hub sent, as much goes into a line.
const TOLD_CHARS: usize = 300;
/// Frames of reports that may wait for their turn; a report that would make them more is not sent.
const MOST_FRAMES: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Market {
    /// Those of an earlier configuration's marketplace count, too.
    pub(super) tasks: Tasks,
    on: Option<On>,
}

#[derive(Debug)]
struct On {
    link: HubLink,
    heartbeat_interval: Duration,
    next_heartbeat: Mono,
    report_interval: Duration,
    next_report: Mono,
    resources: Resources,
    /// Frames of reports, in order, and when the next of them go out.
    frames: VecDeque<ToHub>,
    next_frames: Mono,
    /// When each kind of fault was last said.
    faults: BTreeMap<&'static str, Mono>,
    /// When the link was last lost, and when that was last said.
    lost: Option<(Mono, Mono)>,
}

impl Market {
    pub(super) fn new(hub: &MeshHub, token: Secret, me: Hotkey, rng: ChaCha20Rng) -> Market {
        let settings = Settings {
            host: hub.url.host.clone(),
            port: hub.url.port,
            path: hub.url.path.clone(),
            tls: hub.url.tls,
            token,
            pinned: hub.server_hotkey.clone(),
            capabilities: hub.capabilities.clone(),
            reconnect_delay: hub.reconnect_delay,
        };
        Market {
            tasks: Tasks::default(),
            on: Some(On {
                link: HubLink::new(settings, me, rng),
                heartbeat_interval: hub.heartbeat_interval,
                next_heartbeat: Mono(0),
                report_interval: hub.report_interval,
                next_report: Mono(0),
                resources: Resources::default(),
                frames: VecDeque::new(),
                next_frames: Mono(0),
                faults: BTreeMap::new(),
                lost: None,
            }),
        }
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        let tasks = self.tasks.deadline();
        let Some(on) = &self.on else { return tasks };
        let frames = (!on.frames.is_empty()).then_some(on.next_frames);
        let due = [Some(on.next_heartbeat), Some(on.next_report), frames].into_iter().flatten();
        on.link.deadline().into_iter().chain(tasks).chain(due.filter(|_| on.link.is_up())).min()
    }

    /// How the link stands; `None` without one.
    pub(super) fn in_words(&self, now: Mono) -> Option<String> {
        let on = self.on.as_ref()?;
        Some(match on.lost {
            _ if on.link.is_up() => "marketplace link up".into(),
            Some((since, _)) => format!("marketplace link down for {}", span(now.since(since))),
            None => "marketplace link not up yet".into(),
        })
    }

    pub(super) fn stop(&mut self) {
        if let Some(on) = &mut self.on {
            on.link.stop();
        }
    }

    /// A miner's heartbeat, for the next report.
    pub(super) fn heard(&mut self, now: Now, hotkey: &Hotkey, data: &HeartbeatData, prints: &[u64]) {
        if let Some(on) = &mut self.on {
            on.resources.heard(now, hotkey, data, prints);
        }
    }

    /// Forgets hotkeys that left the metagraph.
    pub(super) fn retain(&mut self, known: impl Fn(&Hotkey) -> bool) {
        if let Some(on) = &mut self.on {
            on.resources.retain(known);
        }
    }

    fn next_news(&mut self) -> Option<News> {
        self.on.as_mut()?.link.next_news()
    }

    fn next_want(&mut self) -> Option<Want> {
        self.on.as_mut()?.link.next_want()
    }

    /// Its bytes; `None`: it could not be said.
    pub(super) fn say(&mut self, now: Now, body: &ToHub, counters: &mut Counters) -> Option<usize> {
        let said = self.on.as_mut().and_then(|on| on.link.say(now, body));
        if said.is_some() {
            counters.count(Metric::MarketplaceFrames, &["out", body.kind()]);
        }
        said
    }

    fn heartbeat_is_due(&mut self, now: Mono) -> bool {
        let Some(on) = self.on.as_mut().filter(|on| on.link.is_up() && on.next_heartbeat <= now) else { return false };
        on.next_heartbeat = now + on.heartbeat_interval;
        true
    }

    /// Takes the frames of a report in, all or none.
    fn queue(&mut self, what: &str, frames: Vec<ToHub>) {
        let Some(on) = self.on.as_mut().filter(|on| on.link.is_up()) else { return };
        if on.frames.len() + frames.len() > MOST_FRAMES {
            let (waiting, more) = (on.frames.len(), frames.len());
            log::warn!(
                target: "validator",
                "a report of {what} to the marketplace is left out: {waiting} frames of older ones wait, {more} would be more than {MOST_FRAMES}"
            );
            return;
        }
        on.frames.extend(frames);
    }

    /// Sends the next frame when the one before had time to go.
    fn send_frame(&mut self, now: Now, counters: &mut Counters) {
        let due = |on: &&mut On| on.link.is_up() && on.next_frames <= now.mono;
        let Some(frame) = self.on.as_mut().filter(due).and_then(|on| on.frames.pop_front()) else { return };
        let bytes = self.say(now, &frame, counters).unwrap_or(0);
        if let Some(on) = &mut self.on {
            on.next_frames = now.mono + Duration::from_secs_f64(bytes as f64 / BYTES_A_SECOND as f64);
        }
    }

    /// A text of the hub as it may be kept or told: one line, so long at most, without our token.
    pub(super) fn told(&self, text: &str, most_chars: usize) -> String {
        let text = self.on.as_ref().map_or_else(|| text.to_owned(), |on| on.link.without_token(text));
        let cut: String = text.chars().take(most_chars).map(|c| if c.is_control() { '_' } else { c }).collect();
        if cut.len() < text.len() { format!("{cut}…") } else { cut }
    }

    /// Whether a fault of this kind is to be said: the first, and one now and then.
    pub(super) fn is_worth_a_line(&mut self, now: Mono, label: &'static str) -> bool {
        let Some(on) = &mut self.on else { return false };
        let again = on.faults.get(label).is_none_or(|said| now.since(*said) >= SAY_AGAIN);
        if again {
            on.faults.insert(label, now);
        }
        again
    }

    pub(super) fn check_invariants(&self) {
        self.tasks.check_invariants();
        let Some(on) = &self.on else { return };
        assert!(on.frames.len() <= MOST_FRAMES, "more frames wait than may");
        on.resources.check_invariants();
    }

    /// A loss is said at once, the same trouble again only after a while.
    fn lost(&mut self, now: Mono, loss: &Loss, meanwhile: &str) {
        let Some(on) = &mut self.on else { return };
        let (since, said) = on.lost.unwrap_or((now, Mono(0)));
        let again = on.lost.is_none() || loss.was_up || now.since(said) >= SAY_AGAIN;
        on.lost = Some((since, if again { now } else { said }));
        if again {
            let level = if loss.class.needs_operator() { log::Level::Error } else { log::Level::Warn };
            let away = now.since(since).as_secs();
            let retry_s = loss.retry_in.as_secs();
            log::log!(
                target: "validator",
                level,
                "no marketplace for {away} s ({}): {}; {meanwhile}; next attempt in {retry_s} s",
                loss.class.label(),
                loss.reason
            );
        }
    }

    pub(super) fn fill(&self, page: &mut Page) {
        if self.on.is_some() || !self.tasks.is_empty() {
            self.tasks.fill(page);
        }
        let Some(on) = &self.on else { return };
        page.set(Metric::MarketplaceUp, &[], if on.link.is_up() { 1.0 } else { 0.0 });
    }
}

/// What the loss of the link does to leases.
fn meanwhile(leases: &Leases) -> &'static str {
    match (leases.source, leases.on_outage) {
        (LeaseSource::Meshhub, OnOutage::Hold) => "the last leases stay in force",
        (LeaseSource::Meshhub, OnOutage::Decay) => "the last leases decay once nothing was said for leases.max_age",
        (LeaseSource::Meshhub, OnOutage::Zero) => "the last leases end once nothing was said for leases.max_age",
        (LeaseSource::None | LeaseSource::File, _) => "leases do not depend on it",
    }
}

/// What was wrong, as much of it as a person reads.
fn shortened(fault: &impl std::fmt::Display) -> String {
    fault.to_string().chars().take(TOLD_CHARS).collect()
}

impl Validator {
    /// With the marketplace that the configuration names. `rng` is seeded by the operating system, except in tests.
    pub fn with_market(mut self, hub: &MeshHub, token: Secret, rng: ChaCha20Rng) -> Validator {
        self.market = Market::new(hub, token, self.me.hotkey().clone(), rng);
        self
    }

    /// Takes what is the link's; anything else comes back.
    pub(super) fn market_input(&mut self, now: Now, input: Input<Event>) -> Option<Input<Event>> {
        let Some(on) = &mut self.market.on else { return Some(input) };
        match input {
            Input::Opened { peer, .. } if peer.is_dialed() => on.link.opened(now, peer),
            Input::Received { peer, message: Message::Text(text), .. } if peer.is_dialed() => {
                on.link.heard(now.mono, peer, text);
            }
            Input::Closed { peer, reason } | Input::DialFailed { peer, reason } if peer.is_dialed() => {
                on.link.closed(now.mono, peer, &reason);
            }
            Input::Event(Event::Bulk(ValidatorBulkDone::Hub(opened))) => on.link.read(now.mono, *opened),
            Input::Event(Event::Resolved(reply)) => on.link.resolved(now.mono, reply.addresses),
            other => return Some(other),
        }
        None
    }

    /// What the link wants and tells, after every input.
    pub(super) fn carry_market(&mut self, now: Now) {
        let running = self.phase == Phase::Running;
        if running {
            self.expire_tasks(now);
        }
        if let Some(on) = self.market.on.as_mut().filter(|_| running) {
            on.link.tick(now.mono);
        }
        while let Some(news) = self.market.next_news() {
            self.market_news(now, news);
        }
        if running && self.market.heartbeat_is_due(now.mono) {
            let heartbeat = self.hub_heartbeat(now);
            self.market.say(now, &ToHub::Heartbeat(heartbeat), &mut self.counters);
        }
        if running {
            self.report_resources(now);
            self.market.send_frame(now, &mut self.counters);
        }
        while let Some(want) = self.market.next_want() {
            self.outputs.push_back(match want {
                Want::Resolve(request) => Output::Command(Command::Resolve(request)),
                Want::Dial { peer, dial } => Output::Dial { peer, dial },
                Want::Send { peer, text } => Output::Send { peer, message: Message::Text(text) },
                Want::Close { peer, code, reason } => Output::Close { peer, code, reason },
                Want::Open { opener, text } => Output::Command(Command::Bulk(ValidatorBulk::Hub { opener, text })),
            });
        }
    }

    fn market_news(&mut self, now: Now, news: News) {
        match news {
            News::Up { hub } => {
                log::info!(target: "validator", "the marketplace is there: hub {hub}");
                if let Some(on) = &mut self.market.on {
                    (on.lost, on.next_heartbeat) = (None, now.mono + on.heartbeat_interval);
                    on.next_report = now.mono + on.report_interval;
                    on.resources.forget();
                }
            }
            News::Message { message_id, kind, body } => self.hub_said(now, message_id, &kind, body),
            News::Dropped(fault) => self.hub_fault(now.mono, &fault),
            News::Ignored(error) => {
                self.counters.count(Metric::MarketplaceFaults, &["error"]);
                if self.market.is_worth_a_line(now.mono, "error") {
                    log::warn!(target: "validator", "the marketplace says error {}, which changes nothing: {:?}", error.code, error.message);
                }
            }
            News::Lost(loss) => {
                self.counters.count(Metric::MarketplaceLosses, &[loss.class.label()]);
                self.market.on.iter_mut().for_each(|on| on.frames.clear());
                let meanwhile = meanwhile(&self.config.leases);
                self.market.lost(now.mono, &loss, meanwhile);
            }
        }
    }

    fn hub_fault(&mut self, now: Mono, fault: &FrameFault) {
        self.counters.count(Metric::MarketplaceFaults, &[fault.label()]);
        if self.market.is_worth_a_line(now, fault.label()) {
            let told = shortened(fault);
            log::warn!(target: "validator", "a frame of the marketplace was dropped ({}): {told}", fault.label());
        }
    }

    fn hub_said(&mut self, now: Now, message_id: Option<String>, told: &str, body: Result<FromHub, BodyFault>) {
        let label = body.as_ref().map_or("other", Body::kind);
        self.counters.count(Metric::MarketplaceFrames, &["in", label]);
        let message_id = message_id.filter(|id| id.len() <= MESSAGE_ID_BYTES);
        match body {
            Ok(FromHub::Leases(publish)) => self.leases_published(now, publish),
            Ok(FromHub::Config(update)) => self.update_offered(now, message_id, update),
            Ok(FromHub::Task(task)) => self.task_published(now, message_id, task),
            Err(fault) => {
                self.counters.count(Metric::MarketplaceFaults, &[fault.label()]);
                if self.market.is_worth_a_line(now.mono, fault.label()) {
                    log::warn!(target: "validator", "a message of the marketplace says nothing to us: {}", shortened(&fault));
                }
                if let Some(id) = message_id.filter(|_| fault.is_acknowledged()) {
                    let refused = Ack::failed(&id, told, &shortened(&fault));
                    self.market.say(now, &ToHub::Ack(refused), &mut self.counters);
                }
            }
        }
    }

    /// Workers that are not named keep what they had; unknown ones have theirs when they come.
    fn leases_published(&mut self, now: Now, publish: LeasePublish) {
        let LeasePublish { scores, skipped } = publish;
        for (why, count) in &skipped.counts {
            self.counters.add(Metric::LeasesSkipped, &[why.label()], u64::from(*count));
        }
        if skipped.total() > 0 {
            let examples: Vec<String> =
                skipped.examples.iter().map(|(item, why)| format!("{}: {item:?}", why.label())).collect();
            let (total, taken) = (skipped.total(), scores.len());
            log::warn!(
                target: "validator",
                "{total} leases of the marketplace were passed over, {taken} taken; {}",
                examples.join("; ")
            );
        }
        // A publish of which nothing can be read says nothing of leases.
        if !scores.is_empty() || skipped.total() == 0 {
            self.leases_said(now, LeaseSource::Meshhub, Word::Some(scores));
        }
    }

    fn hub_heartbeat(&self, now: Now) -> Heartbeat {
        let ends = self.challenges.ends();
        let tried = ends.verified + ends.failed;
        Heartbeat {
            version: env!("CARGO_PKG_VERSION").into(),
            statistics: Statistics {
                uptime: now.mono.since(Mono(0)).as_millis() as u64,
                active_workers: self.fleet.online(now.mono) as u64,
                active_miners: self.fleet.heard_within(now.mono, fleet::HEARD_WITHIN).len() as u64,
                total_tasks: tried,
                success_rate: if tried == 0 { 1.0 } else { ends.verified as f64 / tried as f64 },
                pending_verifications: self.verification.waiting() as u64,
            },
        }
    }

    /// What a calculation came to.
    pub(super) fn report_scores(&mut self, now: Now, scores: &Scores, policy: &Policy) {
        let report = report(scores, policy);
        let frames = hub_reports::scores(now.wall, scores.at, &report);
        self.market.queue("scores", frames.into_iter().map(ToHub::Scores).collect());
    }

    fn report_resources(&mut self, now: Now) {
        let Some(on) = self.market.on.as_mut().filter(|on| on.link.is_up() && on.next_report <= now.mono) else {
            return;
        };
        on.next_report = now.mono + on.report_interval;
        // What changes while older frames are on their way is told the next time.
        if !on.frames.is_empty() {
            return;
        }
        let leases = &self.leases;
        let frames = on.resources.report(now, |key| leases.score(key));
        let postponed = on.resources.take_postponed();
        if postponed > 0 {
            log::warn!(target: "validator", "the hardware of {postponed} workers is told to the marketplace later: too much of it waits");
        }
        self.market.queue("resources", frames.into_iter().map(ToHub::Resources).collect());
    }
}
