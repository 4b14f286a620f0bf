//! A disk in memory that forgets, at a crash, what was not synced: bytes of files down to what was, torn anywhere between, and each changed name
//! of a directory for itself, so that creations, renames and removals come out in any order. For tests.

use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stdx::fs::{Entry, File, Fs, Mapped, Open};
use stdx::rand::Rand;

#[derive(Debug, Default)]
struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
}

type Node = Arc<Mutex<Inode>>;

#[derive(Clone, Debug)]
enum Name {
    File(Node),
    Dir,
}

#[derive(Debug, Default)]
struct Disk {
    now: BTreeMap<PathBuf, Name>,
    synced: BTreeMap<PathBuf, Name>,
}

#[derive(Debug, Default)]
pub struct CrashFs {
    disk: Mutex<Disk>,
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

impl CrashFs {
    /// The power goes: what is left is one of the states that the disk could be in.
    pub fn crash(&self, rand: &mut Rand) {
        let disk = &mut *self.disk.lock();
        let names: BTreeSet<PathBuf> = disk.now.keys().chain(disk.synced.keys()).cloned().collect();
        let mut left: BTreeMap<PathBuf, Name> = BTreeMap::new();
        for path in names {
            let (now, synced) = (disk.now.get(&path), disk.synced.get(&path));
            let name = if same(now, synced) || rand.chance(0.5) { now } else { synced };
            // Without its directory a file is gone.
            let parent_is_there = path.parent().is_none_or(|p| p.parent().is_none() || left.contains_key(p));
            if let Some(name) = name.filter(|_| parent_is_there) {
                left.insert(path, name.clone());
            }
        }
        for name in left.values() {
            let Name::File(node) = name else { continue };
            let mut node = node.lock();
            if node.now.starts_with(&node.synced) {
                let len = node.synced.len() as u64 + rand.below((node.now.len() - node.synced.len()) as u64 + 1);
                let synced = node.synced.len();
                node.now.truncate(len as usize);
                // Sometimes the file has its length but not its bytes.
                if rand.chance(0.2) && node.now.len() > synced {
                    let from = synced + rand.below((node.now.len() - synced) as u64) as usize;
                    node.now[from..].fill(0);
                }
            } else if rand.chance(0.5) {
                node.now = node.synced.clone();
            }
            node.synced = node.now.clone();
        }
        disk.synced = left.clone();
        disk.now = left;
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        match self.disk.lock().now.get(path) {
            Some(Name::File(n)) => Ok(Arc::clone(n)),
            _ => Err(missing(path)),
        }
    }
}

#[derive(Debug)]
struct CrashFile {
    node: Node,
}

impl File for CrashFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.node.lock().now.extend_from_slice(bytes);
        Ok(())
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut n = self.node.lock();
        let end = offset as usize + bytes.len();
        if n.now.len() < end {
            n.now.resize(end, 0);
        }
        n.now[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.node.lock();
        let from = (offset as usize).min(n.now.len());
        let len = buf.len().min(n.now.len() - from);
        buf[..len].copy_from_slice(&n.now[from..from + len]);
        Ok(len)
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.node.lock().now.len() as u64)
    }
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.node.lock().now.resize(len as usize, 0);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        let mut n = self.node.lock();
        n.synced = n.now.clone();
        Ok(())
    }
    fn try_clone(&self) -> io::Result<Box<dyn File>> {
        Ok(Box::new(CrashFile { node: Arc::clone(&self.node) }))
    }
}

impl Fs for CrashFs {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn File>> {
        let mut disk = self.disk.lock();
        let known = match disk.now.get(path) {
            Some(Name::File(n)) => Some(Arc::clone(n)),
            Some(Name::Dir) => return Err(io::Error::from(io::ErrorKind::IsADirectory)),
            None => None,
        };
        let node = match (how, known) {
            (Open::CreateNew, Some(_)) => return Err(io::Error::from(io::ErrorKind::AlreadyExists)),
            (Open::Truncate, Some(n)) => {
                n.lock().now.clear();
                n
            }
            (_, Some(n)) => n,
            (Open::Read | Open::Update, None) => return Err(missing(path)),
            (Open::Append | Open::Truncate | Open::CreateNew, None) => {
                if path.parent().is_some_and(|p| !disk.now.contains_key(p)) {
                    return Err(missing(path));
                }
                let n = Node::default();
                disk.now.insert(path.to_path_buf(), Name::File(Arc::clone(&n)));
                n
            }
        };
        Ok(Box::new(CrashFile { node }))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(self.node(path)?.lock().now.clone())
    }
    fn map(&self, path: &Path) -> io::Result<Mapped> {
        Ok(Mapped::new(self.read(path)?))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let disk = self.disk.lock();
        if !disk.now.contains_key(dir) {
            return Err(missing(dir));
        }
        let mut out = Vec::new();
        for (path, name) in disk.now.iter().filter(|(p, _)| p.parent() == Some(dir)) {
            let (is_dir, len) = match name {
                Name::Dir => (true, 0),
                Name::File(n) => (false, n.lock().now.len() as u64),
            };
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            out.push(Entry { name, is_dir, len });
        }
        Ok(out)
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let mut path = PathBuf::new();
        for part in dir.components() {
            path.push(part);
            disk.now.entry(path.clone()).or_insert(Name::Dir);
        }
        Ok(())
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.lock().now.remove(path).map(|_| ()).ok_or_else(|| missing(path))
    }
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        if !disk.now.contains_key(dir) {
            return Err(missing(dir));
        }
        disk.now.retain(|p, _| !p.starts_with(dir));
        Ok(())
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let disk = &mut *self.disk.lock();
        // What a directory holds moves with it, synced or not.
        for map in [&mut disk.now, &mut disk.synced] {
            let moved: Vec<PathBuf> = map.keys().filter(|p| p.starts_with(from) && *p != from).cloned().collect();
            for path in moved {
                let inner = path.strip_prefix(from).expect("begins with it").to_path_buf();
                if let Some(name) = map.remove(&path) {
                    map.insert(to.join(inner), name);
                }
            }
        }
        let name = disk.now.remove(from).ok_or_else(|| missing(from))?;
        if matches!(name, Name::Dir) {
            // Journalling file systems move a directory as a whole.
            if let Some(d) = disk.synced.remove(from) {
                disk.synced.insert(to.to_path_buf(), d);
            }
        }
        disk.now.insert(to.to_path_buf(), name);
        Ok(())
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let n = self.node(from)?;
        self.disk.lock().now.insert(to.to_path_buf(), Name::File(n));
        Ok(())
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let disk = &mut *self.disk.lock();
        disk.synced.retain(|p, _| p.parent() != Some(dir));
        for (path, name) in disk.now.iter().filter(|(p, _)| p.parent() == Some(dir)) {
            disk.synced.insert(path.clone(), name.clone());
        }
        Ok(())
    }
    fn exists(&self, path: &Path) -> bool {
        self.disk.lock().now.contains_key(path)
    }
    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(self.node(path)?.lock().now.len() as u64)
    }
    fn modified_ms(&self, _path: &Path) -> io::Result<i64> {
        Ok(0)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open(path, Open::Append)
    }
}
