//! A tree of files and directories, as strict as POSIX allows: a name is durable when its
//! directory was synced, a size and a byte when its file was.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};

use fastrand::Rng;

use super::file::{File, WriteId};
use super::loss::Loss;

/// Names a file or directory. After a power loss all of them are new.
pub type NodeId = u64;

/// The mounted directory. It holds one directory at a time: what a power loss left last.
pub const ROOT: NodeId = 1;

/// A file or directory.
#[derive(Clone, Debug)]
pub enum Node {
    /// A directory.
    Dir(Dir),
    /// A file.
    File(File),
}

/// A directory.
#[derive(Clone, Debug, Default)]
pub struct Dir {
    current: BTreeMap<OsString, NodeId>,
    safe: BTreeMap<OsString, NodeId>,
    /// What was changed since the directory was synced, oldest first.
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Set(OsString, NodeId),
    Remove(OsString),
    Rename(OsString, OsString, NodeId),
}

impl Change {
    fn apply(&self, entries: &mut BTreeMap<OsString, NodeId>) {
        match self {
            Self::Set(name, node) => drop(entries.insert(name.clone(), *node)),
            Self::Remove(name) => drop(entries.remove(name)),
            Self::Rename(from, to, node) => {
                entries.remove(from);
                entries.insert(to.clone(), *node);
            }
        }
    }
}

impl Dir {
    /// The entries as a program sees them.
    pub fn entries(&self) -> &BTreeMap<OsString, NodeId> {
        &self.current
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.changes.push(change);
    }

    fn sync(&mut self) {
        self.safe = self.current.clone();
        self.changes.clear();
    }

    fn settle(&self, loss: &Loss, random: &mut Rng) -> BTreeMap<OsString, NodeId> {
        let mut entries = self.safe.clone();
        let kept = match loss {
            Loss::All => 0,
            Loss::Nothing => self.changes.len(),
            _ => random.usize(0..=self.changes.len()),
        };
        for (at, change) in self.changes.iter().enumerate() {
            let is_kept = match loss {
                Loss::Sectors => random.bool(),
                _ => at < kept,
            };
            if is_kept {
                change.apply(&mut entries);
            }
        }
        entries
    }
}

/// The tree.
#[derive(Debug)]
pub struct Image {
    nodes: HashMap<NodeId, Node>,
    next: NodeId,
    /// What the mounted directory holds.
    top: (OsString, NodeId),
    losses: u64,
    writes: WriteId,
}

impl Image {
    /// An empty one.
    pub fn new() -> Self {
        let top = (OsString::from("0"), ROOT + 1);
        let root = Dir { current: BTreeMap::from([top.clone()]), ..Dir::default() };
        let nodes = HashMap::from([(ROOT, Node::Dir(root)), (top.1, Node::Dir(Dir::default()))]);
        Self { nodes, next: ROOT + 2, top, losses: 0, writes: 0 }
    }

    /// Name of the directory that the mounted directory holds.
    pub fn top(&self) -> &OsStr {
        &self.top.0
    }

    /// A file or directory that is still there.
    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// A directory.
    ///
    /// # Errors
    ///
    /// The system's error number where it is none, or gone.
    pub fn dir(&self, id: NodeId) -> Result<&Dir, i32> {
        match self.nodes.get(&id) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) => Err(libc::ENOTDIR),
            None => Err(libc::EIO),
        }
    }

    /// A file.
    ///
    /// # Errors
    ///
    /// As [`dir`](Self::dir).
    pub fn file(&mut self, id: NodeId) -> Result<&mut File, i32> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) => Err(libc::EISDIR),
            None => Err(libc::EIO),
        }
    }

    /// A number for the next write.
    pub fn next_write(&mut self) -> WriteId {
        self.writes += 1;
        self.writes
    }

    /// Makes a file or directory.
    ///
    /// # Errors
    ///
    /// The system's error number where the name is taken.
    pub fn make(&mut self, parent: NodeId, name: &OsStr, node: Node) -> Result<NodeId, i32> {
        if self.dir(parent)?.current.contains_key(name) {
            return Err(libc::EEXIST);
        }
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, node);
        self.dir_mut(parent)?.change(Change::Set(name.to_owned(), id));
        Ok(id)
    }

    /// Removes a name. What it named stays as long as somebody has it open.
    ///
    /// # Errors
    ///
    /// The system's error number where there is none.
    pub fn remove(&mut self, parent: NodeId, name: &OsStr) -> Result<(), i32> {
        if !self.dir(parent)?.current.contains_key(name) {
            return Err(libc::ENOENT);
        }
        self.dir_mut(parent)?.change(Change::Remove(name.to_owned()));
        Ok(())
    }

    /// Gives a file of a directory another name there.
    ///
    /// # Errors
    ///
    /// The system's error number where there is none.
    pub fn rename(&mut self, parent: NodeId, from: &OsStr, to: &OsStr) -> Result<(), i32> {
        let node = *self.dir(parent)?.current.get(from).ok_or(libc::ENOENT)?;
        self.dir_mut(parent)?.change(Change::Rename(from.to_owned(), to.to_owned(), node));
        Ok(())
    }

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    ///
    /// The system's error number where it is none.
    pub fn sync_dir(&mut self, id: NodeId) -> Result<(), i32> {
        self.dir_mut(id)?.sync();
        Ok(())
    }

    /// Loses power, and comes back with what that left, under another name.
    ///
    /// Answers how many sectors and names were at stake.
    pub fn lose_power(&mut self, random: &mut Rng) -> u64 {
        let loss = Loss::random(random, self.writes);
        let mut left = HashMap::new();
        let mut at_stake = 0;
        let top = self.settle(self.top.1, &loss, random, &mut left, &mut at_stake);
        self.losses += 1;
        self.top = (OsString::from(self.losses.to_string()), top);
        let entries = BTreeMap::from([self.top.clone()]);
        let root = Dir { safe: entries.clone(), current: entries, ..Dir::default() };
        left.insert(ROOT, Node::Dir(root));
        self.nodes = left;
        at_stake
    }

    fn settle(
        &mut self,
        id: NodeId,
        loss: &Loss,
        random: &mut Rng,
        left: &mut HashMap<NodeId, Node>,
        at_stake: &mut u64,
    ) -> NodeId {
        let new = self.next;
        self.next += 1;
        let node = match self.nodes.get(&id) {
            Some(Node::File(file)) => {
                *at_stake += file.dirty_count() as u64;
                Node::File(file.settle(loss, random))
            }
            Some(Node::Dir(dir)) => {
                *at_stake += dir.changes.len() as u64;
                let mut entries = dir.settle(loss, random);
                for node in entries.values_mut() {
                    *node = self.settle(*node, loss, random, left, at_stake);
                }
                Node::Dir(Dir { safe: entries.clone(), current: entries, ..Dir::default() })
            }
            None => Node::Dir(Dir::default()),
        };
        left.insert(new, node);
        new
    }

    fn dir_mut(&mut self, id: NodeId) -> Result<&mut Dir, i32> {
        match self.nodes.get_mut(&id) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) => Err(libc::ENOTDIR),
            None => Err(libc::EIO),
        }
    }

    /// Copies everything into a real directory, for looking at it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn save(&self, target: &std::path::Path) -> std::io::Result<()> {
        self.save_dir(self.top.1, target)
    }

    fn save_dir(&self, id: NodeId, target: &std::path::Path) -> std::io::Result<()> {
        std::fs::create_dir_all(target)?;
        let Some(Node::Dir(dir)) = self.nodes.get(&id) else { return Ok(()) };
        for (name, id) in &dir.current {
            match self.nodes.get(id) {
                Some(Node::File(file)) => std::fs::write(target.join(name), file.bytes())?,
                _ => self.save_dir(*id, &target.join(name))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that are left after power losses, of what `act` did in the top directory.
    fn left(act: impl Fn(&mut Image, NodeId)) -> std::collections::HashSet<Vec<OsString>> {
        let mut random = Rng::with_seed(1);
        (0..500)
            .map(|_| {
                let mut image = Image::new();
                let top = image.top.1;
                act(&mut image, top);
                image.lose_power(&mut random);
                image.dir(image.top.1).unwrap().current.keys().cloned().collect()
            })
            .collect()
    }

    fn make(image: &mut Image, parent: NodeId, name: &str) -> NodeId {
        image.make(parent, OsStr::new(name), Node::File(File::default())).unwrap()
    }

    fn names(names: &[&str]) -> Vec<OsString> {
        names.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_name_is_durable_once_its_directory_is_synced() {
        let found = left(|image, top| {
            let file = make(image, top, "a");
            image.file(file).unwrap().sync();
            make(image, top, "b");
        });
        assert!(
            [&[] as &[_], &["a"], &["b"], &["a", "b"]]
                .iter()
                .all(|some| found.contains(&names(some)))
        );
        let found = left(|image, top| {
            make(image, top, "a");
            image.sync_dir(top).unwrap();
            make(image, top, "b");
        });
        assert_eq!(found, [names(&["a"]), names(&["a", "b"])].into());
    }

    #[test]
    fn a_rename_happens_or_not() {
        let found = left(|image, top| {
            make(image, top, "a");
            image.sync_dir(top).unwrap();
            image.rename(top, OsStr::new("a"), OsStr::new("b")).unwrap();
        });
        assert_eq!(found, [names(&["a"]), names(&["b"])].into());
    }

    #[test]
    fn nobody_reaches_what_was_there_before() {
        let mut image = Image::new();
        let top = image.top.1;
        let file = make(&mut image, top, "a");
        image.sync_dir(top).unwrap();
        image.lose_power(&mut Rng::with_seed(1));
        assert_eq!(image.file(file).err(), Some(libc::EIO));
        assert_eq!(image.dir(top).err(), Some(libc::EIO));
        assert_eq!(image.dir(ROOT).unwrap().current.len(), 1);
    }
}
