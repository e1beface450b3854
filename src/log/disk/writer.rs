//! The writer's thread: takes what waits, writes it as one group, answers everyone in it.

use std::io;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::core::Core;
use super::error::AppendError;

/// What the thread is asked to do, in order.
#[derive(Debug)]
pub enum Command {
    Append {
        records: Vec<Bytes>,
        /// With headers.
        bytes: usize,
        reply: oneshot::Sender<Result<u64, AppendError>>,
        /// Gives the room in the queue back when the command is done with.
        _room: OwnedSemaphorePermit,
    },
    Trim {
        below_exclusive: u64,
        reply: oneshot::Sender<Result<u64, AppendError>>,
    },
    Close,
}

/// An append that is going to be written.
type Admitted = (
    Vec<Bytes>,
    oneshot::Sender<Result<u64, AppendError>>,
    OwnedSemaphorePermit,
);

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
            Command::Append { .. } => waiting = write(&mut core, &mut commands, command),
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
    let mut group: Vec<Admitted> = Vec::new();
    let mut pending = 0;
    let mut candidate = Some(first);
    let left_over = loop {
        match candidate {
            Some(Command::Append {
                records,
                bytes,
                reply,
                _room,
            }) if pending + bytes <= group_bytes => match core.check_room(pending, bytes) {
                Ok(()) => {
                    pending += bytes;
                    group.push((records, reply, _room));
                }
                Err(error) => {
                    let _caller_left = reply.send(Err(error));
                }
            },
            other => break other,
        }
        candidate = commands.try_recv().ok();
    };

    let outcome = core.write_group(group.iter().flat_map(|(records, ..)| records));
    let mut sequence = outcome.clone();
    for (records, reply, _room) in group {
        let answer = sequence.clone();
        if let Ok(next) = &mut sequence {
            *next += records.len() as u64;
        }
        let _caller_left = reply.send(answer);
    }
    left_over
}
