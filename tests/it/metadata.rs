//! GetMetadata: what can be asked, and that it can be.

use std::collections::HashSet;

use tallymark::pb::{self, AggregateRequest, Bucket, GetMetadataRequest, Operator, ValueType};

use crate::support::questions::{condition, names, relative, time};
use crate::support::{TestApp, page_view};

async fn metadata(app: &TestApp) -> pb::GetMetadataResponse {
    let answer = app.query().get_metadata(GetMetadataRequest {}).await;
    answer.expect("an answer").into_inner()
}

#[tokio::test]
async fn everything_that_is_offered_can_be_asked() {
    let app = TestApp::start().await;
    let offered = metadata(&app).await;
    assert!(offered.dimensions.len() > 30 && offered.metrics.len() > 10);
    for dimension in &offered.dimensions {
        assert!(!dimension.description.is_empty(), "{dimension:?}");
        let name = dimension.name.replace("<key>", "plan");
        let question = AggregateRequest {
            dimensions: names(&[&name]),
            ..AggregateRequest::default()
        };
        match dimension.can_group {
            true => drop(app.aggregate(question).await),
            false => drop(app.aggregate_error(question).await),
        }
        assert!(dimension.can_filter);
        for operator in &offered.operators {
            let applies = operator.types.contains(&dimension.r#type);
            let values = match operator.min_values {
                0 => &[][..],
                _ => &["1"],
            };
            let question = AggregateRequest {
                filter: Some(condition(&name, operator.operator(), values)),
                ..AggregateRequest::default()
            };
            let answer = app.query().aggregate(question).await;
            assert_eq!(answer.is_ok(), applies, "{name} {operator:?}");
        }
    }
    let metrics: Vec<String> = offered
        .metrics
        .iter()
        .map(|metric| metric.name.clone())
        .collect();
    app.aggregate(AggregateRequest {
        metrics,
        ..AggregateRequest::default()
    })
    .await;
    for metric in &offered.metrics {
        assert!(!metric.description.is_empty());
        assert!(["count", "seconds", "percent"].contains(&metric.unit.as_str()));
    }
    for bucket in &offered.buckets {
        app.aggregate(AggregateRequest {
            range: relative("today"),
            bucket: bucket.bucket,
            ..AggregateRequest::default()
        })
        .await;
    }
    // All of them are offered, each once.
    let buckets: HashSet<i32> = offered.buckets.iter().map(|bucket| bucket.bucket).collect();
    assert_eq!(
        buckets,
        HashSet::from_iter(1..=i32::from(Bucket::WholeRange))
    );
    let operators: HashSet<i32> = offered.operators.iter().map(|one| one.operator).collect();
    assert_eq!(
        operators,
        HashSet::from_iter(1..=i32::from(Operator::IsAbsent))
    );
}

#[tokio::test]
async fn every_range_is_what_it_says_in_the_zone_of_the_property() {
    let app = TestApp::start().await;
    app.set_time_zone("Asia/Kathmandu").await;
    let offered = metadata(&app).await;
    assert_eq!(offered.time_zone, "Asia/Kathmandu");
    assert_eq!(offered.property, "default");
    for range in &offered.ranges {
        let asked = app
            .aggregate(AggregateRequest {
                range: relative(&range.name.replace("_N_", "_1_")),
                bucket: Bucket::WholeRange.into(),
                ..AggregateRequest::default()
            })
            .await
            .metadata
            .expect("metadata");
        let now = range.now.expect("an interval");
        assert!(!range.description.is_empty());
        // Those of the clock have moved on since.
        if !range.name.contains("minutes") && !range.name.contains("hours") {
            assert_eq!(time(asked.since), time(now.since), "{}", range.name);
        }
    }
}

#[tokio::test]
async fn lists_types_and_limits_are_said() {
    let app = TestApp::start().await;
    let offered = metadata(&app).await;
    let lists: Vec<&str> = offered
        .dimensions
        .iter()
        .filter(|dimension| dimension.list_valued)
        .map(|dimension| dimension.name.as_str())
        .collect();
    assert_eq!(lists, ["category", "tag"]);
    let of_type = |kind: ValueType| -> Vec<&str> {
        let dimensions = offered.dimensions.iter();
        dimensions
            .filter(|dimension| dimension.r#type() == kind)
            .map(|dimension| dimension.name.as_str())
            .collect()
    };
    assert_eq!(of_type(ValueType::Boolean), ["is_bot"]);
    assert_eq!(of_type(ValueType::Json), ["properties.<key>"]);
    assert_eq!(of_type(ValueType::Number), ["duration", "scroll_depth"]);
    let limits = offered.limits.expect("limits");
    assert_eq!(
        (
            limits.dimensions,
            limits.metrics,
            limits.buckets,
            limits.rows
        ),
        (8, 16, 10_000, 100_000)
    );
    assert_eq!(limits.query_timeout_ms, 30_000);
    let added: Vec<&str> = offered
        .metrics
        .iter()
        .filter(|metric| metric.additive)
        .map(|metric| metric.name.as_str())
        .collect();
    assert_eq!(added, ["events", "page_views", "duration_sum"]);
}

#[tokio::test]
async fn keys_of_properties_are_those_of_this_property() {
    let app = TestApp::start().await;
    assert!(metadata(&app).await.property_keys.is_empty());
    let with = |keys: &[&str]| pb::Event {
        properties: Some(prost_types::Struct {
            fields: keys
                .iter()
                .map(|key| {
                    let kind = Some(prost_types::value::Kind::BoolValue(true));
                    ((*key).to_owned(), prost_types::Value { kind })
                })
                .collect(),
        }),
        ..page_view("ada", "/")
    };
    app.send_new(vec![with(&["plan", "été"]), with(&["Plan"]), with(&[])])
        .await;
    assert_eq!(metadata(&app).await.property_keys, ["Plan", "plan", "été"]);
    let other = app.create_property("other").await;
    let answer = app
        .query_with(&other.read_key)
        .get_metadata(GetMetadataRequest {})
        .await
        .expect("an answer")
        .into_inner();
    assert_eq!(answer.property, "other");
    assert!(answer.property_keys.is_empty());
}

#[tokio::test]
async fn what_is_counted_ahead_is_said() {
    let app = TestApp::start().await;
    app.send_new(vec![page_view("ada", "/")]).await;
    app.declare_rollup("hosts", &["host"]).await;
    app.compact().await;
    let request = pb::GetMetadataRequest {};
    let metadata = app.query().get_metadata(request).await.expect("metadata");
    let rollups = metadata.into_inner().rollups;
    let found: Vec<String> = rollups
        .iter()
        .filter(|rollup| rollup.status() == pb::RollupStatus::Ready)
        .map(|rollup| format!("{}: {}", rollup.name, rollup.dimensions.join(" ")))
        .collect();
    assert_eq!(found.len(), 9, "{rollups:?}");
    assert!(found.contains(&"page_os: page os".to_owned()), "{found:?}");
    assert!(found.contains(&"hosts: host".to_owned()), "{found:?}");
}
