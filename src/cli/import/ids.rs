//! Ids that come out the same whenever the same file is read.
//!
//! An event's id is made from the bytes of its line, not from the file's name or the options, so that
//! importing a file again, compressed, renamed or from stdin, adds nothing. Identical lines of one
//! file (the same request twice within a second) are told apart by counting them.

use std::collections::HashMap;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Distinct lines remembered at least, in order to count identical ones; about 40 MB at most.
const REMEMBERED_LINES: usize = 500_000;

/// Makes the ids of the events of one file.
///
/// Remembers lines in two generations, so that memory is bounded on any file: a line that is identical
/// to one more than half a million distinct lines earlier counts as the same event. Lines carry their
/// time, so only a file that repeats a whole part of itself has such lines.
#[derive(Debug)]
pub struct EventIds {
    current: HashMap<u64, u32>,
    previous: HashMap<u64, u32>,
    generation_lines: usize,
}

impl Default for EventIds {
    fn default() -> Self {
        Self::remembering(REMEMBERED_LINES)
    }
}

impl EventIds {
    fn remembering(generation_lines: usize) -> Self {
        Self {
            current: HashMap::new(),
            previous: HashMap::new(),
            generation_lines,
        }
    }

    /// The id of the event that the next line holds.
    ///
    /// A UUIDv7 of the event's time whose other bits are a hash, so that events of about the same time
    /// lie together in the index of ids.
    pub fn next(&mut self, line: &[u8], time: Timestamp) -> Uuid {
        let digest: [u8; 32] = Sha256::digest(line).into();
        let occurrence = self.occurrence(first_u64(&digest));
        let seed: [u8; 32] = Sha256::new()
            .chain_update(b"tallymark import 1")
            .chain_update(digest)
            .chain_update(occurrence.to_le_bytes())
            .finalize()
            .into();
        let bits = std::array::from_fn(|index| seed[index]);
        // Times before 1970 are refused by the server; their ids only have to be stable.
        let millis = u64::try_from(time.as_millisecond()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &bits).into_uuid()
    }

    /// How often this line came before. Two lines of one hash only make a counter start later, which
    /// is as stable as any other start.
    fn occurrence(&mut self, line_hash: u64) -> u32 {
        let known = self
            .current
            .get(&line_hash)
            .or_else(|| self.previous.get(&line_hash));
        let occurrence = known.copied().unwrap_or(0);
        self.current.insert(line_hash, occurrence.saturating_add(1));
        if self.current.len() >= self.generation_lines {
            self.previous = std::mem::take(&mut self.current);
        }
        occurrence
    }
}

fn first_u64(digest: &[u8; 32]) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|index| digest[index]))
}

/// The id of a visitor of whom a log knows address and user agent only.
pub fn visitor_id(salt: &str, address: &str, user_agent: &str) -> String {
    let mut hash = Sha256::new();
    for part in [salt, address, user_agent] {
        // With lengths, so that no two different triples are the same bytes.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut id = String::from("log-");
    for byte in &digest[..16] {
        id.push_str(&format!("{byte:02x}"));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time() -> Timestamp {
        "2015-05-17T10:05:03Z".parse().expect("time")
    }

    #[test]
    fn are_stable_and_carry_the_time() {
        let id = EventIds::default().next(b"line", time());
        // Pinned: another value would import every file of the past once more.
        assert_eq!(id.to_string(), "014d6155-8098-7568-8f80-a6e325446e04");
        assert_eq!(id.get_version_num(), 7);
        let (seconds, nanos) = id.get_timestamp().expect("v7").to_unix();
        assert_eq!((seconds as i64, nanos), (time().as_second(), 0));
        assert_eq!(
            visitor_id("tallymark", "1.2.3.4", "Mozilla"),
            "log-1972f6208eff76af03e29d5687a12cd8"
        );
        assert_ne!(visitor_id("a", "b", "c"), visitor_id("ab", "", "c"));
    }

    #[test]
    fn identical_lines_are_different_events_of_stable_ids() {
        let lines: [&[u8]; 5] = [b"a", b"b", b"a", b"a", b"b"];
        let read = || {
            let mut ids = EventIds::default();
            lines.map(|line| ids.next(line, time()))
        };
        let first = read();
        assert_eq!(first, read());
        let distinct: std::collections::HashSet<_> = first.into_iter().collect();
        assert_eq!(distinct.len(), lines.len());
    }

    #[test]
    fn memory_is_bounded_and_neighbours_are_still_told_apart() {
        let mut ids = EventIds::remembering(10);
        let mut seen = std::collections::HashSet::new();
        for number in 0..1000 {
            let line = format!("line {}", number / 2);
            assert!(seen.insert(ids.next(line.as_bytes(), time())), "{line}");
            assert!(ids.current.len() + ids.previous.len() <= 20);
        }
    }
}
