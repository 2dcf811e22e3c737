//! Takes resources from this process, for good.

use std::io;

use serde::{Deserialize, Serialize};

/// What a process is to do without.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Confinement {
    /// System calls, by number, that fail with an error number; where there is a second argument
    /// here, only with that.
    Refuse { calls: Vec<i64>, second: Option<u32>, errno: i32 },
    /// A limit of its own.
    Limit { resource: u32, value: u64 },
    /// So many bytes of addresses more than it has.
    Addresses { more: u64 },
    /// All rights of the superuser: it goes on as another user.
    User { id: u32 },
}

impl Confinement {
    /// Applies it to all threads.
    ///
    /// # Errors
    ///
    /// Where the system does not let it.
    pub fn apply(&self) -> io::Result<()> {
        match self {
            Self::Refuse { calls, second, errno } => refuse(calls, *second, *errno),
            Self::Limit { resource, value } => limit(*resource, *value),
            Self::Addresses { more } => limit(libc::RLIMIT_AS, addresses() + more),
            // SAFETY: changes the ids of this process and nothing else.
            Self::User { id } => check(unsafe { libc::setresuid(*id, *id, *id) }.into()),
        }
    }
}

fn limit(resource: u32, value: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: `limit` is valid for reading.
    check(unsafe { libc::setrlimit(resource, &raw const limit) }.into())
}

fn addresses() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').next().and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// Has the kernel answer some calls with an error.
fn refuse(calls: &[i64], second: Option<u32>, errno: i32) -> io::Result<()> {
    // Where the number of the call and the low half of its second argument are in what the program
    // is shown.
    const NUMBER: u32 = 0;
    const SECOND: u32 = 24;

    let statement = |code: u32, jf, k| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let load = |place| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, place);
    let skip_unless = |jf, value| statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, jf, value);
    let answer = |value| statement(libc::BPF_RET | libc::BPF_K, 0, value);
    let refused = answer(libc::SECCOMP_RET_ERRNO | errno as u32);
    let mut program = Vec::new();
    for call in calls {
        program.push(load(NUMBER));
        match second {
            None => program.extend([skip_unless(1, *call as u32), refused]),
            Some(second) => program.extend([
                skip_unless(3, *call as u32),
                load(SECOND),
                skip_unless(1, second),
                refused,
            ]),
        }
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: `filter` and the program that it points to live until the calls are over, and are
    // only read.
    unsafe {
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into())?;
        check(libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const filter,
        ))
    }
}

fn check(result: i64) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
