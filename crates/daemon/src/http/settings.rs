//! `GET` and `POST /v1/settings`: settings of the whole, rules and silences.

use hyper::Response;

use vigie_api::settings::Change;

use super::Desk;
use super::answer::{Body, Refusal, json};
use super::requests::Post;
use crate::input::Input;

/// The settings of the whole.
pub(super) async fn show(desk: &Desk) -> Result<Response<Body>, Refusal> {
    json(&desk.ask(Input::LookAtSettings).await?)
}

/// Makes a change, and answers when it is stored.
pub(super) async fn change(desk: &Desk, post: Post) -> Result<Response<Body>, Refusal> {
    let change: Change = post.read().await?;
    let changed = desk.ask(|reply| Input::Change { change, reply }).await?;
    json(&changed?)
}
