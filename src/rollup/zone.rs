//! A property whose time zone was changed: its segments are cut to the days of the new one.
//!
//! Until that is done answers are right all the same, since a segment says which instants its day is
//! between: whoever asks about other days reads it by its slots, which no zone cuts.

use crate::domain::local_day::LocalDays;
use crate::domain::property::Property;
use tokio_postgres::types::{ToSql, Type};
use tracing::info;

use super::compact::{Compactor, off_thread};
use super::stored::{self, EncodedSegment, NewSegment, RollupError, StoredSegment};

/// Cuts the segments of a property that are not of one of its days.
pub(super) async fn split(compactor: &Compactor, property: &Property) -> Result<(), RollupError> {
    let property_no = property.property_no;
    compactor
        .locked(property, async |client| {
            let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&property_no, Type::INT4)];
            let rows = client
                .query_typed(include_str!("sql/all_segments.sql"), &parameters)
                .await?;
            let mut days = LocalDays::new(property.time_zone.clone());
            let foreign: Vec<StoredSegment> = rows
                .iter()
                .map(stored::stored)
                .filter(|segment| days.of(segment.day.since_us) != segment.day)
                .collect();
            for old in &foreign {
                let old = *old;
                let transaction = client.transaction().await?;
                let segments = stored::read(&transaction, &[old.segment_id]).await?;
                let mut days = days.clone();
                let parts = off_thread(move || {
                    let segments = segments.into_iter();
                    let parts = segments.flat_map(|segment| {
                        parts(
                            &NewSegment {
                                rollup_no: old.rollup_no,
                                day: old.day,
                                first_us: old.first_us,
                                last_us: old.last_us,
                                segment,
                            },
                            &mut days,
                        )
                    });
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
