//! What made-up events are made of, with what the service is to make of it: DuckDB is told the latter,
//! so that equal answers also say that the service read it right.

/// What happens, the most common first.
pub const NAMES: [&str; 5] = ["page_view", "page_exit", "click", "sign_up", "purchase"];

/// Kinds of devices there are among the agents.
pub const DEVICES: [&str; 3] = ["desktop", "mobile", "bot"];

/// Channels there are among the sources.
pub const CHANNELS: [&str; 6] = [
    "direct", "search", "social", "email", "campaign", "referral",
];

/// Plans that the property `plan` has.
pub const PLANS: [&str; 3] = ["free", "pro", "team"];

/// A User-Agent header.
#[derive(Debug)]
pub struct Agent {
    /// How common it is.
    pub weight: f64,
    /// The header.
    pub header: &'static str,
    /// The operating system, empty if there is none.
    pub os: &'static str,
    /// The browser or bot.
    pub browser: &'static str,
    /// What it runs on.
    pub device: &'static str,
    /// Whether it is a crawler.
    pub is_bot: bool,
}

const fn agent(
    weight: f64,
    os: &'static str,
    browser: &'static str,
    device: &'static str,
    header: &'static str,
) -> Agent {
    Agent {
        weight,
        header,
        os,
        browser,
        device,
        is_bot: false,
    }
}

const fn crawler(browser: &'static str, header: &'static str) -> Agent {
    Agent {
        weight: 1.0,
        header,
        os: "",
        browser,
        device: "bot",
        is_bot: true,
    }
}

/// Five systems and four browsers, in the fifteen pairs that exist.
pub const AGENTS: [Agent; 15] = [
    agent(
        24.0,
        "Windows",
        "Chrome",
        "desktop",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    agent(
        7.0,
        "Windows",
        "Edge",
        "desktop",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
    ),
    agent(
        3.0,
        "Windows",
        "Firefox",
        "desktop",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
    ),
    agent(
        6.0,
        "macOS",
        "Safari",
        "desktop",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
    ),
    agent(
        5.0,
        "macOS",
        "Chrome",
        "desktop",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    agent(
        1.0,
        "macOS",
        "Firefox",
        "desktop",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:144.0) Gecko/20100101 Firefox/144.0",
    ),
    agent(
        0.5,
        "macOS",
        "Edge",
        "desktop",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
    ),
    agent(
        20.0,
        "iOS",
        "Safari",
        "mobile",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
    ),
    agent(
        2.0,
        "iOS",
        "Chrome",
        "mobile",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0.7444.77 Mobile/15E148 Safari/604.1",
    ),
    agent(
        0.5,
        "iOS",
        "Firefox",
        "mobile",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/144.0 Mobile/15E148 Safari/605.1.15",
    ),
    agent(
        26.0,
        "Android",
        "Chrome",
        "mobile",
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
    ),
    agent(
        1.0,
        "Android",
        "Firefox",
        "mobile",
        "Mozilla/5.0 (Android 15; Mobile; rv:144.0) Gecko/144.0 Firefox/144.0",
    ),
    agent(
        0.5,
        "Android",
        "Edge",
        "mobile",
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36 EdgA/142.0.0.0",
    ),
    agent(
        2.0,
        "Linux",
        "Chrome",
        "desktop",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    agent(
        1.5,
        "Linux",
        "Firefox",
        "desktop",
        "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    ),
];

/// Programs that come too.
pub const CRAWLERS: [Agent; 2] = [
    crawler(
        "Googlebot",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    ),
    crawler(
        "GPTBot",
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    ),
];

/// Where a visitor is.
#[derive(Debug)]
pub struct Place {
    /// How many are there.
    pub weight: f64,
    /// ISO 3166-1 code. `countries.mmdb` says so of the address.
    pub country: &'static str,
    /// Their address: 198.18.0.0/15 is set aside for benchmarks (RFC 2544).
    pub address: &'static str,
    /// BCP 47 tag.
    pub language: &'static str,
}

const fn place(
    weight: f64,
    country: &'static str,
    address: &'static str,
    language: &'static str,
) -> Place {
    Place {
        weight,
        country,
        address,
        language,
    }
}

/// A dozen countries, some with two languages.
pub const PLACES: [Place; 15] = [
    place(22.0, "US", "198.18.0.1", "en-US"),
    place(3.0, "US", "198.18.1.1", "es-US"),
    place(14.0, "DE", "198.18.32.1", "de-DE"),
    place(9.0, "GB", "198.18.64.1", "en-GB"),
    place(8.0, "FR", "198.18.96.1", "fr-FR"),
    place(8.0, "IN", "198.18.128.1", "en-IN"),
    place(3.0, "IN", "198.18.129.1", "hi-IN"),
    place(7.0, "BR", "198.18.160.1", "pt-BR"),
    place(6.0, "JP", "198.18.192.1", "ja-JP"),
    place(5.0, "ES", "198.18.224.1", "es-ES"),
    place(4.0, "IT", "198.19.0.1", "it-IT"),
    place(4.0, "PL", "198.19.32.1", "pl-PL"),
    place(3.0, "CA", "198.19.64.1", "en-CA"),
    place(1.0, "CA", "198.19.65.1", "fr-CA"),
    place(3.0, "NL", "198.19.96.1", "nl-NL"),
];

/// Where a session came from.
#[derive(Debug)]
pub struct Source {
    /// How common it is.
    pub weight: f64,
    /// The referrer's URL, empty if there is none.
    pub referrer_url: &'static str,
    /// Its domain.
    pub referrer: &'static str,
    /// `utm_source`, `utm_medium` and `utm_campaign`, empty if there are none.
    pub utm: [&'static str; 3],
    /// What the service makes of it.
    pub channel: &'static str,
}

const fn source(
    weight: f64,
    referrer_url: &'static str,
    referrer: &'static str,
    utm: [&'static str; 3],
    channel: &'static str,
) -> Source {
    Source {
        weight,
        referrer_url,
        referrer,
        utm,
        channel,
    }
}

const NO_UTM: [&str; 3] = ["", "", ""];

/// The first is "from nowhere".
pub const SOURCES: [Source; 12] = [
    source(34.0, "", "", NO_UTM, "direct"),
    source(
        26.0,
        "https://www.google.com/",
        "google.com",
        NO_UTM,
        "search",
    ),
    source(
        5.0,
        "https://www.bing.com/search",
        "bing.com",
        NO_UTM,
        "search",
    ),
    source(
        3.0,
        "https://duckduckgo.com/",
        "duckduckgo.com",
        NO_UTM,
        "search",
    ),
    source(
        5.0,
        "https://www.reddit.com/r/lamps",
        "reddit.com",
        NO_UTM,
        "social",
    ),
    source(
        4.0,
        "https://www.facebook.com/",
        "facebook.com",
        NO_UTM,
        "social",
    ),
    source(
        4.0,
        "https://news.example.org/a/b",
        "news.example.org",
        NO_UTM,
        "referral",
    ),
    source(
        3.0,
        "https://blog.example.net/links",
        "blog.example.net",
        NO_UTM,
        "referral",
    ),
    source(5.0, "", "", ["newsletter", "email", "weekly"], "email"),
    source(2.0, "", "", ["newsletter", "email", "spring_sale"], "email"),
    source(
        6.0,
        "https://www.google.com/",
        "google.com",
        ["google", "cpc", "brand"],
        "campaign",
    ),
    source(
        3.0,
        "https://www.google.com/",
        "google.com",
        ["google", "cpc", "spring_sale"],
        "campaign",
    ),
];
