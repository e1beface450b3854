//! The budget: bytes of requests that may be received and not handled yet.
//!
//! It has three shares, so that none can use up another's. Half is for messages of up to
//! [`SMALL_MESSAGE_BYTES`], which is nearly all of them; a quarter for larger ones; a quarter for
//! what compressed messages become. Nobody who holds a part of the last one waits for any other, so
//! nobody waits in a circle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

/// A message of more bytes, its prefix included, is large.
pub const SMALL_MESSAGE_BYTES: usize = 1024 * 1024;

/// How long a call waits for its part.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of each share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Charge {
    /// Of small messages.
    pub small: usize,
    /// Of large messages.
    pub large: usize,
    /// Of messages that are unpacked.
    pub unpacked: usize,
}

impl Charge {
    /// Of a small message.
    pub fn small(bytes: usize) -> Self {
        Self {
            small: bytes,
            ..Self::default()
        }
    }

    /// Of a large message.
    pub fn large(bytes: usize) -> Self {
        Self {
            large: bytes,
            ..Self::default()
        }
    }

    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.small += other.small;
        self.large += other.large;
        self.unpacked += other.unpacked;
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }

    fn each(self, other: Self, of: impl Fn(usize, usize) -> usize) -> Self {
        Self {
            small: of(self.small, other.small),
            large: of(self.large, other.large),
            unpacked: of(self.unpacked, other.unpacked),
        }
    }

    /// What is left of it without the other.
    pub fn without(self, other: Self) -> Self {
        self.each(other, usize::saturating_sub)
    }

    fn at_most(self, other: Self) -> Self {
        self.each(other, usize::min)
    }
}

/// A share: its free bytes, and how many wait for some.
#[derive(Debug)]
struct Share {
    free: Semaphore,
    waiting: AtomicUsize,
}

impl Share {
    fn new(bytes: usize) -> Self {
        Self {
            free: Semaphore::new(bytes),
            waiting: AtomicUsize::new(0),
        }
    }

    fn try_take(&self, bytes: usize) -> bool {
        let Ok(permits) = u32::try_from(bytes) else {
            return false;
        };
        if permits == 0 {
            return true;
        }
        // Fails while somebody waits, too: nobody is overtaken.
        self.free
            .try_acquire_many(permits)
            .map(|taken| taken.forget())
            .is_ok()
    }

    async fn take(&self, bytes: usize) {
        if self.try_take(bytes) {
            return;
        }
        let _waiting = Waiting::new(&self.waiting);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        // It is never closed.
        if let Ok(taken) = self.free.acquire_many(permits).await {
            taken.forget();
        }
    }

    fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The budget of all calls together.
#[derive(Debug)]
pub struct ReceiveBudget {
    total: Charge,
    small: Share,
    large: Share,
    unpacked: Share,
}

impl ReceiveBudget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        let quarter = bytes / 4;
        let total = Charge {
            small: bytes - 2 * quarter,
            large: quarter,
            unpacked: quarter,
        };
        Arc::new(Self {
            total,
            small: Share::new(total.small),
            large: Share::new(total.large),
            unpacked: Share::new(total.unpacked),
        })
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> usize {
        let free = self.small.free.available_permits()
            + self.large.free.available_permits()
            + self.unpacked.free.available_permits();
        (self.total.small + self.total.large + self.total.unpacked).saturating_sub(free)
    }

    /// A part of the budget for one call, nothing yet.
    pub fn part(self: &Arc<Self>) -> Part {
        Part {
            budget: Arc::clone(self),
            held: Charge::default(),
        }
    }
}

/// What one call holds; given back when dropped.
#[derive(Debug)]
pub struct Part {
    budget: Arc<ReceiveBudget>,
    held: Charge,
}

impl Part {
    /// More, if it is free right now; all of it or nothing.
    pub fn try_grow(&mut self, charge: Charge) -> bool {
        let before = self.held;
        let charge = self.payable(charge);
        if self.budget.small.try_take(charge.small) {
            self.held.small += charge.small;
            if self.budget.large.try_take(charge.large) {
                self.held.large += charge.large;
                if self.budget.unpacked.try_take(charge.unpacked) {
                    self.held.unpacked += charge.unpacked;
                    return true;
                }
            }
        }
        self.shrink_to(before);
        false
    }

    /// More, when it is free; gives itself back when that takes longer than [`WAIT_TIMEOUT`].
    pub async fn grow(mut self, charge: Charge) -> Option<Self> {
        let charge = self.payable(charge);
        let budget = Arc::clone(&self.budget);
        // What has been taken is noted step by step: giving up gives it back.
        let grown = tokio::time::timeout(WAIT_TIMEOUT, async {
            budget.small.take(charge.small).await;
            self.held.small += charge.small;
            budget.large.take(charge.large).await;
            self.held.large += charge.large;
            budget.unpacked.take(charge.unpacked).await;
            self.held.unpacked += charge.unpacked;
        });
        grown.await.ok()?;
        Some(self)
    }

    /// A call is charged a whole share at most: what is larger goes alone.
    fn payable(&self, charge: Charge) -> Charge {
        charge.at_most(self.budget.total.without(self.held))
    }

    /// Gives back all but this.
    pub fn shrink_to(&mut self, kept: Charge) {
        let returned = self.held.without(kept);
        if returned.is_zero() {
            return;
        }
        let budget = &self.budget;
        for (share, bytes) in [
            (&budget.small, returned.small),
            (&budget.large, returned.large),
            (&budget.unpacked, returned.unpacked),
        ] {
            if bytes > 0 {
                share.free.add_permits(bytes);
            }
        }
        self.held = self.held.without(returned);
    }

    /// Whether somebody waits for what is held.
    pub fn is_waited_for(&self) -> bool {
        (self.held.small > 0 && self.budget.small.is_waited_for())
            || (self.held.large > 0 && self.budget.large.is_waited_for())
            || (self.held.unpacked > 0 && self.budget.unpacked.is_waited_for())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.shrink_to(Charge::default());
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    #[test]
    fn what_is_dropped_is_given_back() {
        let budget = ReceiveBudget::new(8 << 20);
        let mut part = budget.part();
        assert!(part.try_grow(Charge::small(1_000)));
        assert!(part.try_grow(Charge::large(2_000)));
        assert_eq!(budget.used_bytes(), 3_000);
        part.shrink_to(Charge::small(10));
        assert_eq!(budget.used_bytes(), 10);
        drop(part);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn a_call_is_charged_a_whole_share_at_most() {
        let budget = ReceiveBudget::new(8 << 20);
        let mut part = budget.part();
        assert!(part.try_grow(Charge::large(1 << 30)));
        assert_eq!(budget.used_bytes(), 2 << 20);
        assert!(!budget.part().try_grow(Charge::large(1)));
    }

    #[test]
    fn large_messages_leave_small_ones_their_share() {
        let budget = ReceiveBudget::new(8 << 20);
        let mut large = budget.part();
        assert!(large.try_grow(Charge::large(2 << 20)));
        let mut both = budget.part();
        let charge = Charge {
            small: 5,
            ..Charge::large(1)
        };
        assert!(!both.try_grow(charge));
        assert_eq!(budget.used_bytes(), 2 << 20, "all or nothing");
        assert!(both.try_grow(Charge::small(5)));
    }

    #[tokio::test]
    async fn who_waits_is_served_in_turn_and_is_seen_to_wait() {
        let budget = ReceiveBudget::new(8 << 20);
        let mut first = budget.part();
        assert!(first.try_grow(Charge::small(4 << 20)));
        assert!(!first.is_waited_for());
        let mut second = task::spawn(budget.part().grow(Charge::small(100)));
        assert_pending!(second.poll());
        assert!(first.is_waited_for());
        first.shrink_to(Charge::small((4 << 20) - 99));
        assert!(!budget.part().try_grow(Charge::small(1)), "it overtakes");
        first.shrink_to(Charge::default());
        let second = assert_ready!(second.poll());
        assert_eq!(budget.used_bytes(), 100);
        drop(second);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_gives_up_what_it_held() {
        let budget = ReceiveBudget::new(8 << 20);
        let mut first = budget.part();
        assert!(first.try_grow(Charge::large(2 << 20)));
        let mut second = budget.part();
        assert!(second.try_grow(Charge::small(100)));
        assert!(second.grow(Charge::large(1)).await.is_none());
        assert_eq!(budget.used_bytes(), 2 << 20);
        assert!(!first.is_waited_for());
    }
}
