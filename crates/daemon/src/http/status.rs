//! `GET /v1/status` and `GET /v1/projects`.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::Response;

use vigie_api::status::{Daemon, Report};
use vigie_api::time::Millis;
use vigie_api::{SCHEMA, report};
use vigie_os::clock;
use vigie_os::proc::Proc;

use super::Desk;
use super::answer::{Body, Refusal, json};
use super::query::Query;
use crate::aside::off_thread;
use crate::dispatch::Seen;
use crate::input::Input;
use crate::look::{self, Ports};

/// What runs, managed or not.
pub(super) async fn report(desk: &Desk, query: &Query) -> Result<Response<Body>, Refusal> {
    let watch = query.flag("watch")?;
    let mut seen = desk.ask(|reply| Input::Look { watch, reply }).await?;
    let (services, ports) = (desk.services.clone(), Arc::clone(&desk.ports));
    let seen = off_thread(move || {
        complete(&mut seen, &services, &ports);
        seen
    });
    let seen = seen.await.map_err(Refusal::internal)?;
    json(&Report {
        schema: SCHEMA,
        at: Millis(clock::now().wall),
        daemon: Some(Daemon { pid: desk.about.pid, version: desk.about.version.clone() }),
        services: seen.into_iter().map(|seen| seen.service).collect(),
        strays: Vec::new(),
    })
}

fn complete(seen: &mut Vec<Seen>, services: &std::path::Path, ports: &Mutex<Ports>) {
    let Ok(proc) = Proc::system() else { return };
    let managed: HashSet<String> = seen.iter().map(|seen| seen.service.key.folder()).collect();
    seen.extend(look::unmanaged(services, &managed, &proc));
    ports.lock().unwrap_or_else(PoisonError::into_inner).fill(seen, &proc, clock::mono());
    for seen in seen {
        seen.service.note_ghost();
    }
}

/// The projects of all services that were ever asked for.
pub(super) async fn projects(desk: &Desk) -> Result<Response<Body>, Refusal> {
    let seen = desk.ask(|reply| Input::Look { watch: false, reply }).await?;
    let mut projects = BTreeMap::new();
    for Seen { service, .. } in seen {
        projects.entry((service.project, service.project_dir)).or_insert_with(Vec::new).push(service.service);
    }
    let projects = projects.into_iter().map(|((name, dir), services)| report::Project { name, dir, services });
    json(&report::Projects { schema: SCHEMA, projects: projects.collect() })
}
