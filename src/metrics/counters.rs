//! Counts that a machine or the loop keeps: plain values, no atomics, one owner.

use std::{collections::BTreeMap, time::Duration};

use super::{Kind, Metric, Page};

/// Label sets that one metric may have; later ones are counted under `other`.
const MAX_SERIES: usize = 64;

const OTHER: &str = "other";

type Labels = [&'static str; 2];

/// Counters and histograms by metric and labels. Labels are words of the code: `&'static str`.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    counts: BTreeMap<Metric, BTreeMap<Labels, u64>>,
    spreads: BTreeMap<Metric, BTreeMap<Labels, Histogram>>,
}

impl Counters {
    /// One more. `labels` in the order of the catalogue.
    pub fn count(&mut self, metric: Metric, labels: &[&'static str]) {
        self.add(metric, labels, 1);
    }

    pub fn add(&mut self, metric: Metric, labels: &[&'static str], by: u64) {
        debug_assert_eq!((metric.kind(), metric.labels().len()), (Kind::Counter, labels.len()), "{metric:?}");
        let cell = slot(self.counts.entry(metric).or_default(), labels);
        *cell = cell.saturating_add(by);
    }

    /// One more of that length, in a histogram.
    pub fn observe(&mut self, metric: Metric, labels: &[&'static str], length: Duration) {
        debug_assert_eq!((metric.kind(), metric.labels().len()), (Kind::Histogram, labels.len()), "{metric:?}");
        slot(self.spreads.entry(metric).or_default(), labels).observe(length);
    }

    /// 0 when it was never counted.
    pub fn get(&self, metric: Metric, labels: &[&'static str]) -> u64 {
        self.counts.get(&metric).and_then(|series| series.get(&padded(labels))).copied().unwrap_or(0)
    }

    /// Puts all of it on a page.
    pub fn write(&self, page: &mut Page) {
        for (metric, series) in &self.counts {
            for (labels, count) in series {
                page.add(*metric, &labels[..metric.labels().len()], *count as f64);
            }
        }
        for (metric, series) in &self.spreads {
            for (labels, spread) in series {
                page.histogram(*metric, &labels[..metric.labels().len()], spread);
            }
        }
    }
}

fn padded(labels: &[&'static str]) -> Labels {
    let mut all = [""; 2];
    for (cell, label) in all.iter_mut().zip(labels) {
        *cell = label;
    }
    all
}

fn slot<'a, T: Default>(series: &'a mut BTreeMap<Labels, T>, labels: &[&'static str]) -> &'a mut T {
    let mut key = padded(labels);
    if series.len() >= MAX_SERIES && !series.contains_key(&key) {
        key = padded(&[OTHER; 2][..labels.len().min(2)]);
    }
    series.entry(key).or_default()
}

/// Lengths of time, counted by size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// One more than the bounds: the last holds what is longer than all.
    cells: [u64; BOUNDS_S.len() + 1],
    sum: Duration,
}

/// Upper ends of the cells, in seconds.
pub const BOUNDS_S: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

impl Histogram {
    pub fn observe(&mut self, length: Duration) {
        let secs = length.as_secs_f64();
        let cell = BOUNDS_S.iter().position(|bound| secs <= *bound).unwrap_or(BOUNDS_S.len());
        self.cells[cell] += 1;
        self.sum = self.sum.saturating_add(length);
    }

    pub fn count(&self) -> u64 {
        self.cells.iter().sum()
    }

    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// (upper end in seconds, how many were not longer), without the last, unbounded one.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        BOUNDS_S.iter().zip(&self.cells).scan(0, |below, (bound, count)| {
            *below += count;
            Some((*bound, *below))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_by_label() {
        let mut counters = Counters::default();
        counters.count(Metric::Requests, &["Heartbeat"]);
        counters.add(Metric::Requests, &["Heartbeat"], 2);
        counters.count(Metric::Requests, &["Task"]);
        assert_eq!(counters.get(Metric::Requests, &["Heartbeat"]), 3);
        assert_eq!(counters.get(Metric::Requests, &["Challenge"]), 0);
    }

    #[test]
    fn a_length_falls_into_one_cell() {
        let mut spread = Histogram::default();
        for ms in [1, 1, 40, 100_000] {
            spread.observe(Duration::from_millis(ms));
        }
        let cumulative: Vec<_> = spread.cumulative().collect();
        assert_eq!(cumulative[0], (0.0005, 0));
        assert_eq!(cumulative[1], (0.001, 2));
        assert_eq!(cumulative[14], (60.0, 3));
        assert_eq!((spread.count(), spread.sum()), (4, Duration::from_millis(100_042)));
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let mut counters = Counters::default();
        for number in 0..100 {
            let word: &'static str = Box::leak(format!("fault{number}").into_boxed_str());
            counters.count(Metric::Faults, &[word]);
        }
        assert_eq!(counters.get(Metric::Faults, &["fault0"]), 1);
        assert_eq!(counters.get(Metric::Faults, &["fault99"]), 0);
        assert_eq!(counters.get(Metric::Faults, &["other"]), 36);
    }
}
