use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(split(line))
}

/// Splits as a shell does, as far as the examples need it.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for c in line.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == ' ' => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[test]
fn the_definitions_hold_together() {
    Cli::command().debug_assert();
}

/// Every line of R3 and of the sources' documents that belongs to this stage.
#[test]
fn documented_lines_parse() {
    for line in [
        "vigie up",
        "vigie up api db -d --profile dev --profile test --duration 10s --timeout 1m",
        "vigie up robot:headless --duration 10s",
        "vigie up -f other/vigie.toml",
        "vigie up --file other.toml",
        "vigie down",
        "vigie down api --yes",
        "vigie start api",
        "vigie stop api --yes",
        "vigie stop api --force",
        "vigie stop api -f",
        "vigie stop api -y",
        "vigie stop --force api",
        "vigie stop demo/api pid:123 port:8000 port:5004/udp --dry-run --timeout 20s",
        "vigie stop api --ladder 'INT 2s,KILL 1s'",
        "vigie restart api --force",
        "vigie run --name x -- sleep 5",
        "vigie run -n x --scope machine --port 8000 --port 5004/udp -E 0 --wait 5s --log -- sh -c 'exit 7'",
        "vigie run -n x --ladder 'TERM 2s' --stop 'INT 2s,KILL 1s' -- cmd --yes -f",
        "vigie run -n x sleep 5",
        "vigie run -n x --replace -- sleep 5",
        "vigie run -n x --keep -- sleep 5",
        "vigie up -d --replace",
        "vigie up robot:headless --adopt",
        "vigie start api --keep",
        "vigie adopt robot",
        "vigie adopt pid:123 --as api:headless --timeout 5s",
        "vigie adopt port:8000 port:5004/udp --dry-run",
        "vigie doctor",
        "vigie doctor api --json",
        "vigie doctor pid:123 --fix --yes",
        "vigie doctor --watch",
        "vigie status",
        "vigie status api --json",
        "vigie status --watch",
        "vigie status --classic",
        "vigie status --all",
        "vigie logs api -f -n 20",
        "vigie logs --since '10 min ago' --until 12:00 --grep 'a.*b'",
        "vigie logs --run 0190f3a2b4c5d6e7 --raw api",
        "vigie events -f --since 5m --json -n 3",
        "vigie metrics",
        "vigie metrics demo/api --since 2h --until now --step 1m -m cpu --metric memory_bytes --json",
        "vigie metrics --all --watch",
        "vigie incidents",
        "vigie incidents --all --json --watch",
        "vigie incidents --since 1h",
        "vigie rules",
        "vigie rules ls --json",
        "vigie rules set crash-loop exits=3 within=30s",
        "vigie rules reset crash-loop",
        "vigie notify add phone ntfy://ntfy.sh/topic",
        "vigie notify add hook http://127.0.0.1:9/ --private",
        "vigie notify add phone -",
        "vigie notify ls --json",
        "vigie notify rm phone",
        "vigie notify test",
        "vigie notify test phone --json",
        "vigie notify silence",
        "vigie notify silence api --for 2h --reason deploy",
        "vigie notify silence --for 1h",
        "vigie notify silence --end 3 --json",
        "vigie events api container:web container:nas/web source:nas -n 20",
        "vigie source add local unix:///var/run/docker.sock",
        "vigie source add nas tcp://nas:2376 --tls-ca ca.pem --tls-cert cert.pem --tls-key key.pem",
        "vigie source add lab ssh://ana@lab --poll 60s --action die --action oom --ignore-name 'ci-*'",
        "vigie source add lab context:lab --poll --replace",
        "vigie source add lab /run/docker.sock --no-events",
        "vigie source ls --json",
        "vigie source test nas --json",
        "vigie source pause nas",
        "vigie source resume nas",
        "vigie source rm nas",
        "vigie ports",
        "vigie ports 8000 5004/udp '[::1]:9000/tcp'",
        "vigie ports --for api --json --watch",
        "vigie free 8000",
        "vigie free 8000 5004/udp 127.0.0.1:9000 '[::1]:9001' port:7000 --yes --timeout 2s --others --json",
        "vigie free 8000 --force --dry-run",
        "vigie why api",
        "vigie why robot:headless --json",
        "vigie why pid:4711",
        "vigie why port:8000 --file other.toml",
        "vigie end pid:4711",
        "vigie end pid:4711 port:8000/udp demo/api --upto TERM --timeout 3s --yes",
        "vigie end pid:4711 --upto kill --dry-run",
        "vigie reset api",
        "vigie kill-all",
        "vigie kill-all --yes",
        "vigie kill-all --dry-run",
        "vigie daemon start",
        "vigie daemon stop --yes",
        "vigie daemon status --json",
        "vigie daemon run",
        "vigie config check",
        "vigie config check -f x.toml",
        "vigie config show --json --reveal",
        "vigie config schema",
        "vigie completions bash",
        "vigie completions zsh",
        "vigie completions fish",
        "vigie man",
        "vigie man /tmp/man1",
        "vigie help",
        "vigie help exit-codes",
        "vigie help config check",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}\n{error}");
        }
    }
}

/// Each example in a help text is a line that works.
#[test]
fn examples_parse() {
    let mut seen = 0;
    let mut open = vec![Cli::command()];
    while let Some(command) = open.pop() {
        let help = command.clone().render_long_help().to_string();
        let Some((_, examples)) = help.split_once("Examples:\n") else {
            open.extend(command.get_subcommands().cloned());
            continue;
        };
        for example in examples.lines().take_while(|line| line.starts_with("  ")) {
            let line = example.trim();
            // Behind three spaces stands what it does; behind `|` and `>` what is another program's.
            let line = line.split_once("   ").map_or(line, |(line, _)| line).trim();
            let line = line.split_once(" > ").or_else(|| line.split_once(" | ")).map_or(line, |(line, _)| line);
            let result = parse(line);
            assert!(result.is_ok(), "{line}\n{}", result.err().map(|error| error.to_string()).unwrap_or_default());
            seen += 1;
        }
        open.extend(command.get_subcommands().cloned());
    }
    assert!(seen > 30, "only {seen} examples found");
}

#[test]
fn wrong_lines_are_usage_errors() {
    for line in [
        "vigie",
        "vigie nope",
        "vigie up --nope",
        "vigie up 'a b'",
        "vigie up --duration 5",
        "vigie stop",
        "vigie start",
        "vigie restart",
        "vigie reset",
        "vigie run -- sleep 5",
        "vigie run -n x",
        "vigie run -n 'a b' -- true",
        "vigie run -n x --scope galaxy -- true",
        "vigie run -n x --port 0 -- true",
        "vigie run -n x -E 300 -- true",
        "vigie run -n x --ladder 'NOPE 1s' -- true",
        "vigie status --json --classic",
        "vigie logs --since soon",
        "vigie logs --grep '('",
        "vigie logs --run xyz",
        "vigie logs -f --until 5m",
        "vigie logs --raw -n 5",
        "vigie logs --raw -f",
        "vigie metrics --metric heat",
        "vigie metrics --step 5",
        "vigie metrics --watch --until 5m",
        "vigie metrics api --all",
        "vigie daemon",
        "vigie config",
        "vigie completions tcsh",
        "vigie kill-all api",
    ] {
        let error = parse(line).expect_err(line);
        assert!(error.use_stderr(), "{line}: {error}");
    }
}

/// What `run` runs keeps its own flags.
#[test]
fn the_command_of_run_is_left_alone() {
    for line in ["vigie run -n x -- cmd -n y --log", "vigie run -n x cmd -n y --log"] {
        let Verb::Run(args) = parse(line).expect(line).verb else { panic!("{line}") };
        assert_eq!(args.command, ["cmd", "-n", "y", "--log"], "{line}");
        assert_eq!((args.name.as_str(), args.log), ("x", false), "{line}");
    }
}

/// R3.4: the one table is what the help shows.
#[test]
fn help_names_every_exit_code() {
    let help = Cli::command().render_long_help().to_string();
    assert_eq!(
        exit_codes(),
        "Exit codes:
    0  done / yes
    1  the honest no: ports used, findings open, not ready, declined
    2  usage or manifest error
    3  refused: already running
    4  needs confirmation
    5  deadline passed, still alive
    6  stuck: KILL is pending and the kernel does not end it
    7  not permitted / cannot see
    8  not found / not running
    9  daemon or source unreachable
   70  internal error
  125  run only: vigie failed
  126  run only: not executable
  127  run only: not found"
    );
    for (code, meaning) in ExitCode::TABLE {
        assert!(help.contains(&format!("{:>3}  {meaning}", code.number())), "{code:?}");
    }
}

/// R3.5: help has examples.
#[test]
fn every_verb_has_examples() {
    // What the daemon starts is nothing for people.
    for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let help = verb.clone().render_long_help().to_string();
        assert!(help.contains("Examples:"), "{}", verb.get_name());
        assert!(verb.get_about().is_some(), "{} says what it does", verb.get_name());
    }
}
