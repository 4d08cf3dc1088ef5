use super::*;

const MOUNTINFO: &[u8] = b"22 1 0:5 / /proc rw - proc proc rw
24 1 0:22 / /sys/fs/cgroup/freezer rw,relatime shared:9 - cgroup cgroup rw,freezer
25 1 0:23 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
26 1 0:24 / /sys/fs/cgroup/uni\\040fied rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
";

#[test]
fn the_own_folders_are_found() {
    let own = find::parse(MOUNTINFO, b"6:freezer:/\n1:cpu,cpuacct:/x\n0::/user.slice/a:b\n");
    assert_eq!(own.v2.as_deref(), Some(Path::new("/sys/fs/cgroup/uni fied/user.slice/a:b")));
    assert_eq!(own.freezer.as_deref(), Some(Path::new("/sys/fs/cgroup/freezer")));
}

#[test]
fn a_mount_that_shows_a_part_of_the_tree() {
    let mountinfo = b"26 1 0:24 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
    let v2 = |path: &str| find::parse(mountinfo, format!("0::{path}\n").as_bytes()).v2;
    assert_eq!(v2("/docker/ab"), Some("/sys/fs/cgroup".into()));
    assert_eq!(v2("/docker/ab/x"), Some("/sys/fs/cgroup/x".into()));
    assert_eq!(v2("/docker/abc"), None);
    assert_eq!(v2("/elsewhere"), None);
}

#[test]
fn what_cannot_be_seen_is_absent() {
    let outside = b"26 1 0:24 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    assert_eq!(find::parse(outside, b"0::/../other\n"), Own::default());
    assert_eq!(find::parse(b"", b"0::/\n"), Own::default());
    assert_eq!(find::parse(outside, b""), Own::default());
}

#[test]
fn keyed_files() {
    assert_eq!(v2::flag(b"populated 1\nfrozen 0\n", b"populated"), Some(true));
    assert_eq!(v2::flag(b"populated 1\nfrozen 0\n", b"frozen"), Some(false));
    assert_eq!(v2::flag(b"populated 1\n", b"frozen"), None);
}

type Kill = fn(&Cgroup) -> Result<(), OsError>;

/// Whether a real tree can be written to is up to the machine; where it can, all of it must work.
#[test]
fn a_real_tree_is_killed_and_removed() {
    let own = own(Path::new("/proc"));
    let v2 = Own { freezer: None, ..own.clone() };
    let ways: [(Own, Kill); 3] =
        [(v2.clone(), Cgroup::kill), (v2, v2::kill_frozen), (Own { v2: None, ..own }, Cgroup::kill)];
    for (number, (own, kill)) in (0_u64..).zip(ways) {
        let run = RunId(0xfeed_0000_0000_0000 | u64::from(std::process::id()) << 8 | number);
        let Some(cgroup) = Cgroup::create(&own, run) else { continue };
        assert!(!cgroup.populated());
        let below = cgroup.path().join("below");
        std::fs::create_dir(&below).expect("a folder that the run makes itself");
        let mut sleepers = [cgroup.path(), &below].map(|folder| {
            let sleeper = std::process::Command::new("sleep").arg("600").spawn().expect("sleep is installed");
            std::fs::write(folder.join("cgroup.procs"), sleeper.id().to_string()).expect("moves");
            sleeper
        });
        let mut processes = cgroup.processes();
        processes.sort_unstable();
        let mut wanted = sleepers.each_ref().map(std::process::Child::id);
        wanted.sort_unstable();
        assert_eq!(processes, wanted);
        assert!(cgroup.contains(processes[0]) && cgroup.contains(processes[1]) && cgroup.populated());
        assert!(!cgroup.contains(std::process::id()));
        assert!(cgroup.remove(crate::clock::mono()).is_err(), "it is populated");
        kill(&cgroup).expect("kills");
        for sleeper in &mut sleepers {
            assert!(!sleeper.wait().expect("waits").success());
        }
        cgroup.remove(crate::clock::mono() + Duration::from_secs(20)).expect("empty");
        assert!(!cgroup.path().exists());
        assert!(Cgroup::existing(cgroup.path()).is_none());
    }
}

/// Run ids hold 16 random bits: two runs that start in the same millisecond may get the same one.
#[test]
fn two_runs_of_one_id_share_no_folder() {
    let run = RunId(0xfade_0000_0000_0000 | u64::from(std::process::id()));
    let own = own(Path::new("/proc"));
    let Some(first) = Cgroup::create(&own, run) else { return };
    let second = Cgroup::create(&own, run).expect("another folder");
    assert_ne!(first.path(), second.path());
    for cgroup in [first, second] {
        cgroup.remove(crate::clock::mono() + Duration::from_secs(20)).expect("empty");
    }
}
