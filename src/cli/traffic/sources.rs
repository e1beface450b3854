//! How people come: what they clicked, and the page that it opens.

/// A link to the site.
#[derive(Debug)]
pub struct Source {
    /// How common it is.
    pub weight: f64,
    /// Referrer that the browser sends; empty for none.
    pub referrer: &'static str,
    /// Query of the link; empty for none.
    pub query: &'static str,
    /// Path that the link opens; empty for any page.
    pub path: &'static str,
}

const fn source(
    weight: f64,
    referrer: &'static str,
    query: &'static str,
    path: &'static str,
) -> Source {
    Source {
        weight,
        referrer,
        query,
        path,
    }
}

/// Links, and visits without one.
pub const SOURCES: [Source; 22] = [
    source(26.0, "", "", ""),
    source(30.0, "https://www.google.com/", "", ""),
    source(3.0, "https://www.bing.com/", "", ""),
    source(2.5, "https://duckduckgo.com/", "", ""),
    source(1.0, "https://www.ecosia.org/", "", ""),
    source(1.5, "https://chatgpt.com/", "utm_source=chatgpt.com", ""),
    source(0.7, "https://www.perplexity.ai/", "", ""),
    source(3.0, "https://www.facebook.com/", "", ""),
    source(
        2.5,
        "https://l.instagram.com/",
        "utm_source=instagram&utm_medium=social&utm_campaign=lookbook",
        "/products/pendant-tern",
    ),
    source(2.0, "https://t.co/Qx7Lw2", "", ""),
    source(1.5, "https://www.reddit.com/", "", ""),
    source(
        1.2,
        "https://www.linkedin.com/",
        "",
        "/magazine/home-office-light",
    ),
    source(
        1.5,
        "https://www.youtube.com/",
        "utm_source=youtube&utm_medium=video&utm_campaign=unboxing",
        "/products/desk-lamp-skua",
    ),
    source(
        1.2,
        "https://news.ycombinator.com/",
        "",
        "/magazine/repair-not-replace",
    ),
    source(
        1.2,
        "https://www.pinterest.com/",
        "",
        "/magazine/small-rooms",
    ),
    source(
        1.5,
        "https://wohnblog.example/licht-im-winter",
        "",
        "/magazine/winter-light",
    ),
    source(
        1.0,
        "android-app://com.google.android.googlequicksearchbox/",
        "",
        "",
    ),
    source(
        4.5,
        "https://www.google.com/",
        "utm_source=google&utm_medium=cpc&utm_campaign=spring_sale&utm_term=desk+lamp&gclid=Cj0KCQjw",
        "/products/desk-lamp-skua",
    ),
    source(
        3.0,
        "https://www.google.com/",
        "utm_source=google&utm_medium=cpc&utm_campaign=brand&gclid=EAIaIQob",
        "/products/floor-lamp-heron",
    ),
    source(
        2.5,
        "https://www.facebook.com/",
        "utm_source=facebook&utm_medium=paid_social&utm_campaign=spring_sale&utm_content=carousel",
        "/collections/sale",
    ),
    source(
        4.5,
        "",
        "utm_source=newsletter&utm_medium=email&utm_campaign=weekly_letter",
        "/products/lantern-eider",
    ),
    source(
        2.7,
        "",
        "utm_source=newsletter&utm_medium=email&utm_campaign=member_offer",
        "/membership",
    ),
];

/// Regulars mostly type the address or open the newsletter: these are their links.
pub const REGULARS_SOURCES: [usize; 4] = [0, 0, 20, 21];
