//! The disk's process: mounts it, and takes orders until its standard input ends.

use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use fuser::{Config, MountOption, SessionACL};
use rustix::mount::UnmountFlags;

use super::order::{Answer, Caching, Order};
use super::serve::Disk;
use super::state::State;

/// Serves a disk at `mount` until nobody gives orders any more.
///
/// # Errors
///
/// Where it cannot be mounted.
pub fn serve(mount: &Path, caching: Caching) -> anyhow::Result<()> {
    let state = Arc::new(Mutex::new(State::new()));
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("waldo-torture".into())];
    config.acl = SessionACL::Owner;
    let disk = Disk::new(Arc::clone(&state), caching);
    let session = fuser::spawn_mount(disk, mount, &config)
        .with_context(|| format!("cannot mount a disk at {}", mount.display()))?;
    answer(&Answer::Mounted)?;
    for line in stdin().lock().lines() {
        let order = serde_json::from_str(&line?).context("not an order")?;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let done = obey(&mut state, order);
        drop(state);
        answer(&done)?;
    }
    // Also where somebody still has a file open.
    let _ = rustix::mount::unmount(mount, UnmountFlags::DETACH);
    drop(session);
    Ok(())
}

fn obey(state: &mut State, order: Order) -> Answer {
    match order {
        Order::Arm { calls } => state.arm(calls),
        Order::Restart { seed } => {
            let (at_stake, at_call) = state.restart(seed);
            let top = state.image.top().to_string_lossy().into_owned();
            return Answer::Restarted { top, at_stake, at_call };
        }
        Order::Fail(faults) => {
            let injected = state.faults.injected;
            state.faults.set(faults);
            return Answer::Done { injected };
        }
        Order::Room(bytes) => state.room = bytes,
        Order::Save(target) => {
            if let Err(error) = state.image.save(&target) {
                return Answer::Failed(error.to_string());
            }
        }
    }
    Answer::Done { injected: state.faults.injected }
}

fn answer(answer: &Answer) -> anyhow::Result<()> {
    let mut stdout = stdout().lock();
    serde_json::to_writer(&mut stdout, answer)?;
    writeln!(stdout)?;
    stdout.flush()?;
    Ok(())
}
