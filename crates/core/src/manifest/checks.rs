//! From the tables as written to a service as resolved: defaults, and everything that is impossible in one service.

use std::ops::Range;

use super::programs::Command;
use super::reader::Reader;
use super::resolved::{Alive, Kind, Log, Match, Mode, Probe, Ready, Restart, Service, When};
use super::table::{At, Field};
use super::values::{List, Map, Text};
use super::written::{
    AliveTable, LimitsTable, LogTable, MatchTable, ModeTable, ReadyTable, RestartKey, RestartTable, ServiceTable,
};
use crate::ladder::Ladder;
use crate::launch::Limits;
use crate::name::Name;
use crate::text::OsText;
use crate::units::Span;

/// Checks one service. `None`: an error was reported, now or before.
pub(super) fn service(reader: &mut Reader<'_>, name: At<Name>, written: ServiceTable) -> Option<Service> {
    // Every part is looked at before the first missing one ends it: all errors at once.
    let kind = written.kind.value;
    let command = command(reader, written.command, &written.shell);
    let modes = modes(reader, written.mode, &written.shell);
    let ready = part(written.ready, |table, span| ready(reader, table, span));
    let alive = part(written.alive, |table, span| alive(reader, table, span));
    let stop = stop(reader, written.stop);
    let restart = restart(reader, written.restart, kind);
    let limits = part(written.limits, |table, _| limits(reader, table));
    let log = part(written.log, |table, _| log(reader, table));
    let recognised_by = part(written.r#match, |table, span| matching(reader, table, span));
    let mut env = written.env_file.optional()?.unwrap_or_default().0;
    env.extend(written.env.value?.0);
    Some(Service {
        name: name.value,
        kind: kind?,
        command: command?,
        cwd: written.cwd.optional()?.map_or_else(|| reader.around.dir.into(), |cwd| cwd.0.into()),
        env,
        ports: written.ports.value?.values(),
        after: written.after.value?.0.into_iter().map(|(name, condition)| (name.value, condition)).collect(),
        ready: ready?,
        alive: alive?,
        stop: stop?,
        restart: restart?,
        limits: limits?.unwrap_or_default(),
        log: log?.unwrap_or_default(),
        tie: written.tie.optional()?,
        scope: written.scope.value?,
        profiles: written.profiles.value?.values(),
        orphans: written.orphans.value?,
        legacy_pidfile: written.legacy_pidfile.optional()?.map(|path| OsText::from(path.0)),
        recognised_by: recognised_by?,
        modes: modes?,
    })
}

fn matching(reader: &mut Reader<'_>, table: MatchTable, span: Range<usize>) -> Option<Match> {
    let written = [table.script.written, table.module.written, table.executable.written];
    if !written.contains(&true) {
        reader.error_hint(span, "`match` needs script, module or executable", "arguments alone are anybody's");
        return None;
    }
    if let (true, true) = (table.script.written, table.module.written) {
        reader.error(table.module.span.clone(), "a process runs a script or a module, not both");
        return None;
    }
    let executable = match table.executable.optional()? {
        None => None,
        Some(Text(name)) if name.is_empty() => {
            reader.error(span, "the executable is empty");
            return None;
        }
        // Where a slash is, it is a path, as for every program.
        Some(Text(name)) if name.contains('/') => Some(reader.around.dir.join(name).into()),
        Some(Text(name)) => Some(OsText::from(name)),
    };
    Some(Match {
        executable,
        script: table.script.optional()?.map(|path| path.0.into()),
        module: table.module.optional()?.map(|name| name.0.into()),
        args: table.args.value?.values().into_iter().map(|word| word.0.into()).collect(),
        cwd: table.cwd.optional()?.map(|path| path.0.into()),
    })
}

/// A table that need not be there. `None`: it is there and wrong.
fn part<T, U>(field: Field<T>, read: impl FnOnce(T, Range<usize>) -> Option<U>) -> Option<Option<U>> {
    let span = field.span.clone();
    match field.optional()? {
        None => Some(None),
        Some(table) => read(table, span).map(Some),
    }
}

fn command(reader: &mut Reader<'_>, command: Field<Command>, shell: &Field<bool>) -> Option<Vec<String>> {
    let span = command.span;
    let command = command.value?;
    if !shell.value? {
        return command.words(reader, &span);
    }
    match command {
        Command::Words(_) => {
            reader.error_hint(span, "with `shell = true` the command is one string", "without it, an array is right");
            None
        }
        Command::Line { text: Err(errors), .. } => {
            reader.report(errors);
            None
        }
        Command::Line { text: Ok(text), .. } => Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), text]),
    }
}

fn modes(reader: &mut Reader<'_>, modes: Field<Map<ModeTable>>, shell: &Field<bool>) -> Option<Vec<Mode>> {
    let mut resolved = Vec::new();
    let mut complete = true;
    for (name, mode) in modes.value?.0 {
        if shell.value == Some(true) && mode.args.written {
            let hint = "a shell would take them for its own; tell the command by `env`";
            reader.error_hint(mode.args.span.clone(), "`args` do not reach a command with `shell = true`", hint);
        }
        positive(reader, &mode.duration);
        let mode = (|| {
            Some(Mode {
                name: name.value,
                args: mode.args.value?.values().into_iter().map(|arg| arg.0).collect(),
                env: mode.env.value?.0,
                duration: mode.duration.optional()?,
            })
        })();
        complete &= mode.is_some();
        resolved.extend(mode);
    }
    complete.then_some(resolved)
}

/// The keys of a probe, which `ready` and `alive` share.
macro_rules! probe {
    ($reader:ident, $table:ident, $span:ident, [$($other:ident)?]) => {{
        let written: Vec<(&str, &Range<usize>)> = [
            ("http", $table.http.written, &$table.http.span),
            ("tcp", $table.tcp.written, &$table.tcp.span),
            ("unix", $table.unix.written, &$table.unix.span),
            ("exec", $table.exec.written, &$table.exec.span),
            $((stringify!($other), $table.$other.written, &$table.$other.span),)?
        ]
        .into_iter()
        .filter_map(|(key, written, span)| written.then_some((key, span)))
        .collect();
        let one = exactly_one($reader, &written, $span, concat!("http, tcp, unix, exec" $(, ", ", stringify!($other))?));
        if $table.status.written && !$table.http.written && one {
            $reader.error($table.status.span.clone(), "`status` belongs to an `http` probe");
        }
        if let Some(status) = $table.status.value.filter(|status| !(100..=599).contains(status)) {
            $reader.error($table.status.span.clone(), format!("{status} is not an HTTP status: they go from 100 to 599"));
        }
        let exec = match $table.exec.value {
            Some(command) => command.words($reader, &$table.exec.span),
            None => None,
        };
        None.or($table.http.value.zip($table.status.value).map(|(url, status)| Probe::Http { url: url.0, status }))
            .or($table.tcp.value.map(|address| Probe::Tcp { address: address.0 }))
            .or($table.unix.value.map(|path| Probe::Unix { path: path.0.into() }))
            .or(exec.map(|command| Probe::Exec { command }))
            $(.or($table.$other.value.map(|pattern| Probe::Log { pattern: pattern.0 })))?
    }};
}

fn ready(reader: &mut Reader<'_>, table: ReadyTable, span: Range<usize>) -> Option<Ready> {
    positive(reader, &table.every);
    positive(reader, &table.timeout);
    if let (Some(every), Some(within)) = (table.every.value, table.within.value)
        && within < every
    {
        let at = if table.within.written { &table.within } else { &table.every };
        reader.error(at.span.clone(), format!("`within` ({within}) is shorter than `every` ({every})"));
    }
    let probe = probe!(reader, table, span, [log]);
    Some(Ready { probe: probe?, every: table.every.value?, timeout: table.timeout.value?, within: table.within.value? })
}

fn alive(reader: &mut Reader<'_>, table: AliveTable, span: Range<usize>) -> Option<Alive> {
    positive(reader, &table.every);
    positive(reader, &table.timeout);
    at_least_one(reader, &table.failures, "one failure is the least that can be told");
    let probe = probe!(reader, table, span, []);
    Some(Alive {
        probe: probe?,
        every: table.every.value?,
        timeout: table.timeout.value?,
        failures: table.failures.value?,
    })
}

fn exactly_one(reader: &mut Reader<'_>, written: &[(&str, &Range<usize>)], span: Range<usize>, known: &str) -> bool {
    match written {
        [_] => true,
        [] => {
            if !reader.has_syntax_errors {
                reader.error_hint(span, "nothing is asked here", format!("write one of {known}"));
            }
            false
        }
        [(first, _), others @ ..] => {
            for (other, span) in others {
                let message = format!("`{other}` stands beside `{first}`, but only one thing can be asked");
                reader.error_hint((*span).clone(), message, "`exec` can ask for several things at once");
            }
            false
        }
    }
}

fn stop(reader: &mut Reader<'_>, stop: Field<List<crate::ladder::Rung>>) -> Option<Ladder> {
    let rungs = stop.value?.values();
    let ladder = Ladder::new(rungs).ok();
    if ladder.is_none() {
        reader.error_hint(stop.span, "a ladder needs at least one rung", "the default is [\"TERM 10s\", \"KILL 5s\"]");
    }
    ladder
}

fn restart(reader: &mut Reader<'_>, field: Field<RestartKey>, kind: Option<Kind>) -> Option<Restart> {
    let table = field.optional()?.map_or_else(RestartTable::default, |restart| restart.0);
    if kind == Some(Kind::Task) && table.when.value == Some(When::Always) {
        let hint = "a task is over when it ended; use `failure`, or `kind = \"service\"`";
        reader.error_hint(table.when.span.clone(), "a task cannot be restarted always", hint);
    }
    if let Some(factor) = table.factor.value.filter(|factor| *factor < 1.0) {
        reader.error(table.factor.span.clone(), format!("`factor` is {factor}, but delays cannot shrink: at least 1"));
    }
    if let Some(jitter) = table.jitter.value.filter(|jitter| !(0.0..=1.0).contains(jitter)) {
        reader.error(table.jitter.span.clone(), format!("`jitter` is {jitter}, but must be from 0 to 1"));
    }
    if let (Some(delay), Some(max_delay)) = (table.delay.value, table.max_delay.value)
        && max_delay < delay
    {
        let at = if table.max_delay.written { &table.max_delay } else { &table.delay };
        reader.error(at.span.clone(), format!("`max_delay` ({max_delay}) is shorter than `delay` ({delay})"));
    }
    at_least_one(reader, &table.attempts, "to start it never again, write `when = \"never\"`");
    let mut known = Vec::new();
    for (key, list) in [("clean", &table.clean), ("fatal", &table.fatal)] {
        for code in list.value.iter().flat_map(|list| &list.0) {
            if !(0..=255).contains(&code.value) {
                reader.error(code.span.clone(), format!("{} is not an exit code: they go from 0 to 255", code.value));
            } else if let Some((other, _)) = known.iter().find(|(_, known)| *known == code.value) {
                // The default of `clean` has no place of its own.
                let span = if list.written { code.span.clone() } else { list.span.clone() };
                let message = match *other == key {
                    true => format!("exit code {} is in `{key}` twice", code.value),
                    false => format!("exit code {} is both in `{other}` and in `{key}`", code.value),
                };
                reader.error(span, message);
            }
            known.push((key, code.value));
        }
    }
    Some(Restart {
        when: table.when.optional()?.unwrap_or(if kind? == Kind::Task { When::Never } else { When::default() }),
        delay: table.delay.value?,
        factor: table.factor.value?,
        max_delay: table.max_delay.value?,
        jitter: table.jitter.value?,
        attempts: table.attempts.value?,
        stable: table.stable.value?,
        clean: table.clean.value?.values(),
        fatal: table.fatal.value?.values(),
    })
}

fn limits(reader: &mut Reader<'_>, table: LimitsTable) -> Option<Limits> {
    if table.files.value == Some(0) {
        reader.error(table.files.span.clone(), "no program can start without a file");
    }
    for (key, field, range) in [("nice", &table.nice, -20..=19), ("oom_score_adj", &table.oom_score_adj, -1000..=1000)]
    {
        if let Some(number) = field.value.filter(|number| !range.contains(number)) {
            let message = format!("`{key}` is {number}, but must be from {} to {}", range.start(), range.end());
            reader.error(field.span.clone(), message);
        }
    }
    Some(Limits {
        files: table.files.optional()?,
        nice: table.nice.optional()?,
        oom_score_adj: table.oom_score_adj.optional()?,
    })
}

/// Smaller segments would be closed by every few lines.
const SMALLEST_SEGMENT: u64 = 4096;

fn log(reader: &mut Reader<'_>, table: LogTable) -> Option<Log> {
    if table.max_size.value.is_some_and(|size| size.0 < SMALLEST_SEGMENT) {
        reader.error(table.max_size.span.clone(), "`max_size` must be at least 4KiB");
    }
    at_least_one(reader, &table.keep, "the file that is being written counts too");
    Some(Log { max_size: table.max_size.value?.0, keep: table.keep.value?, overflow: table.overflow.value? })
}

fn positive(reader: &mut Reader<'_>, field: &Field<Span>) {
    if field.value.is_some_and(|span| span.0.is_zero()) {
        reader.error(field.span.clone(), "this duration must be longer than zero");
    }
}

fn at_least_one(reader: &mut Reader<'_>, field: &Field<u32>, hint: &str) {
    if field.value == Some(0) {
        reader.error_hint(field.span.clone(), "this number must be at least 1", hint);
    }
}
