//! QueryService.

use std::sync::Arc;

use futures_util::FutureExt;
use jiff::Timestamp;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::domain::property::Property;
use crate::error::ApiError;
use crate::pb;
use crate::pb::server::query_service_server::QueryService;
use crate::query::cache::Answered;
use crate::query::events;
use crate::query::reports::{About, Report, metadata};
use crate::query::session::{Session, TimeLimit, within};
use crate::validate::{page_token, question, reports};

use super::answers::{self, Asked};
use super::scope::Scope;
use super::{convert, describe, realtime};

/// Reads a question, waits until the events of the freshness token are in, and has it answered: one that is
/// kept, or one of a new snapshot.
async fn ask<R: Report>(
    scope: &Scope,
    freshness_token: &str,
    asked: Asked,
    read: impl FnOnce(&Property, Timestamp) -> Result<R, ApiError>,
) -> Result<(Arc<R>, Answered<(R::Answer, About)>), ApiError> {
    let awaited = scope.freshness(freshness_token)?;
    let question = Arc::new(read(scope.property()?, asked.now)?);
    scope.until_fresh(awaited).await?;
    let key = question.key(asked.now);
    let own = Arc::clone(&question);
    let answers = &scope.core.answers;
    let answered = answers.get(key, asked.anew, scope.time_limit(), |engine, snapshot| {
        async move { own.ask(engine, snapshot).await }.boxed()
    });
    Ok((question, answered.await?))
}

/// The handlers; everything they need is in the call's scope.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query;

#[tonic::async_trait]
impl QueryService for Query {
    async fn aggregate(
        &self,
        request: Request<pb::AggregateRequest>,
    ) -> Result<Response<pb::AggregateResponse>, Status> {
        let scope = Scope::of(&request)?;
        let mut request = request.into_inner();
        let token = std::mem::take(&mut request.freshness_token);
        let asked = Asked::now(request.explain, request.no_cache);
        let read = |property: &_, now| question::aggregate(request, property, now);
        let (question, answered) = ask(&scope, &token, asked, read).await?;
        Ok(Response::new(answers::aggregate(
            &question, answered, asked,
        )))
    }

    async fn breakdown(
        &self,
        request: Request<pb::BreakdownRequest>,
    ) -> Result<Response<pb::BreakdownResponse>, Status> {
        let scope = Scope::of(&request)?;
        let mut request = request.into_inner();
        let token = std::mem::take(&mut request.freshness_token);
        let asked = Asked::now(request.explain, request.no_cache);
        let read = |property: &_, now| reports::breakdown(request, property, now);
        let (question, answered) = ask(&scope, &token, asked, read).await?;
        Ok(Response::new(answers::breakdown(
            &question, answered, asked,
        )))
    }

    async fn overview(
        &self,
        request: Request<pb::OverviewRequest>,
    ) -> Result<Response<pb::OverviewResponse>, Status> {
        let scope = Scope::of(&request)?;
        let mut request = request.into_inner();
        let token = std::mem::take(&mut request.freshness_token);
        let asked = Asked::now(request.explain, request.no_cache);
        let read = |property: &_, now| reports::overview(request, property, now);
        let (question, answered) = ask(&scope, &token, asked, read).await?;
        Ok(Response::new(answers::overview(&question, answered, asked)))
    }

    async fn get_metadata(
        &self,
        request: Request<pb::GetMetadataRequest>,
    ) -> Result<Response<pb::GetMetadataResponse>, Status> {
        let scope = Scope::of(&request)?;
        scope.release_message();
        let property = scope.property()?;
        let limit = scope.time_limit();
        let seen = within(limit, async {
            let mut session = Session::open(&scope.core.pool, limit).await?;
            let snapshot = session.snapshot().await?;
            metadata::see(&scope.core.engine, &snapshot, property.property_no).await
        })
        .await?;
        Ok(Response::new(describe::metadata(
            property,
            seen,
            TimeLimit(scope.core.query_timeout),
            Timestamp::now(),
        )))
    }

    async fn get_event(
        &self,
        request: Request<pb::GetEventRequest>,
    ) -> Result<Response<pb::GetEventResponse>, Status> {
        let scope = Scope::of(&request)?;
        let request = request.into_inner();
        let awaited = scope.freshness(&request.freshness_token)?;
        let text = request.event_id;
        let event_id = Uuid::try_parse(&text)
            .ok()
            .filter(|_| text.len() == 36)
            .ok_or_else(|| ApiError::invalid("event_id", "is not a UUID of 36 characters"))?;
        drop(text);
        scope.until_fresh(awaited).await?;
        let property_no = scope.property()?.property_no;
        let limit = scope.time_limit();
        let event = within(limit, async {
            let mut session = Session::open(&scope.core.pool, limit).await?;
            events::get(&mut session, property_no, event_id).await
        })
        .await?
        .ok_or_else(|| ApiError::NotFound {
            kind: "event",
            name: event_id.to_string(),
        })?;
        Ok(Response::new(pb::GetEventResponse {
            event: Some(convert::stored_event(event)),
        }))
    }

    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        let scope = Scope::of(&request)?;
        let request = request.into_inner();
        let awaited = scope.freshness(&request.freshness_token)?;
        let (question, question_hash) =
            question::list_events(request, scope.property()?, Timestamp::now())?;
        scope.until_fresh(awaited).await?;
        let limit = scope.time_limit();
        let page = within(limit, async {
            let _turn = scope.core.engine.turn_to_list(&question, limit).await?;
            let mut session = Session::open(&scope.core.pool, limit).await?;
            events::list(&mut session, &question).await
        })
        .await?;
        let next_page_token = match page.events.last() {
            Some(last) if page.has_more => page_token::encode(
                &page_token::Token {
                    range: question.selection.range,
                    after: last.position(),
                },
                question_hash,
            ),
            _ => String::new(),
        };
        let events = page.events.into_iter().map(convert::stored_event).collect();
        Ok(Response::new(pb::ListEventsResponse {
            events,
            next_page_token,
        }))
    }

    async fn realtime(
        &self,
        request: Request<pb::RealtimeRequest>,
    ) -> Result<Response<pb::RealtimeResponse>, Status> {
        let scope = Scope::of(&request)?;
        let answer = realtime::answer(&scope, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    type WatchRealtimeStream = realtime::Messages;

    async fn watch_realtime(
        &self,
        request: Request<pb::WatchRealtimeRequest>,
    ) -> Result<Response<Self::WatchRealtimeStream>, Status> {
        let scope = Scope::of(&request)?;
        let messages = realtime::watch(scope, request.into_inner())?;
        Ok(Response::new(messages))
    }
}
