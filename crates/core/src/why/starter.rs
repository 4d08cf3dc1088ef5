//! Who started a process: its parent, and behind that the program that people know: cron, a terminal multiplexer, an
//! ssh connection, a unit of systemd, a container, vigie.
//!
//! Programs are known by the name of their file and by the titles that they are known to give themselves. Such a name is
//! shown as what it is, a name; nothing is decided by it.

use crate::text::OsText;
use crate::why::cgroup;
use crate::why::facts::{Belonging, Membership, Process, Story, Top};

/// A kind of program that starts others for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launcher {
    /// A time table: cron and its kin.
    Cron,
    /// `at` and `batch`.
    At,
    /// tmux
    Tmux,
    /// GNU screen
    Screen,
    /// The side of an ssh connection that is on this machine.
    Ssh,
    /// A login at a console.
    Login,
    /// systemd, of the system or of a user.
    Systemd,
    /// An engine of containers.
    Container,
    /// A runner of package scripts: npm and its kin.
    Scripts,
    /// Another supervisor.
    Supervisor,
    /// An editor or desktop.
    Editor,
    /// vigie
    Vigie,
}

impl Launcher {
    /// For people, as the object of "under".
    fn text(self) -> &'static str {
        match self {
            Launcher::Cron => "the cron job of",
            Launcher::At => "the at job of",
            Launcher::Tmux => "the tmux server",
            Launcher::Screen => "the screen session",
            Launcher::Ssh => "the ssh connection of",
            Launcher::Login => "the login",
            Launcher::Systemd => "systemd",
            Launcher::Container => "the container engine's",
            Launcher::Scripts => "the script runner",
            Launcher::Supervisor => "the supervisor",
            Launcher::Editor => "the editor",
            Launcher::Vigie => "vigie",
        }
    }
}

/// File names of programs, and what they are.
const PROGRAMS: &[(&str, Launcher)] = &[
    ("cron", Launcher::Cron),
    ("crond", Launcher::Cron),
    ("CRON", Launcher::Cron),
    ("anacron", Launcher::Cron),
    ("fcron", Launcher::Cron),
    ("systemd-cron", Launcher::Cron),
    ("atd", Launcher::At),
    ("tmux", Launcher::Tmux),
    ("screen", Launcher::Screen),
    ("SCREEN", Launcher::Screen),
    ("sshd", Launcher::Ssh),
    ("sshd-session", Launcher::Ssh),
    ("dropbear", Launcher::Ssh),
    ("login", Launcher::Login),
    ("systemd", Launcher::Systemd),
    ("containerd-shim", Launcher::Container),
    ("containerd-shim-runc-v2", Launcher::Container),
    ("conmon", Launcher::Container),
    ("dockerd", Launcher::Container),
    ("npm", Launcher::Scripts),
    ("npx", Launcher::Scripts),
    ("npm-cli.js", Launcher::Scripts),
    ("npx-cli.js", Launcher::Scripts),
    ("yarn", Launcher::Scripts),
    ("yarn.js", Launcher::Scripts),
    ("pnpm", Launcher::Scripts),
    ("pnpm.cjs", Launcher::Scripts),
    ("bun", Launcher::Scripts),
    ("uv", Launcher::Scripts),
    ("poetry", Launcher::Scripts),
    ("make", Launcher::Scripts),
    ("just", Launcher::Scripts),
    ("cargo", Launcher::Scripts),
    ("foreman", Launcher::Supervisor),
    ("honcho", Launcher::Supervisor),
    ("overmind", Launcher::Supervisor),
    ("process-compose", Launcher::Supervisor),
    ("supervisord", Launcher::Supervisor),
    ("circusd", Launcher::Supervisor),
    ("runsv", Launcher::Supervisor),
    ("s6-supervise", Launcher::Supervisor),
    ("dinit", Launcher::Supervisor),
    ("pm2", Launcher::Supervisor),
    ("code", Launcher::Editor),
    ("code-server", Launcher::Editor),
    ("cursor", Launcher::Editor),
    ("zed", Launcher::Editor),
    ("gnome-terminal-server", Launcher::Editor),
    ("vigie", Launcher::Vigie),
    ("vigie-keeper", Launcher::Vigie),
];

/// Titles that programs write over their arguments: how they begin.
const TITLES: &[(&str, Launcher)] = &[
    ("tmux: server", Launcher::Tmux),
    ("sshd: ", Launcher::Ssh),
    ("sshd-session: ", Launcher::Ssh),
    ("npm run ", Launcher::Scripts),
    ("npm exec ", Launcher::Scripts),
    ("npm start", Launcher::Scripts),
    ("PM2 v", Launcher::Supervisor),
];

/// What a process is known to be, by its name and its first two arguments: the second is the script of an interpreter.
pub fn launcher(process: &Process) -> Option<Launcher> {
    let by_name = |name: &str| PROGRAMS.iter().find(|(known, _)| *known == name).map(|(_, launcher)| *launcher);
    let by_title =
        |title: &str| TITLES.iter().find(|(known, _)| title.starts_with(known)).map(|(_, launcher)| *launcher);
    let arguments = process.argv.known().map(Vec::as_slice).unwrap_or_default();
    let first = arguments.first().map(text).unwrap_or_default();
    if let Some(found) = by_title(&first).or_else(|| by_title(&text(&process.name))) {
        return Some(found);
    }
    let mut names = vec![text(&process.name), file_name(&first)];
    // `node /usr/lib/node_modules/npm/bin/npm-cli.js`; an option is no script.
    names.extend(
        arguments
            .get(1)
            .map(text)
            .filter(|word| !word.starts_with('-') && word.contains('/'))
            .map(|word| file_name(&word)),
    );
    names.iter().find_map(|name| by_name(name))
}

fn text(bytes: &OsText) -> String {
    String::from_utf8_lossy(&bytes.0).into_owned()
}

fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// The places that the cgroups of a process tell of, put together; cgroup v2 and systemd's own tree first.
pub(super) fn place(story: &Story) -> cgroup::Place {
    let mut place = cgroup::Place::default();
    let mut lines: Vec<&(String, OsText)> = story.cgroups.iter().collect();
    lines.sort_by_key(|(controllers, _)| (!controllers.is_empty(), controllers != "name=systemd"));
    for (_, path) in lines {
        let told = cgroup::read(&path.0);
        place.unit = place.unit.or(told.unit);
        place.container = place.container.or(told.container);
        place.run = place.run.or(told.run);
    }
    place
}

/// The connection as sshd wrote it down: `client port server port`.
pub(super) fn ssh_client(story: &Story) -> Option<String> {
    let value = text(story.variable("SSH_CONNECTION")?);
    let client = value.split(' ').next()?;
    // Anybody may write anything there: only an address is believed.
    client.parse::<std::net::IpAddr>().ok().map(|address| address.to_string())
}

/// Who started it, as the end of a sentence: `by bash (PID 7) on pts/3, over ssh from 10.0.0.1`.
pub fn starter(story: &Story, belonging: Option<&Belonging>) -> String {
    if let Some(Belonging::Main(run)) = belonging
        && run.adopted.is_none()
    {
        return format!("by vigie for {}", run.asked_by);
    }
    // What loses its parent falls to the keeper; when that is gone, to PID 1.
    let orphaned = |parent: &Process| parent.pid() == 1 || launcher(parent) == Some(Launcher::Vigie);
    if let Some(Belonging::Member(run)) = belonging
        && story.ancestors.first().is_none_or(orphaned)
    {
        return format!("by a process of {} that has ended", named(run));
    }
    let place = place(story);
    let mut text = match story.ancestors.first() {
        Some(parent) => by_parent(story, parent, &place),
        None => match story.top {
            Top::Vanished(pid) => format!("by PID {pid}, which has ended meanwhile"),
            Top::Root if story.process.kernel => "by the kernel".to_owned(),
            Top::Root if story.process.pid() == 1 => "by the kernel, or by whatever made this PID namespace".to_owned(),
            Top::Root => "from outside of this PID namespace".to_owned(),
        },
    };
    if let Some(terminal) = &story.process.terminal {
        text.push_str(&format!(" on {terminal}"));
    }
    // The parent was named; what it runs under is worth a word when people know it.
    let known =
        story.ancestors.iter().enumerate().find_map(|(place, process)| Some((place, process, launcher(process)?)));
    match known {
        Some((0, _, launcher)) if launcher != Launcher::Systemd => text.push_str(&format!(" ({})", kind(launcher))),
        Some((place, process, launcher)) if place > 0 && launcher != Launcher::Systemd => {
            text.push_str(&format!(", under {} {}", launcher.text(), process.label()));
        }
        _ => {}
    }
    if let Some(client) = ssh_client(story) {
        text.push_str(&format!(", over ssh from {client}"));
    }
    if let Some((engine, id)) = &place.container {
        text.push_str(&format!(", in the {engine} container {}", &id[..12.min(id.len())]));
    } else if let Some(unit) = &place.unit {
        text.push_str(&format!(", in the systemd unit {unit}"));
    }
    text
}

/// A launcher that is the parent itself.
fn kind(launcher: Launcher) -> &'static str {
    match launcher {
        Launcher::Cron => "a cron job",
        Launcher::At => "an at job",
        Launcher::Tmux => "in tmux",
        Launcher::Screen => "in screen",
        Launcher::Ssh => "over ssh",
        Launcher::Login => "a login",
        Launcher::Systemd => "systemd",
        Launcher::Container => "a container engine",
        Launcher::Scripts => "a script runner",
        Launcher::Supervisor => "a supervisor",
        Launcher::Editor => "an editor or desktop",
        Launcher::Vigie => "vigie",
    }
}

/// The parent has started it, or has taken it in when its parent ended: PID 1 does that, and whoever asked the kernel to
/// (`PR_SET_CHILD_SUBREAPER`). A process is born in the session of its parent, which tells some of them apart.
fn by_parent(story: &Story, parent: &Process, place: &cgroup::Place) -> String {
    let process = &story.process;
    let leads = process.session == process.pid();
    // 0: the leader is outside of this PID namespace.
    let stranger = !leads && process.session != 0 && process.session != parent.session;
    if parent.pid() == 1 && stranger {
        return match &story.session_leader {
            Some(leader) => format!("by a process that has ended, in the session of {}", leader.label()),
            None => {
                format!("by a process that has ended, as has the leader of its session (PID {})", process.session)
            }
        };
    }
    let kind = launcher(parent);
    let of_unit = place.unit.as_ref().is_some_and(|unit| unit.ends_with(".service"));
    if kind == Some(Launcher::Systemd) && of_unit && !stranger {
        return format!("by {}", parent.label());
    }
    let takes_in = matches!(kind, Some(Launcher::Systemd | Launcher::Container | Launcher::Vigie));
    if parent.pid() == 1 || stranger || takes_in {
        return format!("by {}, or by a process that has ended and left it to that", parent.label());
    }
    format!("by {}", parent.label())
}

fn named(run: &Membership) -> String {
    format!("{} (run {})", run.service, run.run)
}
