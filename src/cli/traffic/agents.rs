//! User agents and how common they are. Weights are shares of visitors in percent, about those that
//! public browser statistics show world-wide.

/// A browser or another program.
#[derive(Debug)]
pub struct Agent {
    /// How common it is.
    pub weight: f64,
    /// What it runs on.
    pub device: Device,
    /// Its User-Agent header.
    pub user_agent: &'static str,
}

/// What a browser runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    Desktop,
    Phone,
    Tablet,
    Crawler,
}

impl Device {
    /// Common screens in CSS pixels; repeated ones are more common.
    pub fn screens(self) -> &'static [&'static str] {
        match self {
            Self::Desktop => &[
                "1920x1080",
                "1920x1080",
                "1920x1080",
                "1536x864",
                "1536x864",
                "1366x768",
                "2560x1440",
                "1440x900",
                "1728x1117",
                "3840x2160",
            ],
            Self::Phone => &[
                "393x852", "390x844", "430x932", "360x800", "360x800", "412x915", "384x832",
                "375x812",
            ],
            Self::Tablet => &["820x1180", "810x1080", "1024x1366", "800x1280"],
            Self::Crawler => &[""],
        }
    }
}

const fn agent(weight: f64, device: Device, user_agent: &'static str) -> Agent {
    Agent {
        weight,
        device,
        user_agent,
    }
}

/// What people use.
pub const PEOPLE: [Agent; 22] = [
    agent(
        24.0,
        Device::Phone,
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
    ),
    agent(
        6.0,
        Device::Phone,
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
    ),
    agent(
        9.5,
        Device::Phone,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
    ),
    agent(
        7.5,
        Device::Phone,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    ),
    agent(
        2.0,
        Device::Phone,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1",
    ),
    agent(
        1.4,
        Device::Phone,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0.7444.77 Mobile/15E148 Safari/604.1",
    ),
    agent(
        2.6,
        Device::Phone,
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    ),
    agent(
        0.7,
        Device::Phone,
        "Mozilla/5.0 (Android 15; Mobile; rv:144.0) Gecko/144.0 Firefox/144.0",
    ),
    agent(
        0.8,
        Device::Phone,
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36 OPR/92.0.0.0",
    ),
    agent(
        16.5,
        Device::Desktop,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    agent(
        3.0,
        Device::Desktop,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    ),
    agent(
        6.5,
        Device::Desktop,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
    ),
    agent(
        2.6,
        Device::Desktop,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
    ),
    agent(
        0.4,
        Device::Desktop,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ),
    agent(
        1.2,
        Device::Desktop,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 OPR/124.0.0.0",
    ),
    agent(
        4.5,
        Device::Desktop,
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
    ),
    agent(
        4.5,
        Device::Desktop,
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    agent(
        1.3,
        Device::Desktop,
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    agent(
        0.8,
        Device::Desktop,
        "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    ),
    agent(
        0.7,
        Device::Desktop,
        "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    ),
    agent(
        1.8,
        Device::Tablet,
        "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    ),
    agent(
        0.9,
        Device::Tablet,
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
];

/// Programs without a person.
pub const CRAWLERS: [Agent; 9] = [
    agent(
        30.0,
        Device::Crawler,
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    ),
    agent(
        12.0,
        Device::Crawler,
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/116.0.1938.76 Safari/537.36",
    ),
    agent(
        14.0,
        Device::Crawler,
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    ),
    agent(
        10.0,
        Device::Crawler,
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
    ),
    agent(
        10.0,
        Device::Crawler,
        "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    ),
    agent(
        7.0,
        Device::Crawler,
        "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)",
    ),
    agent(
        6.0,
        Device::Crawler,
        "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    ),
    agent(
        5.0,
        Device::Crawler,
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    ),
    agent(6.0, Device::Crawler, "curl/8.14.1"),
];
