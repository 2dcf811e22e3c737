//! Where and how a bench ran: the first thing that a report tells.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

/// Machine, file system, options and what makes the figures doubtful.
#[derive(Clone, Debug, Serialize)]
pub struct Header {
    /// Scenario.
    pub scenario: String,
    /// Command line after the program's name.
    pub options: String,
    /// Model of the CPU.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// Release of the kernel.
    pub kernel: String,
    /// Memory, GiB.
    pub memory_gib: f64,
    /// Type of the file system that holds the files.
    pub file_system: String,
    /// Reasons to doubt the figures.
    pub warnings: Vec<String>,
}

impl Header {
    /// Asks the system.
    ///
    /// # Errors
    ///
    /// Where `dir` does not exist.
    pub fn collect(scenario: &str, dir: &Path) -> anyhow::Result<Self> {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let file_system = file_system(dir)?;
        let mut warnings = Vec::new();
        if cfg!(debug_assertions) {
            warnings.push("debug build: figures are worthless; build with --release".to_owned());
        }
        if ["tmpfs", "ramfs", "overlay", "9p", "nfs"].contains(&file_system.as_str()) {
            warnings.push(format!("{file_system} is not a file system on a disk of this machine"));
        }
        if let Err(error) = waldo_core::driver::uring::probe() {
            warnings.push(format!("no io_uring here ({error}): Waldo falls back to threads"));
        }
        let busy = busy_share(Duration::from_millis(300));
        if busy > 0.1 {
            warnings.push(format!("other programs use {:.0} % of the CPUs", busy * 100.0));
        }
        Ok(Self {
            scenario: scenario.to_owned(),
            options: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cpus,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| "unknown".to_owned(), |release| release.trim().to_owned()),
            memory_gib: field("/proc/meminfo", "MemTotal")
                .and_then(|text| text.strip_suffix(" kB")?.parse::<f64>().ok())
                .map_or(0.0, |kib| kib / f64::from(1 << 20)),
            file_system,
            warnings,
        })
    }
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// Share of all CPUs that is used while this thread sleeps, 0 to 1.
fn busy_share(length: Duration) -> f64 {
    let stat = || fs::read_to_string("/proc/stat").ok().and_then(|stat| cpu_ticks(&stat));
    let before = stat();
    std::thread::sleep(length);
    match before.zip(stat()) {
        Some((before, after)) if after.all > before.all => {
            1.0 - (after.idle - before.idle) as f64 / (after.all - before.all) as f64
        }
        _ => 0.0,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    all: u64,
    /// Idle, or waiting for I/O.
    idle: u64,
}

fn cpu_ticks(stat: &str) -> Option<Ticks> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    Some(Ticks { all: ticks.iter().take(8).sum(), idle: ticks.get(3)? + ticks.get(4)? })
}

fn file_system(dir: &Path) -> anyhow::Result<String> {
    let device = fs::metadata(dir)?.dev();
    let device = format!("{}:{}", libc::major(device), libc::minor(device));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    Ok(mount_type(&mounts, &device).unwrap_or("unknown").to_owned())
}

fn mount_type<'a>(mounts: &'a str, device: &str) -> Option<&'a str> {
    mounts.lines().find_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        (front.split(' ').nth(2)? == device).then(|| back.split(' ').next())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_mount_is_found_by_its_device() {
        let mounts =
            "1 2 0:5 / /proc rw - proc proc rw\n3 1 254:0 / / rw shared:1 - ext4 /dev/x rw";
        assert_eq!(mount_type(mounts, "254:0"), Some("ext4"));
        assert_eq!(mount_type(mounts, "9:9"), None);
    }

    #[test]
    fn idle_ticks_are_told_from_busy_ones() {
        let stat = "cpu  10 20 30 400 50 6 7 8 900 1000\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(cpu_ticks(stat), Some(Ticks { all: 531, idle: 450 }));
        assert_eq!(cpu_ticks("intr 1"), None);
    }
}
