//! What is refused, and what must come of it.

use std::path::Path;

use waldo_core::Backend;

use super::child::Task;
use super::confine::Confinement;

/// What must come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Everything works.
    Works,
    /// Opening fails, with an error.
    Refused,
    /// Either of these; or it fails later, with an error.
    Either,
}

/// One way to confine a process.
pub struct Case {
    pub name: String,
    pub wanted: Wanted,
    /// Part of what is said in the log, by the probe, or in the error.
    pub says: &'static str,
    backend: Backend,
    /// There may be no memory even for the runtime of this program, which then ends it.
    pub starves: bool,
    /// The confinement comes once the store is open.
    late: bool,
    huge_buf: bool,
    confinements: Vec<Confinement>,
}

impl Case {
    /// For the process.
    pub fn task(&self, home: &Path) -> Task {
        Task {
            home: home.to_owned(),
            backend: match self.backend {
                Backend::IoUring => "io_uring",
                Backend::Threads => "threads",
                _ => "auto",
            }
            .to_owned(),
            late: self.late,
            huge_buf: self.huge_buf,
            confinements: self.confinements.clone(),
        }
    }

    fn new(name: &str, backend: Backend, confinement: Confinement) -> Self {
        Self {
            name: format!("{name}, {backend:?}"),
            wanted: Wanted::Either,
            says: "",
            backend,
            starves: false,
            late: false,
            huge_buf: false,
            confinements: vec![confinement],
        }
    }

    fn wants(self, wanted: Wanted, says: &'static str) -> Self {
        Self { wanted, says, ..self }
    }

    fn starves(self) -> Self {
        Self { starves: true, ..self }
    }

    fn late(self) -> Self {
        Self { name: format!("{}, while it is open", self.name), late: true, ..self }
    }
}

/// Operations of `io_uring_register`.
const REGISTER_BUFFERS: u32 = 0;
const REGISTER_FILES: u32 = 2;

const BACKENDS: [Backend; 2] = [Backend::IoUring, Backend::Threads];

/// All of them.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    uring(&mut cases);
    calls(&mut cases);
    memory(&mut cases);
    files(&mut cases);
    threads(&mut cases);
    cases
}

fn refuse(call: i64, errno: i32) -> Confinement {
    Confinement::Refuse { calls: vec![call], second: None, errno }
}

/// io_uring is refused, as a whole or in part.
fn uring(cases: &mut Vec<Case>) {
    let errors = [
        ("EPERM", libc::EPERM),
        ("ENOSYS", libc::ENOSYS),
        ("ENOMEM", libc::ENOMEM),
        ("EMFILE", libc::EMFILE),
    ];
    for (error, errno) in errors {
        for (call, number) in [
            ("io_uring_setup", libc::SYS_io_uring_setup),
            ("io_uring_enter", libc::SYS_io_uring_enter),
            ("io_uring_register", libc::SYS_io_uring_register),
        ] {
            let name = format!("{call} {error}");
            let says = "io_uring cannot be used here";
            let case = |backend| Case::new(&name, backend, refuse(number, errno));
            cases.push(case(Backend::Auto).wants(Wanted::Works, says));
            cases.push(case(Backend::IoUring).wants(Wanted::Refused, says));
            cases.push(case(Backend::Threads).wants(Wanted::Works, ""));
        }
        for (what, operation) in [("buffers", REGISTER_BUFFERS), ("files", REGISTER_FILES)] {
            let calls = vec![libc::SYS_io_uring_register];
            let confinement = Confinement::Refuse { calls, second: Some(operation), errno };
            let name = format!("io_uring_register of {what} {error}");
            for backend in [Backend::Auto, Backend::IoUring] {
                let case = Case::new(&name, backend, confinement.clone());
                cases.push(case.wants(Wanted::Works, "unregistered"));
            }
        }
        let enter = refuse(libc::SYS_io_uring_enter, errno);
        cases.push(Case::new(&format!("io_uring_enter {error}"), Backend::IoUring, enter).late());
    }
}

/// Single calls are refused, at the start and later.
fn calls(cases: &mut Vec<Case>) {
    use Wanted::{Either, Refused, Works};
    use libc::{EIO, EMFILE, ENOLCK, ENOMEM, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM};

    let refused = [
        ("statx ENOSYS", libc::SYS_statx, ENOSYS, Works, ""),
        ("fallocate EOPNOTSUPP", libc::SYS_fallocate, EOPNOTSUPP, Works, ""),
        ("fallocate ENOSYS", libc::SYS_fallocate, ENOSYS, Either, ""),
        ("fallocate EPERM", libc::SYS_fallocate, EPERM, Either, ""),
        ("fallocate ENOSPC", libc::SYS_fallocate, ENOSPC, Refused, "No space left"),
        ("inotify_init1 EMFILE", libc::SYS_inotify_init1, EMFILE, Works, "it is polled"),
        ("inotify_init1 ENOSYS", libc::SYS_inotify_init1, ENOSYS, Works, "it is polled"),
        ("inotify_add_watch ENOSPC", libc::SYS_inotify_add_watch, ENOSPC, Works, "it is polled"),
        ("eventfd2 EMFILE", libc::SYS_eventfd2, EMFILE, Either, "Too many open files"),
        ("eventfd2 ENOSYS", libc::SYS_eventfd2, ENOSYS, Either, "Function not implemented"),
        ("preadv2 ENOSYS", libc::SYS_preadv2, ENOSYS, Works, ""),
        ("pwritev2 ENOSYS", libc::SYS_pwritev2, ENOSYS, Works, ""),
        ("flock ENOLCK", libc::SYS_flock, ENOLCK, Refused, "lock"),
        ("lseek EIO", libc::SYS_lseek, EIO, Either, ""),
        ("fsync EIO", libc::SYS_fsync, EIO, Either, ""),
        ("getrandom ENOSYS", libc::SYS_getrandom, ENOSYS, Works, ""),
        ("madvise ENOSYS", libc::SYS_madvise, ENOSYS, Works, ""),
        ("mkdirat EPERM", libc::SYS_mkdirat, EPERM, Works, ""),
    ];
    for (name, number, errno, wanted, says) in refused {
        for backend in BACKENDS {
            cases.push(Case::new(name, backend, refuse(number, errno)).wants(wanted, says));
        }
    }
    let later = [
        ("pwritev2 EIO", libc::SYS_pwritev2, EIO),
        ("pwritev2 ENOMEM", libc::SYS_pwritev2, ENOMEM),
        ("fdatasync EIO", libc::SYS_fdatasync, EIO),
        ("preadv2 EIO", libc::SYS_preadv2, EIO),
        ("pread64 EIO", libc::SYS_pread64, EIO),
        ("lseek EIO", libc::SYS_lseek, EIO),
        ("openat EMFILE", libc::SYS_openat, EMFILE),
    ];
    for (name, number, errno) in later {
        for backend in BACKENDS {
            cases.push(Case::new(name, backend, refuse(number, errno)).late());
        }
    }
}

/// The memory lock limit, huge pages, addresses.
fn memory(cases: &mut Vec<Case>) {
    let lock = |value| Confinement::Limit { resource: libc::RLIMIT_MEMLOCK, value };
    for value in [0, 4096, 64 << 10] {
        let mut case = Case::new(&format!("memory lock {value}"), Backend::Auto, lock(value));
        case.confinements.push(Confinement::User { id: 60_000 });
        cases.push(case.wants(Wanted::Works, "ulimit -l"));
    }
    for backend in BACKENDS {
        let mmap = Case::new("mmap ENOMEM", backend, refuse(libc::SYS_mmap, libc::ENOMEM));
        cases.push(mmap.late().starves());
        let nothing = Confinement::Refuse { calls: Vec::new(), second: None, errno: 0 };
        let mut case = Case::new("no huge pages", backend, nothing);
        case.huge_buf = true;
        let says = if has_huge_pages() { "" } else { "no huge pages" };
        cases.push(case.wants(Wanted::Works, says));
        for power in 12..28 {
            let more = 1 << power;
            let name = format!("{more} bytes of addresses");
            let case = || Case::new(&name, backend, Confinement::Addresses { more }).starves();
            cases.push(case());
            cases.push(case().late());
        }
    }
}

fn has_huge_pages() -> bool {
    let reserved = std::fs::read_to_string("/proc/sys/vm/nr_hugepages");
    reserved.is_ok_and(|number| number.trim() != "0")
}

/// File descriptors: every number from none left to enough.
fn files(cases: &mut Vec<Case>) {
    for backend in [Backend::Auto, Backend::IoUring, Backend::Threads] {
        for value in 3..36 {
            let limit = Confinement::Limit { resource: libc::RLIMIT_NOFILE, value };
            cases.push(Case::new(&format!("{value} files"), backend, limit));
        }
    }
}

/// Threads: every number from none to enough, and none at all once the store is open.
fn threads(cases: &mut Vec<Case>) {
    for backend in [Backend::Auto, Backend::IoUring, Backend::Threads] {
        for value in 1..10 {
            let limit = Confinement::Limit { resource: libc::RLIMIT_NPROC, value };
            let mut case = Case::new(&format!("{value} threads"), backend, limit);
            // Threads are counted by user: each case has one of its own.
            let id = 61_000 + cases.len() as u32;
            case.confinements.push(Confinement::User { id });
            cases.push(case);
        }
        let calls = vec![libc::SYS_clone, libc::SYS_clone3];
        let none = Confinement::Refuse { calls, second: None, errno: libc::EAGAIN };
        let name = "no threads";
        cases.push(Case::new(name, backend, none.clone()).wants(Wanted::Refused, "thread"));
        cases.push(Case::new(name, backend, none).late());
    }
}
