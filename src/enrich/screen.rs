//! Screen sizes.

use std::fmt;

/// The largest width or height believed, in pixels. Wider than any wall of displays that a browser
/// reports as one screen; what is beyond is a mistake or a fingerprinting defence.
pub const SIDE_PIXELS_MAX: u16 = 20_000;

/// A screen in CSS pixels. Shown as `1920x1080`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Screen {
    /// 1 to [`SIDE_PIXELS_MAX`].
    pub width: u16,
    /// 1 to [`SIDE_PIXELS_MAX`].
    pub height: u16,
}

impl fmt::Display for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// Reads `1920x1080`, also with `X`, `×` or `*` and with blanks. `None` when it is not two whole
/// numbers from 1 to [`SIDE_PIXELS_MAX`].
pub fn parse(raw: &str) -> Option<Screen> {
    let (width, height) = raw.split_once(['x', 'X', '×', '*'])?;
    Some(Screen {
        width: side(width)?,
        height: side(height)?,
    })
}

fn side(raw: &str) -> Option<u16> {
    let digits = raw.trim();
    // `parse` alone would take "+5".
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits
        .parse()
        .ok()
        .filter(|side| (1..=SIDE_PIXELS_MAX).contains(side))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses() {
        for (raw, expected) in [
            ("1920x1080", Some("1920x1080")),
            (" 390 × 844 ", Some("390x844")),
            ("0800X0600", Some("800x600")),
            ("20000*1", Some("20000x1")),
            ("20001x1", None),
            ("0x0", None),
            ("-1x5", None),
            ("+1x5", None),
            ("1920", None),
            ("1920x1080x24", None),
            ("1920.5x1080", None),
            ("99999999999x1", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(
                parse(raw).map(|screen| screen.to_string()).as_deref(),
                expected,
                "{raw}"
            );
        }
    }
}
