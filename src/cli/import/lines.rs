//! Lines of a file or of stdin, compressed or not, in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

/// The longest line that is read; longer ones are skipped whole. Every event that the server takes
/// fits, even with each character of its text escaped.
pub const MAX_LINE_BYTES: usize = 256 << 10;

const BUFFER_BYTES: usize = 256 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One line, without its line break.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Its bytes.
    Bytes(&'a [u8]),
    /// It was longer than [`MAX_LINE_BYTES`].
    TooLong,
}

/// Reads lines.
pub struct Lines {
    reader: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    bytes_read: Arc<AtomicU64>,
    is_first: bool,
}

impl Lines {
    /// Opens a file, or stdin for `-`.
    ///
    /// # Errors
    /// Those of opening and of the first read.
    pub fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            Self::new(io::stdin())
        } else {
            Self::new(File::open(path)?)
        }
    }

    /// Reads lines out of `input`, which may be gzip: its first two bytes say so.
    ///
    /// # Errors
    /// Those of reading the first two bytes.
    pub fn new(input: impl Read + Send + 'static) -> io::Result<Self> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let mut input = CountedRead {
            input,
            bytes_read: Arc::clone(&bytes_read),
        };
        // A pipe may hand over its first byte alone, so this reads on until there are two.
        let mut magic = Vec::with_capacity(GZIP_MAGIC.len());
        (&mut input)
            .take(GZIP_MAGIC.len() as u64)
            .read_to_end(&mut magic)?;
        let is_gzip = magic == GZIP_MAGIC;

        let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(magic).chain(input));
        let reader: Box<dyn BufRead + Send> = if is_gzip {
            // Multi: rotated logs are often several gzip members one after the other.
            Box::new(BufReader::with_capacity(
                BUFFER_BYTES,
                MultiGzDecoder::new(whole),
            ))
        } else {
            Box::new(whole)
        };
        Ok(Self {
            reader,
            line: Vec::new(),
            bytes_read,
            is_first: true,
        })
    }

    /// Bytes taken from the input so far, as they lie on disk.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// The next line, or `None` at the end. A last line without a line break is a line.
    ///
    /// # Errors
    /// Those of the input; a gzip file that was cut off is `UnexpectedEof`.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut is_too_long = false;
        let mut is_end = true;
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                break;
            }
            is_end = false;
            let line_break = buffer.iter().position(|byte| *byte == b'\n');
            let part = &buffer[..line_break.unwrap_or(buffer.len())];
            if self.line.len() + part.len() > MAX_LINE_BYTES {
                is_too_long = true;
                self.line.clear();
            }
            if !is_too_long {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(line_break.is_some());
            self.reader.consume(used);
            if line_break.is_some() {
                break;
            }
        }
        let is_first = std::mem::take(&mut self.is_first);
        if is_end {
            return Ok(None);
        }
        if is_too_long {
            return Ok(Some(Line::TooLong));
        }
        let mut line = self.line.as_slice();
        line = line.strip_suffix(b"\r").unwrap_or(line);
        if is_first {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        Ok(Some(Line::Bytes(line)))
    }
}

struct CountedRead<R> {
    input: R,
    bytes_read: Arc<AtomicU64>,
}

impl<R: Read> Read for CountedRead<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buf)?;
        self.bytes_read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    /// Hands its bytes over one at a time, as a slow pipe does.
    struct Trickle(Cursor<Vec<u8>>);

    impl Read for Trickle {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let end = buf.len().min(1);
            self.0.read(&mut buf[..end])
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("write");
        encoder.finish().expect("finish")
    }

    fn read_all(bytes: Vec<u8>) -> io::Result<Vec<Option<Vec<u8>>>> {
        let mut lines = Lines::new(Trickle(Cursor::new(bytes)))?;
        let mut all = Vec::new();
        while let Some(line) = lines.next_line()? {
            all.push(match line {
                Line::Bytes(bytes) => Some(bytes.to_vec()),
                Line::TooLong => None,
            });
        }
        Ok(all)
    }

    #[test]
    fn plain_and_gzip_give_the_same_lines() {
        let text = b"\xef\xbb\xbfone\r\n\ntwo \xff\n\x1f\x8blast".to_vec();
        let wanted = [&b"one"[..], b"", b"two \xff", b"\x1f\x8blast"].map(|l| Some(l.to_vec()));
        assert_eq!(read_all(text.clone()).expect("plain"), wanted);
        assert_eq!(read_all(gzip(&text)).expect("gzip"), wanted);

        let members = [gzip(&text[..9]), gzip(&text[9..])].concat();
        assert_eq!(read_all(members).expect("members"), wanted);
    }

    #[test]
    fn short_inputs() {
        assert!(read_all(Vec::new()).expect("empty").is_empty());
        assert_eq!(
            read_all(b"a".to_vec()).expect("one byte"),
            [Some(b"a".to_vec())]
        );
        assert_eq!(
            read_all(b"\n".to_vec()).expect("line break"),
            [Some(Vec::new())]
        );
    }

    #[test]
    fn long_lines_are_skipped_whole() {
        let mut text = vec![b'a'; MAX_LINE_BYTES];
        text.extend_from_slice(b"\nnext\n");
        text.extend(vec![b'b'; MAX_LINE_BYTES + 1]);
        text.extend_from_slice(b"\nafter\n");
        text.extend(vec![b'c'; 3 * MAX_LINE_BYTES]);
        let lines = read_all(text).expect("read");
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[0].as_ref().map(Vec::len), Some(MAX_LINE_BYTES));
        assert_eq!(lines[1], Some(b"next".to_vec()));
        assert_eq!(lines[2], None);
        assert_eq!(lines[3], Some(b"after".to_vec()));
        assert_eq!(lines[4], None);
    }

    #[test]
    fn a_cut_gzip_file_is_an_error() {
        let mut bytes = gzip(&b"line\n".repeat(1000));
        bytes.truncate(bytes.len() - 9);
        let error = read_all(bytes).expect_err("cut");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn counts_bytes_on_disk() {
        let bytes = gzip(&b"line\n".repeat(1000));
        let size = bytes.len() as u64;
        let mut lines = Lines::new(Cursor::new(bytes)).expect("open");
        while lines.next_line().expect("read").is_some() {}
        assert_eq!(lines.bytes_read(), size);
    }
}
