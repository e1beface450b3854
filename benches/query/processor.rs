//! Processor time of the service and its database: says more than the clock on a machine that others use.

use std::time::Duration;

use anyhow::Context;

use super::common::database;
use super::common::service::Service;

/// What /proc counts in: USER_HZ, which is 100 on every architecture that Linux has it for.
const TICK: Duration = Duration::from_millis(10);

/// Processor time so far of a service, and of the database server with its processes, ended ones included.
pub async fn used(service: &Service) -> anyhow::Result<Duration> {
    let client = database::connect(&service.database).await?;
    let first_line = "select split_part(pg_read_file('postmaster.pid'), e'\\n', 1)::integer";
    let server: i32 = client.query_one(first_line, &[]).await?.get(0);
    let service = i32::try_from(service.process_id()?)?;
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc")? {
        let file = entry?.path().join("stat");
        // One that ended meanwhile is in its parent's sum.
        let Some(process) = std::fs::read_to_string(file)
            .ok()
            .and_then(|stat| parse(&stat))
        else {
            continue;
        };
        if process.id == service || process.parent == server {
            ticks += process.own_ticks;
        } else if process.id == server {
            ticks += process.own_ticks + process.children_ticks;
        }
    }
    Ok(TICK * u32::try_from(ticks).context("no processor time is that long")?)
}

struct Process {
    id: i32,
    parent: i32,
    own_ticks: u64,
    /// Of children that have ended.
    children_ticks: u64,
}

/// A line of /proc/…/stat, see proc(5): fields 1, 4, and 14 to 17. The second, the name, is in brackets and may
/// have anything in it.
fn parse(stat: &str) -> Option<Process> {
    let (id, _) = stat.split_once(' ')?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Process {
        id: id.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        own_ticks: ticks(14)? + ticks(15)?,
        children_ticks: ticks(16)? + ticks(17)?,
    })
}
