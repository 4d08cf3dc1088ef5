//! What is measured, in which unit.

/// What can be measured. The name says what the number means (R10.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// CPU time since the sample before, in percent of one core. A run that keeps two cores busy has 200.
    CpuOfCore,
    /// The same in percent of all cores of the host.
    CpuOfHost,
    /// Memory.
    Memory,
    /// What was read from storage since the sample before.
    Read,
    /// What was given to storage since the sample before.
    Written,
    /// Processes.
    Processes,
    /// Threads.
    Threads,
    /// Open file descriptors.
    Descriptors,
}

/// In what a metric is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Hundredths of something that the name of the metric says.
    Percent,
    /// Bytes.
    Bytes,
    /// Bytes a second.
    BytesPerSecond,
    /// Things.
    Count,
}

impl Metric {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::CpuOfCore,
        Self::CpuOfHost,
        Self::Memory,
        Self::Read,
        Self::Written,
        Self::Processes,
        Self::Threads,
        Self::Descriptors,
    ];

    /// Its number in what is stored. Numbers are added, never given to another.
    pub const fn number(self) -> u8 {
        match self {
            Self::CpuOfCore => 1,
            Self::CpuOfHost => 2,
            Self::Memory => 3,
            Self::Read => 4,
            Self::Written => 5,
            Self::Processes => 6,
            Self::Threads => 7,
            Self::Descriptors => 8,
        }
    }

    /// The metric with this number. `None` for one of a newer version.
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.number() == number)
    }

    /// Its name, unit included.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuOfCore => "cpu_percent_of_core",
            Self::CpuOfHost => "cpu_percent_of_host",
            Self::Memory => "memory_bytes",
            Self::Read => "read_bytes_per_second",
            Self::Written => "written_bytes_per_second",
            Self::Processes => "processes",
            Self::Threads => "threads",
            Self::Descriptors => "descriptors",
        }
    }

    /// Its unit.
    pub const fn unit(self) -> Unit {
        match self {
            Self::CpuOfCore | Self::CpuOfHost => Unit::Percent,
            Self::Memory => Unit::Bytes,
            Self::Read | Self::Written => Unit::BytesPerSecond,
            Self::Processes | Self::Threads | Self::Descriptors => Unit::Count,
        }
    }

    /// How many of what is stored make one of its unit. Stored are whole numbers, so that sums are exact in any order.
    pub const fn scale(self) -> u64 {
        match self.unit() {
            Unit::Percent => 1_000,
            Unit::Bytes | Unit::BytesPerSecond | Unit::Count => 1,
        }
    }

    /// What is stored for a value. `None` for what is no number of things: negative, infinite, not a number.
    pub fn stored(self, value: f64) -> Option<u64> {
        let scaled = (value * self.scale() as f64).round();
        // Above 2^53 a float has holes.
        (scaled.is_finite() && (0.0..=9e15).contains(&scaled)).then_some(scaled as u64)
    }

    /// The value of what is stored.
    pub fn value(self, stored: u64) -> f64 {
        stored as f64 / self.scale() as f64
    }
}

impl Unit {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Percent => "percent",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes_per_second",
            Self::Count => "count",
        }
    }
}
