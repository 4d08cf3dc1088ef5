//! What is measured, in which unit.

use super::Subject;

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
    /// What came in over the network since the sample before.
    Received,
    /// What went out over the network since the sample before.
    Sent,
    /// The memory that may be used at most. Absent where only the machine is the limit.
    MemoryLimit,
    /// Of a source: its containers that were measured.
    Containers,
    /// Of a source: its containers that ran when it was measured; more than were measured where some could not be.
    ContainersRunning,
    /// Of a source: the CPU time of its measured containers together, in percent of one core.
    ContainersCpuOfCore,
    /// The same in percent of all cores of the host.
    ContainersCpuOfHost,
    /// Of a source: the memory of its measured containers together.
    ContainersMemory,
    /// Of the host: memory that is not available for new programs.
    HostMemory,
    /// Of the host: the memory that it has.
    HostMemoryTotal,
    /// Of the host: the time in which its cores did something, in percent of all cores, whoever had them do it.
    HostCpu,
    /// Of the storage on which an engine keeps its data: used.
    DiskUsed,
    /// How much that storage has.
    DiskTotal,
    /// What is used of it, in percent.
    DiskUsedPercent,
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
    /// What is measured of a run, in the order in which it is shown.
    pub const OF_RUNS: [Self; 8] = [
        Self::CpuOfCore,
        Self::CpuOfHost,
        Self::Memory,
        Self::Read,
        Self::Written,
        Self::Processes,
        Self::Threads,
        Self::Descriptors,
    ];

    /// What is measured of a container.
    pub const OF_CONTAINERS: [Self; 9] = [
        Self::CpuOfCore,
        Self::CpuOfHost,
        Self::Memory,
        Self::MemoryLimit,
        Self::Read,
        Self::Written,
        Self::Received,
        Self::Sent,
        Self::Threads,
    ];

    /// What is measured of a source: an engine and its host.
    pub const OF_SOURCES: [Self; 11] = [
        Self::Containers,
        Self::ContainersRunning,
        Self::ContainersCpuOfCore,
        Self::ContainersCpuOfHost,
        Self::ContainersMemory,
        Self::HostCpu,
        Self::HostMemory,
        Self::HostMemoryTotal,
        Self::DiskUsed,
        Self::DiskTotal,
        Self::DiskUsedPercent,
    ];

    /// All of them, ascending by number.
    pub const ALL: [Self; 22] = [
        Self::CpuOfCore,
        Self::CpuOfHost,
        Self::Memory,
        Self::Read,
        Self::Written,
        Self::Processes,
        Self::Threads,
        Self::Descriptors,
        Self::Received,
        Self::Sent,
        Self::MemoryLimit,
        Self::Containers,
        Self::ContainersRunning,
        Self::ContainersCpuOfCore,
        Self::ContainersCpuOfHost,
        Self::ContainersMemory,
        Self::HostMemory,
        Self::HostMemoryTotal,
        Self::HostCpu,
        Self::DiskUsed,
        Self::DiskTotal,
        Self::DiskUsedPercent,
    ];

    /// What is measured of this subject, in the order in which it is shown.
    pub fn of(subject: &Subject) -> &'static [Self] {
        match subject.name.split_once(' ').map(|(kind, _)| kind) {
            Some("container") => &Self::OF_CONTAINERS,
            Some("source") => &Self::OF_SOURCES,
            _ => &Self::OF_RUNS,
        }
    }

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
            Self::Received => 9,
            Self::Sent => 10,
            Self::MemoryLimit => 11,
            Self::Containers => 12,
            Self::ContainersRunning => 13,
            Self::ContainersCpuOfCore => 14,
            Self::ContainersCpuOfHost => 15,
            Self::ContainersMemory => 16,
            Self::HostMemory => 17,
            Self::HostMemoryTotal => 18,
            Self::HostCpu => 19,
            Self::DiskUsed => 20,
            Self::DiskTotal => 21,
            Self::DiskUsedPercent => 22,
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
            Self::Received => "network_received_bytes_per_second",
            Self::Sent => "network_sent_bytes_per_second",
            Self::MemoryLimit => "memory_limit_bytes",
            Self::Containers => "containers",
            Self::ContainersRunning => "containers_running",
            Self::ContainersCpuOfCore => "containers_cpu_percent_of_core",
            Self::ContainersCpuOfHost => "containers_cpu_percent_of_host",
            Self::ContainersMemory => "containers_memory_bytes",
            Self::HostMemory => "host_memory_bytes",
            Self::HostMemoryTotal => "host_memory_total_bytes",
            Self::HostCpu => "host_cpu_percent_of_host",
            Self::DiskUsed => "disk_used_bytes",
            Self::DiskTotal => "disk_total_bytes",
            Self::DiskUsedPercent => "disk_used_percent",
        }
    }

    /// It is about a disk, which is looked at by itself and seldom.
    pub const fn is_of_disk(self) -> bool {
        matches!(self, Self::DiskUsed | Self::DiskTotal | Self::DiskUsedPercent)
    }

    /// Its unit.
    pub const fn unit(self) -> Unit {
        match self {
            Self::CpuOfCore
            | Self::CpuOfHost
            | Self::ContainersCpuOfCore
            | Self::ContainersCpuOfHost
            | Self::HostCpu
            | Self::DiskUsedPercent => Unit::Percent,
            Self::Memory
            | Self::MemoryLimit
            | Self::ContainersMemory
            | Self::HostMemory
            | Self::HostMemoryTotal
            | Self::DiskUsed
            | Self::DiskTotal => Unit::Bytes,
            Self::Read | Self::Written | Self::Received | Self::Sent => Unit::BytesPerSecond,
            Self::Processes | Self::Threads | Self::Descriptors | Self::Containers | Self::ContainersRunning => {
                Unit::Count
            }
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
