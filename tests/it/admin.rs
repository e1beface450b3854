//! AdminService: properties and keys.

use prost_types::FieldMask;
use tallymark::pb;
use tonic::{Code, Status};

use crate::support::wire::assert_refused;
use crate::support::{TestApp, key_id};

fn property(name: &str) -> pb::Property {
    pb::Property {
        name: name.to_owned(),
        ..pb::Property::default()
    }
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

async fn create(app: &TestApp, property: pb::Property) -> Result<pb::Property, Status> {
    let request = pb::CreatePropertyRequest {
        property: Some(property),
    };
    let reply = app.admin().create_property(request).await?;
    Ok(reply.into_inner().property.expect("a property"))
}

async fn get(app: &TestApp, name: &str) -> Result<pb::Property, Status> {
    let request = pb::GetPropertyRequest {
        name: name.to_owned(),
    };
    let reply = app.admin().get_property(request).await?;
    Ok(reply.into_inner().property.expect("a property"))
}

async fn update(
    app: &TestApp,
    property: pb::Property,
    fields: &[&str],
) -> Result<pb::Property, Status> {
    let paths = fields.iter().map(|field| (*field).to_owned()).collect();
    let request = pb::UpdatePropertyRequest {
        property: Some(property),
        update_mask: Some(FieldMask { paths }),
    };
    let reply = app.admin().update_property(request).await?;
    Ok(reply.into_inner().property.expect("a property"))
}

#[track_caller]
fn assert_invalid(status: &Status, fields: &[&str]) {
    assert_refused(status, Code::InvalidArgument, "INVALID_FIELD", fields);
}

#[track_caller]
fn assert_not_found(status: &Status, message: &str) {
    assert_refused(status, Code::NotFound, "NOT_FOUND", &[]);
    assert_eq!(status.message(), message);
}

/// A property with every setting away from its default.
fn unusual(name: &str) -> pb::Property {
    pb::Property {
        display_name: "The Shop".to_owned(),
        time_zone: "Asia/Kathmandu".to_owned(),
        retention_days: Some(7),
        session_gap: seconds(60),
        ip_policy: pb::IpPolicy::Drop.into(),
        allowed_origins: vec![
            "https://example.com".to_owned(),
            "http://localhost:3000".to_owned(),
        ],
        ..property(name)
    }
}

#[tokio::test]
async fn a_property_has_defaults() {
    let app = TestApp::start().await;
    let created = create(&app, property("shop")).await.expect("created");
    assert!(created.create_time.is_some());
    let expected = pb::Property {
        time_zone: "UTC".to_owned(),
        retention_days: None,
        session_gap: seconds(1_800),
        ip_policy: pb::IpPolicy::Truncate.into(),
        create_time: created.create_time,
        ..property("shop")
    };
    assert_eq!(created, expected);
    assert_eq!(get(&app, "shop").await.expect("there"), expected);
}

#[tokio::test]
async fn a_property_keeps_what_it_was_given() {
    let app = TestApp::start().await;
    let asked = pb::Property {
        // Set by the server, whatever is sent.
        create_time: Some(prost_types::Timestamp {
            seconds: 1,
            nanos: 0,
        }),
        ..unusual("shop")
    };
    let created = create(&app, asked).await.expect("created");
    assert!(created.create_time.is_some_and(|time| time.seconds > 1));
    let expected = pb::Property {
        create_time: created.create_time,
        ..unusual("shop")
    };
    assert_eq!(created, expected);
    assert_eq!(get(&app, "shop").await.expect("there"), expected);
}

#[tokio::test]
async fn an_update_changes_what_its_mask_names_and_no_more() {
    let app = TestApp::start().await;
    let created = create(&app, unusual("shop")).await.expect("created");

    let new = pb::Property {
        time_zone: "Europe/Berlin".to_owned(),
        display_name: "no".to_owned(),
        ..property("shop")
    };
    let updated = update(&app, new, &["time_zone"]).await.expect("updated");
    let expected = pb::Property {
        time_zone: "Europe/Berlin".to_owned(),
        ..created
    };
    assert_eq!(updated, expected);
    assert_eq!(get(&app, "shop").await.expect("there"), expected);

    // In the mask and absent: back to the default.
    let all = [
        "display_name",
        "time_zone",
        "retention_days",
        "session_gap",
        "ip_policy",
        "allowed_origins",
    ];
    let updated = update(&app, property("shop"), &all).await.expect("updated");
    let defaults = pb::Property {
        time_zone: "UTC".to_owned(),
        session_gap: seconds(1_800),
        ip_policy: pb::IpPolicy::Truncate.into(),
        create_time: expected.create_time,
        ..property("shop")
    };
    assert_eq!(updated, defaults);

    let changed = update(&app, unusual("shop"), &all).await.expect("updated");
    assert_eq!(
        changed,
        pb::Property {
            create_time: expected.create_time,
            ..unusual("shop")
        }
    );
}

#[tokio::test]
async fn updates_at_once_of_different_fields_all_last() {
    let app = TestApp::start().await;
    create(&app, property("shop")).await.expect("created");
    for round in 0..10 {
        let name = format!("Shop {round}");
        let (zone, days) = (["Asia/Tokyo", "Europe/Rome"][round % 2], round as i32 + 1);
        let named = pb::Property {
            display_name: name.clone(),
            ..property("shop")
        };
        let zoned = pb::Property {
            time_zone: zone.to_owned(),
            ..property("shop")
        };
        let kept = pb::Property {
            retention_days: Some(days),
            ..property("shop")
        };
        let results = tokio::join!(
            update(&app, named, &["display_name"]),
            update(&app, zoned, &["time_zone"]),
            update(&app, kept, &["retention_days"]),
        );
        assert!(results.0.is_ok() && results.1.is_ok() && results.2.is_ok());
        let now = get(&app, "shop").await.expect("there");
        assert_eq!(
            (now.display_name, now.time_zone.as_str(), now.retention_days),
            (name, zone, Some(days))
        );
    }
}

#[tokio::test]
async fn an_update_says_what_to_change() {
    let app = TestApp::start().await;
    let status = update(&app, property("default"), &[])
        .await
        .expect_err("no mask");
    assert_invalid(
        &status,
        &["update_mask: is empty, need the fields to change"],
    );
    for field in [
        "name",
        "create_time",
        "*",
        "session_gap.seconds",
        "Display_Name",
    ] {
        let status = update(&app, property("default"), &["time_zone", field])
            .await
            .expect_err(field);
        let said = format!(
            "update_mask.paths[1]: `{field}` cannot be changed; display_name, time_zone, retention_days, \
             session_gap, ip_policy and allowed_origins can"
        );
        assert_invalid(&status, &[&said]);
    }
    let status = update(&app, property("nowhere"), &["time_zone"])
        .await
        .expect_err("none");
    assert_not_found(&status, "there is no property `nowhere`");
    let status = app
        .admin()
        .update_property(pb::UpdatePropertyRequest::default())
        .await
        .expect_err("refused");
    assert_invalid(&status, &["property: is absent"]);
}

#[tokio::test]
async fn settings_have_bounds() {
    let app = TestApp::start().await;
    let shop = || property("shop");
    let duration = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let origins = |origins: &[&str]| {
        origins
            .iter()
            .map(|origin| (*origin).to_owned())
            .collect::<Vec<_>>()
    };
    let not_a_gap = |seconds: i64, nanos: i32| {
        format!(
            "property.session_gap: {seconds} s and {nanos} ns, need whole seconds from 60 to 86400"
        )
    };
    let bad: Vec<(pb::Property, String)> = vec![
        (pb::Property { display_name: "x".repeat(129), ..shop() }, "property.display_name: 129 bytes, need at most 128".to_owned()),
        (pb::Property { display_name: "a\0".to_owned(), ..shop() }, "property.display_name: contains a NUL character".to_owned()),
        (pb::Property { time_zone: "europe/berlin".to_owned(), ..shop() }, "property.time_zone: there is no time zone `europe/berlin`, need an IANA name such as Asia/Kathmandu".to_owned()),
        (pb::Property { retention_days: Some(-1), ..shop() }, "property.retention_days: -1, need 1–36500, or 0 for ever".to_owned()),
        (pb::Property { retention_days: Some(36_501), ..shop() }, "property.retention_days: 36501, need 1–36500, or 0 for ever".to_owned()),
        (pb::Property { session_gap: duration(59, 0), ..shop() }, not_a_gap(59, 0)),
        (pb::Property { session_gap: duration(86_401, 0), ..shop() }, not_a_gap(86_401, 0)),
        (pb::Property { session_gap: duration(60, 1), ..shop() }, not_a_gap(60, 1)),
        (pb::Property { session_gap: duration(i64::MAX, 0), ..shop() }, not_a_gap(i64::MAX, 0)),
        (pb::Property { session_gap: duration(-60, 0), ..shop() }, not_a_gap(-60, 0)),
        (pb::Property { ip_policy: 9, ..shop() }, "property.ip_policy: 9 is no policy".to_owned()),
        (pb::Property { allowed_origins: vec!["https://example.com".to_owned(); 33], ..shop() }, "property.allowed_origins: 33 origins, need at most 32".to_owned()),
        (pb::Property { allowed_origins: origins(&["https://a.example", "example.com"]), ..shop() }, "property.allowed_origins[1]: `example.com` is not an origin, need https://host[:port]".to_owned()),
        (pb::Property { allowed_origins: origins(&["https://a.example/"]), ..shop() }, "property.allowed_origins[0]: `https://a.example/` is not an origin, need https://host[:port]".to_owned()),
        (pb::Property { allowed_origins: origins(&["*"]), ..shop() }, "property.allowed_origins[0]: `*` is not an origin, need https://host[:port]".to_owned()),
    ];
    for (bad, said) in bad {
        let status = create(&app, bad.clone()).await.expect_err(&said);
        assert_invalid(&status, &[&said]);
        let update_default = pb::Property {
            name: "default".to_owned(),
            ..bad
        };
        let all = [
            "display_name",
            "time_zone",
            "retention_days",
            "session_gap",
            "ip_policy",
            "allowed_origins",
        ];
        let status = update(&app, update_default, &all).await.expect_err(&said);
        assert_invalid(&status, &[&said]);
    }
    assert_not_found(
        &get(&app, "shop").await.expect_err("not created"),
        "there is no property `shop`",
    );

    for (number, (days, gap_s)) in [(0, 60), (1, 86_400), (36_500, 1_800)]
        .into_iter()
        .enumerate()
    {
        let good = pb::Property {
            display_name: "x".repeat(128),
            retention_days: Some(days),
            session_gap: seconds(gap_s),
            allowed_origins: vec!["https://[::1]:8443".to_owned(); 32],
            ..property(&format!("good-{number}"))
        };
        create(&app, good).await.expect("at the bounds");
    }
}

#[tokio::test]
async fn names_of_properties_are_short_and_plain() {
    let app = TestApp::start().await;
    for name in [
        "",
        "Shop",
        "-shop",
        "_shop",
        "a b",
        "a.b",
        "café",
        "a\0",
        "x' or 1=1--",
        &"a".repeat(65),
    ] {
        let status = create(&app, property(name)).await.expect_err(name);
        let shown: String = match name.len() {
            65 => format!("{}…", &name[..64]),
            _ => name.replace('\0', ""),
        };
        let said = format!(
            "property.name: `{shown}`, need 1–64 of a-z, 0-9, - and _, the first a letter or digit"
        );
        assert_invalid(&status, &[&said]);
        let status = get(&app, name).await.expect_err(name);
        assert_invalid(&status, &["name: is not the name of a property"]);
    }
    for name in ["a", "0", "a-b_c", &"a".repeat(64)] {
        create(&app, property(name)).await.expect(name);
    }
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let app = TestApp::start().await;
    let attempts =
        futures_util::future::join_all((0..8).map(|_| create(&app, property("shop")))).await;
    let (created, refused): (Vec<_>, Vec<_>) = attempts.into_iter().partition(Result::is_ok);
    assert_eq!((created.len(), refused.len()), (1, 7));
    for status in refused.into_iter().filter_map(Result::err) {
        assert_refused(&status, Code::AlreadyExists, "ALREADY_EXISTS", &[]);
        assert_eq!(status.message(), "there is a property `shop` already");
    }
    let status = create(&app, property("default"))
        .await
        .expect_err("is there from the start");
    assert_eq!(status.code(), Code::AlreadyExists);
}

/// The names of all properties, read in pages of that size.
async fn list_names(app: &TestApp, page_size: i32) -> (Vec<String>, usize) {
    let (mut names, mut pages, mut page_token) = (Vec::new(), 0, String::new());
    loop {
        let request = pb::ListPropertiesRequest {
            page_size,
            page_token,
        };
        let page = app
            .admin()
            .list_properties(request)
            .await
            .expect("a page")
            .into_inner();
        names.extend(page.properties.into_iter().map(|property| property.name));
        pages += 1;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return (names, pages);
        }
    }
}

#[tokio::test]
async fn properties_are_listed_by_name_in_pages() {
    let app = TestApp::start().await;
    let mut expected: Vec<String> = (0..24).map(|n| format!("p{}", (n * 7) % 24)).collect();
    for name in &expected {
        create(&app, property(name)).await.expect("created");
    }
    expected.push("default".to_owned());
    expected.sort();
    for (page_size, pages) in [
        (0, 1),
        (1, 25),
        (5, 5),
        (7, 4),
        (24, 2),
        (25, 1),
        (1_000, 1),
    ] {
        assert_eq!(
            list_names(&app, page_size).await,
            (expected.clone(), pages),
            "{page_size}"
        );
    }
}

#[tokio::test]
async fn lists_refuse_sizes_and_tokens_that_are_none() {
    let app = TestApp::start().await;
    for page_size in [-1, 1_001] {
        let said = format!("page_size: {page_size}, need 1–1000, or 0 for 100");
        let request = pb::ListPropertiesRequest {
            page_size,
            ..Default::default()
        };
        assert_invalid(
            &app.admin()
                .list_properties(request)
                .await
                .expect_err("refused"),
            &[&said],
        );
        let request = pb::ListKeysRequest {
            page_size,
            ..Default::default()
        };
        assert_invalid(
            &app.admin().list_keys(request).await.expect_err("refused"),
            &[&said],
        );
    }
    let said = ["page_token: is not one of this list's"];
    // "x", bytes that are not UTF-8, two empty parts, a time that is none, one beyond all, a NUL.
    for token in [
        "x",
        "_-8",
        "Hw",
        "eB94",
        "LTYyMTM1NTk2ODAwMDAwMDAwMB94",
        "AA",
    ] {
        let request = pb::ListKeysRequest {
            page_token: token.to_owned(),
            ..Default::default()
        };
        assert_invalid(
            &app.admin().list_keys(request).await.expect_err(token),
            &said,
        );
    }
    for token in ["x", "_-8", "Hw", "eB94", "AA"] {
        let request = pb::ListPropertiesRequest {
            page_token: token.to_owned(),
            ..Default::default()
        };
        assert_invalid(
            &app.admin().list_properties(request).await.expect_err(token),
            &said,
        );
    }
}

async fn list_keys(app: &TestApp, request: pb::ListKeysRequest) -> Vec<pb::Key> {
    let reply = app
        .admin()
        .list_keys(request)
        .await
        .expect("a list")
        .into_inner();
    assert_eq!(reply.next_page_token, "");
    reply.keys
}

#[tokio::test]
async fn a_key_is_described_without_its_secret() {
    let app = TestApp::start().await;
    let request = pb::CreateKeyRequest {
        kind: pb::KeyKind::Write.into(),
        property: "default".to_owned(),
        label: " the shop's back end ".to_owned(),
    };
    let created = app
        .admin()
        .create_key(request)
        .await
        .expect("a key")
        .into_inner();
    let key = created.key.expect("a description");
    assert!(
        created.secret.starts_with(&format!("{}_", key.key_id)),
        "{key:?}"
    );
    assert_eq!(
        (key.kind(), key.property.as_str(), key.label.as_str()),
        (pb::KeyKind::Write, "default", "the shop's back end")
    );
    assert!(key.create_time.is_some() && key.revoke_time.is_none());

    let listed = list_keys(&app, pb::ListKeysRequest::default()).await;
    let kinds: Vec<_> = listed.iter().map(pb::Key::kind).collect();
    use pb::KeyKind::{Admin, Read, Write};
    assert_eq!(kinds, [Admin, Write, Read, Write], "the oldest first");
    assert_eq!(listed[3], key);
}

#[tokio::test]
async fn revoked_keys_are_listed_on_request() {
    let app = TestApp::start().await;
    let key_id = app.write_key.id.clone();
    let revoked = app
        .admin()
        .revoke_key(pb::RevokeKeyRequest {
            key_id: key_id.clone(),
        })
        .await;
    let revoked = revoked.expect("revoked").into_inner().key.expect("a key");
    assert!(revoked.revoke_time.is_some());
    let ids = |keys: Vec<pb::Key>| keys.into_iter().map(|key| key.key_id).collect::<Vec<_>>();
    let valid = ids(list_keys(&app, pb::ListKeysRequest::default()).await);
    assert_eq!(valid, [app.admin_key.id.clone(), app.read_key.id.clone()]);
    let all = pb::ListKeysRequest {
        include_revoked: true,
        ..Default::default()
    };
    let all = list_keys(&app, all).await;
    assert!(all.contains(&revoked));
    assert_eq!(
        ids(all),
        [app.admin_key.id.clone(), key_id, app.read_key.id.clone()]
    );
}

#[tokio::test]
async fn keys_are_listed_oldest_first_in_pages() {
    let app = TestApp::start().await;
    let mut expected = vec![
        app.admin_key.id.clone(),
        app.write_key.id.clone(),
        app.read_key.id.clone(),
    ];
    for _ in 0..14 {
        let secret = app.create_key(pb::KeyKind::Write, "default").await;
        expected.push(key_id(&secret));
    }
    // Some at the same moment: a page may end between them.
    let client = app.database.client().await;
    client
        .execute("update api_keys set created_at = (select created_at from api_keys where key_id = $1) where key_id = any($2)", &[&expected[5], &expected[6..9].to_vec()])
        .await
        .expect("dates changed");
    expected[5..9].sort();
    for page_size in [0, 1, 2, 3, 7, 17, 1_000] {
        let (mut ids, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = pb::ListKeysRequest {
                page_size,
                page_token,
                ..Default::default()
            };
            let page = app
                .admin()
                .list_keys(request)
                .await
                .expect("a page")
                .into_inner();
            ids.extend(page.keys.into_iter().map(|key| key.key_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(ids, expected, "{page_size} a page");
    }
}

#[tokio::test]
async fn keys_to_create_have_a_kind_a_property_and_a_short_label() {
    let app = TestApp::start().await;
    let request = |kind: i32, property: &str, label: &str| pb::CreateKeyRequest {
        kind,
        property: property.to_owned(),
        label: label.to_owned(),
    };
    let write = pb::KeyKind::Write as i32;
    let needs_kind = "kind: need one of KEY_KIND_WRITE, KEY_KIND_READ, KEY_KIND_ADMIN";
    for (bad, said) in [
        (request(0, "default", ""), needs_kind),
        (request(77, "default", ""), needs_kind),
        (
            request(write, "", ""),
            "property: 0 bytes, need the name of a property for a write or read key",
        ),
        (
            request(write, "a\0b", ""),
            "property: is not the name of a property",
        ),
        (
            request(write, "x' or 1=1--", ""),
            "property: is not the name of a property",
        ),
        (
            request(write, "default", &"x".repeat(129)),
            "label: 129 bytes, need at most 128",
        ),
        (
            request(write, "default", "\0"),
            "label: contains a NUL character",
        ),
    ] {
        assert_invalid(&app.admin().create_key(bad).await.expect_err(said), &[said]);
    }
    let status = app
        .admin()
        .create_key(request(write, "nowhere", ""))
        .await
        .expect_err("none");
    assert_not_found(&status, "there is no property `nowhere`");
    app.admin()
        .create_key(request(write, "default", &"x".repeat(128)))
        .await
        .expect("created");

    let list = |property: &str| pb::ListKeysRequest {
        property: property.to_owned(),
        ..Default::default()
    };
    for name in ["\0", "X Y"] {
        let status = app.admin().list_keys(list(name)).await.expect_err(name);
        assert_invalid(&status, &["property: is not the name of a property"]);
    }
    let status = app
        .admin()
        .list_keys(list("nowhere"))
        .await
        .expect_err("none");
    assert_not_found(&status, "there is no property `nowhere`");
}

#[tokio::test]
async fn keys_to_revoke_exist() {
    let app = TestApp::start().await;
    let revoke = |key_id: &str| {
        let request = pb::RevokeKeyRequest {
            key_id: key_id.to_owned(),
        };
        let mut admin = app.admin();
        async move { admin.revoke_key(request).await.expect_err("refused") }
    };
    assert_invalid(
        &revoke("").await,
        &["key_id: 0 bytes, need a key's public part"],
    );
    assert_invalid(&revoke("a\0b").await, &["key_id: contains a NUL character"]);
    assert_not_found(&revoke("nobody").await, "there is no key `nobody`");
    // As long as a message may be: the answer stays short, or clients could not read it.
    let long = "x".repeat(1_000_000);
    assert_not_found(
        &revoke(&long).await,
        &format!("there is no key `{}…`", &long[..64]),
    );
}

#[tokio::test]
async fn an_admin_key_of_one_property_manages_that_one_only() {
    let app = TestApp::start().await;
    let shop = app.create_property("shop").await;
    let mut admin = app.admin_with(&shop.admin_key);

    // What it may see and change.
    let get = |name: &str| pb::GetPropertyRequest {
        name: name.to_owned(),
    };
    admin.get_property(get("shop")).await.expect("its own");
    let listed = admin
        .list_properties(pb::ListPropertiesRequest::default())
        .await
        .expect("a list")
        .into_inner();
    let names: Vec<_> = listed
        .properties
        .iter()
        .map(|property| property.name.as_str())
        .collect();
    assert_eq!(names, ["shop"]);
    let keys = admin
        .list_keys(pb::ListKeysRequest::default())
        .await
        .expect("a list")
        .into_inner()
        .keys;
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| key.property == "shop"));
    let own_key = |property: &str, kind: pb::KeyKind| pb::CreateKeyRequest {
        kind: kind.into(),
        property: property.to_owned(),
        label: String::new(),
    };
    admin
        .create_key(own_key("shop", pb::KeyKind::Admin))
        .await
        .expect("another key of its own");

    // What it may not know of.
    assert_not_found(
        &admin
            .get_property(get("default"))
            .await
            .expect_err("hidden"),
        "there is no property `default`",
    );
    let of_default = pb::ListKeysRequest {
        property: "default".to_owned(),
        ..Default::default()
    };
    assert_not_found(
        &admin.list_keys(of_default).await.expect_err("hidden"),
        "there is no property `default`",
    );
    let request = own_key("default", pb::KeyKind::Read);
    assert_not_found(
        &admin.create_key(request).await.expect_err("hidden"),
        "there is no property `default`",
    );
    let change = pb::UpdatePropertyRequest {
        property: Some(property("default")),
        update_mask: Some(FieldMask {
            paths: vec!["time_zone".to_owned()],
        }),
    };
    assert_not_found(
        &admin.update_property(change).await.expect_err("hidden"),
        "there is no property `default`",
    );
    for key in [&app.read_key, &app.admin_key] {
        let request = pb::RevokeKeyRequest {
            key_id: key.id.clone(),
        };
        let status = admin.revoke_key(request).await.expect_err("hidden");
        assert_not_found(&status, &format!("there is no key `{}`", key.id));
    }

    // What only the server's administrators may do.
    let status = admin
        .create_key(own_key("", pb::KeyKind::Admin))
        .await
        .expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    let request = pb::CreatePropertyRequest {
        property: Some(property("second")),
    };
    let status = admin.create_property(request).await.expect_err("refused");
    assert_refused(&status, Code::PermissionDenied, "KEY_NOT_ALLOWED", &[]);
    assert_eq!(status.message(), "this needs a server-wide admin key");

    // It can give itself up, and is out at once.
    let own_id = key_id(&shop.admin_key);
    admin
        .revoke_key(pb::RevokeKeyRequest { key_id: own_id })
        .await
        .expect("revoked");
    let status = admin
        .list_keys(pb::ListKeysRequest::default())
        .await
        .expect_err("revoked");
    assert_refused(&status, Code::Unauthenticated, "KEY_INVALID", &[]);
}

#[tokio::test]
async fn a_changed_setting_holds_for_the_next_event() {
    let app = TestApp::start().await;
    let old = crate::support::at("2026-01-01T00:00:00Z");
    let event = pb::Event {
        time: old,
        ..crate::support::page_view("ada", "/")
    };
    let forever = pb::Property {
        retention_days: Some(0),
        ..property("default")
    };
    update(&app, forever, &["retention_days"])
        .await
        .expect("updated");
    app.send_new(vec![event.clone()]).await;
    let a_day = pb::Property {
        retention_days: Some(1),
        ..property("default")
    };
    update(&app, a_day, &["retention_days"])
        .await
        .expect("updated");
    let summary = app.send(vec![event]).await;
    assert_eq!(summary.rejected, 1);
}
