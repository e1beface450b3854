use std::sync::Arc;

use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_test::{assert_pending, assert_ready, task};
use tonic::Code;
use tonic_types::StatusExt;

use super::super::budget::ReceiveBudget;
use super::*;

const MIB: usize = 1 << 20;

/// A client, and the body of its call.
struct Call {
    sender: Option<UnboundedSender<Bytes>>,
    body: MeteredBody,
    received: Received,
}

impl Call {
    fn new(budget: &Arc<ReceiveBudget>) -> Self {
        Self::of(Messages::Many, budget)
    }

    fn of(messages: Messages, budget: &Arc<ReceiveBudget>) -> Self {
        let (sender, receiver) = unbounded_channel();
        let frames = tokio_stream::StreamExt::map(UnboundedReceiverStream::new(receiver), |data| {
            Ok::<_, Status>(Frame::data(data))
        });
        let received = Received::new(budget);
        let inner = Body::new(StreamBody::new(frames));
        Self {
            sender: Some(sender),
            body: MeteredBody::new(inner, messages, received.clone()),
            received,
        }
    }

    fn send(&self, data: Vec<u8>) {
        let sender = self.sender.as_ref().expect("the call goes on");
        sender.send(data.into()).expect("the body is there");
    }

    /// The next frame's bytes; `None` at the end.
    async fn next(&mut self) -> Option<Result<usize, Status>> {
        let frame = self.body.frame().await?;
        Some(frame.map(|frame| frame.data_ref().expect("data").len()))
    }

    fn is_idle(&mut self) -> bool {
        let mut next = task::spawn(self.body.frame());
        next.poll().is_pending()
    }
}

/// The first bytes of a message of so many.
fn begin(flag: u8, length: usize, sent: usize) -> Vec<u8> {
    let mut bytes = vec![flag];
    bytes.extend(u32::try_from(length).expect("a length").to_be_bytes());
    bytes.resize(5 + sent, 0);
    bytes
}

fn whole(length: usize) -> Vec<u8> {
    begin(0, length, length)
}

fn reason(ended: Option<Result<usize, Status>>) -> (Code, String, bool) {
    let status = ended.expect("not the end").expect_err("an error");
    let details = status.get_error_details();
    let reason = details.error_info().expect("a reason").reason.clone();
    (status.code(), reason, details.retry_info().is_some())
}

#[tokio::test]
async fn a_message_has_its_share_until_the_next_is_asked_for() {
    let budget = ReceiveBudget::new(8 * MIB);
    let mut call = Call::new(&budget);
    assert!(call.is_idle());
    assert_eq!(budget.used_bytes(), 0);
    call.send([whole(100), begin(0, 50, 10)].concat());
    assert_eq!(call.next().await.expect("data").expect("data"), 105);
    assert_eq!(budget.used_bytes(), 105);
    assert_eq!(call.next().await.expect("data").expect("data"), 15);
    // The second message has begun, so it keeps its share.
    assert!(call.is_idle());
    assert_eq!(budget.used_bytes(), 55);
    call.send(vec![0; 40]);
    assert_eq!(call.next().await.expect("data").expect("data"), 40);
    assert_eq!(budget.used_bytes(), 55);
    assert!(call.is_idle());
    assert_eq!(budget.used_bytes(), 0);
}

#[tokio::test]
async fn what_a_dropped_body_held_is_free() {
    let budget = ReceiveBudget::new(8 * MIB);
    let mut call = Call::new(&budget);
    call.send(begin(1, 50, 50));
    call.next().await.expect("data").expect("data");
    assert!(budget.used_bytes() > 50);
    drop(call);
    assert_eq!(budget.used_bytes(), 0);
}

#[tokio::test]
async fn a_body_ends_as_its_client_ends_it() {
    let budget = ReceiveBudget::new(8 * MIB);
    let mut call = Call::new(&budget);
    call.send(whole(1));
    call.sender = None;
    assert_eq!(call.next().await.expect("data").expect("data"), 6);
    assert!(call.next().await.is_none());
}

#[tokio::test]
async fn a_message_larger_than_its_share_goes_alone() {
    let budget = ReceiveBudget::new(8 * MIB);
    let [mut first, mut second] = [Call::new(&budget), Call::new(&budget)];
    for call in [&first, &second] {
        call.send(whole(4 * MIB));
    }
    first.next().await.expect("data").expect("data");
    let mut next = task::spawn(second.next());
    assert_pending!(next.poll());
    assert!(first.is_idle());
    assert!(next.is_woken());
    let data = assert_ready!(next.poll()).expect("data");
    assert_eq!(data.expect("data"), 4 * MIB + 5);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_never_completed_ends_the_call() {
    let budget = ReceiveBudget::new(8 * MIB);
    for sent in [begin(0, 100, 99), vec![0, 0]] {
        let mut call = Call::new(&budget);
        call.send(sent);
        call.next().await.expect("data").expect("data");
        let ended = reason(call.next().await);
        let expected = (Code::ResourceExhausted, "SENDER_TOO_SLOW".to_owned(), true);
        assert_eq!(ended, expected);
        assert_eq!(budget.used_bytes(), 0);
        assert!(call.next().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stalls_makes_room_for_one_that_waits() {
    let budget = ReceiveBudget::new(8 * MIB);
    let [mut slow, mut other] = [Call::new(&budget), Call::new(&budget)];
    slow.send(begin(0, 2 * MIB, MIB));
    slow.next().await.expect("data").expect("data");
    other.send(begin(0, 2 * MIB, 10));
    let (stalled, served) = tokio::join!(slow.next(), other.next());
    assert_eq!(reason(stalled).1, "SENDER_TOO_SLOW");
    assert_eq!(served.expect("data").expect("data"), 15);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_on_is_left_alone_while_others_wait() {
    let budget = ReceiveBudget::new(8 * MIB);
    let [mut steady, mut other] = [Call::new(&budget), Call::new(&budget)];
    let length = 2 * MIB;
    let sender = steady.sender.take().expect("a sender");
    let send_steadily = async move {
        sender.send(begin(0, length, 0).into()).expect("a body");
        let chunk = 256 * 1024;
        for _ in 0..length / chunk {
            tokio::time::advance(PROGRESS_EVERY / 2).await;
            sender.send(vec![0; chunk].into()).expect("a body");
        }
    };
    let receive = async {
        let mut received = 0;
        while let Some(data) = steady.next().await {
            received += data.expect("data");
            if received > 5 && other.sender.is_some() {
                other.send(begin(0, 2 * MIB, 0));
                other.sender = None;
            }
            let mut next = task::spawn(other.next());
            if received < length {
                assert_pending!(next.poll());
            }
        }
        received
    };
    let ((), received) = tokio::join!(send_steadily, receive);
    assert_eq!(received, length + 5);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_too_long_for_its_share_is_told_to_try_again() {
    let budget = ReceiveBudget::new(8 * MIB);
    let [mut busy, mut other] = [Call::new(&budget), Call::new(&budget)];
    busy.send(whole(2 * MIB));
    busy.next().await.expect("data").expect("data");
    // Its handler is at work, so nobody asks it for more.
    other.send(whole(2 * MIB));
    let ended = reason(other.next().await);
    let expected = (Code::ResourceExhausted, "OVERLOADED".to_owned(), true);
    assert_eq!(ended, expected);
    assert!(other.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_message_does_not_wait_for_room_for_the_next() {
    let budget = ReceiveBudget::new(12 * MIB);
    let [mut first, mut second] = [Call::new(&budget), Call::new(&budget)];
    let half = MIB - MIB / 4;
    // Each holds a part of the share for large messages, and the next message has no room beside both.
    for call in [&mut first, &mut second] {
        call.send(begin(0, MIB, half));
        call.next().await.expect("data").expect("data");
        call.send([vec![0; MIB - half], begin(0, 2 * MIB, 10)].concat());
    }
    for call in [&mut first, &mut second] {
        let passed = call.next().await.expect("data").expect("data");
        assert_eq!(passed, MIB - half);
    }
    let mut next = task::spawn(first.next());
    assert_pending!(next.poll());
    // The second waits behind it, and holds nothing.
    let mut next_of_second = task::spawn(second.next());
    assert_pending!(next_of_second.poll());
    assert_eq!(assert_ready!(next.poll()).expect("data").expect("data"), 15);
}

#[tokio::test]
async fn what_a_handler_has_dropped_is_free_before_it_asks_for_more() {
    let budget = ReceiveBudget::new(8 * MIB);
    let [mut busy, mut other] = [Call::new(&budget), Call::new(&budget)];
    busy.send([begin(1, 50, 50), begin(1, 20, 20), begin(0, 30, 3)].concat());
    assert_eq!(busy.next().await.expect("data").expect("data"), 55);
    other.send(begin(1, 10, 10));
    let mut next = task::spawn(other.next());
    assert_pending!(next.poll());
    busy.received.release();
    assert!(next.is_woken());
    assert_eq!(assert_ready!(next.poll()).expect("data").expect("data"), 15);
    drop(next);
    other.received.release();
    assert_eq!(budget.used_bytes(), 0);
    // Each compressed message has room of its own; one that has begun keeps its share.
    assert_eq!(busy.next().await.expect("data").expect("data"), 25);
    assert_eq!(budget.used_bytes(), 25 + 2 * MIB);
    assert_eq!(busy.next().await.expect("data").expect("data"), 8);
    busy.received.release();
    assert_eq!(budget.used_bytes(), 35);
}

#[tokio::test]
async fn the_message_of_a_call_with_one_has_its_share_until_the_handler_is_done_with_it() {
    let budget = ReceiveBudget::new(8 * MIB);
    let used_bytes = 55 + 2 * MIB;
    let mut call = Call::of(Messages::One, &budget);
    call.send(begin(1, 50, 50));
    assert_eq!(call.next().await.expect("data").expect("data"), 55);
    // As tonic does: it waits for the end, drops the body, and calls the handler.
    call.sender = None;
    assert!(call.next().await.is_none());
    assert_eq!(budget.used_bytes(), used_bytes);
    let Call { body, received, .. } = call;
    drop(body);
    assert_eq!(budget.used_bytes(), used_bytes);
    let of_handler = received.clone();
    of_handler.release();
    assert_eq!(budget.used_bytes(), 0);

    let mut call = Call::of(Messages::One, &budget);
    call.send(whole(50));
    call.next().await.expect("data").expect("data");
    drop(call);
    assert_eq!(budget.used_bytes(), 0, "nobody has it any more");
}

#[tokio::test(start_paused = true)]
async fn a_call_with_one_message_has_to_end_in_time() {
    let budget = ReceiveBudget::new(8 * MIB);
    let mut call = Call::of(Messages::One, &budget);
    call.send(whole(50));
    call.next().await.expect("data").expect("data");
    // A frame without data is no progress.
    call.send(Vec::new());
    assert_eq!(call.next().await.expect("data").expect("data"), 0);
    assert_eq!(reason(call.next().await).1, "SENDER_TOO_SLOW");
    assert_eq!(budget.used_bytes(), 0);
    // Before a message has begun there is nothing to hold.
    let mut call = Call::of(Messages::One, &budget);
    assert!(call.is_idle());
    tokio::time::advance(2 * MESSAGE_TIMEOUT).await;
    assert!(call.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_end_makes_room_for_one_that_waits() {
    let budget = ReceiveBudget::new(8 * MIB);
    let [mut open, mut other] = [0; 2].map(|_| Call::of(Messages::One, &budget));
    open.send(begin(1, 50, 50));
    open.next().await.expect("data").expect("data");
    other.send(begin(1, 10, 10));
    let (stalled, served) = tokio::join!(open.next(), other.next());
    assert_eq!(reason(stalled).1, "SENDER_TOO_SLOW");
    assert_eq!(served.expect("data").expect("data"), 15);
}

#[tokio::test]
async fn a_call_with_one_message_takes_no_other() {
    let budget = ReceiveBudget::new(8 * MIB);
    let expected = (Code::InvalidArgument, "MALFORMED_MESSAGE".to_owned(), false);
    let mut call = Call::of(Messages::One, &budget);
    call.send([whole(5), whole(6)].concat());
    assert_eq!(reason(call.next().await), expected);
    for second in [begin(1, 5, 5), vec![0]] {
        let mut call = Call::of(Messages::One, &budget);
        call.send([whole(5), second].concat());
        assert_eq!(call.next().await.expect("data").expect("data"), 10);
        assert_eq!(reason(call.next().await), expected);
        assert_eq!(budget.used_bytes(), 0);
    }
}
