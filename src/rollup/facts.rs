//! Facts: the events of a batch, by column, as numbers only. What the loaders add to the rollups.
//!
//! A loader writes a row of facts a property and day in the transaction that stores the events, so that
//! rollups are neither behind the events nor ahead of them. The compactor makes segments of facts;
//! until then questions read them too.
//!
//! Bytes ([`super::codec`]): version · count · times in microseconds since 1970 (delta) · visitors ·
//! flags · durations · scroll depths · number of further columns · those, each with its name. A column
//! of lists is two: lengths, then all numbers. A reader finds by name what it needs; a column that it
//! does not find was not written, because the loader did not know yet that a rollup needs it.

use crate::load::dictionary::Kind;

use super::codec::{Source, Unreadable, put_column, put_delta_column, put_number};
use super::spec::Column;

const VERSION: u8 = 1;

/// Flag of an event that is a page view.
pub const PAGE_VIEW: u8 = 1;
/// Flag of an event that a bot sent.
pub const BOT: u8 = 2;

/// Events by column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Microseconds since 1970.
    pub times_us: Vec<i64>,
    /// Numbers of the visitors.
    pub visitors: Vec<u32>,
    /// [`PAGE_VIEW`] and [`BOT`].
    pub flags: Vec<u8>,
    /// Milliseconds and one; 0 where there is no duration.
    pub durations: Vec<u32>,
    /// Hundredths of a percent and one; 0 where there is no scroll depth.
    pub scrolls: Vec<u32>,
    /// The other columns.
    pub columns: Vec<(Column, Values)>,
}

/// The numbers of a column; 0 is "none".
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// One an event.
    One(Vec<u32>),
    /// A list an event.
    List {
        /// Where each event's list ends in `numbers`.
        ends: Vec<u32>,
        /// The lists, one after the other.
        numbers: Vec<u32>,
    },
}

impl Values {
    /// None yet; lists where events have lists.
    pub fn new(column: &Column) -> Self {
        match column {
            Column::Text(Kind::Category | Kind::Tag) => Self::List {
                ends: Vec::new(),
                numbers: Vec::new(),
            },
            _ => Self::One(Vec::new()),
        }
    }

    /// The numbers of the event at `place`; one that is 0 where there is none.
    pub fn of(&self, place: usize) -> &[u32] {
        match self {
            Self::One(numbers) => std::slice::from_ref(&numbers[place]),
            Self::List { ends, numbers } => {
                let start = place.checked_sub(1).map_or(0, |before| ends[before]);
                match &numbers[start as usize..ends[place] as usize] {
                    [] => &[0],
                    list => list,
                }
            }
        }
    }

    fn append(&mut self, other: &Self) {
        match (self, other) {
            (Self::One(own), Self::One(others)) => own.extend_from_slice(others),
            (
                Self::List { ends, numbers },
                Self::List {
                    ends: other_ends,
                    numbers: others,
                },
            ) => {
                let shift = numbers.len() as u32;
                ends.extend(other_ends.iter().map(|end| end + shift));
                numbers.extend_from_slice(others);
            }
            _ => unreachable!("a column's name says which it is"),
        }
    }
}

/// A number of the database's as facts have it. None is negative there.
pub fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

/// Numbers of an event that are no column of their own name.
#[derive(Debug, Clone, Copy)]
pub struct Measures {
    /// Microseconds since 1970.
    pub time_us: i64,
    /// Number of the visitor.
    pub visitor_no: i32,
    /// Whether it is a page view.
    pub is_page_view: bool,
    /// Whether a bot sent it.
    pub is_bot: bool,
    /// Milliseconds.
    pub duration_ms: Option<i32>,
    /// Hundredths of a percent.
    pub scroll_bp: Option<i16>,
}

impl Facts {
    /// No events yet, with these columns.
    pub fn new(columns: &[Column]) -> Self {
        Self {
            columns: columns
                .iter()
                .map(|column| (column.clone(), Values::new(column)))
                .collect(),
            ..Self::default()
        }
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.times_us.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.times_us.is_empty()
    }

    /// Adds an event; its numbers are to be added to every column.
    pub fn push(&mut self, measures: Measures) {
        self.times_us.push(measures.time_us);
        self.visitors.push(unsigned(measures.visitor_no));
        let page_view = if measures.is_page_view { PAGE_VIEW } else { 0 };
        let bot = if measures.is_bot { BOT } else { 0 };
        self.flags.push(page_view | bot);
        let one_more = |number: Option<i32>| number.map_or(0, |number| unsigned(number) + 1);
        self.durations.push(one_more(measures.duration_ms));
        self.scrolls
            .push(one_more(measures.scroll_bp.map(i32::from)));
    }

    /// Adds the events of others, as far as both have the same columns; the columns that either does
    /// not have are gone.
    pub fn append(&mut self, other: &Self) {
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        self.times_us.extend_from_slice(&other.times_us);
        self.visitors.extend_from_slice(&other.visitors);
        self.flags.extend_from_slice(&other.flags);
        self.durations.extend_from_slice(&other.durations);
        self.scrolls.extend_from_slice(&other.scrolls);
        self.columns
            .retain_mut(|(column, values)| match other.column(column) {
                Some(others) => {
                    values.append(others);
                    true
                }
                None => false,
            });
    }

    /// The events whose places these are.
    pub fn select(&self, places: &[usize]) -> Self {
        let pick = |numbers: &[u32]| places.iter().map(|place| numbers[*place]).collect();
        let columns = self.columns.iter().map(|(column, values)| {
            let values = match values {
                Values::One(numbers) => Values::One(pick(numbers)),
                Values::List { ends, numbers } => {
                    let (mut own_ends, mut own) = (Vec::new(), Vec::new());
                    for place in places {
                        let start = place.checked_sub(1).map_or(0, |before| ends[before]);
                        own.extend_from_slice(&numbers[start as usize..ends[*place] as usize]);
                        own_ends.push(own.len() as u32);
                    }
                    Values::List {
                        ends: own_ends,
                        numbers: own,
                    }
                }
            };
            (column.clone(), values)
        });
        Self {
            times_us: places.iter().map(|place| self.times_us[*place]).collect(),
            visitors: pick(&self.visitors),
            flags: places.iter().map(|place| self.flags[*place]).collect(),
            durations: pick(&self.durations),
            scrolls: pick(&self.scrolls),
            columns: columns.collect(),
        }
    }

    /// The times of the first and the last event; `None` if there is none.
    pub fn span_us(&self) -> Option<(i64, i64)> {
        Some((*self.times_us.iter().min()?, *self.times_us.iter().max()?))
    }

    /// The numbers of a column, if it was written.
    pub fn column(&self, wanted: &Column) -> Option<&Values> {
        self.columns
            .iter()
            .find(|(column, _)| column == wanted)
            .map(|(_, values)| values)
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + self.len() * 24);
        out.push(VERSION);
        put_number(&mut out, self.len() as u64);
        put_delta_column(&mut out, self.times_us.iter().copied());
        put_small_column(&mut out, &self.visitors);
        put_column(&mut out, self.flags.iter().map(|flags| u64::from(*flags)));
        put_small_column(&mut out, &self.durations);
        put_small_column(&mut out, &self.scrolls);
        put_number(&mut out, self.columns.len() as u64);
        for (column, values) in &self.columns {
            put_name(&mut out, column);
            match values {
                Values::One(numbers) => put_small_column(&mut out, numbers),
                Values::List { ends, numbers } => {
                    put_delta_column(&mut out, ends.iter().map(|end| i64::from(*end)));
                    put_number(&mut out, numbers.len() as u64);
                    put_small_column(&mut out, numbers);
                }
            }
        }
        out
    }

    /// From bytes; only the columns that `is_wanted` names.
    pub fn decode(bytes: &[u8], is_wanted: impl Fn(&Column) -> bool) -> Result<Self, Unreadable> {
        let mut source = Source::new(bytes);
        if source.byte()? != VERSION {
            return Err(Unreadable("facts of another version"));
        }
        let count = source.count()?;
        let mut times = source.column()?;
        let mut facts = Self {
            times_us: Vec::with_capacity(count.min(bytes.len())),
            ..Self::default()
        };
        for _ in 0..count {
            facts.times_us.push(times.number()? as i64);
        }
        facts.visitors = source.column()?.smalls(count)?;
        let mut flags = source.column()?;
        for _ in 0..count {
            facts.flags.push(flags.number()? as u8);
        }
        facts.durations = source.column()?.smalls(count)?;
        facts.scrolls = source.column()?.smalls(count)?;
        for _ in 0..source.count()? {
            let column = read_name(&mut source)?;
            let first = source.column()?;
            let values = match Values::new(&column) {
                Values::One(_) if is_wanted(&column) => Values::One(first.smalls(count)?),
                Values::One(_) => continue,
                Values::List { .. } => {
                    let length = source.count()?;
                    let numbers = source.column()?;
                    if !is_wanted(&column) {
                        continue;
                    }
                    let ends = first.smalls(count)?;
                    let in_order = ends.is_sorted();
                    if !in_order || ends.last().is_some_and(|end| *end as usize != length) {
                        return Err(Unreadable("lists that do not end where they should"));
                    }
                    Values::List {
                        ends,
                        numbers: numbers.smalls(length)?,
                    }
                }
            };
            facts.columns.push((column, values));
        }
        Ok(facts)
    }
}

fn put_small_column(out: &mut Vec<u8>, numbers: &[u32]) {
    put_column(out, numbers.iter().map(|number| u64::from(*number)));
}

const CHANNEL: u8 = 200;
const PROPERTY: u8 = 201;

/// A dictionary's place in [`Kind::ALL`], which is never reused, or one of the two above.
fn put_name(out: &mut Vec<u8>, column: &Column) {
    match column {
        Column::Text(kind) => out.push(*kind as u8),
        Column::Channel => out.push(CHANNEL),
        Column::Property(key) => {
            out.push(PROPERTY);
            put_number(out, key.len() as u64);
            out.extend_from_slice(key.as_bytes());
        }
    }
}

fn read_name(source: &mut Source<'_>) -> Result<Column, Unreadable> {
    match source.byte()? {
        CHANNEL => Ok(Column::Channel),
        PROPERTY => {
            let length = source.count()?;
            let key = std::str::from_utf8(source.bytes(length)?);
            Ok(Column::Property(
                key.map_err(|_| Unreadable("a name that is not text"))?
                    .to_owned(),
            ))
        }
        place => Kind::ALL
            .get(usize::from(place))
            .map(|kind| Column::Text(*kind))
            .ok_or(Unreadable("a column of an unknown name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let columns = [
            Column::Text(Kind::Path),
            Column::Text(Kind::Tag),
            Column::Channel,
            Column::Property("plan".to_owned()),
        ];
        let mut facts = Facts::new(&columns);
        for place in 0..5_u32 {
            facts.push(Measures {
                time_us: 1_780_000_000_000_000 - i64::from(place) * 7,
                visitor_no: 1 + place as i32 % 2,
                is_page_view: place % 2 == 0,
                is_bot: place == 3,
                duration_ms: (place > 1).then_some(place as i32 * 100),
                scroll_bp: (place == 2).then_some(0),
            });
            for (_, values) in &mut facts.columns {
                match values {
                    Values::One(numbers) => numbers.push(place * 300),
                    Values::List { ends, numbers } => {
                        numbers.extend(0..place % 3);
                        ends.push(numbers.len() as u32);
                    }
                }
            }
        }
        facts
    }

    #[test]
    fn facts_come_back_whole_or_in_part() {
        let facts = facts();
        let bytes = facts.encode();
        assert_eq!(Facts::decode(&bytes, |_| true), Ok(facts.clone()));
        let part = Facts::decode(&bytes, |column| *column == Column::Channel).expect("facts");
        assert_eq!(part.times_us, facts.times_us);
        assert_eq!(part.columns.len(), 1);
        assert_eq!(
            part.column(&Column::Channel),
            facts.column(&Column::Channel)
        );
    }

    #[test]
    fn an_event_without_a_list_has_none() {
        let facts = facts();
        let tags = facts.column(&Column::Text(Kind::Tag)).expect("tags");
        let lists: Vec<&[u32]> = (0..5).map(|place| tags.of(place)).collect();
        assert_eq!(lists, [&[0][..], &[0], &[0, 1], &[0], &[0]]);
    }

    #[test]
    fn appended_facts_keep_the_columns_that_both_have() {
        let mut all = facts();
        let mut other = facts();
        other.columns.remove(0);
        all.append(&other);
        assert_eq!(all.len(), 10);
        assert_eq!(all.column(&Column::Text(Kind::Path)), None);
        let tags = all.column(&Column::Text(Kind::Tag)).expect("tags");
        assert_eq!(tags.of(7), [0, 1]);
    }

    #[test]
    fn bytes_that_were_cut_are_refused() {
        let bytes = facts().encode();
        for length in 0..bytes.len() {
            assert!(
                Facts::decode(&bytes[..length], |_| true).is_err(),
                "{length}"
            );
        }
    }
}
