//! Country of an address, from a database file in MaxMind's format that the operator provides.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use maxminddb::{MaxMindDbError, Reader, path};

/// An ISO 3166-1 alpha-2 code, upper case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CountryCode([u8; 2]);

impl CountryCode {
    /// Two ASCII letters in any case. `None` for anything else and for `ZZ` and `XX`, which
    /// databases use for "unknown" (both are user-assigned codes in ISO 3166).
    pub fn new(text: &str) -> Option<Self> {
        let [first, second] = *text.as_bytes() else {
            return None;
        };
        let code = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
        let known = code.iter().all(u8::is_ascii_uppercase) && !matches!(&code, b"ZZ" | b"XX");
        known.then_some(Self(code))
    }

    pub fn as_str(&self) -> &str {
        // Only ASCII letters get in, so the fallback is never taken.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The file cannot be read, or is no MaxMind DB.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the country database: {0}")]
pub struct GeoError(#[from] MaxMindDbError);

/// A country database, held in memory.
///
/// Not memory-mapped: a map of a file that an updater truncates in place ends the process with
/// SIGBUS, and a country database is small (4–10 MB). A newer file is read at the next start.
pub struct Countries {
    reader: Reader<Vec<u8>>,
}

impl Countries {
    /// Reads the whole file. Any database that has `country.iso_code` (GeoLite2, GeoIP2, DB-IP) or
    /// `country_code` (ip-location-db) in its records will do.
    ///
    /// # Errors
    /// [`GeoError`] when the file cannot be read or is not a MaxMind DB. A database without countries is
    /// not noticed here: it gives `None` for every address.
    pub fn open(file: impl AsRef<Path>) -> Result<Self, GeoError> {
        Ok(Self {
            reader: Reader::open_readfile(file)?,
        })
    }

    /// `None` for addresses that the database does not know, private ones among them. A damaged
    /// record also gives `None`: a missing country must not cost an event.
    pub fn country(&self, address: IpAddr) -> Option<CountryCode> {
        let found = self.reader.lookup(address).ok()?;
        // A different shape is an error or `None`, depending on where the paths part.
        let nested = found
            .decode_path::<&str>(&path!["country", "iso_code"])
            .ok()
            .flatten();
        let code = nested.or_else(|| {
            found
                .decode_path::<&str>(&path!["country_code"])
                .ok()
                .flatten()
        })?;
        CountryCode::new(code)
    }

    /// What the file says about itself, for the log at start: type and build time in Unix seconds.
    pub fn describe(&self) -> (&str, u64) {
        let metadata = self.reader.metadata();
        (&metadata.database_type, metadata.build_epoch)
    }
}

impl fmt::Debug for Countries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Countries").field(&self.describe()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name)
    }

    #[test]
    fn both_shapes_give_the_same_countries() {
        for name in ["country-nested.mmdb", "country-flat.mmdb"] {
            let countries = Countries::open(fixture(name)).unwrap();
            let country = |ip: &str| {
                countries
                    .country(ip.parse().unwrap())
                    .map(|code| code.to_string())
            };
            assert_eq!(country("192.0.2.7").as_deref(), Some("DE"), "{name}");
            assert_eq!(country("198.51.100.255").as_deref(), Some("FR"), "{name}");
            assert_eq!(country("2001:db8:1::5").as_deref(), Some("FR"), "{name}");
            assert_eq!(country("203.0.113.1"), None, "{name}: ZZ is no country");
            assert_eq!(country("203.0.113.200"), None, "{name}: empty code");
            assert_eq!(country("10.0.0.1"), None, "{name}: not in the database");
            assert_eq!(country("::1"), None, "{name}");
        }
    }

    #[test]
    fn a_wrong_file_is_an_error_and_a_damaged_one_never_panics() {
        assert!(Countries::open(fixture("absent.mmdb")).is_err());
        assert!(Countries::open(fixture("make_mmdb.py")).is_err());
        let whole = std::fs::read(fixture("country-nested.mmdb")).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            let Ok(reader) = Reader::from_source(damaged) else {
                continue;
            };
            let countries = Countries { reader };
            for ip in ["192.0.2.7", "2001:db8:1::5", "203.0.113.1"] {
                countries.country(ip.parse().unwrap());
            }
        }
    }

    #[test]
    fn codes() {
        assert_eq!(
            CountryCode::new("de")
                .map(|code| code.to_string())
                .as_deref(),
            Some("DE")
        );
        for bad in ["", "D", "DEU", "1A", "ü", "ZZ", "None"] {
            assert_eq!(CountryCode::new(bad), None, "{bad}");
        }
    }
}
