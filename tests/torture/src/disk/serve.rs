//! The disk as a file system: translates what the kernel asks for.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::delay::Delay;
use super::fault::{Call, Failure, part};
use super::file::{self, BLOCK, File};
use super::image::{Dir, Node, NodeId};
use super::order::Caching;
use super::state::{State, Written};

/// Nobody else changes anything, so the kernel may remember names and attributes.
const TTL: Duration = Duration::from_secs(3600);

const GENERATION: Generation = Generation(0);

/// The file system.
#[derive(Debug)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    caching: Caching,
    delay: Delay,
}

impl Disk {
    /// Serves what is in `state`.
    pub fn new(state: Arc<Mutex<State>>, caching: Caching) -> Self {
        let delay = Delay::new(Arc::clone(&state));
        Self { state, caching, delay }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out a call, unless it is to fail.
    fn call<T>(
        &self,
        call: Call,
        act: impl FnOnce(&mut State) -> Result<T, i32>,
    ) -> Result<T, Errno> {
        let mut state = self.lock();
        let result = match state.begin(call) {
            Ok(Some(Failure::Errno(errno))) => Err(errno),
            Ok(_) => act(&mut state),
            Err(errno) => Err(errno),
        };
        result.and_then(|value| state.end().map(|()| value)).map_err(Errno::from_i32)
    }

    fn open_flags(&self) -> FopenFlags {
        match self.caching {
            Caching::Through | Caching::Back => FopenFlags::FOPEN_KEEP_CACHE,
            Caching::None => FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES,
        }
    }

    /// Writes, and answers now or a little later.
    fn write_at(&self, node: NodeId, offset: usize, data: &[u8], durable: bool, reply: ReplyWrite) {
        let mut state = self.lock();
        let failure = match state.begin(Call::Write) {
            Ok(failure) => failure,
            Err(errno) => return reply.error(Errno::from_i32(errno)),
        };
        let data = match failure {
            Some(failure) => part(data, failure, &mut state.random),
            None => data,
        };
        match write(&mut state, node, offset, data, durable) {
            Ok(written) => match failure {
                Some(Failure::Errno(errno)) => {
                    let _ = state.end_write(&Written { durable: false, ..written });
                    reply.error(Errno::from_i32(errno));
                }
                _ => {
                    drop(state);
                    self.delay.end(written, reply);
                }
            },
            Err(errno) => reply.error(Errno::from_i32(errno)),
        }
    }
}

fn write(
    state: &mut State,
    node: NodeId,
    offset: usize,
    data: &[u8],
    durable: bool,
) -> Result<Written, i32> {
    let id = state.image.next_write();
    let growth = state.image.file(node)?.growth(offset, data.len());
    state.take_room(growth as u64)?;
    state.image.file(node)?.write(id, offset, data);
    Ok(Written { node, id, offset, len: data.len(), durable })
}

fn attributes(id: NodeId, node: &Node) -> FileAttr {
    let (kind, perm, size, blocks) = match node {
        Node::Dir(_) => (FileType::Directory, 0o755, 0, 0),
        Node::File(file) => {
            (FileType::RegularFile, 0o644, file.bytes().len(), file.written_len() / file::SECTOR)
        }
    };
    // SAFETY: neither call touches memory.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    FileAttr {
        ino: INodeNo(id),
        size: size as u64,
        blocks: blocks as u64,
        atime: SystemTime::UNIX_EPOCH,
        mtime: SystemTime::UNIX_EPOCH,
        ctime: SystemTime::UNIX_EPOCH,
        crtime: SystemTime::UNIX_EPOCH,
        kind,
        perm,
        nlink: 1,
        uid,
        gid,
        rdev: 0,
        blksize: BLOCK as u32,
        flags: 0,
    }
}

fn attributes_of(state: &State, id: NodeId) -> Result<FileAttr, i32> {
    state.image.get(id).map(|node| attributes(id, node)).ok_or(libc::EIO)
}

fn make(state: &mut State, parent: NodeId, name: &OsStr, node: Node) -> Result<FileAttr, i32> {
    let id = state.image.make(parent, name, node)?;
    attributes_of(state, id)
}

fn entry(reply: ReplyEntry, result: Result<FileAttr, Errno>) {
    match result {
        Ok(attributes) => reply.entry(&TTL, &attributes, GENERATION),
        Err(errno) => reply.error(errno),
    }
}

fn empty(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

fn attr(reply: ReplyAttr, result: Result<FileAttr, Errno>) {
    match result {
        Ok(attributes) => reply.attr(&TTL, &attributes),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for Disk {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let mut wanted = InitFlags::FUSE_PARALLEL_DIROPS;
        match self.caching {
            Caching::Back => wanted |= InitFlags::FUSE_WRITEBACK_CACHE,
            // Where there is no page cache that such a write would have to invalidate, once it ends.
            Caching::None => wanted |= InitFlags::FUSE_ASYNC_DIO,
            Caching::Through => {}
        }
        config.add_capabilities(wanted & config.capabilities()).map_err(|missing| {
            std::io::Error::other(format!("the kernel's FUSE lacks {missing:?}"))
        })
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.call(Call::Lookup, |state| {
            let id = state.image.dir(parent.0)?.entries().get(name).copied().ok_or(libc::ENOENT)?;
            attributes_of(state, id)
        });
        entry(reply, found);
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attr(reply, self.call(Call::Attributes, |state| attributes_of(state, node.0)));
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let call = if size.is_some() { Call::Truncate } else { Call::Attributes };
        let result = self.call(call, |state| {
            if let Some(size) = size {
                state.image.file(node.0)?.resize(size as usize);
            }
            attributes_of(state, node.0)
        });
        attr(reply, result);
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let node = Node::Dir(Dir::default());
        entry(reply, self.call(Call::MakeDir, |state| make(state, parent.0, name, node)));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.call(Call::Remove, |state| state.image.remove(parent.0, name)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.call(Call::Remove, |state| state.image.remove(parent.0, name)));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if parent != new_parent {
            return reply.error(Errno::EXDEV);
        }
        let result = self.call(Call::Rename, |state| state.image.rename(parent.0, name, new_name));
        empty(reply, result);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.call(Call::Open, |_| Ok(())) {
            Ok(()) => reply.opened(FileHandle(0), self.open_flags()),
            Err(errno) => reply.error(errno),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let node = Node::File(File::default());
        match self.call(Call::Create, |state| make(state, parent.0, name, node)) {
            Ok(attributes) => {
                reply.created(&TTL, &attributes, GENERATION, FileHandle(0), self.open_flags());
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut state = self.lock();
        let result = state.begin(Call::Read).and_then(|failure| {
            let bytes = state.image.file(node.0)?.bytes();
            let start = bytes.len().min(offset as usize);
            let end = bytes.len().min(start + size as usize);
            let bytes = bytes[start..end].to_vec();
            match failure {
                Some(Failure::Errno(errno)) => Err(errno),
                Some(short) => Ok(part(&bytes, short, &mut state.random).to_vec()),
                None => Ok(bytes),
            }
        });
        match result {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(Errno::from_i32(errno)),
        }
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        // `RWF_DSYNC` and the like arrive as if the file had been opened that way; and unless the
        // file has no page cache, a sync follows, too.
        let durable = flags.0 & (libc::O_DSYNC | libc::O_SYNC) != 0;
        self.write_at(node.0, offset as usize, data, durable, reply);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let mut state = self.lock();
        let result = state.begin(Call::Sync).and_then(|failure| {
            let State { image, random, .. } = &mut *state;
            let file = image.file(node.0)?;
            match failure {
                Some(Failure::Errno(errno)) => {
                    file.fail_sync(random);
                    Err(errno)
                }
                _ => {
                    file.sync();
                    Ok(())
                }
            }
        });
        empty(reply, result.and_then(|()| state.end()).map_err(Errno::from_i32));
    }

    fn fsyncdir(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(reply, self.call(Call::SyncDir, |state| state.image.sync_dir(node.0)));
    }

    fn readdir(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let entries = self.call(Call::List, |state| Ok(state.image.dir(node.0)?.entries().clone()));
        let entries = match entries {
            Ok(entries) => entries,
            Err(errno) => return reply.error(errno),
        };
        let state = self.lock();
        for (at, (name, id)) in entries.iter().enumerate().skip(offset as usize) {
            let kind = match state.image.get(*id) {
                Some(Node::File(_)) => FileType::RegularFile,
                _ => FileType::Directory,
            };
            if reply.add(INodeNo(*id), at as u64 + 1, kind, name) {
                break;
            }
        }
        drop(state);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let free = self.lock().room / BLOCK as u64;
        reply.statfs(free, free, free, 1 << 20, 1 << 20, BLOCK as u32, 255, BLOCK as u32);
    }

    fn fallocate(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if mode != 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let result = self.call(Call::Allocate, |state| {
            let size = state.image.file(node.0)?.bytes().len();
            let end = (offset + length) as usize;
            if end > size {
                // Like a file system that promises no room: there is room for it now, that is all.
                if state.room < (end - size) as u64 {
                    return Err(libc::ENOSPC);
                }
                state.image.file(node.0)?.resize(end);
            }
            Ok(())
        });
        empty(reply, result);
    }

    fn lseek(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let wanted = match whence {
            libc::SEEK_DATA => file::Written::Data,
            libc::SEEK_HOLE => file::Written::Hole,
            _ => return reply.error(Errno::EINVAL),
        };
        let found = self.call(Call::Seek, |state| {
            state.image.file(node.0)?.seek(offset as usize, wanted).ok_or(libc::ENXIO)
        });
        match found {
            Ok(found) => reply.offset(found as i64),
            Err(errno) => reply.error(errno),
        }
    }
}
