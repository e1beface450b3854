//! A property whose time zone was changed: its segments are cut to the days of the new one.
//!
//! Until that is done answers are right all the same, since a segment says which instants its day is
//! between: whoever asks about other days reads it by its slots, which no zone cuts.

use crate::domain::local_day::LocalDays;
use crate::domain::property::Property;
use tracing::info;

use super::compact::{Compactor, off_thread};
use super::stored::{self, EncodedSegment, NewSegment, RollupError};

/// Cuts the segments of a property that are not of one of its days.
pub(super) async fn split(compactor: &Compactor, property: &Property) -> Result<(), RollupError> {
    let property_no = property.property_no;
    compactor
        .locked(property, async |client| {
            let mut foreign = stored::list(&***client, property_no).await?;
            let mut days = LocalDays::new(property.time_zone.clone());
            foreign.retain(|segment| days.of(segment.day.since_us) != segment.day);
            for old in &foreign {
                let old = *old;
                let transaction = client.transaction().await?;
                let segments = stored::read(&transaction, &[old.segment_id]).await?;
                let mut days = days.clone();
                let parts = off_thread(move || {
                    let segments = segments.into_iter();
                    let parts = segments.flat_map(|segment| parts(&old.with(segment), &mut days));
                    parts.map(EncodedSegment::from).collect::<Vec<_>>()
                })
                .await;
                stored::delete(&transaction, &[old.segment_id]).await?;
                stored::insert(&transaction, property_no, parts).await?;
                transaction.commit().await?;
            }
            if !foreign.is_empty() {
                info!(
                    property = property.name,
                    segments = foreign.len(),
                    "cut rollups to the days of another time zone"
                );
            }
            Ok(())
        })
        .await
        .map(drop)
}

/// A segment in parts, each of one day.
fn parts(whole: &NewSegment, days: &mut LocalDays) -> Vec<NewSegment> {
    let mut parts = Vec::new();
    let mut since_us = whole.day.since_us;
    while since_us < whole.day.until_us {
        let day = days.of(since_us);
        let until_us = day.until_us.min(whole.day.until_us);
        parts.extend(whole.part(since_us..until_us, day));
        since_us = until_us;
    }
    parts
}
