//! Numbers and columns of numbers as bytes: what facts and segments are made of.
//!
//! A number is a varint (LEB128): seven bits a byte, the lowest first, the highest bit says that
//! another follows. A column is a tag, its length in bytes, and its numbers:
//!
//! | tag | numbers |
//! |---|---|
//! | 0 | one varint that all of them are |
//! | 1 | a varint each |
//! | 2 | the difference to the one before, zigzag, a varint each |
//!
//! How many there are is known from elsewhere. The length lets a reader pass over a column that it does
//! not need.

/// Bytes that are not what was written: of another version, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rollup's bytes cannot be read: {0}")]
pub struct Unreadable(pub &'static str);

const SAME: u8 = 0;
const PLAIN: u8 = 1;
const DELTA: u8 = 2;

/// Adds a number.
pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Adds a column, in the shortest of its forms that is cheap to find.
pub fn put_column(out: &mut Vec<u8>, numbers: impl ExactSizeIterator<Item = u64> + Clone) {
    let mut iter = numbers.clone();
    let Some(first) = iter.next() else {
        out.extend([SAME, 1, 0]);
        return;
    };
    if iter.all(|number| number == first) {
        let mut one = Vec::with_capacity(10);
        put_number(&mut one, first);
        put_framed(out, SAME, &one);
        return;
    }
    let mut plain = Vec::with_capacity(numbers.len() * 2);
    for number in numbers {
        put_number(&mut plain, number);
    }
    put_framed(out, PLAIN, &plain);
}

/// Adds a column whose numbers grow, or change little.
pub fn put_delta_column(out: &mut Vec<u8>, numbers: impl ExactSizeIterator<Item = i64>) {
    let mut deltas = Vec::with_capacity(numbers.len() * 3);
    let mut last = 0_i64;
    for number in numbers {
        let delta = number.wrapping_sub(last);
        put_number(&mut deltas, ((delta << 1) ^ (delta >> 63)) as u64);
        last = number;
    }
    put_framed(out, DELTA, &deltas);
}

fn put_framed(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads numbers and columns, in the order in which they were added.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    /// A reader of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, Unreadable> {
        let (first, rest) = self.0.split_first().ok_or(Unreadable("it ends early"))?;
        self.0 = rest;
        Ok(*first)
    }

    /// The next number.
    #[inline]
    pub fn number(&mut self) -> Result<u64, Unreadable> {
        // Most are below 128.
        if let [byte, rest @ ..] = self.0
            && *byte < 0x80
        {
            self.0 = rest;
            return Ok(u64::from(*byte));
        }
        self.long_number()
    }

    fn long_number(&mut self) -> Result<u64, Unreadable> {
        let mut number = 0_u64;
        for (place, byte) in self.0.iter().enumerate().take(10) {
            number |= u64::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                self.0 = &self.0[place + 1..];
                return Ok(number);
            }
        }
        Err(Unreadable("a number does not end"))
    }

    /// The next number, which must be a `u32`.
    #[inline]
    pub fn small(&mut self) -> Result<u32, Unreadable> {
        u32::try_from(self.number()?).map_err(|_| Unreadable("a number is too large"))
    }

    /// The next number as a count of things of at least one byte each.
    pub fn count(&mut self) -> Result<usize, Unreadable> {
        usize::try_from(self.number()?).map_err(|_| Unreadable("a number is too large"))
    }

    /// The next `length` bytes.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (bytes, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(Unreadable("it ends early"))?;
        self.0 = rest;
        Ok(bytes)
    }

    /// The next column.
    pub fn column(&mut self) -> Result<Column<'a>, Unreadable> {
        let tag = self.byte()?;
        let length = self.count()?;
        let mut source = Source(self.bytes(length)?);
        let same = match tag {
            SAME => source.number()?,
            PLAIN | DELTA => 0,
            _ => return Err(Unreadable("a column of an unknown kind")),
        };
        Ok(Column {
            tag,
            same,
            last: 0,
            source,
        })
    }
}

/// Reads a column.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a> {
    tag: u8,
    same: u64,
    last: i64,
    source: Source<'a>,
}

impl Column<'_> {
    /// The number that all of them are, if they are written so.
    pub fn constant(&self) -> Option<u64> {
        (self.tag == SAME).then_some(self.same)
    }

    /// The next number.
    #[inline]
    pub fn number(&mut self) -> Result<u64, Unreadable> {
        match self.tag {
            SAME => Ok(self.same),
            PLAIN => self.source.number(),
            _ => {
                let zigzag = self.source.number()?;
                let delta = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
                self.last = self.last.wrapping_add(delta);
                Ok(self.last as u64)
            }
        }
    }

    /// The next number, which must be a `u32`.
    #[inline]
    pub fn small(&mut self) -> Result<u32, Unreadable> {
        u32::try_from(self.number()?).map_err(|_| Unreadable("a number is too large"))
    }

    /// The next `count` numbers, which must be `u32`.
    pub fn smalls(mut self, count: usize) -> Result<Vec<u32>, Unreadable> {
        if let Some(same) = self.constant() {
            let same = u32::try_from(same).map_err(|_| Unreadable("a number is too large"))?;
            return Ok(vec![same; count]);
        }
        // A number takes a byte at least, so no more memory is taken than the bytes justify.
        let mut numbers = Vec::with_capacity(count.min(self.source.0.len()));
        for _ in 0..count {
            numbers.push(self.small()?);
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn columns_come_back(
            numbers in prop::collection::vec(prop_oneof![0_u64..3, any::<u64>()], 0..50),
            grown in prop::collection::vec(any::<i64>(), 0..50),
        ) {
            let mut bytes = Vec::new();
            put_column(&mut bytes, numbers.iter().copied());
            put_delta_column(&mut bytes, grown.iter().copied());
            let mut source = Source::new(&bytes);
            let mut column = source.column().unwrap();
            for number in numbers {
                prop_assert_eq!(column.number().unwrap(), number);
            }
            let mut column = source.column().unwrap();
            for number in grown {
                prop_assert_eq!(column.number().unwrap() as i64, number);
            }
            prop_assert!(source.is_empty());
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut source = Source::new(&bytes);
            while let Ok(mut column) = source.column() {
                for _ in 0..80 {
                    let _any = column.number();
                }
            }
        }
    }
}
