//! AdminService: dead letters.

use jiff::Timestamp;
use prost::Message;

use crate::enrich::Enricher;
use crate::enrich::channel::Channel;
use crate::error::ApiError;
use crate::log::Until;
use crate::log::event::LoggedEvent;
use crate::pb;
use crate::query::events::StoredEvent;
use crate::query::session::within;
use crate::store::dead_letters::{self, DeadLetter, DeadLetterList, DeadLetterPage, Selection};
use crate::validate;

use super::admin::{bad_token, decode_token, encode_token, find_property, read_page_size};
use super::convert;
use super::scope::Scope;

/// Bytes of a page, give or take a letter: clients take messages of 4 MiB unless told otherwise.
const PAGE_BYTES: usize = 3 << 20;

/// ListDeadLetters.
pub async fn list(
    scope: &Scope,
    request: pb::ListDeadLettersRequest,
) -> Result<pb::ListDeadLettersResponse, ApiError> {
    let page_size = read_page_size(request.page_size)?;
    let asked = Some(request.property.as_str()).filter(|name| !name.is_empty());
    if let Some(name) = asked {
        find_property(scope, name.to_owned(), "property").await?;
    }
    let [after] = decode_token(&request.page_token)?;
    let after = match after.as_str() {
        "" => 0,
        number => number.parse().map_err(|_| bad_token())?,
    };
    let list = DeadLetterList {
        property: asked.or(scope.only_property()),
        after,
        page_size,
        page_bytes: PAGE_BYTES,
    };
    let page = within(scope.time_limit(), async {
        Ok(dead_letters::list(&scope.core.pool, list).await?)
    })
    .await?;
    Ok(response(page, &scope.core.enricher))
}

/// ReplayDeadLetters. The caller's deadline bounds the whole; the server's own limit for questions
/// bounds each part of it, since what was replayed is done with and all may be many.
pub async fn replay(
    scope: &Scope,
    request: pb::ReplayDeadLettersRequest,
) -> Result<pb::ReplayDeadLettersResponse, ApiError> {
    let selection = read_selection(scope, request.selection).await?;
    let last = last(scope).await?;
    let (mut after, mut replayed) = (0, 0);
    loop {
        goes_on(scope)?;
        scope.core.log.check_room()?;
        let handed_over =
            dead_letters::hand_over(&scope.core.pool, &selection, after, last, async |records| {
                let appended = scope.core.log.append(records, Until::Logged);
                appended.await?.acknowledged().await.map(drop)
            });
        let Some(chunk) = within(scope.time_limit(), handed_over).await? else {
            return Ok(pb::ReplayDeadLettersResponse { replayed });
        };
        after = chunk.last;
        replayed += i64::try_from(chunk.count).unwrap_or(i64::MAX);
    }
}

/// DropDeadLetters, bounded as [`replay`] is.
pub async fn remove(
    scope: &Scope,
    request: pb::DropDeadLettersRequest,
) -> Result<pb::DropDeadLettersResponse, ApiError> {
    let selection = read_selection(scope, request.selection).await?;
    let last = last(scope).await?;
    let mut dropped = 0;
    loop {
        goes_on(scope)?;
        let part = within(scope.time_limit(), async {
            Ok(dead_letters::drop_some(&scope.core.pool, &selection, last).await?)
        })
        .await?;
        if part == 0 {
            return Ok(pb::DropDeadLettersResponse { dropped });
        }
        dropped += i64::try_from(part).unwrap_or(i64::MAX);
    }
}

/// Which dead letters are meant, among those that the caller may see.
async fn read_selection(
    scope: &Scope,
    selection: Option<pb::DeadLetterSelection>,
) -> Result<Selection, ApiError> {
    let mut selection = validate::dead_letters::selection(selection)?;
    match &selection.property {
        Some(name) => {
            find_property(scope, name.clone(), "selection.property").await?;
        }
        None => selection.property = scope.only_property().map(str::to_owned),
    }
    Ok(selection)
}

async fn last(scope: &Scope) -> Result<i64, ApiError> {
    within(scope.time_limit(), async {
        Ok(dead_letters::last(&scope.core.pool).await?)
    })
    .await
}

/// A server that stops does not wait for the last of a million letters.
fn goes_on(scope: &Scope) -> Result<(), ApiError> {
    match scope.core.draining.is_cancelled() {
        true => Err(ApiError::ShuttingDown),
        false => Ok(()),
    }
}

fn response(page: DeadLetterPage, enricher: &Enricher) -> pb::ListDeadLettersResponse {
    let mut has_more = page.has_more;
    let mut last = None;
    let mut bytes = 0;
    let mut letters = Vec::with_capacity(page.letters.len());
    for letter in page.letters {
        let number = letter.number;
        let letter = dead_letter(letter, enricher);
        // A message is larger than a record, by as much as an event's properties make it.
        bytes += letter.encoded_len();
        if bytes > PAGE_BYTES && last.is_some() {
            has_more = true;
            break;
        }
        last = Some(number);
        letters.push(letter);
    }
    let next_page_token = match last {
        Some(number) if has_more => encode_token([&number.to_string()]),
        _ => String::new(),
    };
    pb::ListDeadLettersResponse {
        dead_letters: letters,
        next_page_token,
    }
}

fn dead_letter(letter: DeadLetter, enricher: &Enricher) -> pb::DeadLetter {
    let mut reason = letter.reason;
    let event = LoggedEvent::decode(&letter.record);
    if let Err(fault) = &event {
        // It was refused for something else, and an older server shows it.
        let fault = fault.to_string();
        if !reason.contains(&fault) {
            reason = format!("{reason}; {fault}");
        }
    }
    let event = event.ok().and_then(|event| stored_event(&event, enricher));
    pb::DeadLetter {
        number: letter.number,
        property: letter.property.unwrap_or_default(),
        refuse_time: Some(convert::timestamp(letter.refused_at)),
        reason,
        event: event.map(convert::stored_event),
    }
}

/// The event of a log as it would be stored. `None` if its time or its properties cannot be.
fn stored_event(event: &LoggedEvent<'_>, enricher: &Enricher) -> Option<StoredEvent> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let [utm_source, utm_medium, utm_campaign, utm_term, utm_content] =
        event.utm.unwrap_or_default().map(owned);
    let agent = event.user_agent.map(|header| enricher.agent(header));
    let agent = agent.as_deref();
    let channel = Channel::ALL
        .into_iter()
        .find(|channel| channel.number() == event.channel)?;
    let labels = |labels: &[&str]| labels.iter().map(ToString::to_string).collect();
    let properties = event.properties.map(serde_json::from_str).transpose();
    Some(StoredEvent {
        event_id: event.event_id(),
        time: Timestamp::from_microsecond(event.time_us).ok()?,
        name: event.name.to_owned(),
        visitor_id: event.visitor_id.to_owned(),
        user_id: owned(event.user_id),
        session_id: owned(event.session_id),
        host: owned(event.host),
        path: owned(event.path),
        query: owned(event.query),
        title: owned(event.title),
        referrer: owned(event.referrer.map(|(domain, _)| domain)),
        referrer_url: owned(event.referrer.map(|(_, url)| url)),
        channel: channel.to_string(),
        utm_source,
        utm_medium,
        utm_campaign,
        utm_term,
        utm_content,
        user_agent: owned(event.user_agent),
        browser: agent.and_then(|agent| owned(agent.browser.as_deref())),
        browser_version: agent.and_then(|agent| owned(agent.browser_version.as_deref())),
        os: agent.and_then(|agent| owned(agent.os.as_deref())),
        os_version: agent.and_then(|agent| owned(agent.os_version.as_deref())),
        device: agent.map(|agent| agent.device.as_str().to_owned()),
        is_bot: event.is_bot,
        country: owned(event.country),
        language: owned(event.language),
        screen: owned(event.screen),
        ip_address: event.ip_address,
        duration_ms: event.duration_ms,
        scroll_bp: event.scroll_bp,
        page_type: owned(event.page_type),
        author: owned(event.author),
        categories: labels(&event.categories),
        tags: labels(&event.tags),
        properties: properties.ok()?,
    })
}
