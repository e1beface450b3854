//! Parameters of a statement that is put together piece by piece.

use tokio_postgres::types::{ToSql, Type};

/// Values to bind, in order. A value never becomes part of a statement's text.
#[derive(Default)]
pub struct Params {
    values: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Params {
    /// Adds a value and returns its placeholder, `$3`.
    pub fn bind(&mut self, value: impl ToSql + Sync + Send + 'static, kind: Type) -> String {
        self.values.push((Box::new(value), kind));
        format!("${}", self.values.len())
    }

    /// The values as tokio-postgres takes them.
    pub fn as_slice(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.values
            .iter()
            .map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone()))
            .collect()
    }
}
