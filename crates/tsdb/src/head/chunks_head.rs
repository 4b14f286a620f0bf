//! Full chunks of the head, out of the heap: files under `chunks_head/` in Prometheus' format, read back as mapped memory.
//!
//! A file is on the disk as a whole before the next one is begun: so what a crash leaves is always a beginning of what was written, and no series
//! has a hole between two of its chunks.
//!
//! Not a source of truth. Everything in here is in the log too until it is in a block; when a file is found damaged at the start it is cut
//! there and what lies behind is dropped, because replay leaves out what a chunk already holds and must not leave a hole.
//!
//! ```text
//! | magic 0130BC91 | version 1 | 3 zero bytes | then chunks:
//! | series ref 8 | min time 8 | max time 8 | encoding 1 | length uvarint | data | CRC-32C 4 |
//! ```

use crate::chunkenc::{self, ChunkEncoding};
use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use stdx::crc::crc32c;
use stdx::fs::{File, Mapped, Open, SharedFs};
use stdx::varint::{put_uvarint, uvarint};

const MAGIC: u32 = 0x0130_bc91;
const HEADER: [u8; 8] = [0x01, 0x30, 0xbc, 0x91, 1, 0, 0, 0];
/// Prometheus' size of one file.
pub const MAX_FILE_BYTES: u64 = 128 << 20;
/// So much is gathered before it is written.
const BUFFER_BYTES: usize = 512 << 10;
/// Set in the encoding byte of chunks of late samples, which only Prometheus puts here.
const LATE_MASK: u8 = 0x80;

/// Where a chunk is: number of the file and offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At(u64);

impl At {
    fn new(seq: u32, offset: u64) -> Self {
        At(u64::from(seq) << 32 | offset)
    }

    fn seq(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn offset(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}

/// One chunk as found by [`HeadChunks::open`].
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub id: u64,
    pub at: At,
    pub mint_ms: i64,
    pub maxt_ms: i64,
    pub encoding: ChunkEncoding,
}

/// A chunk's bytes, which stay readable while this lives.
pub struct ChunkBytes {
    from: From,
    pub encoding: ChunkEncoding,
}

enum From {
    Map { map: Mapped, start: usize, end: usize },
    Copy(Vec<u8>),
}

impl ChunkBytes {
    pub fn bytes(&self) -> &[u8] {
        match &self.from {
            From::Map { map, start, end } => &map[*start..*end],
            From::Copy(v) => v,
        }
    }
}

pub struct HeadChunks {
    fs: SharedFs,
    dir: PathBuf,
    writer: Mutex<Writer>,
    files: RwLock<BTreeMap<u32, FileInfo>>,
    /// Mappings of files by number, for readers, who take no lock to find them.
    maps: ArcSwap<Vec<(u32, Mapped)>>,
}

struct FileInfo {
    map: Option<Mapped>,
    /// Time of the newest sample in it.
    maxt_ms: i64,
}

#[derive(Default)]
struct Writer {
    /// 0 before the first file.
    seq: u32,
    file: Option<Box<dyn File>>,
    /// Offset in the file of the first byte of `buf`; what lies before is written.
    written: u64,
    buf: Vec<u8>,
    /// A sync failed.
    stuck: bool,
}

impl HeadChunks {
    /// Opens the directory, made when missing, and tells `found` every chunk in order of writing. The second value says what was damaged.
    pub fn open(fs: SharedFs, dir: &Path, mut found: impl FnMut(Found)) -> io::Result<(Self, Option<String>)> {
        fs.create_dir_all(dir)?;
        let mut files = BTreeMap::new();
        let mut damage = None;
        let mut seqs: Vec<u32> = fs.list(dir)?.iter().filter(|e| !e.is_dir).filter_map(|e| e.name.parse().ok()).collect();
        seqs.sort_unstable();
        for (i, seq) in seqs.iter().enumerate() {
            let path = file_path(dir, *seq);
            if damage.is_some() || (i > 0 && seqs[i - 1] + 1 != *seq) {
                damage.get_or_insert_with(|| format!("{}: the file before it is missing", path.display()));
                fs.remove_file(&path)?;
                continue;
            }
            let map = fs.map(&path)?;
            let mut maxt_ms = i64::MIN;
            let (good, why) = scan(&map, *seq, &mut |f, late| {
                maxt_ms = maxt_ms.max(f.maxt_ms);
                if !late {
                    found(f);
                }
            });
            if let Some(why) = why {
                damage = Some(format!("{}: {why} at offset {good}", path.display()));
                drop(map);
                if good <= HEADER.len() as u64 {
                    fs.remove_file(&path)?;
                } else {
                    let mut f = fs.open(&path, Open::Update)?;
                    f.set_len(good)?;
                    f.sync_data()?;
                    files.insert(*seq, FileInfo { map: None, maxt_ms });
                }
            } else {
                files.insert(*seq, FileInfo { map: Some(map), maxt_ms });
            }
        }
        // A process that was killed left it to the kernel.
        let seq = files.keys().last().copied().unwrap_or(0);
        if seq > 0 {
            fs.open(&file_path(dir, seq), Open::Update)?.sync_data()?;
        }
        fs.sync_dir(dir)?;
        let writer = Mutex::new(Writer { seq, ..Writer::default() });
        let maps = files.iter().filter_map(|(seq, f): (&u32, &FileInfo)| f.map.clone().map(|m| (*seq, m))).collect();
        Ok((HeadChunks { fs, dir: dir.to_path_buf(), writer, files: RwLock::new(files), maps: ArcSwap::from_pointee(maps) }, damage))
    }

    /// Puts a chunk behind the others. It is readable at once. When the disk refuses, it stays in memory until a later write takes it.
    pub fn append(&self, id: u64, mint_ms: i64, maxt_ms: i64, encoding: ChunkEncoding, bytes: &[u8]) -> At {
        let mut w = self.writer.lock();
        if w.seq == 0 || w.file.is_none() && w.buf.is_empty() || w.written + (w.buf.len() + bytes.len() + 40) as u64 > MAX_FILE_BYTES {
            self.next_file(&mut w);
        }
        let start = w.buf.len();
        let at = At::new(w.seq, w.written + start as u64);
        w.buf.extend_from_slice(&id.to_be_bytes());
        w.buf.extend_from_slice(&mint_ms.to_be_bytes());
        w.buf.extend_from_slice(&maxt_ms.to_be_bytes());
        w.buf.push(encoding as u8);
        put_uvarint(&mut w.buf, bytes.len() as u64);
        w.buf.extend_from_slice(bytes);
        let crc = crc32c(&w.buf[start..]);
        w.buf.extend_from_slice(&crc.to_be_bytes());
        {
            let mut files = self.files.write();
            let info = files.entry(w.seq).or_insert(FileInfo { map: None, maxt_ms });
            info.maxt_ms = info.maxt_ms.max(maxt_ms);
        }
        if w.buf.len() >= BUFFER_BYTES
            && let Err(e) = self.flush_locked(&mut w)
        {
            tracing::warn!(error = %e, "write full chunks; they stay in memory");
        }
        at
    }

    /// Begins a new file, unless the old one could not be written out.
    fn next_file(&self, w: &mut Writer) {
        if w.stuck {
            return;
        }
        if let Err(e) = self.flush_locked(w) {
            tracing::warn!(error = %e, "write full chunks; they stay in memory");
            return;
        }
        if let Err(e) = self.finish_file(w) {
            // What it held may be gone: nothing can stand behind it.
            tracing::error!(error = %e, "sync full chunks; they stay in memory until the store is opened again");
            w.stuck = true;
            return;
        }
        w.seq += 1;
        w.written = 0;
        w.buf.extend_from_slice(&HEADER);
    }

    /// Makes the file that is being written durable, with its name, and leaves it.
    fn finish_file(&self, w: &mut Writer) -> io::Result<()> {
        if let Some(f) = &w.file {
            f.sync_data()?;
            self.fs.sync_dir(&self.dir)?;
            w.file = None;
        }
        Ok(())
    }

    fn flush_locked(&self, w: &mut Writer) -> io::Result<()> {
        if w.buf.is_empty() {
            return Ok(());
        }
        if w.file.is_none() {
            w.file = Some(self.fs.open(&file_path(&self.dir, w.seq), Open::Truncate)?);
        }
        let Writer { file: Some(file), buf, written, .. } = w else { return Ok(()) };
        // At a given place, so that a half-done write is simply done again.
        file.write_at(*written, buf)?;
        *written += buf.len() as u64;
        buf.clear();
        Ok(())
    }

    /// Writes out what is gathered.
    pub fn flush(&self) -> io::Result<()> {
        self.flush_locked(&mut self.writer.lock())
    }

    /// The chunk at a place that [`HeadChunks::append`] or [`HeadChunks::open`] told. Its checksum is checked.
    pub fn read(&self, at: At) -> Result<ChunkBytes, String> {
        self.read_with_start(at).map(|(_, c)| c)
    }

    /// Shows the bytes of the chunk at a place to `use_it`: like [`HeadChunks::read`], but without a lock or a count of users in the usual case.
    pub fn with<T>(&self, at: At, use_it: impl FnOnce(ChunkEncoding, &[u8]) -> T) -> Result<T, String> {
        let maps = self.maps.load();
        if let Some((_, map)) = maps.iter().find(|(seq, map)| *seq == at.seq() && map.len() > at.offset()) {
            let c = cut(map, at.offset()).map_err(|why| failed(at, &why))?;
            return Ok(use_it(c.encoding, &map[c.start..c.end]));
        }
        let chunk = self.read(at)?;
        if let From::Map { map, .. } = &chunk.from {
            self.remember(at.seq(), map);
        }
        Ok(use_it(chunk.encoding, chunk.bytes()))
    }

    /// Lets readers find a mapping, unless its file has gone meanwhile.
    fn remember(&self, seq: u32, map: &Mapped) {
        let files = self.files.read();
        if files.contains_key(&seq) {
            self.maps.rcu(|maps| {
                let mut new: Vec<(u32, Mapped)> = maps.iter().filter(|(s, _)| *s != seq).cloned().collect();
                new.push((seq, map.clone()));
                new
            });
        }
    }

    /// The same, with the time of its first sample.
    pub fn read_with_start(&self, at: At) -> Result<(i64, ChunkBytes), String> {
        let fail = |why: &str| failed(at, why);
        let map = self.files.read().get(&at.seq()).and_then(|f| f.map.clone());
        if let Some(map) = map.filter(|m| m.len() > at.offset()) {
            return cut(&map, at.offset()).map(|c| (c.mint_ms, c.of(map.clone()))).map_err(|e| fail(&e));
        }
        let w = self.writer.lock();
        // Before the first file of this life is begun, the number is that of one that is there already.
        if at.seq() == w.seq && !w.buf.is_empty() && at.offset() as u64 >= w.written {
            let c = cut(&w.buf, at.offset() - w.written as usize).map_err(|e| fail(&e))?;
            return Ok((c.mint_ms, ChunkBytes { from: From::Copy(w.buf[c.start..c.end].to_vec()), encoding: c.encoding }));
        }
        drop(w);
        let mut files = self.files.write();
        let info = files.get_mut(&at.seq()).ok_or_else(|| fail("no such file"))?;
        let map = self.fs.map(&file_path(&self.dir, at.seq())).map_err(|e| fail(&e.to_string()))?;
        info.map = Some(map.clone());
        drop(files);
        cut(&map, at.offset()).map(|c| (c.mint_ms, c.of(map.clone()))).map_err(|e| fail(&e))
    }

    /// Removes files, oldest first, that hold nothing at or after `mint_ms`.
    pub fn truncate(&self, mint_ms: i64) -> io::Result<()> {
        let mut w = self.writer.lock();
        // What is written from here on is younger than what may go: do not let it hold the old file.
        if w.written + w.buf.len() as u64 > HEADER.len() as u64 {
            self.flush_locked(&mut w)?;
            self.finish_file(&mut w)?;
        }
        let current = if w.file.is_none() && w.buf.is_empty() { u32::MAX } else { w.seq };
        let mut files = self.files.write();
        while let Some((seq, info)) = files.first_key_value() {
            let seq = *seq;
            if seq >= current || info.maxt_ms >= mint_ms {
                break;
            }
            files.remove(&seq);
            self.maps.rcu(|maps| maps.iter().filter(|(s, _)| *s != seq).cloned().collect::<Vec<_>>());
            self.fs.remove_file(&file_path(&self.dir, seq))?;
        }
        Ok(())
    }

    pub fn size_bytes(&self) -> u64 {
        let list = self.fs.list(&self.dir).unwrap_or_default();
        list.iter().map(|e| e.len).sum::<u64>() + self.writer.lock().buf.len() as u64
    }

    pub fn close(&self) -> io::Result<()> {
        let mut w = self.writer.lock();
        self.flush_locked(&mut w)?;
        match &w.file {
            Some(f) => f.sync_data(),
            None => Ok(()),
        }
    }
}

fn failed(at: At, why: &str) -> String {
    format!("head chunk file {:06} at {}: {why}", at.seq(), at.offset())
}

fn file_path(dir: &Path, seq: u32) -> PathBuf {
    dir.join(format!("{seq:06}"))
}

struct Cut {
    id: u64,
    mint_ms: i64,
    maxt_ms: i64,
    encoding: ChunkEncoding,
    late: bool,
    start: usize,
    end: usize,
}

impl Cut {
    fn of(self, map: Mapped) -> ChunkBytes {
        ChunkBytes { from: From::Map { map, start: self.start, end: self.end }, encoding: self.encoding }
    }
}

/// Finds the bounds of the chunk at an offset and checks it.
fn cut(b: &[u8], at: usize) -> Result<Cut, String> {
    let short = || "chunk is cut short".to_string();
    let head: &[u8; 25] = b.get(at..at + 25).and_then(|h| h.try_into().ok()).ok_or_else(short)?;
    let word = |i: usize| u64::from_be_bytes(head[i..i + 8].try_into().expect("eight bytes"));
    let (len, n) = uvarint(&b[at + 25..]).ok_or_else(short)?;
    let start = at + 25 + n;
    let end = usize::try_from(len).ok().and_then(|l| start.checked_add(l)).filter(|e| *e + 4 <= b.len()).ok_or_else(short)?;
    if crc32c(&b[at..end]).to_be_bytes() != b[end..end + 4] {
        return Err("checksum does not match".to_string());
    }
    let encoding = chunkenc::encoding_from_byte(head[24] & !LATE_MASK).map_err(|e| e.to_string())?;
    Ok(Cut { id: word(0), mint_ms: word(8) as i64, maxt_ms: word(16) as i64, encoding, late: head[24] & LATE_MASK != 0, start, end })
}

/// Walks a file. Returns where the good part ends, and why there if it is not the end of the file.
fn scan(b: &[u8], seq: u32, each: &mut dyn FnMut(Found, bool)) -> (u64, Option<String>) {
    if b.len() < HEADER.len() || b[..4] != MAGIC.to_be_bytes() || b[4] != 1 {
        return (0, Some("not a head chunk file".to_string()));
    }
    let mut at = HEADER.len();
    while at < b.len() {
        // Prometheus makes files large first and fills them: zeros are the end.
        if b[at..].iter().take(24).all(|x| *x == 0) {
            let rest = &b[at..];
            return if rest.iter().all(|x| *x == 0) { (at as u64, None) } else { (at as u64, Some("hole".to_string())) };
        }
        match cut(b, at) {
            Ok(c) => {
                each(Found { id: c.id, at: At::new(seq, at as u64), mint_ms: c.mint_ms, maxt_ms: c.maxt_ms, encoding: c.encoding }, c.late);
                at = c.end + 4;
            }
            Err(why) => return (at as u64, Some(why)),
        }
    }
    (at as u64, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stdx::fs::RealFs;

    fn open(dir: &Path) -> (HeadChunks, Vec<Found>, Option<String>) {
        let mut found = Vec::new();
        let (c, damage) = HeadChunks::open(RealFs::shared(), dir, |f| found.push(f)).expect("open");
        (c, found, damage)
    }

    fn write(c: &HeadChunks, n: u64) -> Vec<At> {
        (0..n).map(|i| c.append(i + 1, i as i64, i as i64 + 9, ChunkEncoding::Xor, &vec![i as u8; 100 + i as usize])).collect()
    }

    #[test]
    fn chunks_are_read_from_the_buffer_the_file_and_after_reopening() {
        let dir = tempfile::tempdir().expect("dir");
        let (c, ..) = open(dir.path());
        let at = write(&c, 50);
        let check = |c: &HeadChunks| {
            for (i, a) in at.iter().enumerate() {
                assert_eq!(c.read(*a).expect("read").bytes(), vec![i as u8; 100 + i]);
                assert_eq!(c.with(*a, |_, bytes| bytes.to_vec()).expect("read"), vec![i as u8; 100 + i]);
            }
        };
        check(&c);
        c.flush().expect("flush");
        check(&c);
        let more = c.append(99, 5, 6, ChunkEncoding::Xor, b"more");
        assert_eq!(c.read(more).expect("read").bytes(), b"more");
        c.close().expect("close");
        let (c, found, damage) = open(dir.path());
        assert_eq!((found.len(), found[3].id, found[3].at, damage), (51, 4, at[3], None));
        check(&c);
        assert!(c.append(100, 7, 8, ChunkEncoding::Xor, b"next file").seq() == 2);
        c.truncate(7).expect("truncate");
        assert!(dir.path().join("000001").exists(), "the first file holds times up to 58");
        c.truncate(100).expect("truncate");
        assert!(!dir.path().join("000001").exists());
        assert!(c.with(at[0], |_, _| ()).expect_err("gone").contains("no such file"));
    }

    /// The example of docs/formats/head_chunks.md.
    #[test]
    fn bytes_are_as_documented() {
        let dir = tempfile::tempdir().expect("dir");
        let (c, ..) = open(dir.path());
        let mut chunk = crate::chunkenc::xor::XorAppender::new();
        chunk.append(1000, 1.0);
        c.append(1, 1000, 1000, ChunkEncoding::Xor, chunk.bytes());
        c.close().expect("close");
        assert_eq!(std::fs::read(dir.path().join("000001")).expect("read"), crate::tombstones::tests::picture("head_chunks.md"));
    }

    #[test]
    fn behind_damage_everything_is_dropped() {
        let dir = tempfile::tempdir().expect("dir");
        let (c, ..) = open(dir.path());
        let at = write(&c, 10);
        c.close().expect("close");
        let path = dir.path().join("000001");
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[at[6].offset() + 60] ^= 1;
        RealFs::shared().open(&path, Open::Truncate).and_then(|mut f| f.append(&bytes)).expect("write");
        RealFs::shared().open(&dir.path().join("000002"), Open::Truncate).and_then(|mut f| f.append(&HEADER)).expect("write");
        let (_, found, damage) = open(dir.path());
        assert_eq!(found.len(), 6);
        assert!(damage.expect("damage").contains("checksum"));
        let (_, found, damage) = open(dir.path());
        assert_eq!((found.len(), damage), (6, None));
        assert!(!dir.path().join("000002").exists());
    }
}
