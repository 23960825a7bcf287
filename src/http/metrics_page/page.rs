//! The text format, and both spellings of each name.

use std::fmt::Write;

use crate::metrics::Timer;

/// The quantiles that Kafka's histograms tell.
const QUANTILES: [(&str, f64); 6] = [
    ("50", 0.5),
    ("75", 0.75),
    ("95", 0.95),
    ("98", 0.98),
    ("99", 0.99),
    ("999", 0.999),
];

/// A page while it is written.
#[derive(Default)]
pub(super) struct Page(String);

/// A label pair as it stands between braces.
pub(super) fn label(name: &str, value: &str) -> String {
    let value = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

/// Labels and value of one series.
pub(super) type Series = (String, f64);

impl Page {
    pub(super) fn text(self) -> String {
        self.0
    }

    /// A gauge of an MBean `kafka.<domain>:type=<kind>,name=<name>`.
    pub(super) fn gauge(
        &mut self,
        domain: &str,
        kind: &str,
        name: &str,
        series: impl IntoIterator<Item = Series>,
    ) {
        let series: Vec<_> = series.into_iter().collect();
        let base = base(domain, kind, name);
        self.one(&base, "gauge", series.iter().cloned());
        self.one(&format!("{base}_value"), "gauge", series);
    }

    /// A meter whose MBean is called `<name>PerSec`.
    pub(super) fn meter(
        &mut self,
        domain: &str,
        kind: &str,
        name: &str,
        series: impl IntoIterator<Item = Series>,
    ) {
        let series: Vec<_> = series.into_iter().collect();
        let base = base(domain, kind, name);
        self.one(&format!("{base}_total"), "counter", series.iter().cloned());
        self.one(&format!("{base}persec_count"), "counter", series);
    }

    /// A histogram.
    pub(super) fn histogram(
        &mut self,
        domain: &str,
        kind: &str,
        name: &str,
        series: &[(String, &Timer)],
    ) {
        let base = base(domain, kind, name);
        let of = |value: fn(&Timer) -> f64| {
            series
                .iter()
                .map(move |(labels, timer)| (labels.clone(), value(timer)))
        };
        self.one(
            &format!("{base}_count"),
            "counter",
            of(|timer| timer.count() as f64),
        );
        let quantiles = series.iter().flat_map(|(labels, timer)| {
            QUANTILES.iter().map(move |(digits, share)| {
                let quantile = label("quantile", &format!("0.{digits}"));
                let comma = if labels.is_empty() { "" } else { "," };
                (
                    format!("{labels}{comma}{quantile}"),
                    timer.quantile_ms(*share),
                )
            })
        });
        self.one(&base, "gauge", quantiles);
        for (digits, share) in QUANTILES {
            let values = series
                .iter()
                .map(|(labels, timer)| (labels.clone(), timer.quantile_ms(share)));
            self.one(&format!("{base}_{digits}thpercentile"), "gauge", values);
        }
        self.one(&format!("{base}_mean"), "gauge", of(Timer::mean_ms));
        self.one(&format!("{base}_max"), "gauge", of(Timer::max_ms));
    }

    /// An attribute of an MBean `kafka.server:type=<kind>`.
    pub(super) fn attribute(
        &mut self,
        kind: &str,
        name: &str,
        series: impl IntoIterator<Item = Series>,
    ) {
        let series: Vec<_> = series.into_iter().collect();
        let name = name.replace('-', "_");
        let joined = kind.replace('-', "");
        self.one(
            &format!("kafka_server_{joined}_{name}"),
            "gauge",
            series.iter().cloned(),
        );
        let spaced = kind.replace('-', "_");
        self.one(&format!("kafka_server_{spaced}_{name}"), "gauge", series);
    }

    /// A metric under one name.
    pub(super) fn one(&mut self, name: &str, kind: &str, series: impl IntoIterator<Item = Series>) {
        let mut begun = false;
        for (labels, value) in series {
            if !begun {
                put(&mut self.0, format_args!("# TYPE {name} {kind}\n"));
                begun = true;
            }
            match labels.is_empty() {
                true => put(&mut self.0, format_args!("{name} {value}\n")),
                false => put(&mut self.0, format_args!("{name}{{{labels}}} {value}\n")),
            }
        }
    }
}

fn base(domain: &str, kind: &str, name: &str) -> String {
    format!("kafka_{domain}_{kind}_{name}")
        .to_ascii_lowercase()
        .replace('-', "_")
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_in_both_spellings() {
        let mut page = Page::default();
        let timer = Timer::default();
        timer.note_us(2000);
        page.gauge(
            "controller",
            "KafkaController",
            "GlobalTopicCount",
            [(String::new(), 3.0)],
        );
        page.meter(
            "network",
            "RequestMetrics",
            "Errors",
            [(label("request", "a\"b"), 1.0)],
        );
        page.histogram(
            "controller",
            "ControllerEventManager",
            "EventQueueTimeMs",
            &[(String::new(), &timer)],
        );
        page.attribute("raft-metrics", "current-leader", [(String::new(), -1.0)]);
        page.gauge("server", "Nothing", "Empty", []);
        let text = page.text();
        for line in [
            "# TYPE kafka_controller_kafkacontroller_globaltopiccount gauge",
            "kafka_controller_kafkacontroller_globaltopiccount 3",
            "kafka_controller_kafkacontroller_globaltopiccount_value 3",
            "kafka_network_requestmetrics_errors_total{request=\"a\\\"b\"} 1",
            "kafka_network_requestmetrics_errorspersec_count{request=\"a\\\"b\"} 1",
            "kafka_controller_controllereventmanager_eventqueuetimems_count 1",
            "kafka_controller_controllereventmanager_eventqueuetimems{quantile=\"0.99\"} 2",
            "kafka_controller_controllereventmanager_eventqueuetimems_99thpercentile 2",
            "kafka_controller_controllereventmanager_eventqueuetimems_max 2",
            "kafka_server_raftmetrics_current_leader -1",
            "kafka_server_raft_metrics_current_leader -1",
        ] {
            assert!(
                text.lines().any(|it| it == line),
                "{line} is not in\n{text}"
            );
        }
        assert!(!text.contains("empty"));
    }
}
