//! The settings of the embedded PostgreSQL, rewritten at every start. A person's own additions belong in
//! `postgresql.conf`, which is written once; these, included at its end, win.

use std::fmt::Write as _;
use std::fs;

use super::error::EngineError;

const MIB: u64 = 1 << 20;

/// What the settings depend on.
pub(super) struct Facts<'a> {
    /// Absolute; checked to be free of quotes and commas.
    pub(super) socket_dir: &'a str,
    pub(super) background_workers: bool,
    /// The build is known to have LZ4.
    pub(super) lz4: bool,
    pub(super) memory_bytes: u64,
    pub(super) extra: &'a [(String, String)],
}

pub(super) fn render(facts: &Facts<'_>) -> Result<String, EngineError> {
    let shared_buffers = (facts.memory_bytes / 4).clamp(128 * MIB, 1024 * MIB) / MIB;
    let cache = (facts.memory_bytes / 2 / MIB).max(256);
    let maintenance = (facts.memory_bytes / 32 / MIB).clamp(64, 256);
    let mut settings: Vec<(&str, String)> = vec![
        // Nobody but the owner of the socket's directory (and root) gets in: no network at all.
        ("listen_addresses", String::new()),
        ("port", super::PORT.to_string()),
        ("unix_socket_directories", facts.socket_dir.to_owned()),
        ("unix_socket_permissions", "0700".into()),
        ("max_connections", "100".into()),
        ("shared_preload_libraries", "timescaledb".into()),
        ("timescaledb.telemetry_level", "off".into()),
        (
            "timescaledb.max_background_workers",
            if facts.background_workers { "8" } else { "0" }.into(),
        ),
        // One more for the scheduler's launcher, the rest for parallel queries.
        (
            "max_worker_processes",
            if facts.background_workers { "19" } else { "10" }.into(),
        ),
        ("shared_buffers", format!("{shared_buffers}MB")),
        ("effective_cache_size", format!("{cache}MB")),
        ("maintenance_work_mem", format!("{maintenance}MB")),
        ("work_mem", "16MB".into()),
        // A query over a year locks every chunk and each of its indexes.
        ("max_locks_per_transaction", "256".into()),
        ("random_page_cost", "1.1".into()),
        // Compiling takes longer than the short queries here, and the private build leaves the compiler out.
        ("jit", "off".into()),
        // What the database says is committed must survive a crash: log positions are committed with the rows.
        ("fsync", "on".into()),
        ("full_page_writes", "on".into()),
        ("synchronous_commit", "on".into()),
        (
            "wal_compression",
            if facts.lz4 { "lz4" } else { "on" }.into(),
        ),
        ("max_wal_size", "4GB".into()),
        ("checkpoint_timeout", "15min".into()),
        ("timezone", "UTC".into()),
        ("log_timezone", "UTC".into()),
        ("log_line_prefix", "%m [%p] ".into()),
        // The service sees every error of its statements and logs them once, without events. Here they would
        // repeat, with event properties in them, and without bound: `log` leaves out errors and warnings, and
        // keeps what the server says about itself and what ends a connection.
        ("log_min_messages", "log".into()),
        ("log_error_verbosity", "terse".into()),
        ("log_checkpoints", "off".into()),
        ("log_autovacuum_min_duration", "-1".into()),
        ("logging_collector", "off".into()),
    ];
    settings.extend(
        facts
            .extra
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    );

    let mut text = String::from(
        "# Written by tallymark at every start: changes here are lost. Use postgresql.conf's other lines.\n",
    );
    for (name, value) in settings {
        let name_is_plain = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.');
        if !name_is_plain || value.contains(['\n', '\r', '\0']) {
            return Err(EngineError::Setting {
                name: name.to_owned(),
            });
        }
        let quoted = value.replace('\\', "\\\\").replace('\'', "''");
        let _ = writeln!(text, "{name} = '{quoted}'");
    }
    Ok(text)
}

/// Memory that this process may use, in bytes: the machine's, or its control group's limit when that is less.
pub(super) fn memory_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("MemTotal:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        })
        .map_or(2 << 30, |kibibytes| kibibytes * 1024);
    [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .iter()
    .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
    .fold(machine, u64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(extra: &[(String, String)]) -> Facts<'_> {
        Facts {
            socket_dir: "/data/sock",
            background_workers: false,
            lz4: true,
            memory_bytes: 2 << 30,
            extra,
        }
    }

    #[test]
    fn memory_is_a_quarter_up_to_a_gibibyte_and_extras_come_last() {
        let extra = [("work_mem".to_owned(), "it's".to_owned())];
        let text = render(&facts(&extra)).unwrap();
        assert!(text.contains("shared_buffers = '512MB'"), "{text}");
        assert!(text.ends_with("work_mem = 'it''s'\n"), "{text}");
        let large = Facts {
            memory_bytes: 64 << 30,
            ..facts(&[])
        };
        assert!(
            render(&large)
                .unwrap()
                .contains("shared_buffers = '1024MB'")
        );
    }

    #[test]
    fn a_setting_cannot_smuggle_in_a_line() {
        for (name, value) in [("a = 1\nb", "x"), ("a", "1'\nfsync = off"), ("", "x")] {
            let extra = [(name.to_owned(), value.to_owned())];
            assert!(matches!(
                render(&facts(&extra)),
                Err(EngineError::Setting { .. })
            ));
        }
    }
}
