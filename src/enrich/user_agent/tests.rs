//! Real agents, 2000 to 2026, with what each should say: `browser version | system version |
//! device`, or `bot NAME`. A dash stands for unknown.

use proptest::prelude::*;

use super::*;

fn shown(agent: &Agent) -> String {
    let text = |name: Option<&str>, version: Option<&str>| match (name, version) {
        (None, _) => "-".to_owned(),
        (Some(name), None) => name.to_owned(),
        (Some(name), Some(version)) => format!("{name} {version}"),
    };
    let browser = text(agent.browser.as_deref(), agent.browser_version.as_deref());
    if agent.is_bot {
        assert_eq!((agent.device, agent.os.as_ref()), (Device::Bot, None));
        return format!("bot {browser}");
    }
    let os = text(agent.os.as_deref(), agent.os_version.as_deref());
    format!("{browser} | {os} | {}", agent.device)
}

fn check(table: &[(&str, &str)]) {
    let agents = Agents::new(1000);
    let wrong: Vec<_> = table
        .iter()
        .map(|(header, expected)| (header, expected, shown(&agents.get(header))))
        .filter(|(_, expected, got)| got != **expected)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
#[rustfmt::skip]
fn desktop_browsers() {
    check(&[
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", "Chrome 126 | Windows 10 | desktop"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.2903.86", "Edge 131 | Windows 10 | desktop"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/70.0.3538.102 Safari/537.36 Edge/18.19042", "Edge 18.19042 | Windows 10 | desktop"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36 OPR/111.0.0.0", "Opera 111 | Windows 10 | desktop"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0", "Firefox 127 | Windows 10 | desktop"),
        ("Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.6261.95 Safari/537.36 Vivaldi/6.6.3271.53", "Vivaldi 6.6 | Windows 10 | desktop"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 YaBrowser/24.6.0.0 Safari/537.36", "Yandex Browser 24.6 | Windows 10 | desktop"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 YaBrowser/24.6 Yowser/2.5 Safari/537.36", "Yandex Browser 24.6 | Windows 10 | desktop"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15", "Safari 17.5 | macOS | desktop"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15", "Safari 26 | macOS | desktop"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15 Ddg/17.4", "DuckDuckGo 17.4 | macOS | desktop"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", "Chrome 126 | macOS | desktop"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 11_2_3) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/89.0.4389.90 Safari/537.36", "Chrome 89 | macOS 11.2 | desktop"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:127.0) Gecko/20100101 Firefox/127.0", "Firefox 127 | macOS | desktop"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.73.11 (KHTML, like Gecko) Version/7.0.1 Safari/537.73.11", "Safari 7 | macOS 10.9 | desktop"),
        ("Mozilla/5.0 (Macintosh; U; PPC Mac OS X 10_5_8; en-us) AppleWebKit/533.19.4 (KHTML, like Gecko) Version/5.0.3 Safari/533.19.4", "Safari 5 | macOS 10.5 | desktop"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", "Chrome 126 | Linux | desktop"),
        ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0", "Firefox 127 | Linux | desktop"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Safari/605.1.15 Epiphany/605.1.15", "GNOME Web 605.1 | Linux | desktop"),
        ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", "Chrome 126 | ChromeOS | desktop"),
        ("Mozilla/5.0 (X11; FreeBSD amd64; rv:109.0) Gecko/20100101 Firefox/115.0", "Firefox 115 | FreeBSD | desktop"),
        ("Mozilla/5.0 (X11; OpenBSD amd64; rv:109.0) Gecko/20100101 Firefox/115.0", "Firefox 115 | OpenBSD | desktop"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Ubuntu Chromium/32.0.1700.102 Chrome/32.0.1700.102 Safari/537.36", "Chromium 32 | Linux | desktop"),
        ("Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer 11 | Windows 7 | desktop"),
        ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)", "Internet Explorer 6 | Windows XP | desktop"),
        ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.2; SV1; .NET CLR 2.0.50727; InfoPath.1)", "Internet Explorer 6 | Windows XP | desktop"),
        ("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; Tablet PC 2.0)", "Internet Explorer 8 | Windows 7 | desktop"),
        ("Mozilla/5.0 (Windows; U; MSIE 9.0; Windows NT 9.0; en-US)", "Internet Explorer 9 | Windows | desktop"),
        ("Opera/9.80 (X11; Linux x86_64) Presto/2.12.388 Version/12.16", "Opera 12.16 | Linux | desktop"),
        ("Mozilla/5.0 (Windows NT 6.1; WOW64; rv:27.0) Gecko/20100101 Firefox/27.0 SeaMonkey/2.24", "SeaMonkey 2.24 | Windows 7 | desktop"),
        ("Mozilla/5.0 (Windows NT 6.3; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0.1700.107 Safari/537.36", "Chrome 32 | Windows 8.1 | desktop"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Slack/4.38.125 Chrome/124.0.6367.118 Electron/30.0.3 Safari/537.36", "Electron 30 | Windows 10 | desktop"),
        ("Lynx/2.9.0dev.12 libwww-FM/2.14 SSL-MM/1.4.1", "Lynx 2.9 | - | unknown"),
    ]);
}

#[test]
#[rustfmt::skip]
fn phones_and_tablets() {
    check(&[
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1", "Safari 17.5 | iOS 17.5 | mobile"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1", "Safari 26.1 | iOS 26.1 | mobile"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1", "Chrome 126 | iOS 17.5 | mobile"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/127.0 Mobile/15E148 Safari/605.1.15", "Firefox 127 | iOS 17.5 | mobile"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 EdgiOS/126.0.2592.56 Mobile/15E148 Safari/604.1", "Edge 126 | iOS 17.5 | mobile"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1 OPT/4.6.0", "Opera 4.6 | iOS 17.4 | mobile"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15", "DuckDuckGo 7 | iOS 17.4 | mobile"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) GSA/318.0.634488990 Mobile/15E148 Safari/604.1", "Google App 318 | iOS 17.4 | mobile"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/21E236 [FBAN/FBIOS;FBAV/467.1.0.35.104;FBBV/600000;FBDV/iPhone15,2;FBMD/iPhone;FBSN/iOS;FBSV/17.4.1]", "Facebook 467.1 | iOS 17.4 | mobile"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/21F90 Instagram 336.0.5.26.82 (iPhone14,5; iOS 17_5_1; en_US; en; scale=3.00; 1170x2532; 612345678)", "Instagram 336 | iOS 17.5 | mobile"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.49(0x18003127) NetType/WIFI Language/zh_CN", "WeChat 8 | iOS 16.6 | mobile"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [LinkedInApp]/9.29.1", "LinkedIn | iOS 16.6 | mobile"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148", "iOS WebView | iOS 16.6 | mobile"),
        ("Mozilla/5.0 (iPad; CPU OS 7_0_4 like Mac OS X) AppleWebKit/537.51.1 (KHTML, like Gecko) Version/7.0 Mobile/11B554a Safari/9537.53", "Safari 7 | iOS 7 | tablet"),
        ("Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1", "Chrome 126 | iPadOS 17.5 | tablet"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126 Version/11.1.1 Safari/605.1.15", "Chrome 126 | iPadOS | tablet"),
        ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36", "Chrome 126 | Android | mobile"),
        ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", "Chrome 126 | Android | tablet"),
        ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36", "Samsung Internet 25 | Android | mobile"),
        ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36 EdgA/126.0.0.0", "Edge 126 | Android | mobile"),
        ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36 OPR/83.0.0.0", "Opera 83 | Android | mobile"),
        ("Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0", "Firefox 127 | Android 14 | mobile"),
        ("Mozilla/5.0 (Android 13; Tablet; rv:127.0) Gecko/127.0 Firefox/127.0", "Firefox 127 | Android 13 | tablet"),
        ("Mozilla/5.0 (Android; Mobile; rv:27.0) Gecko/27.0 Firefox/27.0", "Firefox 27 | Android | mobile"),
        ("Mozilla/5.0 (Linux; Android 14; SM-S918B Build/UP1A.231005.007; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.6478.71 Mobile Safari/537.36", "Android WebView 126 | Android 14 | mobile"),
        ("Mozilla/5.0 (Linux; Android 13; SM-A536B Build/TP1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/124.0.0.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/467.0.0.52.103;]", "Facebook 467 | Android 13 | mobile"),
        ("Mozilla/5.0 (Linux; Android 13; SM-X906C Build/QP1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/100.0.4896.127 Safari/537.36", "Android WebView 100 | Android 13 | tablet"),
        ("Mozilla/5.0 (Linux; Android 12; CUBOT NOTE 20) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0.4844.88 Mobile Safari/537.36", "Chrome 99 | Android 12 | mobile"),
        ("Mozilla/5.0 (Linux; U; Android 2.3.6; en-us; GT-S5830 Build/GINGERBREAD) AppleWebKit/533.1 (KHTML, like Gecko) Version/4.0 Mobile Safari/533.1", "Android Browser 4 | Android 2.3 | mobile"),
        ("Mozilla/5.0 (Linux; Android 4.4.2; Nexus 7 Build/KOT49H) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0.1700.99 Safari/537.36", "Chrome 32 | Android 4.4 | tablet"),
        ("Mozilla/5.0 (Linux; U; en-us; KFAPWI Build/JDQ39) AppleWebKit/535.19 (KHTML, like Gecko) Silk/3.13 Safari/535.19 Silk-Accelerated=true", "Silk 3.13 | Linux | tablet"),
        ("Mozilla/5.0 (Linux; U; Android 9; en-US; RMX1805) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/78.0.3904.108 UCBrowser/13.4.0.1306 Mobile Safari/537.36", "UC Browser 13.4 | Android 9 | mobile"),
        ("Opera/9.80 (Android; Opera Mini/36.2.2254/119.132; U; id) Presto/2.12.423 Version/12.16", "Opera Mini 36.2 | Android | mobile"),
        ("Mozilla/5.0 (BB10; Touch) AppleWebKit/537.10+ (KHTML, like Gecko) Version/10.0.9.2372 Mobile Safari/537.10+", "BlackBerry Browser 10 | BlackBerry | mobile"),
        ("Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/52.0.2743.116 Mobile Safari/537.36 Edge/15.15063", "Edge 15.15063 | Windows Phone 10 | mobile"),
        ("Mozilla/5.0 (Mobile; rv:18.0) Gecko/18.0 Firefox/18.0", "Firefox 18 | Firefox OS | mobile"),
        ("Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5", "Firefox 48 | KaiOS 2.5 | mobile"),
        ("Dalvik/2.1.0 (Linux; U; Android 13; SM-G991B Build/TP1A.220624.014)", "Dalvik 2.1 | Android 13 | mobile"),
        ("okhttp/4.12.0", "okhttp 4.12 | - | unknown"),
        ("MyApp/12 CFNetwork/1494.0.7 Darwin/23.4.0", "CFNetwork 1494 | iOS | mobile"),
        ("Safari/9537.73.11 CFNetwork/673.0.3 Darwin/13.0.0 (x86_64) (MacBookPro8%2C1)", "CFNetwork 673 | macOS | desktop"),
    ]);
}

#[test]
#[rustfmt::skip]
fn televisions_and_consoles() {
    check(&[
        ("Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) 76.0.3809.146/6.0 TV Safari/537.36", "- | Tizen 6 | tv"),
        ("Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/94.0.4606.128 Safari/537.36 WebAppManager", "Chrome 94 | webOS | tv"),
        ("Mozilla/5.0 (Linux; Android 9; AFTMM Build/PS7233; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/70.0.3538.110 Mobile Safari/537.36", "Android WebView 70 | Android 9 | tv"),
        ("Mozilla/5.0 (Linux; Android 10; BRAVIA 4K VH2) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.0.0 Safari/537.36", "Chrome 108 | Android 10 | tv"),
        ("Mozilla/5.0 (PlayStation; PlayStation 5/8.20) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.4 Safari/605.1.15", "- | PlayStation 5 | console"),
        ("Mozilla/5.0 (Nintendo Switch; WifiWebAuthApplet) AppleWebKit/606.4 (KHTML, like Gecko) NF/6.0.1.16.10 NintendoBrowser/5.1.0.20923", "- | Nintendo | console"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox Series X) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edge/44.18363.8131", "Edge 44.18363 | Xbox | console"),
    ]);
}

#[test]
#[rustfmt::skip]
fn bots_of_all_kinds() {
    check(&[
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot Googlebot"),
        ("Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.6478.61 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot Googlebot"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/116.0.1938.76 Safari/537.36", "bot Bingbot"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)", "bot GPTBot"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)", "bot ClaudeBot"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; PerplexityBot/1.0; +https://perplexity.ai/perplexitybot)", "bot PerplexityBot"),
        ("CCBot/2.0 (https://commoncrawl.org/faq/)", "bot CCBot"),
        ("Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 (compatible; Bytespider; spider-feedback@bytedance.com)", "bot Bytespider"),
        ("Mozilla/5.0 (Linux; Android 7.0;) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 (compatible; PetalBot;+https://webmaster.petalsearch.com/site/petalbot)", "bot PetalBot"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.1.1 Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)", "bot Applebot"),
        ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "bot AhrefsBot"),
        ("Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)", "bot SemrushBot"),
        ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "bot facebookexternalhit"),
        ("Twitterbot/1.0", "bot Twitterbot"),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "bot Slackbot"),
        ("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", "bot Discordbot"),
        ("WhatsApp/2.23.20.0 A", "bot WhatsApp"),
        ("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "bot UptimeRobot"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36", "bot Headless Chrome"),
        ("Mozilla/5.0 (Linux; Android 11; moto g power (2022)) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Mobile Safari/537.36 Chrome-Lighthouse", "bot Lighthouse"),
        ("curl/8.5.0", "bot curl"),
        ("Wget/1.21.4", "bot Wget"),
        ("python-requests/2.32.3", "bot Python Requests"),
        ("Go-http-client/2.0", "bot Go"),
        ("axios/1.7.2", "bot axios"),
        ("node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", "bot node-fetch"),
        ("node", "bot Node.js"),
        ("Java/17.0.9", "bot Java"),
        ("libwww-perl/6.67", "bot libwww-perl"),
        ("Apache-HttpClient/4.5.14 (Java/17.0.9)", "bot Apache HttpClient"),
        ("PostmanRuntime/7.39.0", "bot Postman"),
        ("UniversalFeedParser/4.2-pre-314-svn +http://feedparser.org/", "bot Universal Feed Parser"),
        ("Feedbin - 1 subscribers", "bot Feedbin"),
        ("Mozilla/5.0 (compatible; SomethingNew/1.0; +https://something.example/bot)", "bot Other bot"),
        ("kube-probe/1.29", "bot kube-probe"),
    ]);
}

#[test]
fn nothing_is_known_of_nothing() {
    let agents = Agents::new(10);
    for header in ["", "-", "  ", "\t"] {
        assert_eq!(shown(&agents.get(header)), "- | - | unknown");
    }
    for header in ["Mozilla/4.0 (compatible;)", "x", "💥", "Mozilla/5.0"] {
        assert_eq!(shown(&agents.get(header)), "- | - | unknown", "{header}");
    }
}

#[test]
fn the_cache_is_bounded_and_answers_the_same() {
    let agents = Agents::new(64);
    let header = "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0";
    let first = agents.get(header);
    assert!(Arc::ptr_eq(&first, &agents.get(header)));
    for number in 0..10_000 {
        agents.get(&format!("agent {number}"));
    }
    assert!(agents.cache.len() <= 128, "{} entries", agents.cache.len());
    // What differs only beyond the bound is one agent.
    let long = "é".repeat(AGENT_BYTES_MAX);
    assert!(Arc::ptr_eq(
        &agents.get(&long),
        &agents.get(&format!("{long}x"))
    ));
    for device in Device::ALL {
        assert_eq!(device.to_string().parse(), Ok(device));
    }
}

/// Traffic of a real site in 2015, where it is at hand.
#[test]
fn a_real_log_has_no_nonsense() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/access.log");
    let Ok(log) = std::fs::read_to_string(path) else {
        return;
    };
    let agents = Agents::new(1000);
    let mut unknown = 0;
    let mut bots = 0;
    let mut total = 0;
    for header in log.lines().filter_map(|line| line.split('"').nth(5)) {
        let agent = agents.get(header);
        total += 1;
        bots += usize::from(agent.is_bot);
        unknown += usize::from(
            !agent.is_bot && header != "-" && (agent.browser.is_none() || agent.os.is_none()),
        );
        for version in [&agent.browser_version, &agent.os_version]
            .into_iter()
            .flatten()
        {
            assert!(version.len() <= 11, "{header}: {version}");
        }
    }
    assert!(total > 9_000, "{total} agents read");
    assert!(unknown * 100 < total * 3, "{unknown} of {total} unknown");
    assert!(
        (total / 5..total / 2).contains(&bots),
        "{bots} of {total} are bots"
    );
}

proptest! {
    #[test]
    fn any_header_gives_a_bounded_answer(
        header in prop_oneof![
            ".*",
            "(Mozilla/5.0 |Opera/|Chrome/|Safari/|Version/|Android |Mac OS X |iPhone;|CPU OS |Windows NT |FBAV/|\
             OPR/|Edg/|wv|MSIE |Trident/|DoCoMo/|KDDI-|PlayStation |X11; |CrOS |[0-9._]{1,8}|[;() ]){0,14}",
            "[A-Za-z0-9 ;/._()é-]{1000,1200}",
        ]
    ) {
        let agents = Agents::new(4);
        let agent = agents.get(&header);
        prop_assert_eq!(agent.is_bot, agent.device == Device::Bot);
        for name in [&agent.browser, &agent.os].into_iter().flatten() {
            prop_assert!(!name.is_empty() && name.len() <= 64);
        }
        for version in [&agent.browser_version, &agent.os_version].into_iter().flatten() {
            prop_assert!(!version.is_empty() && version.len() <= 11);
        }
        prop_assert_eq!(&agents.get(&header), &agent);
    }
}
