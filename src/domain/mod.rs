//! What Tallymark speaks of: no protobuf and no SQL here.

pub mod bucket;
pub mod comparison;
pub mod dimension;
pub mod event;
pub mod filter;
pub mod key;
pub mod local_day;
pub mod metric;
pub mod property;
pub mod question;
pub mod realtime;
pub mod report;
pub mod time_range;
