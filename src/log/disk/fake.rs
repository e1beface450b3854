//! A file system in memory that tells durable from volatile, and fails on request.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::files::{Files, LogFile};

/// A torn write is torn at multiples of this.
const PAGE: usize = 16;

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Debug, Clone, Default)]
struct Contents {
    volatile: Vec<u8>,
    durable: Vec<u8>,
    /// Not in `durable` yet.
    dirty: Vec<Change>,
}

/// What goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Writes do a part of what they are asked.
    pub short_writes: bool,
    /// Bytes until there is no space.
    pub space: Option<usize>,
    /// The fsync of a file, or of the directory, after so many good ones fails, once.
    pub fail_sync_after: Option<u32>,
    /// The machine stops after so many changing calls.
    pub stop_after: Option<u32>,
}

#[derive(Debug)]
struct Disk {
    files: Vec<Contents>,
    live: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    /// Creations (`Some`) and deletions that were not fsynced.
    dirty: Vec<(String, Option<usize>)>,
    faults: Faults,
    rng: StdRng,
    /// Handles of an earlier boot do nothing.
    boot: u32,
}

/// The directory.
#[derive(Debug, Clone)]
pub struct FakeFiles {
    disk: Arc<Mutex<Disk>>,
    boot: u32,
}

#[derive(Debug)]
struct FakeFile {
    files: FakeFiles,
    id: usize,
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, new) => {
            let end = offset + new.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[*offset..end].copy_from_slice(new);
        }
        Change::Truncate(len) => bytes.truncate(*len),
    }
}

impl FakeFiles {
    pub fn new(seed: u64) -> Self {
        let disk = Disk {
            files: Vec::new(),
            live: BTreeMap::new(),
            durable: BTreeMap::new(),
            dirty: Vec::new(),
            faults: Faults::default(),
            rng: StdRng::seed_from_u64(seed),
            boot: 0,
        };
        Self {
            disk: Arc::new(Mutex::new(disk)),
            boot: 0,
        }
    }

    /// A directory with these files, all durable.
    pub fn with(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let fake = Self::new(0);
        for (name, bytes) in files {
            let mut disk = fake.disk.lock().unwrap();
            let id = disk.files.len();
            disk.files.push(Contents {
                volatile: bytes.clone(),
                durable: bytes,
                dirty: Vec::new(),
            });
            disk.live.insert(name.clone(), id);
            disk.durable.insert(name, id);
        }
        fake
    }

    /// The files as a program sees them.
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let disk = self.disk.lock().unwrap();
        let content =
            |(name, id): (&String, &usize)| (name.clone(), disk.files[*id].volatile.clone());
        disk.live.iter().map(content).collect()
    }

    pub fn set_faults(&self, faults: Faults) {
        self.disk.lock().unwrap().faults = faults;
    }

    pub fn faults(&self) -> Faults {
        self.disk.lock().unwrap().faults.clone()
    }

    /// The program was killed: what it wrote is still in the page cache.
    pub fn restart(&self) -> Self {
        let mut disk = self.disk.lock().unwrap();
        disk.boot += 1;
        disk.faults = Faults::default();
        Self {
            disk: Arc::clone(&self.disk),
            boot: disk.boot,
        }
    }

    /// The machine lost power: of what was not fsynced, any part may be there.
    pub fn crash(&self) -> Self {
        let restarted = self.restart();
        let mut disk = self.disk.lock().unwrap();
        let Disk { files, rng, .. } = &mut *disk;
        for file in files.iter_mut() {
            let chance = [0.0, 0.5, 1.0][rng.random_range(0..3)];
            for change in std::mem::take(&mut file.dirty) {
                match change {
                    Change::Write(offset, bytes) => {
                        for (at, page) in bytes.chunks(PAGE).enumerate() {
                            if rng.random_bool(chance) {
                                let change = Change::Write(offset + at * PAGE, page.to_vec());
                                apply(&mut file.durable, &change);
                            }
                        }
                    }
                    truncate if rng.random_bool(chance) => apply(&mut file.durable, &truncate),
                    Change::Truncate(_) => {}
                }
            }
            file.volatile = file.durable.clone();
        }
        for (name, id) in std::mem::take(&mut disk.dirty) {
            // Once one change of a name is lost, later ones of that name may still be there.
            if disk.rng.random_bool(0.5) {
                match id {
                    Some(id) => disk.durable.insert(name, id),
                    None => disk.durable.remove(&name),
                };
            }
        }
        disk.live = disk.durable.clone();
        drop(disk);
        restarted
    }

    fn running(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.disk.lock().unwrap();
        if disk.boot != self.boot || disk.faults.stop_after == Some(0) {
            return Err(io::Error::other("the machine stopped"));
        }
        Ok(disk)
    }

    fn changing(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let mut disk = self.running()?;
        if let Some(left) = &mut disk.faults.stop_after {
            *left -= 1;
        }
        Ok(disk)
    }

    fn syncing(&self) -> io::Result<(MutexGuard<'_, Disk>, bool)> {
        let mut disk = self.changing()?;
        let fails = disk.faults.fail_sync_after == Some(0);
        disk.faults.fail_sync_after = match disk.faults.fail_sync_after {
            Some(0) | None => None,
            Some(left) => Some(left - 1),
        };
        Ok((disk, fails))
    }

    fn handle(&self, id: usize) -> Arc<dyn LogFile> {
        Arc::new(FakeFile {
            files: self.clone(),
            id,
        })
    }
}

impl Files for FakeFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.running()?.live.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let mut disk = self.changing()?;
        if disk.live.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if disk.faults.space == Some(0) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let id = disk.files.len();
        disk.files.push(Contents::default());
        disk.live.insert(name.to_owned(), id);
        disk.dirty.push((name.to_owned(), Some(id)));
        Ok(self.handle(id))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let id = self.running()?.live.get(name).copied();
        Ok(self.handle(id.ok_or(io::ErrorKind::NotFound)?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.changing()?;
        disk.live.remove(name).ok_or(io::ErrorKind::NotFound)?;
        disk.dirty.push((name.to_owned(), None));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let (mut disk, fails) = self.syncing()?;
        let dirty = std::mem::take(&mut disk.dirty);
        if fails {
            // Unlike pages, what happened to names is not forgotten: a file system's journal has it.
            disk.dirty = dirty;
            return Err(io::Error::other("fsync of the directory failed"));
        }
        disk.durable = disk.live.clone();
        Ok(())
    }

    fn unlock(&self) {}
}

impl LogFile for FakeFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.files.running()?.files[self.id].volatile.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let disk = self.files.running()?;
        let bytes = &disk.files[self.id].volatile;
        let from = &bytes[bytes.len().min(offset as usize)..];
        let len = from.len().min(buffer.len());
        buffer[..len].copy_from_slice(&from[..len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.files.changing()?;
        let mut len = bytes.len();
        if disk.faults.short_writes {
            len = disk.rng.random_range(1..=len);
        }
        if let Some(space) = &mut disk.faults.space {
            len = len.min(*space);
            if len == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *space -= len;
        }
        let change = Change::Write(offset as usize, bytes[..len].to_vec());
        let file = &mut disk.files[self.id];
        apply(&mut file.volatile, &change);
        file.dirty.push(change);
        Ok(len)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut disk = self.files.changing()?;
        let file = &mut disk.files[self.id];
        let change = Change::Truncate(len as usize);
        apply(&mut file.volatile, &change);
        file.dirty.push(change);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let (mut disk, fails) = self.files.syncing()?;
        let file = &mut disk.files[self.id];
        let dirty = std::mem::take(&mut file.dirty);
        if fails {
            // The pages are clean now and still readable, and never get to the disk.
            return Err(io::Error::other("fsync failed"));
        }
        for change in &dirty {
            apply(&mut file.durable, change);
        }
        Ok(())
    }
}
