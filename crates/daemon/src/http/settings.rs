//! `GET` and `POST /v1/settings`: settings of the whole, rules and silences.

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};

use vigie_api::settings::Change;
use vigie_core::exit_code::ExitCode;

use super::Desk;
use super::answer::{Body, Refusal, json};
use super::requests::read;
use crate::input::Input;

/// The settings of the whole.
pub(super) async fn show(desk: &Desk) -> Result<Response<Body>, Refusal> {
    json(&desk.ask(Input::LookAtSettings).await?)
}

/// Makes a change, and answers when it is stored.
pub(super) async fn change(desk: &Desk, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let change: Change = read(request).await?;
    let changed = desk.ask(|reply| Input::Change { change, reply }).await?;
    let changed = changed.map_err(|refused| {
        let status = if refused.code == ExitCode::NotFound { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
        Refusal::new(status, refused.code, refused.why)
    })?;
    json(&changed)
}
