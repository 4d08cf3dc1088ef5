//! The paths of the API. Queries are written behind them as `?key=value&…`; `docs/openapi.json` has them all.

/// `GET`: who the daemon is ([`crate::report::Daemon`]).
pub const DAEMON: &str = "/v1/daemon";

/// `GET`: what runs ([`crate::status::Report`]). `?watch=1`: somebody looks at it again and again, so it is measured
/// every second for the next ten seconds.
pub const STATUS: &str = "/v1/status";

/// `POST` a [`vigie_core::supervisor::Request`]: a stream of the entries of the services that it is about, and at last
/// its outcome. Closing the connection does not cancel the request.
pub const REQUESTS: &str = "/v1/requests";

/// `POST` a [`crate::report::SessionOpened`]: a stream that first tells the number of the session, then the entries of
/// its services. When the connection closes, the session ends. `?resume=N`: take up session N of an earlier daemon.
pub const SESSIONS: &str = "/v1/sessions";

/// `GET`: journal entries, one a line. `?after=N`: those with a higher number; `?since=TIME` and `?until=TIME`: by time, in
/// nanoseconds of UTC since 1970 or as RFC 3339; `?target=…` and `?kind=…`: only such; `?limit=N`: the last N of them;
/// `?follow=1`: then those that follow, without end.
pub const EVENTS: &str = "/v1/events";

/// `GET`: journal entries as they become durable, as server-sent events ([`crate::stream`]). `?after=N`, or the header
/// `Last-Event-ID`: first those with a higher number; `?target=…` and `?kind=…`: only such.
pub const STREAM: &str = "/v1/stream";

/// `GET`: the projects that the daemon knows ([`crate::report::Projects`]).
pub const PROJECTS: &str = "/v1/projects";

/// `GET`: what was measured ([`crate::metrics::Report`]).
pub const SAMPLES: &str = "/v1/samples";

/// `POST`: the samples that were taken until now are stored, so that whoever reads them sees the last. Answered with
/// [`crate::metrics::Flushed`] when they are.
pub const FLUSH_SAMPLES: &str = "/v1/samples/flush";
/// `POST` a [`crate::source::Watch`]: containers that somebody looks at. Answered with [`crate::source::Watched`].
pub const WATCH_SAMPLES: &str = "/v1/samples/watch";

/// `GET`: incidents ([`crate::incidents::Report`]). `?all=1`: also those that are over; `?since=TIME`: that were open then.
pub const INCIDENTS: &str = "/v1/incidents";

/// `GET`: the rules ([`crate::incidents::Rules`]).
pub const RULES: &str = "/v1/rules";

/// `GET`: the channels, without what is secret in their URLs ([`crate::incidents::Channels`]).
pub const CHANNELS: &str = "/v1/channels";

/// `GET`: the silences that are not over ([`crate::incidents::Silences`]).
pub const SILENCES: &str = "/v1/silences";

/// `GET`: the settings of the whole ([`crate::settings::Report`]). `POST` a [`crate::settings::Change`]: its outcome
/// ([`crate::settings::Changed`]), once it is stored.
pub const SETTINGS: &str = "/v1/settings";

/// `GET`: the sources ([`crate::source::Sources`]). `POST` a [`crate::source::Request`]: one line, a
/// [`crate::source::Answer`].
pub const SOURCES: &str = "/v1/sources";

/// `GET`: the containers of all sources as they were last known ([`crate::containers::Containers`]).
pub const CONTAINERS: &str = "/v1/containers";

/// `GET`: where the API is served, and to whom ([`crate::access::Access`]). `POST` a [`crate::access::Request`], over the
/// Unix socket only: the same, as it is then.
pub const ACCESS: &str = "/v1/access";

/// `GET`: the description of all this (OpenAPI 3.1).
pub const OPENAPI: &str = "/v1/openapi.json";

/// `GET`: numbers for Prometheus.
pub const METRICS: &str = "/metrics";

/// What is said of a path that is none.
pub fn nothing_at(path: &str) -> String {
    format!("there is nothing at {path}; what there is, {OPENAPI} describes")
}

/// The largest body that is taken, in bytes.
pub const BODY_LIMIT: usize = 1 << 20;

/// The largest body of [`REQUESTS`] over the Unix socket, in bytes: a manifest of a thousand services, each with its
/// environment, is below it.
pub const MANIFEST_LIMIT: usize = 8 << 20;

/// The longest path with its query, in bytes.
pub const TARGET_LIMIT: usize = 8 << 10;

/// The largest headers, names and values together, in bytes.
pub const HEAD_LIMIT: usize = 32 << 10;
