//! The API over the user's Unix socket, and over loopback TCP when somebody asked for it (R12.1, R12.4). The shapes are
//! those of [`vigie_api`].
//!
//! A connection is a task. At the Unix socket only the same user and root may speak: the folder lets nobody else through,
//! and the kernel says who it is all the same. At a port a token is asked for ([`guard`]). Everything is bounded:
//! connections, the time for a request's head and for its body, the size of either, what waits for a client that does not
//! read. What is served where stands in one table ([`routes`]); the description of the API is made of it ([`openapi`]).

mod access;
mod answer;
mod events;
mod exposition;
mod filter;
mod follow;
mod guard;
mod openapi;
mod port;
mod query;
mod requests;
mod routes;
mod samples;
mod sessions;
mod settings;
mod sources;
mod status;
mod stream;
mod views;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use vigie_api::access::Right;
use vigie_api::report;
use vigie_core::exit_code::ExitCode;

use crate::access::Access;
use crate::input::Input;
use crate::ledger::Lines;
use crate::log::Log;
use crate::look::Ports;
use answer::{Body, Refusal, json};
pub(crate) use follow::Imports;
use follow::Stay;
use guard::Door;
pub use openapi::DOCUMENT as OPENAPI;
pub(crate) use port::{VISITORS, open as open_port};
use query::Query;
use routes::{Operation, ROUTES, Route};
pub(crate) use stream::Streams;

/// How many may be connected at once to the Unix socket.
pub(crate) const CONNECTIONS: usize = 512;

/// How long the head of a request may take, the wait for the first included.
const HEAD: Duration = Duration::from_secs(10);

/// What is read of a connection before anybody looks at it, in bytes; where a head is larger, hyper refuses it.
const BUFFER: usize = 64 << 10;

/// What the answers need.
pub(crate) struct Desk {
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) lines: Lines,
    pub(crate) about: report::Daemon,
    /// The folder with those of all services.
    pub(crate) services: PathBuf,
    /// The folder of the journal.
    pub(crate) state: PathBuf,
    /// The folder of the settings.
    pub(crate) config: PathBuf,
    pub(crate) ports: Arc<Mutex<Ports>>,
    pub(crate) access: Access,
    /// A place for each of [`VISITORS`], who came by the port.
    pub(crate) visitors: Arc<Semaphore>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) imports: Imports,
    /// Becomes true when the daemon ends: streams end first.
    pub(crate) ending: watch::Receiver<bool>,
    pub(crate) log: Log,
}

/// Serves until the task is ended. `places` has one for each of [`CONNECTIONS`]; it tells whether any is open.
pub(crate) async fn serve(listener: UnixListener, desk: Arc<Desk>, places: Arc<Semaphore>) {
    loop {
        // The queue of the socket waits as long as nobody leaves.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    if is_allowed(&stream) {
                        let over = std::future::pending();
                        converse(stream, desk, Door::Socket, over).await;
                    }
                    drop(place);
                });
            }
            Err(error) => not_accepted(&desk, &error).await,
        }
    }
}

/// Too many open files, mostly: somebody has to close some first.
async fn not_accepted(desk: &Desk, error: &std::io::Error) {
    desk.log.line(&format!("a connection could not be accepted: {error}"));
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn is_allowed(stream: &UnixStream) -> bool {
    vigie_os::socket::peer(stream).is_ok_and(|peer| peer.uid == 0 || peer.uid == vigie_os::user::uid())
}

/// Serves a connection until it ends; `over`: the answer under way is its last, as it is when the daemon ends.
async fn converse<S>(stream: S, desk: Arc<Desk>, door: Door, over: impl Future<Output = ()>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut ending = desk.ending.clone();
    let service = service_fn(move |request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, std::convert::Infallible>(route(request, &desk, door).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // What goes wrong on a connection concerns the one at its other end.
        _ = connection.as_mut() => return,
        _ = ending.wait_for(|ending| *ending) => {}
        () = over => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

async fn route(request: Request<Incoming>, desk: &Arc<Desk>, door: Door) -> Response<Body> {
    let mut response = answer(request, desk, door).await.unwrap_or_else(Refusal::into_response);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}

async fn answer(request: Request<Incoming>, desk: &Arc<Desk>, door: Door) -> Result<Response<Body>, Refusal> {
    guard::check_form(&request)?;
    let pass = match door {
        Door::Socket => None,
        Door::Port(address) => Some(guard::admit(&request, address, &desk.access)?),
    };
    let route = find(&request)?;
    if route.right() == Right::Act && pass.as_ref().is_some_and(|pass| pass.right == Right::Read) {
        let message = "this token allows to look, not to act";
        return Err(Refusal::new(StatusCode::FORBIDDEN, ExitCode::NotPermitted, message).closing());
    }
    let token = pass.as_ref().map(|pass| pass.token.clone());
    let stay = Stay::new(&desk.ending, pass.map(|pass| (pass, desk.access.clone())));
    perform(requests::Post { request, route, door, token }, desk, stay).await
}

/// The route of a request. Paths are compared as they are written: there is no other way to write one. `HEAD` is `GET`, of
/// whose answer hyper leaves away the body.
fn find<B>(request: &Request<B>) -> Result<&'static Route, Refusal> {
    let path = request.uri().path();
    let here = || ROUTES.iter().filter(|route| route.path == path);
    let method = if request.method() == Method::HEAD { Method::GET.as_str() } else { request.method().as_str() };
    if let Some(route) = here().find(|route| route.method.name() == method) {
        return Ok(route);
    }
    let mut methods: Vec<&str> = here().map(|route| route.method.name()).collect();
    if methods.is_empty() {
        let message = vigie_api::path::nothing_at(path);
        return Err(Refusal::new(StatusCode::NOT_FOUND, ExitCode::NotFound, message).closing());
    }
    if let Some(get) = methods.iter().position(|method| *method == Method::GET.as_str()) {
        methods.insert(get + 1, Method::HEAD.as_str());
    }
    let methods = methods.join(", ");
    let message = format!("{path} knows {methods}, not {}", request.method());
    Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, ExitCode::Usage, message).with(ALLOW, &methods).closing())
}

async fn perform(post: requests::Post, desk: &Arc<Desk>, stay: Stay) -> Result<Response<Body>, Refusal> {
    let (request, route) = (&post.request, post.route);
    let query = Query::of(request, route.parameters.iter().map(|parameter| parameter.name))?;
    match route.operation {
        Operation::Daemon => json(&desk.about),
        Operation::Status => status::report(desk, &query).await,
        Operation::Projects => status::projects(desk).await,
        Operation::Events => events::stream(desk, &query, stay).await,
        Operation::Stream => stream::open(desk, &query, &post.request, stay).await,
        Operation::Incidents => views::incidents(desk, &query).await,
        Operation::Rules => views::rules(desk).await,
        Operation::Channels => views::channels(desk).await,
        Operation::Silences => views::silences(desk).await,
        Operation::Samples => samples::report(desk, &query).await,
        Operation::FlushSamples => samples::flush(desk, post).await,
        Operation::WatchSamples => samples::watch(desk, post).await,
        Operation::Containers => views::containers(desk).await,
        Operation::Sources => sources::show(desk).await,
        Operation::ChangeSources => sources::change(desk, post).await,
        Operation::Settings => settings::show(desk).await,
        Operation::ChangeSettings => settings::change(desk, post).await,
        Operation::Request => requests::stream(desk, post, stay).await,
        Operation::OpenSession => sessions::stream(desk, &query, post, stay).await,
        Operation::Access => json(&desk.access.show()),
        Operation::ChangeAccess => access::change(desk, post).await,
        Operation::OpenApi => Ok(answer::text("application/json", openapi::DOCUMENT)),
        Operation::Metrics => exposition::metrics(desk, &post.request).await,
    }
}

impl Desk {
    /// Puts a question into the queue and waits for its answer.
    async fn ask<A>(&self, input: impl FnOnce(oneshot::Sender<A>) -> Input) -> Result<A, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.put(input(reply)).await?;
        answer.await.map_err(|_| Refusal::ending())
    }

    async fn put(&self, input: Input) -> Result<(), Refusal> {
        self.inputs.send(input).await.map_err(|_| Refusal::ending())
    }
}

#[cfg(test)]
mod tests;
