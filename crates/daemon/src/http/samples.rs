//! `POST /v1/samples/flush`.

use std::time::Duration;

use hyper::Response;

use vigie_api::SCHEMA;
use vigie_api::metrics::Flushed;

use super::Desk;
use super::answer::{Body, Refusal, json};
use crate::input::Input;

/// A disk that takes longer is not waited for: what is stored can be read all the same.
const PATIENCE: Duration = Duration::from_secs(2);

/// Has stored what was measured until now.
pub(super) async fn flush(desk: &Desk) -> Result<Response<Body>, Refusal> {
    // Where there is no room in the queue of the thread that writes, the answer does not come.
    let stored = tokio::time::timeout(PATIENCE, desk.ask(Input::Flush)).await;
    json(&Flushed { schema: SCHEMA, stored: matches!(stored, Ok(Ok(()))) })
}
