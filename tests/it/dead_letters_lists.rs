//! ListDeadLetters, ReplayDeadLetters, DropDeadLetters: pages, who may, and bad requests.

use std::time::Duration;

use prost_types::{ListValue, Struct, Value, value::Kind};
use tallymark::pb::{self, DeadLetterSelection, ListDeadLettersRequest};
use tonic::{Code, Request};

use crate::support::letters::{
    all, allow_poison, drop_with, letters, numbered, page, poison, refuse_poison, replay,
    replay_with, send_poison, until_loaded,
};
use crate::support::wire::assert_refused;
use crate::support::{TestApp, committed_batch, run};

/// A service with so many letters of `default`; returns their numbers, too.
async fn with_letters(count: usize) -> (TestApp, Vec<i64>) {
    let app = TestApp::start().await;
    refuse_poison(&app).await;
    let events = (0..count).map(|number| poison(&format!("visitor-{number}")));
    let summary = app.send(events.collect()).await;
    assert_eq!(summary.rejected, count as u64, "{summary:?}");
    let numbers = letters(&app).await.iter().map(|one| one.number).collect();
    (app, numbers)
}

/// Copies of the first letter, under other places of the log.
async fn copy_first_letter(app: &TestApp, copies: i32) {
    let client = app.database.client().await;
    let sql = "insert into dead_letters (property_no, reason, record, log_id, sequence) \
               select property_no, reason, record, log_id, 1000000 + i \
               from (select * from dead_letters order by dead_letter_no limit 1) first, \
                   generate_series(1, $1) i";
    client.execute(sql, &[&copies]).await.expect("copies");
}

/// The numbers on every page, page by page.
async fn pages(app: &TestApp, key: &str, request: ListDeadLettersRequest) -> Vec<Vec<i64>> {
    let mut pages = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListDeadLettersRequest {
            page_token,
            ..request.clone()
        };
        let page = page(app, key, request).await.expect("a page");
        pages.push(page.dead_letters.iter().map(|one| one.number).collect());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return pages;
        }
    }
}

#[tokio::test]
async fn pages_have_every_letter_once_the_oldest_first() {
    let (app, numbers) = with_letters(7).await;
    assert!(numbers.is_sorted());
    let key = app.admin_key.reveal();
    for (page_size, lengths) in [(3, &[3, 3, 1][..]), (7, &[7]), (0, &[7]), (1, &[1; 7])] {
        let request = ListDeadLettersRequest {
            page_size,
            ..ListDeadLettersRequest::default()
        };
        let pages = pages(&app, key, request).await;
        let found: Vec<usize> = pages.iter().map(Vec::len).collect();
        assert_eq!(found, lengths);
        assert_eq!(pages.concat(), numbers);
    }
}

#[tokio::test]
async fn a_page_is_a_message_that_clients_take() {
    let app = TestApp::start().await;
    refuse_poison(&app).await;
    let numbers = (0..4_000).map(|_| Value {
        kind: Some(Kind::NumberValue(1.0)),
    });
    let list = Value {
        kind: Some(Kind::ListValue(ListValue {
            values: numbers.collect(),
        })),
    };
    // 8 KB in its record, over 50 KB in a message.
    let large = pb::Event {
        properties: Some(Struct {
            fields: [("ones".to_owned(), list)].into(),
        }),
        ..poison("ada")
    };
    send_poison(&app, large).await;
    copy_first_letter(&app, 599).await;
    let request = ListDeadLettersRequest {
        page_size: 1_000,
        ..ListDeadLettersRequest::default()
    };
    // The client refuses messages of more than 4 MiB.
    let pages = pages(&app, app.admin_key.reveal(), request).await;
    assert!(pages.len() > 7, "{} pages", pages.len());
    let found = pages.concat();
    assert_eq!(found.len(), 600);
    assert!(found.is_sorted_by(|one, next| one < next));
}

#[tokio::test]
async fn letters_are_replayed_by_number_and_dropped_for_good() {
    let (app, numbers) = with_letters(5).await;
    let key = app.admin_key.reveal();
    let [a, b, c, d, e] = numbers[..] else {
        panic!("{numbers:?}");
    };
    let left = async || -> Vec<i64> {
        let letters = letters(&app).await;
        letters.iter().map(|letter| letter.number).collect()
    };
    let chosen = numbered(&[d, a, a, -1, 0, i64::MAX]);
    assert_eq!(drop_with(&app, key, chosen).await.expect("dropped"), 2);
    assert_eq!(left().await, [b, c, e]);
    allow_poison(&app).await;
    assert_eq!(replay(&app, numbered(&[c, a, d])).await, 1);
    assert_eq!(left().await, [b, e]);
    assert_eq!(drop_with(&app, key, all()).await.expect("dropped"), 2);
    assert!(left().await.is_empty());
    assert_eq!(drop_with(&app, key, all()).await.expect("none left"), 0);
    until_loaded(&app, 6).await;
    app.until_stored(1).await;
}

#[tokio::test]
async fn thousands_of_letters_are_replayed_and_dropped_in_parts() {
    let (app, _) = with_letters(1).await;
    let key = app.admin_key.reveal();
    copy_first_letter(&app, 3_499).await;
    allow_poison(&app).await;
    // Two at once: each letter is sent by one of them.
    let (one, other) = tokio::join!(replay(&app, all()), replay(&app, all()));
    assert_eq!(one + other, 3_500);
    until_loaded(&app, 3_501).await;
    app.until_stored(1).await;

    refuse_poison_again(&app).await;
    send_poison(&app, poison("bob")).await;
    copy_first_letter(&app, 2_099).await;
    assert_eq!(drop_with(&app, key, all()).await.expect("dropped"), 2_100);
    assert_eq!(letters(&app).await, []);
}

/// With one in the table.
async fn refuse_poison_again(app: &TestApp) {
    let client = app.database.client().await;
    let deleted = client
        .batch_execute("truncate events, rollup_facts, rollup_segments")
        .await;
    deleted.expect("an empty table");
    refuse_poison(app).await;
}

#[tokio::test]
async fn a_key_of_one_property_sees_and_manages_the_letters_of_that_property() {
    let (app, own_numbers) = with_letters(1).await;
    let shop = app.create_property("shop").await;
    let messages = tokio_stream::iter([committed_batch(vec![poison("eve")])]);
    let mut sender = app.ingest_with(&shop.write_key);
    let summary = sender.stream_events(messages).await.expect("a summary");
    assert_eq!(summary.into_inner().rejected, 1);
    let client = app.database.client().await;
    let unreadable = "insert into dead_letters (reason, record, log_id, sequence) \
                      values ('unknown', '\\xc80102', gen_random_uuid(), 1)";
    client.execute(unreadable, &[]).await.expect("a letter");
    let everything = letters(&app).await;
    let named: Vec<&str> = everything.iter().map(|one| one.property.as_str()).collect();
    assert_eq!(named, ["default", "shop", ""]);
    // Buried by a version that said something else.
    let reason = "unknown; format version 200 is not known to this version of the server";
    assert_eq!(
        (everything[2].reason.as_str(), &everything[2].event),
        (reason, &None)
    );

    let of = |property: &str| ListDeadLettersRequest {
        property: property.to_owned(),
        ..ListDeadLettersRequest::default()
    };
    let key = &shop.admin_key;
    for (key, property, expected) in [
        (key.as_str(), "", &everything[1..2]),
        (key, "shop", &everything[1..2]),
        (app.admin_key.reveal(), "shop", &everything[1..2]),
        (app.admin_key.reveal(), "default", &everything[..1]),
    ] {
        let page = page(&app, key, of(property)).await.expect("a list");
        assert_eq!(page.dead_letters, expected, "{property}");
    }
    let status = page(&app, key, of("default"))
        .await
        .expect_err("not its own");
    assert_refused(&status, Code::NotFound, "NOT_FOUND", &[]);
    let of_default = DeadLetterSelection {
        property: "default".to_owned(),
        ..all()
    };
    let status = replay_with(&app, key, of_default.clone()).await;
    assert_refused(
        &status.expect_err("not its own"),
        Code::NotFound,
        "NOT_FOUND",
        &[],
    );
    let status = drop_with(&app, key, of_default).await;
    assert_refused(
        &status.expect_err("not its own"),
        Code::NotFound,
        "NOT_FOUND",
        &[],
    );

    let others = [own_numbers[0], everything[2].number];
    assert_eq!(
        replay_with(&app, key, numbered(&others))
            .await
            .expect("none"),
        0
    );
    assert_eq!(
        drop_with(&app, key, numbered(&others)).await.expect("none"),
        0
    );
    assert_eq!(drop_with(&app, key, all()).await.expect("its own"), 1);
    let left: Vec<i64> = letters(&app).await.iter().map(|one| one.number).collect();
    assert_eq!(left, others);
    assert_eq!(
        drop_with(&app, app.admin_key.reveal(), all())
            .await
            .expect("all"),
        2
    );
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let app = TestApp::start().await;
    let key = app.admin_key.reveal();
    let both = DeadLetterSelection {
        numbers: vec![1],
        ..all()
    };
    let misnamed = DeadLetterSelection {
        property: "No Name".to_owned(),
        ..DeadLetterSelection::default()
    };
    for (selection, fields) in [
        (
            both,
            &["selection: has both numbers and all, need one of them"][..],
        ),
        (
            numbered(&vec![1; 1_001]),
            &["selection.numbers: 1001 numbers, need at most 1000"],
        ),
        (
            misnamed,
            &[
                "selection.property: is not the name of a property",
                "selection: has neither numbers nor all, need one of them",
            ],
        ),
    ] {
        let status = replay_with(&app, key, selection.clone())
            .await
            .expect_err("bad");
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", fields);
        let status = drop_with(&app, key, selection).await.expect_err("bad");
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", fields);
    }
    let absent = app
        .admin()
        .replay_dead_letters(pb::ReplayDeadLettersRequest { selection: None })
        .await
        .expect_err("bad");
    let fields = &["selection: is absent"];
    assert_refused(&absent, Code::InvalidArgument, "INVALID_FIELD", fields);
    let unknown = DeadLetterSelection {
        property: "nowhere".to_owned(),
        ..all()
    };
    let status = drop_with(&app, key, unknown).await.expect_err("unknown");
    assert_refused(&status, Code::NotFound, "NOT_FOUND", &[]);

    let list = ListDeadLettersRequest::default();
    for (request, fields) in [
        (
            ListDeadLettersRequest {
                page_size: 1_001,
                ..list.clone()
            },
            &["page_size: 1001, need 1–1000, or 0 for 100"],
        ),
        (
            ListDeadLettersRequest {
                // Of another list: base64 of `shop`.
                page_token: "c2hvcA".to_owned(),
                ..list.clone()
            },
            &["page_token: is not one of this list's"],
        ),
        (
            ListDeadLettersRequest {
                property: "No Name".to_owned(),
                ..list
            },
            &["property: is not the name of a property"],
        ),
    ] {
        let status = page(&app, key, request).await.expect_err("bad");
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", fields);
    }
}

#[tokio::test]
async fn a_caller_that_leaves_takes_its_statement_with_it_and_sends_nothing() {
    let (app, numbers) = with_letters(1).await;
    let client = app.database.client().await;
    let blocker = app.database.client().await;
    let lock = "begin; lock table dead_letters in access exclusive mode";
    blocker.batch_execute(lock).await.expect("a lock");
    let waiting = "select count(*) from pg_stat_activity \
                   where datname = current_database() and wait_event_type = 'Lock'";
    let until_waiting = async |wanted: i64| {
        let reached = async {
            while client
                .query_one(waiting, &[])
                .await
                .expect("a count")
                .get::<_, i64>(0)
                != wanted
            {}
        };
        let reached = tokio::time::timeout(Duration::from_secs(60), reached).await;
        reached.unwrap_or_else(|_| panic!("there are never {wanted} statements waiting"));
    };
    let mut admin = app.admin();
    let asked = tokio::spawn(async move {
        let selection = Some(all());
        let request = pb::ReplayDeadLettersRequest { selection };
        admin.replay_dead_letters(Request::new(request)).await
    });
    until_waiting(1).await;
    asked.abort();
    // The lock is still held: only a cancellation ends the statement.
    until_waiting(0).await;
    blocker.batch_execute("rollback").await.expect("no lock");
    let left: Vec<i64> = letters(&app).await.iter().map(|one| one.number).collect();
    assert_eq!(left, numbers);
}

#[tokio::test]
async fn the_command_line_lists_replays_and_drops() {
    let (app, numbers) = with_letters(3).await;
    let [a, b, c] = [0, 1, 2].map(|place: usize| numbers[place].to_string());
    let address = app.address.to_string();
    let call = async |arguments: &[&str]| {
        let variables = [
            ("TALLYMARK_ADDRESS", address.as_str()),
            ("TALLYMARK_KEY", app.admin_key.reveal()),
        ];
        run(&[&["dead-letters"], arguments].concat(), &variables).await
    };
    let listed = call(&["list", "--limit", "2"]).await;
    assert!(listed.stderr.contains("There are more"), "{listed:?}");
    let listed = listed.output();
    assert_eq!(listed.lines().count(), 4, "{listed}");
    for word in [a.as_str(), &b, "default", "page_view", "no_poison"] {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    let dropped = call(&["drop", &b]).await;
    assert_eq!(
        (dropped.code, dropped.stderr.as_str()),
        (Some(0), "Dropped 1 dead letter.\n")
    );
    allow_poison(&app).await;
    let replayed = call(&["replay", "--all", "--property", "default"]).await;
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(
        replayed.stderr.contains("Sent 2 dead letters"),
        "{replayed:?}"
    );
    app.until_stored(2).await;
    let listed = call(&["list"]).await.output();
    assert!(
        !listed.contains(&c) && !listed.contains("page_view"),
        "{listed}"
    );

    for arguments in [&["drop"][..], &["drop", "--all", "1"]] {
        call(arguments).await.refusal(2);
    }
    let unknown = call(&["drop", "--all", "--property", "none"])
        .await
        .refusal(1);
    assert!(unknown.contains("there is no property `none`"), "{unknown}");
}
