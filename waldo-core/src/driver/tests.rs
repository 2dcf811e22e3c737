//! One suite for all drivers that use real files, and the tests of the files themselves.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::files::{Home, PageFile, PageFiles, direct_supported, direct_supported_by, page_ids};
use super::memory::MemoryDriver;
use super::threads::ThreadsDriver;
use super::uring::{self, Setup, UringDriver};
use super::{Completion, Driver, Io, Parts, Request, Wait, ZERO_SIZE_MAX};
use crate::error::Error;
use crate::format::page_header::PAGE_HEADER_SIZE;
use crate::format::{PageHeader, StoreId};
use crate::memory::pool::Purpose;
use crate::memory::{Pool, ReadBuffer, ReadPool, Slice};
use crate::options::Memory;

const PAGE_SIZE: u64 = 4 * 1024 * 1024;
const BUFFER_COUNT: usize = 64;
const BUFFER_CAPACITY: usize = 64 * 1024;
/// More than any test has in its hands.
const READ_CAPACITY: usize = 64 * 1024 * 1024;
const BLOCK: usize = 4096;

/// Makes the driver under test.
type Make = fn(Arc<PageFiles>, &Arc<Pool>, u32) -> Box<dyn Driver>;

macro_rules! suite {
    ($make:ident: $($test:ident),+ $(,)?) => {
        mod $make { $(#[test] fn $test() { super::$test(super::$make); })+ }
    };
}

macro_rules! suites {
    ($($make:ident),+) => { $(suite!($make:
        writes_come_back,
        two_parts_are_written_back_to_back,
        durable_writes_and_syncs_succeed,
        direct_writes_go_through_the_direct_file,
        zeros_replace_what_was_there,
        a_page_of_written_zeros_is_fully_written,
        errors_are_positive_error_numbers,
        an_offset_is_never_the_position_of_the_file,
        reads_past_the_end_are_short,
        a_buffer_of_another_pool_is_written,
        a_notification_before_the_wait_ends_it,
        a_notification_during_the_wait_ends_it,
        no_notification_is_lost,
        notifications_and_requests_mix,
        poll_and_timeout_return_with_nothing,
        more_requests_than_the_queue_complete_once,
        dropping_with_work_under_way_frees_all_buffers,
        a_panic_with_work_under_way_frees_all_buffers,
        dropping_at_once_is_fine,
        a_notifier_outlives_its_driver,
    );)+ };
}

suites!(threads, uring_best, uring_regions, uring_unregistered, uring_undeferred);

// Its zeros are not written blocks, and there is no direct I/O in memory.
suite!(memory:
    writes_come_back,
    two_parts_are_written_back_to_back,
    durable_writes_and_syncs_succeed,
    zeros_replace_what_was_there,
    errors_are_positive_error_numbers,
    an_offset_is_never_the_position_of_the_file,
    reads_past_the_end_are_short,
    a_buffer_of_another_pool_is_written,
    a_notification_before_the_wait_ends_it,
    a_notification_during_the_wait_ends_it,
    no_notification_is_lost,
    notifications_and_requests_mix,
    poll_and_timeout_return_with_nothing,
    more_requests_than_the_queue_complete_once,
    dropping_with_work_under_way_frees_all_buffers,
    a_panic_with_work_under_way_frees_all_buffers,
    dropping_at_once_is_fine,
    a_notifier_outlives_its_driver,
);

fn memory(files: Arc<PageFiles>, _: &Arc<Pool>, _: u32) -> Box<dyn Driver> {
    Box::new(MemoryDriver::new(files, Memory::default()))
}

fn threads(files: Arc<PageFiles>, _: &Arc<Pool>, queue_depth: u32) -> Box<dyn Driver> {
    Box::new(ThreadsDriver::new(files, queue_depth).unwrap())
}

fn uring_best(files: Arc<PageFiles>, pool: &Arc<Pool>, queue_depth: u32) -> Box<dyn Driver> {
    Box::new(UringDriver::new(files, pool, queue_depth).unwrap())
}

fn uring_regions(files: Arc<PageFiles>, pool: &Arc<Pool>, depth: u32) -> Box<dyn Driver> {
    let setup = Setup { region_size_max: 3 * BUFFER_CAPACITY + 1, ..Setup::BEST };
    Box::new(UringDriver::with_setup(files, pool, depth, setup).unwrap())
}

fn uring_unregistered(files: Arc<PageFiles>, pool: &Arc<Pool>, depth: u32) -> Box<dyn Driver> {
    let setup = Setup { register_files: false, register_buffers: false, ..Setup::BEST };
    Box::new(UringDriver::with_setup(files, pool, depth, setup).unwrap())
}

fn uring_undeferred(files: Arc<PageFiles>, pool: &Arc<Pool>, depth: u32) -> Box<dyn Driver> {
    let setup = Setup { defer_work: false, ..Setup::BEST };
    Box::new(UringDriver::with_setup(files, pool, depth, setup).unwrap())
}

/// Two pages, and memory to write and read them with.
struct Stage {
    files: Arc<PageFiles>,
    pool: Arc<Pool>,
    read_pool: Arc<ReadPool>,
    _home: Home,
    _directory: TempDir,
}

impl Stage {
    fn buffered() -> Self {
        Self::new(false)
    }

    fn new(direct: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::acquire(directory.path()).unwrap();
        let open = |id| {
            home.create_page(&header(id)).unwrap();
            PageFile::open(&home.page_path(id), direct).unwrap()
        };
        let files = Arc::new(PageFiles((0..2).map(open).collect()));
        let pool = Pool::new(BUFFER_COUNT, 8, BUFFER_CAPACITY, false).unwrap();
        let read_pool = ReadPool::new(READ_CAPACITY);
        Self { files, pool, read_pool, _home: home, _directory: directory }
    }

    /// `None`, with a word about it, where the file system has no direct I/O.
    fn direct() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        if direct_supported(directory.path()).unwrap() {
            return Some(Self::new(true));
        }
        eprintln!("skipped: no direct I/O in {}", directory.path().display());
        None
    }

    fn slice(&self, bytes: &[u8]) -> Slice {
        slice_of(&self.pool, bytes)
    }

    fn buffer(&self, len: usize) -> ReadBuffer {
        let mut buffer = self.read_pool.try_take(len).unwrap();
        buffer.fill(0xEE);
        buffer
    }

    fn write(&self, id: u64, page: u32, offset: u64, bytes: &[u8]) -> Request {
        let parts = Parts { first: self.slice(bytes), second: None };
        Request { id, io: Io::Write { page, offset, parts, durable: false } }
    }

    fn read(&self, id: u64, page: u32, offset: u64, len: usize) -> Request {
        Request { id, io: Io::Read { page, offset, buffer: self.buffer(len) } }
    }

    /// What is in the file, by another way than the driver's.
    fn content(&self, page: u32, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.files.get(page).unwrap().read_exact_at(offset, &mut bytes).unwrap();
        bytes
    }

    fn assert_all_free(&self) {
        assert_eq!(self.pool.free_count(), BUFFER_COUNT);
        assert_eq!(self.read_pool.used(), 0);
    }
}

fn header(id: u32) -> PageHeader {
    PageHeader {
        store_id: StoreId(*b"sixteen bytes id"),
        page_id: id,
        page_size: PAGE_SIZE,
        frame_alignment: BLOCK as u32,
        seal_capacity: BLOCK as u32,
    }
}

fn slice_of(pool: &Arc<Pool>, bytes: &[u8]) -> Slice {
    let mut buffer = pool.try_take(Purpose::Engine).unwrap();
    buffer.unfrozen()[..bytes.len()].copy_from_slice(bytes);
    buffer.freeze(bytes.len())
}

fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8 ^ seed).collect()
}

/// Waits until `count` requests are done.
fn finish(driver: &mut dyn Driver, count: usize) -> Vec<Completion> {
    let mut completions = Vec::new();
    while completions.len() < count {
        driver.wait(Wait::Forever, &mut completions).unwrap();
    }
    assert_eq!(completions.len(), count);
    completions
}

/// Carries out one request.
fn run(driver: &mut dyn Driver, request: Request) -> Completion {
    let id = request.id;
    driver.submit(request);
    let completion = finish(driver, 1).pop().unwrap();
    assert_eq!(completion.id, id);
    completion
}

fn writes_come_back(make: Make) {
    let stage = Stage::buffered();
    let mut driver = make(Arc::clone(&stage.files), &stage.pool, 8);
    for (id, len) in [1, 7, 512, 4096, 5000, BUFFER_CAPACITY].into_iter().enumerate() {
        let (id, bytes) = (id as u64, pattern(id as u8, len));
        let offset = 4096 + id * 100_003;
        let page = (id % 2) as u32;
        assert_eq!(run(&mut *driver, stage.write(id, page, offset, &bytes)).result, Ok(len));
        let read = run(&mut *driver, stage.read(id + 100, page, offset, len));
        assert_eq!(read.result, Ok(len));
        assert_eq!(read.buffer.unwrap()[..], bytes);
        assert_eq!(stage.content(page, offset, len), bytes);
    }
    stage.assert_all_free();
}

fn two_parts_are_written_back_to_back(make: Make) {
    let stage = Stage::buffered();
    let mut driver = make(Arc::clone(&stage.files), &stage.pool, 8);
    for (durable, second_len) in [(false, 9000), (true, 4096), (false, 0)] {
        let (first, second) = (pattern(1, 300), pattern(2, second_len));
        let parts = Parts { first: stage.slice(&first), second: Some(stage.slice(&second)) };
        assert_eq!(parts.len(), first.len() + second.len());
        let io = Io::Write { page: 1, offset: 8192, parts, durable };
        let done = run(&mut *driver, Request { id: 5, io });
        assert_eq!(done.result, Ok(first.len() + second.len()));
        let both = [first, second].concat();
        assert_eq!(stage.content(1, 8192, both.len()), both);
    }
    stage.assert_all_free();
}

fn durable_writes_and_syncs_succeed(make: Make) {
    for stage in [Some(Stage::buffered()), Stage::direct()].into_iter().flatten() {
        let mut driver = make(Arc::clone(&stage.files), &stage.pool, 8);
        let bytes = pattern(3, 2 * BLOCK);
        let parts = Parts { first: stage.slice(&bytes), second: None };
        let io = Io::Write { page: 0, offset: 4096, parts, durable: true };
        assert_eq!(run(&mut *driver, Request { id: 1, io }).result, Ok(2 * BLOCK));
        let sync = run(&mut *driver, Request { id: 2, io: Io::Sync { page: 0 } });
        assert_eq!(sync.result, Ok(0));
        assert!(sync.buffer.is_none());
        assert_eq!(stage.content(0, 4096, 2 * BLOCK), bytes);
    }
}

fn direct_writes_go_through_the_direct_file(make: Make) {
    let Some(stage) = Stage::direct() else { return };
    let file = stage.files.get(0).unwrap();
    assert!(file.is_direct());
    assert_eq!(open_flags(file.for_reads().as_raw_fd()) & libc::O_DIRECT, 0);
    assert_ne!(open_flags(file.for_writes().as_raw_fd()) & libc::O_DIRECT, 0);
    let mut driver = make(Arc::clone(&stage.files), &stage.pool, 8);
    let bytes = pattern(4, BLOCK);
    assert_eq!(run(&mut *driver, stage.write(1, 0, 4096, &bytes)).result, Ok(BLOCK));
    assert_eq!(stage.content(0, 4096, BLOCK), bytes);
    // Only the direct file refuses these.
    assert_eq!(run(&mut *driver, stage.write(2, 0, 5001, &bytes)).result, Err(libc::EINVAL));
    assert_eq!(run(&mut *driver, stage.write(3, 0, 8192, &bytes[1..])).result, Err(libc::EINVAL));
    let zero = Io::Zero { page: 0, offset: 100, len: BLOCK };
    assert_eq!(run(&mut *driver, Request { id: 4, io: zero }).result, Err(libc::EINVAL));
    // Reads go through the page cache, and may be anywhere.
    let read = run(&mut *driver, stage.read(5, 0, 4097, 100));
    assert_eq!(read.buffer.unwrap()[..], bytes[1..101]);
}

fn open_flags(fd: i32) -> i32 {
    // SAFETY: asks for a descriptor's flags; no memory is involved.
    unsafe { libc::fcntl(fd, libc::F_GETFL) }
}

fn zeros_replace_what_was_there(make: Make) {
    for stage in [Some(Stage::buffered()), Stage::direct()].into_iter().flatten() {
        let mut driver = make(Arc::clone(&stage.files), &stage.pool, 8);
        let bytes = pattern(5, 4 * BLOCK);
        assert_eq!(run(&mut *driver, stage.write(1, 0, 4096, &bytes)).result, Ok(4 * BLOCK));
        let io = Io::Zero { page: 0, offset: 8192, len: 2 * BLOCK };
        assert_eq!(run(&mut *driver, Request { id: 2, io }).result, Ok(2 * BLOCK));
        let mut expected = bytes;
        expected[BLOCK..3 * BLOCK].fill(0);
        assert_eq!(stage.content(0, 4096, 4 * BLOCK), expected);
        let io = Io::Zero { page: 0, offset: 4096, len: ZERO_SIZE_MAX + 1 };
        assert_eq!(run(&mut *driver, Request { id: 3, io }).result, Err(libc::EINVAL));
        assert_eq!(stage.content(0, 4096, 4 * BLOCK), expected);
    }
}

fn a_page_of_written_zeros_is_fully_written(make: Make) {
    let stage = Stage::buffered();
    let file = stage.files.get(0).unwrap();
    assert_eq!(file.size().unwrap(), PAGE_SIZE);
    assert!(!file.is_fully_written());
    let mut driver = make(Arc::clone(&stage.files), &stage.pool, 4);
    let mut count = 0;
    for offset in (PAGE_HEADER_SIZE as u64..PAGE_SIZE).step_by(ZERO_SIZE_MAX) {
        let len = (PAGE_SIZE - offset).min(ZERO_SIZE_MAX as u64) as usize;
        driver.submit(Request { id: offset, io: Io::Zero { page: 0, offset, len } });
        count += 1;
    }
    finish(&mut *driver, count);
    assert_eq!(run(&mut *driver, Request { id: 1, io: Io::Sync { page: 0 } }).result, Ok(0));
    assert!(file.is_fully_written());
    assert!(!stage.files.get(1).unwrap().is_fully_written());
}

fn errors_are_positive_error_numbers(make: Make) {
    let stage = Stage::buffered();
    let mut driver = make(Arc::clone(&stage.files), &stage.pool, 8);
    let missing = 2;
    assert_eq!(run(&mut *driver, stage.write(1, missing, 0, b"x")).result, Err(libc::EBADF));
    let sync = Request { id: 2, io: Io::Sync { page: missing } };
    assert_eq!(run(&mut *driver, sync).result, Err(libc::EBADF));
    let zero = Request { id: 3, io: Io::Zero { page: missing, offset: 0, len: 1 } };
    assert_eq!(run(&mut *driver, zero).result, Err(libc::EBADF));
    let read = run(&mut *driver, stage.read(4, missing, 0, 10));
    assert_eq!(read.result, Err(libc::EBADF));
    assert_eq!(read.buffer.unwrap().len(), 10);
    // This one comes from the kernel: no file can be that large.
    let far = stage.write(5, 0, 1 << 62, b"x");
    assert_eq!(run(&mut *driver, far).result, Err(libc::EFBIG));
    // A driver goes on after an error.
    assert_eq!(run(&mut *driver, stage.write(6, 0, 4096, b"x")).result, Ok(1));
    stage.assert_all_free();
}

fn an_offset_is_never_the_position_of_the_file(make: Make) {
    let stage = Stage::buffered();
    let before = stage.content(0, 0, BLOCK);
    let mut driver = make(Arc::clone(&stage.files), &stage.pool, 8);
    for offset in [u64::MAX, 1 << 63] {
        let write = stage.write(1, 0, offset, b"over the header");
        assert_eq!(run(&mut *driver, write).result, Err(libc::EINVAL));
        let zero = Request { id: 2, io: Io::Zero { page: 0, offset, len: BLOCK } };
        assert_eq!(run(&mut *driver, zero).result, Err(libc::EINVAL));
        let read = run(&mut *driver, stage.read(3, 0, offset, 10));
        assert_eq!(read.result, Err(libc::EINVAL));
        assert_eq!(read.buffer.unwrap()[..], [0xEE; 10]);
    }
    assert_eq!(stage.content(0, 0, BLOCK), before);
}

fn reads_past_the_end_are_short(make: Make) {
    let stage = Stage::buffered();
    let mut driver = make(Arc::clone(&stage.files), &stage.pool, 8);
    let read = run(&mut *driver, stage.read(1, 0, PAGE_SIZE - 10, 100));
    assert_eq!(read.result, Ok(10));
    assert_eq!(read.buffer.unwrap()[10..], [0xEE; 90]);
    assert_eq!(run(&mut *driver, stage.read(2, 0, PAGE_SIZE, 100)).result, Ok(0));
}

fn a_buffer_of_another_pool_is_written(make: Make) {
    let stage = Stage::buffered();
    let other = Pool::new(4, 4, BUFFER_CAPACITY, false).unwrap();
    let mut driver = make(Arc::clone(&stage.files), &stage.pool, 8);
    let bytes = pattern(6, 10_000);
    let parts = Parts { first: slice_of(&other, &bytes), second: None };
    let io = Io::Write { page: 0, offset: 4096, parts, durable: false };
    assert_eq!(run(&mut *driver, Request { id: 1, io }).result, Ok(bytes.len()));
    assert_eq!(stage.content(0, 4096, bytes.len()), bytes);
}

fn a_notification_before_the_wait_ends_it(make: Make) {
    let stage = Stage::buffered();
    let mut driver = make(Arc::clone(&stage.files), &stage.pool, 8);
    let notifier = driver.notifier();
    let mut completions = Vec::new();
    for count in 1..4 {
        for _ in 0..count {
            notifier.notify();
        }
        driver.wait(Wait::Forever, &mut completions).unwrap();
        assert!(completions.is_empty());
    }
}

fn a_notification_during_the_wait_ends_it(make: Make) {
    let stage = Stage::buffered();
    let mut driver = make(Arc::clone(&stage.files), &stage.pool, 8);
    let notifier = driver.notifier();
    // SAFETY: asks for a number; no memory is involved.
    let waiter = unsafe { libc::gettid() };
    let thread = std::thread::spawn(move || {
        until_asleep(waiter);
        notifier.notify();
    });
    let mut completions = Vec::new();
    driver.wait(Wait::Forever, &mut completions).unwrap();
    assert!(completions.is_empty());
    thread.join().unwrap();
}

/// Returns when a thread of this process sleeps in the kernel.
fn until_asleep(thread: i32) {
    let path = format!("/proc/self/task/{thread}/stat");
    loop {
        let stat = fs::read_to_string(&path).unwrap();
        // The state comes after the name, which is in parentheses.
        if stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S')) {
            return;
        }
        std::thread::yield_now();
    }
}

fn no_notification_is_lost(make: Make) {
    const ROUNDS: u64 = 20_000;
    let stage = Stage::buffered();
    let mut driver = make(Arc::clone(&stage.files), &stage.pool, 8);
    let notifier = driver.notifier();
    let (sent, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let thread = std::thread::spawn({
        let (sent, seen) = (Arc::clone(&sent), Arc::clone(&seen));
        move || {
            for round in 1..=ROUNDS {
                sent.store(round, Ordering::SeqCst);
                notifier.notify();
                // Half of the rounds wait for the answer, so that the other side sleeps again.
                while round % 2 == 0 && seen.load(Ordering::SeqCst) < round {
                    std::thread::yield_now();
                }
            }
        }
    });
    let mut completions = Vec::new();
    while seen.load(Ordering::SeqCst) < ROUNDS {
        driver.wait(Wait::Forever, &mut completions).unwrap();
        seen.store(sent.load(Ordering::SeqCst), Ordering::SeqCst);
    }
    thread.join().unwrap();
}

fn notifications_and_requests_mix(make: Make) {
    const REQUESTS: u64 = 2_000;
    let stage = Stage::buffered();
    let mut driver = make(Arc::clone(&stage.files), &stage.pool, 8);
    let notifier = driver.notifier();
    let (stop, stopped) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        while stopped.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
            notifier.notify();
        }
    });
    for id in 0..REQUESTS {
        let done = run(&mut *driver, stage.write(id, 0, 4096 + id % 100 * 512, b"some bytes"));
        assert_eq!(done.result, Ok(10));
    }
    drop(stop);
    thread.join().unwrap();
}

fn poll_and_timeout_return_with_nothing(make: Make) {
    let stage = Stage::buffered();
    let mut driver = make(Arc::clone(&stage.files), &stage.pool, 8);
    let mut completions = Vec::new();
    driver.wait(Wait::Poll, &mut completions).unwrap();
    driver.wait(Wait::For(Duration::ZERO), &mut completions).unwrap();
    let start = Instant::now();
    driver.wait(Wait::For(Duration::from_millis(20)), &mut completions).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert!(completions.is_empty());
    // What is done is there at once, however long one may wait.
    driver.submit(stage.write(1, 0, 4096, b"x"));
    driver.wait(Wait::For(Duration::MAX), &mut completions).unwrap();
    assert_eq!(completions.len(), 1);
    // Polling alone gets everything done, too.
    driver.submit(stage.write(2, 0, 4096, b"x"));
    while completions.len() < 2 {
        driver.wait(Wait::Poll, &mut completions).unwrap();
    }
}

fn more_requests_than_the_queue_complete_once(make: Make) {
    const ROUNDS: u64 = 20;
    let stage = Stage::buffered();
    for depth in [1, 4] {
        let mut driver = make(Arc::clone(&stage.files), &stage.pool, depth);
        let mut ids = HashSet::new();
        for round in 0..ROUNDS {
            for number in 0..15 {
                let id = (round * 15 + number) * 3;
                let offset = 4096 + number * 4096;
                let bytes = pattern(number as u8 ^ round as u8, 1000);
                driver.submit(stage.write(id, 0, offset, &bytes));
                driver.submit(stage.read(id + 1, 1, offset, 100));
                driver.submit(Request { id: id + 2, io: Io::Sync { page: 1 } });
            }
            for completion in finish(&mut *driver, 45) {
                assert!(ids.insert(completion.id));
                assert_eq!(completion.buffer.is_some(), completion.id % 3 == 1);
                assert_eq!(completion.result, Ok([1000, 100, 0][completion.id as usize % 3]));
            }
            for number in 0..15 {
                let bytes = stage.content(0, 4096 + number * 4096, 1000);
                assert_eq!(bytes, pattern(number as u8 ^ round as u8, 1000));
            }
        }
        let mut more = Vec::new();
        driver.wait(Wait::Poll, &mut more).unwrap();
        assert!(more.is_empty());
        assert_eq!(ids.len() as u64, ROUNDS * 45);
    }
}

/// Gives a driver more to do than it can have done when this returns.
fn load(stage: &Stage, driver: &mut dyn Driver) {
    for number in 0..30 {
        let offset = 4096 + number * BUFFER_CAPACITY as u64;
        let parts =
            Parts { first: stage.slice(&pattern(number as u8, BUFFER_CAPACITY)), second: None };
        let io = Io::Write { page: 0, offset, parts, durable: true };
        driver.submit(Request { id: number, io });
        driver.submit(stage.read(100 + number, 1, offset, BUFFER_CAPACITY));
        driver.submit(Request { id: 200 + number, io: Io::Sync { page: 1 } });
    }
    driver.wait(Wait::Poll, &mut Vec::new()).unwrap();
}

fn dropping_with_work_under_way_frees_all_buffers(make: Make) {
    for stage in [Some(Stage::buffered()), Stage::direct()].into_iter().flatten() {
        for _ in 0..5 {
            let mut driver = make(Arc::clone(&stage.files), &stage.pool, 16);
            load(&stage, &mut *driver);
            drop(driver);
            stage.assert_all_free();
        }
    }
}

fn a_panic_with_work_under_way_frees_all_buffers(make: Make) {
    let stage = Stage::buffered();
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let mut driver = make(Arc::clone(&stage.files), &stage.pool, 16);
        load(&stage, &mut *driver);
        std::panic::resume_unwind(Box::new("on purpose"));
    }));
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"on purpose"));
    stage.assert_all_free();
}

fn dropping_at_once_is_fine(make: Make) {
    let stage = Stage::buffered();
    drop(make(Arc::clone(&stage.files), &stage.pool, 1));
    // Submitted, never started.
    let mut driver = make(Arc::clone(&stage.files), &stage.pool, 2);
    for id in 0..10 {
        driver.submit(stage.read(id, 0, 0, 100));
    }
    drop(driver);
    stage.assert_all_free();
    assert_eq!(Arc::strong_count(&stage.files), 1);
}

fn a_notifier_outlives_its_driver(make: Make) {
    let stage = Stage::buffered();
    let driver = make(Arc::clone(&stage.files), &stage.pool, 1);
    let notifier = driver.notifier();
    drop(driver);
    notifier.notify();
    // It does not keep the files open.
    assert_eq!(Arc::strong_count(&stage.files), 1);
}

#[test]
fn io_uring_works_here() {
    uring::probe().unwrap();
}

#[test]
fn a_durable_write_takes_one_system_call_and_idle_polls_none() {
    let Some(stage) = Stage::direct() else { return };
    let mut driver = UringDriver::new(Arc::clone(&stage.files), &stage.pool, 8).unwrap();
    let bytes = pattern(7, BLOCK);
    let before = driver.enter_count();
    for id in 0..100 {
        let parts = Parts { first: stage.slice(&bytes), second: None };
        let io = Io::Write { page: 0, offset: 4096 + id * 4096, parts, durable: true };
        assert_eq!(run(&mut driver, Request { id, io }).result, Ok(BLOCK));
    }
    assert_eq!(driver.enter_count() - before, 100);
    for _ in 0..100 {
        driver.wait(Wait::Poll, &mut Vec::new()).unwrap();
    }
    assert_eq!(driver.enter_count() - before, 100);
}

/// Every request was forced to the kernel's worker threads, with a switch of context for each.
/// Whether one can do without is the kernel's to find out.
#[test]
fn no_request_is_forced_to_the_kernels_threads() {
    let stage = Stage::buffered();
    let mut driver = UringDriver::new(Arc::clone(&stage.files), &stage.pool, 8).unwrap();
    let bytes = pattern(7, BLOCK);
    let (first, second) = (stage.slice(&bytes), Some(stage.slice(&bytes)));
    let parts = Parts { first, second };
    driver.submit(stage.write(1, 0, 4096, &bytes));
    driver
        .submit(Request { id: 2, io: Io::Write { page: 0, offset: 16384, parts, durable: true } });
    driver.submit(stage.read(3, 1, 4096, BLOCK));
    driver.submit(Request { id: 4, io: Io::Sync { page: 1 } });
    driver.submit(Request { id: 5, io: Io::Zero { page: 1, offset: 8192, len: BLOCK } });
    let entries = driver.entries();
    assert_eq!(entries.len(), 5);
    for entry in entries {
        // The crate tells flags in this form only: 1 is a registered file, 16 the force.
        let shown = format!("{entry:?}");
        assert!(shown.contains("flags: 1,") || shown.contains("flags: 0,"), "{shown}");
    }
    finish(&mut driver, 5);
}

#[test]
fn dropping_waits_for_what_was_started() {
    const COUNT: u64 = 16;
    let stage = Stage::buffered();
    for round in 0..10 {
        let mut driver = UringDriver::new(Arc::clone(&stage.files), &stage.pool, 16).unwrap();
        let offset = |number| 4096 + number * BUFFER_CAPACITY as u64;
        let bytes = |number| pattern((number * 16 + round) as u8, BUFFER_CAPACITY);
        for number in 0..COUNT {
            let parts = Parts { first: stage.slice(&bytes(number)), second: None };
            let io = Io::Write { page: 0, offset: offset(number), parts, durable: true };
            driver.submit(Request { id: number, io });
        }
        driver.wait(Wait::Poll, &mut Vec::new()).unwrap();
        drop(driver);
        for number in 0..COUNT {
            assert!(stage.content(0, offset(number), BUFFER_CAPACITY) == bytes(number));
        }
    }
}

#[test]
fn what_is_not_registered_is_used_all_the_same() {
    let stage = Stage::buffered();
    let best = UringDriver::new(Arc::clone(&stage.files), &stage.pool, 8).unwrap();
    // Files are always registered; of the buffers, as many as the limit for locked memory lets.
    let (files, buffer_bytes) = best.registers();
    assert!(files);
    assert_eq!(buffer_bytes % BUFFER_CAPACITY, 0);
    eprintln!("registered: {buffer_bytes} of {} bytes", BUFFER_COUNT * BUFFER_CAPACITY);
    let setup = Setup { register_files: false, register_buffers: false, ..Setup::BEST };
    let plain = UringDriver::with_setup(Arc::clone(&stage.files), &stage.pool, 8, setup).unwrap();
    assert_eq!(plain.registers(), (false, 0));
}

#[test]
fn a_home_is_made_and_locked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a").join("b");
    let home = Home::acquire(&path).unwrap();
    assert_eq!(home.path(), path);
    let error = Home::acquire(&path).unwrap_err();
    let Error::Locked { path: locked, pid } = error else { panic!("{error}") };
    assert_eq!((locked, pid), (path.clone(), Some(std::process::id())));
    drop(home);
    drop(Home::acquire(&path).unwrap());
}

#[test]
fn a_forked_child_neither_releases_nor_keeps_the_lock() {
    let directory = tempfile::tempdir().unwrap();
    let mut home = std::mem::ManuallyDrop::new(Home::acquire(directory.path()).unwrap());
    let (mut from_parent, to_child) = io::pipe().unwrap();
    // SAFETY: the child only drops its copy of the home, reads from a pipe and exits.
    let dropping = unsafe { libc::fork() };
    if dropping == 0 {
        // SAFETY: dropped once in this process, and not used after. `_exit` runs nothing else.
        unsafe {
            std::mem::ManuallyDrop::drop(&mut home);
            libc::_exit(0);
        }
    }
    wait_for(dropping);
    assert!(matches!(Home::acquire(directory.path()), Err(Error::Locked { .. })));
    // SAFETY: as above.
    let staying = unsafe { libc::fork() };
    if staying == 0 {
        drop(to_child);
        let _ = io::Read::read(&mut from_parent, &mut [0]);
        // SAFETY: ends the child, and runs nothing else.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: dropped once in this process, and not used after.
    unsafe { std::mem::ManuallyDrop::drop(&mut home) };
    drop(Home::acquire(directory.path()).unwrap());
    drop(to_child);
    wait_for(staying);
}

fn wait_for(child: i32) {
    let mut status = 0;
    // SAFETY: `status` is where the kernel may write.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
}

#[test]
fn a_foreign_directory_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let names = || {
        let entries = fs::read_dir(directory.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<HashSet<_>>()
    };
    fs::write(directory.path().join("photo.jpg"), b"").unwrap();
    let before = names();
    let error = Home::acquire(directory.path()).unwrap_err();
    assert!(matches!(error, Error::NotAStore { .. }), "{error}");
    assert!(error.to_string().contains("photo.jpg"), "{error}");
    assert_eq!(names(), before);
    // RocksDB has a LOCK, too.
    fs::write(directory.path().join("LOCK"), b"").unwrap();
    assert!(matches!(Home::acquire(directory.path()), Err(Error::NotAStore { .. })));
    // With a page it is a store that something else was put into.
    fs::write(directory.path().join("0000000000.page"), b"").unwrap();
    drop(Home::acquire(directory.path()).unwrap());
    let file = directory.path().join("photo.jpg");
    assert!(matches!(Home::acquire(&file), Err(Error::NotAStore { .. })));
}

#[test]
fn hidden_files_and_lost_and_found_are_no_reason_to_refuse() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("lost+found")).unwrap();
    fs::write(directory.path().join(".gitignore"), b"*").unwrap();
    drop(Home::acquire(directory.path()).unwrap());
}

#[test]
fn pages_are_made_listed_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::acquire(directory.path()).unwrap();
    assert_eq!(page_ids(home.path()).unwrap(), []);
    for id in [10, 2, u32::MAX] {
        home.create_page(&header(id)).unwrap();
        let mut block = vec![0; PAGE_HEADER_SIZE];
        let file = PageFile::open(&home.page_path(id), false).unwrap();
        file.read_exact_at(0, &mut block).unwrap();
        assert_eq!(PageHeader::decode(&block), Ok(header(id)));
        assert_eq!(file.size().unwrap(), PAGE_SIZE);
    }
    for name in ["x.page", "1.page", "99999999999.page", "+000000001.page", "9999999999.page"] {
        fs::write(directory.path().join(name), b"").unwrap();
    }
    home.sync().unwrap();
    assert_eq!(page_ids(home.path()).unwrap(), [2, 10, u32::MAX]);
    assert!(home.page_path(2).ends_with("0000000002.page"));
    home.remove_page(10).unwrap();
    assert_eq!(page_ids(home.path()).unwrap(), [2, u32::MAX]);
    assert!(matches!(home.remove_page(10), Err(Error::Io { action: "remove", .. })));
}

#[test]
fn a_page_is_made_anew_only_where_it_was_never_completed() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::acquire(directory.path()).unwrap();
    let path = home.page_path(0);
    let is_complete = || {
        let bytes = fs::read(&path).unwrap();
        bytes.len() as u64 == PAGE_SIZE && PageHeader::decode(&bytes) == Ok(header(0))
    };
    let mut torn = header(0).encode();
    torn[..512].fill(0);
    let mut flipped = header(0).encode();
    flipped[30] ^= 1;
    let longer = vec![0; PAGE_SIZE as usize + 8192];
    for leftover in [Vec::new(), vec![0; 100], vec![0; 8192], torn, flipped, longer] {
        fs::write(&path, leftover).unwrap();
        home.create_page(&header(0)).unwrap();
        assert!(is_complete());
    }
    // Complete already: what is behind the header stays.
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"a frame", 4096).unwrap();
    home.create_page(&header(0)).unwrap();
    assert_eq!(fs::read(&path).unwrap()[4096..4103], *b"a frame");
    let other = PageHeader { store_id: StoreId([9; 16]), ..header(0) };
    let error = home.create_page(&other).unwrap_err();
    assert!(matches!(error, Error::Io { action: "create", .. }), "{error}");
    assert!(is_complete());
    fs::write(&path, vec![b'#'; 5000]).unwrap();
    assert!(matches!(home.create_page(&header(0)), Err(Error::NotAStore { .. })));
    assert_eq!(fs::read(&path).unwrap(), vec![b'#'; 5000]);
}

#[test]
fn a_page_without_room_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::acquire(directory.path()).unwrap();
    let page_size = 1 << 50;
    let error = home.create_page(&PageHeader { page_size, ..header(0) }).unwrap_err();
    assert!(matches!(error, Error::Io { action: "allocate", .. }), "{error}");
    assert_eq!(page_ids(home.path()).unwrap(), []);
}

#[test]
fn quarantine_copies_bytes_and_keeps_holes() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::acquire(directory.path()).unwrap();
    home.create_page(&header(3)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(home.page_path(3)).unwrap();
    file.write_all_at(&pattern(8, 100_000), 1_000_000).unwrap();
    file.write_all_at(b"end", PAGE_SIZE - 3).unwrap();
    let first = home.quarantine(3, 77).unwrap();
    assert_eq!(first, directory.path().join("quarantine/0000000003-77.page"));
    let second = home.quarantine(3, 77).unwrap();
    assert_eq!(second, directory.path().join("quarantine/0000000003-77-1.page"));
    let source = fs::read(home.page_path(3)).unwrap();
    for copy in [&first, &second] {
        assert!(fs::read(copy).unwrap() == source);
        assert!(fs::metadata(copy).unwrap().blocks() * 512 < PAGE_SIZE / 2);
    }
    assert_eq!(fs::read_dir(first.parent().unwrap()).unwrap().count(), 2);
    // Nothing to copy: an error, and no trace of it.
    assert!(matches!(home.quarantine(4, 1), Err(Error::Io { action: "open", .. })));
    assert_eq!(fs::read_dir(first.parent().unwrap()).unwrap().count(), 2);
    assert_eq!(page_ids(home.path()).unwrap(), [3]);
}

#[test]
fn cached_bytes_are_read_without_waiting() {
    let stage = Stage::buffered();
    let file = stage.files.get(0).unwrap();
    let written = fs::OpenOptions::new().write(true).open(file.path()).unwrap();
    written.write_all_at(&pattern(9, 10_000), 4096).unwrap();
    let mut bytes = vec![0; 10_000];
    assert_eq!(file.read_at_now(4096, &mut bytes).unwrap(), Some(10_000));
    assert_eq!(bytes, pattern(9, 10_000));
    assert_eq!(file.read_at_now(PAGE_SIZE, &mut bytes).unwrap(), Some(0));
    assert_eq!(
        file.read_at_now(u64::MAX, &mut bytes).unwrap_err().raw_os_error(),
        Some(libc::EINVAL)
    );
    // Out of the cache, nothing is read; and asking does not bring it in.
    written.sync_all().unwrap();
    // SAFETY: gives advice about a descriptor; no memory is involved.
    unsafe { libc::posix_fadvise(written.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(file.read_at_now(4096, &mut bytes).unwrap(), None);
    let end = file.read_exact_at(PAGE_SIZE - 5, &mut bytes).unwrap_err();
    assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    file.read_exact_at(4096, &mut bytes).unwrap();
    assert_eq!(bytes, pattern(9, 10_000));
}

#[test]
fn asking_for_direct_io_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let supported = direct_supported(directory.path()).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    assert!(direct_supported(Path::new("/proc/self")).is_err());
    assert!(direct_supported(&directory.path().join("missing")).is_err());

    let path = directory.path().join("page");
    fs::write(&path, pattern(1, 3 * 4096)).unwrap();
    assert_eq!(direct_supported_by(&path).unwrap(), supported);
    assert_eq!(fs::read(&path).unwrap(), pattern(1, 3 * 4096));
    assert!(direct_supported_by(&directory.path().join("missing")).is_err());
}
