//! Where people are: languages, clocks and networks.

use crate::cli::traffic::random::{Random, quantile};

/// A country, roughly.
#[derive(Debug)]
pub struct Place {
    /// Share of visitors in percent.
    pub weight: f64,
    /// Hours east of UTC, one for the whole country and year.
    pub utc_offset_h: i64,
    languages: &'static [&'static str],
    /// First two bytes of networks of large access providers there.
    networks_v4: &'static [(u8, u8)],
    /// First two groups of an IPv6 network there.
    network_v6: (u16, u16),
}

const fn place(
    weight: f64,
    utc_offset_h: i64,
    languages: &'static [&'static str],
    networks_v4: &'static [(u8, u8)],
    network_v6: (u16, u16),
) -> Place {
    Place {
        weight,
        utc_offset_h,
        languages,
        networks_v4,
        network_v6,
    }
}

/// The countries of the shop's visitors.
pub const PLACES: [Place; 14] = [
    place(
        27.0,
        1,
        &["de-DE", "de-DE", "de", "en-GB"],
        &[(91, 12), (79, 210), (93, 220), (188, 98)],
        (0x2003, 0xe1),
    ),
    place(
        14.0,
        -5,
        &["en-US"],
        &[(73, 162), (98, 7), (71, 190), (24, 60)],
        (0x2601, 0x646),
    ),
    place(
        6.0,
        -8,
        &["en-US", "en-US", "es-US"],
        &[(76, 21), (47, 150), (98, 207)],
        (0x2600, 0x1700),
    ),
    place(
        10.0,
        0,
        &["en-GB"],
        &[(86, 144), (81, 152), (82, 14)],
        (0x2a00, 0x23c5),
    ),
    place(
        8.0,
        1,
        &["fr-FR"],
        &[(90, 30), (82, 65), (176, 150)],
        (0x2a01, 0xcb0c),
    ),
    place(
        6.0,
        1,
        &["nl-NL", "nl-NL", "en-GB"],
        &[(84, 83), (77, 160)],
        (0x2a02, 0xa44a),
    ),
    place(5.0, 1, &["sv-SE"], &[(81, 231), (78, 72)], (0x2001, 0x9b1)),
    place(5.0, 1, &["es-ES"], &[(83, 45), (88, 8)], (0x2a0c, 0x5a81)),
    place(4.0, 1, &["it-IT"], &[(79, 30), (87, 6)], (0x2001, 0xb07)),
    place(4.0, 1, &["pl-PL"], &[(83, 20), (89, 70)], (0x2a02, 0xa31f)),
    place(
        3.0,
        -3,
        &["pt-BR"],
        &[(177, 40), (189, 60)],
        (0x2804, 0x14c),
    ),
    place(
        3.0,
        9,
        &["ja-JP"],
        &[(126, 120), (60, 110)],
        (0x2400, 0x4050),
    ),
    place(
        3.0,
        5,
        &["en-IN", "hi-IN"],
        &[(49, 36), (106, 200)],
        (0x2409, 0x4072),
    ),
    place(
        2.0,
        10,
        &["en-AU"],
        &[(101, 180), (49, 180)],
        (0x2001, 0x8003),
    ),
];

/// Share of addresses that are IPv6.
const IPV6_SHARE: f64 = 0.35;

impl Place {
    /// A language of the place.
    pub fn language(&self, random: &mut Random) -> &'static str {
        random.pick(self.languages)
    }

    /// An address of the place.
    pub fn address(&self, random: &mut Random) -> String {
        if random.chance(IPV6_SHARE) {
            let (first, second) = self.network_v6;
            let bits = random.next_u64();
            let group = |index: u64| (bits >> (index * 16)) & 0xffff;
            return format!(
                "{first:x}:{second:x}:{:x}:{:x}::{:x}",
                group(0),
                group(1) & 0xff00,
                group(2)
            );
        }
        let (first, second) = random.pick(self.networks_v4);
        format!(
            "{first}.{second}.{}.{}",
            random.below(256),
            random.between(1, 254)
        )
    }
}

/// An address that crawlers call from.
pub fn data_centre_address(random: &mut Random) -> String {
    let (first, second, third) =
        random.pick(&[(66, 249, 66), (157, 55, 39), (52, 230, 152), (54, 36, 148)]);
    format!("{first}.{second}.{third}.{}", random.between(1, 254))
}

/// A time of the local day in milliseconds: hardly anyone at night, most in the evening.
///
/// The quantiles of the hours in which people visit a shop, in steps of a twelfth.
pub fn local_time_ms(random: &mut Random) -> i64 {
    const HOURS: [f64; 13] = [
        0.0, 7.4, 9.2, 10.7, 12.0, 13.2, 14.5, 16.0, 17.6, 19.0, 20.3, 21.6, 24.0,
    ];
    let hour = quantile(&HOURS, random.unit());
    (hour * 3_600_000.0) as i64
}
