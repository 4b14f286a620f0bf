//! A disk in memory that forgets, at a power cut, what was not synced: bytes of files down to what was, torn anywhere between, and each changed name
//! of a directory for itself, so that creations, renames and removals come out in any order. It can be full, fail to sync, and fail for good
//! in the middle of anything. For tests and simulations.
//!
//! [`Disk`] is the disk, [`Mount`] one process' view of it. A process that is killed leaves what it wrote (the kernel has it); call
//! [`Disk::power_cut`] for more. Either way its mount is cut off, so that what is left of it cannot write any more.

use super::{Entry, File, Fs, Mapped, Open};
use crate::clock::SharedClock;
use crate::crc::crc32c;
use crate::rand::Rand;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a power cut leaves of a file's bytes.
#[derive(Debug)]
enum Synced {
    /// So many of the bytes that are there now.
    Prefix(usize),
    /// Others than are there now.
    Bytes(Vec<u8>),
}

#[derive(Debug)]
struct Inode {
    now: Vec<u8>,
    synced: Synced,
    modified_ms: i64,
}

impl Default for Inode {
    fn default() -> Self {
        Inode { now: Vec::new(), synced: Synced::Prefix(0), modified_ms: 0 }
    }
}

impl Inode {
    /// Before the bytes from `offset` on change.
    fn will_change(&mut self, offset: usize) {
        if let Synced::Prefix(len) = self.synced
            && offset < len
        {
            self.synced = Synced::Bytes(self.now[..len].to_vec());
        }
    }

    fn power_cut(&mut self, rand: &mut Rand) {
        match &mut self.synced {
            Synced::Prefix(synced) => {
                let (synced, unsynced) = (*synced, (self.now.len() - *synced) as u64);
                self.now.truncate(synced + rand.below(unsynced + 1) as usize);
                // Sometimes the file has its length but not its bytes.
                if rand.chance(0.2) && self.now.len() > synced {
                    let from = synced + rand.below((self.now.len() - synced) as u64) as usize;
                    self.now[from..].fill(0);
                }
            }
            Synced::Bytes(synced) => {
                if rand.chance(0.5) {
                    self.now = std::mem::take(synced);
                }
            }
        }
        self.synced = Synced::Prefix(self.now.len());
    }
}

type Node = Arc<Mutex<Inode>>;

#[derive(Clone, Debug)]
enum Name {
    File(Node),
    Dir,
}

#[derive(Debug, Default)]
struct Tree {
    now: BTreeMap<PathBuf, Name>,
    synced: BTreeMap<PathBuf, Name>,
}

/// Syncs that a disk says it did and did not: to see that a test would find one that is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lie {
    #[default]
    None,
    /// Of files whose path has this in it.
    Files(&'static str),
    /// Of directories whose path ends like this.
    Dirs(&'static str),
}

#[derive(Debug, Default)]
pub struct Disk {
    lie: Mutex<Lie>,
    tree: Mutex<Tree>,
    /// Of all that was ever changed, in order: two runs that agree in it did the same.
    digest: AtomicU64,
    full: AtomicBool,
    sync_fails: AtomicBool,
    syncs: AtomicU64,
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, path.display().to_string())
}

fn same(a: Option<&Name>, b: Option<&Name>) -> bool {
    match (a, b) {
        (None, None) | (Some(Name::Dir), Some(Name::Dir)) => true,
        (Some(Name::File(a)), Some(Name::File(b))) => Arc::ptr_eq(a, b),
        _ => false,
    }
}

impl Disk {
    /// A process begins to use the disk.
    pub fn mount(self: &Arc<Self>, clock: SharedClock) -> Arc<Mount> {
        Arc::new(Mount {
            state: Arc::new(MountState { disk: Arc::clone(self), clock, steps_left: AtomicU64::new(u64::MAX), cut: AtomicBool::new(false) }),
        })
    }

    /// The power goes: what is left is one of the states that the disk could be in.
    pub fn power_cut(&self, rand: &mut Rand) {
        let tree = &mut *self.tree.lock();
        let names: BTreeSet<PathBuf> = tree.now.keys().chain(tree.synced.keys()).cloned().collect();
        let mut left: BTreeMap<PathBuf, Name> = BTreeMap::new();
        for path in names {
            let (now, synced) = (tree.now.get(&path), tree.synced.get(&path));
            let name = if same(now, synced) || rand.chance(0.5) { now } else { synced };
            // Without its directory a file is gone.
            let parent_is_there = path.parent().is_none_or(|p| p.parent().is_none() || left.contains_key(p));
            if let Some(name) = name.filter(|_| parent_is_there) {
                left.insert(path, name.clone());
            }
        }
        for name in left.values() {
            if let Name::File(node) = name {
                node.lock().power_cut(rand);
            }
        }
        tree.synced = left.clone();
        tree.now = left;
    }

    /// From now on it lies about some syncs.
    pub fn set_lie(&self, lie: Lie) {
        *self.lie.lock() = lie;
    }

    /// Nothing can be written while it is full.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Every sync fails meanwhile.
    pub fn set_sync_fails(&self, fails: bool) {
        self.sync_fails.store(fails, Ordering::Relaxed);
    }

    /// Syncs of files since the last call.
    pub fn take_syncs(&self) -> u64 {
        self.syncs.swap(0, Ordering::Relaxed)
    }

    pub fn digest(&self) -> u64 {
        self.digest.load(Ordering::Relaxed)
    }

    pub fn size_bytes(&self) -> u64 {
        let files = |n: &Name| if let Name::File(n) = n { n.lock().now.len() as u64 } else { 0 };
        self.tree.lock().now.values().map(files).sum()
    }

    fn note(&self, what: u64, bytes: &[u8]) {
        let mix = (self.digest.load(Ordering::Relaxed) ^ what ^ u64::from(crc32c(bytes))).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        self.digest.store(mix, Ordering::Relaxed);
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        match self.tree.lock().now.get(path) {
            Some(Name::File(n)) => Ok(Arc::clone(n)),
            _ => Err(missing(path)),
        }
    }
}

#[derive(Debug)]
struct MountState {
    disk: Arc<Disk>,
    clock: SharedClock,
    /// Changes that still work.
    steps_left: AtomicU64,
    cut: AtomicBool,
}

/// One process' view of a [`Disk`].
#[derive(Debug)]
pub struct Mount {
    state: Arc<MountState>,
}

impl Mount {
    /// Nothing works through this mount from now on.
    pub fn cut_off(&self) {
        self.state.cut.store(true, Ordering::Relaxed);
    }

    /// The mount is cut off in front of the change after so many more: the process dies in the middle of something.
    pub fn cut_off_after(&self, steps: u64) {
        self.state.steps_left.store(steps, Ordering::Relaxed);
    }

    pub fn is_cut_off(&self) -> bool {
        self.state.cut.load(Ordering::Relaxed)
    }
}

impl MountState {
    fn reads(&self) -> io::Result<()> {
        if self.cut.load(Ordering::Relaxed) { Err(io::Error::other("the disk is gone")) } else { Ok(()) }
    }

    /// One step that changes the disk.
    fn changes(&self, what: u64, bytes: &[u8]) -> io::Result<()> {
        self.reads()?;
        let left = self.steps_left.load(Ordering::Relaxed);
        if left == 0 {
            self.cut.store(true, Ordering::Relaxed);
            return self.reads();
        }
        self.steps_left.store(if left == u64::MAX { left } else { left - 1 }, Ordering::Relaxed);
        self.disk.note(what, bytes);
        Ok(())
    }

    fn writes(&self, what: u64, bytes: &[u8]) -> io::Result<()> {
        self.changes(what, bytes)?;
        if self.disk.full.load(Ordering::Relaxed) { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }

    fn names(&self, what: u64, path: &Path) -> io::Result<()> {
        self.changes(what, path.as_os_str().as_encoded_bytes())
    }
}

#[derive(Debug)]
struct OpenFile {
    node: Node,
    path: PathBuf,
    state: Arc<MountState>,
}

impl File for OpenFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.state.writes(1, bytes)?;
        let mut n = self.node.lock();
        n.now.extend_from_slice(bytes);
        n.modified_ms = self.state.clock.now_ms();
        Ok(())
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.state.writes(2, bytes)?;
        let mut n = self.node.lock();
        let (from, end) = (offset as usize, offset as usize + bytes.len());
        n.will_change(from);
        if n.now.len() < end {
            n.now.resize(end, 0);
        }
        n.now[from..end].copy_from_slice(bytes);
        n.modified_ms = self.state.clock.now_ms();
        Ok(())
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.state.reads()?;
        let n = self.node.lock();
        let from = (offset as usize).min(n.now.len());
        let len = buf.len().min(n.now.len() - from);
        buf[..len].copy_from_slice(&n.now[from..from + len]);
        Ok(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.state.reads()?;
        Ok(self.node.lock().now.len() as u64)
    }
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.state.changes(3, &len.to_le_bytes())?;
        let mut n = self.node.lock();
        n.will_change(len as usize);
        n.now.resize(len as usize, 0);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        self.state.changes(4, &[])?;
        self.state.disk.syncs.fetch_add(1, Ordering::Relaxed);
        if self.state.disk.sync_fails.load(Ordering::Relaxed) {
            return Err(io::Error::other("input/output error"));
        }
        if matches!(*self.state.disk.lie.lock(), Lie::Files(part) if self.path.to_string_lossy().contains(part)) {
            return Ok(());
        }
        let mut n = self.node.lock();
        n.synced = Synced::Prefix(n.now.len());
        Ok(())
    }
    fn try_clone(&self) -> io::Result<Box<dyn File>> {
        Ok(Box::new(OpenFile { node: Arc::clone(&self.node), path: self.path.clone(), state: Arc::clone(&self.state) }))
    }
}

impl Fs for Mount {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn File>> {
        let s = &self.state;
        s.reads()?;
        let mut tree = s.disk.tree.lock();
        let known = match tree.now.get(path) {
            Some(Name::File(n)) => Some(Arc::clone(n)),
            Some(Name::Dir) => return Err(io::Error::from(io::ErrorKind::IsADirectory)),
            None => None,
        };
        let node = match (how, known) {
            (Open::CreateNew, Some(_)) => return Err(io::Error::from(io::ErrorKind::AlreadyExists)),
            (Open::Truncate, Some(n)) => {
                s.names(5, path)?;
                let mut inode = n.lock();
                inode.will_change(0);
                inode.now.clear();
                drop(inode);
                n
            }
            (_, Some(n)) => n,
            (Open::Read | Open::Update, None) => return Err(missing(path)),
            (Open::Append | Open::Truncate | Open::CreateNew, None) => {
                if path.parent().is_some_and(|p| !tree.now.contains_key(p)) {
                    return Err(missing(path));
                }
                s.writes(6, path.as_os_str().as_encoded_bytes())?;
                let n = Node::default();
                n.lock().modified_ms = s.clock.now_ms();
                tree.now.insert(path.to_path_buf(), Name::File(Arc::clone(&n)));
                n
            }
        };
        Ok(Box::new(OpenFile { node, path: path.to_path_buf(), state: Arc::clone(s) }))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.state.reads()?;
        Ok(self.state.disk.node(path)?.lock().now.clone())
    }
    fn map(&self, path: &Path) -> io::Result<Mapped> {
        Ok(Mapped::new(self.read(path)?))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.state.reads()?;
        let tree = self.state.disk.tree.lock();
        if !tree.now.contains_key(dir) {
            return Err(missing(dir));
        }
        let below = tree.now.range(dir.to_path_buf()..).take_while(|(p, _)| p.starts_with(dir));
        let mut out = Vec::new();
        for (path, name) in below.filter(|(p, _)| p.parent() == Some(dir)) {
            let (is_dir, len) = match name {
                Name::Dir => (true, 0),
                Name::File(n) => (false, n.lock().now.len() as u64),
            };
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            out.push(Entry { name, is_dir, len });
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.state.names(7, dir)?;
        let mut tree = self.state.disk.tree.lock();
        let mut path = PathBuf::new();
        for part in dir.components() {
            path.push(part);
            tree.now.entry(path.clone()).or_insert(Name::Dir);
        }
        Ok(())
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.state.names(8, path)?;
        self.state.disk.tree.lock().now.remove(path).map(|_| ()).ok_or_else(|| missing(path))
    }
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.state.names(9, dir)?;
        let mut tree = self.state.disk.tree.lock();
        if !tree.now.contains_key(dir) {
            return Err(missing(dir));
        }
        tree.now.retain(|p, _| !p.starts_with(dir));
        Ok(())
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state.names(10, to)?;
        let tree = &mut *self.state.disk.tree.lock();
        // What a directory holds moves with it, synced or not.
        for map in [&mut tree.now, &mut tree.synced] {
            let moved: Vec<PathBuf> = map.keys().filter(|p| p.starts_with(from) && *p != from).cloned().collect();
            for path in moved {
                let inner = path.strip_prefix(from).expect("begins with it").to_path_buf();
                if let Some(name) = map.remove(&path) {
                    map.insert(to.join(inner), name);
                }
            }
        }
        let name = tree.now.remove(from).ok_or_else(|| missing(from))?;
        if matches!(name, Name::Dir) {
            // Journalling file systems move a directory as a whole.
            if let Some(d) = tree.synced.remove(from) {
                tree.synced.insert(to.to_path_buf(), d);
            }
        }
        tree.now.insert(to.to_path_buf(), name);
        Ok(())
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state.names(11, to)?;
        let n = self.state.disk.node(from)?;
        self.state.disk.tree.lock().now.insert(to.to_path_buf(), Name::File(n));
        Ok(())
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.state.names(12, dir)?;
        if self.state.disk.sync_fails.load(Ordering::Relaxed) {
            return Err(io::Error::other("input/output error"));
        }
        if matches!(*self.state.disk.lie.lock(), Lie::Dirs(end) if dir.to_string_lossy().ends_with(end)) {
            return Ok(());
        }
        let tree = &mut *self.state.disk.tree.lock();
        tree.synced.retain(|p, _| p.parent() != Some(dir));
        for (path, name) in tree.now.iter().filter(|(p, _)| p.parent() == Some(dir)) {
            tree.synced.insert(path.clone(), name.clone());
        }
        Ok(())
    }
    fn exists(&self, path: &Path) -> bool {
        self.state.disk.tree.lock().now.contains_key(path)
    }
    fn len(&self, path: &Path) -> io::Result<u64> {
        self.state.reads()?;
        Ok(self.state.disk.node(path)?.lock().now.len() as u64)
    }
    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        self.state.reads()?;
        Ok(self.state.disk.node(path)?.lock().modified_ms)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open(path, Open::Append)
    }
}
