//! The writer's thread: takes what waits, writes it as one group, answers everyone in it.

use std::io;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::MAX_QUEUED;
use super::core::Core;
use super::error::AppendError;

/// Called with an append's first sequence number when it is safe, before any reader can see it.
pub type Announce = Box<dyn FnOnce(u64) + Send>;

/// Records to be written, and who waits for it.
pub struct Append {
    pub records: Vec<Bytes>,
    /// With headers.
    pub bytes: usize,
    pub announce: Option<Announce>,
    pub reply: oneshot::Sender<Result<u64, AppendError>>,
    /// Gives the room in the queue back when the append is done with.
    pub _room: OwnedSemaphorePermit,
}

/// What the thread is asked to do, in order.
pub enum Command {
    Append(Append),
    Trim {
        below_exclusive: u64,
        reply: oneshot::Sender<Result<u64, AppendError>>,
    },
    Close,
}

/// Starts the thread. It ends when told to close or when every sender is gone, says so, and leaves
/// the log sealed if that was possible.
pub fn spawn(
    core: Core,
    commands: mpsc::Receiver<Command>,
    closed: watch::Sender<bool>,
) -> io::Result<()> {
    std::thread::Builder::new()
        .name("log-writer".to_owned())
        .spawn(move || {
            run(core, commands);
            closed.send_replace(true);
        })
        .map(drop)
}

fn run(mut core: Core, mut commands: mpsc::Receiver<Command>) {
    let mut waiting = None;
    while let Some(command) = waiting.take().or_else(|| commands.blocking_recv()) {
        match command {
            Command::Append(_) => waiting = write(&mut core, &mut commands, command),
            Command::Trim {
                below_exclusive,
                reply,
            } => {
                let _caller_left = reply.send(core.trim(below_exclusive));
            }
            // What was queued before is done; what comes later is refused.
            Command::Close => commands.close(),
        }
    }
    if let Err(error) = core.seal() {
        tracing::warn!(%error, "The log could not be sealed; it is checked when it is opened.");
    }
}

/// Writes one group: this append and those that wait behind it, as far as they fit. Returns the
/// command that did not.
fn write(
    core: &mut Core,
    commands: &mut mpsc::Receiver<Command>,
    first: Command,
) -> Option<Command> {
    let group_bytes = core.shared().settings.group_bytes;
    let mut group: Vec<Append> = Vec::new();
    let mut pending = 0;
    let mut candidate = Some(first);
    // Bounds the commands that add no bytes, too: those already in the group do not wait for ever.
    let mut left = MAX_QUEUED;
    let left_over = loop {
        match candidate {
            Some(Command::Append(append)) if pending + append.bytes <= group_bytes => {
                match core.check_room(pending, append.bytes) {
                    Ok(()) => {
                        pending += append.bytes;
                        group.push(append);
                    }
                    Err(error) => {
                        let _caller_left = append.reply.send(Err(error));
                    }
                }
            }
            other => break other,
        }
        left -= 1;
        if left == 0 {
            break None;
        }
        candidate = commands.try_recv().ok();
    };

    let announcements: Vec<_> = group
        .iter_mut()
        .map(|append| (append.records.len() as u64, append.announce.take()))
        .collect();
    let outcome = core.write_group(
        group.iter().flat_map(|append| &append.records),
        |mut sequence| {
            for (records, announce) in announcements {
                if let Some(announce) = announce {
                    announce(sequence);
                }
                sequence += records;
            }
        },
    );
    let mut sequence = outcome;
    for append in group {
        let answer = sequence.clone();
        if let Ok(next) = &mut sequence {
            *next += append.records.len() as u64;
        }
        let _caller_left = append.reply.send(answer);
    }
    left_over
}
