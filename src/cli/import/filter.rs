//! Which requests of an access log are page views.

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Extensions of what pages load rather than what people visit.
pub const STATIC_EXTENSIONS: [&str; 41] = [
    "aac",
    "apng",
    "avif",
    "bmp",
    "css",
    "cur",
    "eot",
    "flac",
    "gif",
    "ico",
    "jpeg",
    "jpg",
    "js",
    "jxl",
    "m4a",
    "m4s",
    "m4v",
    "map",
    "mjs",
    "mov",
    "mp3",
    "mp4",
    "mpd",
    "oga",
    "ogg",
    "ogv",
    "opus",
    "otf",
    "png",
    "svg",
    "tif",
    "tiff",
    "ts",
    "ttf",
    "wasm",
    "wav",
    "webm",
    "webmanifest",
    "webp",
    "woff",
    "woff2",
];

/// A list of statuses and ranges of them: `200-299,304`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// Whether the status is in the list.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl FromStr for Statuses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let status = |part: &str| {
            let number = part.trim().parse::<u16>().ok();
            number
                .filter(|number| (100..=999).contains(number))
                .ok_or_else(|| format!("`{part}` is not a status, need 100 to 999"))
        };
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (status(first)?, status(last)?);
            if first > last {
                return Err(format!("`{part}` ends before it starts"));
            }
            ranges.push(first..=last);
        }
        Ok(Self(ranges))
    }
}

/// Extensions of files, in lower case and without the dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extensions(Vec<String>);

impl Default for Extensions {
    fn default() -> Self {
        Self(STATIC_EXTENSIONS.map(str::to_owned).into())
    }
}

impl FromStr for Extensions {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let extensions = text
            .split(',')
            .map(|part| part.trim().trim_start_matches('.').to_ascii_lowercase());
        Ok(Self(extensions.filter(|part| !part.is_empty()).collect()))
    }
}

impl Extensions {
    /// Whether the last segment of the target's path has one of the extensions.
    pub fn match_target(&self, target: &str) -> bool {
        let path = target.split(['?', '#']).next().unwrap_or_default();
        let file = path.rsplit('/').next().unwrap_or_default();
        let Some((_, extension)) = file.rsplit_once('.') else {
            return false;
        };
        let extension = extension.to_ascii_lowercase();
        self.0.contains(&extension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_statuses() {
        let statuses: Statuses = "200-299, 304".parse().expect("list");
        let contained = [199, 200, 206, 299, 300, 304, 404].map(|status| statuses.contains(status));
        assert_eq!(contained, [false, true, true, true, false, true, false]);
        for wrong in ["", "20", "299-200", "a-b", "200-", "1000"] {
            assert!(wrong.parse::<Statuses>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn static_files() {
        let extensions = Extensions::default();
        for target in [
            "/a.CSS",
            "/x/y.js?v=1.2",
            "/favicon.ico#a",
            "https://a/b.png",
        ] {
            assert!(extensions.match_target(target), "{target}");
        }
        for target in [
            "/",
            "/a.html",
            "/css",
            "/v1.js/",
            "/robots.txt",
            "/?f=a.css",
            "/a.pdf",
        ] {
            assert!(!extensions.match_target(target), "{target}");
        }
        let own: Extensions = ".PDF, zip".parse().expect("list");
        assert!(own.match_target("/a.pdf") && !own.match_target("/a.css"));
    }
}
