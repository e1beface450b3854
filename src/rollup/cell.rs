//! What is counted and summed of a group of events. Everything in it can be added up.

use super::codec::{Source, Unreadable, put_column};
use super::facts::{Facts, PAGE_VIEW};

/// Counts and sums of some events. Sums are of whole milliseconds and hundredths of a percent, so they
/// are the same in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cell {
    /// Events.
    pub events: u64,
    /// Those that are page views.
    pub page_views: u64,
    /// Those with a duration.
    pub durations: u64,
    /// Milliseconds of all durations.
    pub duration_sum_ms: u64,
    /// Milliseconds of the shortest; 0 if there is none.
    pub duration_min_ms: u32,
    /// Milliseconds of the longest; 0 if there is none.
    pub duration_max_ms: u32,
    /// Events with a scroll depth.
    pub scrolls: u64,
    /// Hundredths of a percent of all scroll depths.
    pub scroll_sum_bp: u64,
}

impl Cell {
    /// Adds the event at `place`.
    #[inline]
    pub fn add_event(&mut self, facts: &Facts, place: usize) {
        self.events += 1;
        self.page_views += u64::from(facts.flags[place] & PAGE_VIEW);
        if let Some(duration_ms) = facts.durations[place].checked_sub(1) {
            self.add_durations(1, u64::from(duration_ms), duration_ms, duration_ms);
        }
        if let Some(scroll_bp) = facts.scrolls[place].checked_sub(1) {
            self.scrolls += 1;
            self.scroll_sum_bp += u64::from(scroll_bp);
        }
    }

    /// Adds what other events came to.
    #[inline]
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.page_views += other.page_views;
        if other.durations > 0 {
            self.add_durations(
                other.durations,
                other.duration_sum_ms,
                other.duration_min_ms,
                other.duration_max_ms,
            );
        }
        self.scrolls += other.scrolls;
        self.scroll_sum_bp += other.scroll_sum_bp;
    }

    #[inline]
    fn add_durations(&mut self, count: u64, sum_ms: u64, min_ms: u32, max_ms: u32) {
        self.duration_min_ms = match self.durations {
            0 => min_ms,
            _ => self.duration_min_ms.min(min_ms),
        };
        self.duration_max_ms = self.duration_max_ms.max(max_ms);
        self.durations += count;
        self.duration_sum_ms += sum_ms;
    }
}

/// Adds cells as columns.
pub fn put_cells(out: &mut Vec<u8>, cells: &[Cell]) {
    put_column(out, cells.iter().map(|cell| cell.events));
    put_column(out, cells.iter().map(|cell| cell.page_views));
    put_column(out, cells.iter().map(|cell| cell.durations));
    put_column(out, cells.iter().map(|cell| cell.duration_sum_ms));
    put_column(
        out,
        cells.iter().map(|cell| u64::from(cell.duration_min_ms)),
    );
    let span = |cell: &Cell| u64::from(cell.duration_max_ms - cell.duration_min_ms);
    put_column(out, cells.iter().map(span));
    put_column(out, cells.iter().map(|cell| cell.scrolls));
    put_column(out, cells.iter().map(|cell| cell.scroll_sum_bp));
}

/// Reads so many cells.
pub fn read_cells(source: &mut Source<'_>, count: usize) -> Result<Vec<Cell>, Unreadable> {
    let mut cells = vec![Cell::default(); count];
    let mut fill = |set: fn(&mut Cell, u64)| {
        let mut column = source.column()?;
        if column.constant() == Some(0) {
            return Ok(());
        }
        for cell in &mut cells {
            set(cell, column.number()?);
        }
        Ok(())
    };
    fill(|cell, number| cell.events = number)?;
    fill(|cell, number| cell.page_views = number)?;
    fill(|cell, number| cell.durations = number)?;
    fill(|cell, number| cell.duration_sum_ms = number)?;
    fill(|cell, number| {
        cell.duration_min_ms = number as u32;
        cell.duration_max_ms = number as u32;
    })?;
    fill(|cell, number| cell.duration_max_ms = cell.duration_max_ms.saturating_add(number as u32))?;
    fill(|cell, number| cell.scrolls = number)?;
    fill(|cell, number| cell.scroll_sum_bp = number)?;
    Ok(cells)
}
