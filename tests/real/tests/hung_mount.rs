//! R8.3: a file system that has stopped answering stops nobody who only looks.

use vigie_real_tests::{World, is_root, skip};

/// A process works in a folder of such a file system, holds a file there, and listens on a port: whoever asks for the
/// status of any of that would wait for ever.
#[test]
fn every_command_comes_back() {
    if !is_root() {
        return skip("every_command_comes_back", "only root may mount");
    }
    if !std::path::Path::new("/dev/fuse").exists() {
        return skip("every_command_comes_back", "the kernel has no FUSE");
    }
    let world = World::new();
    let folder = world.register("mount");
    let hung = world.stranger(&["hung-mount", &folder.to_string_lossy()]).start();
    let said = hung.wait_out("hung ");
    let port: u16 = said.trim().parse().expect("a port");
    world.manifest(&format!(
        "[service.a]\ncommand = [\"@hostile\", \"hung-mount\", {folder:?}]\nports = [{port}]\n\
         [service.b]\ncommand = \"@hostile wait\"\n"
    ));
    world.vigie(&["up", "-d", "b"]).run().code(0);
    let pid = hung.pid().to_string();
    let (of_port, of_pid) = (format!("port:{port}"), format!("pid:{pid}"));
    let number = port.to_string();
    let lines: [&[&str]; 12] = [
        &["status"],
        &["status", "--json"],
        &["ports"],
        &["ports", &number],
        &["strays"],
        &["sweep", "--dry-run"],
        &["why", &of_pid],
        &["why", &of_port],
        &["why", "a"],
        &["end", &of_pid, "--dry-run"],
        &["free", &number, "--dry-run"],
        &["up", "-d", "a"],
    ];
    for line in lines {
        // It fails by itself after its deadline.
        world.vigie(line).run();
    }
    let found = world.vigie(&["ports", &number]).run().code(1);
    assert!(found.text().contains(&format!("PID {pid}")), "{found}");
    world.vigie(&["free", &number, "--yes"]).run().code(0);
    world.vigie(&["ports", &number]).run().code(0);
    drop(hung);
}
