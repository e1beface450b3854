//! AdminService.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use tonic::{Request, Response, Status};

use crate::domain::key::Key;
use crate::domain::time_range::{EARLIEST_US, LATEST_US};
use crate::error::ApiError;
use crate::pb;
use crate::pb::server::admin_service_server::AdminService;
use crate::store::keys::{self, Created, KeyList};
use crate::store::{StoreError, properties};
use crate::validate::property as validate;
use crate::validate::question::page_size;
use crate::validate::rules::{Violations, excerpt};

use super::scope::Scope;
use super::{convert, dead_letters, rollups};

/// Entries a page when the request does not say.
const DEFAULT_PAGE_SIZE: i32 = 100;

/// The handlers; everything they need is in the call's scope.
#[derive(Debug, Clone, Copy, Default)]
pub struct Admin;

#[tonic::async_trait]
impl AdminService for Admin {
    async fn create_property(
        &self,
        request: Request<pb::CreatePropertyRequest>,
    ) -> Result<Response<pb::CreatePropertyResponse>, Status> {
        let scope = Scope::of(&request)?;
        if scope.only_property().is_some() {
            return Err(ApiError::KeyNotAllowed {
                needs: "a server-wide admin key",
            }
            .into());
        }
        let property = required(request.into_inner().property, "property")?;
        let (name, settings) = validate::create(property)?;
        let created = properties::create(&scope.core.pool, &name, &settings)
            .await
            .map_err(ApiError::from)?
            .ok_or(ApiError::AlreadyExists {
                kind: "property",
                name,
            })?;
        refresh(&scope).await?;
        let property = Some(convert::property(created));
        Ok(Response::new(pb::CreatePropertyResponse { property }))
    }

    async fn get_property(
        &self,
        request: Request<pb::GetPropertyRequest>,
    ) -> Result<Response<pb::GetPropertyResponse>, Status> {
        let scope = Scope::of(&request)?;
        let property = find_property(&scope, request.into_inner().name, "name").await?;
        let property = Some(convert::property(property));
        Ok(Response::new(pb::GetPropertyResponse { property }))
    }

    async fn list_properties(
        &self,
        request: Request<pb::ListPropertiesRequest>,
    ) -> Result<Response<pb::ListPropertiesResponse>, Status> {
        let scope = Scope::of(&request)?;
        let request = request.into_inner();
        let size = read_page_size(request.page_size)?;
        let [after] = decode_token(&request.page_token)?;
        let mut found = properties::list(
            &scope.core.pool,
            scope.only_property(),
            &after,
            size as i64 + 1,
        )
        .await
        .map_err(ApiError::from)?;
        let has_more = found.len() > size;
        found.truncate(size);
        let next_page_token = match found.last() {
            Some(last) if has_more => encode_token([&last.name]),
            _ => String::new(),
        };
        let properties = found.into_iter().map(convert::property).collect();
        Ok(Response::new(pb::ListPropertiesResponse {
            properties,
            next_page_token,
        }))
    }

    async fn update_property(
        &self,
        request: Request<pb::UpdatePropertyRequest>,
    ) -> Result<Response<pb::UpdatePropertyResponse>, Status> {
        let scope = Scope::of(&request)?;
        let request = request.into_inner();
        let update = required(request.property, "property")?;
        let current = find_property(&scope, update.name.clone(), "property.name").await?;
        let (settings, fields) = validate::update(update, request.update_mask)?;
        let updated = properties::update(&scope.core.pool, &current.name, &settings, &fields)
            .await
            .map_err(ApiError::from)?
            .ok_or(ApiError::NotFound {
                kind: "property",
                name: current.name,
            })?;
        refresh(&scope).await?;
        let property = Some(convert::property(updated));
        Ok(Response::new(pb::UpdatePropertyResponse { property }))
    }

    async fn create_key(
        &self,
        request: Request<pb::CreateKeyRequest>,
    ) -> Result<Response<pb::CreateKeyResponse>, Status> {
        let scope = Scope::of(&request)?;
        let (kind, property, label) = validate::create_key(request.into_inner())?;
        match (scope.only_property(), &property) {
            (Some(own), Some(name)) if own != name => return Err(no_property(name).into()),
            (Some(_), None) => return Err(ApiError::invalid("property", "is empty").into()),
            _ => {}
        }
        let key = Key::generate(kind);
        let created = keys::create(&scope.core.pool, &key, property.as_deref(), &label)
            .await
            .map_err(ApiError::from)?;
        let description = match created {
            Created::Key(description) => description,
            Created::NoSuchProperty => {
                return Err(no_property(&property.unwrap_or_default()).into());
            }
            // 62^12 public parts: this does not happen to a random one.
            Created::IdTaken => return Err(ApiError::Internal.into()),
        };
        refresh(&scope).await?;
        Ok(Response::new(pb::CreateKeyResponse {
            key: Some(convert::key(description)),
            secret: key.reveal().to_owned(),
        }))
    }

    async fn list_keys(
        &self,
        request: Request<pb::ListKeysRequest>,
    ) -> Result<Response<pb::ListKeysResponse>, Status> {
        let scope = Scope::of(&request)?;
        let request = request.into_inner();
        let size = read_page_size(request.page_size)?;
        let asked = Some(request.property.as_str()).filter(|name| !name.is_empty());
        if let Some(name) = asked {
            find_property(&scope, name.to_owned(), "property").await?;
        }
        let [after_us, after_id] = decode_token(&request.page_token)?;
        let after = match after_us.as_str() {
            "" => None,
            // Beyond these is no key, and at some point nothing that the database can take.
            us => Some(
                us.parse()
                    .ok()
                    .filter(|us| (EARLIEST_US..LATEST_US).contains(us))
                    .and_then(|us| Timestamp::from_microsecond(us).ok())
                    .ok_or_else(bad_token)?,
            ),
        };
        let after = after.map(|time| (time, after_id.as_str()));
        let list = KeyList {
            property: asked.or(scope.only_property()),
            include_revoked: request.include_revoked,
            after,
            count: size as i64 + 1,
        };
        let mut found = keys::list(&scope.core.pool, list)
            .await
            .map_err(ApiError::from)?;
        let has_more = found.len() > size;
        found.truncate(size);
        let next_page_token = match found.last() {
            Some(last) if has_more => {
                encode_token([&last.created_at.as_microsecond().to_string(), &last.key_id])
            }
            _ => String::new(),
        };
        let keys = found.into_iter().map(convert::key).collect();
        Ok(Response::new(pb::ListKeysResponse {
            keys,
            next_page_token,
        }))
    }

    async fn revoke_key(
        &self,
        request: Request<pb::RevokeKeyRequest>,
    ) -> Result<Response<pb::RevokeKeyResponse>, Status> {
        let scope = Scope::of(&request)?;
        let key_id = request.into_inner().key_id;
        if key_id.is_empty() {
            return Err(ApiError::invalid("key_id", "0 bytes, need a key's public part").into());
        }
        if key_id.contains('\0') {
            return Err(ApiError::invalid("key_id", "contains a NUL character").into());
        }
        let revoked = keys::revoke(&scope.core.pool, &key_id, scope.only_property())
            .await
            .map_err(ApiError::from)?
            .ok_or_else(|| ApiError::NotFound {
                kind: "key",
                name: excerpt(&key_id, 64),
            })?;
        refresh(&scope).await?;
        Ok(Response::new(pb::RevokeKeyResponse {
            key: Some(convert::key(revoked)),
        }))
    }

    async fn list_dead_letters(
        &self,
        request: Request<pb::ListDeadLettersRequest>,
    ) -> Result<Response<pb::ListDeadLettersResponse>, Status> {
        let scope = Scope::of(&request)?;
        let listed = dead_letters::list(&scope, request.into_inner()).await?;
        Ok(Response::new(listed))
    }

    async fn replay_dead_letters(
        &self,
        request: Request<pb::ReplayDeadLettersRequest>,
    ) -> Result<Response<pb::ReplayDeadLettersResponse>, Status> {
        let scope = Scope::of(&request)?;
        let replayed = dead_letters::replay(&scope, request.into_inner()).await?;
        Ok(Response::new(replayed))
    }

    async fn create_rollup(
        &self,
        request: Request<pb::CreateRollupRequest>,
    ) -> Result<Response<pb::CreateRollupResponse>, Status> {
        let scope = Scope::of(&request)?;
        let created = rollups::create(&scope, request.into_inner()).await?;
        Ok(Response::new(created))
    }

    async fn list_rollups(
        &self,
        request: Request<pb::ListRollupsRequest>,
    ) -> Result<Response<pb::ListRollupsResponse>, Status> {
        let scope = Scope::of(&request)?;
        let listed = rollups::list(&scope, request.into_inner()).await?;
        Ok(Response::new(listed))
    }

    async fn delete_rollup(
        &self,
        request: Request<pb::DeleteRollupRequest>,
    ) -> Result<Response<pb::DeleteRollupResponse>, Status> {
        let scope = Scope::of(&request)?;
        let deleted = rollups::delete(&scope, request.into_inner()).await?;
        Ok(Response::new(deleted))
    }

    async fn drop_dead_letters(
        &self,
        request: Request<pb::DropDeadLettersRequest>,
    ) -> Result<Response<pb::DropDeadLettersResponse>, Status> {
        let scope = Scope::of(&request)?;
        let dropped = dead_letters::remove(&scope, request.into_inner()).await?;
        Ok(Response::new(dropped))
    }
}

fn required<T>(value: Option<T>, field: &str) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::invalid(field, "is absent"))
}

fn no_property(name: &str) -> ApiError {
    ApiError::NotFound {
        kind: "property",
        name: excerpt(name, 64),
    }
}

/// The property of that name, if the caller may know of it.
pub(super) async fn find_property(
    scope: &Scope,
    name: String,
    field: &str,
) -> Result<properties::PropertyDescription, ApiError> {
    if !validate::is_name(&name) {
        return Err(ApiError::invalid(field, "is not the name of a property"));
    }
    if scope.only_property().is_some_and(|own| own != name) {
        return Err(no_property(&name));
    }
    let found = properties::get(&scope.core.pool, &name).await?;
    found.ok_or_else(|| no_property(&name))
}

/// This server knows of the change at once; others within the directory's refresh.
pub(super) async fn refresh(scope: &Scope) -> Result<(), ApiError> {
    scope
        .core
        .directory
        .refresh()
        .await
        .map_err(|error: StoreError| error.into())
}

pub(super) fn read_page_size(size: i32) -> Result<usize, ApiError> {
    let mut violations = Violations::default();
    let size = page_size(size, DEFAULT_PAGE_SIZE, &mut violations);
    violations.finish_call(size)
}

/// Tokens are the key of the last entry; separated by U+001F, which none contains.
pub(super) fn encode_token<const N: usize>(parts: [&str; N]) -> String {
    URL_SAFE_NO_PAD.encode(parts.join("\u{1f}"))
}

pub(super) fn decode_token<const N: usize>(token: &str) -> Result<[String; N], ApiError> {
    if token.is_empty() {
        return Ok(std::array::from_fn(|_| String::new()));
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad_token())?;
    let text = String::from_utf8(bytes).map_err(|_| bad_token())?;
    if text.contains('\0') {
        return Err(bad_token());
    }
    let parts: Vec<String> = text.split('\u{1f}').map(str::to_owned).collect();
    let parts: [String; N] = parts.try_into().map_err(|_| bad_token())?;
    // Every part of a token says something, or the list would begin anew.
    if parts.iter().any(String::is_empty) {
        return Err(bad_token());
    }
    Ok(parts)
}

pub(super) fn bad_token() -> ApiError {
    ApiError::invalid("page_token", "is not one of this list's")
}
