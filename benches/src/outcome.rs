//! What one run of one configuration yields, the same for all scenarios.

use serde::Serialize;

use crate::measure::{Percentiles, Usage};

/// Result of one run.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Bytes of payload moved: appended, read or delivered. Headers and padding do not count.
    pub payload_bytes: u64,
    /// Bytes of payload that a writer appended meanwhile, where those are others.
    pub written_bytes: u64,
    /// Operations done: appends, commits, lookups, opens.
    pub ops: u64,
    /// What it cost.
    pub usage: Usage,
    /// Latencies of the operations, where they were taken.
    pub latency: Option<Percentiles>,
    /// Columns of the scenario's own.
    pub extra: Vec<Extra>,
}

/// One more column: a name and a value.
#[derive(Clone, Debug, Serialize)]
pub struct Extra {
    /// Name of the column.
    pub name: &'static str,
    /// Its value in this run.
    pub value: Value,
}

/// Value of an additional column.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A number; the report takes the median over the runs.
    Number(f64),
    /// A remark; the report takes the last run's.
    Text(String),
}

impl Sample {
    /// Adds a column with a number.
    #[must_use]
    pub fn with_number(mut self, name: &'static str, value: f64) -> Self {
        self.extra.push(Extra { name, value: Value::Number(value) });
        self
    }

    /// Adds a column with a remark.
    #[must_use]
    pub fn with_text(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.extra.push(Extra { name, value: Value::Text(value.into()) });
        self
    }

    /// The value of a column in this run; `None` where the run does not have it.
    #[must_use]
    pub fn metric(&self, metric: Metric) -> Option<f64> {
        let usage = &self.usage;
        let gib = self.payload_bytes as f64 / (1u64 << 30) as f64;
        let per = |amount: f64, of: f64| (of > 0.0).then(|| amount / of);
        let latency = self.latency.as_ref();
        match metric {
            Metric::MegabytesPerSecond => per(self.payload_bytes as f64 / 1e6, usage.seconds),
            Metric::GigabytesPerSecond => per(self.payload_bytes as f64 / 1e9, usage.seconds),
            Metric::WriterMegabytesPerSecond => {
                per(self.written_bytes as f64 / 1e6, usage.seconds).filter(|rate| *rate > 0.0)
            }
            Metric::CpuPerSecond => per(usage.user + usage.system, usage.seconds),
            Metric::CpuShare => {
                let cpus = std::thread::available_parallelism().map_or(1, usize::from) as f64;
                per((usage.user + usage.system) * 100.0, usage.seconds * cpus)
            }
            Metric::OpsPerSecond => per(self.ops as f64, usage.seconds),
            Metric::P50 => latency.map(|l| l.p50),
            Metric::P99 => latency.map(|l| l.p99),
            Metric::P999 => latency.map(|l| l.p999),
            Metric::Max => latency.map(|l| l.max),
            Metric::CpuPerGib => per(usage.user + usage.system, gib),
            Metric::UserPerGib => per(usage.user, gib),
            Metric::SystemPerGib => per(usage.system, gib),
            Metric::CpuPerOp => per((usage.user + usage.system) * 1e6, self.ops as f64),
            Metric::CpuSeconds => Some(usage.user + usage.system),
            Metric::WrittenPerPayload => {
                per(usage.device_written? as f64, self.payload_bytes as f64)
            }
            Metric::SentPerPayload => per(usage.process_written as f64, self.payload_bytes as f64),
            Metric::ReadPerPayload => per(usage.device_read as f64, self.payload_bytes as f64),
            Metric::FetchedPerOp => per(usage.fetched as f64, self.ops as f64),
            Metric::ReadPerOp => per(usage.device_read as f64, self.ops as f64),
            Metric::SwitchesPerSecond => per(usage.switches as f64, usage.seconds),
            Metric::Seconds => Some(usage.seconds),
        }
    }
}

/// A column that is computed from the common part of a [`Sample`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Payload in units of a million bytes per second.
    MegabytesPerSecond,
    /// Payload in units of 10⁹ bytes per second.
    GigabytesPerSecond,
    /// What the writer appended, in units of a million bytes per second.
    WriterMegabytesPerSecond,
    /// Operations per second.
    OpsPerSecond,
    /// Median latency, µs.
    P50,
    /// 99th percentile, µs.
    P99,
    /// 99.9th percentile, µs.
    P999,
    /// Largest latency, µs.
    Max,
    /// CPU seconds per GiB of payload.
    CpuPerGib,
    /// User CPU seconds per GiB of payload.
    UserPerGib,
    /// System CPU seconds per GiB of payload.
    SystemPerGib,
    /// CPU per operation, µs.
    CpuPerOp,
    /// CPU seconds of the whole run.
    CpuSeconds,
    /// CPU seconds per second.
    CpuPerSecond,
    /// Percent of all CPUs.
    CpuShare,
    /// Bytes that the block device wrote per byte of payload.
    WrittenPerPayload,
    /// `write_bytes` of the process per byte of payload.
    SentPerPayload,
    /// Bytes fetched from the device per byte of payload.
    ReadPerPayload,
    /// Bytes that `read` and its kin returned, per operation.
    FetchedPerOp,
    /// Bytes fetched from the device per operation.
    ReadPerOp,
    /// Context switches per second.
    SwitchesPerSecond,
    /// Length of the run.
    Seconds,
}

impl Metric {
    /// Every metric, in the order of the JSON output.
    pub const ALL: [Self; 22] = [
        Self::MegabytesPerSecond,
        Self::GigabytesPerSecond,
        Self::WriterMegabytesPerSecond,
        Self::OpsPerSecond,
        Self::P50,
        Self::P99,
        Self::P999,
        Self::Max,
        Self::CpuPerGib,
        Self::UserPerGib,
        Self::SystemPerGib,
        Self::CpuPerOp,
        Self::CpuSeconds,
        Self::CpuPerSecond,
        Self::CpuShare,
        Self::WrittenPerPayload,
        Self::SentPerPayload,
        Self::ReadPerPayload,
        Self::FetchedPerOp,
        Self::ReadPerOp,
        Self::SwitchesPerSecond,
        Self::Seconds,
    ];

    /// Columns of scenarios that move many bytes by writing.
    pub const BULK_WRITE: &[Self] = &[
        Self::MegabytesPerSecond,
        Self::OpsPerSecond,
        Self::P50,
        Self::P99,
        Self::P999,
        Self::Max,
        Self::CpuPerGib,
        Self::UserPerGib,
        Self::SystemPerGib,
        Self::WrittenPerPayload,
    ];

    /// Columns of scenarios that move many bytes by reading.
    pub const BULK_READ: &[Self] = &[
        Self::MegabytesPerSecond,
        Self::OpsPerSecond,
        Self::P50,
        Self::P99,
        Self::Max,
        Self::CpuPerGib,
        Self::UserPerGib,
        Self::SystemPerGib,
        Self::ReadPerPayload,
    ];

    /// Columns of scenarios that do many small operations.
    pub const SMALL_OPS: &[Self] = &[
        Self::OpsPerSecond,
        Self::P50,
        Self::P99,
        Self::P999,
        Self::Max,
        Self::CpuPerOp,
        Self::SwitchesPerSecond,
    ];

    /// Columns of scenarios that hand logs to readers.
    pub const DELIVERY: &[Self] = &[
        Self::GigabytesPerSecond,
        Self::P50,
        Self::P99,
        Self::Max,
        Self::CpuShare,
        Self::SwitchesPerSecond,
        Self::WriterMegabytesPerSecond,
    ];

    /// Columns where the writer's rate is what counts.
    pub const WRITER: &[Self] = &[
        Self::WriterMegabytesPerSecond,
        Self::GigabytesPerSecond,
        Self::P50,
        Self::P99,
        Self::Max,
        Self::CpuShare,
        Self::SwitchesPerSecond,
    ];

    /// Whether a smaller value is the better one.
    #[must_use]
    pub fn less_is_better(self) -> bool {
        !matches!(
            self,
            Self::MegabytesPerSecond
                | Self::GigabytesPerSecond
                | Self::WriterMegabytesPerSecond
                | Self::OpsPerSecond
        )
    }

    /// Heading in the table.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            Self::MegabytesPerSecond => "MB/s",
            Self::GigabytesPerSecond => "GB/s",
            Self::WriterMegabytesPerSecond => "writer MB/s",
            Self::CpuPerSecond => "CPU s/s",
            Self::CpuShare => "CPU %",
            Self::OpsPerSecond => "ops/s",
            Self::P50 => "p50 µs",
            Self::P99 => "p99 µs",
            Self::P999 => "p99.9 µs",
            Self::Max => "max µs",
            Self::CpuPerGib => "CPU s/GiB",
            Self::UserPerGib => "user",
            Self::SystemPerGib => "system",
            Self::CpuPerOp => "CPU µs/op",
            Self::CpuSeconds => "CPU s",
            Self::WrittenPerPayload => "device/payload",
            Self::SentPerPayload => "write_bytes/payload",
            Self::ReadPerPayload => "read/payload",
            Self::FetchedPerOp => "fetched B/op",
            Self::ReadPerOp => "device B/op",
            Self::SwitchesPerSecond => "switches/s",
            Self::Seconds => "s",
        }
    }

    /// Name in the JSON output.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::MegabytesPerSecond => "mb_per_s",
            Self::GigabytesPerSecond => "gb_per_s",
            Self::WriterMegabytesPerSecond => "writer_mb_per_s",
            Self::CpuPerSecond => "cpu_s_per_s",
            Self::CpuShare => "cpu_percent",
            Self::OpsPerSecond => "ops_per_s",
            Self::P50 => "p50_us",
            Self::P99 => "p99_us",
            Self::P999 => "p99.9_us",
            Self::Max => "max_us",
            Self::CpuPerGib => "cpu_s_per_gib",
            Self::UserPerGib => "user_s_per_gib",
            Self::SystemPerGib => "system_s_per_gib",
            Self::CpuPerOp => "cpu_us_per_op",
            Self::CpuSeconds => "cpu_s",
            Self::WrittenPerPayload => "device_written_per_payload",
            Self::SentPerPayload => "write_bytes_per_payload",
            Self::ReadPerPayload => "device_read_per_payload",
            Self::FetchedPerOp => "fetched_bytes_per_op",
            Self::ReadPerOp => "device_bytes_per_op",
            Self::SwitchesPerSecond => "switches_per_s",
            Self::Seconds => "seconds",
        }
    }
}
