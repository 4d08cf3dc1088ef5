use std::io::Read as _;
use std::time::Duration;

use super::*;
use crate::signals::{Reaped, reap};
use vigie_core::exit::Exit;

/// Forking tests share the children of one process: only `wait` by PID may be used here.
fn end_of(child: &Child) -> i32 {
    let (_, status) = rustix::process::waitpid(Some(child.pid), rustix::process::WaitOptions::empty())
        .expect("own child")
        .expect("waits");
    status.exit_status().unwrap_or(-1)
}

fn run(argv: &[&str], path: Option<&str>, cwd: &str, limits: Limits) -> Result<(i32, String), Failure> {
    let env = path.map(|path| (OsStr::new("PATH"), OsStr::new(path)));
    carry_out(&Plan::new(argv.iter().map(OsStr::new), env, OsStr::new(cwd), Session::Own, limits)?, None)
}

fn carry_out(plan: &Plan, cgroup: Option<Inside<'_>>) -> Result<(i32, String), Failure> {
    let null = std::fs::File::open("/dev/null").expect("null");
    let (read, write) = rustix::pipe::pipe().expect("pipe");
    let starting = plan.spawn([null.as_fd(), write.as_fd(), write.as_fd()], cgroup)?;
    drop(write);
    let deadline = crate::clock::mono() + Duration::from_secs(20);
    assert!(crate::wait::readable(&starting, deadline).expect("poll"), "neither exec nor failure");
    let outcome = starting.poll(plan).expect("readable");
    let mut output = String::new();
    std::fs::File::from(read).read_to_string(&mut output).expect("text");
    let code = end_of(&starting.child);
    outcome.map(|()| (code, output))
}

const PATH: Option<&str> = Some("/usr/bin:/bin");

#[test]
fn a_program_is_searched_started_and_ends() {
    assert_eq!(run(&["sh", "-c", "pwd; exit 7"], PATH, "/", Limits::default()), Ok((7, "/\n".to_owned())));
    assert_eq!(run(&["./sh", "-c", "exit 3"], None, "/bin", Limits::default()).map(|(code, _)| code), Ok(3));
    // An empty element of PATH is the working folder.
    assert_eq!(run(&["sh", "-c", "exit 4"], Some("/nowhere:"), "/bin", Limits::default()).map(|(code, _)| code), Ok(4));
}

#[test]
fn every_failure_names_its_step() {
    let failure = |argv: &[&str], cwd: &str, limits| run(argv, PATH, cwd, limits).expect_err("must fail");
    let none = Limits::default();
    let not_found = failure(&["no-such-program"], "/", none);
    assert_eq!((not_found.step, not_found.errno), (Step::Exec, libc::ENOENT));
    assert_eq!(not_found.to_string(), "failed to start no-such-program: exec: No such file or directory (os error 2)");
    let folder = failure(&["sh"], "/no/such/folder", none);
    assert_eq!((folder.step, folder.errno, folder.on), (Step::Chdir, libc::ENOENT, "/no/such/folder".into()));
    let not_executable = failure(&["/etc/passwd"], "/", none);
    assert_eq!((not_executable.step, not_executable.errno), (Step::Exec, libc::EACCES));
    let limit = failure(&["sh"], "/", Limits { files: Some(u64::MAX - 1), ..none });
    assert_eq!((limit.step, limit.errno), (Step::Files, libc::EPERM));
    assert_eq!(run(&[], PATH, "/", none).expect_err("nothing to start").step, Step::Exec);
    assert_eq!(run(&["a\0b"], PATH, "/", none).expect_err("NUL").errno, libc::EINVAL);
}

#[test]
fn a_forbidden_candidate_is_told_only_when_no_other_works() {
    let denied = run(&["passwd"], Some("/etc:/nowhere"), "/", Limits::default()).expect_err("not executable");
    assert_eq!((denied.step, denied.errno), (Step::Exec, libc::EACCES));
}

#[test]
fn limits_are_set_and_nothing_is_inherited() {
    let leaked = std::fs::File::open("/dev/zero").expect("zero");
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).expect("inheritable");
    let limits = Limits { files: Some(64), nice: Some(5), oom_score_adj: Some(500) };
    let script = "ulimit -n; cat /proc/self/oom_score_adj; cut -d' ' -f19 /proc/self/stat; \
        [ -e /proc/self/fd/$1 ] && echo leaked; grep -E 'Sig(Blk|Ign)' /proc/self/status";
    let number = leaked.as_raw_fd().to_string();
    let argv = ["/bin/sh", "-c", script, "sh", &number];
    let env = [(OsStr::new("PATH"), OsStr::new("/usr/bin:/bin"))];
    let mut plan = Plan::new(argv.iter().map(OsStr::new), env, OsStr::new("/"), Session::Own, limits).expect("plan");
    let none = "\t0000000000000000\n";
    let expected = format!("64\n500\n5\nSigBlk:{none}SigIgn:{none}");
    assert_eq!(carry_out(&plan, None), Ok((0, expected.clone())));
    plan.kernel.mark_range = false;
    assert_eq!(carry_out(&plan, None), Ok((0, expected)), "on a kernel before 5.11");
}

/// Whether a cgroup can be made is up to the machine; where it can, the process is in it from its first instruction on.
#[test]
fn a_process_starts_inside_of_its_cgroup() {
    let own = crate::cgroup::own(std::path::Path::new("/proc"));
    for own in [crate::cgroup::Own { freezer: None, ..own.clone() }, crate::cgroup::Own { v2: None, ..own }] {
        let run = vigie_core::identity::RunId(0xbeef_0000_0000_0000 | u64::from(std::process::id()));
        let Some(cgroup) = crate::cgroup::Cgroup::create(&own, run) else { continue };
        let entrance = cgroup.entrance().expect("opens");
        let argv = ["/bin/cat", "/proc/self/cgroup"];
        let mut plan =
            Plan::new(argv.iter().map(OsStr::new), [], OsStr::new("/"), Session::Own, Limits::default()).expect("plan");
        for clone_into in [true, false] {
            plan.kernel.clone_into = clone_into;
            let (code, output) = carry_out(&plan, Some(entrance.inside())).expect("starts");
            assert_eq!(code, 0);
            assert!(output.contains(&format!("vigie-{run}\n")), "{output}");
        }
        cgroup.remove(crate::clock::mono() + Duration::from_secs(20)).expect("empty");
    }
}

#[test]
fn a_vanished_group_is_replaced_by_an_own_one() {
    let plan = |session| {
        Plan::new(
            ["/bin/sh", "-c", "read line"].iter().map(OsStr::new),
            [],
            OsStr::new("/"),
            session,
            Limits::default(),
        )
        .expect("plan")
    };
    let null = std::fs::File::open("/dev/null").expect("null");
    let start = |session| {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
        let plan = plan(session);
        let starting = plan.spawn([read.as_fd(), null.as_fd(), null.as_fd()], None).expect("forks");
        assert!(crate::wait::readable(&starting, crate::clock::mono() + Duration::from_secs(20)).expect("poll"));
        let pgid = rustix::process::getpgid(Some(starting.child.pid)).expect("alive");
        drop(write);
        end_of(&starting.child);
        (pgid, starting.child.pid)
    };
    let (own, pid) = start(Session::Own);
    assert_eq!(own, pid);
    let caller = rustix::process::getpgrp();
    let (joined, _) = start(Session::Group(caller.as_raw_nonzero().get().unsigned_abs()));
    assert_eq!(joined, caller);
    let (fallback, pid) = start(Session::Group(4_194_303));
    assert_eq!(fallback, pid);
}

/// nohup(1), and `&` in a script: what the command's group ignores is handed on; a service of its own starts clean.
#[test]
fn ignored_signals_stay_so_in_the_group_of_who_asked() {
    // One that nobody uses and that means nothing to this process.
    let signal = 40;
    // SAFETY: SIG_IGN is a valid action.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
    let ignored = |session| {
        let argv = ["grep", "SigIgn", "/proc/self/status"].map(OsStr::new);
        let env = [(OsStr::new("PATH"), OsStr::new("/usr/bin:/bin"))];
        let plan = Plan::new(argv, env, OsStr::new("/"), session, Limits::default()).expect("plan");
        let (_, output) = carry_out(&plan, None).expect("starts");
        let mask = output.trim_start_matches("SigIgn:").trim();
        u64::from_str_radix(mask, 16).expect("a mask")
    };
    let caller = rustix::process::getpgrp().as_raw_nonzero().get().unsigned_abs();
    let kept = ignored(Session::Group(caller));
    assert_ne!(kept & 1 << (signal - 1), 0, "{kept:x}");
    assert_eq!(kept & 1 << (libc::SIGPIPE - 1), 0, "{kept:x}");
    // SAFETY: SIG_DFL is a valid action. Another test looks at what is ignored, also in the same process.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

#[test]
fn candidates_of_a_search() {
    let text = |found: Vec<Vec<u8>>| {
        found.into_iter().map(|path| String::from_utf8(path).expect("text")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(text(candidates(b"x", Some(b"/a::b"))), "/a/x ./x b/x");
    assert_eq!(text(candidates(b"x", None)), "/bin/x /usr/bin/x");
    assert_eq!(text(candidates(b"./x", Some(b"/a"))), "./x");
}

/// Alone in its process under nextest; under `cargo test` other tests have children of their own, so that only what
/// this one knows is looked at.
#[test]
fn ends_are_told_as_they_were() {
    if std::env::var_os("NEXTEST").is_none() {
        return;
    }
    assert_eq!(reap(), Reaped::Nobody);
    let plan = Plan::new(
        ["/bin/sh", "-c", "kill -TERM $$"].iter().map(OsStr::new),
        [],
        OsStr::new("/"),
        Session::Own,
        Limits::default(),
    )
    .expect("plan");
    let null = std::fs::File::open("/dev/null").expect("null");
    let starting = plan.spawn([null.as_fd(); 3], None).expect("forks");
    // Not by SIGCHLD: the other thread of a test may take it and ignore it.
    let proc = crate::proc::Proc::system().expect("/proc");
    let key = proc.key(starting.child.pid()).expect("reads").expect("not reaped yet");
    let child = crate::pidfd::Target::open(&proc, &key).expect("opens").expect("not reaped yet");
    assert!(child.wait(crate::clock::mono() + Duration::from_secs(20)).expect("poll"), "it does not end");
    let exit = Exit::Signal { signal: 15, core_dumped: false };
    assert_eq!(reap(), Reaped::Child { pid: starting.child.pid(), exit });
    assert_eq!(reap(), Reaped::Nobody);
}
