//! Rollups that are declared: protobuf → domain.

use crate::domain::dimension::Dimension;
use crate::error::ApiError;
use crate::pb;
use crate::rollup::spec::{MAX_DIMENSIONS, Rollups, Spec, source};

use super::filter::dimension;
use super::property::is_name;
use super::rules::Violations;

/// Name and dimensions of a rollup, which none of `known` has.
pub fn declared(
    rollup: Option<pb::PropertyRollup>,
    known: &Rollups,
) -> Result<(String, Vec<Dimension>), ApiError> {
    let Some(rollup) = rollup else {
        return Err(ApiError::invalid("rollup", "is absent"));
    };
    let mut v = Violations::default();
    if !is_name(&rollup.name) {
        v.add(
            "rollup.name",
            "need 1–64 of a-z, 0-9, - and _, the first a letter or digit",
        );
    }
    let count = rollup.dimensions.len();
    if !(1..=MAX_DIMENSIONS).contains(&count) {
        v.add(
            "rollup.dimensions",
            format!("{count} dimensions, need 1–{MAX_DIMENSIONS}"),
        );
    }
    let mut dimensions = Vec::new();
    for (place, name) in rollup.dimensions.iter().enumerate().take(MAX_DIMENSIONS) {
        let field = format!("rollup.dimensions[{place}]");
        let Some(dimension) = dimension(name, &field, &mut v) else {
            continue;
        };
        if source(&dimension).is_none() {
            v.add(
                field,
                format!("`{name}` is nearly another one for every event, so a rollup by it would be as large as the events"),
            );
        } else if dimension == Dimension::IsBot {
            v.add(field, "`is_bot` is in every rollup");
        } else if dimensions.contains(&dimension) {
            v.add(field, format!("`{name}` is there twice"));
        } else {
            dimensions.push(dimension);
        }
    }
    let (name, dimensions) = v.finish_call((rollup.name, dimensions))?;
    let has_same = |spec: &Spec| {
        spec.name == name
            || (spec.dimensions.len() == dimensions.len()
                && dimensions
                    .iter()
                    .all(|dimension| spec.dimensions.contains(dimension)))
    };
    match known.specs.iter().find(|spec| has_same(spec)) {
        Some(spec) => Err(ApiError::AlreadyExists {
            kind: "rollup",
            name: spec.name.clone(),
        }),
        None => Ok((name, dimensions)),
    }
}

/// A rollup that every property has cannot be dropped.
pub fn not_built_in(name: &str) -> Result<(), ApiError> {
    match Spec::built_in().iter().any(|spec| spec.name == name) {
        true => Err(ApiError::invalid(
            "name",
            format!("`{name}` is a rollup that every property has"),
        )),
        false => Ok(()),
    }
}
