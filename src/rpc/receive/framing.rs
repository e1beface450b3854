//! Follows the gRPC framing of a request: `flag: u8, length: u32, message`, over and over.
//!
//! It looks at five bytes a message and nothing else; whether the message is right is tonic's to say.

use super::budget::{Charge, SMALL_MESSAGE_BYTES};
use crate::rpc::wire_limits::MAX_MESSAGE_BYTES;

const PREFIX_BYTES: usize = 5;

/// What of the data that has come goes on together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Piece {
    /// So many bytes of it.
    pub bytes: usize,
    /// What they have to be charged first.
    pub charge: Charge,
    /// Messages that end in it.
    pub ended: usize,
}

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
    /// Goes through the next piece of data that has come. A piece is what can be charged together:
    /// plain messages that came whole, or (a part of) one message. So whatever is charged to begin a
    /// message, or to unpack one, is charged when the messages before it have been taken.
    pub fn advance(&mut self, data: &[u8]) -> Piece {
        if self.is_within_message() {
            return self.advance_within(data);
        }
        let mut whole = Piece::default();
        while let Some((prefix, after)) = data[whole.bytes..].split_first_chunk() {
            let (is_compressed, length) = read(*prefix);
            if is_compressed || length > after.len() {
                break;
            }
            whole.bytes += PREFIX_BYTES + length;
            whole.charge.add(charge_of(length));
            whole.ended += 1;
        }
        match whole.ended {
            0 => self.advance_within(data),
            _ => whole,
        }
    }

    /// To the end of the message or of the data.
    fn advance_within(&mut self, data: &[u8]) -> Piece {
        let mut piece = Piece {
            bytes: data.len().min(PREFIX_BYTES - self.prefix_bytes),
            ..Piece::default()
        };
        let (of_prefix, rest) = data.split_at(piece.bytes);
        self.prefix[self.prefix_bytes..][..of_prefix.len()].copy_from_slice(of_prefix);
        self.prefix_bytes += of_prefix.len();
        if self.prefix_bytes < PREFIX_BYTES {
            return piece;
        }
        if !of_prefix.is_empty() {
            (self.is_compressed, self.missing) = read(self.prefix);
            self.begun = charge_of(self.missing);
            piece.charge = self.begun;
        }
        let of_message = rest.len().min(self.missing);
        self.missing -= of_message;
        piece.bytes += of_message;
        if self.missing == 0 {
            if self.is_compressed {
                piece.charge.unpacked = MAX_MESSAGE_BYTES;
            }
            piece.ended = 1;
            self.prefix_bytes = 0;
            self.begun = Charge::default();
        }
        piece
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

/// Whether a message is compressed, and its length.
fn read(prefix: [u8; PREFIX_BYTES]) -> (bool, usize) {
    let [flag, length @ ..] = prefix;
    (flag == 1, u32::from_be_bytes(length) as usize)
}

/// What a message of so many bytes is charged from its prefix on.
fn charge_of(length: usize) -> Charge {
    // A message over the limit is refused by its prefix: no room is made for it.
    let bytes = match length {
        0..=MAX_MESSAGE_BYTES => length + PREFIX_BYTES,
        _ => PREFIX_BYTES,
    };
    match bytes <= SMALL_MESSAGE_BYTES {
        true => Charge::small(bytes),
        false => Charge::large(bytes),
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
        assert_eq!(framing.advance(&message[..4]).charge, Charge::default());
        assert!(framing.is_within_message());
        assert_eq!(framing.advance(&message[4..5]).charge, Charge::small(1_005));
        assert_eq!(framing.advance(&message[5..900]).charge, Charge::default());
        assert_eq!(framing.begun(), Charge::small(1_005));
        assert_eq!(framing.advance(&message[900..]).charge, Charge::default());
        assert_eq!(framing.begun(), Charge::default());
        assert!(!framing.is_within_message());
    }

    #[test]
    fn what_a_compressed_message_may_become_is_charged_with_its_last_byte() {
        let mut framing = Framing::default();
        let message = framed(1, 20);
        assert_eq!(framing.advance(&message[..24]).charge.unpacked, 0);
        let last = framing.advance(&message[24..]);
        assert_eq!(last.charge.unpacked, MAX_MESSAGE_BYTES);
    }

    #[test]
    fn plain_messages_go_on_together_and_others_alone() {
        let data = [
            framed(0, 100),
            framed(0, 10),
            framed(0, 0),
            framed(1, 3),
            framed(1, 0),
            framed(0, 5),
            framed(0, 300)[..7].to_vec(),
        ]
        .concat();
        let mut framing = Framing::default();
        let mut rest = data.as_slice();
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let piece = framing.advance(rest);
            rest = &rest[piece.bytes..];
            pieces.push((piece.bytes, piece.charge.small, piece.charge.unpacked > 0));
        }
        let expected = [
            (125, 125, false),
            (8, 8, true),
            (5, 5, true),
            (10, 10, false),
            (7, 305, false),
        ];
        assert_eq!(pieces, expected);
        let end = [vec![7; 298], framed(0, 1)].concat();
        let piece = framing.advance(&end);
        assert_eq!((piece.bytes, piece.charge), (298, Charge::default()));
    }

    #[test]
    fn large_messages_have_a_share_of_their_own_and_those_over_the_limit_none() {
        let begin = |length: u32| {
            let mut framing = Framing::default();
            let [a, b, c, d] = length.to_be_bytes();
            framing.advance(&[0, a, b, c, d]).charge
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
                let (mut part, after) = rest.split_at(cut.min(rest.len()));
                while !part.is_empty() {
                    let piece = framing.advance(part);
                    charged.add(piece.charge);
                    part = &part[piece.bytes..];
                }
                rest = after;
            }
            prop_assert!(!framing.is_within_message());
            prop_assert_eq!(charged, Charge::small(stream.len()));
        }
    }
}
