//! What is impossible between the services of a project.

use std::collections::BTreeMap;

use super::reader::Reader;
use super::resolved::{Condition, Kind, When};
use super::table::At;
use super::written::ServiceTable;
use crate::claim::{Held, PortClaim};
use crate::name::Name;
use crate::text::nearest;

type Services = [(At<Name>, ServiceTable)];

/// Checks `after` and `ports` across all services.
pub(super) fn check(reader: &mut Reader<'_>, services: &Services) {
    // A service whose header was not understood would be missed.
    if reader.has_syntax_errors {
        return;
    }
    dependencies(reader, services);
    cycles(reader, services);
    ports(reader, services);
}

fn dependencies(reader: &mut Reader<'_>, services: &Services) {
    let by_name: BTreeMap<&Name, &ServiceTable> = services.iter().map(|(name, table)| (&name.value, table)).collect();
    for (on, condition) in services.iter().flat_map(|(_, table)| after(table)) {
        let Some(dependency) = by_name.get(&on.value) else {
            let near = nearest(on.value.as_str(), by_name.keys().map(|name| name.as_str()));
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            reader.error(on.span.clone(), format!("there is no service `{}`{hint}", on.value));
            continue;
        };
        if condition == Condition::Done && !may_end(dependency) {
            let message = format!("`{}` is a service and stays, so it is never `done`", on.value);
            reader.error_hint(on.span.clone(), message, "wait for `ready`, or give it `kind = \"task\"`");
        }
    }
}

/// Whether a clean end is something that can be waited for: a task, what is never started again, or what stops by
/// itself. Where a key is broken, nothing is said.
fn may_end(service: &ServiceTable) -> bool {
    let never = match &service.restart.value {
        Some(restart) => restart.0.when.value == Some(When::Never) || restart.0.when.is_broken(),
        None => service.restart.is_broken(),
    };
    let by_itself = match &service.mode.value {
        Some(modes) => modes.0.iter().any(|(_, mode)| mode.duration.written),
        None => true,
    };
    service.kind.value != Some(Kind::Service) || never || by_itself
}

fn after(service: &ServiceTable) -> impl Iterator<Item = (&At<Name>, Condition)> {
    service.after.value.iter().flat_map(|after| after.0.iter().map(|(name, condition)| (name, *condition)))
}

/// Every cycle once, from its first service in the manifest.
fn cycles(reader: &mut Reader<'_>, services: &Services) {
    let index: BTreeMap<&Name, usize> = services.iter().enumerate().map(|(at, (name, _))| (&name.value, at)).collect();
    let edges: Vec<Vec<(usize, &At<Name>)>> = services
        .iter()
        .map(|(_, table)| after(table).filter_map(|(on, _)| Some((*index.get(&on.value)?, on))).collect())
        .collect();
    let mut left: Vec<bool> = vec![true; services.len()];
    loop {
        // What waits for nothing that is left is in no cycle.
        while let Some(free) = (0..left.len()).find(|at| left[*at] && !edges[*at].iter().any(|(on, _)| left[*on])) {
            left[free] = false;
        }
        let Some(start) = (0..left.len()).find(|at| left[*at]) else { return };
        // Everything left waits for something left, so this walk comes back to where it was.
        let mut path = vec![start];
        let cycle = loop {
            let last = path[path.len() - 1];
            let Some((next, _)) = edges[last].iter().find(|(on, _)| left[*on]) else { return };
            match path.iter().position(|at| at == next) {
                Some(first) => break path.split_off(first),
                None => path.push(*next),
            }
        };
        let first = (0..cycle.len()).min_by_key(|at| services[cycle[*at]].0.span.start).unwrap_or(0);
        let from = cycle[first];
        let to = cycle[(first + 1) % cycle.len()];
        let names: Vec<&str> =
            (0..=cycle.len()).map(|at| services[cycle[(first + at) % cycle.len()]].0.value.as_str()).collect();
        let span = edges[from].iter().find(|(on, _)| *on == to).map_or(0..0, |(_, on)| on.span.clone());
        reader.error(span, format!("these services wait for each other: {}", names.join(" → ")));
        for at in cycle {
            left[at] = false;
        }
    }
}

/// Two services that may run together, or one with itself, cannot hold one port.
fn ports(reader: &mut Reader<'_>, services: &Services) {
    let mut seen: Vec<(&Name, &ServiceTable, PortClaim)> = Vec::new();
    for (name, table) in services {
        for port in table.ports.value.iter().flat_map(|ports| &ports.0) {
            let holder = seen.iter().find(|(other, other_table, claim)| {
                overlap(claim, &port.value) && (**other == name.value || may_run_together(other_table, table))
            });
            if let Some((other, _, claim)) = holder {
                let whose =
                    if **other == name.value { "this service".to_owned() } else { format!("service `{other}`") };
                let message = format!("port {} is claimed by {whose} already, as {claim}", port.value);
                reader.error_hint(
                    port.span.clone(),
                    message,
                    "services that never run together have `profiles` with no word in common",
                );
            }
            seen.push((&name.value, table, port.value));
        }
    }
}

fn may_run_together(a: &ServiceTable, b: &ServiceTable) -> bool {
    let (Some(a), Some(b)) = (&a.profiles.value, &b.profiles.value) else { return false };
    a.0.is_empty() || b.0.is_empty() || a.0.iter().any(|a| b.0.iter().any(|b| a.value == b.value))
}

/// Whether two claims are certain to collide. Between families that depends on how the server binds, so it is not.
fn overlap(a: &PortClaim, b: &PortClaim) -> bool {
    let Some(address) = b.address else { return a.port == b.port && a.proto == b.proto };
    a.collides(&Held { address, port: b.port, proto: b.proto, v6_only: true })
        && a.address.is_none_or(|a| a.is_ipv4() == address.is_ipv4())
}
