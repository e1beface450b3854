use proptest::prelude::*;

use super::*;

fn combined(line: &str) -> AccessLine<'_> {
    parse(line.as_bytes(), Layout::Combined).expect(line)
}

#[test]
fn reads_every_field() {
    let line = combined(
        r#"203.0.113.9 - frank [10/Oct/2000:13:55:36 -0700] "GET /a?b=c HTTP/1.0" 200 2326 "https://x.example/" "Mozilla/5.0 (X11)""#,
    );
    assert_eq!(line.address, "203.0.113.9");
    assert_eq!(line.user.as_deref(), Some("frank"));
    assert_eq!(line.time.to_string(), "2000-10-10T20:55:36Z");
    assert_eq!(split_request(&line.request), Some(("GET", "/a?b=c")));
    assert_eq!(line.status, 200);
    assert_eq!(line.referrer.as_deref(), Some("https://x.example/"));
    assert_eq!(line.user_agent.as_deref(), Some("Mozilla/5.0 (X11)"));
}

#[test]
fn absent_fields_ipv6_and_extra_fields() {
    let line = combined(
        r#"2001:db8::1 - - [01/Jan/2024:00:30:00 +0545] "-" 408 - "-" "" "10.0.0.1" 0.004"#,
    );
    assert_eq!(line.address, "2001:db8::1");
    assert_eq!(
        (line.user, line.referrer, line.user_agent),
        (None, None, None)
    );
    assert_eq!(line.time.to_string(), "2023-12-31T18:45:00Z");
    assert_eq!(split_request(&line.request), None);
}

#[test]
fn the_common_layout_ignores_what_follows() {
    let text = br#"h.example - - [01/Jan/2024:00:00:60 +0000] "GET / HTTP/1.1" 304 0"#;
    let line = parse(text, Layout::Common).expect("common");
    assert_eq!(line.address, "h.example");
    assert_eq!(line.time.to_string(), "2024-01-01T00:00:59Z");
    assert_eq!(parse(text, Layout::Combined), Err("no referrer in quotes"));
}

#[test]
fn escapes_and_stray_quotes() {
    let line = combined(
        r#"1.2.3.4 - a [b] c [01/Jan/2024:00:00:00 +0000] "GET /\"q\" HTTP/1.1" 200 1 "http://a/\xc3\xa9\\" "say \"hi\" "x"y \x zz\xfg""#,
    );
    assert_eq!(line.user.as_deref(), Some("a [b] c"));
    assert_eq!(split_request(&line.request), Some(("GET", "/\"q\"")));
    assert_eq!(line.referrer.as_deref(), Some("http://a/é\\"));
    // The quote before ` "` ends the field: a stray quote cannot be told from the end there.
    assert_eq!(
        line.user_agent.as_deref(),
        Some("say \"hi\" \"x\"y \\x zz\\xfg")
    );
}

#[test]
fn bytes_that_are_not_utf8() {
    let text =
        b"1.2.3.4 - - [01/Jan/2024:00:00:00 +0000] \"GET /\xe9 HTTP/1.1\" 200 1 \"-\" \"\\xff\"";
    let line = parse(text, Layout::Combined).expect("lossy");
    assert_eq!(line.request, "GET /\u{fffd} HTTP/1.1");
    assert_eq!(line.user_agent.as_deref(), Some("\u{fffd}"));
}

#[test]
fn request_lines() {
    assert_eq!(split_request("GET /a b HTTP/1.1"), Some(("GET", "/a b")));
    assert_eq!(split_request("GET /"), Some(("GET", "/")));
    assert_eq!(split_request("GET  HTTP/1.1"), None);
    assert_eq!(split_request("\u{16}\u{3}\u{1} x"), None);
    assert_eq!(split_request(""), None);
}

#[test]
fn says_what_is_wrong() {
    let tail = r#""GET / HTTP/1.1" 200 1 "-" "-""#;
    for (line, wanted) in [
        (String::new(), "no address"),
        ("1.2.3.4".into(), "no time in brackets"),
        (
            format!("1.2.3.4 - - [31/Feb/2024:00:00:00 +0000] {tail}"),
            "the time is not",
        ),
        (
            format!("1.2.3.4 - - [01/Foo/2024:00:00:00 +0000] {tail}"),
            "the time is not",
        ),
        (
            format!("1.2.3.4 - - [01/Jan/2024:25:00:00 +0000] {tail}"),
            "the time is not",
        ),
        (
            format!("1.2.3.4 - - [01/Jan/2024:00:00:00 +0000 {tail}"),
            "no time in brackets",
        ),
        (
            "1.2.3.4 - - [01/Jan/2024:00:00:00 +0000] GET".into(),
            "no request in quotes",
        ),
        (
            r#"1.2.3.4 - - [01/Jan/2024:00:00:00 +0000] "GET / "#.into(),
            "no request in quotes",
        ),
        (
            r#"1.2.3.4 - - [01/Jan/2024:00:00:00 +0000] "GET /" 20 1"#.into(),
            "the status is not",
        ),
        (
            r#"1.2.3.4 - - [01/Jan/2024:00:00:00 +0000] "GET /" 200 x"#.into(),
            "the size",
        ),
        (
            r#"1.2.3.4 - - [01/Jan/2024:00:00:00 +0000] "GET /" 200 1 "-" "cut off"#.into(),
            "no user agent in quotes",
        ),
    ] {
        let error = parse(line.as_bytes(), Layout::Combined).expect_err(&line);
        assert!(error.starts_with(wanted), "{line}: {error}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"")
}

proptest! {
    #[test]
    fn never_panics(line in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&line, Layout::Combined);
        let _ = parse(&line, Layout::Common);
    }

    #[test]
    fn never_panics_on_lines_that_are_nearly_right(
        line in r#"[0-9a-f.:]{0,9} - [a-z\[ -]{0,4} \[[0-9]{2}/(Jan|May|x)/[0-9]{4}:[0-9:]{8} [+-][0-9]{4}\] "[A-Z"\\]{0,4} [a-z/ \\x"]{0,9}" [0-9]{2,3} [0-9-]{1,3}( "[^\n]{0,9}"?){0,3}"#
    ) {
        if let Ok(parsed) = parse(line.as_bytes(), Layout::Combined) {
            let _ = split_request(&parsed.request);
        }
    }

    #[test]
    fn what_servers_write_is_read_back(
        path in "/[ -~é]{0,20}", user_agent in "[!-~][ -~日]{1,30}", second in 0..86_400i64
    ) {
        let time = Timestamp::from_second(1_700_000_000 + second).expect("time");
        let written = time.strftime("%d/%b/%Y:%H:%M:%S +0000");
        let line = format!(
            "1.2.3.4 - - [{written}] \"GET {} HTTP/1.1\" 200 5 \"-\" \"{}\"",
            escaped(&path), escaped(&user_agent)
        );
        let parsed = combined(&line);
        prop_assert_eq!(parsed.time, time);
        prop_assert_eq!(split_request(&parsed.request), Some(("GET", path.trim())));
        prop_assert_eq!(parsed.user_agent.as_deref(), Some(user_agent.as_str()));
    }
}
