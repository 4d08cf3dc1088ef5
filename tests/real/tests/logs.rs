//! Stored output (R6.9): every byte, in order, whatever happens around it.

use vigie_hostile::content;
use vigie_real_tests::{SmallDisk, World, until};

/// How much is written in one burst.
const BURST: usize = 100 << 20;

/// 100 MB, rotated, the daemon killed in between: no byte lost, order kept, partial last line kept.
#[test]
fn a_burst_with_rotation_and_without_a_daemon() {
    let world = World::new();
    // The last line is cut off in the middle.
    let length = BURST + 37;
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile flood {length}\"\nkind = \"task\"\nlog = {{ max_size = \"4MiB\", keep = 100 }}\n"
    ));
    let up = world.vigie(&["up", "-d", "--timeout", "1ms"]).run();
    assert!(matches!(up.status.code(), Some(0 | 1 | 5)), "{up}");
    let folder = until("its log is begun", || {
        let logs = std::fs::read_dir(world.home().join("state/logs")).ok()?;
        logs.flatten().map(|entry| entry.path()).find(|path| path.join("000001.log").exists())
    });
    world.daemon().kill();
    world.wait_service("a", "over", |service| service["run"].is_null().then_some(()));
    world.vigie(&["daemon", "start"]).run().code(0);
    world.wait_state("a", "done");
    compare(&world.raw("a"), &content::lines(0, length, true));
    let segments = std::fs::read_dir(&folder).expect("its log").flatten();
    let segments = segments.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "log")).count();
    assert!(segments >= 25, "it was rotated: {segments} segments");
    assert!(world.events_of("a", "log_lost").is_empty());
    let exited = world.wait_events("a", "exited", 1);
    assert_eq!(exited[0]["detail"]["exit"]["code"], 0);
}

#[track_caller]
fn compare(found: &[u8], written: &[u8]) {
    if found == written {
        return;
    }
    let place = found.iter().zip(written).position(|(a, b)| a != b).unwrap_or(found.len().min(written.len()));
    let around = |bytes: &[u8]| {
        String::from_utf8_lossy(&bytes[place.saturating_sub(150).min(bytes.len())..bytes.len().min(place + 150)])
            .into_owned()
    };
    panic!(
        "{} bytes of {}; they differ from byte {place} on:\nfound\n{}\nwritten\n{}",
        found.len(),
        written.len(),
        around(found),
        around(written)
    );
}

#[test]
fn no_newline_at_all() {
    let world = World::new();
    let length = (60 << 20) + 1;
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile flood {length} no-newline\"\nkind = \"task\"\nlog = {{ max_size = \"8MiB\", keep = 100 }}\n"
    ));
    world.vigie(&["up", "-d"]).run().code(0);
    compare(&world.raw("a"), &content::lines(0, length, false));
}

#[test]
fn binary_output() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile bytes 300000\"\nkind = \"task\"\nlog = { max_size = \"64KiB\", keep = 100 }\n");
    world.vigie(&["up", "-d"]).run().code(0);
    compare(&world.raw("a"), &content::bytes(300_000));
    // At a terminal it is made harmless; for programs it is a line of JSON each.
    let vigie = vigie_real_tests::program("vigie").to_string_lossy().into_owned();
    let mut terminal = world.terminal_of(&vigie, &["logs", "a"], &[("NO_COLOR", "1")]);
    assert_eq!(terminal.finish().code(), Some(0));
    terminal.hang_up();
    let screen = terminal.screen();
    let reaches = |c: char| c.is_control() && !matches!(c, '\r' | '\n' | '\t');
    assert!(screen.len() > 300_000 && !screen.contains(reaches), "a control character reaches the terminal");
    for line in world
        .vigie(&["logs", "a", "--json"])
        .run()
        .code(0)
        .out
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        serde_json::from_slice::<serde_json::Value>(line).expect("JSON");
    }
}

/// What is kept is bounded: the oldest goes.
#[test]
fn what_is_kept_is_bounded() {
    let world = World::new();
    let length = 10 << 20;
    world.manifest(&format!(
        "[service.a]\ncommand = \"@hostile flood {length}\"\nkind = \"task\"\nlog = {{ max_size = \"1MiB\", keep = 3 }}\n"
    ));
    world.vigie(&["up", "-d"]).run().code(0);
    let found = world.raw("a");
    assert!((2 << 20..5 << 20).contains(&found.len()), "{} bytes", found.len());
    compare(&found, &content::lines(length - found.len(), found.len(), true));
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| Some(&line[line.find("tick ")?..])).collect()
}

/// `-n`, `--grep`, `--since`, `--until`, `--run`.
#[test]
fn a_part_of_it() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile tick 2\"\nready = { log = \"^tick 30$\" }\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let run = world.service("a")["run"]["id"].as_str().expect("its run").to_owned();
    world.vigie(&["stop", "a", "--yes"]).run().code(0);
    let all = world.vigie(&["logs", "a"]).run().code(0).text();
    let all = lines(&all);
    assert!(all.len() > 30);
    let part = |args: &[&str]| world.vigie(&[&["logs", "a"], args].concat()).run().code(0).text();
    assert_eq!(lines(&part(&["-n", "3"])), all[all.len() - 3..]);
    assert_eq!(lines(&part(&["--grep", "^tick [12]$"])), ["tick 1", "tick 2"]);
    assert_eq!(lines(&part(&["--grep", "tick", "-n", "1"])), all[all.len() - 1..]);
    assert_eq!(lines(&part(&["--run", &run])), all);
    assert_eq!(lines(&part(&["--since", "1h"])), all);
    assert!(lines(&part(&["--until", "1h"])).is_empty());
    // The time of a line that JSON tells is a point to begin at.
    let json = part(&["--json"]);
    let parsed: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let at = parsed[10]["at"].as_str().expect("a time");
    // Lines that came with one look of the keeper have one time.
    let first = parsed.iter().position(|line| line["at"] == at).expect("it has it itself");
    let last = parsed.iter().rposition(|line| line["at"] == at).expect("it has it itself");
    assert_eq!(lines(&part(&["--since", at])), all[first..]);
    assert_eq!(lines(&part(&["--until", at])), all[..=last]);
    world.vigie(&["logs", "nope"]).run().code(8);
}

/// `-f` goes on through rotation and through a restart of the service, and ends with its reader.
#[test]
fn followed_through_rotation() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile tick 1\"\nlog = { max_size = \"4KiB\", keep = 1000 }\n");
    world.vigie(&["up", "-d"]).run().code(0);
    let follow = world.vigie(&["logs", "-f", "a"]).start();
    follow.wait_out("tick 700");
    let out = follow.lines();
    follow.kill();
    let numbers: Vec<u64> = out.iter().filter_map(|line| line[line.find("tick ")? + 5..].trim().parse().ok()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a hole or a turn: {numbers:?}");
}

/// Both streams, several services, one order.
#[test]
fn merged_by_time() {
    let world = World::new();
    let service = |name: &str, after: &str| {
        format!(
            "[service.{name}]\nkind = \"task\"\nshell = true\nafter = {{ {after} }}\n\
             command = \"echo {name} out; echo {name} err >&2\"\n"
        )
    };
    world.manifest(&[service("a", ""), service("b", "a = \"done\""), service("c", "b = \"done\"")].concat());
    world.vigie(&["up", "-d"]).run().code(0);
    let text = world.vigie(&["logs"]).run().code(0).text();
    let order: Vec<&str> = text
        .lines()
        .filter_map(|line| {
            ["a out", "a err", "b out", "b err", "c out", "c err"].into_iter().find(|part| line.ends_with(part))
        })
        .collect();
    assert_eq!(order.len(), 6, "{text}");
    // The two pipes of one process have no order between them, its life and the next have.
    assert!(
        order[..2].iter().all(|line| line.starts_with('a')) && order[4..].iter().all(|line| line.starts_with('c')),
        "{text}"
    );
    let json = world.vigie(&["logs", "--json"]).run().code(0).text();
    let streams = json.lines().filter(|line| line.contains("\"err\"")).count();
    assert_eq!(streams, 3, "{json}");
}

/// A pipe that an orphan holds does not keep the stop waiting, and what it wrote is kept.
#[test]
fn what_an_orphan_writes_is_kept() {
    let world = World::new();
    world.manifest(
        "[service.a]\nkind = \"task\"\nshell = true\norphans = \"keep\"\n\
         command = \"(sleep 0.3; echo from the orphan) & echo from main\"\n",
    );
    world.vigie(&["up", "-d"]).run().code(0);
    world.wait_service("a", "over", |service| service["run"].is_null().then_some(()));
    assert_eq!(String::from_utf8_lossy(&world.raw("a")), "from main\nfrom the orphan\n");
}

/// `run --log` keeps the output too, and passes it on.
#[test]
fn the_output_of_a_run() {
    let world = World::new();
    let done = world.vigie(&["run", "-n", "x", "--log", "--", "@hostile", "exit", "7", "500"]).run().code(7);
    let written = content::lines(0, 500 * content::LINE, true);
    compare(&done.out, &written);
    compare(&world.raw("x"), &written);
}

/// The disk is full: the service goes on, what is lost is counted, and what was kept is in order.
#[test]
fn a_full_disk() {
    let world = World::new();
    let Some(small) = SmallDisk::at(&world.home().join("state/logs"), "a_full_disk") else { return };
    let length = 4 << 20;
    world.manifest(&format!("[service.a]\ncommand = \"@hostile flood {length}\"\nkind = \"task\"\n"));
    world.vigie(&["up", "-d"]).run().code(0);
    assert_eq!(world.service("a")["last_exit"]["code"], 0);
    let kept = world.raw("a");
    let written = content::lines(0, length, true);
    assert!(!kept.is_empty() && kept.len() < length && written.starts_with(&kept), "{} bytes are kept", kept.len());
    let lost: u64 =
        world.wait_events("a", "log_lost", 1).iter().filter_map(|event| event["detail"]["bytes"].as_u64()).sum();
    assert_eq!(lost, (length - kept.len()) as u64, "what is not kept is counted:\n{}", world.story());
    world.vigie(&["daemon", "stop", "--yes"]).run().code(0);
    drop(small);
}
