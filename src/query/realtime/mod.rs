//! What happens now: some Aggregate questions about the last minutes, asked of one snapshot.
//!
//! The answer is kept like any other ([`super::cache`]): as long as no event comes, and none leaves the
//! windows, it stays as it is. So whoever [`watch`]es asks every second, and the database is asked only when
//! there is something new.

pub mod watch;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::domain::bucket::{BucketWidth, Buckets};
use crate::domain::dimension::Dimension;
use crate::domain::filter::{Field, Filter};
use crate::domain::metric::Metric;
use crate::domain::question::{Aggregate, Selection, Sort, SortKey};
use crate::domain::realtime::RealtimeQuestion;
use crate::domain::time_range::{TimeRange, to_microseconds};
use crate::error::ApiError;

use super::cache::Weigh;
use super::cache::key::Key;
use super::engine::Engine;
use super::session::Snapshot;

/// What is counted, in this order.
const METRICS: [Metric; 3] = [Metric::Visitors, Metric::PageViews, Metric::Events];

/// Counts of a group of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Different visitors.
    pub visitors: i64,
    /// Page views.
    pub page_views: i64,
    /// Events.
    pub events: i64,
}

/// What happens now. When "now" is, is not in it: it is the same as long as nothing changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realtime {
    /// Of now.
    pub now: Counts,
    /// Of each minute of the series, with its start, the oldest first.
    pub minutes: Vec<(Timestamp, Counts)>,
    /// Different visitors of the whole series.
    pub series_visitors: i64,
    /// Of the paths of now, most visitors first.
    pub pages: Vec<(String, Counts)>,
    /// Of the referrers' domains.
    pub referrers: Vec<(String, Counts)>,
    /// Of the countries.
    pub countries: Vec<(String, Counts)>,
}

impl Weigh for Realtime {
    fn bytes(&self) -> usize {
        let entries = [&self.pages, &self.referrers, &self.countries];
        let entries = entries.into_iter().flatten();
        size_of::<Self>()
            + size_of_val(&*self.minutes)
            + entries
                .map(|entry| size_of_val(entry) + entry.0.len())
                .sum::<usize>()
    }
}

/// The two ranges of a question that is asked at `now`: now, and the series.
fn ranges(question: &RealtimeQuestion, now: Timestamp) -> (TimeRange, TimeRange) {
    let until_exclusive = to_microseconds(now);
    let back = |from: Timestamp, minutes: u32| {
        let length = SignedDuration::from_mins(i64::from(minutes));
        from.checked_sub(length).unwrap_or(Timestamp::MIN)
    };
    // Not the instant itself, or a minute that has just begun would be empty: the range has none before.
    let last_us = until_exclusive.as_microsecond() - 1;
    let last_minute = Timestamp::from_second(last_us.div_euclid(60_000_000) * 60);
    let last_minute = last_minute.unwrap_or(until_exclusive);
    let now = TimeRange {
        since: back(until_exclusive, question.now_minutes),
        until_exclusive,
    };
    let series = TimeRange {
        since: back(last_minute, question.series_minutes - 1),
        until_exclusive,
    };
    (now, series)
}

/// Which questions that are asked at `now` are the same.
pub fn key(question: &RealtimeQuestion, now: Timestamp) -> Key {
    let (now, series) = ranges(question, now);
    Key::of("realtime", question.property_no)
        .with(question)
        .with(&series.since)
        .moving(now.since)
        .moving(now.until_exclusive)
        .done()
}

/// What happens at `now`.
pub async fn answer(
    engine: &Engine,
    snapshot: &Snapshot<'_>,
    question: &RealtimeQuestion,
    now: Timestamp,
) -> Result<Realtime, ApiError> {
    let (now, series) = ranges(question, now);
    let whole = aggregate(question, now, BucketWidth::WholeRange)?;
    let whole = engine.aggregate(snapshot, &whole).await?;
    let minutes = Aggregate {
        fill_gaps: true,
        totals: true,
        ..aggregate(question, series, BucketWidth::Minute)?
    };
    let counted = engine.aggregate(snapshot, &minutes).await?;
    let starts = minutes.buckets.starts();
    let minute = |row: &super::answer::AnswerRow| {
        let start = starts.get(row.bucket).copied();
        (start.unwrap_or(series.since), counts(&row.metrics))
    };
    Ok(Realtime {
        now: whole
            .rows
            .first()
            .map(|row| counts(&row.metrics))
            .unwrap_or_default(),
        minutes: counted.rows.iter().map(minute).collect(),
        series_visitors: counted
            .totals
            .map(|totals| counts(&totals).visitors)
            .unwrap_or_default(),
        pages: top(engine, snapshot, question, now, Dimension::Page).await?,
        referrers: top(engine, snapshot, question, now, Dimension::Referrer).await?,
        countries: top(engine, snapshot, question, now, Dimension::Country).await?,
    })
}

/// The values of a dimension with the most visitors.
async fn top(
    engine: &Engine,
    snapshot: &Snapshot<'_>,
    question: &RealtimeQuestion,
    range: TimeRange,
    dimension: Dimension,
) -> Result<Vec<(String, Counts)>, ApiError> {
    let mut asked = aggregate(question, range, BucketWidth::WholeRange)?;
    let absent = Filter::Absent(Field::Dimension(dimension.clone()));
    let present = Filter::Not(Box::new(absent));
    let filters = asked.selection.filter.take().into_iter().chain([present]);
    asked.selection.filter = Some(Filter::All(filters.collect()));
    asked.dimensions = vec![dimension];
    let sort = |key, descending| Sort { key, descending };
    asked.order = vec![
        sort(SortKey::Metric(0), true),
        sort(SortKey::Dimension(0), false),
        sort(SortKey::Bucket, false),
    ];
    let answer = engine.aggregate(snapshot, &asked).await?;
    let entry = |mut row: super::answer::AnswerRow| {
        let value = row.dimensions.pop().unwrap_or_default();
        (value, counts(&row.metrics))
    };
    Ok(answer.rows.into_iter().map(entry).collect())
}

fn aggregate(
    question: &RealtimeQuestion,
    range: TimeRange,
    width: BucketWidth,
) -> Result<Aggregate, ApiError> {
    let buckets = Buckets::cover(range, width, &TimeZone::UTC);
    // There are at most 60 minutes.
    let buckets = buckets.map_err(|_too_many| ApiError::Internal)?;
    let limit = match width {
        BucketWidth::Minute => buckets.count(),
        _ => question.limit,
    };
    Ok(Aggregate {
        selection: Selection {
            property_no: question.property_no,
            range,
            filter: question.filter.clone(),
            include_bots: question.include_bots,
        },
        time_zone: TimeZone::UTC,
        buckets,
        dimensions: Vec::new(),
        metrics: METRICS.to_vec(),
        order: vec![Sort {
            key: SortKey::Bucket,
            descending: false,
        }],
        limit,
        fill_gaps: false,
        totals: false,
        others: false,
        only: None,
    })
}

fn counts(metrics: &[f64]) -> Counts {
    // Whole numbers below 2^53.
    let count = |place: usize| metrics.get(place).map_or(0, |count| *count as i64);
    Counts {
        visitors: count(0),
        page_views: count(1),
        events: count(2),
    }
}
