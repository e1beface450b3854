//! GetEvent and ListEvents: events come back as event.proto says, each exactly once.

use jiff::{SignedDuration, Timestamp};
use prost_types::{ListValue, Struct, Value, value::Kind as ValueKind};
use tallymark::pb::{self, Operator, filter::Kind, time_range::Range};
use tonic::Code;
use uuid::Uuid;

use crate::support::wire::assert_refused;
use crate::support::{TestApp, page_view};

const COUNTRIES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/country-nested.mmdb"
);
const FIREFOX: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0";
const CRAWLER: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

async fn get(app: &TestApp, event_id: &str) -> pb::StoredEvent {
    let request = pb::GetEventRequest {
        event_id: event_id.to_owned(),
        ..pb::GetEventRequest::default()
    };
    let reply = app.query().get_event(request).await.expect("the event");
    reply.into_inner().event.expect("an event")
}

async fn assert_no_event(app: &TestApp, event_id: &str) {
    let request = pb::GetEventRequest {
        event_id: event_id.to_owned(),
        ..pb::GetEventRequest::default()
    };
    let status = app
        .query()
        .get_event(request)
        .await
        .expect_err("no such event");
    assert_refused(&status, Code::NotFound, "NOT_FOUND", &[]);
    assert_eq!(status.message(), format!("there is no event `{event_id}`"));
}

async fn list(app: &TestApp, request: pb::ListEventsRequest) -> pb::ListEventsResponse {
    app.query()
        .list_events(request)
        .await
        .expect("a page")
        .into_inner()
}

fn ids(page: &pb::ListEventsResponse) -> Vec<String> {
    let ids = page
        .events
        .iter()
        .map(|stored| stored.event.as_ref().expect("an event").event_id.clone());
    ids.collect()
}

fn wire(time: Timestamp) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    })
}

fn ago(minutes: i64) -> Timestamp {
    let time = Timestamp::now() - SignedDuration::from_mins(minutes);
    Timestamp::from_microsecond(time.as_microsecond()).expect("a time")
}

fn value(kind: ValueKind) -> Value {
    Value { kind: Some(kind) }
}

fn object<'a>(fields: impl IntoIterator<Item = (&'a str, ValueKind)>) -> Struct {
    let fields = fields
        .into_iter()
        .map(|(key, kind)| (key.to_owned(), value(kind)))
        .collect();
    Struct { fields }
}

fn properties() -> Struct {
    let inner = object([
        ("deep", ValueKind::BoolValue(true)),
        ("null", ValueKind::NullValue(0)),
    ]);
    let list = ListValue {
        values: vec![
            value(ValueKind::NumberValue(1.5)),
            value(ValueKind::StringValue("ü\"\\\n".to_owned())),
        ],
    };
    object([
        ("plan", ValueKind::StringValue("pro".to_owned())),
        ("price", ValueKind::NumberValue(-12.75)),
        ("whole", ValueKind::NumberValue(9_007_199_254_740_991.0)),
        ("huge", ValueKind::NumberValue(1e300)),
        ("tiny", ValueKind::NumberValue(5e-324)),
        ("third", ValueKind::NumberValue(1.0 / 3.0)),
        ("exact", ValueKind::NumberValue(0.123_456_789_012_345_67)),
        ("hard", ValueKind::NumberValue(8.988_465_674_311_582e307)),
        ("list", ValueKind::ListValue(list)),
        ("empty list", ValueKind::ListValue(ListValue::default())),
        ("object", ValueKind::StructValue(inner)),
        ("empty object", ValueKind::StructValue(Struct::default())),
    ])
}

#[tokio::test]
async fn an_event_with_everything_comes_back_as_promised() {
    let app = TestApp::start_with(&[("TALLYMARK_GEO_DB", COUNTRIES)]).await;
    let time = ago(10);
    let sent = pb::Event {
        event_id: Uuid::now_v7().to_string().to_uppercase(),
        time: wire(time + SignedDuration::from_nanos(789)),
        name: " page_view ".to_owned(),
        visitor_id: "device-1".to_owned(),
        user_id: "ada@example.com".to_owned(),
        session_id: "session-1".to_owned(),
        page: "https://Shop.Example.com:443/Pricing/?b=2&utm_source=News&UTM_MEDIUM=email&utm_campaign=Spring%20Sale&utm_term=shoes&utm_content=top&fbclid=xyz&a=1#plans".to_owned(),
        title: "  Pricing – Shop ".to_owned(),
        referrer: "https://www.News.example.org/a/b?x=1#y".to_owned(),
        user_agent: FIREFOX.to_owned(),
        ip_address: "192.0.2.77".to_owned(),
        language: "de-ch, en;q=0.5".to_owned(),
        screen: "1920 X 1080".to_owned(),
        duration: Some(prost_types::Duration { seconds: 61, nanos: 234_500_000 }),
        scroll_depth: Some(33.336),
        page_type: "product".to_owned(),
        author: "Grace Hopper".to_owned(),
        categories: ["shoes", " sale", "shoes"].map(str::to_owned).to_vec(),
        tags: ["z", "a", "m"].map(str::to_owned).to_vec(),
        properties: Some(properties()),
    };
    app.send_new(vec![sent.clone()]).await;

    let stored = get(&app, &sent.event_id.to_lowercase()).await;
    let expected = pb::Event {
        event_id: sent.event_id.to_lowercase(),
        time: wire(time),
        name: "page_view".to_owned(),
        page: "//shop.example.com/Pricing/?b=2&a=1".to_owned(),
        title: "Pricing – Shop".to_owned(),
        referrer: "news.example.org/a/b".to_owned(),
        ip_address: "192.0.2.0".to_owned(),
        language: "de-CH".to_owned(),
        screen: "1920x1080".to_owned(),
        duration: Some(prost_types::Duration {
            seconds: 61,
            nanos: 235_000_000,
        }),
        scroll_depth: Some(33.34),
        categories: ["shoes", "sale"].map(str::to_owned).to_vec(),
        ..sent
    };
    assert_eq!(stored.event, Some(expected));
    let derived = pb::DerivedFields {
        host: "shop.example.com".to_owned(),
        path: "/Pricing/".to_owned(),
        query: "b=2&a=1".to_owned(),
        referrer: "news.example.org".to_owned(),
        channel: "email".to_owned(),
        utm_source: "News".to_owned(),
        utm_medium: "email".to_owned(),
        utm_campaign: "Spring Sale".to_owned(),
        utm_term: "shoes".to_owned(),
        utm_content: "top".to_owned(),
        browser: "Firefox".to_owned(),
        browser_version: "127".to_owned(),
        os: "Windows".to_owned(),
        os_version: "10".to_owned(),
        device: "desktop".to_owned(),
        is_bot: false,
        country: "DE".to_owned(),
    };
    assert_eq!(stored.derived, Some(derived));
    let listed = list(&app, pb::ListEventsRequest::default()).await;
    assert_eq!(listed.events, [stored], "a list has the same");
}

#[tokio::test]
async fn an_event_with_little_comes_back_with_as_little() {
    let app = TestApp::start().await;
    let sent = pb::Event {
        time: wire(ago(1)),
        name: "sign_up".to_owned(),
        visitor_id: "ada".to_owned(),
        event_id: Uuid::now_v7().to_string(),
        ..pb::Event::default()
    };
    app.send_new(vec![sent.clone()]).await;
    let stored = get(&app, &sent.event_id).await;
    assert_eq!(stored.event, Some(sent));
    let derived = pb::DerivedFields {
        channel: "direct".to_owned(),
        ..pb::DerivedFields::default()
    };
    assert_eq!(stored.derived, Some(derived));
}

#[tokio::test]
async fn what_makes_no_sense_is_dropped_where_the_contract_says_so() {
    let app = TestApp::start_with(&[("TALLYMARK_GEO_DB", COUNTRIES)]).await;
    let sent = pb::Event {
        referrer: "https://example.com/other".to_owned(),
        language: "*".to_owned(),
        screen: "huge".to_owned(),
        // Known to the database as "unknown".
        ip_address: "203.0.113.5".to_owned(),
        ..page_view("ada", "https://example.com/")
    };
    let not_a_url = pb::Event {
        referrer: "hello".to_owned(),
        ..page_view("ada", "/")
    };
    app.send_new(vec![sent.clone(), not_a_url.clone()]).await;
    let stored = get(&app, &sent.event_id).await;
    let (event, derived) = (
        stored.event.expect("an event"),
        stored.derived.expect("derived"),
    );
    assert_eq!(
        (event.referrer, event.language, event.screen),
        Default::default()
    );
    assert_eq!(
        (derived.referrer.as_str(), derived.country.as_str()),
        ("", "")
    );
    let event = get(&app, &not_a_url.event_id)
        .await
        .event
        .expect("an event");
    assert_eq!(event.referrer, "");
}

#[tokio::test]
async fn a_person_stands_in_for_the_device() {
    let app = TestApp::start().await;
    let sent = pb::Event {
        user_id: "ada@example.com".to_owned(),
        ..page_view("", "/")
    };
    app.send_new(vec![sent.clone()]).await;
    let event = get(&app, &sent.event_id).await.event.expect("an event");
    assert_eq!(
        (event.visitor_id.as_str(), event.user_id.as_str()),
        ("ada@example.com", "ada@example.com")
    );
}

#[tokio::test]
async fn addresses_are_stored_as_the_property_says() {
    let app = TestApp::start_with(&[("TALLYMARK_GEO_DB", COUNTRIES)]).await;
    use pb::IpPolicy::{Drop, Keep, Truncate, Unspecified};
    for (policy, sent, stored, country) in [
        (Unspecified, "198.51.100.77", "198.51.100.0", "FR"),
        (Truncate, "2001:db8:1:2:3:4:5:6", "2001:db8:1::", "FR"),
        (Truncate, "::ffff:192.0.2.9", "192.0.2.0", "DE"),
        (Drop, "192.0.2.9", "", "DE"),
        (Keep, "192.0.2.9", "192.0.2.9", "DE"),
        (Keep, "2001:DB8:1:0:0:0:0:1", "2001:db8:1::1", "FR"),
    ] {
        let request = pb::UpdatePropertyRequest {
            property: Some(pb::Property {
                name: "default".to_owned(),
                ip_policy: policy.into(),
                ..pb::Property::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["ip_policy".to_owned()],
            }),
        };
        app.admin().update_property(request).await.expect("updated");
        let event = pb::Event {
            ip_address: sent.to_owned(),
            ..page_view("ada", "/")
        };
        app.send_new(vec![event.clone()]).await;
        let found = get(&app, &event.event_id).await;
        let (event, derived) = (
            found.event.expect("an event"),
            found.derived.expect("derived"),
        );
        assert_eq!(
            (event.ip_address.as_str(), derived.country.as_str()),
            (stored, country),
            "{policy:?} {sent}"
        );
    }
}

#[tokio::test]
async fn events_are_found_by_any_kind_of_id() {
    let app = TestApp::start().await;
    let id_of = |minutes: i64| {
        let seconds = u64::try_from(ago(minutes).as_second()).expect("after 1970");
        Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0))
    };
    let day = 24 * 60;
    // Ids of version 7 whose time is that of the event, an hour or weeks away from it, and others.
    let v4 = Uuid::from_u128(0x2f1c_8e55_7d3a_4b6c_9d01_0a0b_0c0d_0e0f);
    let v1 = Uuid::from_u128(0x2f1c_8e55_7d3a_11ee_9d01_0a0b_0c0d_0e0f);
    let events: Vec<pb::Event> = [
        (id_of(30), 30),
        (id_of(30), 90),
        (id_of(90), 30),
        (id_of(60 * day), 5),
        (id_of(5), 60 * day),
        (v4, 40),
        (v1, 50),
        (Uuid::max(), 60),
    ]
    .into_iter()
    .map(|(id, minutes)| pb::Event {
        event_id: id.to_string(),
        time: wire(ago(minutes)),
        ..page_view("ada", "/")
    })
    .collect();
    app.send_new(events.clone()).await;
    for event in &events {
        let found = get(&app, &event.event_id).await.event.expect("an event");
        assert_eq!((&found.event_id, found.time), (&event.event_id, event.time));
        assert_eq!(
            get(&app, &event.event_id.to_uppercase()).await.event,
            Some(found)
        );
    }
    for id in [
        id_of(30),
        id_of(60 * day),
        Uuid::from_u128(v4.as_u128() + 1),
        Uuid::nil(),
    ] {
        assert_no_event(&app, &id.to_string()).await;
    }
}

#[tokio::test]
async fn of_an_id_stored_with_several_times_the_newest_near_its_own_is_returned() {
    let app = TestApp::start().await;
    let day = 24 * 60;
    let time_of = |event_id: String| {
        let app = &app;
        async move { get(app, &event_id).await.event.expect("an event").time }
    };
    // An id of now, and one that tells no time.
    let unknown = Uuid::from_u128(0x2f1c_8e55_7d3a_4b6c_9d01_0a0b_0c0d_0e0f);
    for (id, steps) in [
        // Later steps are nearer to the id's time, or newer and as near.
        (Uuid::now_v7(), [50 * day, 40 * day, 20 * 60, 60, 0]),
        (unknown, [50 * day, 40 * day, 20 * 60, 60, 0]),
    ] {
        for minutes in steps {
            let event = pb::Event {
                event_id: id.to_string(),
                time: wire(ago(minutes)),
                ..page_view("ada", "/")
            };
            app.send_new(vec![event.clone()]).await;
            assert_eq!(time_of(event.event_id).await, event.time);
        }
    }
    // Newer, but not within a minute of the id's own time.
    let now = Uuid::now_v7().to_string();
    let near = pb::Event {
        event_id: now.clone(),
        time: wire(ago(0)),
        ..page_view("ada", "/")
    };
    let far = pb::Event {
        time: wire(ago(-50)),
        ..near.clone()
    };
    app.send_new(vec![far, near.clone()]).await;
    assert_eq!(time_of(now).await, near.time);
}

/// 40 events of which every four have the same time, and their ids, newest first.
async fn send_forty(app: &TestApp) -> Vec<String> {
    let start = ago(600);
    let mut events: Vec<pb::Event> = (0..40_i64)
        .map(|n| pb::Event {
            event_id: Uuid::from_u128(
                ((n * 7_919 % 40) as u128) << 64 | 0x4000_8000_0000_0000_0001,
            )
            .to_string(),
            time: wire(start + SignedDuration::from_mins(n / 4)),
            ..page_view(&format!("v{}", n % 3), &format!("/{}", n % 2))
        })
        .collect();
    app.send_new(events.clone()).await;
    events.sort_by_key(|event| {
        let time = event.time.expect("a time");
        std::cmp::Reverse((time.seconds, time.nanos, event.event_id.clone()))
    });
    events.into_iter().map(|event| event.event_id).collect()
}

#[tokio::test]
async fn pages_of_any_size_visit_every_event_once_newest_first() {
    let app = TestApp::start().await;
    let expected = send_forty(&app).await;
    for page_size in [1, 3, 4, 7, 39, 40, 41, 1_000] {
        let mut seen = Vec::new();
        let mut request = pb::ListEventsRequest {
            page_size,
            ..pb::ListEventsRequest::default()
        };
        loop {
            let page = list(&app, request.clone()).await;
            assert!(page.events.len() <= page_size as usize);
            assert!(!page.events.is_empty(), "no page is empty");
            seen.extend(ids(&page));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, expected, "{page_size} a page");
    }
}

#[tokio::test]
async fn the_default_page_has_fifty_events() {
    let app = TestApp::start().await;
    app.send_new((0..51).map(|_| page_view("ada", "/")).collect())
        .await;
    let first = list(&app, pb::ListEventsRequest::default()).await;
    assert_eq!(first.events.len(), 50);
    let request = pb::ListEventsRequest {
        page_token: first.next_page_token,
        ..Default::default()
    };
    let second = list(&app, request).await;
    assert_eq!(
        (second.events.len(), second.next_page_token.as_str()),
        (1, "")
    );
}

#[tokio::test]
async fn events_that_arrive_between_pages_change_nothing_of_them() {
    let app = TestApp::start().await;
    let expected = send_forty(&app).await;
    let mut seen = Vec::new();
    let mut request = pb::ListEventsRequest {
        page_size: 9,
        ..pb::ListEventsRequest::default()
    };
    loop {
        let page = list(&app, request.clone()).await;
        seen.extend(ids(&page));
        request.page_token = page.next_page_token;
        // The size of a page may change, and newer events come in.
        request.page_size += 1;
        app.send_new((0..5).map(|_| page_view("new", "/new")).collect())
            .await;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, expected);
}

fn condition(dimension: &str, value: &str) -> pb::Filter {
    pb::Filter {
        kind: Some(Kind::Where(pb::Condition {
            dimension: dimension.to_owned(),
            operator: Operator::Equals.into(),
            values: vec![value.to_owned()],
        })),
    }
}

#[tokio::test]
async fn filters_and_ranges_choose_the_events() {
    let app = TestApp::start().await;
    let all = send_forty(&app).await;
    let page = pb::ListEventsRequest {
        filter: Some(condition("page", "/1")),
        ..Default::default()
    };
    let odd = list(&app, page).await;
    assert_eq!(odd.events.len(), 20);
    assert!(odd.events.iter().all(|stored| {
        stored
            .derived
            .as_ref()
            .is_some_and(|derived| derived.path == "/1")
    }));
    let nobody = pb::ListEventsRequest {
        filter: Some(condition("visitor_id", "nobody")),
        ..Default::default()
    };
    assert_eq!(list(&app, nobody).await, pb::ListEventsResponse::default());

    // Half-open: the event at the start is in, the one at the end is not.
    let everything = list(&app, pb::ListEventsRequest::default()).await;
    let time_of = |place: usize| {
        everything.events[place]
            .event
            .as_ref()
            .expect("an event")
            .time
    };
    let interval = pb::Interval {
        since: time_of(39),
        until: time_of(0),
    };
    let range = Some(pb::TimeRange {
        range: Some(Range::Interval(interval)),
    });
    let some = list(
        &app,
        pb::ListEventsRequest {
            range,
            ..Default::default()
        },
    )
    .await;
    assert_eq!(ids(&some), all[4..]);
}

#[tokio::test]
async fn bots_are_listed_on_request_only() {
    let app = TestApp::start().await;
    let person = pb::Event {
        user_agent: FIREFOX.to_owned(),
        ..page_view("ada", "/")
    };
    let crawler = pb::Event {
        user_agent: CRAWLER.to_owned(),
        ..page_view("bot", "/")
    };
    app.send_new(vec![person.clone(), crawler.clone()]).await;
    let without = list(&app, pb::ListEventsRequest::default()).await;
    assert_eq!(ids(&without), std::slice::from_ref(&person.event_id));
    let with = pb::ListEventsRequest {
        include_bots: true,
        ..Default::default()
    };
    let mut listed = ids(&list(&app, with).await);
    listed.sort();
    assert_eq!(listed, [person.event_id, crawler.event_id.clone()]);
    let derived = get(&app, &crawler.event_id).await.derived.expect("derived");
    assert!(
        derived.is_bot,
        "one that is asked for by its id is returned"
    );
}

#[tokio::test]
async fn an_empty_property_has_an_empty_list() {
    let app = TestApp::start().await;
    let page = list(&app, pb::ListEventsRequest::default()).await;
    assert_eq!(page, pb::ListEventsResponse::default());
}
