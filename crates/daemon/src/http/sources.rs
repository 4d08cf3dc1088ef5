//! `GET` and `POST /v1/sources`.

use hyper::Response;

use vigie_api::source;

use super::Desk;
use super::answer::{Body, Refusal, json, lines};
use super::requests::Post;
use crate::input::Input;

/// All sources as they stand.
pub(super) async fn show(desk: &Desk) -> Result<Response<Body>, Refusal> {
    json(&desk.ask(Input::LookAtSources).await?)
}

/// Changes one, and tells when that is durable.
pub(super) async fn change(desk: &Desk, post: Post) -> Result<Response<Body>, Refusal> {
    let visitor = post.visitor();
    let mut request: source::Request = post.read().await?;
    if let Some(visitor) = visitor {
        request.origin = visitor;
    }
    let answer = desk.ask(|reply| Input::ChangeSources { request, reply }).await?;
    let (writer, response) = lines();
    tokio::spawn(async move {
        // A client that is gone has seen enough.
        let _ = writer.write(&answer).await;
    });
    Ok(response)
}
