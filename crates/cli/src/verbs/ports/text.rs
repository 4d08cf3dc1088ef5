//! Ports for people: one line for each that was asked about, and a table.

use anstyle::Style;
use unicode_width::UnicodeWidthStr as _;

use vigie_api::ports::{Holder, Port};
use vigie_core::claim::{PortClaim, Proto};
use vigie_core::clock::Wall;
use vigie_core::ports::Verdict;

use crate::out::{ABSENT, Align, Column, Screen, Table, command, or_absent, safe, style, time};

/// The width of the rule below the lines, as it always was.
const RULE: usize = 60;

/// Before what did not fit into a line.
const INDENT: usize = 2;

/// How many holders a line names; the others are counted.
const NAMED: usize = 3;

/// `Port 8000 (api): used by python3 (PID 12, ana, 3 min)`
pub(super) fn line(port: &Port, screen: Screen, now: Wall) -> String {
    let service = port.claimed_by.as_deref().map(|name| name.rsplit('/').next().unwrap_or(name));
    let service = service.map(|name| format!(" ({})", safe(name))).unwrap_or_default();
    let before = format!("Port {}{service}: ", label(port));
    let word = first_word(port);
    let rest = screen.folded(&rest_of_line(port, now), before.width() + word.width(), INDENT);
    format!("{before}{}{rest}\n", screen.paint(colour(port.verdict), word))
}

/// As it was asked about; of TCP the protocol goes without saying.
fn label(port: &Port) -> String {
    let claim = PortClaim { address: port.address, port: port.port, proto: port.proto };
    let text = port.asked.unwrap_or(claim).to_string();
    if port.proto == Proto::Tcp { text.trim_end_matches("/tcp").to_owned() } else { text }
}

fn first_word(port: &Port) -> String {
    match port.verdict {
        // A connection is no server, and yet nobody else can have the port.
        Verdict::Ephemeral => "used".to_owned(),
        verdict => verdict.to_string(),
    }
}

fn rest_of_line(port: &Port, now: Wall) -> String {
    let mut named: Vec<String> = port.holders.iter().take(NAMED).map(|holder| who(holder, now)).collect();
    if port.holders.len() > NAMED {
        named.push(format!("{} more", port.holders.len() - NAMED));
    }
    let holders = match named.as_slice() {
        [] => String::new(),
        [one] => format!(" by {one}"),
        [all @ .., last] => format!(" by {} and {last}", all.join(", ")),
    };
    // A verdict that nobody stands behind is explained by the note alone.
    let separator = if holders.is_empty() && port.verdict != Verdict::Ephemeral { ": " } else { ", " };
    let note = port.note.as_ref().map(|note| format!("{separator}{}", safe(note))).unwrap_or_default();
    format!("{holders}{note}")
}

/// `python3 (PID 12, ana, 3 min)`
fn who(holder: &Holder, now: Wall) -> String {
    let user = safe(holder.user.as_deref().unwrap_or(ABSENT));
    let mut text = match holder.pid {
        None => format!("a process of {user}"),
        Some(pid) => {
            let name = safe(holder.name.as_deref().unwrap_or(ABSENT));
            let age = holder.started_at.map(|started| format!(", {}", time::age_in_words(started.0, now)));
            format!("{name} (PID {pid}, {user}{})", age.unwrap_or_default())
        }
    };
    let of = |what: &str, name: &Option<String>| name.as_ref().map(|name| format!(" of {what}{}", safe(name)));
    text.push_str(&of("", &holder.service).unwrap_or_default());
    text.push_str(&of("container ", &holder.container).unwrap_or_default());
    text
}

/// The rule, and whether all are free.
pub(super) fn closing(claimed: &[&Port], screen: Screen) -> String {
    let count = |which: &dyn Fn(Verdict) -> bool| claimed.iter().filter(|port| which(port.verdict)).count();
    let reserved = count(&|verdict| verdict == Verdict::Reserved);
    let unknown = count(&|verdict| verdict == Verdict::Unknown);
    let used = count(&|verdict| !verdict.is_free()) - reserved - unknown;
    let all = claimed.len();
    let ports = if all == 1 { "port" } else { "ports" };
    let line = if used > 0 {
        screen.paint(style::WARN, format!("{used} of {all} {ports} used: services seem to run already"))
    } else if reserved > 0 {
        screen.paint(
            style::WARN,
            format!("{reserved} of {all} {ports} reserved: nothing runs there, and binding takes a privilege"),
        )
    } else if unknown > 0 {
        screen.paint(style::WARN, format!("{unknown} of {all} {ports} could not be looked at"))
    } else {
        screen.paint(style::GOOD, format!("{all} {ports}: all free"))
    };
    format!("{}\n{line}\n", "=".repeat(RULE))
}

/// Who holds what, a line for each process.
pub(super) fn table(ports: &[&Port], screen: Screen, now: Wall) -> String {
    let mut table = Table::new(&[
        Column::new("PORT", Align::Right),
        Column::new("ADDRESS", Align::Left),
        Column::spare("VERDICT", Align::Left, 4),
        Column::new("PID", Align::Right),
        Column::spare("USER", Align::Left, 2),
        Column::spare("AGE", Align::Right, 1),
        Column::spare("SERVICE", Align::Left, 3),
        Column::text("CONTAINER"),
        Column::text("COMMAND"),
        Column::remark("NOTE"),
    ]);
    for port in ports {
        // A note is about the port, not about each of its holders.
        let mut note = port.note.clone().unwrap_or_default();
        for holder in &port.holders {
            table.row(row(port, holder, std::mem::take(&mut note), now));
        }
    }
    table.drop_if_all("SERVICE", ABSENT);
    table.drop_if_all("CONTAINER", ABSENT);
    table.drop_if_all("NOTE", "");
    table.render(screen)
}

fn row(port: &Port, holder: &Holder, note: String, now: Wall) -> Vec<(Style, String)> {
    let plain = Style::new();
    let addresses: Vec<String> = holder.addresses.iter().map(ToString::to_string).collect();
    let line = holder.command.as_ref().map(|words| command(words.iter().map(|word| word.0.as_slice())));
    // A process without arguments is shown by its name, as others do.
    let line = line.or_else(|| holder.name.as_ref().map(|name| format!("[{name}]")));
    vec![
        (style::HEAD, format!("{}/{}", port.port, port.proto)),
        (plain, addresses.join(" ")),
        (colour(port.verdict), port.verdict.to_string()),
        (plain, or_absent(holder.pid)),
        (plain, or_absent(holder.user.as_ref())),
        (plain, holder.started_at.map_or_else(|| ABSENT.to_owned(), |started| time::age(started.0, now))),
        (plain, or_absent(holder.service.as_ref())),
        (plain, or_absent(holder.container.as_ref())),
        (plain, or_absent(line)),
        (style::DIM, note),
    ]
}

/// What could not be seen, so that nobody takes it for not there.
pub(super) fn unseen(screen: Screen) -> String {
    let line = "other network namespaces: cannot see all of them, needs root";
    format!("{}\n", screen.paint(style::DIM, line))
}

/// Green can be had, yellow takes a second look, red is taken.
fn colour(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Free => style::GOOD,
        Verdict::TimeWait | Verdict::Ephemeral | Verdict::Bound | Verdict::Reserved | Verdict::Unknown => style::WARN,
        Verdict::Used => Style::new(),
        Verdict::Shared => style::BAD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_api::time::Millis;

    const PLAIN: Screen = Screen { terminal: false, colour: false, width: None };
    const NOW: Wall = Wall(1_000_000_000_000);

    fn holder(pid: Option<u32>) -> Holder {
        Holder {
            pid,
            tid: None,
            user: Some("ana".to_owned()),
            name: pid.map(|_| "python3".to_owned()),
            command: pid.map(|_| vec!["python3".into(), "-m".into(), "http.server".into()]),
            started_at: pid.map(|_| Millis(Wall(NOW.0 - 190_000_000_000))),
            service: None,
            run: None,
            container: None,
            netns: None,
            addresses: vec!["127.0.0.1".parse().expect("address")],
        }
    }

    fn port(verdict: Verdict, holders: Vec<Holder>, note: Option<&str>) -> Port {
        Port {
            asked: Some("8000".parse().expect("claim")),
            port: 8000,
            proto: Proto::Tcp,
            address: Some("127.0.0.1".parse().expect("address")),
            verdict,
            claimed_by: Some("demo/api".to_owned()),
            holders,
            note: note.map(str::to_owned),
            netns: None,
            until: None,
        }
    }

    /// The form of case C.
    #[test]
    fn a_line_for_each_verdict() {
        let me = || vec![holder(Some(12))];
        let mine = |holder: Holder| vec![Holder { service: Some("demo/api".to_owned()), ..holder }];
        for (port, line) in [
            (port(Verdict::Free, vec![], None), "free"),
            (port(Verdict::Used, me(), None), "used by python3 (PID 12, ana, 3 min)"),
            (port(Verdict::Used, mine(holder(Some(12))), None), "used by python3 (PID 12, ana, 3 min) of demo/api"),
            (
                port(Verdict::Used, vec![holder(None)], Some("cannot see who, needs root")),
                "used by a process of ana, cannot see who, needs root",
            ),
            (
                port(Verdict::Shared, vec![holder(Some(12)), holder(Some(13))], Some("x")),
                "shared by python3 (PID 12, ana, 3 min) and python3 (PID 13, ana, 3 min), x",
            ),
            (port(Verdict::Bound, me(), Some("x")), "bound by python3 (PID 12, ana, 3 min), x"),
            (port(Verdict::Ephemeral, me(), Some("as x")), "used by python3 (PID 12, ana, 3 min), as x"),
            (port(Verdict::TimeWait, vec![], Some("usable by x")), "time-wait: usable by x"),
            (port(Verdict::Reserved, vec![], Some("x")), "reserved: x"),
        ] {
            assert_eq!(super::line(&port, PLAIN, NOW), format!("Port 8000 (api): {line}\n"));
        }
        let crowd = port(Verdict::Used, (1..=5).map(|pid| holder(Some(pid))).collect(), None);
        assert!(line(&crowd, PLAIN, NOW).ends_with("(PID 3, ana, 3 min) and 2 more\n"));
        let udp = Port {
            asked: None,
            proto: Proto::Udp,
            address: Some("::1".parse().expect("address")),
            claimed_by: None,
            ..port(Verdict::Free, vec![], None)
        };
        assert_eq!(line(&udp, PLAIN, NOW), "Port [::1]:8000/udp: free\n");
    }

    #[test]
    fn the_closing_line() {
        let (free, used) = (port(Verdict::Free, vec![], None), port(Verdict::Used, vec![], None));
        let waits = port(Verdict::TimeWait, vec![], None);
        let unknown = port(Verdict::Unknown, vec![], None);
        let last = |ports: &[&Port]| closing(ports, PLAIN).lines().nth(1).expect("two lines").to_owned();
        assert!(closing(&[&free], PLAIN).starts_with(&format!("{}\n", "=".repeat(60))));
        assert_eq!(last(&[&free, &waits]), "2 ports: all free");
        assert_eq!(last(&[&free]), "1 port: all free");
        assert_eq!(last(&[&free, &used]), "1 of 2 ports used: services seem to run already");
        assert_eq!(last(&[&free, &unknown]), "1 of 2 ports could not be looked at");
        let reserved = port(Verdict::Reserved, vec![], None);
        assert!(last(&[&free, &reserved, &unknown]).starts_with("1 of 3 ports reserved: "));
        assert_eq!(last(&[&used, &reserved]), "1 of 2 ports used: services seem to run already");
    }

    #[test]
    fn the_table() {
        let shared = port(Verdict::Shared, vec![holder(Some(12)), holder(None)], Some("a note"));
        let text = table(&[&shared], PLAIN, NOW);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].contains("COMMAND") && !lines[0].contains("CONTAINER"), "{text}");
        assert!(lines[1].contains("python3 -m http.server") && lines[1].ends_with("a note"), "{text}");
        assert!(lines[2].contains("–") && !lines[2].contains("a note"), "{text}");
    }
}
