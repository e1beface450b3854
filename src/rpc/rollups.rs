//! AdminService: rollups.

use jiff::Timestamp;

use crate::error::ApiError;
use crate::pb;
use crate::query::session::within;
use crate::rollup::describe::Described;
use crate::store::rollups::{self, NotCreated};
use crate::validate::rollup as validate;

use super::admin::{find_property, refresh};
use super::convert;
use super::scope::Scope;

/// CreateRollup.
pub async fn create(
    scope: &Scope,
    request: pb::CreateRollupRequest,
) -> Result<pb::CreateRollupResponse, ApiError> {
    let property_no = property(scope, request.property).await?;
    let known = scope.core.directory.rollups(property_no);
    let (name, dimensions) = validate::declared(request.rollup, &known)?;
    let created = rollups::create(&scope.core.pool, property_no, &name, &dimensions).await?;
    if let Err(reason) = created {
        return Err(match reason {
            NotCreated::Exists => ApiError::AlreadyExists {
                kind: "rollup",
                name,
            },
            NotCreated::TooMany => ApiError::invalid(
                "rollup",
                format!(
                    "the property has {} declared rollups, which is the most; drop one first",
                    rollups::MAX_DECLARED
                ),
            ),
        });
    }
    refresh(scope).await?;
    let described = describe(scope, property_no).await?;
    let found = described.into_iter().find(|one| one.name == name);
    Ok(pb::CreateRollupResponse {
        rollup: found.map(response),
    })
}

/// ListRollups.
pub async fn list(
    scope: &Scope,
    request: pb::ListRollupsRequest,
) -> Result<pb::ListRollupsResponse, ApiError> {
    let property_no = property(scope, request.property).await?;
    let described = describe(scope, property_no).await?;
    Ok(pb::ListRollupsResponse {
        rollups: described.into_iter().map(response).collect(),
    })
}

/// DeleteRollup.
pub async fn delete(
    scope: &Scope,
    request: pb::DeleteRollupRequest,
) -> Result<pb::DeleteRollupResponse, ApiError> {
    let property_no = property(scope, request.property).await?;
    validate::not_built_in(&request.name)?;
    if !rollups::delete(&scope.core.pool, property_no, &request.name).await? {
        return Err(ApiError::NotFound {
            kind: "rollup",
            name: request.name,
        });
    }
    refresh(scope).await?;
    Ok(pb::DeleteRollupResponse {})
}

/// The property that is meant, by number.
async fn property(scope: &Scope, name: String) -> Result<i32, ApiError> {
    let name = match (name.is_empty(), scope.only_property()) {
        (true, Some(own)) => own.to_owned(),
        (true, None) => {
            return Err(ApiError::invalid(
                "property",
                "is absent; a server-wide admin key has to say which",
            ));
        }
        (false, _) => name,
    };
    let found = find_property(scope, name, "property").await?;
    let known = scope.core.directory.property(&found.name).await;
    let known = known.ok_or(ApiError::NotFound {
        kind: "property",
        name: found.name,
    })?;
    Ok(known.property_no)
}

async fn describe(scope: &Scope, property_no: i32) -> Result<Vec<Described>, ApiError> {
    within(scope.time_limit(), async {
        let described = rollups::describe(&scope.core.pool, property_no).await?;
        Ok(described)
    })
    .await
}

fn response(described: Described) -> pb::PropertyRollup {
    let progress = described.progress(Timestamp::now());
    pb::PropertyRollup {
        name: described.name,
        dimensions: described.dimensions,
        built_in: described.is_built_in,
        progress,
        covered_since: described.covered_since.map(convert::timestamp),
        bytes: i64::try_from(described.bytes).unwrap_or(i64::MAX),
        failure: described.failure.unwrap_or_default(),
    }
}
