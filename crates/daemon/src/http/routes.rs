//! All routes: what is served, to whom, with which parameters. The server follows this table, and `docs/openapi.json` is
//! made of it.

use hyper::StatusCode;

use vigie_api::access::Right;
use vigie_api::path;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Daemon,
    Status,
    Projects,
    Events,
    Stream,
    Incidents,
    Rules,
    Channels,
    Silences,
    Samples,
    FlushSamples,
    WatchSamples,
    Containers,
    Sources,
    ChangeSources,
    Settings,
    ChangeSettings,
    Request,
    OpenSession,
    Access,
    ChangeAccess,
    OpenApi,
    Metrics,
}

/// By which method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

impl Method {
    /// As a request names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// One route. What nobody needs who serves it is for the description alone.
#[derive(Clone, Copy)]
#[cfg_attr(not(test), expect(dead_code, reason = "the description is made by a test"))]
pub(super) struct Route {
    pub(super) operation: Operation,
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// One line for people.
    pub(super) about: &'static str,
    pub(super) parameters: &'static [Parameter],
    /// The largest body that is taken, in bytes; absent: there is none.
    pub(super) body: Option<usize>,
    /// Statuses other than those that any route may answer with.
    pub(super) refusals: &'static [StatusCode],
}

impl Route {
    /// What one must be allowed to do.
    pub(super) fn right(&self) -> Right {
        match self.method {
            Method::Get => Right::Read,
            Method::Post => Right::Act,
        }
    }
}

/// A name that may stand in the query.
#[cfg_attr(not(test), expect(dead_code, reason = "the description is made by a test"))]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// It may stand there several times.
    pub(super) many: bool,
    pub(super) about: &'static str,
}

/// What the value of a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Flag,
    Time,
    Duration,
    Target,
    Event,
    Metric,
}

const fn one(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
    Parameter { name, kind, many: false, about }
}

const fn many(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
    Parameter { name, kind, many: true, about }
}

const TARGET: Parameter =
    many("target", Kind::Target, "Only entries about these: a service, container:NAME, source:NAME.");
const KIND: Parameter = many("kind", Kind::Event, "Only entries of these kinds.");

const fn get(operation: Operation, path: &'static str, about: &'static str) -> Route {
    asking(operation, path, about, &[])
}

const fn asking(
    operation: Operation,
    path: &'static str,
    about: &'static str,
    parameters: &'static [Parameter],
) -> Route {
    Route { operation, method: Method::Get, path, about, parameters, body: None, refusals: &[] }
}

const fn post(operation: Operation, path: &'static str, about: &'static str) -> Route {
    let body = Some(path::BODY_LIMIT);
    Route { operation, method: Method::Post, path, about, parameters: &[], body, refusals: &[] }
}

/// They, by path.
pub(super) static ROUTES: [Route; 23] = [
    get(Operation::Daemon, path::DAEMON, "Who the daemon is."),
    asking(
        Operation::Status,
        path::STATUS,
        "What runs.",
        &[one("watch", Kind::Flag, "Somebody looks again and again: measure every second for the next ten seconds.")],
    ),
    get(Operation::Projects, path::PROJECTS, "The projects that the daemon knows."),
    asking(
        Operation::Events,
        path::EVENTS,
        "Entries of the journal, one JSON object a line.",
        &[
            one("after", Kind::Number, "Only entries with a higher number."),
            one("since", Kind::Time, "Only entries from then on."),
            one("until", Kind::Time, "Only entries until then."),
            one("limit", Kind::Number, "Only the last so many."),
            one("follow", Kind::Flag, "Then those that follow, without end."),
            TARGET,
            KIND,
        ],
    ),
    Route {
        refusals: &[StatusCode::SERVICE_UNAVAILABLE],
        ..asking(
            Operation::Stream,
            path::STREAM,
            "Entries of the journal as they become durable, as server-sent events.",
            &[
                one("after", Kind::Number, "First those with a higher number; the header Last-Event-ID wins."),
                TARGET,
                KIND,
            ],
        )
    },
    asking(
        Operation::Incidents,
        path::INCIDENTS,
        "Incidents that are open.",
        &[
            one("all", Kind::Flag, "Also all that are over."),
            one("since", Kind::Time, "Also those that were over since then."),
        ],
    ),
    get(Operation::Rules, path::RULES, "The rules by which incidents are found."),
    get(Operation::Channels, path::CHANNELS, "The channels to which incidents are told, without their secrets."),
    get(Operation::Silences, path::SILENCES, "The silences that are not over."),
    asking(
        Operation::Samples,
        path::SAMPLES,
        "What was measured.",
        &[
            many(
                "target",
                Kind::Target,
                "Only of these: a service, container:NAME, source:NAME; absent: of all that were measured in this time.",
            ),
            one("since", Kind::Time, "From then on; absent: for 15 minutes."),
            one("until", Kind::Time, "Until then; absent: until now."),
            one("step", Kind::Duration, "In columns of this length."),
            many("metric", Kind::Metric, "Only these metrics."),
        ],
    ),
    post(Operation::FlushSamples, path::FLUSH_SAMPLES, "Store the samples that were taken until now."),
    post(
        Operation::WatchSamples,
        path::WATCH_SAMPLES,
        "Measure these containers every second for the next ten seconds.",
    ),
    get(Operation::Containers, path::CONTAINERS, "The containers of all sources as they were last known."),
    get(Operation::Sources, path::SOURCES, "The sources, and how they stand."),
    post(Operation::ChangeSources, path::SOURCES, "Add, change or remove a source."),
    get(Operation::Settings, path::SETTINGS, "The settings of the whole."),
    Route {
        refusals: &[StatusCode::NOT_FOUND],
        ..post(Operation::ChangeSettings, path::SETTINGS, "Change settings, a rule or a silence.")
    },
    Route {
        body: Some(path::MANIFEST_LIMIT),
        ..post(
            Operation::Request,
            path::REQUESTS,
            "Start, stop and restart services; what happens, and what came of it.",
        )
    },
    Route {
        parameters: &[one("resume", Kind::Number, "Take up this session of an earlier daemon.")],
        refusals: &[StatusCode::NOT_FOUND],
        ..post(Operation::OpenSession, path::SESSIONS, "Tie services to this connection.")
    },
    get(Operation::Access, path::ACCESS, "Where the API is served, and to whom."),
    Route {
        refusals: &[StatusCode::NOT_FOUND, StatusCode::CONFLICT],
        ..post(
            Operation::ChangeAccess,
            path::ACCESS,
            "Change where the API is served, and its tokens: over the Unix socket only.",
        )
    },
    get(Operation::OpenApi, path::OPENAPI, "This description."),
    get(Operation::Metrics, path::METRICS, "Numbers for Prometheus, as text or as OpenMetrics."),
];
