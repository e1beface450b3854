//! Old events go, from the rollups too, in one transaction.

use tokio_postgres::types::{ToSql, Type};

use crate::domain::property::Property;

use super::compact::{Compactor, off_thread};
use super::stored::{self, EncodedSegment, RollupError, StoredSegment, timestamp};

impl Compactor {
    /// Deletes the events of a property before a time, which is a multiple of 15 minutes, and what
    /// rollups have of them; returns how many. `None` if another server keeps the property's rollups
    /// just then.
    pub async fn delete_before(
        &self,
        property: &Property,
        before_us: i64,
    ) -> Result<Option<u64>, RollupError> {
        let property_no = property.property_no;
        self.locked(property, async |client| {
            let transaction = client.transaction().await?;
            let parameters: [(&(dyn ToSql + Sync), Type); 2] = [
                (&property_no, Type::INT4),
                (&timestamp(before_us), Type::TIMESTAMPTZ),
            ];
            let old_facts = transaction
                .query_typed(include_str!("sql/has_facts_before.sql"), &parameters)
                .await?;
            if !old_facts.is_empty() {
                // Segments can be cut.
                while self.fold_in(&transaction, property, i64::MAX).await? > 0 {}
            }
            let rows = transaction
                .query_typed(include_str!("sql/segments_before.sql"), &parameters)
                .await?;
            let old: Vec<StoredSegment> = rows.iter().map(stored::stored).collect();
            for old in &old {
                self.cut(&transaction, property_no, *old, before_us).await?;
            }
            let deleted = transaction
                .execute_typed(
                    include_str!("../store/sql/delete_old_events.sql"),
                    &parameters,
                )
                .await?;
            transaction.commit().await?;
            Ok(deleted)
        })
        .await
    }

    /// Leaves of a segment what is not before a time.
    async fn cut(
        &self,
        transaction: &deadpool_postgres::Transaction<'_>,
        property_no: i32,
        old: StoredSegment,
        before_us: i64,
    ) -> Result<(), RollupError> {
        if old.day.until_us > before_us {
            let segments = stored::read(transaction, &[old.segment_id]).await?;
            let left = off_thread(move || {
                let left = segments.into_iter().filter_map(|segment| {
                    old.with(segment).part(before_us..old.day.until_us, old.day)
                });
                left.map(EncodedSegment::from).collect::<Vec<_>>()
            })
            .await;
            stored::insert(transaction, property_no, left).await?;
        }
        stored::delete(transaction, &[old.segment_id]).await?;
        Ok(())
    }
}
