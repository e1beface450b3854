//! Events that the database refuses: each becomes a dead letter, and holds up nothing else.

use std::time::Duration;

use bytes::Bytes;
use prost_types::{Struct, Value, value::Kind};
use tallymark::domain::property::{Property, Retention};
use tallymark::enrich::Enricher;
use tallymark::enrich::ip::IpPolicy;
use tallymark::log::disk::Settings;
use tallymark::log::event::Records;
use tallymark::log::{Log, Until};
use tallymark::pb;
use tallymark::pb::ingest_service_client::IngestServiceClient;
use tallymark::validate::event::validate;
use tonic::Code;

use crate::support::letters::{
    all, allow_poison, event_id_of, letters, numbered, poison, refuse_poison, refuse_poison_in,
    replay, send_poison, until_loaded,
};
use crate::support::wire::assert_refused;
use crate::support::{ServerProcess, TestApp, TestDatabase, committed, page_view};

fn good(count: usize) -> Vec<pb::Event> {
    (0..count)
        .map(|number| page_view(&format!("visitor-{}", number % 97), "https://example.com/"))
        .collect()
}

async fn get(app: &TestApp, event_id: &str) -> pb::StoredEvent {
    let event_id = event_id.to_owned();
    let reply = app
        .query()
        .get_event(pb::GetEventRequest {
            event_id,
            ..pb::GetEventRequest::default()
        })
        .await;
    reply.expect("the event").into_inner().event.expect("it")
}

#[tokio::test]
async fn one_event_that_the_database_refuses_holds_up_none_of_thousands() {
    let app = TestApp::start().await;
    refuse_poison(&app).await;
    let mut events = good(4_000);
    events.insert(1_234, poison("mallory"));
    let summary = app.send(events.clone()).await;
    assert_eq!(
        (summary.accepted, summary.rejected, summary.retry),
        (4_000, 1, 0),
        "{summary:?}"
    );
    let [failure] = &summary.failures[..] else {
        panic!("{summary:?}");
    };
    let result = failure.result.as_ref().expect("a result");
    assert_eq!(failure.index, 1_234);
    assert_eq!(result.verdict(), pb::Verdict::Rejected);
    let said = &result.violations[0].description;
    assert!(said.contains("dead letters"), "{said}");

    app.until_stored(4_000).await;
    let letters = letters(&app).await;
    let [letter] = &letters[..] else {
        panic!("{letters:?}");
    };
    assert_eq!(event_id_of(letter), Some(&*events[1_234].event_id));
    assert_eq!(letter.property, "default");
    assert!(letter.refuse_time.is_some());
    for word in ["no_poison", "(SQLSTATE 23514)"] {
        assert!(letter.reason.contains(word), "{}", letter.reason);
    }
}

#[tokio::test]
async fn every_refused_event_of_a_batch_becomes_a_letter_wherever_it_is() {
    let app = TestApp::start().await;
    refuse_poison(&app).await;
    let mut events = good(1_000);
    let places = [0, 1, 2, 499, 500, 777, 999];
    for place in places {
        events[place] = poison("mallory");
    }
    // Stored before, and twice in the batch.
    app.send_new(vec![events[10].clone()]).await;
    events[20] = events[21].clone();
    let summary = app.send(events.clone()).await;
    assert_eq!(
        (summary.accepted, summary.duplicates, summary.rejected),
        (991, 2, 7),
        "{summary:?}"
    );
    let failed: Vec<u64> = summary.failures.iter().map(|one| one.index).collect();
    assert_eq!(failed, [0, 1, 2, 499, 500, 777, 999]);
    app.until_stored(992).await;
    let letters = letters(&app).await;
    let mut found: Vec<&str> = letters.iter().filter_map(event_id_of).collect();
    let mut expected = places.map(|place| &*events[place].event_id);
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_call_that_waits_for_the_commit_of_one_event_is_told_that_it_was_refused() {
    let app = TestApp::start().await;
    refuse_poison(&app).await;
    let status = app
        .ingest()
        .ingest_event(committed(Some(poison("mallory"))))
        .await
        .expect_err("it is refused");
    // Not in the database's words: those are in the letter.
    let said =
        "event: the database refused the event; an administrator finds it among the dead letters";
    assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", &[said]);
    assert_eq!(letters(&app).await.len(), 1);
}

#[tokio::test]
async fn a_letter_shows_its_event_as_it_is_once_it_is_stored() {
    let app = TestApp::start().await;
    refuse_poison(&app).await;
    let text = |text: &str| Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    };
    let full = pb::Event {
        user_id: "ada@example.com".to_owned(),
        session_id: "s1".to_owned(),
        page: "https://Shop.example.com/Pricing/?b=2&utm_source=News&utm_medium=email".to_owned(),
        title: "Pricing – Shop".to_owned(),
        referrer: "https://www.news.example.org/a/b?x=1".to_owned(),
        user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 \
                     Firefox/127.0"
            .to_owned(),
        ip_address: "192.0.2.77".to_owned(),
        language: "de-ch, en;q=0.5".to_owned(),
        screen: "1920x1080".to_owned(),
        scroll_depth: Some(33.336),
        page_type: "product".to_owned(),
        author: "Grace Hopper".to_owned(),
        categories: vec!["shoes".to_owned(), "sale".to_owned()],
        tags: vec!["z".to_owned(), "a".to_owned()],
        properties: Some(Struct {
            fields: [("plan".to_owned(), text("ü\"\\"))].into(),
        }),
        ..poison("ada")
    };
    let little = pb::Event {
        page: String::new(),
        name: "sign_up".to_owned(),
        ..poison("bob")
    };
    for event in [full, little] {
        let event_id = event.event_id.clone();
        send_poison(&app, event).await;
        let letters = letters(&app).await;
        allow_poison(&app).await;
        assert_eq!(replay(&app, all()).await, 1);
        let client = app.database.client().await;
        let sql = "select count(*) from events where event_id = $1::text::uuid";
        let stored = async {
            while client
                .query_one(sql, &[&event_id])
                .await
                .expect("a count")
                .get::<_, i64>(0)
                == 0
            {}
        };
        let stored = tokio::time::timeout(Duration::from_secs(60), stored).await;
        stored.expect("it is stored");
        assert_eq!(letters[0].event, Some(get(&app, &event_id).await));
        // One poison is in the table now.
        client
            .batch_execute("truncate events, rollup_facts, rollup_segments")
            .await
            .expect("none");
        refuse_poison(&app).await;
    }
}

#[tokio::test]
async fn a_replay_stores_letters_once_even_those_that_were_stored_in_the_meantime() {
    let app = TestApp::start().await;
    refuse_poison(&app).await;
    let events = [poison("ada"), poison("bob")];
    for event in &events {
        send_poison(&app, event.clone()).await;
    }
    allow_poison(&app).await;
    // Its sender tries again, with the same id and time.
    app.send_new(vec![events[0].clone()]).await;
    assert_eq!(replay(&app, all()).await, 2);
    assert_eq!(letters(&app).await, []);
    until_loaded(&app, 5).await;
    app.until_stored(2).await;
    assert_eq!(replay(&app, all()).await, 0);
}

#[tokio::test]
async fn a_letter_that_is_refused_again_is_a_letter_again_and_its_replay_ends() {
    let app = TestApp::start().await;
    refuse_poison(&app).await;
    let event = poison("ada");
    let first = send_poison(&app, event.clone()).await;
    assert_eq!(replay(&app, all()).await, 1);
    until_loaded(&app, 2).await;
    let letters = letters(&app).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(event_id_of(&letters[0]), Some(&*event.event_id));
    assert!(letters[0].number > first);
    assert_eq!(
        replay(&app, numbered(&[first])).await,
        0,
        "that one is gone"
    );
}

#[tokio::test]
async fn records_that_this_version_cannot_read_are_letters_and_hold_up_nothing() {
    let database = TestDatabase::create().await;
    let property = Property {
        property_no: 1,
        name: "default".to_owned(),
        time_zone: jiff::tz::TimeZone::UTC,
        retention: Retention::Forever,
        ip_policy: IpPolicy::Truncate,
    };
    let now_us = jiff::Timestamp::now().as_microsecond();
    let enricher = Enricher::new(16, None);
    let readable = |visitor: &str| {
        let mut event = page_view(visitor, "/");
        let event = validate((&mut event).into(), &property, now_us).expect("valid");
        let mut records = Records::with_capacity(1);
        records.push(&enricher.enrich(event, &property), now_us);
        records.finish().remove(0)
    };
    let torn = |record: Bytes| record.slice(..record.len() - 3);
    let records = vec![
        Bytes::from_static(&[200, 1, 2, 3]),
        readable("ada"),
        torn(readable("bob")),
        Bytes::new(),
        readable("carl"),
        Bytes::from_static(&[200]),
    ];
    let directory = database.data_dir.path().join("event-log");
    std::fs::create_dir_all(&directory).expect("a directory");
    let settings = Settings::of_size(64 << 20, 1 << 20);
    let (log, _) = Log::open(&directory, settings, Duration::from_secs(1)).expect("a log");
    let mut appended = log.append(records, Until::Logged).await.expect("room");
    appended.acknowledged().await.expect("it is written");
    log.close().await;
    drop(log);

    let app = TestApp::start_on(database, &[]).await;
    app.until_stored(2).await;
    until_loaded(&app, 6).await;
    let found = letters(&app).await;
    assert_eq!(found.len(), 4);
    for letter in &found {
        assert_eq!((letter.property.as_str(), &letter.event), ("", &None));
    }
    assert!(found[0].reason.contains("format version 200"), "{found:?}");
    assert!(found[1].reason.contains("cannot be read"), "{found:?}");
    // The next version may read them; this one finds them as they were.
    assert_eq!(replay(&app, all()).await, 4);
    until_loaded(&app, 10).await;
    let again = letters(&app).await;
    let reasons = |letters: &[pb::DeadLetter]| -> Vec<String> {
        letters.iter().map(|letter| letter.reason.clone()).collect()
    };
    assert_eq!(reasons(&again), reasons(&found));
}

#[tokio::test]
async fn the_services_log_tells_of_a_letter_and_nothing_of_its_event() {
    let database = TestDatabase::create().await;
    let url = database.url();
    let mut server = ServerProcess::start(&[
        ("DATABASE_URL", url.as_str()),
        ("TALLYMARK_UNAUTHENTICATED", "true"),
        ("TALLYMARK_LOG", "debug"),
    ]);
    let mut sender = IngestServiceClient::new(server.serving().await);
    refuse_poison_in(&database).await;
    let event = pb::Event {
        session_id: "a-secret-session".to_owned(),
        ip_address: "192.0.2.77".to_owned(),
        ..poison("a-secret-visitor")
    };
    let refused = sender.ingest_event(committed(Some(event))).await;
    refused.expect_err("it is refused");
    let log = server.stop().await;
    assert!(log.contains("an event is a dead letter now"), "{log}");
    for secret in ["a-secret", "192.0.2.", "Failing row"] {
        assert!(!log.contains(secret), "`{secret}` in {log}");
    }
}
