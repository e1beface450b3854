//! The sites whose visitors count as search, social or email: data, and how a domain is found in
//! it.
//!
//! Larger lists to compare with are Google's "GA4 default channel group: source categories",
//! Matomo's searchengine-and-social-list and Snowplow's referer-parser.

use super::Channel::{self, Email, Referral, Search, Social};

/// Domains and Android packages, sorted. A domain stands for all below it, unless a longer one is
/// also here: `tieba.baidu.com` is social, the rest of `baidu.com` is search.
#[rustfmt::skip]
static SITES: &[(&str, Channel)] = &[
    ("academia.edu", Social), ("alltheweb.com", Search), ("altavista.com", Search),
    ("ameblo.jp", Social), ("aol.com", Search), ("api.whatsapp.com", Social),
    ("app.fastmail.com", Email), ("app.hey.com", Email), ("app.tuta.com", Email),
    ("ask.com", Search), ("badoo.com", Social), ("baidu.com", Search),
    ("baike.baidu.com", Referral), ("bebo.com", Social), ("behance.net", Social),
    ("bereal.com", Social), ("bilibili.com", Social), ("bing.com", Search),
    ("blog.naver.com", Referral), ("blogger.com", Social), ("bsky.app", Social),
    ("cafe.daum.net", Referral), ("cafe.naver.com", Referral), ("campaign-archive.com", Email),
    ("ch.protonmail.android", Email), ("chaos.social", Social), ("chat.deepseek.com", Referral),
    ("chat.mistral.ai", Referral), ("chat.openai.com", Referral), ("chatgpt.com", Referral),
    ("classmates.com", Social), ("claude.ai", Referral), ("cliqz.com", Search),
    ("cloud.mail.ru", Referral), ("clubhouse.com", Social), ("coccoc.com", Search),
    ("cohost.org", Social), ("com.discord", Social), ("com.duckduckgo.mobile.android", Search),
    ("com.ecosia.android", Search), ("com.facebook.katana", Social), ("com.facebook.lite", Social),
    ("com.facebook.orca", Social), ("com.fastmail.app", Email), ("com.fsck.k9", Email),
    ("com.google.android.gm", Email), ("com.google.android.gm.lite", Email),
    ("com.google.android.googlequicksearchbox", Search), ("com.google.android.launcher", Search),
    ("com.google.android.youtube", Social), ("com.instagram.android", Social),
    ("com.instagram.barcelona", Social), ("com.linkedin.android", Social),
    ("com.microsoft.bing", Search), ("com.microsoft.office.outlook", Email), ("com.my.mail", Email),
    ("com.openai.chatgpt", Referral), ("com.pinterest", Social), ("com.quora.android", Social),
    ("com.qwant.liberty", Search), ("com.readdle.spark", Email), ("com.reddit.frontpage", Social),
    ("com.samsung.android.email.provider", Email), ("com.sina.weibo", Social),
    ("com.snapchat.android", Social), ("com.ss.android.ugc.trill", Social),
    ("com.tencent.mm", Social), ("com.tumblr", Social), ("com.twitter.android", Social),
    ("com.vkontakte.android", Social), ("com.whatsapp", Social),
    ("com.yahoo.mobile.client.android.mail", Email), ("com.zhiliaoapp.musically", Social),
    ("connect.xfinity.com", Email), ("copilot.microsoft.com", Referral), ("counter.social", Social),
    ("dailymotion.com", Social), ("daum.net", Search), ("de.gmx.mobile.android.mail", Email),
    ("de.web.mobile.android.mail", Email), ("deepseek.com", Referral), ("delicious.com", Social),
    ("deref-1und1.com", Email), ("deref-gmx.net", Email), ("deref-mail.com", Email),
    ("deref-web.de", Email), ("developers.facebook.com", Referral), ("deviantart.com", Social),
    ("digg.com", Social), ("discord.com", Social), ("discord.gg", Social),
    ("discordapp.com", Social), ("dogpile.com", Search), ("douban.com", Social),
    ("douyin.com", Social), ("dribbble.com", Social), ("duck.ai", Referral),
    ("duckduckgo.com", Search), ("e.mail.ru", Email), ("ecosia.org", Search),
    ("email.seznam.cz", Email), ("email.t-online.de", Email), ("eu.faircode.email", Email),
    ("exalead.com", Search), ("excite.com", Search), ("facebook.com", Social),
    ("fastmail.com", Email), ("fb.com", Social), ("fb.me", Social), ("fb.watch", Social),
    ("fireball.de", Search), ("flickr.com", Social), ("flipboard.com", Social),
    ("fosstodon.org", Social), ("foursquare.com", Social), ("friendster.com", Social),
    ("gab.com", Social), ("gemini.google.com", Referral), ("gettr.com", Social),
    ("ghostery.com", Search), ("gibiru.com", Search), ("go.bsky.app", Social),
    ("go.mail.ru", Search), ("goodreads.com", Social), ("grok.com", Referral),
    ("groups.google.com", Social), ("hachyderm.io", Social), ("hackernews.com", Social),
    ("haosou.com", Search), ("hckrnews.com", Social), ("hi5.com", Social), ("hotmail.com", Email),
    ("ig.me", Social), ("imgur.com", Social), ("inbox.google.com", Email), ("info.com", Search),
    ("infosec.exchange", Social), ("instagram.com", Social),
    ("io.github.hidroh.materialistic", Social), ("ixquick.com", Search),
    ("jp.naver.line.android", Social), ("kagi.com", Search), ("kaixin001.com", Social),
    ("kakao.com", Social), ("karmasearch.org", Search), ("kick.com", Social), ("kwai.com", Social),
    ("last.fm", Social), ("lemmy.ml", Social), ("lemmy.world", Social), ("letterboxd.com", Social),
    ("lilo.org", Search), ("line.me", Social), ("linkedin.com", Social), ("linktr.ee", Social),
    ("list-manage.com", Email), ("livejournal.com", Social), ("lnkd.in", Social),
    ("lobste.rs", Social), ("lycos.com", Search), ("mail.126.com", Email), ("mail.163.com", Email),
    ("mail.aol.com", Email), ("mail.daum.net", Email), ("mail.google.com", Email),
    ("mail.icloud.com", Email), ("mail.libero.it", Email), ("mail.live.com", Email),
    ("mail.naver.com", Email), ("mail.orange.fr", Email), ("mail.proton.me", Email),
    ("mail.protonmail.com", Email), ("mail.qq.com", Email), ("mail.rambler.ru", Email),
    ("mail.sina.com.cn", Email), ("mail.superhuman.com", Email), ("mail.tutanota.com", Email),
    ("mail.yahoo.co.jp", Email), ("mail.yahoo.com", Email), ("mail.yandex.com", Email),
    ("mail.yandex.ru", Email), ("mail.zoho.com", Email), ("mail.zoho.eu", Email),
    ("mas.to", Social), ("mastodon.art", Social), ("mastodon.cloud", Social),
    ("mastodon.online", Social), ("mastodon.social", Social), ("mastodon.world", Social),
    ("mathstodon.xyz", Social), ("me.bluemail.mail", Email), ("medium.com", Social),
    ("meetup.com", Social), ("messagerie.orange.fr", Email), ("messenger.com", Social),
    ("meta.ai", Referral), ("metager.de", Search), ("metager.org", Search), ("mewe.com", Social),
    ("minds.com", Social), ("mixcloud.com", Social), ("mixi.jp", Social),
    ("ml.docilealligator.infinityforreddit", Social), ("mojeek.com", Search),
    ("mp.weixin.qq.com", Social), ("msn.com", Search), ("mstdn.jp", Social),
    ("mstdn.social", Social), ("myspace.com", Social), ("najdi.si", Search), ("naver.com", Search),
    ("navigator.gmx.net", Email), ("navigator.web.de", Email), ("net.thunderbird.android", Email),
    ("news.ycombinator.com", Social), ("nextdoor.com", Social), ("odnoklassniki.ru", Social),
    ("odysee.com", Social), ("ok.ru", Social), ("org.joinmastodon.android", Social),
    ("org.telegram.messenger", Social), ("org.telegram.messenger.web", Social),
    ("out.reddit.com", Social), ("outlook.cloud.microsoft", Email), ("outlook.com", Email),
    ("outlook.live.com", Email), ("outlook.office.com", Email), ("outlook.office365.com", Email),
    ("pan.baidu.com", Referral), ("parler.com", Social), ("pawoo.net", Social),
    ("periscope.tv", Social), ("perplexity.ai", Referral), ("petalsearch.com", Search),
    ("phind.com", Referral), ("pin.it", Social), ("pinterest.com", Social),
    ("pixelfed.social", Social), ("plurk.com", Social), ("plus.google.com", Social),
    ("plus.url.google.com", Social), ("poczta.interia.pl", Email), ("poczta.onet.pl", Email),
    ("poczta.wp.pl", Email), ("poe.com", Referral), ("presearch.com", Search),
    ("presearch.org", Search), ("producthunt.com", Social), ("protonmail.com", Email),
    ("quora.com", Social), ("qwant.com", Search), ("qzone.qq.com", Social), ("rambler.ru", Search),
    ("ravelry.com", Social), ("redd.it", Social), ("reddit.com", Social), ("renren.com", Social),
    ("researchgate.net", Social), ("ru.mail.mailapp", Email), ("ru.yandex.searchplugin", Search),
    ("rumble.com", Social), ("scoop.it", Social), ("search.aol.com", Search),
    ("search.brave.com", Search), ("search.lycos.com", Search), ("search.marginalia.nu", Search),
    ("search.naver.com", Search), ("search.seznam.cz", Search), ("search.yahoo.co.jp", Search),
    ("searx.be", Search), ("seznam.cz", Search), ("slashdot.org", Social),
    ("slideshare.net", Social), ("snapchat.com", Social), ("so.com", Search), ("sogou.com", Search),
    ("soundcloud.com", Social), ("startpage.com", Search), ("startsiden.no", Search),
    ("steamcommunity.com", Social), ("stumbleupon.com", Social), ("substack.com", Social),
    ("suche.gmx.net", Search), ("suche.t-online.de", Search), ("suche.web.de", Search),
    ("superhuman.com", Email), ("swisscows.com", Search), ("t.co", Social), ("t.me", Social),
    ("techhub.social", Social), ("telegram.me", Social), ("telegram.org", Social),
    ("terra.com.br", Search), ("threads.com", Social), ("threads.net", Social),
    ("tieba.baidu.com", Social), ("tiger.ch", Search), ("tiktok.com", Social),
    ("truthsocial.com", Social), ("tuenti.com", Social), ("tumblr.com", Social),
    ("tutanota.com", Email), ("twitch.tv", Social), ("twitter.com", Social), ("viadeo.com", Social),
    ("vimeo.com", Social), ("virgilio.it", Search), ("vk.com", Social), ("vkontakte.ru", Social),
    ("vm.tiktok.com", Social), ("wa.me", Social), ("walla.co.il", Search),
    ("web.telegram.org", Social), ("web.whatsapp.com", Social), ("webmail.free.fr", Email),
    ("wechat.com", Social), ("weheartit.com", Social), ("weibo.cn", Social), ("weibo.com", Social),
    ("weixin.qq.com", Social), ("whatsapp.com", Social), ("x.com", Social), ("xhslink.com", Social),
    ("xiaohongshu.com", Social), ("xing.com", Social), ("xyz.blueskyweb.app", Social),
    ("ya.ru", Search), ("yammer.com", Social), ("you.com", Search), ("youdao.com", Search),
    ("youtu.be", Social), ("youtube-nocookie.com", Social), ("youtube.com", Social),
    ("zalo.me", Social), ("zapmeta.com", Search), ("zhidao.baidu.com", Referral),
    ("zhihu.com", Social), ("zimbra.free.fr", Email),
];

/// Names that people write into `utm_source` instead of a domain. Lower case, sorted.
#[rustfmt::skip]
static SOURCES: &[(&str, Channel)] = &[
    ("baidu", Search), ("bing", Search), ("bluesky", Social), ("brave", Search), ("chatgpt", Referral),
    ("claude", Referral), ("copilot", Referral), ("duckduckgo", Search), ("ecosia", Search),
    ("facebook", Social), ("fb", Social), ("gemini", Referral), ("gmail", Email), ("google", Search),
    ("hackernews", Social), ("hn", Social), ("hotmail", Email), ("ig", Social), ("instagram", Social),
    ("linkedin", Social), ("mastodon", Social), ("messenger", Social), ("naver", Search),
    ("newsletter", Email), ("openai", Referral), ("outlook", Email), ("perplexity", Referral),
    ("pinterest", Social), ("qwant", Search), ("reddit", Social), ("snapchat", Social),
    ("startpage", Search), ("telegram", Social), ("threads", Social), ("tiktok", Social),
    ("tumblr", Social), ("twitter", Social), ("vk", Social), ("wechat", Social), ("weibo", Social),
    ("whatsapp", Social), ("x", Social), ("yahoo", Search), ("yandex", Search), ("youtube", Social),
    ("yt", Social),
];

/// Hosts of a search company that search; the others (documents, groups, finance) are plain sites.
static GOOGLE_SEARCHES: &[&str] = &[
    "",
    "books",
    "cse",
    "encrypted",
    "images",
    "ipv4",
    "ipv6",
    "lens",
    "m",
    "maps",
    "news",
    "scholar",
    "video",
    "videos",
];
static YANDEX_SEARCHES: &[&str] = &["", "images", "m", "search", "video"];

/// What a referrer's domain counts as, in lower case. `None`: not a site we know.
pub fn site_channel(domain: &str) -> Option<Channel> {
    let mut rest = domain.strip_prefix("www.").unwrap_or(domain);
    if let Some(channel) = brand_channel(rest) {
        return Some(channel);
    }
    loop {
        if let Ok(at) = SITES.binary_search_by(|(name, _)| (*name).cmp(rest)) {
            return Some(SITES[at].1);
        }
        (_, rest) = rest.split_once('.')?;
    }
}

/// What a `utm_source` counts as: a name from [`SOURCES`] or a domain.
pub(super) fn source_channel(source: &str) -> Option<Channel> {
    let source = source.to_ascii_lowercase();
    match SOURCES.binary_search_by(|(name, _)| (*name).cmp(&source)) {
        Ok(at) => Some(SOURCES[at].1),
        Err(_) => site_channel(&source),
    }
}

/// Companies with one domain for each country: google.de, google.co.uk, de.search.yahoo.com.
fn brand_channel(domain: &str) -> Option<Channel> {
    let (below, brand) = split_country_domain(domain)?;
    match brand {
        "google" if GOOGLE_SEARCHES.contains(&below) => Some(Search),
        "google" if matches!(below, "mail" | "inbox") => Some(Email),
        // For google.com these are in the table; ccTLDs have only the same few.
        "yahoo" if below == "mail" || below.ends_with(".mail") => Some(Email),
        "yahoo" if below.len() <= 2 || below == "search" || below.ends_with(".search") => {
            Some(Search)
        }
        "yandex" if YANDEX_SEARCHES.contains(&below) => Some(Search),
        "yandex" if below == "mail" => Some(Email),
        "pinterest" => Some(Social),
        _ => None,
    }
}

/// `de.search.yahoo.co.jp` → (`de.search`, `yahoo`). `None` unless the end looks like the suffix
/// under which a company registers its country sites: `com`, `xx`, `co.xx`, `com.xx`.
fn split_country_domain(domain: &str) -> Option<(&str, &str)> {
    let (before, last) = domain.rsplit_once('.')?;
    if !(last.len() == 2 || matches!(last, "com" | "cat")) {
        return None;
    }
    let before = match before.rsplit_once('.') {
        Some((rest, "co" | "com")) if last.len() == 2 => rest,
        _ => before,
    };
    Some(before.rsplit_once('.').unwrap_or(("", before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_lower_case() {
        for table in [SITES, SOURCES] {
            let unsorted = table.windows(2).find(|pair| pair[0].0 >= pair[1].0);
            assert_eq!(unsorted, None);
            assert!(
                table
                    .iter()
                    .all(|(name, _)| !name.bytes().any(|b| b.is_ascii_uppercase()))
            );
        }
        assert!(SITES.iter().all(|(name, _)| !name.starts_with("www.")));
    }

    #[test]
    fn sites() {
        for (domain, expected) in [
            ("google.com", Some(Search)),
            ("google.co.uk", Some(Search)),
            ("google.com.br", Some(Search)),
            ("images.google.de", Some(Search)),
            ("news.google.com", Some(Search)),
            ("mail.google.com", Some(Email)),
            ("docs.google.com", None),
            ("groups.google.com", Some(Social)),
            ("gemini.google.com", Some(Referral)),
            ("google.evil.com", None),
            ("google.phishing", None),
            ("notgoogle.com", None),
            ("yahoo.com", Some(Search)),
            ("de.search.yahoo.com", Some(Search)),
            ("r.search.yahoo.com", Some(Search)),
            ("search.yahoo.co.jp", Some(Search)),
            ("mail.yahoo.com", Some(Email)),
            ("finance.yahoo.com", None),
            ("yandex.ru", Some(Search)),
            ("ya.ru", Some(Search)),
            ("mail.yandex.kz", Some(Email)),
            ("disk.yandex.ru", None),
            ("cn.bing.com", Some(Search)),
            ("duckduckgo.com", Some(Search)),
            ("search.brave.com", Some(Search)),
            ("brave.com", None),
            ("baidu.com", Some(Search)),
            ("tieba.baidu.com", Some(Social)),
            ("m.facebook.com", Some(Social)),
            ("lm.facebook.com", Some(Social)),
            ("t.co", Some(Social)),
            ("x.com", Some(Social)),
            ("netflix.com", None),
            ("lnkd.in", Some(Social)),
            ("old.reddit.com", Some(Social)),
            ("news.ycombinator.com", Some(Social)),
            ("ycombinator.com", None),
            ("bsky.app", Some(Social)),
            ("mastodon.social", Some(Social)),
            ("pinterest.co.uk", Some(Social)),
            ("youtube.com", Some(Social)),
            ("outlook.live.com", Some(Email)),
            ("com.google.android.gm", Some(Email)),
            ("com.google.android.googlequicksearchbox", Some(Search)),
            ("com.linkedin.android", Some(Social)),
            ("chatgpt.com", Some(Referral)),
            ("www.perplexity.ai", Some(Referral)),
            ("localhost", None),
            ("com", None),
            ("", None),
        ] {
            assert_eq!(site_channel(domain), expected, "{domain}");
        }
        assert_eq!(source_channel("X"), Some(Social));
        assert_eq!(source_channel("News.YCombinator.com"), Some(Social));
        assert_eq!(source_channel("partner"), None);
    }
}
