//! `POST /v1/samples/flush` and `POST /v1/samples/watch`.

use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};

use vigie_api::SCHEMA;
use vigie_api::metrics::Flushed;
use vigie_api::source::Watch;

use super::answer::{Body, Refusal, json};
use super::{Desk, requests};
use crate::input::Input;

/// A disk that takes longer is not waited for: what is stored can be read all the same.
const PATIENCE: Duration = Duration::from_secs(2);

/// Has stored what was measured until now.
pub(super) async fn flush(desk: &Desk) -> Result<Response<Body>, Refusal> {
    // Where there is no room in the queue of the thread that writes, the answer does not come.
    let stored = tokio::time::timeout(PATIENCE, desk.ask(Input::Flush)).await;
    json(&Flushed { schema: SCHEMA, stored: matches!(stored, Ok(Ok(()))) })
}

/// Somebody looks at containers.
pub(super) async fn watch(desk: &Desk, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let watch: Watch = requests::read(request).await?;
    desk.put(Input::WatchContainers(watch)).await?;
    json(&serde_json::json!({ "schema": SCHEMA }))
}
