//! The pages of a made-up shop for lamps, with its magazine.

use crate::cli::traffic::random::Weighted;

/// What a page is, which decides what people do there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageType {
    Home,
    Listing,
    Product,
    Article,
    Membership,
    Checkout,
    Info,
}

impl PageType {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Listing => "listing",
            Self::Product => "product",
            Self::Article => "article",
            Self::Membership => "membership",
            Self::Checkout => "checkout",
            Self::Info => "info",
        }
    }

    /// Seconds that people stay, as quantiles.
    pub fn stay_s(self) -> &'static [f64] {
        match self {
            Self::Article => &[1.5, 9.0, 26.0, 55.0, 95.0, 150.0, 240.0, 780.0],
            Self::Product => &[1.0, 6.0, 14.0, 24.0, 38.0, 62.0, 110.0, 420.0],
            Self::Checkout => &[5.0, 25.0, 45.0, 70.0, 95.0, 140.0, 210.0, 600.0],
            _ => &[0.8, 3.0, 6.0, 10.0, 16.0, 27.0, 50.0, 240.0],
        }
    }
}

/// A page.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its path.
    pub path: String,
    /// Its title.
    pub title: String,
    /// What it is.
    pub page_type: PageType,
    /// Who wrote it; articles only.
    pub author: &'static str,
    /// Sections it belongs to.
    pub categories: &'static [&'static str],
    /// Its labels.
    pub tags: &'static [&'static str],
    /// What it sells, in cents; 0 for nothing.
    pub price_cents: u64,
}

/// The site: its pages, the most popular first.
#[derive(Debug, Clone)]
pub struct Site {
    /// Scheme and host.
    pub origin: String,
    /// Pages that people go to.
    pub pages: Vec<Page>,
    /// The page after the cart.
    pub checkout: Page,
    popularity: Weighted,
}

impl Site {
    /// A site of at least the shop's own pages; older magazine articles fill up the rest.
    pub fn new(page_count: usize, host: &str) -> Self {
        let mut pages: Vec<Page> = SHOP.iter().map(Fixed::page).collect();
        for number in pages.len()..page_count {
            pages.push(archived_article(number));
        }
        Self {
            origin: format!("https://{host}"),
            popularity: Weighted::zipf(pages.len(), 1.5),
            pages,
            checkout: CHECKOUT.page(),
        }
    }

    /// A page by how popular it is.
    pub fn any(&self, random: &mut super::Random) -> &Page {
        &self.pages[self.popularity.sample(random)]
    }

    /// The page at the path, or the home page.
    pub fn at(&self, path: &str) -> &Page {
        self.pages
            .iter()
            .find(|page| page.path == path)
            .unwrap_or(&self.pages[0])
    }
}

struct Fixed {
    path: &'static str,
    title: &'static str,
    page_type: PageType,
    author: &'static str,
    categories: &'static [&'static str],
    tags: &'static [&'static str],
    price_cents: u64,
}

impl Fixed {
    fn page(&self) -> Page {
        Page {
            path: self.path.to_owned(),
            title: format!("{} · Nordlicht", self.title),
            page_type: self.page_type,
            author: self.author,
            categories: self.categories,
            tags: self.tags,
            price_cents: self.price_cents,
        }
    }
}

const fn plain(path: &'static str, title: &'static str, page_type: PageType) -> Fixed {
    Fixed {
        path,
        title,
        page_type,
        author: "",
        categories: &[],
        tags: &[],
        price_cents: 0,
    }
}

const fn product(
    path: &'static str,
    title: &'static str,
    categories: &'static [&'static str],
    tags: &'static [&'static str],
    price_cents: u64,
) -> Fixed {
    Fixed {
        categories,
        tags,
        price_cents,
        ..plain(path, title, PageType::Product)
    }
}

const fn article(
    path: &'static str,
    title: &'static str,
    author: &'static str,
    categories: &'static [&'static str],
    tags: &'static [&'static str],
) -> Fixed {
    Fixed {
        author,
        categories,
        tags,
        ..plain(path, title, PageType::Article)
    }
}

const CHECKOUT: Fixed = plain("/checkout", "Checkout", PageType::Checkout);

/// The most popular first.
const SHOP: [Fixed; 34] = [
    plain("/", "Light for the north", PageType::Home),
    plain("/collections/lamps", "All lamps", PageType::Listing),
    product(
        "/products/desk-lamp-skua",
        "Desk lamp Skua",
        &["Lamps", "Office"],
        &["led", "dimmable", "new"],
        12_900,
    ),
    article(
        "/magazine/winter-light",
        "Living with winter light",
        "Ida Sørensen",
        &["Magazine", "Wellbeing"],
        &["winter", "sleep"],
    ),
    plain("/collections/sale", "Sale", PageType::Listing),
    product(
        "/products/pendant-tern",
        "Pendant Tern",
        &["Lamps", "Kitchen"],
        &["glass", "handmade"],
        24_500,
    ),
    plain("/search", "Search", PageType::Listing),
    article(
        "/magazine/repair-not-replace",
        "Repair, not replace: a lamp for forty years",
        "Jonas Wendt",
        &["Magazine", "Craft"],
        &["repair", "sustainability"],
    ),
    product(
        "/products/floor-lamp-heron",
        "Floor lamp Heron",
        &["Lamps", "Living room"],
        &["led", "oak"],
        32_900,
    ),
    plain("/membership", "Membership", PageType::Membership),
    article(
        "/magazine/home-office-light",
        "Good light for a home office",
        "Ida Sørensen",
        &["Magazine", "Office"],
        &["desk", "eyes"],
    ),
    product(
        "/products/bulb-warm-e27",
        "Warm bulb E27",
        &["Bulbs"],
        &["led", "e27"],
        1_490,
    ),
    plain("/collections/outdoor", "Outdoor", PageType::Listing),
    article(
        "/magazine/small-rooms",
        "Small rooms, large light",
        "Mercè Vidal",
        &["Magazine", "Interior"],
        &["small rooms", "how-to"],
    ),
    product(
        "/products/wall-lamp-puffin",
        "Wall lamp Puffin",
        &["Lamps", "Bedroom"],
        &["brass"],
        8_900,
    ),
    plain("/help/delivery", "Delivery and returns", PageType::Info),
    product(
        "/products/lantern-eider",
        "Lantern Eider",
        &["Outdoor"],
        &["solar", "new"],
        5_900,
    ),
    article(
        "/magazine/colour-temperature",
        "What colour temperature means",
        "Jonas Wendt",
        &["Magazine", "Science"],
        &["led", "kelvin"],
    ),
    plain("/collections/bulbs", "Bulbs", PageType::Listing),
    product(
        "/products/clip-lamp-wren",
        "Clip lamp Wren",
        &["Lamps", "Office"],
        &["led", "small"],
        3_900,
    ),
    product(
        "/products/pendant-gannet",
        "Pendant Gannet",
        &["Lamps", "Dining room"],
        &["linen"],
        18_900,
    ),
    plain("/stores", "Our stores", PageType::Info),
    article(
        "/magazine/northern-summers",
        "Northern summers: sleeping when it is light",
        "Aino Lehtinen",
        &["Magazine", "Wellbeing"],
        &["summer", "sleep"],
    ),
    product(
        "/products/bulb-filament-globe",
        "Filament globe",
        &["Bulbs"],
        &["e27", "dimmable"],
        1_990,
    ),
    plain("/about", "Who we are", PageType::Info),
    product(
        "/products/night-light-owl",
        "Night light Owl",
        &["Lamps", "Children"],
        &["battery", "small"],
        2_900,
    ),
    article(
        "/magazine/behind-tern",
        "Behind Tern: the glass blowers of Småland",
        "Aino Lehtinen",
        &["Magazine", "Craft"],
        &["glass", "portrait"],
    ),
    product(
        "/products/picture-light-plover",
        "Picture light Plover",
        &["Lamps", "Living room"],
        &["brass", "led"],
        9_900,
    ),
    plain("/help/warranty", "Ten years of warranty", PageType::Info),
    article(
        "/magazine/dimmers",
        "Dimmers without flicker",
        "Jonas Wendt",
        &["Magazine", "Science"],
        &["dimmable", "how-to"],
    ),
    product(
        "/products/dimmer-plug",
        "Dimmer plug",
        &["Accessories"],
        &["dimmable"],
        2_490,
    ),
    plain("/gift-cards", "Gift cards", PageType::Listing),
    plain("/account", "Your account", PageType::Info),
    plain("/imprint", "Imprint", PageType::Info),
];

const SUBJECTS: [&str; 12] = [
    "Shadows",
    "Candles",
    "Glass",
    "Brass",
    "Kitchens",
    "Hallways",
    "Reading corners",
    "Balconies",
    "Bedrooms",
    "Festive tables",
    "Old switches",
    "Workshops",
];
const ANGLES: [&str; 10] = [
    "Five ideas for",
    "In praise of",
    "A short history of",
    "The trouble with",
    "Light for",
    "Readers show their",
    "How to plan",
    "The right bulb for",
    "Questions about",
    "Back to",
];
const AUTHORS: [&str; 4] = [
    "Ida Sørensen",
    "Jonas Wendt",
    "Aino Lehtinen",
    "Mercè Vidal",
];

fn archived_article(number: usize) -> Page {
    let subject = SUBJECTS[number % SUBJECTS.len()];
    let angle = ANGLES[number / SUBJECTS.len() % ANGLES.len()];
    let title = format!("{angle} {}", subject.to_lowercase());
    let slug = title.to_lowercase().replace(' ', "-");
    Page {
        path: format!("/magazine/archive/{number}-{slug}"),
        title: format!("{title} · Nordlicht"),
        page_type: PageType::Article,
        author: AUTHORS[number % AUTHORS.len()],
        categories: &["Magazine", "Archive"],
        tags: &["archive"],
        price_cents: 0,
    }
}
