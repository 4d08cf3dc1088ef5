//! Three services on three ports, started from two terminals, and a stranger on one of the ports: from the first start of
//! the day to the evening (R4.2, R4.4, R7.1, R7.3).

use vigie_real_tests::{World, alive, free_port};

fn ports() -> [u16; 3] {
    [(); 3].map(|()| free_port())
}

fn manifest([api, admin, web]: [u16; 3]) -> String {
    let service = |name: &str, port: u16| {
        format!(
            "[service.{name}]\ncommand = [\"@hostile\", \"listen\", \"{port}\", \"http\"]\nports = [{port}]\n\
             ready = {{ http = \"http://127.0.0.1:{port}/\", within = \"30s\" }}\n"
        )
    };
    service("api", api) + &service("admin", admin) + &service("web", web)
}

#[test]
fn a_day_with_three_services() {
    let world = World::new();
    let ports = ports();
    world.manifest(&manifest(ports));

    // Before the first start: all free.
    let checked = world.vigie(&["ports"]).run();
    for (name, port) in [("api", ports[0]), ("admin", ports[1]), ("web", ports[2])] {
        let line = format!("Port {port} ({name}): free");
        assert!(checked.text().contains(&line), "{line}: {checked}");
    }
    checked.code(0);

    // The first start of the day, and the second one from another terminal.
    world.vigie(&["up", "-d"]).run().code(0);
    let pids: Vec<u32> = ["api", "admin", "web"].iter().map(|name| world.pid(name)).collect();
    let mut second = world.terminal(&["up", "-d"]);
    let status = second.finish();
    assert_eq!(status.code(), Some(3), "{}", second.screen());
    for pid in &pids {
        assert!(second.screen().contains(&format!("PID {pid}")), "{pid} is not named: {}", second.screen());
    }
    let checked = world.vigie(&["ports"]).run().code(1);
    for (name, port, pid) in [("api", ports[0], pids[0]), ("admin", ports[1], pids[1]), ("web", ports[2], pids[2])] {
        let text = checked.text();
        let line =
            text.lines().find(|line| line.starts_with(&format!("Port {port} ({name}): used"))).map(str::to_owned);
        let line = line.unwrap_or_else(|| panic!("{name} on {port} is not said to be used: {checked}"));
        assert!(line.contains(&format!("PID {pid}")), "{line}");
    }

    // A restart after changes: the same ports, other processes.
    world.vigie(&["restart", "api", "admin", "web", "--yes"]).run().code(0);
    for (name, before) in ["api", "admin", "web"].iter().zip(&pids) {
        assert!(!alive(*before), "{name}");
        assert_eq!(world.wait_state(name, "ready")["state"], "ready");
    }

    // The evening.
    world.vigie(&["down", "--yes"]).run().code(0);
    world.vigie(&["ports"]).run().code(0);
}

/// The stranger on a port is named, is not ended by accident, and is ended when that is asked for.
#[test]
fn a_stranger_on_the_port() {
    let world = World::new();
    let ports = ports();
    world.manifest(&manifest(ports));
    let stranger = world.stranger(&["listen", &ports[1].to_string()]).start();
    stranger.wait_out("ready ");
    let refused = world.vigie(&["up", "-d"]).run().code(3);
    let named = format!("{}{}", refused.text(), refused.errors());
    assert!(named.contains(&format!("PID {}", stranger.pid())), "{named}");
    assert!(alive(stranger.pid()), "nobody asked for its end");
    // Nothing was started: it is all or nothing where a claim is known to be held.
    let explained = world.vigie(&["why", &format!("port:{}", ports[1])]).run();
    assert!(explained.text().contains(&stranger.pid().to_string()), "{explained}");
    world.vigie(&["free", &ports[1].to_string()]).run().code(4);
    assert!(alive(stranger.pid()), "nobody has confirmed it");
    world.vigie(&["free", &ports[1].to_string(), "--yes"]).run().code(0);
    stranger.finish();
    world.vigie(&["up", "-d"]).run().code(0);
    world.vigie(&["down", "--yes"]).run().code(0);
}
