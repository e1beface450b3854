//! What an error of PostgreSQL means to us.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Whether the same statement may succeed later: the connection broke, the server is starting or
/// stopping, two transactions were in each other's way, a resource ran out.
pub fn is_passing(error: &Error) -> bool {
    let Some(state) = error.code() else {
        // No answer from the server: the connection is at fault.
        return true;
    };
    // Classes of PostgreSQL's appendix A: connection exception, transaction rollback, insufficient
    // resources, operator intervention, system error.
    ["08", "40", "53", "57", "58"]
        .iter()
        .any(|class| state.code().starts_with(class))
}

/// Whether the values are at fault, rather than the database, its schema or our rights: classes data
/// exception, integrity constraint violation and program limit exceeded, and what an operator's
/// trigger raises. Not what a sequence says that has no number left.
pub fn is_about_values(error: &Error) -> bool {
    let state = error.code().map_or("", SqlState::code);
    if state == SqlState::SEQUENCE_GENERATOR_LIMIT_EXCEEDED.code() {
        return false;
    }
    ["22", "23", "54", "P0001"]
        .iter()
        .any(|class| state.starts_with(class))
}

/// Whether the database gave up because a statement took too long.
pub fn is_timeout(error: &Error) -> bool {
    error.code() == Some(&SqlState::QUERY_CANCELED)
}

/// Whether a regular expression did not parse.
pub fn is_bad_regex(error: &Error) -> bool {
    error.code() == Some(&SqlState::INVALID_REGULAR_EXPRESSION)
}

/// Whether a constraint of this name was violated.
pub fn violates(error: &Error, constraint: &str) -> bool {
    error.as_db_error().and_then(|error| error.constraint()) == Some(constraint)
}

/// What PostgreSQL said, for an administrator: message, detail and code, in one line of bounded length.
pub fn words(error: &Error) -> String {
    const MAX_CHARS: usize = 1_000;
    let Some(said) = error.as_db_error() else {
        return crate::error::causes(error);
    };
    let mut words = said.message().to_owned();
    // Their detail is the whole row, in numbers.
    let details_row = [SqlState::CHECK_VIOLATION, SqlState::NOT_NULL_VIOLATION];
    if let Some(detail) = said.detail()
        && !details_row.contains(said.code())
    {
        words.push_str(": ");
        words.push_str(detail);
    }
    let words: String = words.chars().take(MAX_CHARS).collect();
    format!("{words} (SQLSTATE {})", said.code().code())
}
