//! Where woothee is wrong or silent: corrections as data, each with what woothee would say.

use super::Device;

/// Text that identifies a browser, its name, and the text that its version follows.
pub(super) struct BrowserRule {
    pub text: &'static str,
    pub name: &'static str,
    pub version_after: &'static str,
}

const fn rule(text: &'static str, name: &'static str) -> BrowserRule {
    BrowserRule {
        text,
        name,
        version_after: text,
    }
}

/// The first that the agent contains wins. All of these also claim to be Chrome or Safari (or, on
/// iOS, a web view without a name), and that is what woothee takes them for, unless noted.
pub(super) static BROWSERS: &[BrowserRule] = &[
    // In-app browsers. woothee knows none but Google's, and on Android calls web views
    // "Version/4.0".
    BrowserRule {
        text: "FBAN/",
        name: "Facebook",
        version_after: "FBAV/",
    },
    BrowserRule {
        text: "FB_IAB/",
        name: "Facebook",
        version_after: "FBAV/",
    },
    BrowserRule {
        text: "[FB",
        name: "Facebook",
        version_after: "FBAV/",
    },
    rule("Instagram ", "Instagram"),
    rule("Barcelona ", "Threads"),
    rule("musical_ly_", "TikTok"),
    BrowserRule {
        text: "BytedanceWebview",
        name: "TikTok",
        version_after: "app_version/",
    },
    rule("Snapchat/", "Snapchat"),
    BrowserRule {
        text: "[Pinterest/",
        name: "Pinterest",
        version_after: "\0",
    },
    BrowserRule {
        text: "LinkedInApp",
        name: "LinkedIn",
        version_after: "LinkedInApp/",
    },
    BrowserRule {
        text: "Twitter for ",
        name: "X",
        version_after: "iPhone/",
    },
    rule("MicroMessenger/", "WeChat"),
    rule("KAKAOTALK ", "KakaoTalk"),
    BrowserRule {
        text: " Line/",
        name: "LINE",
        version_after: " Line/",
    },
    rule("GSA/", "Google App"),
    // Edge is the one family that woothee follows, except that its pattern also hits "Edge" in IE's
    // agents.
    rule("EdgiOS/", "Edge"),
    rule("EdgA/", "Edge"),
    rule("Edg/", "Edge"),
    rule("Edge/", "Edge"),
    // woothee: OPR/ yes, the mobile ones no.
    rule("OPR/", "Opera"),
    rule("OPT/", "Opera"),
    rule("OPiOS/", "Opera Mini"),
    rule("Opera Mini/", "Opera Mini"),
    rule("OPX/", "Opera GX"),
    // woothee reads these two, the second only with a version of four numbers.
    rule("SamsungBrowser/", "Samsung Internet"),
    rule("YaBrowser/", "Yandex Browser"),
    rule("Vivaldi/", "Vivaldi"),
    rule("DuckDuckGo/", "DuckDuckGo"),
    rule("Ddg/", "DuckDuckGo"),
    rule("Brave/", "Brave"),
    rule("UCBrowser/", "UC Browser"),
    rule("MiuiBrowser/", "Mi Browser"),
    rule("HuaweiBrowser/", "Huawei Browser"),
    rule("HeyTapBrowser/", "HeyTap Browser"),
    rule("VivoBrowser/", "Vivo Browser"),
    rule("QQBrowser/", "QQ Browser"),
    rule("Quark/", "Quark"),
    rule("Whale/", "Whale"),
    rule("coc_coc_browser/", "Cốc Cốc"),
    rule("Silk/", "Silk"),
    rule("Puffin/", "Puffin"),
    rule("Maxthon/", "Maxthon"),
    rule("Sleipnir/", "Sleipnir"),
    rule("Iron/", "Iron"),
    rule("Electron/", "Electron"),
    // Firefox's relatives; woothee: Firefox, with Firefox's version.
    rule("Focus/", "Firefox Focus"),
    rule("Klar/", "Firefox Focus"),
    rule("FxiOS/", "Firefox"),
    rule("SeaMonkey/", "SeaMonkey"),
    rule("PaleMoon/", "Pale Moon"),
    rule("Waterfox/", "Waterfox"),
    // WebKit and KHTML on the free desktops; woothee: Safari, or nothing.
    rule("Epiphany/", "GNOME Web"),
    rule("Midori/", "Midori"),
    rule("Konqueror/", "Konqueror"),
    rule("Falkon/", "Falkon"),
    rule("QupZilla/", "QupZilla"),
    rule("Chromium/", "Chromium"),
    rule("CriOS/", "Chrome"),
    // woothee: nothing, for want of "compatible;".
    rule("MSIE ", "Internet Explorer"),
    // Text browsers; woothee: nothing.
    rule("Lynx/", "Lynx"),
    rule("w3m/", "w3m"),
    BrowserRule {
        text: "ELinks",
        name: "ELinks",
        version_after: "ELinks/",
    },
    // Stacks of apps, not bots: see `Agent::is_bot`.
    rule("okhttp/", "okhttp"),
    rule("Dalvik/", "Dalvik"),
    rule("Dart/", "Dart"),
    rule("CFNetwork/", "CFNetwork"),
];

/// Text that identifies a system, its name, the text that its version follows (empty: none worth
/// having), and what it runs on when nothing more specific says so.
pub(super) struct SystemRule {
    pub text: &'static str,
    pub name: &'static str,
    pub version_after: &'static str,
    pub device: Device,
}

const fn system(
    text: &'static str,
    name: &'static str,
    version_after: &'static str,
    device: Device,
) -> SystemRule {
    SystemRule {
        text,
        name,
        version_after,
        device,
    }
}

/// Looked at before woothee's answer, which for most of these is "Linux", "Windows" or nothing.
pub(super) static SYSTEMS: &[SystemRule] = &[
    // woothee knows up to the PlayStation 4 and the Wii U; a PlayStation's version is its number.
    system("PlayStation Vita", "PlayStation", "", Device::Console),
    system("PlayStation Portable", "PlayStation", "", Device::Console),
    system(
        "PlayStation",
        "PlayStation",
        "PlayStation ",
        Device::Console,
    ),
    system(
        "PLAYSTATION",
        "PlayStation",
        "PLAYSTATION ",
        Device::Console,
    ),
    system("Nintendo", "Nintendo", "", Device::Console),
    system("Xbox", "Xbox", "", Device::Console),
    system("KAIOS/", "KaiOS", "KAIOS/", Device::Mobile),
    system("OpenHarmony", "HarmonyOS", "OpenHarmony ", Device::Mobile),
    system("HarmonyOS", "HarmonyOS", "HarmonyOS ", Device::Mobile),
    system("AppleTV", "tvOS", "", Device::Tv),
    system("tvOS", "tvOS", "tvOS ", Device::Tv),
    system("Watch OS", "watchOS", "Watch OS ", Device::Mobile),
    system("watchOS", "watchOS", "watchOS ", Device::Mobile),
    system("Roku", "Roku", "", Device::Tv),
    // The zero is LG's.
    system("Web0S", "webOS", "", Device::Tv),
    system("hpwOS/", "webOS", "hpwOS/", Device::Tablet),
    system("Tizen", "Tizen", "Tizen ", Device::Tv),
    // woothee: version "x86_64 14541.0.0", which Chrome froze in 2022 and nobody can read.
    system("CrOS ", "ChromeOS", "", Device::Desktop),
    system("FreeBSD", "FreeBSD", "", Device::Desktop),
    system("OpenBSD", "OpenBSD", "", Device::Desktop),
    system("NetBSD", "NetBSD", "", Device::Desktop),
    system("SunOS", "Solaris", "", Device::Desktop),
    system(
        "Windows Phone",
        "Windows Phone",
        "Windows Phone ",
        Device::Mobile,
    ),
    system("BB10", "BlackBerry", "", Device::Mobile),
    system("BlackBerry", "BlackBerry", "", Device::Mobile),
    system("PlayBook", "BlackBerry", "", Device::Tablet),
    system("Symbian", "Symbian", "", Device::Mobile),
    system("Series40", "Series 40", "", Device::Mobile),
    system("MAUI", "Feature phone", "", Device::Mobile),
    system("MIDP", "Feature phone", "", Device::Mobile),
    system("UP.Browser", "Feature phone", "", Device::Mobile),
];

/// woothee's name of a Windows and the version to show; it gives the kernel's ("NT 6.1").
pub(super) static WINDOWS: &[(&str, Option<&str>)] = &[
    ("Windows 10", Some("10")),
    ("Windows 8.1", Some("8.1")),
    ("Windows 8", Some("8")),
    ("Windows 7", Some("7")),
    ("Windows Vista", Some("Vista")),
    ("Windows XP", Some("XP")),
    ("Windows 2000", Some("2000")),
    ("Windows NT 4.0", Some("NT 4")),
    ("Windows 98", Some("98")),
    ("Windows 95", Some("95")),
    ("Windows Me", Some("Me")),
    ("Windows CE", Some("CE")),
    ("Windows UNKNOWN Ver", None),
];

/// In lower case. woothee takes televisions for smartphones (Android) or computers (Linux).
pub(super) static TV_TEXTS: &[&str] = &[
    "smart-tv",
    "smarttv",
    "smart tv",
    "googletv",
    "google tv",
    "android tv",
    "androidtv",
    "apple tv",
    "hbbtv",
    "bravia",
    "crkey",
    "netcast",
    "viera",
    "; aft",
    "mitv",
    "mibox",
    " tv)",
    " tv ",
    " tv;",
    "inettvbrowser",
];

/// In lower case. woothee takes every Android for a smartphone; without these, an Android is a
/// tablet when its browser does not say "Mobile"
/// (developer.chrome.com/docs/multidevice/user-agent).
pub(super) static TABLET_TEXTS: &[&str] = &[
    "ipad",
    "tablet;",
    "tablet)",
    "tablet ",
    "kindle",
    "; kf",
    "playbook",
    "sm-t",
    "sm-x",
    "galaxy tab",
    "nexus 7",
    "nexus 9",
    "nexus 10",
    "pixel c",
    "pixel tablet",
    "lenovo tb",
    "mediapad",
    "matepad",
    "redmi pad",
    "xiaomi pad",
    "mi pad",
    "oneplus pad",
];
