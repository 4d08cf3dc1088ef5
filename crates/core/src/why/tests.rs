use super::facts::{Belonging, Membership, Process, Story, Task, Told, Top};
use super::*;
use crate::identity::{BootId, ProcKey, RunId};
use crate::protect::Asker;
use crate::stuck::{Judgement, judge};
use crate::text::OsText;

/// 2026-01-01T00:00:00Z
const NOW: Wall = Wall(1_767_225_600_000_000_000);

fn ago(seconds: u64) -> Wall {
    Wall(NOW.0 - seconds * 1_000_000_000)
}

fn times() -> Times<'static> {
    Times { now: NOW, shown: &|at| format!("T{}", (NOW.0 - at.0) / 1_000_000_000) }
}

fn process(pid: u32, line: &str) -> Process {
    let argv: Vec<OsText> = line.split(' ').map(OsText::from).collect();
    let name = argv[0].0.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
    Process {
        key: ProcKey { boot_id: BootId("b".into()), pid, start_ticks: 1 },
        parent: 1,
        name: OsText(name),
        argv: Told::Known(argv),
        state: 'S',
        threads: 1,
        kernel: false,
        session: pid,
        terminal: None,
        uid: Some(1000),
        user: Some("ana".to_owned()),
        started: Some(ago(240)),
    }
}

fn story(process: Process, ancestors: Vec<Process>) -> Story {
    Story {
        tasks: vec![Task { tid: process.pid(), name: process.name.clone(), state: process.state }],
        session_leader: Some(process.clone()),
        tracer: None,
        kill_pending: false,
        executable: Told::Known("/usr/bin/x".into()),
        folder: Told::Known("/srv/demo".into()),
        cgroups: vec![(String::new(), "/".into())],
        namespaces: Told::Known(Vec::new()),
        login: None,
        environment: Told::Known(Vec::new()),
        process,
        ancestors,
        top: Top::Root,
    }
}

fn init() -> Process {
    Process { uid: Some(0), user: Some("root".to_owned()), parent: 0, ..process(1, "/sbin/init") }
}

fn run_of(service: &str) -> Membership {
    Membership {
        service: service.to_owned(),
        run: RunId(7),
        by: "its record",
        source: "record.json".to_owned(),
        asked_by: "ana on pts/3 (PID 6)".to_owned(),
        adopted: None,
    }
}

mod processes {
    use super::*;

    fn judged(story: &Story, uid: u32) -> Judgement {
        judge(&unexamined(story), &Asker { pid: 2000, ancestors: &[], uid })
    }

    fn explained(story: &Story, belonging: Option<&Belonging>, uid: u32) -> Explanation {
        explain_process(story, &judged(story, uid), belonging, times())
    }

    fn verdict(story: &Story) -> (String, Option<bool>) {
        let told = explained(story, None, 1000);
        (told.verdict.name(), judged(story, 1000).killable)
    }

    /// R8.1: what the state alone tells for certain, and no more.
    #[test]
    fn verdicts() {
        let of = |letter: char, others: &[char]| {
            let mut process = process(9, "x");
            process.state = letter;
            process.threads = u32::try_from(others.len()).expect("few") + 1;
            let mut story = story(process, vec![init()]);
            story.tasks.extend(others.iter().zip(10..).map(|(state, tid)| Task {
                tid,
                name: "t".into(),
                state: *state,
            }));
            verdict(&story)
        };
        for (letter, others, name, killable) in [
            ('R', &[][..], "running", Some(true)),
            ('S', &[], "sleeping", Some(true)),
            ('S', &['R'], "running", Some(true)),
            ('D', &[], "uninterruptible", None),
            ('S', &['D'], "uninterruptible", None),
            ('T', &['T'], "stopped", Some(true)),
            ('t', &[], "traced", Some(true)),
            ('S', &['t'], "traced", Some(true)),
            ('Z', &[], "zombie", Some(false)),
            ('Z', &['S'], "leader-exited", Some(true)),
            ('Z', &['D'], "leader-exited", None),
            ('X', &[], "exiting", Some(false)),
            ('I', &[], "sleeping", Some(true)),
        ] {
            assert_eq!(of(letter, others), (name.to_owned(), killable), "{letter} {others:?}");
        }
    }

    #[test]
    fn what_no_signal_ends() {
        let kernel = Process { kernel: true, parent: 2, argv: Told::Nothing, ..process(9, "kworker") };
        assert_eq!(verdict(&story(kernel.clone(), Vec::new())).1, Some(false));
        let told = explained(&story(kernel, Vec::new()), None, 0);
        assert!(told.remedies.is_empty(), "nothing ends a thread of the kernel");
        let of_init = story(init(), Vec::new());
        let told = explained(&of_init, None, 0);
        assert!(told.remedies.is_empty() && judged(&of_init, 0).killable == Some(false));
        let mut pending = story(process(9, "x"), vec![init()]);
        pending.kill_pending = true;
        assert_eq!(verdict(&pending).1, None, "it was killed, and is still there");
    }

    #[test]
    fn what_can_be_done() {
        let names = |story: &Story, belonging: Option<&Belonging>| {
            let told = explained(story, belonging, 1000);
            told.remedies.iter().map(|remedy| remedy.command.clone().unwrap_or_default()).collect::<Vec<_>>()
        };
        let parent = process(8, "make");
        let mut zombie = story(Process { state: 'Z', ..process(9, "x") }, vec![parent, init()]);
        assert_eq!(names(&zombie, None), ["kill -CHLD 8", "vigie end pid:8"]);
        zombie.ancestors.remove(0);
        assert_eq!(names(&zombie, None), [""], "PID 1 is not ended for it");
        let stopped = story(Process { state: 'T', ..process(9, "x") }, vec![init()]);
        assert_eq!(names(&stopped, None), ["kill -CONT 9", "vigie end pid:9"]);
        let mut traced = story(Process { state: 't', ..process(9, "x") }, vec![init()]);
        traced.tracer = Some(process(7, "gdb"));
        assert_eq!(names(&traced, None), ["vigie end pid:7", "vigie end pid:9"]);
        let plain = story(process(9, "x"), vec![init()]);
        assert_eq!(names(&plain, Some(&Belonging::Main(run_of("demo/api")))), ["vigie stop demo/api"]);
        assert_eq!(names(&plain, Some(&Belonging::Daemon)), ["vigie daemon stop"]);
        assert!(names(&plain, Some(&Belonging::Ourselves)).is_empty());
        let told = explained(&plain, None, 1001);
        assert_eq!(told.remedies[0].needs, Some("root"), "another user's");
    }

    /// R1: what is hidden says so.
    #[test]
    fn what_cannot_be_seen() {
        let mut hidden = story(process(9, "x"), vec![init()]);
        hidden.executable = Told::Hidden(facts::Hidden::NeedsRoot);
        hidden.environment = Told::Hidden(facts::Hidden::NoAnswer);
        let told = explained(&hidden, None, 1000);
        let value = |fact: &str| told.evidence.iter().find(|one| one.fact == fact).map(|one| one.value.clone());
        assert_eq!(value("executable").as_deref(), Some("cannot be seen: needs root"));
        assert_eq!(value("environment").as_deref(), Some("cannot be seen: the kernel does not answer"));
        assert!(told.blind && told.evidence.iter().all(|one| !one.source.is_empty()));
    }

    /// Every name is shown as what it is.
    #[test]
    fn who_started_it() {
        let shell = || process(7, "bash");
        // Each leads a session of its own, which is what `setsid` does and proves nothing.
        let under = |parents: Vec<Process>| starter(&story(process(9, "x"), parents), None);
        assert_eq!(under(vec![shell(), init()]), "by bash (PID 7)");
        assert_eq!(under(vec![process(7, "/usr/sbin/cron -f"), init()]), "by cron (PID 7) (a cron job)");
        assert_eq!(
            under(vec![shell(), process(6, "/usr/sbin/CRON -f"), init()]),
            "by bash (PID 7), under the cron job of CRON (PID 6)"
        );
        let tmux = Process { name: "tmux: server".into(), ..process(5, "tmux new") };
        assert_eq!(under(vec![shell(), tmux, init()]), "by bash (PID 7), under the tmux server tmux: server (PID 5)");
        let npm = process(7, "node /usr/lib/node_modules/npm/bin/npm-cli.js");
        assert_eq!(under(vec![npm, init()]), "by node (PID 7) (a script runner)");
        let mut over_ssh =
            story(Process { terminal: Some("pts/3".to_owned()), ..process(9, "x") }, vec![shell(), init()]);
        over_ssh.environment = Told::Known(vec![("SSH_CONNECTION", "10.0.0.1 5022 10.0.0.2 22".into())]);
        assert_eq!(starter(&over_ssh, None), "by bash (PID 7) on pts/3, over ssh from 10.0.0.1");
        over_ssh.environment = Told::Known(vec![("SSH_CONNECTION", "\x1b[2J 1 2 3".into())]);
        assert_eq!(starter(&over_ssh, None), "by bash (PID 7) on pts/3", "an address, or nothing");
    }

    /// PID 1 starts units, and takes in whoever lost its parent.
    #[test]
    fn who_has_lost_its_parent() {
        let mut orphan = story(Process { session: 5, ..process(9, "x") }, vec![init()]);
        orphan.session_leader = None;
        let gone = "by a process that has ended, as has the leader of its session (PID 5)";
        assert_eq!(starter(&orphan, None), gone);
        orphan.session_leader = Some(process(5, "bash"));
        assert_eq!(starter(&orphan, None), "by a process that has ended, in the session of bash (PID 5)");
        let alone = story(process(9, "x"), vec![init()]);
        assert!(starter(&alone, None).starts_with("by init (PID 1), or by a process that has ended"));
        // Of the session of PID 1 itself, as everything that a container's first program starts.
        let doubt = "by init (PID 1), or by a process that has ended and left it to that";
        for session in [0, 1] {
            let mut inner = story(Process { session, ..process(9, "x") }, vec![init()]);
            inner.session_leader = (session == 1).then(init);
            assert_eq!(starter(&inner, None), doubt, "session {session}");
        }
        // Of another session than a parent that is not PID 1: who can tell?
        let mut left = story(Process { session: 5, ..process(9, "x") }, vec![process(7, "reaper"), init()]);
        left.session_leader = Some(process(5, "bash"));
        assert_eq!(starter(&left, None), "by reaper (PID 7), or by a process that has ended and left it to that");
        let of_run = Belonging::Member(run_of("demo/api"));
        let fallen = story(process(9, "x"), vec![process(8, "vigie-keeper"), init()]);
        let expected = "by a process of demo/api (run 0000000000000007) that has ended";
        assert_eq!(starter(&fallen, Some(&of_run)), expected);
        let mut unit = story(process(9, "x"), vec![process(1, "systemd")]);
        unit.cgroups = vec![(String::new(), "/system.slice/web.service".into())];
        assert_eq!(starter(&unit, None), "by systemd (PID 1), in the systemd unit web.service");
        let mut contained = story(process(9, "x"), vec![process(7, "containerd-shim -id 1"), init()]);
        contained.cgroups = vec![(String::new(), format!("/docker/{}", "ab".repeat(32)).into())];
        assert!(starter(&contained, None).ends_with(", in the docker container abababababab"));
        let vanished = Story { top: Top::Vanished(44), ..story(process(9, "x"), Vec::new()) };
        assert_eq!(starter(&vanished, None), "by PID 44, which has ended meanwhile");
        let main = Belonging::Main(run_of("demo/api"));
        assert_eq!(starter(&alone, Some(&main)), "by vigie for ana on pts/3 (PID 6)");
    }

    /// What was adopted was started by somebody else.
    #[test]
    fn who_started_what_was_adopted() {
        let run = Membership { adopted: Some(ago(60)), ..run_of("demo/api") };
        let adopted = story(process(9, "x"), vec![process(7, "bash"), init()]);
        let told = explained(&adopted, Some(&Belonging::Main(run)), 1000);
        assert!(told.answer.ends_with("started T240 (4m ago) by bash (PID 7)"), "{}", told.answer);
        let reason = "vigie did not start it: it adopted it T60 (1m ago), for ana on pts/3 (PID 6)";
        assert!(told.because.iter().any(|because| because == reason), "{:?}", told.because);
    }

    #[test]
    fn names_are_no_proof_and_cannot_draw() {
        let hostile = Process { name: OsText(b"a\nb\x1b[2J\xff".to_vec()), ..process(9, "x") };
        let told = explained(&story(hostile, vec![init()]), None, 1000);
        assert!(!told.answer.contains(['\n', '\x1b']), "{}", told.answer);
        assert!(told.answer.contains(r"a\nb\u{1b}[2J\xff"), "{}", told.answer);
        for (line, expected) in
            [("vim npm", None), ("bash -c npm", None), ("grep sshd", None), ("/usr/bin/tmux", Some(Launcher::Tmux))]
        {
            assert_eq!(launcher(&process(9, line)), expected, "{line}");
        }
        for (title, expected) in [("sshd: ana@pts/3", Launcher::Ssh), ("npm run dev", Launcher::Scripts)] {
            let titled = Process { argv: Told::Known(vec![title.into()]), ..process(9, "x") };
            assert_eq!(launcher(&titled), Some(expected), "{title}");
        }
    }
}

mod ports {
    use super::*;
    use crate::ports::Verdict as Port;

    fn holder(belonging: Option<Belonging>) -> PortHolder {
        PortHolder {
            story: story(process(9, "python3 -m http.server"), vec![process(7, "bash"), init()]),
            belonging,
            socket: "127.0.0.1:8000/tcp, listening".to_owned(),
            inode: 77,
            thread: None,
            container: None,
        }
    }

    fn facts(verdict: Port, holders: Vec<PortHolder>) -> PortFacts {
        PortFacts {
            port: "8000".parse().expect("a port"),
            verdict,
            holders,
            hidden: Vec::new(),
            left: 2,
            ends_in: Some(Duration::from_secs(40)),
            claimed_by: Vec::new(),
            elsewhere: Vec::new(),
        }
    }

    fn answer(verdict: Port, holders: Vec<PortHolder>) -> (String, Vec<String>) {
        let told = explain_port(&facts(verdict, holders), times());
        let commands = told.remedies.iter().filter_map(|remedy| remedy.command.clone()).collect();
        (told.answer, commands)
    }

    /// R7.2: every verdict has its sentence, and only what can be freed is.
    #[test]
    fn every_verdict() {
        let none = Vec::<String>::new();
        let free = vec!["vigie free 8000/tcp".to_owned()];
        let run = || holder(Some(Belonging::Member(run_of("demo/api"))));
        for (verdict, holders, text, commands) in [
            (Port::Free, vec![], "port 8000/tcp is free: nobody has it", none.clone()),
            (
                Port::Used,
                vec![holder(None)],
                "port 8000/tcp is used by PID 9 (python3), started T240 (4m ago)",
                free.clone(),
            ),
            (
                Port::Used,
                vec![run()],
                "port 8000/tcp is used by demo/api (PID 9), started T240 (4m ago)",
                vec!["vigie stop demo/api".to_owned()],
            ),
            (
                Port::Shared,
                vec![run(), holder(None)],
                "port 8000/tcp is shared by demo/api (PID 9), started T240 (4m ago) and PID 9 (python3), started T240 (4m ago)",
                vec!["vigie stop demo/api".to_owned(), "vigie free 8000/tcp".to_owned()],
            ),
            (
                Port::Bound,
                vec![holder(None)],
                "port 8000/tcp is held without listening by PID 9 (python3), started T240 (4m ago)",
                free,
            ),
            (
                Port::Ephemeral,
                vec![holder(None)],
                "port 8000/tcp is the own end of a connection of PID 9 (python3), started T240 (4m ago)",
                none.clone(),
            ),
            (
                Port::TimeWait,
                vec![],
                "nobody has port 8000/tcp: the kernel keeps 2 closed connections, for 40s more",
                none.clone(),
            ),
            (Port::Reserved, vec![], "nobody has port 8000/tcp, and to bind it takes a privilege", none),
            (
                Port::Unknown,
                vec![],
                "who has port 8000/tcp cannot be seen",
                vec!["sudo vigie why port:8000/tcp".to_owned()],
            ),
        ] {
            assert_eq!(answer(verdict, holders), (text.to_owned(), commands), "{verdict}");
        }
    }

    #[test]
    fn another_namespace_is_another_place() {
        let mut far = facts(Port::Free, Vec::new());
        far.elsewhere.push((77, "PID 12 (nc)".to_owned()));
        let told = explain_port(&far, times());
        assert_eq!(told.answer, "port 8000/tcp is free: nobody has it");
        assert!(told.because[0].contains("PID 12 (nc) has it"), "{:?}", told.because);
        assert!(told.evidence.iter().any(|one| one.value == "PID 12 (nc), in net:[77]"));
    }

    #[test]
    fn a_hidden_holder_and_a_thread() {
        let mut hidden = facts(Port::Used, Vec::new());
        hidden.hidden = vec!["a process of root, which has 0.0.0.0:8000/tcp, listening".to_owned()];
        let told = explain_port(&hidden, times());
        assert!(told.blind && told.answer.contains("a process of root"), "{}", told.answer);
        assert_eq!(told.remedies[0].needs, Some("root"));
        let thread = PortHolder { thread: Some(12), ..holder(None) };
        let told = explain_port(&facts(Port::Used, vec![thread]), times());
        assert!(told.because.iter().any(|reason| reason.contains("its thread 12 still has the socket")));
        assert!(told.evidence.iter().any(|one| one.source == "/proc/9/task/12/fd"));
        let proxy = PortHolder { container: Some("web (7eba73f2d123)".to_owned()), ..holder(None) };
        let told = explain_port(&facts(Port::Used, vec![proxy]), times());
        assert!(told.answer.contains("the container web (7eba73f2d123)"), "{}", told.answer);
        assert_eq!(told.remedies[0].effect, "stops the container; its proxy is not touched");
    }
}

mod services;
