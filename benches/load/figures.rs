//! THE TABLE of figures: what is measured, in which unit, and what YAKt is to reach.

/// A kind of figure.
pub(crate) struct Figure {
    /// Its name in the code.
    pub(crate) key: &'static str,
    /// What it is, for people, with its unit.
    pub(crate) about: &'static str,
    /// Digits behind the point.
    pub(crate) digits: usize,
    pub(crate) better: Better,
    /// YAKt's.
    pub(crate) target: Option<f64>,
}

/// Which way is up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Less,
    More,
    /// It describes the machine, or a mere count: no ratio.
    Neither,
}

impl Figure {
    const fn less(key: &'static str, about: &'static str, digits: usize) -> Self {
        Self {
            key,
            about,
            digits,
            better: Better::Less,
            target: None,
        }
    }

    const fn more(key: &'static str, about: &'static str) -> Self {
        Self {
            better: Better::More,
            ..Self::less(key, about, 0)
        }
    }

    const fn plain(key: &'static str, about: &'static str, digits: usize) -> Self {
        Self {
            better: Better::Neither,
            ..Self::less(key, about, digits)
        }
    }

    const fn target(self, target: f64) -> Self {
        Self {
            target: Some(target),
            ..self
        }
    }

    /// Whether this is good enough; true where nothing is asked.
    pub(crate) fn is_met(&self, value: f64) -> bool {
        self.target.is_none_or(|target| match self.better {
            Better::More => value >= target,
            Better::Less | Better::Neither => value <= target,
        })
    }
}

/// The figure of this key.
pub(crate) fn find(key: &str) -> &'static Figure {
    let found = TABLE.iter().find(|figure| figure.key == key);
    found.unwrap_or_else(|| panic!("{key} is not in the table of figures"))
}

#[rustfmt::skip]
pub(crate) static TABLE: &[Figure] = &[
    Figure::plain("floor.p50", "The disk alone: 200 B and fdatasync, p50, ms", 3),
    Figure::plain("floor.p99", "The same, p99, ms", 2),
    Figure::less("start.answer", "From exec to the first ApiVersions, ms", 0),
    Figure::less("start.write", "From exec to the first AllocateProducerIds, ms", 0).target(100.0),
    Figure::less("idle.rss", "Fresh and idle: resident, MB", 1).target(20.0),
    Figure::less("idle.cpu", "Fresh and idle: processor, % of one core", 2),
    Figure::less("create.1.p50", "CreateTopics, 1 in flight: p50, ms", 3),
    Figure::less("create.1.p99", "CreateTopics, 1 in flight: p99, ms", 2),
    Figure::plain("create.1.above", "p50 above 1.5 × fdatasync, ms", 3).target(0.2),
    Figure::more("create.64", "CreateTopics, 64 connections: per second").target(20_000.0),
    Figure::less("create.64.p99", "CreateTopics, 64 connections: p99, ms", 2),
    Figure::less("create.64.cpu", "CreateTopics, 64 connections: processor time each, µs", 1),
    Figure::more("create.8x8", "CreateTopics, 8 connections × 8 pipelined: per second").target(15_000.0),
    Figure::less("allocate.1.p50", "AllocateProducerIds, 1 in flight: p50, ms", 3),
    Figure::more("allocate.64", "AllocateProducerIds, 64 connections: per second").target(30_000.0),
    Figure::less("allocate.64.p99", "AllocateProducerIds, 64 connections: p99, ms", 2),
    Figure::less("allocate.64.cpu", "AllocateProducerIds, 64 connections: processor time each, µs", 1),
    Figure::less("observer.p50", "From CreateTopics sent to its record committed at an observer, p50, ms", 3),
    Figure::less("observer.p99", "The same, p99, ms", 2),
    Figure::more("bulk.rate", "1,000 partitions a request, 4 requests in flight: partitions per second"),
    Figure::less("bulk.rss", "Resident after that, MB", 0),
    Figure::less("hostile.rss", "64 connections announce 99 MB each: growth, MB", 1).target(5.0),
    Figure::plain("hostile.errors", "Requests of others that failed meanwhile", 0).target(0.0),
    Figure::plain("hostile.answers", "Requests of others that succeeded meanwhile", 0),
    Figure::less("failover.kill.p50", "Three nodes, kill -9 of the leader to the next write: p50, ms", 0),
    Figure::less("failover.kill.p90", "The same, p90, ms", 0).target(700.0),
    Figure::less("failover.term.p50", "Three nodes, SIGTERM of the leader to the next write: p50, ms", 0).target(50.0),
    Figure::less("failover.term.p90", "The same, p90, ms", 0),
];
