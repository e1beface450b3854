//! Numbers → texts.

use std::collections::HashMap;
use std::sync::Arc;

use deadpool_postgres::Pool;
use quick_cache::sync::Cache;
use tokio_postgres::types::Type;

use crate::domain::dimension::Dimension;
use crate::error::ApiError;
use crate::load::dictionary::Kind;
use crate::query::columns::CHANNELS;
use crate::query::params::Params;
use crate::query::session::Snapshot;
use crate::rollup::spec::{Column, Source, source};
use crate::store::StoreError;

/// Texts that are remembered. 65,536 of 60 bytes are about 8 MB.
const CACHED: usize = 65_536;

/// Looks texts of numbers up and remembers them: a number never gets another text.
#[derive(Debug)]
pub struct Texts(Cache<(u8, u32), Arc<str>>);

impl Default for Texts {
    fn default() -> Self {
        Self(Cache::new(CACHED))
    }
}

impl Texts {
    /// The texts of a dimension's numbers, which are in order and each once; 0 is the empty one.
    pub async fn of(
        &self,
        snapshot: &Snapshot<'_>,
        pool: &Pool,
        dimension: &Dimension,
        numbers: &[u32],
    ) -> Result<HashMap<u32, Arc<str>>, ApiError> {
        let kind = match source(dimension) {
            Some(Source::IsBot) => {
                return Ok([(0, "false".into()), (1, "true".into())].into());
            }
            Some(Source::Number(Column::Channel)) => {
                let channels = CHANNELS.iter().zip(1..);
                return Ok(channels
                    .map(|(name, number)| (number, (*name).into()))
                    .collect());
            }
            Some(Source::Number(Column::Text(kind))) => kind,
            _ => Kind::Label,
        };
        let mut texts = HashMap::with_capacity(numbers.len());
        let mut missing = Vec::new();
        for number in numbers {
            match self.0.get(&(kind as u8, *number)) {
                _ if *number == 0 => drop(texts.insert(0, Arc::from(""))),
                Some(text) => drop(texts.insert(*number, text)),
                None => missing.extend(i32::try_from(*number)),
            }
        }
        if missing.is_empty() {
            return Ok(texts);
        }
        let mut params = Params::default();
        let (table, number, text) = kind.names();
        let numbers = params.bind(missing.clone(), Type::INT4_ARRAY);
        let sql = format!("select {number}, {text} from {table} where {number} = any({numbers})");
        let mut rows = snapshot.query(&sql, &params).await?;
        if rows.len() < missing.len() {
            // A label that was made for this question is not in its snapshot.
            let client = pool.get().await.map_err(StoreError::from)?;
            let found = client.query_typed(&sql, &params.as_slice()).await;
            rows = found.map_err(StoreError::from)?;
        }
        for row in &rows {
            let number = u32::try_from(row.get::<_, i32>(0)).unwrap_or_default();
            let text: Arc<str> = row.get::<_, &str>(1).into();
            self.0.insert((kind as u8, number), Arc::clone(&text));
            texts.insert(number, text);
        }
        Ok(texts)
    }
}
