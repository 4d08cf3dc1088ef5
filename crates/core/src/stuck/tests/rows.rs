//! The 22 states that can be made on purpose, and a few that cannot.

use super::*;

/// What is wanted of a state: its verdict, whether KILL ends it, whether that is sure, the remedies.
type Wanted<'a> = (&'a str, Option<bool>, bool, &'a [&'a str]);

#[track_caller]
fn check(what: &str, facts: &ProcessFacts, asker: &Asker<'_>, wanted: Wanted<'_>) -> Judgement {
    let told = judge(facts, asker);
    let found = (told.verdict.name(), told.killable, told.sure, names(&told));
    assert_eq!(found, (wanted.0, wanted.1, wanted.2, wanted.3.to_vec()), "{what}: {told:#?}");
    told
}

/// Seen by root and by its user alike.
#[track_caller]
fn both(what: &str, facts: &ProcessFacts, wanted: Wanted<'_>) -> Judgement {
    check(&format!("{what}, as its user"), &as_user(facts.clone()), &ANA, wanted);
    check(what, facts, &ROOT, wanted)
}

fn says(told: &Judgement, text: &str) {
    assert!(told.because.iter().any(|line| line.contains(text)), "{text:?} is not in {:#?}", told.because);
}

#[test]
fn row_01_zombie() {
    let mut dead = one('Z', "", &[]);
    dead.wait_status = Told::Known(768);
    let told = both("zombie", &dead, ("zombie", Some(false), true, &["tell-parent", "end-parent"]));
    says(&told, "make (PID 40)");
    assert!(told.evidence.iter().any(|fact| fact.value == "exit code 3"), "{:?}", told.evidence);
    dead.parent = Some(with('T', process(40, "make")));
    both("its parent is stopped", &dead, ("zombie", Some(false), true, &["continue-parent", "end-parent"]));
    dead.parent = Some(process(1, "init"));
    both("PID 1 is its parent", &dead, ("zombie", Some(false), true, &["wait"]));
    dead.parent = Some(process(40, "vigie-keeper"));
    both("a keeper is its parent", &dead, ("zombie", Some(false), true, &["tell-parent", "wait"]));
}

#[test]
fn row_02_leader_exited() {
    let gone = facts(vec![task(PID, 'Z', "", &[]), task(51, 'S', "hrtimer_nanosleep", &[])]);
    let told = both("leader exited", &gone, ("leader-exited", Some(true), true, &["end"]));
    says(&told, "1 thread of it still lives");
    assert_eq!(told.tasks[1].verdict, TaskVerdict::Sleeping);
}

#[test]
fn row_03_exit_with_a_thread_in_fuse() {
    let mut thread = task(51, 'D', "request_wait_answer", &["__fuse_simple_request", "fuse_do_getattr"]);
    thread.pending = set(&[9]);
    thread.waits = vec![on(fuse(Told::Known(vec![server()])))];
    let gone = facts(vec![task(PID, 'Z', "", &[]), thread]);
    let told = both("exit, one thread in FUSE", &gone, ("fuse", Some(false), true, &["end-server", "abort"]));
    assert_eq!((told.decides, told.tasks[0].verdict), (51, TaskVerdict::LeaderExited));
    says(&told, "its main thread has ended");
    says(&told, "KILL was sent");
}

#[test]
fn row_04_signals() {
    let asleep = || one('S', "hrtimer_nanosleep", &[]);
    let ignoring = ProcessFacts { ignored: set(&[15]), ..asleep() };
    both("ignored", &ignoring, ("signal-ignored", Some(true), true, &["kill"]));
    let mut blocking = ProcessFacts { pending: set(&[15]), ..asleep() };
    blocking.tasks[0].blocked = set(&[2, 15]);
    both("blocked", &blocking, ("signal-blocked", Some(true), true, &["kill"]));
    let mut one_of_two = blocking.clone();
    one_of_two.tasks.push(task(51, 'S', "hrtimer_nanosleep", &[]));
    both("another thread takes it", &one_of_two, ("sleeping", Some(true), true, &["end"]));
    let swallowing = ProcessFacts { caught: set(&[15]), sent: Some((15, 12)), ..asleep() };
    let told = both("swallowed", &swallowing, ("signal-swallowed", Some(true), true, &["wait", "kill"]));
    says(&told, "12s ago");
    let not_asked = ProcessFacts { sent: None, ..swallowing };
    both("it has a handler, and nobody asked", &not_asked, ("sleeping", Some(true), true, &["end"]));
}

#[test]
fn row_05_stopped() {
    let mut stopped = one('T', "do_signal_stop", &[]);
    stopped.pending = set(&[15]);
    both("STOP", &stopped, ("stopped", Some(true), true, &["continue", "end"]));
}

#[test]
fn row_06_traced() {
    let traced = ProcessFacts { tracer: Some(process(60, "gdb")), ..one('t', "ptrace_stop", &["ptrace_signal"]) };
    let told = both("traced", &traced, ("traced", Some(true), true, &["end-tracer", "end"]));
    says(&told, "gdb (PID 60) traces it");
    let unseen = ProcessFacts { tracer: None, ..traced };
    both("by somebody out of sight", &unseen, ("traced", Some(true), true, &["end"]));
}

/// The trap: two KILLs are not heard.
#[test]
fn row_07_traced_at_its_exit() {
    let mut held = one('t', "ptrace_stop", &["ptrace_notify", "do_exit", "do_group_exit"]);
    held.tracer = Some(with('T', process(60, "tracer")));
    held.pending = set(&[9]);
    let told = both("traced at its exit", &held, ("traced", Some(false), true, &["continue-tracer", "end-tracer"]));
    says(&told, "no further KILL is heard");
}

#[test]
fn row_08_namespace_init() {
    let init = ProcessFacts { namespace_init: true, ..one('S', "do_wait", &[]) };
    both("init", &init, ("namespace-init", Some(true), true, &["kill"]));
    let handles = ProcessFacts { caught: set(&[15]), ..init.clone() };
    assert_eq!(judge(&handles, &ROOT).verdict, TaskVerdict::Sleeping, "it has a handler");
    let contained = ProcessFacts { parent: Some(process(40, "containerd-shim")), ..init };
    let engine = ProcessFacts { parent: Some(process(40, "conmon")), ..contained };
    both("of a container", &engine, ("namespace-init", Some(true), true, &["stop-container"]));
}

#[test]
fn row_09_vfork() {
    let mut parent = one('D', "kernel_clone", &["__do_sys_vfork"]);
    parent.tasks[0].call = call("vfork", 0);
    parent.tasks[0].waits = vec![Object::Child(process(51, "child"))];
    let wanted = ("vfork-wait", Some(true), true, &["end", "end-child"][..]);
    both("vfork", &parent, wanted);
    parent.tasks[0].raw_state = Told::Known(0x2102);
    check("as BPF sees it", &parent, &ROOT, wanted);
    parent.tasks[0].wchan = Told::Hidden(Hidden::NeedsRoot);
    check("without a place to sleep", &as_user(parent), &ANA, wanted);
}

/// The trap: a D that dies on TERM.
#[test]
fn row_10_fuse_read() {
    let mut read =
        one('D', "folio_wait_bit_common", &["filemap_update_page", "filemap_get_pages", "fuse_file_read_iter"]);
    read.tasks[0].call = call("read", 3);
    read.tasks[0].waits = vec![on(fuse(Told::Known(vec![with('T', server())])))];
    let told = both("FUSE read", &read, ("fuse", Some(true), true, &["continue-server", "end", "end-server", "abort"]));
    says(&told, "connection 62; it is served by fuse-server (PID 60), which is stopped");
}

#[test]
fn row_11_fuse_stat() {
    let mut stat = one('S', "request_wait_answer", &["__fuse_simple_request", "fuse_do_getattr"]);
    stat.tasks[0].waits = vec![on(fuse(Told::Known(vec![server(), process(61, "shell-of-it")])))];
    both("FUSE stat", &stat, ("fuse", None, true, &["end", "abort"]));
    stat.tasks[0].state = 'D';
    stat.tasks[0].pending = set(&[9]);
    let told = both("after KILL", &stat, ("fuse", Some(false), true, &["abort"]));
    assert_eq!(told.blamed.len(), 2);
    let needs = judge(&as_user(stat), &ANA).remedies[0].needs;
    assert_eq!(needs, Some("root"));
}

/// A second one behind the lock of the first.
#[test]
fn row_12_fuse_cascade() {
    let mut second = one('D', "fuse_lock_inode", &["fuse_lookup"]);
    second.tasks[0].waits = vec![
        Object::KernelLock { kind: "mutex", owner: Some((51, with('D', process(51, "first")))) },
        on(fuse(Told::Known(vec![server(), server()]))),
    ];
    let told = both("FUSE lookup", &second, ("fuse", Some(false), true, &["end-owner", "abort"]));
    says(&told, "a mutex of the kernel; that is held by thread 51 of first (PID 51), which waits in the kernel itself");
    assert_eq!(told.blamed[0].role, "owner");
}

#[test]
fn row_13_fuse_flush_at_exit() {
    let mut flush = one('D', "request_wait_answer", &["fuse_flush", "filp_close", "do_exit", "do_group_exit"]);
    flush.pending = set(&[9]);
    flush.tasks[0].waits = vec![on(fuse(Told::Hidden(Hidden::NeedsRoot)))];
    let mut before = flush.clone();
    before.pending = SignalSet::default();
    before.tasks[0].state = 'S';
    // No signal is even noted any more; only the stack tells, and that only root.
    assert_eq!(judge(&before, &ROOT).killable, Some(false));
    assert_eq!(judge(&as_user(before), &ANA).killable, None);
    let told = both("flush", &flush, ("fuse", Some(false), true, &["abort"]));
    assert!(told.blind, "who serves it was not seen");
}

#[test]
fn row_14_block_device_on_fuse() {
    let mut write = one('D', "submit_bio_wait", &["__blkdev_direct_IO_simple", "blkdev_write_iter"]);
    let below = Backing {
        device: "/dev/loop0".into(),
        file: "/mnt/back/image".into(),
        mount: Some(fuse(Told::Known(vec![with('T', server())]))),
    };
    let device = Mount { device: (7, 0), backing: Some(Box::new(below)), ..mount("ext4", 0) };
    write.tasks[0].waits = vec![on(device)];
    let told =
        both("block device", &write, ("block-device", Some(false), true, &["continue-server", "end-server", "abort"]));
    says(&told, "the device /dev/loop0 is the file /mnt/back/image");
    let mut raw = write.clone();
    raw.tasks[0].waits = vec![Object::File {
        fd: Some(8),
        path: Told::Known("/dev/loop0".into()),
        mount: Some(Mount { device: (0, 6), ..mount("devtmpfs", 0) }),
    }];
    let told = both("a device that it opened itself", &raw, ("block-device", Some(false), true, &["none"]));
    assert_eq!(told.said, "waits for a block device, /dev/loop0");
    write.tasks[0].waits = vec![on(Mount { device: (8, 1), ..mount("ext4", 0) })];
    let told = both("a real disk", &write, ("block-device", Some(false), true, &["none"]));
    assert!(told.remedies[0].effect.contains("device answering or a reboot"));
}

#[test]
fn row_15_frozen_filesystem() {
    for (place, stack) in
        [("percpu_rwsem_wait", &["__percpu_down_read", "mnt_want_write"][..]), ("mnt_want_write", &[])]
    {
        let mut writer = one('D', place, stack);
        writer.tasks[0].call = call("openat", 0);
        writer.tasks[0].waits = vec![on(Mount { device: (7, 0), ..mount("ext4", 0) })];
        both(place, &writer, ("frozen-filesystem", Some(false), true, &["thaw-filesystem"]));
        writer.tasks[0].waits.clear();
        let told = judge(&as_user(writer), &ANA);
        assert_eq!(told.verdict, TaskVerdict::FrozenFilesystem);
        assert_eq!(told.sure, place != "percpu_rwsem_wait", "only the stack, or the file, proves it");
    }
}

/// The trap: the place where it sleeps is where it slept before.
#[test]
fn row_16_frozen() {
    let cgroup = |version| FrozenCgroup { version, folder: "/sys/fs/cgroup/jobs".into(), by_itself: true };
    for place in ["hrtimer_nanosleep", "request_wait_answer", "kernel_clone"] {
        let frozen = ProcessFacts { frozen: vec![cgroup(1)], ..one('D', place, &[]) };
        let told = both("v1", &frozen, ("frozen", Some(false), true, &["thaw"]));
        says(&told, "/sys/fs/cgroup/jobs");
    }
    let mut frozen = ProcessFacts { frozen: vec![cgroup(2)], ..one('S', "get_signal", &[]) };
    both("v2", &frozen, ("frozen", Some(true), true, &["thaw", "end"]));
    assert_eq!(judge(&frozen, &ANA).remedies[0].needs, Some("root"));
    frozen.frozen[0].folder = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/x".into();
    assert_eq!(judge(&frozen, &ANA).remedies[0].needs, None, "it is a cgroup of hers");
    frozen.tasks[0] = task(PID, 'D', "kernel_clone", &[]);
    both("what holds it is its own wait", &frozen, ("vfork-wait", Some(true), true, &["end"]));
}

#[test]
fn row_17_fanotify() {
    let mut open = one('D', "fanotify_handle_event", &["fsnotify", "do_dentry_open"]);
    open.tasks[0].waits = vec![Object::Listener { listeners: Told::Known(vec![process(60, "scanner")]) }];
    both("fanotify", &open, ("fanotify", Some(true), true, &["end", "end-listener"]));
}

#[test]
fn row_18_autofs() {
    both("autofs", &one('D', "autofs_wait", &["autofs_mount_wait"]), ("autofs", Some(true), true, &["end"]));
}

#[test]
fn row_19_userfault() {
    let mut fault = one('S', "handle_userfault", &["do_anonymous_page"]);
    fault.tasks[0].waits = vec![Object::PageSupplier { suppliers: Told::Known(vec![fault.process.clone()]) }];
    both("its own userfaultfd", &fault, ("userfault", Some(true), true, &["end"]));
    fault.tasks[0].waits = vec![Object::PageSupplier { suppliers: Told::Known(vec![process(60, "pager")]) }];
    both("of another", &fault, ("userfault", Some(true), true, &["end", "end-supplier"]));
}

#[test]
fn row_20_pipe() {
    let pipe = |readers| Object::Pipe { fd: 1, inode: 4711, readers };
    let mut full = one('S', "anon_pipe_write", &["vfs_write"]);
    full.tasks[0].waits = vec![pipe(Told::Known(vec![with('T', process(60, "less"))]))];
    let told = both("pipe", &full, ("pipe-full", Some(true), true, &["continue-reader", "drain", "end", "end-reader"]));
    says(&told, "less (PID 60), which is stopped");
    full.tasks[0].wchan = Told::Known("pipe_write".into());
    full.tasks[0].waits = vec![pipe(Told::Known(vec![process(60, "vigie-keeper")]))];
    both("of a keeper", &full, ("pipe-full", Some(true), true, &["drain", "end"]));
}

#[test]
fn row_21_lock() {
    for place in ["locks_lock_inode_wait", "flock_lock_inode_wait", "fcntl_setlk", "do_lock_file_wait"] {
        let mut waiting = one('S', place, &[]);
        waiting.tasks[0].waits = vec![Object::Lock {
            kind: "flock",
            file: Some("/run/x.lock".into()),
            inode: (0, 25, 99),
            holders: Told::Known(vec![process(60, "holder")]),
        }];
        let told = both(place, &waiting, ("file-lock", Some(true), true, &["end", "end-holder"]));
        says(&told, "the flock lock of /run/x.lock is held by holder (PID 60)");
    }
}

/// Row 22 is a process like any other: what it is to vigie is told elsewhere.
#[test]
fn row_22_daemon() {
    let mut daemon = one('S', "ep_poll", &[]);
    daemon.parent = Some(process(1, "init"));
    both("daemon", &daemon, ("sleeping", Some(true), true, &["end"]));
    both("busy", &one('R', "", &[]), ("running", Some(true), true, &["end"]));
}

/// What was not made on the machine that the table comes from.
#[test]
fn row_23_others() {
    let dumping = ProcessFacts { dumping: true, ..one('D', "pipe_wait", &["do_coredump", "get_signal"]) };
    assert_eq!(judge(&dumping, &ROOT).verdict, TaskVerdict::Exiting);
    let writes = ProcessFacts { dumping: true, ..one('S', "anon_pipe_write", &["do_coredump"]) };
    both("the core goes into a pipe", &writes, ("exiting", None, true, &["wait", "kill"]));
    let mut nfs = one('D', "rpc_wait_bit_killable", &["nfs_wait_on_request"]);
    nfs.tasks[0].waits = vec![on(mount("nfs4", 40))];
    both("NFS", &nfs, ("nfs", Some(true), true, &["end", "umount"]));
}

/// D, and nobody knows why: the letter alone proves nothing.
#[test]
fn what_is_not_known() {
    let mut other = one('D', "mystery_wait", &[]);
    let told = check("root without BPF", &other, &ROOT, ("uninterruptible", None, false, &["end"]));
    says(&told, "mystery_wait");
    let told = check("its user", &as_user(other.clone()), &ANA, ("uninterruptible", None, false, &["end"]));
    assert!(told.blind);
    says(&told, "needs root");
    other.tasks[0].raw_state = Told::Known(0x2);
    check("with BPF", &other, &ROOT, ("uninterruptible", Some(false), true, &["none"]));
    other.tasks[0].raw_state = Told::Known(0x102);
    check("with BPF", &other, &ROOT, ("killable-wait", Some(true), true, &["end"]));
    let mut behind = one('D', "do_unlinkat", &[]);
    behind.tasks[0].waits = vec![on(fuse(Told::Nothing))];
    let told = check("a directory of FUSE", &behind, &ROOT, ("fuse", None, false, &["end", "abort"]));
    says(&told, "do_unlinkat");
    behind.tasks[0].waits = vec![on(Mount { device: (8, 1), ..mount("ext4", 0) })];
    check("a directory of a disk", &behind, &ROOT, ("uninterruptible", None, false, &["end"]));
    let killable = one('D', "mystery_wait", &["down_read_killable"]);
    check("as its stack tells", &killable, &ROOT, ("killable-wait", Some(true), true, &["end"]));
    let mut stranger = as_user(one('S', "x", &[]));
    stranger.tasks[0].wchan = Told::Hidden(Hidden::NeedsRoot);
    let told = check("somebody else's", &stranger, &ANA, ("sleeping", Some(true), false, &["end"]));
    assert!(told.blind, "it may wait for anything");
}

/// What is protected is not offered to be ended, and that is said (R4.5).
#[test]
fn what_is_protected() {
    let mut guarded = one('S', "ep_poll", &[]);
    guarded.process = process(800, "x");
    guarded.tasks[0].tid = 800;
    let told = check("an ancestor", &guarded, &ROOT, ("sleeping", Some(true), true, &["protected"]));
    assert_eq!(told.remedies[0].effect, "vigie does not end it: this command runs below it");
    guarded.process = with('T', process(PID, "dockerd"));
    guarded.tasks = one('T', "", &[]).tasks;
    both("it can be let go on", &guarded, ("stopped", Some(true), true, &["continue", "protected"]));
}

/// Whoever holds what it waits for may wait in turn: that is told, and what frees that one.
#[test]
fn who_waits_for_whom() {
    let first = with('D', process(51, "first"));
    let mut behind = one('D', "mystery_lock", &[]);
    behind.tasks[0].raw_state = Told::Known(0x2);
    behind.tasks[0].waits = vec![Object::KernelLock { kind: "mutex", owner: Some((51, first.clone())) }];
    let mut told = judge(&behind, &ROOT);
    assert_eq!((told.verdict, names(&told)), (TaskVerdict::Uninterruptible, vec!["end-owner"]));
    let mut owner = one('D', "request_wait_answer", &[]);
    owner.process = first.clone();
    owner.tasks[0].waits = vec![on(fuse(Told::Known(vec![server()])))];
    owner.pending = set(&[9]);
    told.follow(&first, &judge(&owner, &ROOT));
    says(&told, "first (PID 51) waits for the server of a FUSE file system at /mnt/x (connection 62)");
    assert_eq!(names(&told), ["end-server", "abort"], "nothing ends the owner itself");
    // Looked at once more, the same server may have another state.
    let Object::File { mount: Some(mount), .. } = &mut owner.tasks[0].waits[0] else { panic!("a file") };
    *mount = fuse(Told::Known(vec![with('R', server())]));
    told.follow(&first, &judge(&owner, &ROOT));
    assert_eq!((names(&told).len(), told.blamed.len()), (2, 2), "{told:#?}");
    let roles: Vec<&str> = told.blamed.iter().map(|one| one.role).collect();
    assert_eq!(roles, ["owner", "server"]);
    let before = told.clone();
    let mut idle = one('S', "ep_poll", &[]);
    idle.process = first.clone();
    told.follow(&first, &judge(&idle, &ROOT));
    assert_eq!(told, before, "nothing holds that one");
}
