//! Keys: who may do what, and to whose events.

use std::future::Future;
use std::time::Duration;

use tallymark::config::Config;
use tallymark::domain::key::{Key, KeyKind};
use tallymark::pb;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::support::wire::assert_refused;
use crate::support::{KeyedChannel, TestApp, TestDatabase, committed, key_id, page_view};

use pb::admin_service_client::AdminServiceClient;
use pb::ingest_service_client::IngestServiceClient;
use pb::query_service_client::QueryServiceClient;

const WRITE: &str = "a write key (tmw_…)";
const READ: &str = "a read key (tmr_…)";
const ADMIN: &str = "an admin key (tma_…)";

/// Every RPC of the service: its name, the key that it needs, and what became of calling it.
async fn call_everything(
    channel: KeyedChannel,
) -> Vec<(&'static str, &'static str, Result<(), Status>)> {
    let mut ingest = IngestServiceClient::new(channel.clone());
    let mut query = QueryServiceClient::new(channel.clone());
    let mut admin = AdminServiceClient::new(channel);
    let stream = tokio_stream::iter([pb::StreamEventsRequest::default()]);
    vec![
        (
            "IngestEvent",
            WRITE,
            ingest
                .ingest_event(pb::IngestEventRequest::default())
                .await
                .map(drop),
        ),
        (
            "StreamEvents",
            WRITE,
            ingest.stream_events(stream).await.map(drop),
        ),
        (
            "Aggregate",
            READ,
            query
                .aggregate(pb::AggregateRequest::default())
                .await
                .map(drop),
        ),
        (
            "GetEvent",
            READ,
            query
                .get_event(pb::GetEventRequest::default())
                .await
                .map(drop),
        ),
        (
            "ListEvents",
            READ,
            query
                .list_events(pb::ListEventsRequest::default())
                .await
                .map(drop),
        ),
        (
            "CreateProperty",
            ADMIN,
            admin
                .create_property(pb::CreatePropertyRequest::default())
                .await
                .map(drop),
        ),
        (
            "GetProperty",
            ADMIN,
            admin
                .get_property(pb::GetPropertyRequest::default())
                .await
                .map(drop),
        ),
        (
            "ListProperties",
            ADMIN,
            admin
                .list_properties(pb::ListPropertiesRequest::default())
                .await
                .map(drop),
        ),
        (
            "UpdateProperty",
            ADMIN,
            admin
                .update_property(pb::UpdatePropertyRequest::default())
                .await
                .map(drop),
        ),
        (
            "CreateKey",
            ADMIN,
            admin
                .create_key(pb::CreateKeyRequest::default())
                .await
                .map(drop),
        ),
        (
            "ListKeys",
            ADMIN,
            admin
                .list_keys(pb::ListKeysRequest::default())
                .await
                .map(drop),
        ),
        (
            "RevokeKey",
            ADMIN,
            admin
                .revoke_key(pb::RevokeKeyRequest::default())
                .await
                .map(drop),
        ),
        (
            "ListDeadLetters",
            ADMIN,
            admin
                .list_dead_letters(pb::ListDeadLettersRequest::default())
                .await
                .map(drop),
        ),
        (
            "ReplayDeadLetters",
            ADMIN,
            admin
                .replay_dead_letters(pb::ReplayDeadLettersRequest::default())
                .await
                .map(drop),
        ),
        (
            "DropDeadLetters",
            ADMIN,
            admin
                .drop_dead_letters(pb::DropDeadLettersRequest::default())
                .await
                .map(drop),
        ),
    ]
}

#[track_caller]
fn assert_key_invalid(status: &Status) {
    assert_refused(status, Code::Unauthenticated, "KEY_INVALID", &[]);
}

/// What Aggregate says to a call with this `authorization`.
async fn aggregate_with(app: &TestApp, authorization: Option<&str>) -> Result<(), Status> {
    let mut request = Request::new(pb::AggregateRequest::default());
    if let Some(value) = authorization {
        let value = value.parse().expect("ASCII");
        request.metadata_mut().insert("authorization", value);
    }
    QueryServiceClient::new(app.channel.clone())
        .aggregate(request)
        .await
        .map(drop)
}

/// Asks again until the call does what is waited for; the service promises it within two seconds.
async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let asked = async { while !is_so().await {} };
    if tokio::time::timeout(Duration::from_secs(5), asked)
        .await
        .is_err()
    {
        panic!("{what} did not happen");
    }
}

#[tokio::test]
async fn every_rpc_takes_keys_of_its_kind_only() {
    let app = TestApp::start().await;
    let keys = [
        (WRITE, app.write_key.reveal()),
        (READ, app.read_key.reveal()),
        (ADMIN, app.admin_key.reveal()),
    ];
    for (kind, key) in keys {
        for (rpc, needs, result) in call_everything(app.with_key(key)).await {
            if kind == needs {
                let code = result.err().map(|status| status.code());
                let was_let_in = matches!(code, None | Some(Code::InvalidArgument));
                assert!(was_let_in, "{rpc} with {kind}: {code:?}");
                continue;
            }
            let status = result.expect_err(rpc);
            assert_refused(&status, Code::PermissionDenied, "KEY_NOT_ALLOWED", &[]);
            assert_eq!(status.message(), format!("this needs {needs}"), "{rpc}");
            let details = status.get_error_details();
            assert_eq!(details.error_info().expect("info").metadata["needs"], needs);
        }
    }
}

#[tokio::test]
async fn every_rpc_refuses_calls_without_a_key() {
    let app = TestApp::start().await;
    for (rpc, _, result) in call_everything(app.with_key("")).await {
        let status = result.expect_err(rpc);
        assert_eq!(status.code(), Code::Unauthenticated, "{rpc}");
    }
    let mut admin = AdminServiceClient::new(app.channel.clone());
    let status = admin
        .list_properties(pb::ListPropertiesRequest::default())
        .await
        .expect_err("refused");
    assert_refused(&status, Code::Unauthenticated, "KEY_MISSING", &[]);
    assert_eq!(
        status.message(),
        "send a key: `authorization: Bearer <key>`"
    );
}

#[tokio::test]
async fn what_is_no_key_is_told_from_a_wrong_one() {
    let app = TestApp::start().await;
    let good = app.read_key.reveal().to_owned();
    for missing in [
        None,
        Some("Basic dXNlcjpwYXNz"),
        Some("Bearer"),
        Some(good.as_str()),
    ] {
        let status = aggregate_with(&app, missing).await.expect_err("refused");
        assert_refused(&status, Code::Unauthenticated, "KEY_MISSING", &[]);
    }

    let unknown = Key::generate(KeyKind::Read);
    let (head, secret) = good.rsplit_once('_').expect("a key");
    let flipped: String = secret.chars().rev().collect();
    let wrong = [
        unknown.reveal().to_owned(),
        format!("{head}_{flipped}"),
        format!("{good}x"),
        good[..good.len() - 1].to_owned(),
        good.to_uppercase(),
        // The right id and secret as another kind.
        good.replacen("tmr_", "tma_", 1),
        "x".to_owned(),
        "tmr__".to_owned(),
        "' or 1=1--".to_owned(),
        format!("tmr_a_{}", "x".repeat(10_000)),
    ];
    for key in wrong {
        let status = aggregate_with(&app, Some(&format!("Bearer {key}")))
            .await
            .expect_err(&key);
        assert_key_invalid(&status);
        assert_eq!(status.message(), "the key does not exist or was revoked");
    }
    // The scheme's case does not matter (RFC 9110 §11.1).
    for scheme in ["Bearer", "bearer", "BEARER"] {
        aggregate_with(&app, Some(&format!("{scheme} {good}")))
            .await
            .expect("an answer");
    }
}

#[tokio::test]
async fn a_key_sees_its_own_property_only() {
    let app = TestApp::start().await;
    let other = app.create_property("other").await;
    let mine = page_view("ada", "/mine");
    let theirs = page_view("bob", "/theirs");
    app.send_new(vec![mine.clone()]).await;
    let sent = committed(Some(theirs.clone()));
    app.ingest_with(&other.write_key)
        .ingest_event(sent)
        .await
        .expect("accepted");

    for (key, own, foreign) in [
        (app.read_key.reveal(), &mine, &theirs),
        (other.read_key.as_str(), &theirs, &mine),
    ] {
        let mut query = app.query_with(key);
        let question = pb::AggregateRequest {
            dimensions: vec!["page".to_owned(), "visitor_id".to_owned()],
            ..pb::AggregateRequest::default()
        };
        let answer = query
            .aggregate(question)
            .await
            .expect("an answer")
            .into_inner();
        let rows: Vec<_> = answer
            .rows
            .iter()
            .map(|row| row.dimensions.clone())
            .collect();
        assert_eq!(rows, [vec![own.page.clone(), own.visitor_id.clone()]]);

        let list = query.list_events(pb::ListEventsRequest::default()).await;
        let listed = list.expect("a list").into_inner().events;
        let ids: Vec<String> = listed
            .into_iter()
            .map(|stored| stored.event.expect("an event").event_id)
            .collect();
        assert_eq!(ids, std::slice::from_ref(&own.event_id));

        let by_id = |event_id: &str| pb::GetEventRequest {
            event_id: event_id.to_owned(),
            ..pb::GetEventRequest::default()
        };
        query
            .get_event(by_id(&own.event_id))
            .await
            .expect("its own event");
        let status = query
            .get_event(by_id(&foreign.event_id))
            .await
            .expect_err("not its own");
        assert_refused(&status, Code::NotFound, "NOT_FOUND", &[]);
    }
}

#[tokio::test]
async fn one_id_is_one_event_in_each_property() {
    let app = TestApp::start().await;
    let other = app.create_property("other").await;
    let event = page_view("ada", "/");
    for key in [app.write_key.reveal(), &other.write_key] {
        let request = committed(Some(event.clone()));
        let reply = app
            .ingest_with(key)
            .ingest_event(request)
            .await
            .expect("accepted");
        let result = reply.into_inner().result.expect("a result");
        assert_eq!(result.verdict(), pb::Verdict::Accepted);
    }
}

#[tokio::test]
async fn a_server_wide_admin_key_reads_and_sends_nothing() {
    let app = TestApp::start().await;
    let admin = app.create_key(pb::KeyKind::Admin, "").await;
    let mut query = app.query_with(&admin);
    let status = query
        .aggregate(pb::AggregateRequest::default())
        .await
        .expect_err("refused");
    assert_refused(&status, Code::PermissionDenied, "KEY_NOT_ALLOWED", &[]);
}

#[tokio::test]
async fn a_new_key_works_at_once_and_a_revoked_one_no_more() {
    let app = TestApp::start().await;
    let secret = app.create_key(pb::KeyKind::Read, "default").await;
    let bearer = format!("Bearer {secret}");
    aggregate_with(&app, Some(&bearer))
        .await
        .expect("an answer at once");

    let key_id = key_id(&secret);
    let revoke = || pb::RevokeKeyRequest {
        key_id: key_id.clone(),
    };
    let revoked = app
        .admin()
        .revoke_key(revoke())
        .await
        .expect("revoked")
        .into_inner();
    assert_key_invalid(
        &aggregate_with(&app, Some(&bearer))
            .await
            .expect_err("revoked"),
    );
    // Repeating it is fine, and keeps the date.
    let again = app
        .admin()
        .revoke_key(revoke())
        .await
        .expect("revoked")
        .into_inner();
    assert_eq!(again, revoked);
    assert!(again.key.expect("a key").revoke_time.is_some());
    // The other keys go on.
    aggregate_with(&app, Some(&format!("Bearer {}", app.read_key.reveal())))
        .await
        .expect("an answer");
}

#[tokio::test]
async fn keys_made_and_revoked_elsewhere_are_noticed() {
    let app = TestApp::start().await;
    let key = Key::generate(KeyKind::Read);
    let client = app.database.client().await;
    let made = "insert into api_keys (key_id, kind, property_no, secret_sha256)
        select $1, $2, property_no, $3 from properties where name = 'default'";
    client
        .execute(
            made,
            &[&key.id, &key.kind.number(), &key.sha256().as_slice()],
        )
        .await
        .expect("a key");
    // The first call with it may be within the quarter second that unknown keys are not looked for.
    let bearer = format!("Bearer {}", key.reveal());
    let asked = || async { aggregate_with(&app, Some(&bearer)).await.is_ok() };
    eventually("a new key's answer", asked).await;

    let revoked = "update api_keys set revoked_at = now() where key_id = $1";
    client.execute(revoked, &[&key.id]).await.expect("revoked");
    let refused = || async { aggregate_with(&app, Some(&bearer)).await.is_err() };
    eventually("a revoked key's refusal", refused).await;
}

#[tokio::test]
async fn the_database_holds_no_secret() {
    let app = TestApp::start().await;
    let made = app.create_key(pb::KeyKind::Write, "default").await;
    let client = app.database.client().await;
    let rows = client
        .query(
            "select to_jsonb(k)::text || encode(secret_sha256, 'escape') from api_keys k",
            &[],
        )
        .await
        .expect("the keys");
    assert_eq!(rows.len(), 4);
    let stored: String = rows.iter().map(|row| row.get::<_, String>(0)).collect();
    let keys = [
        made.as_str(),
        app.admin_key.reveal(),
        app.write_key.reveal(),
        app.read_key.reveal(),
    ];
    for key in keys {
        let mut parts = key.split('_').skip(1);
        let (id, secret) = (
            parts.next().expect("an id"),
            parts.next().expect("a secret"),
        );
        assert!(stored.contains(id), "the public part is there");
        assert!(!stored.contains(secret), "the secret is not");
    }
}

#[tokio::test]
async fn many_wrong_keys_at_once_do_not_stop_the_right_ones() {
    let app = TestApp::start().await;
    let wrong = (0..200).map(|_| {
        let key = Key::generate(KeyKind::Read);
        let app = &app;
        async move { aggregate_with(app, Some(&format!("Bearer {}", key.reveal()))).await }
    });
    for result in futures_util::future::join_all(wrong).await {
        assert_key_invalid(&result.expect_err("a wrong key"));
    }
    aggregate_with(&app, Some(&format!("Bearer {}", app.read_key.reveal())))
        .await
        .expect("an answer");
}

fn for_property<T>(message: T, property: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = property.parse().expect("ASCII");
    request.metadata_mut().insert("tallymark-property", value);
    request
}

#[tokio::test]
async fn without_authentication_callers_name_their_property() {
    let app = TestApp::start_with(&[("TALLYMARK_UNAUTHENTICATED", "true")]).await;
    let mut ingest = IngestServiceClient::new(app.channel.clone());
    let mut query = QueryServiceClient::new(app.channel.clone());
    let mut admin = AdminServiceClient::new(app.channel.clone());
    let property = Some(pb::Property {
        name: "shop".to_owned(),
        ..pb::Property::default()
    });
    admin
        .create_property(pb::CreatePropertyRequest { property })
        .await
        .expect("created");

    let to_default = page_view("ada", "/default");
    let to_shop = page_view("bob", "/shop");
    let request = committed(Some(to_default));
    ingest.ingest_event(request).await.expect("accepted");
    let request = committed(Some(to_shop));
    ingest
        .ingest_event(for_property(request, "shop"))
        .await
        .expect("accepted");

    let question = pb::AggregateRequest {
        dimensions: vec!["page".to_owned()],
        ..Default::default()
    };
    for (name, page) in [("default", "/default"), ("shop", "/shop")] {
        let asked = for_property(question.clone(), name);
        let answer = query
            .aggregate(asked)
            .await
            .expect("an answer")
            .into_inner();
        assert_eq!(answer.rows.len(), 1);
        assert_eq!(answer.rows[0].dimensions, [page]);
    }
    let answer = query
        .aggregate(question.clone())
        .await
        .expect("an answer")
        .into_inner();
    assert_eq!(
        answer.rows[0].dimensions,
        ["/default"],
        "who names none is asking about `default`"
    );

    for name in ["shops", "", "' or 1=1--", &"x".repeat(5_000)] {
        let asked = for_property(question.clone(), name);
        let status = query.aggregate(asked).await.expect_err("no such property");
        assert_refused(&status, Code::NotFound, "NOT_FOUND", &[]);
        assert!(status.message().len() < 200);
    }
}

#[test]
fn without_authentication_only_this_machine_may_call() {
    let read = |listen: &str| {
        let (listen, yes) = (listen.to_owned(), "true".to_owned());
        Config::from_variables(&move |name| match name {
            "TALLYMARK_UNAUTHENTICATED" => Some(yes.clone()),
            "TALLYMARK_LISTEN" => Some(listen.clone()),
            _ => None,
        })
    };
    for listen in ["0.0.0.0:50051", "[::]:50051", "192.0.2.1:50051"] {
        let error = read(listen).expect_err(listen);
        assert_eq!(error.variable, "TALLYMARK_UNAUTHENTICATED");
    }
    for listen in ["127.0.0.1:50051", "[::1]:50051"] {
        read(listen).expect(listen);
    }
}

#[tokio::test]
async fn a_key_given_at_start_that_is_taken_stops_the_start() {
    let app = TestApp::start().await;
    let taken = app.read_key.reveal().to_owned();
    let database: TestDatabase = app.stop().await;
    let (head, _) = taken.rsplit_once('_').expect("a key");
    let other_secret = format!("{head}_{}", Uuid::now_v7().simple());
    let url = database.url();
    let config = Config::from_variables(&|name| match name {
        "DATABASE_URL" => Some(url.clone()),
        "TALLYMARK_LISTEN" => Some("127.0.0.1:0".to_owned()),
        "TALLYMARK_READ_KEY" => Some(other_secret.clone()),
        _ => None,
    });
    let app = tallymark::app::App::bind(config.expect("valid"))
        .await
        .expect("a port");
    let error = app
        .run(Default::default())
        .await
        .expect_err("the id is taken");
    let said = error.to_string();
    assert!(
        said.starts_with("TALLYMARK_READ_KEY: there is a key `"),
        "{said}"
    );
    assert!(!said.contains(&other_secret), "{said}");
}
