//! Ports, descriptors, room, and vigie's own health.

use super::*;

#[test]
fn a_port_that_another_has() {
    let port = |wanted, holders: &[(u32, &str)]| Facts {
        ports: vec![TakenPort {
            port: "8000".parse().expect("port"),
            service: "demo/a".to_owned(),
            wanted,
            holders: holders.iter().map(|(pid, name)| (*pid, (*name).to_owned())).collect(),
        }],
        ..Facts::default()
    };
    let one = |facts: &Facts| Doctor::new(Scope::Machine).look(facts).remove(0);
    let taken = one(&port(true, &[(5, "nc")]));
    assert_eq!((taken.severity, taken.kind, &taken.pids[..]), (Severity::Critical, Kind::PortTaken, &[5][..]));
    assert!(taken.text.contains("PID 5 (nc)"), "{}", taken.text);
    let hidden = one(&port(false, &[]));
    assert!(hidden.severity == Severity::Warning && hidden.text.contains("cannot be seen"), "{}", hidden.text);
}

#[test]
fn descriptors_near_their_limit() {
    let found = |open, limit| {
        let one = Descriptors { pid: 5, name: "a".to_owned(), of: "demo/a".to_owned(), open, limit };
        looks(Scope::Machine, &[0], &Facts { descriptors: vec![one], ..Facts::default() })
    };
    assert_eq!(found(819, 1024), NOTHING);
    assert_eq!(found(820, 1024), ["warning descriptors pid:5"]);
    assert_eq!(found(1024, 1024), ["critical descriptors pid:5"]);
    assert_eq!(found(3, 0), NOTHING, "nothing is known of its limit");
}

#[test]
fn little_room() {
    const MIB: u64 = 1 << 20;
    let found = |size: u64, free: u64, inodes: Option<(u64, u64)>| {
        let disk = Disk {
            what: "state",
            path: "/v".to_owned(),
            size: Some(size),
            free: Some(free),
            inodes: inodes.map(|(all, _)| all),
            free_inodes: inodes.map(|(_, free)| free),
        };
        looks(Scope::Machine, &[0], &Facts { disks: vec![disk], ..Facts::default() })
    };
    assert_eq!(found(100_000 * MIB, 2_000 * MIB, None), NOTHING, "two percent of much is enough");
    assert_eq!(found(100_000 * MIB, 900 * MIB, None), ["warning low-disk /v"]);
    assert_eq!(found(100 * MIB, 30 * MIB, None), NOTHING, "a small file system in memory");
    assert_eq!(found(100 * MIB, 15 * MIB, None), ["critical low-disk /v"]);
    assert_eq!(found(100_000 * MIB, 50_000 * MIB, Some((1000, 9))), ["warning low-disk /v"]);
    assert_eq!(found(100_000 * MIB, 50_000 * MIB, Some((1000, 10))), NOTHING);
    let silent = Disk { what: "logs", path: "/l".to_owned(), size: None, free: None, inodes: None, free_inodes: None };
    assert_eq!(looks(Scope::Machine, &[0], &Facts { disks: vec![silent], ..Facts::default() }), NOTHING);
}

#[test]
fn vigies_own_health() {
    let version = "1".to_owned();
    let daemon = |state, answers, version: Option<&str>| Facts {
        daemon: Some(Daemon {
            process: Some(process(5, "vigie", state)),
            answers,
            version: version.map(str::to_owned),
        }),
        version: "1".to_owned(),
        ..Facts::default()
    };
    assert_eq!(looks(Scope::Machine, &[0, 1], &daemon('S', true, Some("1"))), NOTHING);
    assert_eq!(looks(Scope::Machine, &[0], &daemon('S', true, Some("0"))), ["notice version pid:5"]);
    assert_eq!(looks(Scope::Machine, &[0], &daemon('S', false, None)), NOTHING, "a busy machine");
    assert_eq!(looks(Scope::Machine, &[0, 1], &daemon('S', false, None)), ["critical daemon daemon"]);
    let cures = |facts: &Facts| {
        let mut doctor = Doctor::new(Scope::Machine);
        doctor.look(facts);
        let found = doctor.look(facts).remove(0);
        found.remedies.iter().map(|remedy| (remedy.name, remedy.cure.is_some())).collect::<Vec<_>>()
    };
    assert_eq!(cures(&daemon('T', false, None)), [("continue", true)]);
    assert_eq!(cures(&daemon('S', false, None)), [("kill", false)]);
    let keeper = |state, answers, theirs: &str| Facts {
        keepers: vec![Keeper {
            process: process(6, "vigie-keeper", state),
            service: "demo/a".to_owned(),
            answers,
            version: theirs.to_owned(),
            foreign: false,
            record: "/r".to_owned(),
        }],
        version: version.clone(),
        ..Facts::default()
    };
    assert_eq!(looks(Scope::Machine, &[0, 1], &keeper('S', true, "1")), NOTHING);
    assert_eq!(looks(Scope::Machine, &[0], &keeper('T', false, "1")), NOTHING);
    assert_eq!(looks(Scope::Machine, &[0, 1], &keeper('T', false, "1")), ["critical keeper pid:6"]);
    assert_eq!(looks(Scope::Machine, &[0], &keeper('S', true, "0")), ["notice version pid:6"]);
    let journal = |fault: Option<&str>, size| Facts {
        journal: Some(Journal { path: "/j".to_owned(), fault: fault.map(str::to_owned), size: Some(size) }),
        ..Facts::default()
    };
    assert_eq!(looks(Scope::Machine, &[0], &journal(None, 1 << 30)), NOTHING);
    assert_eq!(looks(Scope::Machine, &[0], &journal(None, (1 << 30) + 1)), ["notice journal /j"]);
    assert_eq!(looks(Scope::Machine, &[0], &journal(Some("damaged"), 5)), ["critical journal /j"]);
}
