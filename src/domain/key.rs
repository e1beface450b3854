//! Keys: `tmw_<id>_<secret>`, random, stored hashed.

use std::fmt;

use rand::distr::{Alphanumeric, SampleString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Length of a key's public part, which names it in lists and logs.
const ID_LENGTH: usize = 12;
/// Length of a generated secret part: 27 letters and digits are 160 bits.
const SECRET_LENGTH: usize = 27;
/// The shortest secret part accepted from the configuration.
const MIN_SECRET_LENGTH: usize = 16;
/// The longest key looked at.
const MAX_KEY_LENGTH: usize = 256;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Send events.
    Write,
    /// Ask questions.
    Read,
    /// Manage properties and keys.
    Admin,
}

impl KeyKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Write, Self::Read, Self::Admin];

    /// What keys of this kind start with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Write => "tmw",
            Self::Read => "tmr",
            Self::Admin => "tma",
        }
    }

    /// `write`, `read` or `admin`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    /// How the key is called in an error: `a write key`.
    pub fn needed(self) -> &'static str {
        match self {
            Self::Write => "a write key (tmw_…)",
            Self::Read => "a read key (tmr_…)",
            Self::Admin => "an admin key (tma_…)",
        }
    }

    /// Its number in the database.
    pub fn number(self) -> i16 {
        match self {
            Self::Write => 1,
            Self::Read => 2,
            Self::Admin => 3,
        }
    }

    /// The kind with that number.
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

/// A whole key, secret part included. `Debug` shows its public part only.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// What it may do.
    pub kind: KeyKind,
    /// Public part, with the kind's prefix: `tmw_<id>`.
    pub id: String,
    text: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_…", self.id)
    }
}

impl Key {
    /// A new random key.
    pub fn generate(kind: KeyKind) -> Self {
        let mut random = rand::rng();
        let id = Alphanumeric.sample_string(&mut random, ID_LENGTH);
        let id = format!("{}_{id}", kind.prefix());
        let secret = Alphanumeric.sample_string(&mut random, SECRET_LENGTH);
        let text = format!("{id}_{secret}");
        Self { kind, id, text }
    }

    /// Reads a key; `None` when it has not the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_KEY_LENGTH {
            return None;
        }
        let (prefix, rest) = text.split_once('_')?;
        let (id, secret) = rest.split_once('_')?;
        let kind = KeyKind::ALL
            .into_iter()
            .find(|kind| kind.prefix() == prefix)?;
        let is_word = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if id.is_empty() || !is_word(id) || secret.len() < MIN_SECRET_LENGTH || !is_word(secret) {
            return None;
        }
        Some(Self {
            kind,
            id: format!("{prefix}_{id}"),
            text: text.to_owned(),
        })
    }

    /// The key as it is sent. Show it once, to its owner.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// What is stored of it.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.text.as_bytes()).into()
    }

    /// Whether this key is the one that was stored as `sha256`, in constant time.
    pub fn matches(&self, sha256: &[u8; 32]) -> bool {
        self.sha256().ct_eq(sha256).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_parses_and_matches_its_hash_alone() {
        for kind in KeyKind::ALL {
            let key = Key::generate(kind);
            let parsed = Key::parse(key.reveal()).expect("a generated key parses");
            assert_eq!(parsed, key);
            assert!(key.matches(&key.sha256()));
            assert!(!key.matches(&Key::generate(kind).sha256()));
            assert!(!format!("{key:?}").contains(&key.text));
        }
    }

    #[test]
    fn what_is_not_a_key_does_not_parse() {
        for text in [
            "",
            "tmw",
            "tmw_",
            "tmw_abc",
            "tmw_abc_short",
            "tmx_abcdefghijkl_aaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "tmw__aaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "tmw_abc_aaaaaaaaaaaaaaaaaaaaaaaaaa'",
            "tmw_abc_aaaaaaaaaaaaaaaa_aaaaaaaaaaa",
        ] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
        assert_eq!(Key::parse(&format!("tmw_abc_{}", "a".repeat(300))), None);
    }
}
