//! Questions about the present: protobuf → domain.

use std::time::Duration;

use crate::domain::property::Property;
use crate::domain::realtime::RealtimeQuestion;
use crate::error::ApiError;
use crate::pb;

use super::filter;
use super::rules::Violations;

/// Length of "now" at most, and unless the question says.
const MAX_NOW_MINUTES: u32 = 30;
const DEFAULT_NOW_MINUTES: u32 = 5;
/// The same of the series.
const MAX_SERIES_MINUTES: u32 = 60;
const DEFAULT_SERIES_MINUTES: u32 = 30;
/// The same of the entries of a list.
const MAX_ENTRIES: u32 = 100;
const DEFAULT_ENTRIES: u32 = 10;
/// Bounds of the times between messages.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
const MAX_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(15);

/// What is watched, and how often who watches is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    /// What is watched.
    pub question: RealtimeQuestion,
    /// Time between two snapshots at least.
    pub min_interval: Duration,
    /// Time between two messages at most.
    pub heartbeat_interval: Duration,
}

/// Reads a question about the present.
pub fn question(
    question: Option<pb::RealtimeQuestion>,
    property: &Property,
) -> Result<RealtimeQuestion, ApiError> {
    let mut violations = Violations::default();
    let question = read(question, property, &mut violations);
    violations.finish_call(question)
}

/// Reads the request of a watch; its token is for whoever has the seal.
pub fn watch(request: pb::WatchRealtimeRequest, property: &Property) -> Result<Watch, ApiError> {
    let mut violations = Violations::default();
    let v = &mut violations;
    let watch = Watch {
        question: read(request.question, property, v),
        min_interval: interval(request.min_interval, MIN_INTERVAL, "min_interval", v),
        heartbeat_interval: interval(
            request.heartbeat_interval,
            DEFAULT_HEARTBEAT,
            "heartbeat_interval",
            v,
        ),
    };
    violations.finish_call(watch)
}

fn read(
    question: Option<pb::RealtimeQuestion>,
    property: &Property,
    v: &mut Violations,
) -> RealtimeQuestion {
    let question = question.unwrap_or_default();
    let mut number = |number: i32, default: u32, max: u32, field: &str| match u32::try_from(number)
    {
        Ok(0) => default,
        Ok(number) if number <= max => number,
        _ => {
            v.add(field, format!("{number}, need 1–{max}, or 0 for {default}"));
            default
        }
    };
    let now_minutes = number(
        question.now_minutes,
        DEFAULT_NOW_MINUTES,
        MAX_NOW_MINUTES,
        "question.now_minutes",
    );
    let series_minutes = number(
        question.series_minutes,
        DEFAULT_SERIES_MINUTES,
        MAX_SERIES_MINUTES,
        "question.series_minutes",
    );
    let limit = number(
        question.limit,
        DEFAULT_ENTRIES,
        MAX_ENTRIES,
        "question.limit",
    );
    RealtimeQuestion {
        property_no: property.property_no,
        now_minutes,
        series_minutes,
        limit: usize::try_from(limit).unwrap_or_default(),
        filter: question
            .filter
            .and_then(|filter| filter::parse(filter, "question.filter", v)),
        include_bots: question.include_bots,
    }
}

fn interval(
    asked: Option<prost_types::Duration>,
    default: Duration,
    field: &str,
    v: &mut Violations,
) -> Duration {
    let Some(asked) = asked else { return default };
    let interval = Duration::try_from(asked).ok();
    let interval = interval.filter(|interval| (MIN_INTERVAL..=MAX_INTERVAL).contains(interval));
    interval.unwrap_or_else(|| {
        let (min, max) = (MIN_INTERVAL.as_secs(), MAX_INTERVAL.as_secs());
        let said = format!("{} s and {} ns", asked.seconds, asked.nanos);
        v.add(field, format!("{said}, need {min}–{max} s"));
        default
    })
}
