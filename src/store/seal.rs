//! Seals short texts that callers are given and hand back, so that nobody can make them up.
//!
//! A sealed text is base64url of the payload and the first 12 bytes of an HMAC-SHA256 over purpose,
//! property and payload. The secret is the database's own (`installation`), so every server on it reads
//! what another one wrote, and none reads those of another installation. The payload is not secret.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deadpool_postgres::Pool;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::StoreError;

const MAC_BYTES: usize = 12;

/// What a sealed text is for; one for something else does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Waiting until events are in the database.
    Freshness = 1,
    /// Going on with a watch.
    Resume = 2,
}

/// The seal of a database.
#[derive(Clone)]
pub struct Seal(Hmac<Sha256>);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Seal {
    /// The seal of the database.
    pub async fn load(pool: &Pool) -> Result<Self, StoreError> {
        let client = pool.get().await?;
        let row = client
            .query_one("select token_secret from installation", &[])
            .await?;
        Ok(Self::new(row.get(0)))
    }

    fn new(secret: &[u8]) -> Self {
        match Hmac::new_from_slice(secret) {
            Ok(hmac) => Self(hmac),
            Err(_) => unreachable!("HMAC takes keys of any length"),
        }
    }

    fn mac(&self, purpose: Purpose, property_no: i32, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(&[purpose as u8]);
        mac.update(&property_no.to_be_bytes());
        mac.update(payload);
        mac
    }

    /// Seals a payload for callers of a property.
    pub fn close(&self, purpose: Purpose, property_no: i32, payload: &[u8]) -> String {
        let mac = self.mac(purpose, property_no, payload).finalize();
        let sealed = [payload, &mac.into_bytes()[..MAC_BYTES]].concat();
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// The payload of a sealed text; `None` if it was not sealed here for this, or was changed.
    pub fn open<const N: usize>(
        &self,
        purpose: Purpose,
        property_no: i32,
        text: &str,
    ) -> Option<[u8; N]> {
        if text.len() > (N + MAC_BYTES).div_ceil(3) * 4 {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (payload, mac) = sealed.split_at_checked(N)?;
        if mac.len() != MAC_BYTES {
            return None;
        }
        self.mac(purpose, property_no, payload)
            .verify_truncated_left(mac)
            .ok()?;
        payload.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_for_the_same_opens() {
        let seal = Seal::new(b"a secret");
        let text = seal.close(Purpose::Freshness, 7, b"12345678");
        let open = |seal: &Seal, purpose, property_no, text: &str| {
            seal.open::<8>(purpose, property_no, text)
        };
        assert_eq!(
            open(&seal, Purpose::Freshness, 7, &text),
            Some(*b"12345678")
        );
        assert_eq!(open(&seal, Purpose::Freshness, 8, &text), None);
        assert_eq!(open(&seal, Purpose::Resume, 7, &text), None);
        let other = Seal::new(b"another secret");
        assert_eq!(open(&other, Purpose::Freshness, 7, &text), None);
        assert_eq!(seal.open::<7>(Purpose::Freshness, 7, &text), None);
        for place in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).expect("ASCII");
            assert_eq!(
                open(&seal, Purpose::Freshness, 7, &forged),
                None,
                "{forged}"
            );
        }
        for text in ["", "x", &text[1..], &format!("{text}A"), &"A".repeat(1_000)] {
            assert_eq!(open(&seal, Purpose::Freshness, 7, text), None, "{text}");
        }
    }
}
