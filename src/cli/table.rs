//! Tables for terminals: aligned by what characters take on the screen, numbers to the right.

use std::fmt;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What stands for a value that does not exist, such as the mean of nothing.
const NOTHING: &str = "–";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// The head of one column and how its cells are laid out.
#[derive(Debug, Clone)]
pub struct Column {
    title: String,
    align: Align,
    max_width: usize,
}

impl Column {
    /// A column of words.
    pub fn text(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            align: Align::Left,
            max_width: usize::MAX,
        }
    }

    /// A column of numbers, aligned to the right.
    pub fn number(title: impl Into<String>) -> Self {
        Self {
            align: Align::Right,
            ..Self::text(title)
        }
    }

    /// The same column with cells of at most so many screen columns; longer ones end in `…`.
    #[must_use]
    pub fn at_most(mut self, max_width: usize) -> Self {
        self.max_width = max_width.max(1);
        self
    }
}

/// Rows under a header, and perhaps totals under a second rule.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    totals: Option<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
            totals: None,
        }
    }

    /// Adds a row. Cells that are missing are empty; cells beyond the last column are left out.
    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        let cells = self.fit(cells);
        self.rows.push(cells);
    }

    /// Sets the row under the second rule.
    pub fn totals<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.totals = Some(self.fit(cells));
    }

    fn fit<C: Into<String>>(&self, cells: impl IntoIterator<Item = C>) -> Vec<String> {
        let mut cells = cells.into_iter().map(Into::into);
        self.columns
            .iter()
            .map(|column| {
                clip(
                    &printable(&cells.next().unwrap_or_default()),
                    column.max_width,
                )
            })
            .collect()
    }

    fn widths(&self) -> Vec<usize> {
        let all_rows = self.rows.iter().chain(&self.totals);
        let mut widths: Vec<usize> = self.columns.iter().map(|c| c.title.width()).collect();
        for row in all_rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        widths
    }

    fn write_row<'a>(
        &self,
        f: &mut fmt::Formatter<'_>,
        cells: impl Iterator<Item = &'a str>,
        widths: &[usize],
    ) -> fmt::Result {
        let mut line = String::new();
        for ((cell, width), column) in cells.zip(widths).zip(&self.columns) {
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            line.push_str("  ");
            match column.align {
                Align::Left => line.extend([cell, padding.as_str()]),
                Align::Right => line.extend([padding.as_str(), cell]),
            }
        }
        writeln!(f, "{}", line.trim_end())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let rules: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();

        self.write_row(f, self.columns.iter().map(|c| c.title.as_str()), &widths)?;
        self.write_row(f, rules.iter().map(String::as_str), &widths)?;
        for row in &self.rows {
            self.write_row(f, row.iter().map(String::as_str), &widths)?;
        }
        if let Some(totals) = &self.totals {
            self.write_row(f, rules.iter().map(String::as_str), &widths)?;
            self.write_row(f, totals.iter().map(String::as_str), &widths)?;
        }
        Ok(())
    }
}

/// `1234567` as `1,234,567`.
pub fn count(value: u64) -> String {
    group(&value.to_string())
}

/// A number with so many decimals and its thousands separated; `–` for NaN.
pub fn decimal(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return NOTHING.to_owned();
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let is_zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let sign = if value < 0.0 && !is_zero { "-" } else { "" };
    format!("{sign}{}{fraction}", group(whole))
}

fn group(digits: &str) -> String {
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The text without control characters: what visitors send is printed here, and some of it would
/// otherwise drive the terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

fn clip(text: &str, max_width: usize) -> String {
    if text.width() <= max_width {
        return text.to_owned();
    }
    let mut clipped = String::new();
    let mut width = 1;
    for c in text.chars() {
        width += c.width().unwrap_or(0);
        if width > max_width {
            break;
        }
        clipped.push(c);
    }
    clipped.push('…');
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_by_screen_width_not_by_bytes() {
        let mut table = Table::new([Column::text("page"), Column::number("events")]);
        table.row(["/größe", "1,234"]);
        table.row(["/日本", "5"]);
        table.row(["/a"]);
        table.totals(["all", "1,239"]);
        assert_eq!(
            table.to_string(),
            "  page    events\n  \
               ──────  ──────\n  \
               /größe   1,234\n  \
               /日本        5\n  \
               /a\n  \
               ──────  ──────\n  \
               all      1,239\n"
        );
    }

    #[test]
    fn clips_and_disarms_cells() {
        let mut table = Table::new([Column::text("t").at_most(4)]);
        table.row(["abcdef"]);
        table.row(["日本語"]);
        table.row(["\u{1b}[2J"]);
        let text = table.to_string();
        assert!(text.contains("abc…"), "{text}");
        assert!(text.contains("日…"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn separates_thousands() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(decimal(1234.567, 1), "1,234.6");
        assert_eq!(decimal(-1234.5, 2), "-1,234.50");
        assert_eq!(decimal(-0.01, 1), "0.0");
        assert_eq!(decimal(12.0, 0), "12");
        assert_eq!(decimal(f64::NAN, 1), "–");
    }
}
