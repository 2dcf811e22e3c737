//! Options at random: small pages, so that the ring wraps all the time.

use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use waldo_core::driver::files::direct_supported;
use waldo_core::{Backend, IoMode, Options, Recovery, Retention};

/// Index entries and alignment take part in the size of a page; this is the rest that it needs.
const PAGE_MIN: u64 = 8 * 4096;

/// What stays the same as long as a store lives, and what may be chosen at each open.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// What a store is made with.
    pub base: Options,
    direct: bool,
}

impl Geometry {
    /// That of the life with a seed, of a store in `dir`.
    ///
    /// # Errors
    ///
    /// Where the directory cannot be made, or written to.
    pub fn of_life(seed: u64, dir: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        Ok(Self::random(&mut Rng::with_seed(!seed), direct_supported(dir)?))
    }

    fn random(random: &mut Rng, has_direct: bool) -> Self {
        let buf_capacity = random.choice([16, 16, 32]).unwrap_or(16) * 1024;
        let file_capacity = (PAGE_MIN + random.u64(0..24) * 4096).max(buf_capacity as u64);
        let direct = random.bool() && has_direct;
        let base = Options {
            ring_size: Some(random.u32(2..=4)),
            buf_capacity,
            file_capacity: Some(file_capacity),
            page_capacity: random.choice([u64::MAX, u64::MAX, u64::MAX, 200, 20]).unwrap_or(20),
            index_capacity: random.usize(2..100),
            index_sparse_bytes: random.usize(64..4096),
            index_sparse_count: random.usize(2..40),
            retention: random
                .choice([
                    Retention::Overwrite,
                    Retention::Overwrite,
                    Retention::Overwrite,
                    Retention::Hold,
                    Retention::Refuse,
                ])
                .unwrap_or_default(),
            file_o_dsync: random.u8(..3) > 0,
            read_capacity: 256 * 1024,
            ..Options::default()
        };
        Self { base, direct }
    }

    /// The options of one open.
    pub fn open(&self, random: &mut Rng) -> Options {
        let io = match (self.direct, random.bool()) {
            (true, true) => IoMode::Direct,
            (true, false) => IoMode::Auto,
            (false, _) => IoMode::Buffered,
        };
        Options {
            queue_depth: random.choice([1, 2, 8, 64]).unwrap_or(64),
            pool_size: random.u16(1..8),
            tail_capacity: random.choice([0, 64 * 1024, 256 * 1024]).unwrap_or(0),
            backend: if random.bool() { Backend::IoUring } else { Backend::Threads },
            recovery: if random.u8(..4) == 0 { Recovery::Fast } else { Recovery::Full },
            flush_interval: (random.bool()).then(|| Duration::from_millis(random.u64(1..10))),
            io,
            ..self.base
        }
    }

    /// The options of the first open, which decide about the alignment of frames.
    pub fn create(&self, random: &mut Rng) -> Options {
        let io = if self.direct { IoMode::Direct } else { IoMode::Buffered };
        Options { io, ..self.open(random) }
    }
}
