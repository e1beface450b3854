//! What is printed.

use tallymark::cli::table::{Column, Table, count, decimal};

use super::events::{DAYS, PAGES, Shape};
use super::loading::Note;
use super::measuring::{Measured, Timed, milliseconds};

/// The size that others are compared with, if it is there.
const MIDDLE: u64 = 10_000_000;

/// The table of one size.
pub fn print_questions(events: u64, note: &Note, measured: &Measured, sizes: &str) {
    let mut table = Table::new([
        Column::text("question"),
        Column::number("rows"),
        Column::number("first ms"),
        Column::number("service ms"),
        Column::number("min–max"),
        Column::number("DuckDB ms"),
        Column::number("min–max"),
        Column::number("is ×"),
        Column::number("plain SQL ms"),
        Column::number("is ×"),
    ]);
    for timed in &measured.questions {
        let service_ms = timed.service.median_ms();
        let times = |other_ms: f64| decimal(other_ms / service_ms, 2);
        table.row([
            timed.name.clone(),
            count(timed.rows as u64),
            short(milliseconds(timed.first)),
            short(service_ms),
            extremes(timed.service.extremes_ms()),
            short(timed.duckdb.median_ms()),
            extremes(timed.duckdb.extremes_ms()),
            times(timed.duckdb.median_ms()),
            short(timed.plain.median_ms()),
            times(timed.plain.median_ms()),
        ]);
    }
    let shape = Shape {
        events,
        seed: 0,
        first_day: note.first_day,
    };
    println!(
        "{} events of {} visitors on {PAGES} pages over {DAYS} days; medians; answers were equal row by row:\n\n{table}",
        count(events),
        count(shape.visitors()),
    );
    println!(
        "“first” is the first answer after the service's start, “is ×” how many times longer than the service it takes"
    );
    println!(
        "peak resident memory of the service: {} MB while loading, {} MB while answering",
        count(note.peak_memory_mb),
        count(measured.peak_memory_mb)
    );
    println!("{sizes}");
    let seconds = |time: std::time::Duration| decimal(time.as_secs_f64(), 1);
    println!(
        "loading: acknowledged after {} s, queryable after {} s, caught up after {} s ({} events/s, made up meanwhile); \
         DuckDB {} s\n",
        seconds(note.acknowledged),
        seconds(note.queryable),
        seconds(note.caught_up),
        count((events as f64 / note.caught_up.as_secs_f64()) as u64),
        seconds(note.duckdb),
    );
}

/// How the service's times change with the size.
pub fn print_growth(measured: &[(u64, Measured)]) {
    let base = measured
        .iter()
        .position(|(events, _)| *events == MIDDLE)
        .unwrap_or_default();
    let Some((base_events, based_on)) = measured.get(base) else {
        return;
    };
    let mut columns = vec![Column::text("service ms at")];
    for (events, _) in measured {
        columns.push(Column::number(count(*events)));
        columns.push(Column::number("×"));
    }
    let mut table = Table::new(columns);
    for (place, Timed { name, service, .. }) in based_on.questions.iter().enumerate() {
        let base_ms = service.median_ms();
        let mut row = vec![name.clone()];
        for (_, measured) in measured {
            let ms = measured.questions[place].service.median_ms();
            row.push(short(ms));
            row.push(decimal(ms / base_ms, 2));
        }
        table.row(row);
    }
    println!("× that at {} events:\n\n{table}", count(*base_events));
}

/// Three digits that say something.
fn short(ms: f64) -> String {
    let decimals = match ms {
        ms if ms < 10.0 => 2,
        ms if ms < 100.0 => 1,
        _ => 0,
    };
    decimal(ms, decimals)
}

fn extremes([shortest, longest]: [f64; 2]) -> String {
    format!("{}–{}", short(shortest), short(longest))
}
