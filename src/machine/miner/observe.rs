//! What operators see of a miner. Reads the machine, changes nothing.

use super::Miner;
use crate::metrics::{Metric, Page};

impl Miner {
    /// Puts the miner's metrics on a page.
    pub fn write_metrics(&self, page: &mut Page) {
        let now = self.last.mono;
        self.counters.write(page);
        self.maintenance.fill(self.last.wall, page);
        let idle = self.idle_count();
        page.set(Metric::Workers, &["idle"], idle as f64);
        page.set(Metric::Workers, &["busy"], self.workers.len().saturating_sub(idle) as f64);
        let (listed, shunned) = (self.validators.len(), self.validators.passed_over_count(now));
        page.set(Metric::Validators, &["served"], (listed - shunned) as f64);
        page.set(Metric::Validators, &["blacklisted"], shunned as f64);
        let busy = self.flows.busy_count();
        page.set(Metric::Flows, &["running"], busy as f64);
        let submitting = self.flows.submitting_count();
        page.set(Metric::Flows, &["submitting"], submitting as f64);
        page.set(Metric::Flows, &["waiting"], self.flows.len().saturating_sub(busy + submitting) as f64);
        page.set(Metric::Sessions, &[], self.uplink.sessions_live(now) as f64);
        page.set(Metric::SignedBodies, &[], self.uplink.signed_bodies() as f64);
        page.set(Metric::QueueDepth, &["bulk"], self.bulk.open() as f64);
        page.set(Metric::QueueDepth, &["validators"], self.uplink.messages() as f64);
        page.set_known(Metric::MetagraphAgeSeconds, &[], self.sync.age(now).map(|age| age.as_secs_f64()));
        let registered = self.registration.is().map(|is| f64::from(u8::from(is)));
        page.set_known(Metric::HotkeyRegistered, &[], registered);
        self.market_tasks.write(page);
        self.runtime.write(now, page);
        page.set_known(Metric::Neurons, &[], self.neurons.map(|count| count as f64));
        page.set(Metric::WallAlarm, &[], f64::from(u8::from(self.drift.alarmed())));
    }
}
