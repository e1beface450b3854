//! A directory in memory that watches how much is read at once.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tallymark::log::disk::{Files, LogFile};

/// File names and what is in them.
pub type Disk = BTreeMap<String, Vec<u8>>;

/// What may be asked of an empty file: a segment's header.
const LEAST_READ_BYTES: usize = 28;

#[derive(Debug, Default)]
struct MemoryFile(Mutex<Vec<u8>>);

/// The directory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<BTreeMap<String, Arc<MemoryFile>>>>);

impl Memory {
    pub fn with(disk: Disk) -> Self {
        let file = |bytes| Arc::new(MemoryFile(Mutex::new(bytes)));
        let files = disk.into_iter().map(|(name, bytes)| (name, file(bytes)));
        Self(Arc::new(Mutex::new(files.collect())))
    }

    /// A copy: what is on the disk if everything stops now.
    pub fn contents(&self) -> Disk {
        let copy = |(name, file): (&String, &Arc<MemoryFile>)| (name.clone(), file.bytes().clone());
        self.files().iter().map(copy).collect()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Arc<MemoryFile>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryFile {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let mut files = self.files();
        if files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(MemoryFile::default());
        files.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let file = self.files().get(name).cloned();
        Ok(file.ok_or(io::ErrorKind::NotFound)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.files().remove(name);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn unlock(&self) {}
}

impl LogFile for MemoryFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.bytes();
        // The buffer was allocated already: a length in the file must not have decided how large.
        let most = bytes.len().max(LEAST_READ_BYTES);
        assert!(
            buffer.len() <= most,
            "{} bytes for a file of {}",
            buffer.len(),
            bytes.len()
        );
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let from = &bytes[from.min(bytes.len())..];
        let len = from.len().min(buffer.len());
        buffer[..len].copy_from_slice(&from[..len]);
        Ok(len)
    }

    fn write_at(&self, new: &[u8], offset: u64) -> io::Result<usize> {
        let mut bytes = self.bytes();
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let end = from + new.len();
        let len = bytes.len().max(end);
        bytes.resize(len, 0);
        bytes[from..end].copy_from_slice(new);
        Ok(new.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.bytes().resize(len, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
