//! `GET` what is kept in the database: incidents, rules, channels, silences, containers.

use hyper::Response;
use serde::Serialize;

use vigie_os::clock;

use super::Desk;
use super::answer::{Body, Refusal, json};
use super::query::Query;
use crate::aside::off_thread;
use crate::views;

/// Incidents that are open, or more of them.
pub(super) async fn incidents(desk: &Desk, query: &Query) -> Result<Response<Body>, Refusal> {
    let (all, since) = (query.flag("all")?, query.time("since")?);
    let state = desk.state.clone();
    show(move || views::incidents(&state, all, since, true)).await
}

/// All rules.
pub(super) async fn rules(desk: &Desk) -> Result<Response<Body>, Refusal> {
    let state = desk.state.clone();
    show(move || {
        let rules = views::rules(&state)?;
        Ok::<_, vigie_store::Error>(views::shown_rules(&rules, &rules.ids()))
    })
    .await
}

/// All channels.
pub(super) async fn channels(desk: &Desk) -> Result<Response<Body>, Refusal> {
    let (config, state) = (desk.config.clone(), desk.state.clone());
    show(move || views::channels(&config, &state)).await
}

/// The silences that are not over.
pub(super) async fn silences(desk: &Desk) -> Result<Response<Body>, Refusal> {
    let state = desk.state.clone();
    show(move || Ok::<_, vigie_store::Error>(views::shown_silences(&views::silences(&state, clock::now().wall)?))).await
}

/// The containers of all sources.
pub(super) async fn containers(desk: &Desk) -> Result<Response<Body>, Refusal> {
    let state = desk.state.clone();
    show(move || views::containers(&state)).await
}

async fn show<T: Serialize + Send + 'static, E: std::fmt::Display + Send + 'static>(
    read: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<Response<Body>, Refusal> {
    json(&off_thread(read).await.map_err(Refusal::internal)?.map_err(Refusal::internal)?)
}
