//! The configuration of a run.

use std::array;

use crate::engine::Config;
use crate::format::seal::SealBody;
use crate::format::{PAGE_HEADER_SIZE, StoreId, align_up};
use crate::index::Spacing;
use crate::options::{Recovery, Retention};
use crate::recovery::{Assembled, Layout, assemble, scan_all};
use crate::simulation::disk::Disk;
use crate::simulation::random::Random;

/// The configuration of a run.
pub(super) struct Setup {
    pub config: Config,
    pub write_limit: usize,
    pub tail_buffers: usize,
    pub large: usize,
}

impl Setup {
    pub fn new(random: &mut Random) -> Self {
        let alignment = random.pick(&[8, 8, 512, 4096]);
        let index_capacity = random.between(2, 24) as usize;
        let seal = align_up(SealBody::frame_size(index_capacity + 4) as u64, alignment);
        let buf_capacity = 16384;
        let page_size =
            align_up(PAGE_HEADER_SIZE as u64 + seal + random.between(5, 12) * 4096, 4096);
        let durable = !random.one_in(3);
        let config = Config {
            store_id: StoreId(array::from_fn(|_| random.number() as u8)),
            ring_size: random.between(2, 5) as u32,
            page_size,
            alignment,
            seal_capacity: seal,
            buf_capacity,
            page_capacity: random.pick(&[u64::MAX, u64::MAX, 40, 11]),
            index_capacity,
            spacing: Spacing { bytes: random.between(64, 2048), count: random.between(2, 40) },
            durable,
            retention: random.pick(&[
                Retention::Overwrite,
                Retention::Overwrite,
                Retention::Overwrite,
                Retention::Refuse,
                Retention::Hold,
            ]),
            writes_max: random.between(1, 6) as usize,
            flush_interval_ns: random.one_in(3).then_some(20),
        };
        let write_limit = random.between(1, 4) as usize;
        let tail_buffers = random.between(1, 3) as usize;
        Self { config, write_limit, tail_buffers, large: random.between(300, 6000) as usize }
    }

    /// Two small pages whose frames are aligned to 8 bytes, so that almost every byte counts.
    #[cfg(test)]
    pub fn small() -> Self {
        let index_capacity = 8;
        let seal = align_up(SealBody::frame_size(index_capacity) as u64, 8);
        let config = Config {
            store_id: StoreId(*b"a reference page"),
            ring_size: 2,
            page_size: PAGE_HEADER_SIZE as u64 + 5120,
            alignment: 8,
            seal_capacity: seal,
            buf_capacity: 16384,
            page_capacity: u64::MAX,
            index_capacity,
            spacing: Spacing { bytes: 512, count: 8 },
            durable: true,
            retention: Retention::Overwrite,
            writes_max: 4,
            flush_interval_ns: None,
        };
        Self { config, write_limit: 4, tail_buffers: 1, large: 64 }
    }

    pub fn blank_disk(&self) -> Disk {
        let page = vec![0; self.config.page_size as usize];
        Disk::new(vec![page; self.config.ring_size as usize])
    }

    pub fn layout(&self, recovery: Recovery) -> Layout {
        Layout {
            store_id: self.config.store_id,
            ring_size: self.config.ring_size,
            page_size: self.config.page_size,
            alignment: self.config.alignment,
            seal_offset: self.config.seal_offset(),
            index_capacity: self.config.index_capacity,
            spacing: self.config.spacing,
            recovery,
            blank_limit: u64::MAX,
            threads: 1,
        }
    }

    pub fn recover(
        &self,
        disk: &Disk,
        recovery: Recovery,
        nonce: u32,
    ) -> Result<Assembled, String> {
        let layout = self.layout(recovery);
        let failed = |(page, error)| format!("page {page} could not be read: {error}");
        let scans = scan_all(disk, &layout).map_err(failed)?;
        assemble(disk, &layout, &scans, nonce).map_err(failed)
    }
}
