//! The file system as the log sees it: small enough to be replaced by one that fails on purpose.

use std::fmt::Debug;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory of log files, locked for as long as this lives.
pub trait Files: Debug + Send + Sync + 'static {
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Creates a file; it is an error if there is one.
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;
    /// Opens a file that exists.
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;
    /// Deletes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations and deletions durable.
    fn sync(&self) -> io::Result<()>;
    /// Lets another opener have the directory, once.
    fn unlock(&self);
}

/// An open log file.
pub trait LogFile: Debug + Send + Sync {
    /// Its length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Reads some bytes; none at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes some bytes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Cuts the file.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Makes contents and length durable.
    fn sync(&self) -> io::Result<()>;
}

/// Reads until the buffer is full or the file ends; returns how much.
pub(super) fn read_full(file: &dyn LogFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all the bytes, however many calls that takes.
pub(super) fn write_all(file: &dyn LogFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(&bytes[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A real directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    handle: File,
    lock: File,
}

impl Directory {
    /// Creates the directory if need be, and locks it. `WouldBlock` if it is locked already.
    pub fn open(path: &Path) -> io::Result<Self> {
        let missing = path.ancestors().take_while(|level| !level.is_dir()).count();
        std::fs::create_dir_all(path)?;
        // The name of every new directory is in the one above it.
        for above in path.ancestors().skip(1).take(missing) {
            let above = match above.as_os_str().is_empty() {
                true => Path::new("."),
                false => above,
            };
            File::open(above)?.sync_all()?;
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))?;
        lock.try_lock()?;
        let directory = Self {
            path: path.to_owned(),
            handle: File::open(path)?,
            lock,
        };
        // Somebody may have deleted the file under a server that runs. Where directories cannot be
        // locked, the file has to do.
        if let Err(TryLockError::WouldBlock) = directory.handle.try_lock() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(directory)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.unlock();
    }
}

impl Files for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "lock" {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.path.join(name))?;
        Ok(Arc::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path.join(name))?;
        Ok(Arc::new(file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    /// Explicitly: a forked child may still hold the descriptor, and with it the lock.
    fn unlock(&self) {
        for locked in [&self.handle, &self.lock] {
            let _unlocked_at_exit = locked.unlock();
        }
    }
}

impl LogFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(self, bytes, offset)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    /// `fdatasync`, which includes a changed length.
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
