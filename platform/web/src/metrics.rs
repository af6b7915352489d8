//! Counters, gauges and histograms in Prometheus' text format. A handle is made once, next to the line that it
//! counts, and costs an atomic addition.

use std::{
    fmt::Write,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use base::Map;

/// A number that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// The number.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Moves it.
    pub fn add(&self, by: i64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// The number.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper ends of a histogram's buckets, in seconds.
const BUCKETS: [(u64, &str); 14] = [
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (1_000_000, "1"),
    (5_000_000, "5"),
    (30_000_000, "30"),
];

/// How long something takes, in buckets.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    /// Not cumulative; the last is for all that is longer.
    counts: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Adds one.
    pub fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = BUCKETS.partition_point(|(end, _)| *end < micros);
        if let Some(count) = self.0.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.0.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

type Measure = Arc<dyn Fn() -> f64 + Send + Sync>;

#[derive(Clone)]
enum Series {
    Counter(Counter),
    Gauge(Gauge),
    Measured(Measure),
    Histogram(Histogram),
}

struct Family {
    help: &'static str,
    kind: &'static str,
    series: Map<String, Series>,
}

/// A set of metrics. A router has one, and nothing is kept for the whole process: what a dead controller
/// measured must not hold on to it.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Map<&'static str, Family>>>);

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Map<&'static str, Family>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn series(
        &self,
        (name, help, kind): (&'static str, &'static str, &'static str),
        labels: &[(&str, &str)],
        new: Series,
    ) -> Series {
        let mut families = self.lock();
        let family =
            families.entry(name).or_insert_with(|| Family { help, kind, series: Map::new() });
        debug_assert_eq!(family.kind, kind, "{name} is of two kinds");
        family.series.entry(labels_text(labels)).or_insert(new).clone()
    }

    /// A counter.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
    ) -> Counter {
        let new = Series::Counter(Counter::default());
        match self.series((name, help, "counter"), labels, new) {
            Series::Counter(counter) => counter,
            _ => Counter::default(),
        }
    }

    /// A gauge.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Gauge {
        match self.series((name, help, "gauge"), labels, Series::Gauge(Gauge::default())) {
            Series::Gauge(gauge) => gauge,
            _ => Gauge::default(),
        }
    }

    /// A gauge that is measured when somebody looks; a later one of the same name and labels replaces it.
    pub fn gauge_measured(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        measure: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        let mut families = self.lock();
        let family = families.entry(name).or_insert_with(|| Family {
            help,
            kind: "gauge",
            series: Map::new(),
        });
        family.series.insert(labels_text(labels), Series::Measured(Arc::new(measure)));
    }

    /// A histogram.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
    ) -> Histogram {
        let new = Series::Histogram(Histogram::default());
        match self.series((name, help, "histogram"), labels, new) {
            Series::Histogram(histogram) => histogram,
            _ => Histogram::default(),
        }
    }

    /// Everything, as Prometheus reads it.
    pub fn render(&self) -> String {
        // Measuring may take other locks: not under this one.
        let families: Vec<_> = self
            .lock()
            .iter()
            .map(|(name, family)| (*name, family.help, family.kind, family.series.clone()))
            .collect();
        let mut out = String::new();
        for (name, help, kind, series) in families {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, series) in series {
                render_one(&mut out, name, &labels, &series);
            }
        }
        out
    }
}

fn render_one(out: &mut String, name: &str, labels: &str, series: &Series) {
    let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    let _ = match series {
        Series::Counter(counter) => writeln!(out, "{name}{braced} {}", counter.value()),
        Series::Gauge(gauge) => writeln!(out, "{name}{braced} {}", gauge.value()),
        Series::Measured(measure) => writeln!(out, "{name}{braced} {}", measure()),
        Series::Histogram(histogram) => {
            let comma = if labels.is_empty() { "" } else { "," };
            let mut sum = 0;
            let ends = BUCKETS.iter().map(|(_, end)| *end).chain(["+Inf"]);
            for (count, end) in histogram.0.counts.iter().zip(ends) {
                sum += count.load(Ordering::Relaxed);
                let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{end}\"}} {sum}");
            }
            let micros = histogram.0.micros.load(Ordering::Relaxed);
            let (whole, rest) = (micros / 1_000_000, micros % 1_000_000);
            writeln!(out, "{name}_sum{braced} {whole}.{rest:06}\n{name}_count{braced} {sum}")
        }
    };
}

fn labels_text(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{name}=\"{value}\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_what_prometheus_reads() {
        let registry = Registry::default();
        let counter = registry.counter("x_total", "Xs.", &[("a", "1\"2")]);
        counter.add(2);
        registry.counter("x_total", "Xs.", &[("a", "1\"2")]).inc();
        registry.gauge("y", "Ys.", &[]).set(-4);
        registry.gauge_measured("z", "Zs.", &[], || 1.5);
        let histogram = registry.histogram("t_seconds", "Time.", &[("s", "c")]);
        histogram.observe(Duration::from_micros(100));
        histogram.observe(Duration::from_micros(101));
        histogram.observe(Duration::from_secs(60));
        let text = registry.render();
        for line in [
            "# HELP x_total Xs.",
            "# TYPE x_total counter",
            "x_total{a=\"1\\\"2\"} 3",
            "y -4",
            "z 1.5",
            "# TYPE t_seconds histogram",
            "t_seconds_bucket{s=\"c\",le=\"0.0001\"} 1",
            "t_seconds_bucket{s=\"c\",le=\"0.00025\"} 2",
            "t_seconds_bucket{s=\"c\",le=\"30\"} 2",
            "t_seconds_bucket{s=\"c\",le=\"+Inf\"} 3",
            "t_seconds_sum{s=\"c\"} 60.000201",
            "t_seconds_count{s=\"c\"} 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
