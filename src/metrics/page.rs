//! One reading of all metrics, and its text in Prometheus' exposition format (0.0.4).

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Histogram, Kind, Metric};

/// The media type of [`Page::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

type Series<T> = BTreeMap<Metric, BTreeMap<Vec<String>, T>>;

/// Samples, in the order of the catalogue.
#[derive(Clone, Debug, Default)]
pub struct Page {
    values: Series<f64>,
    spreads: Series<Histogram>,
}

impl Page {
    /// A gauge as it is now. Said twice, the last holds.
    pub fn set(&mut self, metric: Metric, labels: &[&str], value: f64) {
        debug_assert_eq!((metric.kind(), metric.labels().len()), (Kind::Gauge, labels.len()), "{metric:?}");
        self.values.entry(metric).or_default().insert(owned(labels), value);
    }

    /// A gauge, when there is a measurement.
    pub fn set_known(&mut self, metric: Metric, labels: &[&str], value: Option<f64>) {
        if let Some(value) = value {
            self.set(metric, labels, value);
        }
    }

    /// A counter's state. Two owners of one counter add up.
    pub fn add(&mut self, metric: Metric, labels: &[&str], count: f64) {
        debug_assert_eq!((metric.kind(), metric.labels().len()), (Kind::Counter, labels.len()), "{metric:?}");
        *self.values.entry(metric).or_default().entry(owned(labels)).or_default() += count;
    }

    pub fn histogram(&mut self, metric: Metric, labels: &[&str], spread: &Histogram) {
        debug_assert_eq!((metric.kind(), metric.labels().len()), (Kind::Histogram, labels.len()), "{metric:?}");
        self.spreads.entry(metric).or_default().insert(owned(labels), spread.clone());
    }

    /// The value of a gauge or counter on this page.
    pub fn value(&self, metric: Metric, labels: &[&str]) -> Option<f64> {
        self.values.get(&metric)?.get(&owned(labels)).copied()
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for metric in Metric::ALL {
            if let Some(series) = self.values.get(metric) {
                head(&mut text, *metric);
                for (labels, value) in series {
                    line(&mut text, metric.name(), "", &pairs(*metric, labels), *value);
                }
            }
            if let Some(series) = self.spreads.get(metric) {
                head(&mut text, *metric);
                for (labels, spread) in series {
                    spread_lines(&mut text, *metric, labels, spread);
                }
            }
        }
        text
    }
}

fn owned(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

fn head(text: &mut String, metric: Metric) {
    let kind = match metric.kind() {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let name = metric.name();
    // Writing to a String cannot fail.
    let _ = write!(text, "# HELP {name} {}\n# TYPE {name} {kind}\n", metric.help());
}

fn spread_lines(text: &mut String, metric: Metric, labels: &[String], spread: &Histogram) {
    let name = metric.name();
    let mut bounded = pairs(metric, labels);
    bounded.push(("le", String::new()));
    let whole = [(f64::INFINITY, spread.count())];
    for (bound, count) in spread.cumulative().chain(whole) {
        if let Some(last) = bounded.last_mut() {
            last.1 = number(bound);
        }
        line(text, name, "_bucket", &bounded, count as f64);
    }
    line(text, name, "_sum", &pairs(metric, labels), spread.sum().as_secs_f64());
    line(text, name, "_count", &pairs(metric, labels), spread.count() as f64);
}

fn pairs(metric: Metric, labels: &[String]) -> Vec<(&'static str, String)> {
    metric.labels().iter().zip(labels).map(|(name, value)| (*name, escaped(value))).collect()
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn line(text: &mut String, name: &str, suffix: &str, pairs: &[(&'static str, String)], value: f64) {
    let inner: Vec<String> = pairs.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    let labels = if inner.is_empty() { String::new() } else { format!("{{{}}}", inner.join(",")) };
    let _ = writeln!(text, "{name}{suffix}{labels} {}", number(value));
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Counters;

    #[test]
    fn a_page_reads_as_prometheus_wants_it() {
        let mut counters = Counters::default();
        counters.add(Metric::Refusals, &["403", "hotkey_not_in_metagraph"], 7);
        let mut page = Page::default();
        counters.write(&mut page);
        page.set(Metric::ChainBlock, &[], 123.0);
        let text = page.render();
        assert_eq!(
            text,
            "# HELP byteleap_chain_block Number of the best block seen.\n\
             # TYPE byteleap_chain_block gauge\n\
             byteleap_chain_block 123\n\
             # HELP byteleap_refusals_total Requests refused, by code of the answer and reason.\n\
             # TYPE byteleap_refusals_total counter\n\
             byteleap_refusals_total{code=\"403\",reason=\"hotkey_not_in_metagraph\"} 7\n"
        );
    }

    #[test]
    fn label_values_are_escaped() {
        let mut page = Page::default();
        page.set(Metric::BuildInfo, &["a\"b\\c\nd", "r"], 1.0);
        assert!(page.render().contains(r#"{version="a\"b\\c\nd",revision="r"} 1"#));
    }

    #[test]
    fn a_histogram_has_cells_sum_and_count() {
        let mut counters = Counters::default();
        counters.observe(Metric::TurnSeconds, &[], Duration::from_millis(3));
        let mut page = Page::default();
        counters.write(&mut page);
        let text = page.render();
        assert!(text.contains("byteleap_turn_seconds_bucket{le=\"0.0025\"} 0\n"));
        assert!(text.contains("byteleap_turn_seconds_bucket{le=\"0.005\"} 1\n"));
        assert!(text.contains("byteleap_turn_seconds_bucket{le=\"+Inf\"} 1\n"));
        assert!(text.ends_with("byteleap_turn_seconds_sum 0.003\nbyteleap_turn_seconds_count 1\n"));
    }

    #[test]
    fn what_was_not_measured_is_not_on_the_page() {
        let mut page = Page::default();
        page.set_known(Metric::ChainBlockAgeSeconds, &[], None);
        assert_eq!(page.render(), "");
        assert_eq!(page.value(Metric::ChainBlockAgeSeconds, &[]), None);
    }

    #[test]
    fn two_owners_of_one_counter_add_up() {
        let mut page = Page::default();
        page.add(Metric::Faults, &["bad_frame"], 1.0);
        page.add(Metric::Faults, &["bad_frame"], 2.0);
        assert_eq!(page.value(Metric::Faults, &["bad_frame"]), Some(3.0));
    }
}
