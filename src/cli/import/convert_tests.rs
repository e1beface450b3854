use super::*;

fn rules() -> AccessRules {
    AccessRules {
        methods: vec!["GET".to_owned()],
        statuses: "200-299,304".parse().expect("statuses"),
        static_files: Some(Extensions::default()),
        origin: None,
        name: "page_view".to_owned(),
        visitor_salt: "tallymark".to_owned(),
        keep_users: false,
    }
}

fn convert_with(rules: AccessRules, line: &str) -> Result<Event, Skip> {
    let converter = Converter::AccessLog {
        layout: Layout::Combined,
        rules: Box::new(rules),
    };
    converter.convert(line.as_bytes(), &mut EventIds::default())
}

fn line(request: &str, status: u16, referrer: &str, user_agent: &str) -> String {
    format!(
        "::ffff:203.0.113.9 - frank [17/May/2015:10:05:03 +0000] \"{request}\" {status} 12 \
         \"{referrer}\" \"{user_agent}\""
    )
}

fn skip_reason(request: &str, status: u16) -> SkipReason {
    convert_with(rules(), &line(request, status, "-", "x"))
        .expect_err(request)
        .reason
}

#[test]
fn a_request_becomes_a_page_view() {
    let with_host = AccessRules {
        origin: Some("https://example.com".to_owned()),
        keep_users: true,
        ..rules()
    };
    let text = line(
        "GET /a?utm_source=b HTTP/1.1",
        200,
        "https://example.com/",
        "Mozilla",
    );
    let event = convert_with(with_host, &text).expect("event");
    assert_eq!(event.name, "page_view");
    assert_eq!(event.page, "https://example.com/a?utm_source=b");
    assert_eq!(event.ip_address, "203.0.113.9");
    assert_eq!(event.user_id, "frank");
    assert_eq!(event.referrer, "https://example.com/");
    assert_eq!(event.time.expect("time").seconds, 1_431_857_103);

    let plain = convert_with(rules(), &text).expect("event");
    assert_eq!(
        (plain.page.as_str(), plain.user_id.as_str()),
        ("/a?utm_source=b", "")
    );
    assert_eq!(plain.event_id, event.event_id, "options do not change ids");
    assert_eq!(plain.visitor_id, event.visitor_id);
    let other_browser = convert_with(rules(), &line("GET / HTTP/1.1", 200, "-", "Opera"));
    assert_ne!(other_browser.expect("event").visitor_id, event.visitor_id);
}

#[test]
fn a_path_never_names_a_host() {
    let page = |request: &str, origin: Option<&str>| {
        let rules = AccessRules {
            origin: origin.map(str::to_owned),
            ..rules()
        };
        let event = convert_with(rules, &line(request, 200, "-", "x"));
        event.expect(request).page
    };
    assert_eq!(page("GET //wp-login.php HTTP/1.1", None), "/wp-login.php");
    assert_eq!(page("GET /\\a/b HTTP/1.1", None), "/a/b");
    assert_eq!(
        page("GET //a/b HTTP/1.1", Some("https://example.com")),
        "https://example.com//a/b"
    );
}

#[test]
fn what_is_left_out() {
    assert_eq!(skip_reason("POST / HTTP/1.1", 200), SkipReason::Method);
    assert_eq!(skip_reason("GET / HTTP/1.1", 404), SkipReason::Status);
    assert_eq!(
        skip_reason("GET /a.css?v=1 HTTP/1.1", 200),
        SkipReason::Static
    );
    assert_eq!(skip_reason("-", 408), SkipReason::NoPage);
    assert_eq!(skip_reason("GET * HTTP/1.1", 200), SkipReason::NoPage);
    assert_eq!(
        skip_reason("GET ftp://a/b HTTP/1.1", 200),
        SkipReason::NoPage
    );
    let long = format!("GET /{} HTTP/1.1", "a".repeat(2048));
    assert_eq!(skip_reason(&long, 200), SkipReason::PageTooLong);
    let blank = convert_with(rules(), " \t").expect_err("blank");
    assert_eq!(blank.reason, SkipReason::Blank);
    let keep = AccessRules {
        static_files: None,
        ..rules()
    };
    assert!(convert_with(keep, &line("GET /a.css HTTP/1.1", 200, "-", "x")).is_ok());
}

#[test]
fn long_fields_do_not_cost_the_event() {
    let long_query = format!("https://a.example/b?{}", "q".repeat(5000));
    let text = line("GET / HTTP/1.1", 200, &long_query, &"é".repeat(1000));
    let event = convert_with(rules(), &text).expect("event");
    assert_eq!(event.referrer, "https://a.example/b");
    assert_eq!(event.user_agent.len(), 1024);

    let text = line(r"GET /\x00 HTTP/1.1", 200, &"/".repeat(5000), "x");
    let event = convert_with(rules(), &text).expect("event");
    assert_eq!(
        (event.page.as_str(), event.referrer.as_str()),
        ("/\u{fffd}", "")
    );
}

#[test]
fn json_lines_keep_their_ids_and_get_stable_ones() {
    let mut ids = EventIds::default();
    let mut convert = |text: &[u8]| Converter::JsonLines.convert(text, &mut ids);
    let own = r#"{"event_id":"0198c0de-0000-7000-8000-000000000001","name":"a"}"#;
    let event = convert(own.as_bytes()).expect("event");
    assert_eq!(event.event_id, "0198c0de-0000-7000-8000-000000000001");
    let without = br#"{"name":"a","time":"2026-01-01T00:00:00Z"}"#;
    let (first, second) = (
        convert(without).expect("event"),
        convert(without).expect("event"),
    );
    assert_ne!(first.event_id, second.event_id);
    assert!(
        first.event_id.starts_with("019b76da-a800-7"),
        "{}",
        first.event_id
    );
    assert_eq!(
        convert(b"{\"name\":\"\xff\"}").expect_err("utf-8").reason,
        SkipReason::NotUtf8
    );
    assert_eq!(
        convert(b"{}").expect_err("no time").reason,
        SkipReason::Malformed
    );
}

/// Counts of a real log, made with awk (fields split at `"`), independently of this parser: 10,000
/// lines, 1 of them without its six quotes; 48 methods other than GET; of GET 371 statuses other than
/// 2xx and 304; of the rest 5,348 static files. What is left has 1,289 addresses, 1,356 pairs of
/// address and user agent, 935 targets, and 18 lines that repeat an earlier one.
#[test]
fn agrees_with_awk_on_a_real_log() {
    let Ok(log) = std::fs::read("../shared/data/access.log") else {
        return;
    };
    let converter = Converter::AccessLog {
        layout: Layout::Combined,
        rules: Box::new(rules()),
    };
    let mut ids = EventIds::default();
    let (mut events, mut skipped) = (Vec::new(), std::collections::BTreeMap::new());
    for line in log
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        match converter.convert(line, &mut ids) {
            Ok(event) => events.push(event),
            Err(skip) => *skipped.entry(skip.reason.label()).or_insert(0) += 1,
        }
    }
    let wanted = [
        ("malformed", 1),
        ("other method", 48),
        ("other status", 371),
        ("static file", 5348),
    ];
    assert_eq!(skipped.into_iter().collect::<Vec<_>>(), wanted);
    let distinct = |field: fn(&Event) -> &str| {
        events
            .iter()
            .map(field)
            .collect::<std::collections::HashSet<_>>()
            .len()
    };
    assert_eq!(events.len(), 4232);
    assert_eq!(distinct(|event| &event.event_id), events.len());
    assert_eq!(distinct(|event| &event.ip_address), 1289);
    assert_eq!(distinct(|event| &event.visitor_id), 1356);
    assert_eq!(distinct(|event| &event.page), 935);
}
