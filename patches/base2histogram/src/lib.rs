//! Stands in for the crate of this name, which openraft uses for statistics that YAKt does not read.
//!
//! The original computes tables for sixteen precisions when the first histogram is made: 26 MB that
//! stay resident, more than all the rest of an idle YAKt, and several milliseconds at every start.
//! Openraft makes its histograms whether its feature `runtime-stats` is on or off. This one has the
//! same names, counts samples, and answers 0 for every percentile. It may go when the original
//! computes only what is asked for, or openraft makes no histograms without the feature.

use std::fmt;
use std::marker::PhantomData;

/// Counts samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    samples: u64,
    slots: PhantomData<T>,
}

impl<T> Histogram<T> {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self { samples: 0, slots: PhantomData }
    }

    /// Counts one sample.
    pub fn record(&mut self, _value: u64) {
        self.samples += 1;
    }

    /// Counts many samples of one value.
    pub fn record_n(&mut self, _value: u64, count: u64) {
        self.samples += count;
    }

    /// How many were counted.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats { samples: self.samples, ..PercentileStats::default() }
    }
}

/// The shape that openraft prints; only `samples` is ever more than 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[samples: {}]", self.samples)
    }
}

/// A chart without bars.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart;

impl AsciiChart {
    /// An empty chart.
    pub fn new() -> Self {
        Self
    }

    /// The same empty chart.
    pub fn add<T>(self, _name: &str, _histogram: Histogram<T>) -> Self {
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
