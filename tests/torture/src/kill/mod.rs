//! Kill -9 with a witness: a writer process reports each acknowledgement through a pipe, is killed
//! at any instant, and what it leaves is compared with what it reported.

mod child;
mod life;
mod moment;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

use clap::Args;

use crate::run::{Limits, Row, Run};

pub use child::write;

/// The options of this class.
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    limits: Limits,
    /// Where the stores are made [default: $TMPDIR]
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// What was seen on the way, for people.
#[derive(Debug, Default)]
struct Tally {
    /// What was under way when the writer was killed.
    moments: BTreeMap<&'static str, u64>,
    acknowledged: u64,
    overwritten: u64,
    torn: u64,
}

/// Runs the class.
///
/// # Errors
///
/// Where the harness itself fails.
pub fn run(options: &Options) -> anyhow::Result<Row> {
    let run = Run::start(options.limits);
    let tally = Mutex::new(Tally::default());
    let dir = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    thread::scope(|scope| {
        let _watch = run.watch(scope);
        let job = |job| {
            let (run, tally, dir) = (&run, &tally, &dir);
            scope.spawn(move || {
                let mut seed = run.seed(job);
                while !run.is_over() {
                    life::live(run, seed, dir, tally)?;
                    seed = seed.wrapping_add(1);
                }
                Ok(())
            })
        };
        let jobs: Vec<_> = (0..run.jobs()).map(job).collect();
        jobs.into_iter().try_for_each(|job| job.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
    .map(|()| {
        let Tally { moments, acknowledged, overwritten, torn } =
            tally.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        println!("killed while: {moments:?}");
        println!(
            "{acknowledged} logs acknowledged, {overwritten} given up by the ring, {torn} torn tails"
        );
        run.row("kill -9 with a witness")
    })
}
