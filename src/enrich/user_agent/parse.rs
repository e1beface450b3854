//! One header to one [`Agent`]: bots first, then woothee, then the corrections.

use std::borrow::Cow;

use woothee::parser::{Parser, WootheeResult};

use super::rules::{BROWSERS, SYSTEMS, TABLET_TEXTS, TV_TEXTS, WINDOWS};
use super::{Agent, Device, bots};

/// What woothee says where it does not know.
const WOOTHEE_UNKNOWN: &str = "UNKNOWN";

/// Longer names are not names, in bytes. Only woothee's own can get here, so this is a second belt.
const NAME_BYTES_MAX: usize = 64;

type Name = Option<Cow<'static, str>>;
type Version = Option<Box<str>>;

pub(super) fn parse(agent: &str) -> Agent {
    let lower = agent.to_ascii_lowercase();
    if let Some(name) = bots::name(&lower) {
        return Agent::bot(name);
    }
    let found = Parser::new().parse(agent).unwrap_or_default();
    // "misc" holds feed readers and HTTP libraries.
    if matches!(found.category, "crawler" | "misc") {
        return Agent::bot(own_name(found.name).unwrap_or(Cow::Borrowed("Other bot")));
    }
    let System {
        os,
        os_version,
        device,
    } = system(agent, &lower, &found);
    let (browser, browser_version) = browser(agent, os.as_deref(), &found);
    Agent {
        browser,
        browser_version,
        os,
        os_version,
        device,
        is_bot: false,
    }
}

fn own_name(name: &str) -> Name {
    let known = !name.is_empty() && name != WOOTHEE_UNKNOWN && name.len() <= NAME_BYTES_MAX;
    known.then(|| Cow::Owned(name.to_owned()))
}

fn browser(agent: &str, os: Option<&str>, found: &WootheeResult<'_>) -> (Name, Version) {
    if let Some(rule) = BROWSERS.iter().find(|rule| agent.contains(rule.text)) {
        return (
            Some(Cow::Borrowed(rule.name)),
            version_after(agent, rule.version_after),
        );
    }
    let is_android_web_view =
        os == Some("Android") && (agent.contains("; wv)") || agent.contains("Version/4.0 Chrome/"));
    if is_android_web_view {
        // woothee: "Webview" 4.0, a constant of the platform.
        return (
            Some(Cow::Borrowed("Android WebView")),
            version_after(agent, "Chrome/"),
        );
    }
    let version = short_version(found.version);
    let name = match (found.name, os) {
        // Before Chrome, Android and BlackBerry had WebKit browsers of their own; woothee: Safari.
        ("Safari", Some("Android")) => "Android Browser",
        ("Safari", Some("BlackBerry")) => {
            // woothee drops the version here.
            return (
                Some(Cow::Borrowed("BlackBerry Browser")),
                version_after(agent, "Version/"),
            );
        }
        ("Safari", Some("iOS" | "iPadOS" | "macOS" | "Windows")) => "Safari",
        // Elsewhere it is the engine inside something without a name.
        ("Safari", _) => return (None, None),
        ("Chrome", _) => "Chrome",
        ("Firefox", _) => "Firefox",
        ("Edge", _) => "Edge",
        ("Opera", _) => "Opera",
        ("Internet Explorer", _) => "Internet Explorer",
        ("Webview", Some("iOS" | "iPadOS")) => return (Some(Cow::Borrowed("iOS WebView")), None),
        // `wv` anywhere in the agent makes woothee say so, even in a phone's model.
        ("Webview", _) => {
            return (
                Some(Cow::Borrowed("Chrome")),
                version_after(agent, "Chrome/"),
            );
        }
        // For appliances and carriers woothee gives the device as the browser and its model as the
        // version.
        _ if matches!(found.category, "appliance" | "mobilephone") => return (None, None),
        _ => return (own_name(found.name), version),
    };
    (Some(Cow::Borrowed(name)), version)
}

struct System {
    os: Name,
    os_version: Version,
    device: Device,
}

fn system(agent: &str, lower: &str, found: &WootheeResult<'_>) -> System {
    if let Some(rule) = SYSTEMS.iter().find(|rule| agent.contains(rule.text)) {
        let os_version = if rule.version_after.is_empty() {
            None
        } else {
            version_after(agent, rule.version_after)
        };
        let device = device_by_text(lower).unwrap_or(rule.device);
        // Phones and watches ran Tizen too.
        let device = if rule.name == "Tizen" && lower.contains("mobile") {
            Device::Mobile
        } else {
            device
        };
        return System {
            os: Some(Cow::Borrowed(rule.name)),
            os_version,
            device,
        };
    }
    if lower.contains("android") {
        return android(agent, lower);
    }
    if let Some(apple) = apple(agent, lower) {
        return apple;
    }
    if let Some((_, version)) = WINDOWS.iter().find(|(name, _)| *name == found.os) {
        return named("Windows", version.map(Box::from), Device::Desktop);
    }
    // woothee gives up on a Windows whose version it does not know: 5.2, which is XP for 64 bits
    // and Server 2003, and made-up ones ("Windows NT 9.0").
    if agent.contains("Windows NT") {
        let version = agent.contains("Windows NT 5.2").then(|| Box::from("XP"));
        return named("Windows", version, Device::Desktop);
    }
    match found.os {
        // Fire tablets with "desktop pages" on leave Android out.
        "Linux" => named(
            "Linux",
            None,
            device_by_text(lower).unwrap_or(Device::Desktop),
        ),
        "Firefox OS" => named(
            "Firefox OS",
            None,
            device_by_text(lower).unwrap_or(Device::Mobile),
        ),
        _ if agent.contains("X11") => named("Linux", None, Device::Desktop),
        other => {
            let device = match found.category {
                "pc" => Device::Desktop,
                "smartphone" | "mobilephone" => Device::Mobile,
                "appliance" => Device::Tv,
                // Opera Mini names no system on feature phones.
                _ if lower.contains("opera mini") => Device::Mobile,
                _ => device_by_text(lower).unwrap_or(Device::Unknown),
            };
            // A carrier's name ("docomo", "SoftBank") stands for the system there.
            System {
                os: own_name(other),
                os_version: None,
                device,
            }
        }
    }
}

fn named(os: &'static str, os_version: Version, device: Device) -> System {
    System {
        os: Some(Cow::Borrowed(os)),
        os_version,
        device,
    }
}

fn android(agent: &str, lower: &str) -> System {
    // Chrome since 110 says "Android 10; K" on every device (chromestatus.com, User-Agent
    // reduction).
    let frozen = agent.contains("Android 10; K)");
    let os_version = if frozen {
        None
    } else {
        version_after(agent, "Android ")
    };
    // Apps' own stacks leave "Mobile" out everywhere, so its absence says something only about
    // browsers.
    let is_app = agent.starts_with("Dalvik/") || !agent.starts_with("Mozilla/");
    let is_mobile = lower.contains("mobi") || is_app;
    let device = device_by_text(lower).unwrap_or(if is_mobile {
        Device::Mobile
    } else {
        Device::Tablet
    });
    named("Android", os_version, device)
}

fn apple(agent: &str, lower: &str) -> Option<System> {
    if ["iPhone", "iPad", "iPod"]
        .iter()
        .any(|name| agent.contains(name))
    {
        return Some(apple_mobile(agent, lower));
    }
    if agent.contains("Mac OS X") || agent.contains("Macintosh") || agent.contains("macOS") {
        // An iPad asking for desktop pages names its browser as on iOS; Safari does not, and stays
        // a Mac.
        let is_ipad = ["CriOS/", "FxiOS/", "EdgiOS/", "OPiOS/", "GSA/", "Mobile/"]
            .iter()
            .any(|t| agent.contains(t));
        if is_ipad {
            return Some(named("iPadOS", None, Device::Tablet));
        }
        let version = version_after(agent, "Mac OS X ").or_else(|| version_after(agent, "macOS "));
        // Frozen by Safari, Chrome and Firefox at 10.15 or 10.15.7 (bugs.webkit.org 216593);
        // woothee reads nothing past 10.x.
        let version = version.filter(|version| !matches!(&**version, "10.15" | "10.16"));
        return Some(named("macOS", version, Device::Desktop));
    }
    if !agent.contains("Darwin/") {
        return None;
    }
    // woothee: iOS. Only Macs ever told their processor or model here; iOS is the safer guess
    // without.
    if lower.contains("x86_64")
        || lower.contains("i386")
        || lower.contains("macbook")
        || lower.contains("imac")
    {
        return Some(named("macOS", None, Device::Desktop));
    }
    Some(named("iOS", None, Device::Mobile))
}

fn apple_mobile(agent: &str, lower: &str) -> System {
    let system_version = version_after(agent, "CPU iPhone OS ")
        .or_else(|| version_after(agent, "CPU OS "))
        .or_else(|| version_after(agent, "iPhone OS "))
        .or_else(|| version_after(agent, "iOS "))
        .or_else(|| version_after(agent, "FBSV/"));
    // Safari froze the system at 18_6 when it went to 26; its own version is the system's.
    let safari_version = version_after(agent, "Version/");
    let frozen = major(system_version.as_deref()) == Some(18)
        && major(safari_version.as_deref()) >= Some(26);
    let version = if frozen {
        safari_version
    } else {
        system_version
    };
    if !lower.contains("ipad") {
        return named("iOS", version, Device::Mobile);
    }
    // iPads got a system of their own with 13.
    let os = if major(version.as_deref()) >= Some(13) {
        "iPadOS"
    } else {
        "iOS"
    };
    named(os, version, Device::Tablet)
}

fn major(version: Option<&str>) -> Option<u32> {
    version?.split('.').next()?.parse().ok()
}

fn device_by_text(lower: &str) -> Option<Device> {
    let has = |texts: &[&str]| texts.iter().any(|text| lower.contains(text));
    if has(TV_TEXTS) {
        return Some(Device::Tv);
    }
    // Windows with handwriting calls itself "Tablet PC 2.0".
    if has(TABLET_TEXTS) && !lower.contains("tablet pc") {
        return Some(Device::Tablet);
    }
    None
}

fn version_after(agent: &str, text: &str) -> Version {
    let (_, rest) = agent.split_once(text)?;
    short_version(rest)
}

/// `major[.minor]` of the number that the text starts with, a zero minor left out. Underscores
/// count as dots (Apple). `None` unless there is a number of at most five digits.
fn short_version(text: &str) -> Version {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let text = text.strip_prefix('v').unwrap_or(text);
    let major_end = digits(text);
    if !(1..=5).contains(&major_end) {
        return None;
    }
    let (major, rest) = text.split_at(major_end);
    let Some(rest) = rest.strip_prefix(['.', '_']) else {
        return Some(major.into());
    };
    let minor = &rest[..digits(rest)];
    if !(1..=5).contains(&minor.len()) || minor.bytes().all(|b| b == b'0') {
        return Some(major.into());
    }
    Some(format!("{major}.{minor}").into())
}
