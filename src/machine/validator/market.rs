//! The compute marketplace: what the hub says is carried to who it is for, and what it is told is said in time.
//!
//! Owns the link (`machine::hub_link`) and when the next heartbeat is due. It stops nothing: without the hub the last
//! leases stay, and everything else goes on. Nothing waits for the hub; what cannot be said is not said.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;

use super::{Command, Event, Phase, Validator, fleet, leases::Word};
use crate::{
    config::{leases::LeaseSource, meshhub::MeshHub},
    machine::{
        Input, Message, Output,
        contract::validator_bulk::{ValidatorBulk, ValidatorBulkDone},
        hub_link::{HubLink, Loss, News, Settings, Want},
        hub_reports,
        score::{Scores, report::report},
    },
    metrics::{Counters, Metric, Page},
    units::{Hotkey, Mono, Now, Secret},
    wire::marketplace::{Ack, Body, BodyFault, FrameFault, FromHub, Heartbeat, LeasePublish, Statistics, ToHub},
};

/// Between two lines about the same trouble with the hub.
const SAY_AGAIN: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub(super) struct Market {
    on: Option<On>,
}

#[derive(Debug)]
struct On {
    link: HubLink,
    heartbeat_interval: Duration,
    next_heartbeat: Mono,
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
        let link = HubLink::new(settings, me, rng);
        let heartbeat_interval = hub.heartbeat_interval;
        Market { on: Some(On { link, heartbeat_interval, next_heartbeat: Mono(0), lost: None }) }
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        let on = self.on.as_ref()?;
        let heartbeat = on.link.is_up().then_some(on.next_heartbeat);
        on.link.deadline().into_iter().chain(heartbeat).min()
    }

    pub(super) fn stop(&mut self) {
        if let Some(on) = &mut self.on {
            on.link.stop();
        }
    }

    fn next_news(&mut self) -> Option<News> {
        self.on.as_mut()?.link.next_news()
    }

    fn next_want(&mut self) -> Option<Want> {
        self.on.as_mut()?.link.next_want()
    }

    /// Whether it was said.
    fn say(&mut self, now: Now, body: &ToHub, counters: &mut Counters) -> bool {
        let said = self.on.as_mut().is_some_and(|on| on.link.say(now, body));
        if said {
            counters.count(Metric::MarketplaceFrames, &["out", body.kind()]);
        }
        said
    }

    fn heartbeat_is_due(&mut self, now: Mono) -> bool {
        let Some(on) = self.on.as_mut().filter(|on| on.link.is_up() && on.next_heartbeat <= now) else { return false };
        on.next_heartbeat = now + on.heartbeat_interval;
        true
    }

    /// A loss is said at once, the same trouble again only after a while.
    fn lost(&mut self, now: Mono, loss: &Loss) {
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
                "no marketplace for {away} s ({}): {}; the last leases stay in force; next attempt in {retry_s} s",
                loss.class.label(),
                loss.reason
            );
        }
    }

    pub(super) fn fill(&self, page: &mut Page) {
        let Some(on) = &self.on else { return };
        page.set(Metric::MarketplaceUp, &[], if on.link.is_up() { 1.0 } else { 0.0 });
    }
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
                }
            }
            News::Message { message_id, kind, body } => self.hub_said(now, message_id, &kind, body),
            News::Dropped(fault) => self.hub_fault(&fault),
            News::Ignored(error) => {
                self.counters.count(Metric::MarketplaceFaults, &["error"]);
                log::warn!(target: "validator", "the marketplace says error {}, which changes nothing: {:?}", error.code, error.message);
            }
            News::Lost(loss) => {
                self.counters.count(Metric::MarketplaceLosses, &[loss.class.label()]);
                self.market.lost(now.mono, &loss);
            }
        }
    }

    fn hub_fault(&mut self, fault: &FrameFault) {
        self.counters.count(Metric::MarketplaceFaults, &[fault.label()]);
        log::warn!(target: "validator", "a frame of the marketplace was dropped ({}): {fault}", fault.label());
    }

    fn hub_said(&mut self, now: Now, message_id: Option<String>, told: &str, body: Result<FromHub, BodyFault>) {
        let label = body.as_ref().map_or("other", Body::kind);
        self.counters.count(Metric::MarketplaceFrames, &["in", label]);
        let outcome = match body {
            Ok(FromHub::Leases(publish)) => return self.leases_published(now, publish),
            Ok(FromHub::Config(_)) => Err("this validator takes no configuration from the marketplace".to_owned()),
            Ok(FromHub::Task(_)) => Err("this validator hands out no tasks of the marketplace".to_owned()),
            Err(fault) => {
                self.counters.count(Metric::MarketplaceFaults, &[fault.label()]);
                log::warn!(target: "validator", "a message of the marketplace says nothing to us: {fault}");
                if !fault.is_acknowledged() {
                    return;
                }
                Err(fault.to_string())
            }
        };
        if let (Some(id), Err::<(), String>(error)) = (message_id, outcome) {
            log::warn!(target: "validator", "{told} of the marketplace is refused: {error}");
            self.market.say(now, &ToHub::Ack(Ack::failed(&id, told, &error)), &mut self.counters);
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
    pub(super) fn report_scores(&mut self, now: Now, scores: &Scores) {
        let report = report(scores, self.scoring.policy());
        for part in hub_reports::scores(now.wall, scores.at, &report) {
            if !self.market.say(now, &ToHub::Scores(part), &mut self.counters) {
                return;
            }
        }
    }
}
