//! Wrong manifests: every error, with its place.

use super::*;

/// R2.1: all at once, not the first.
#[test]
fn all_errors_of_a_manifest() {
    let text = r#"
[project]
nmae = "x"

[service.api]
comand = ["a"]
command = "run 'it"
cwd = 5
env = { A = 1 }
ports = [0, "80/sctp", 8080]
after = { dbb = "ready", seed = "soon" }
ready = { http = "https://x/", every = "5", timeout = "0s" }
alive = { log = "x" }
notify = "none"

[service.db]
command = []
ports = [8080]
stop = ["TERM", "KILL main 1s"]
restart = { factor = 0.5, jitter = 2, attempts = 0, max_delay = "1ms", clean = [0, 300], fatal = [0] }
limits = { files = 0, nice = 20, oom_score_adj = 5000 }
log = { max_size = "1KiB", keep = 0, overflow = "blok" }

[service."ü"]
command = ["${NONE}"]

[service.seed]
kind = "task"
restart = "always"
ready = {}
"#;
    let expected = r#"vigie.toml:3:1: unknown key `nmae`; did you mean `name`?
vigie.toml:6:1: unknown key `comand`; did you mean `command`?
vigie.toml:7:16: this quote (') is not closed
vigie.toml:8:7: expected a path, found an integer
vigie.toml:9:13: expected a string in quotes, found an integer
vigie.toml:10:10: 0 is not a port: they go from 1 to 65535
vigie.toml:10:13: "80/sctp" is not a port: write for example 8000, "5004/udp", "127.0.0.1:8000" or "[::1]:9000/tcp"
vigie.toml:11:11: there is no service `dbb`; did you mean `db`?
vigie.toml:11:33: unknown value "soon"
vigie.toml:12:18: "https://x/" is not a URL that can be asked: only http is asked, without TLS
vigie.toml:12:40: "5" is not a duration: write for example 250ms, 5s, 2m, 1m30s
vigie.toml:12:55: this duration must be longer than zero
vigie.toml:13:9: nothing is asked here
vigie.toml:13:11: `log` is no key here
vigie.toml:14:1: unknown key `notify`
vigie.toml:17:11: the command is empty
vigie.toml:19:9: "TERM" is not a rung: write "SIGNAL [main|group|tree] DURATION" or "close-stdin DURATION"
vigie.toml:19:17: "KILL main 1s" is not a rung: KILL is always for the tree
vigie.toml:20:22: `factor` is 0.5, but delays cannot shrink: at least 1
vigie.toml:20:36: `jitter` is 2, but must be from 0 to 1
vigie.toml:20:50: this number must be at least 1
vigie.toml:20:65: `max_delay` (1ms) is shorter than `delay` (500ms)
vigie.toml:20:84: 300 is not an exit code: they go from 0 to 255
vigie.toml:20:99: exit code 0 is both in `clean` and in `fatal`
vigie.toml:21:20: no program can start without a file
vigie.toml:21:30: `nice` is 20, but must be from -20 to 19
vigie.toml:21:50: `oom_score_adj` is 5000, but must be from -1000 to 1000
vigie.toml:22:20: `max_size` must be at least 4KiB
vigie.toml:22:35: this number must be at least 1
vigie.toml:22:49: unknown value "blok"; did you mean "block"?
vigie.toml:24:10: "ü" is not a name: it must start with a letter or a digit
vigie.toml:25:13: the variable `NONE` is unset and has no default
vigie.toml:27:1: the key `command` is missing
vigie.toml:29:11: a task cannot be restarted always
vigie.toml:30:9: nothing is asked here
"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn syntax_errors_come_with_the_others() {
    let text = "[service.a]\ncommand = [\"x\"]\nkind = service\nscope = \"usr\"\n[service.b\n[service.a]\n";
    assert_eq!(
        errors(text),
        "vigie.toml:3:8: string values must be quoted, expected literal string\n\
         vigie.toml:4:9: unknown value \"usr\"; did you mean \"user\"?\n\
         vigie.toml:5:11: unclosed table, expected `]`\n\
         vigie.toml:6:10: `a` is defined twice\n"
    );
}

/// One service `a` with a command and these keys, from line 3 on.
fn errors_of(keys: &str) -> String {
    errors(&format!("[service.a]\ncommand = [\"x\"]\n{keys}"))
}

#[test]
fn one_by_one() {
    for (keys, expected) in [
        ("ready = { tcp = \"a:1\", log = \"x\" }", "3:30: `log` stands beside `tcp`, but only one thing can be asked"),
        ("ready = { tcp = \"a:1\", status = 200 }", "3:33: `status` belongs to an `http` probe"),
        ("ready = { http = \"http://a\", status = 99 }", "3:39: 99 is not an HTTP status: they go from 100 to 599"),
        ("ready = { http = \"http://a\", status = -1 }", "3:39: -1 is not between 0 and 65535"),
        (
            "ready = { tcp = \"a:1\", every = \"2s\", within = \"1s\" }",
            "3:47: `within` (1s) is shorter than `every` (2s)",
        ),
        ("ready = { tcp = \"a:1\", every = \"1m\" }", "3:32: `within` (30s) is shorter than `every` (1m)"),
        ("ready = { log = \"(\" }", "3:17: \"(\" is not a regular expression: *"),
        ("ready = { exec = \"a | b\" }", "3:21: `|` needs a shell"),
        ("ready = { exec = [] }", "3:18: the command is empty"),
        ("ready = \"http://a\"", "3:9: expected a table, found a string"),
        ("alive = { tcp = \"a:1\", failures = 0 }", "3:35: this number must be at least 1"),
        ("stop = []", "3:8: a ladder needs at least one rung"),
        ("restart = 5", "3:11: expected a table, or one of \"never\", \"failure\", \"always\", found an integer"),
        ("restart = { clean = [1, 1] }", "3:25: exit code 1 is in `clean` twice"),
        ("restart = { fatal = [0] }", "3:22: exit code 0 is both in `clean` and in `fatal`"),
        ("restart = { delay = \"2m\" }", "3:21: `max_delay` (1m) is shorter than `delay` (2m)"),
        ("restart = { factor = nan }", "3:22: this number is not finite"),
        ("restart = { attempts = 99999999999999999999 }", "3:24: 99999999999999999999 is too large"),
        ("mode.m = { duration = \"0\" }", "3:23: this duration must be longer than zero"),
        ("mode.m = { arg = [] }", "3:12: unknown key `arg`; did you mean `args`?"),
        ("mode.\"a b\" = {}", "3:6: \"a b\" is not a name: only letters, digits, '.', '_' and '-' are allowed"),
        ("profiles = [\"\"]", "3:13: \"\" is not a name: it is empty"),
        ("match = {}", "3:9: `match` needs script, module or executable"),
        ("match = { args = [\"x\"] }", "3:9: `match` needs script, module or executable"),
        ("match = { script = \"a\", module = \"b\" }", "3:34: a process runs a script or a module, not both"),
        ("match = { script = \"a\", scripts = 1 }", "3:25: unknown key `scripts`; did you mean `script`?"),
        ("shell = true", "2:11: with `shell = true` the command is one string"),
        ("cwd = \"\"", "3:7: the path is empty"),
        ("env = { \"A=B\" = \"x\" }", "3:9: \"A=B\" cannot be the name of a variable"),
        ("env = { A = \"x\\u0000\" }", "3:13: a string for a program cannot hold a NUL"),
        ("cwd = \"\\t${NONE}\"", "3:7: the variable `NONE` is unset and has no default"),
        ("cwd = \"a/${NONE}\"", "3:10: the variable `NONE` is unset and has no default"),
        ("after = { a = \"ready\" }", "3:11: these services wait for each other: a → a"),
        ("after = [\"a\"]", "3:9: expected a table, found an array"),
        ("ports = [80, \"127.0.0.1:80\"]", "3:14: port 127.0.0.1:80/tcp is claimed by this service already, as 80/tcp"),
    ] {
        let errors = errors_of(keys);
        let expected = format!("vigie.toml:{expected}");
        match expected.strip_suffix('*') {
            Some(start) => assert!(errors.starts_with(start) && errors.lines().count() == 1, "{keys}\n{errors}"),
            None => assert_eq!(errors, format!("{expected}\n"), "{keys}"),
        }
    }
}

#[test]
fn shell_commands_take_no_arguments() {
    let text = "[service.a]\ncommand = \"x\"\nshell = true\nmode.m.args = [\"--y\"]";
    assert_eq!(errors(text), "vigie.toml:4:15: `args` do not reach a command with `shell = true`\n");
}

#[test]
fn cycles_are_named_once_each() {
    let service = |name: &str, after: &str| format!("[service.{name}]\ncommand = ['x']\nafter = {{ {after} }}\n");
    let text = [
        service("d", "c = 'ready'"),
        service("c", "a = 'ready'"),
        service("a", "b = 'ready'"),
        service("b", "c = 'started', e = 'ready'"),
        service("e", ""),
        service("f", "g = 'ready'"),
        service("g", "f = 'ready'"),
    ]
    .concat();
    assert_eq!(
        errors(&text),
        "vigie.toml:6:11: these services wait for each other: c → a → b → c\n\
         vigie.toml:18:11: these services wait for each other: f → g → f\n"
    );
}

#[test]
fn claims_of_two_services() {
    let text = "[service.a]\ncommand = ['x']\nports = [80]\n\
                [service.b]\ncommand = ['x']\nports = [\"[::1]:80\"]\nprofiles = ['x']\n";
    assert_eq!(errors(text), "vigie.toml:6:10: port [::1]:80/tcp is claimed by service `a` already, as 80/tcp\n");
}

#[test]
fn done_of_a_service_that_stays() {
    let text = "[service.a]\ncommand = ['x']\n[service.b]\ncommand = ['x']\nafter.a = 'done'\n";
    assert_eq!(errors(text), "vigie.toml:5:7: `a` is a service and stays, so it is never `done`\n");
}

/// What an env file that cannot be read may have defined is not reported as unset.
#[test]
fn env_files() {
    let text = "env_file = [\"none.env\", \"locked.env\", \"?none.env\", \"bad.env\"]\ncwd = \"${MAYBE}\"";
    assert_eq!(
        errors_of(text),
        "vigie.toml:3:13: cannot read env file /srv/demo/none.env: there is no such file\n\
         vigie.toml:3:25: cannot read env file /srv/demo/locked.env: permission denied\n\
         /srv/demo/bad.env:2:1: this line has no `=`; write KEY=VALUE\n"
    );
}

#[test]
fn hints_say_what_to_do() {
    let errors = read("[service.a]\ncommand = [\"x\"]\nnotify = \"none\"\n").expect_err("unknown key");
    let rendered = errors[0].render();
    assert!(
        rendered.starts_with("vigie.toml:3:1: unknown key `notify`\n  |\n3 | notify = \"none\"\n  | ^^^^^^\n"),
        "{rendered}"
    );
    assert!(rendered.contains("\n  = this version knows env_file, env, command"), "{rendered}");
}
