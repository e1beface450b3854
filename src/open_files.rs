//! How many files the process may have open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// Lets the process open as many files as it is allowed to. Systems start programs with a low limit
/// for the sake of `select(2)`, which nothing here uses, and leave it to them to raise it.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        info!(open_files = maximum, "files that may be open");
        return;
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => info!(
            open_files = maximum,
            before = current,
            "files that may be open"
        ),
        Err(error) => warn!(%error, open_files = current, "the limit of open files stays"),
    }
}

/// How many that is.
pub fn limit() -> usize {
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |current| {
        usize::try_from(current).unwrap_or(usize::MAX)
    })
}
