//! QueryService.

use std::sync::Arc;

use futures_util::FutureExt;
use jiff::Timestamp;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::error::ApiError;
use crate::pb;
use crate::pb::server::query_service_server::QueryService;
use crate::query::cache::key::Key;
use crate::query::events;
use crate::query::session::{Session, within};
use crate::validate::{page_token, question};

use super::scope::Scope;
use super::{convert, realtime};

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
        let request = request.into_inner();
        let awaited = scope.freshness(&request.freshness_token)?;
        let (now, anew) = (Timestamp::now(), request.no_cache);
        let question = question::aggregate(request, scope.property()?, now)?;
        scope.until_fresh(awaited).await?;
        let key = Key::of("aggregate", question.selection.property_no)
            .question(&question, now)
            .done();
        let question = Arc::new(question);
        let asked = Arc::clone(&question);
        let answered = scope
            .core
            .answers
            .get(key, anew, scope.time_limit(), |engine, snapshot| {
                async move { engine.aggregate(snapshot, &asked).await }.boxed()
            });
        let answered = answered.await?;
        Ok(Response::new(convert::aggregate_response(
            &question, answered, now,
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
