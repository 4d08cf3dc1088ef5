//! Who holds a service already, in one line (R4.2).

use vigie_core::clock::Wall;
use vigie_core::launch::Holder;

use crate::out::{safe, time};

/// `api: already running: PID 123, since 12:03:05 (4m ago), started from pts/3 by ana in /srv/demo`; of one that was
/// adopted: since when, and by whom it was
pub(crate) fn line(label: &str, holder: Option<&Holder>, now: Wall) -> String {
    let Some(holder) = holder else {
        return format!("{label}: already running; its holder has not yet said who it is");
    };
    let pid = holder.main.as_ref().unwrap_or(&holder.keeper).pid;
    let mut text = format!("{label}: already running: PID {pid}, since {}", time::local(holder.since));
    let how = if holder.adopted { "adopted" } else { "started" };
    text.push_str(&format!(" ({} ago), {how}", time::age(holder.since, now)));
    if let Some(terminal) = &holder.origin.terminal {
        text.push_str(&format!(" from {}", safe(terminal)));
    }
    match &holder.origin.user {
        Some(user) => text.push_str(&format!(" by {}", safe(user))),
        None => text.push_str(&format!(" by user {}", holder.origin.uid)),
    }
    if !holder.origin.cwd.0.is_empty() {
        text.push_str(&format!(" in {}", holder.origin.cwd));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::identity::{BootId, ProcKey, RunId};
    use vigie_core::launch::{Origin, Scope, ServiceKey};
    use vigie_core::name::Name;

    #[test]
    fn the_line_names_who_when_and_from_where() {
        let name = |text| Name::new(text).expect("name");
        let process = |pid| ProcKey { boot_id: BootId("b".into()), pid, start_ticks: 1 };
        let since = vigie_os::clock::now().wall;
        let mut holder = Holder {
            run: RunId(1),
            key: ServiceKey::new(Scope::Project, std::path::Path::new("/srv/demo"), name("api")),
            project: name("demo"),
            mode: None,
            keeper: process(99),
            main: Some(process(123)),
            since,
            origin: Origin {
                uid: 1000,
                user: Some("ana".to_owned()),
                terminal: Some("pts/3".to_owned()),
                pid: 7,
                cwd: "/srv/de\nmo".into(),
            },
            adopted: false,
            managed: false,
            attempt: 0,
        };
        let text = line("api", Some(&holder), Wall(since.0 + 250_000_000_000));
        assert!(text.starts_with("api: already running: PID 123, since "), "{text}");
        assert!(text.ends_with(" (4m10s ago), started from pts/3 by ana in /srv/de\\nmo"), "{text}");
        holder.main = None;
        holder.origin = Origin { uid: 1000, ..Origin::default() };
        let text = line("api", Some(&holder), since);
        assert!(text.contains("PID 99,") && text.ends_with("started by user 1000"), "{text}");
        holder.adopted = true;
        assert!(line("api", Some(&holder), since).ends_with("adopted by user 1000"));
        assert!(line("api", None, since).contains("already running"));
    }
}
