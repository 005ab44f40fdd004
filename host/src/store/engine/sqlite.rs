//! SQLite, called on the caller's thread: a call returns when the database did its work. The writer
//! has a thread of its own, and readers run on tokio's blocking threads, so that a transaction of
//! twenty statements costs one hand-over between threads and not twenty (decision 18).
//!
//! Statements stay compiled in the connection's cache. Placeholders are `?1`, `?2`, …

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;

use rusqlite::types::Value;

use crate::store::StoreError;
use crate::telemetry::statement_counter;

/// A connection to the database.
#[derive(Debug)]
pub struct Connection(pub rusqlite::Connection);

impl Connection {
    /// Runs statements without results.
    pub fn batch(&mut self, text: &str) -> Result<(), StoreError> {
        statement_counter::add_one();
        Ok(self.0.execute_batch(text)?)
    }
}

/// A statement with its values.
#[derive(Clone, Debug)]
pub struct Query {
    text: Cow<'static, str>,
    values: Vec<Value>,
}

pub fn query(text: impl Into<Cow<'static, str>>) -> Query {
    Query {
        text: text.into(),
        values: Vec::new(),
    }
}

impl Query {
    pub fn bind(mut self, value: impl Bind) -> Self {
        self.values.push(value.into_value());
        self
    }

    #[cfg(test)]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Runs a change and returns the number of rows that it changed.
    pub fn execute(self, conn: &mut Connection) -> Result<u64, StoreError> {
        statement_counter::add_one();
        let mut statement = conn.0.prepare_cached(&self.text)?;
        bind(&mut statement, self.values)?;
        // A change that returns rows, such as a pragma, would be an error of `raw_execute`.
        let mut rows = statement.raw_query();
        while rows.next()?.is_some() {}
        drop(rows);
        drop(statement);
        Ok(conn.0.changes())
    }

    pub fn fetch_all(self, conn: &mut Connection) -> Result<Vec<Row>, StoreError> {
        statement_counter::add_one();
        let mut statement = conn.0.prepare_cached(&self.text)?;
        bind(&mut statement, self.values)?;
        let columns: Arc<[Box<str>]> = statement
            .column_names()
            .into_iter()
            .map(Into::into)
            .collect();
        let mut found = Vec::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let values = (0..columns.len())
                .map(|index| row.get::<_, Value>(index))
                .collect::<Result<_, rusqlite::Error>>()?;
            found.push(Row {
                columns: Arc::clone(&columns),
                values,
            });
        }
        Ok(found)
    }

    pub fn fetch_optional(self, conn: &mut Connection) -> Result<Option<Row>, StoreError> {
        Ok(self.fetch_all(conn)?.into_iter().next())
    }

    pub fn fetch_one(self, conn: &mut Connection) -> Result<Row, StoreError> {
        self.fetch_optional(conn)?
            .ok_or_else(|| StoreError::Database("a query returned no row".to_owned()))
    }

    /// The first column of each row.
    pub fn scalars<T: for<'r> Column<'r>>(
        self,
        conn: &mut Connection,
    ) -> Result<Vec<T>, StoreError> {
        self.fetch_all(conn)?.iter().map(|row| row.at(0)).collect()
    }

    /// The first column of the row, if there is one.
    pub fn optional_scalar<T: for<'r> Column<'r>>(
        self,
        conn: &mut Connection,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.scalars(conn)?.into_iter().next())
    }

    /// The first column of the row.
    pub fn scalar<T: for<'r> Column<'r>>(self, conn: &mut Connection) -> Result<T, StoreError> {
        self.fetch_one(conn)?.at(0)
    }
}

fn bind(
    statement: &mut rusqlite::CachedStatement<'_>,
    values: Vec<Value>,
) -> Result<(), rusqlite::Error> {
    for (index, value) in values.into_iter().enumerate() {
        statement.raw_bind_parameter(index + 1, value)?;
    }
    Ok(())
}

/// A row, with its columns by name.
#[derive(Clone, Debug)]
pub struct Row {
    columns: Arc<[Box<str>]>,
    values: Box<[Value]>,
}

impl Row {
    pub fn try_get<'r, T: Column<'r>>(&'r self, column: &str) -> Result<T, StoreError> {
        let index = self.columns.iter().position(|name| &**name == column);
        self.at(index.unwrap_or(usize::MAX))
    }

    /// A column by its place, from 0.
    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    pub fn get<'r, T: Column<'r>>(&'r self, index: usize) -> T {
        self.at(index).unwrap()
    }

    /// A column by its place, from 0.
    pub fn at<'r, T: Column<'r>>(&'r self, index: usize) -> Result<T, StoreError> {
        self.values.get(index).and_then(T::of).ok_or_else(|| {
            let column = self
                .columns
                .get(index)
                .map_or("an unknown column", |name| name);
            StoreError::Corrupt(format!("{column} has another type"))
        })
    }
}

/// A type that a column can be read as.
pub trait Column<'r>: Sized {
    fn of(value: &'r Value) -> Option<Self>;
}

impl<'r, T: Column<'r>> Column<'r> for Option<T> {
    fn of(value: &'r Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::of(value).map(Some),
        }
    }
}

impl Column<'_> for bool {
    fn of(value: &Value) -> Option<Self> {
        i64::of(value).map(|number| number != 0)
    }
}

impl Column<'_> for i64 {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }
}

macro_rules! integer_columns {
    ($($kind:ty),*) => {$(
        impl Column<'_> for $kind {
            fn of(value: &Value) -> Option<Self> {
                i64::of(value)?.try_into().ok()
            }
        }
    )*};
}
integer_columns!(i8, u8, u16, i32, u32);

impl<'r> Column<'r> for &'r str {
    fn of(value: &'r Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Column<'_> for String {
    fn of(value: &Value) -> Option<Self> {
        <&str>::of(value).map(str::to_owned)
    }
}

impl<'r> Column<'r> for &'r [u8] {
    fn of(value: &'r Value) -> Option<Self> {
        match value {
            Value::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl Column<'_> for Vec<u8> {
    fn of(value: &Value) -> Option<Self> {
        <&[u8]>::of(value).map(<[u8]>::to_vec)
    }
}

/// A value for a placeholder.
pub trait Bind {
    fn into_value(self) -> Value;
}

impl<T: Bind> Bind for Option<T> {
    fn into_value(self) -> Value {
        self.map_or(Value::Null, Bind::into_value)
    }
}

macro_rules! bind_as {
    ($($kind:ty => $make:expr),* $(,)?) => {$(
        impl Bind for $kind {
            fn into_value(self) -> Value {
                let make: fn($kind) -> Value = $make;
                make(self)
            }
        }
    )*};
}
bind_as! {
    bool => |value| Value::Integer(value.into()),
    i8 => |value| Value::Integer(value.into()),
    u8 => |value| Value::Integer(value.into()),
    u16 => |value| Value::Integer(value.into()),
    i32 => |value| Value::Integer(value.into()),
    u32 => |value| Value::Integer(value.into()),
    i64 => Value::Integer,
    String => Value::Text,
    &str => |value| Value::Text(value.to_owned()),
    &String => |value| Value::Text(value.clone()),
    Vec<u8> => Value::Blob,
    &[u8] => |value| Value::Blob(value.to_vec()),
}

/// A text that is put together from constant parts and values.
#[derive(Debug)]
pub struct Statement {
    text: String,
    values: Vec<Value>,
}

impl Statement {
    pub fn new(head: impl Into<String>) -> Self {
        Self {
            text: head.into(),
            values: Vec::new(),
        }
    }

    /// Adds text, never a value.
    pub fn push(&mut self, text: impl Display) -> &mut Self {
        use std::fmt::Write as _;

        // Writing to memory does not fail.
        let _ = write!(self.text, "{text}");
        self
    }

    pub fn push_bind(&mut self, value: impl Bind) -> &mut Self {
        self.values.push(value.into_value());
        self.push(format_args!("?{}", self.values.len()))
    }

    pub fn build(self) -> Query {
        Query {
            text: self.text.into(),
            values: self.values,
        }
    }
}
