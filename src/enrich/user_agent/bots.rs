//! Agents that no person looks through.
//!
//! woothee looks for a dozen crawlers by name, and for others only after every browser: a crawler
//! that also sends Chrome's agent, as most have done since 2019, is Chrome to it. So this comes
//! first. The names are those on the crawlers' own pages; larger lists to compare with are
//! github.com/monperrus/crawler-user-agents and Matomo's bots.yml.

/// Text to look for in the lower-cased agent, and the name to show. The first match wins, so the
/// more specific stands first; the generic words below catch what is not here.
#[rustfmt::skip]
static BOTS: &[(&str, &str)] = &[
    // Search
    ("googlebot-image", "Googlebot"), ("googlebot", "Googlebot"), ("adsbot-google", "AdsBot-Google"),
    ("mediapartners-google", "Google Mediapartners"), ("feedfetcher-google", "Google Feedfetcher"),
    ("google-inspectiontool", "Google Inspection Tool"), ("googleother", "GoogleOther"),
    ("google-extended", "Google-Extended"), ("storebot-google", "Google StoreBot"),
    ("google-read-aloud", "Google Read Aloud"), ("google favicon", "Google Favicon"),
    ("google web preview", "Google Web Preview"), ("google-site-verification", "Google Site Verification"),
    ("googleimageproxy", "Google Image Proxy"), ("apis-google", "APIs-Google"),
    ("appengine-google", "Google AppEngine"), ("bingbot", "Bingbot"), ("bingpreview", "BingPreview"),
    ("adidxbot", "Bing Ads"), ("msnbot", "msnbot"), ("yahoo! slurp", "Yahoo! Slurp"),
    ("baiduspider", "Baiduspider"), ("yandeximages", "YandexBot"), ("yandexbot", "YandexBot"),
    ("yandex.com/bots", "YandexBot"), ("sogou web spider", "Sogou Spider"), ("duckduckbot", "DuckDuckBot"),
    ("duckassistbot", "DuckAssistBot"), ("applebot", "Applebot"), ("petalbot", "PetalBot"),
    ("seznambot", "SeznamBot"), ("exabot", "Exabot"), ("naver.me/spd", "Yeti"), ("yeti/", "Yeti"),
    ("qwantify", "Qwantbot"), ("qwantbot", "Qwantbot"), ("mail.ru_bot", "Mail.RU_Bot"),
    ("archive.org_bot", "archive.org_bot"), ("ia_archiver", "Alexa"), ("ccbot", "CCBot"),
    // Models and assistants
    ("gptbot", "GPTBot"), ("oai-searchbot", "OAI-SearchBot"), ("chatgpt-user", "ChatGPT-User"),
    ("claudebot", "ClaudeBot"), ("claude-web", "Claude-Web"), ("claude-user", "Claude-User"),
    ("claude-searchbot", "Claude-SearchBot"), ("anthropic-ai", "anthropic-ai"),
    ("perplexitybot", "PerplexityBot"), ("perplexity-user", "Perplexity-User"),
    ("meta-externalagent", "Meta-ExternalAgent"), ("meta-externalfetcher", "Meta-ExternalFetcher"),
    ("bytespider", "Bytespider"), ("amazonbot", "Amazonbot"), ("cohere-ai", "cohere-ai"),
    ("diffbot", "Diffbot"), ("mistralai-user", "MistralAI-User"), ("youbot", "YouBot"),
    ("imagesiftbot", "ImagesiftBot"), ("timpibot", "Timpibot"),
    // Search engine optimisation
    ("ahrefsbot", "AhrefsBot"), ("ahrefssiteaudit", "AhrefsBot"), ("semrushbot", "SemrushBot"),
    ("siteauditbot", "SemrushBot"), ("mj12bot", "MJ12bot"), ("dotbot", "DotBot"), ("rogerbot", "rogerbot"),
    ("ezooms", "Ezooms"), ("dataforseobot", "DataForSeoBot"), ("blexbot", "BLEXBot"),
    ("serpstatbot", "SerpstatBot"), ("screaming frog", "Screaming Frog"), ("siteexplorer", "SiteExplorer"),
    ("barkrowler", "Barkrowler"),
    // Link previews
    ("facebookexternalhit", "facebookexternalhit"), ("facebookcatalog", "facebookcatalog"),
    ("facebot", "Facebot"), ("twitterbot", "Twitterbot"), ("linkedinbot", "LinkedInBot"),
    ("slackbot", "Slackbot"), ("slack-imgproxy", "Slackbot"), ("discordbot", "Discordbot"),
    ("telegrambot", "TelegramBot"), ("pinterestbot", "Pinterestbot"), ("redditbot", "Redditbot"),
    ("skypeuripreview", "Skype Preview"), ("bitlybot", "bitlybot"), ("embedly", "Embedly"),
    ("flipboardproxy", "FlipboardProxy"), ("iframely", "Iframely"), ("mastodon/", "Mastodon"),
    ("bluesky cardyb", "Bluesky"), ("vkshare", "VK Share"), ("w3c_validator", "W3C Validator"),
    // Monitors and audits
    ("uptimerobot", "UptimeRobot"), ("pingdom", "Pingdom"), ("statuscake", "StatusCake"),
    ("site24x7", "Site24x7"), ("betteruptime", "Better Uptime"), ("better uptime", "Better Uptime"),
    ("uptime-kuma", "Uptime Kuma"), ("gtmetrix", "GTmetrix"), ("datadog", "Datadog"),
    ("newrelicpinger", "New Relic"), ("chrome-lighthouse", "Lighthouse"), ("ptst/", "WebPageTest"),
    ("googlestackdrivermonitoring", "Google Cloud Monitoring"), ("kube-probe", "kube-probe"),
    ("elb-healthchecker", "ELB-HealthChecker"), ("amazon-route53-health-check", "Route 53 Health Check"),
    ("check_http", "Nagios"), ("zabbix", "Zabbix"), ("blackbox exporter", "Blackbox Exporter"),
    ("censysinspect", "Censys"), ("zgrab", "ZGrab"), ("masscan", "masscan"), ("nmap scripting", "Nmap"),
    ("nikto", "Nikto"), ("sqlmap", "sqlmap"), ("nuclei", "Nuclei"),
    // Browsers without a person
    ("headlesschrome", "Headless Chrome"), ("headless", "Headless browser"), ("phantomjs", "PhantomJS"),
    ("jsdom", "jsdom"), ("cypress/", "Cypress"), ("puppeteer", "Puppeteer"), ("playwright", "Playwright"),
    ("selenium", "Selenium"), ("prerender", "Prerender"), ("slimerjs", "SlimerJS"),
    // Feeds
    ("feedburner", "FeedBurner"), ("feedly", "Feedly"), ("feedbin", "Feedbin"), ("inoreader", "Inoreader"),
    ("newsblur", "NewsBlur"), ("tiny tiny rss", "Tiny Tiny RSS"), ("tt-rss", "Tiny Tiny RSS"),
    ("universalfeedparser", "Universal Feed Parser"), ("feedparser", "Universal Feed Parser"),
    ("freshrss", "FreshRSS"), ("miniflux", "Miniflux"), ("netnewswire", "NetNewsWire"),
    ("theoldreader", "The Old Reader"), ("simplepie", "SimplePie"), ("magpierss", "MagpieRSS"),
    ("apple-pubsub", "Apple PubSub"), ("applesyndication", "Apple PubSub"), ("newsbeuter", "Newsbeuter"),
    ("newsboat", "Newsboat"), ("liferea", "Liferea"), ("akregator", "Akregator"), ("rssowl", "RSSOwl"),
    ("digg feed fetcher", "Digg"), ("windows-rss-platform", "Windows RSS Platform"),
    ("spinn3r", "Spinn3r"), ("genieo", "Genieo"),
    // Libraries and tools
    ("python-requests", "Python Requests"), ("python-urllib", "Python urllib"), ("python-httpx", "HTTPX"),
    ("aiohttp", "aiohttp"), ("scrapy", "Scrapy"), ("curl/", "curl"), ("libcurl", "curl"), ("wget", "Wget"),
    ("httpie", "HTTPie"), ("go-http-client", "Go"), ("go 1.1 package http", "Go"), ("gohttp", "Go"),
    ("axios/", "axios"), ("node-fetch", "node-fetch"), ("node.js", "Node.js"), ("undici", "undici"),
    ("got (", "got"), ("node-superagent", "superagent"), ("apache-httpclient", "Apache HttpClient"),
    ("jakarta commons-httpclient", "Apache HttpClient"), ("java-http-client", "Java"),
    ("libwww-perl", "libwww-perl"), ("lwp::simple", "libwww-perl"), ("lwp-trivial", "libwww-perl"),
    ("www-mechanize", "WWW-Mechanize"), ("mechanize", "Mechanize"), ("guzzlehttp", "Guzzle"),
    ("postmanruntime", "Postman"), ("insomnia/", "Insomnia"), ("reqwest", "reqwest"), ("ureq/", "ureq"),
    ("faraday", "Faraday"), ("rest-client/", "rest-client"), ("restsharp", "RestSharp"),
    ("grpc-", "gRPC"), ("grpcurl", "grpcurl"), ("apachebench", "ApacheBench"),
    ("chef client", "Chef"), ("httrack", "HTTrack"),
    ("wordpress/", "WordPress"), ("powershell", "PowerShell"),
    ("xenu link sleuth", "Xenu"), ("nutch", "Apache Nutch"), ("libfetch", "libfetch"),
    ("http_request2", "PEAR HTTP_Request2"), ("microsoft office", "Microsoft Office"),
];

/// Libraries whose name is too short to look for in the middle of an agent.
#[rustfmt::skip]
static BOT_PREFIXES: &[(&str, &str)] = &[
    // Fetches link previews; the app's own browser never sends this alone.
    ("whatsapp/", "WhatsApp"), ("ruby", "Ruby"), ("java/", "Java"), ("php/", "PHP"), ("node", "Node.js"),
    ("python/", "Python"), ("bun/", "Bun"), ("deno/", "Deno"), ("got/", "got"), ("pycurl/", "curl"),
    ("perl", "Perl"), ("k6/", "k6"), ("rome client", "ROME"),
];

/// Words that mark an agent whose name is not in the tables.
static BOT_WORDS: &[&str] = &[
    "spider",
    "crawl",
    "scrape",
    "scraping",
    "archiver",
    "fetcher",
    "rss reader",
    "rssreader",
    "feed reader",
    "feedreader",
    "feed parser",
    "web preview",
    "linkcheck",
    "link check",
    "validator",
    "watchdog",
    "pingback",
    "favicon",
    "healthcheck",
    "health check",
    "subscribers",
    "aggregator",
];

/// What is shown for a bot of no known name.
const OTHER: &str = "Other bot";

/// The name of the bot, given the agent in lower case.
pub(super) fn name(lower: &str) -> Option<&'static str> {
    if let Some((_, name)) = BOTS.iter().find(|(text, _)| lower.contains(text)) {
        return Some(name);
    }
    if let Some((_, name)) = BOT_PREFIXES
        .iter()
        .find(|(text, _)| lower.starts_with(text))
    {
        return Some(name);
    }
    let generic = BOT_WORDS.iter().any(|word| lower.contains(word))
        || says_bot(lower)
        || gives_address(lower);
    generic.then_some(OTHER)
}

/// "bot" or "robot" at the end of a word: `ExampleBot/1.0`, `my_bot (…)`. Cubot makes phones, whose
/// names are followed by a model (`CUBOT NOTE 20`, `CUBOT_X19`).
fn says_bot(lower: &str) -> bool {
    lower.match_indices("bot").any(|(at, found)| {
        let before = &lower[..at];
        let after = lower[at + found.len()..].chars().next();
        let word_ends = after.is_none_or(|c| !c.is_ascii_alphabetic());
        word_ends && !before.ends_with("cu")
    })
}

/// A web or mail address to complain to, as the robots' etiquette asks for: `+http://…`,
/// `(bot@example.com)`. No browser puts one there.
fn gives_address(lower: &str) -> bool {
    [
        "+http",
        "+ http",
        "; http://",
        "; https://",
        "(http://",
        "(https://",
        "http://www.",
        "https://www.",
    ]
    .iter()
    .any(|mark| lower.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for lower in [
            "examplebot/1.0",
            "a bot",
            "my_bot (x)",
            "robot",
            "x (+https://e.com)",
            "acme-crawler",
        ] {
            assert_eq!(name(lower), Some(OTHER), "{lower}");
        }
        for lower in [
            "cubot note 20",
            "bottom/1.0",
            "about",
            "abbott",
            "mozilla/5.0",
        ] {
            assert_eq!(name(lower), None, "{lower}");
        }
    }

    #[test]
    fn no_entry_is_hidden_behind_an_earlier_one() {
        for (at, (text, name)) in BOTS.iter().enumerate() {
            assert!(!text.bytes().any(|b| b.is_ascii_uppercase()), "{text}");
            let hidden = BOTS[..at]
                .iter()
                .find(|(earlier, other)| text.contains(earlier) && other != name);
            assert_eq!(hidden, None, "{text}");
        }
    }
}
