use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_test::{assert_pending, assert_ready, task};
use tonic::Code;
use tonic_types::StatusExt;

use super::*;

const MIB: usize = 1 << 20;

/// A client, and the body of its call.
struct Call {
    sender: Option<UnboundedSender<Bytes>>,
    body: MeteredBody,
}

impl Call {
    fn new(budget: &Arc<ReceiveBudget>) -> Self {
        let (sender, receiver) = unbounded_channel();
        let frames = tokio_stream::StreamExt::map(UnboundedReceiverStream::new(receiver), |data| {
            Ok::<_, Status>(Frame::data(data))
        });
        Self {
            sender: Some(sender),
            body: MeteredBody::new(Body::new(StreamBody::new(frames)), budget),
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
    assert_eq!(call.next().await.expect("data").expect("data"), 120);
    assert_eq!(budget.used_bytes(), 105 + 55);
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
