//! QueryService.

use jiff::Timestamp;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::error::ApiError;
use crate::pb;
use crate::pb::server::query_service_server::QueryService;
use crate::query::events;
use crate::query::reports::Report;
use crate::query::reports::metadata::Look;
use crate::query::session::{Session, TimeLimit, within};
use crate::validate::{page_token, question, reports};

use super::answers::{self, Asked};
use super::scope::Scope;
use super::{convert, describe};

fn asked(explain: bool) -> Asked {
    Asked {
        now: Timestamp::now(),
        explain,
    }
}

/// Has a question answered, whose message has been read, from one snapshot and in the call's time.
async fn answered<R: Report>(scope: &Scope, question: &R) -> Result<R::Answer, ApiError> {
    scope.release_message();
    let limit = scope.time_limit();
    within(limit, async {
        let mut session = Session::open(&scope.core.pool, limit).await?;
        let snapshot = session.snapshot().await?;
        question.ask(&scope.core.engine, &snapshot).await
    })
    .await
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
        let request = request.into_inner();
        let asked = asked(request.explain);
        let question = question::aggregate(request, scope.property()?, asked.now)?;
        let (answer, about) = answered(&scope, &question).await?;
        Ok(Response::new(answers::aggregate(
            &question, answer, about, asked,
        )))
    }

    async fn breakdown(
        &self,
        request: Request<pb::BreakdownRequest>,
    ) -> Result<Response<pb::BreakdownResponse>, Status> {
        let scope = Scope::of(&request)?;
        let request = request.into_inner();
        let asked = asked(request.explain);
        let question = reports::breakdown(request, scope.property()?, asked.now)?;
        let (answer, about) = answered(&scope, &question).await?;
        Ok(Response::new(answers::breakdown(
            &question, answer, about, asked,
        )))
    }

    async fn overview(
        &self,
        request: Request<pb::OverviewRequest>,
    ) -> Result<Response<pb::OverviewResponse>, Status> {
        let scope = Scope::of(&request)?;
        let request = request.into_inner();
        let asked = asked(request.explain);
        let question = reports::overview(request, scope.property()?, asked.now)?;
        let (answer, about) = answered(&scope, &question).await?;
        Ok(Response::new(answers::overview(
            &question, answer, about, asked,
        )))
    }

    async fn get_metadata(
        &self,
        request: Request<pb::GetMetadataRequest>,
    ) -> Result<Response<pb::GetMetadataResponse>, Status> {
        let scope = Scope::of(&request)?;
        let property = scope.property()?;
        let seen = answered(&scope, &Look(property.property_no)).await?;
        let limit = TimeLimit(scope.core.query_timeout);
        Ok(Response::new(describe::metadata(
            property,
            seen,
            limit,
            Timestamp::now(),
        )))
    }

    async fn get_event(
        &self,
        request: Request<pb::GetEventRequest>,
    ) -> Result<Response<pb::GetEventResponse>, Status> {
        let scope = Scope::of(&request)?;
        let text = request.into_inner().event_id;
        let event_id = Uuid::try_parse(&text)
            .ok()
            .filter(|_| text.len() == 36)
            .ok_or_else(|| ApiError::invalid("event_id", "is not a UUID of 36 characters"))?;
        drop(text);
        scope.release_message();
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
        let (question, question_hash) =
            question::list_events(request.into_inner(), scope.property()?, Timestamp::now())?;
        scope.release_message();
        let limit = scope.time_limit();
        let page = within(limit, async {
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
}
