//! Follows the gRPC framing of a request: `flag: u8, length: u32, message`, over and over.
//!
//! It looks at five bytes a message and nothing else; whether the message is right is tonic's to say.

use super::budget::{Charge, SMALL_MESSAGE_BYTES};
use crate::rpc::wire_limits::MAX_MESSAGE_BYTES;

const PREFIX_BYTES: usize = 5;

/// Where in the framing a body is.
#[derive(Debug, Default)]
pub struct Framing {
    /// The part of a prefix that has come.
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    /// Bytes of the message that have not come.
    missing: usize,
    is_compressed: bool,
    /// What the message that has not ended was charged.
    begun: Charge,
}

impl Framing {
    /// Goes through data that has come; returns what the messages in it have to be charged.
    pub fn advance(&mut self, mut data: &[u8]) -> Charge {
        let mut charge = Charge::default();
        while !data.is_empty() {
            if self.missing == 0 {
                let taken = data.len().min(PREFIX_BYTES - self.prefix_bytes);
                let (part, rest) = data.split_at(taken);
                self.prefix[self.prefix_bytes..self.prefix_bytes + taken].copy_from_slice(part);
                self.prefix_bytes += taken;
                data = rest;
                if self.prefix_bytes < PREFIX_BYTES {
                    break;
                }
                self.begin();
                charge.add(self.begun);
            }
            let taken = data.len().min(self.missing);
            self.missing -= taken;
            data = &data[taken..];
            if self.missing == 0 {
                // One at a time is unpacked, so any number in one frame needs room once.
                if self.is_compressed {
                    charge.unpacked = MAX_MESSAGE_BYTES;
                }
                self.prefix_bytes = 0;
                self.begun = Charge::default();
            }
        }
        charge
    }

    fn begin(&mut self) {
        let [flag, length @ ..] = self.prefix;
        let length = u32::from_be_bytes(length) as usize;
        self.is_compressed = flag == 1;
        self.missing = length;
        // A message over the limit is refused by its prefix: no room is made for it.
        let bytes = match length {
            0..=MAX_MESSAGE_BYTES => length + PREFIX_BYTES,
            _ => PREFIX_BYTES,
        };
        self.begun = match bytes <= SMALL_MESSAGE_BYTES {
            true => Charge::small(bytes),
            false => Charge::large(bytes),
        };
    }

    /// Whether the last message has begun and not ended.
    pub fn is_within_message(&self) -> bool {
        self.missing > 0 || self.prefix_bytes > 0
    }

    /// What that message was charged.
    pub fn begun(&self) -> Charge {
        self.begun
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(flag: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![flag];
        bytes.extend(u32::try_from(length).expect("a length").to_be_bytes());
        bytes.resize(PREFIX_BYTES + length, 7);
        bytes
    }

    #[test]
    fn a_message_is_charged_whole_by_its_prefix() {
        let mut framing = Framing::default();
        let message = framed(0, 1_000);
        assert_eq!(framing.advance(&message[..4]), Charge::default());
        assert!(framing.is_within_message());
        assert_eq!(framing.advance(&message[4..5]), Charge::small(1_005));
        assert_eq!(framing.advance(&message[5..900]), Charge::default());
        assert_eq!(framing.begun(), Charge::small(1_005));
        assert_eq!(framing.advance(&message[900..]), Charge::default());
        assert_eq!(framing.begun(), Charge::default());
        assert!(!framing.is_within_message());
    }

    #[test]
    fn what_a_compressed_message_may_become_is_charged_with_its_last_byte() {
        let mut framing = Framing::default();
        let message = framed(1, 20);
        assert_eq!(framing.advance(&message[..24]).unpacked, 0);
        assert_eq!(framing.advance(&message[24..]).unpacked, MAX_MESSAGE_BYTES);
        let two = [framed(1, 3), framed(1, 0)].concat();
        assert_eq!(framing.advance(&two).unpacked, MAX_MESSAGE_BYTES);
    }

    #[test]
    fn large_messages_have_a_share_of_their_own_and_those_over_the_limit_none() {
        let begin = |length: u32| {
            let mut framing = Framing::default();
            let [a, b, c, d] = length.to_be_bytes();
            framing.advance(&[0, a, b, c, d])
        };
        let largest = MAX_MESSAGE_BYTES as u32;
        assert_eq!(begin(largest), Charge::large(MAX_MESSAGE_BYTES + 5));
        assert_eq!(begin(largest + 1), Charge::small(5));
        assert_eq!(begin(u32::MAX), Charge::small(5));
    }

    proptest! {
        #[test]
        fn however_messages_are_cut_they_are_charged_the_same(
            lengths in prop::collection::vec(0usize..300, 0..20),
            cuts in prop::collection::vec(1usize..200, 1..20),
        ) {
            let stream: Vec<u8> = lengths.iter().flat_map(|&length| framed(0, length)).collect();
            let mut framing = Framing::default();
            let mut charged = Charge::default();
            let mut rest = stream.as_slice();
            for &cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (part, after) = rest.split_at(cut.min(rest.len()));
                charged.add(framing.advance(part));
                rest = after;
            }
            prop_assert!(!framing.is_within_message());
            prop_assert_eq!(charged, Charge::small(stream.len()));
        }
    }
}
