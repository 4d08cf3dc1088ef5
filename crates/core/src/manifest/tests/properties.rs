//! For all texts: no panic. For all projects: shown and read again, they are the same.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::claim::PortClaim;
use crate::ladder::Ladder;
use crate::launch::{Limits, Orphans, Overflow, Scope, Tie};
use crate::units::Span;

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,12}", "[$\\{}:\\-A-Z\"'\\\\\n\tä\u{1}]{0,10}", "\\PC{0,8}"]
}

fn name() -> impl Strategy<Value = Name> {
    "[A-Za-z0-9][A-Za-z0-9._-]{0,8}".prop_map(|text| Name::new(&text).expect("the pattern is that of names"))
}

fn span() -> impl Strategy<Value = Span> {
    (1..10_000_000_000u64).prop_map(|nanos| Span(std::time::Duration::from_nanos(nanos)))
}

fn env() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[A-Za-z_. ä-]{1,6}", text(), 0..4)
}

fn command() -> impl Strategy<Value = Vec<String>> {
    ("[!-~]{1,8}", vec(text(), 0..4)).prop_map(|(program, args)| [vec![program], args].concat())
}

fn path() -> impl Strategy<Value = OsText> {
    prop_oneof!["/srv/demo(/[a-z~?$\\{}. ]{1,6}){0,2}", "(/[a-zä.]{1,6}){1,3}"].prop_map(|path| {
        let plain: std::path::PathBuf = Path::new(&path).components().collect();
        plain.into()
    })
}

fn probe(log: bool) -> impl Strategy<Value = Probe> {
    let others = prop_oneof![
        (100..600u16, 1..65_536u32)
            .prop_map(|(status, port)| Probe::Http { url: format!("http://a:{port}/$x?y=$"), status }),
        (1..65_536u32).prop_map(|port| Probe::Tcp { address: format!("[::1]:{port}") }),
        path().prop_map(|path| Probe::Unix { path }),
        command().prop_map(|command| Probe::Exec { command }),
    ];
    (others, "[a-z$^.]{1,5}", any::<bool>()).prop_map(
        move |(other, pattern, swap)| {
            if log && swap { Probe::Log { pattern } } else { other }
        },
    )
}

fn one_of<T: super::super::values::Word + std::fmt::Debug>() -> impl Strategy<Value = T> {
    (0..T::WORDS.len()).prop_map(|at| T::WORDS[at].0)
}

fn ladder() -> impl Strategy<Value = Ladder> {
    let rung = prop_oneof!["TERM", "INT group", "USR1 tree", "close-stdin", "KILL"];
    vec((rung, span()), 1..4).prop_map(|rungs| {
        let rungs = rungs.into_iter().map(|(deed, wait)| format!("{deed} {wait}").parse().expect("rung"));
        Ladder::new(rungs.collect()).expect("not empty")
    })
}

fn matching() -> impl Strategy<Value = Match> {
    let words = (option::of(text().prop_map(OsText::from)), vec(text().prop_map(OsText::from), 0..3));
    let executable = prop_oneof!["[a-z0-9.]{1,8}".prop_map(OsText::from), path()];
    (option::of(path()), words, executable, option::of(path())).prop_map(|(script, (module, args), executable, cwd)| {
        let module = module.filter(|_| script.is_none());
        Match { executable: Some(executable), script, module, args, cwd }
    })
}

fn restart() -> impl Strategy<Value = Restart> {
    let delays = (span(), span(), span(), 1.0..1e6f64, 0.0..=1.0f64);
    (one_of(), delays, 1..u32::MAX, btree_map(0..256i32, any::<bool>(), 0..5)).prop_map(
        |(when, (delay, more, stable, factor, jitter), attempts, codes)| Restart {
            when,
            delay,
            factor,
            max_delay: Span(delay.0 + more.0),
            jitter,
            attempts,
            stable,
            clean: codes.iter().filter(|(_, clean)| **clean).map(|(code, _)| *code).collect(),
            fatal: codes.iter().filter(|(_, clean)| !**clean).map(|(code, _)| *code).collect(),
        },
    )
}

fn mode() -> impl Strategy<Value = (Name, Mode)> {
    (name(), vec(text(), 0..3), env(), option::of(span()))
        .prop_map(|(name, args, env, duration)| (name.clone(), Mode { name, args, env, duration }))
}

fn service() -> impl Strategy<Value = Service> {
    let first = (command(), path(), env(), vec(name(), 0..3), option::of(path()), ladder(), restart());
    let ready = (probe(true), span(), span(), span()).prop_map(|(probe, every, timeout, more)| Ready {
        probe,
        every,
        timeout,
        within: Span(every.0 + more.0),
    });
    let alive = (probe(false), span(), span(), 1..u32::MAX).prop_map(|(probe, every, timeout, failures)| Alive {
        probe,
        every,
        timeout,
        failures,
    });
    let words = (one_of(), one_of(), option::of(one_of::<Tie>()), one_of::<Orphans>(), one_of::<Overflow>());
    let limits = (option::of(1..u64::from(u32::MAX)), option::of(-20..20i32), option::of(-1000..1001i32))
        .prop_map(|(files, nice, oom_score_adj)| Limits { files, nice, oom_score_adj });
    let rest = (words, limits, 4096..u64::MAX / 2, 1..u32::MAX, vec(mode(), 0..3), option::of(matching()));
    (first, option::of(ready), option::of(alive), rest).prop_map(|(first, ready, alive, rest)| {
        let (command, cwd, env, profiles, legacy_pidfile, stop, mut restart) = first;
        let ((kind, scope, tie, orphans, overflow), limits, max_size, keep, modes, recognised_by) = rest;
        if kind == Kind::Task && restart.when == When::Always {
            restart.when = When::Failure;
        }
        let mut names = std::collections::BTreeSet::new();
        Service {
            name: Name::lossy(""),
            kind,
            command,
            cwd,
            env,
            ports: Vec::new(),
            after: BTreeMap::new(),
            ready,
            alive,
            stop,
            restart,
            limits,
            log: Log { max_size, keep, overflow },
            tie,
            scope: Scope::clone(&scope),
            profiles,
            orphans,
            legacy_pidfile,
            recognised_by,
            modes: modes.into_iter().filter(|(name, _)| names.insert(name.clone())).map(|(_, mode)| mode).collect(),
        }
    })
}

fn project() -> impl Strategy<Value = Project> {
    (name(), btree_map(name(), service(), 0..4)).prop_map(|(project, mut services)| {
        let mut before: Option<Name> = None;
        for (at, (name, service)) in services.iter_mut().enumerate() {
            service.name = name.clone();
            let port = 1 + u16::try_from(at).expect("few");
            service.ports = vec![PortClaim { address: None, port, proto: crate::claim::Proto::Udp }];
            service.after = before.replace(name.clone()).map(|before| (before, Condition::Ready)).into_iter().collect();
        }
        Project { name: project, dir: "/srv/demo".into(), manifest: "vigie.toml".into(), services }
    })
}

proptest! {
    /// `config show` is a manifest.
    #[test]
    fn shown_and_read_again(project in project()) {
        let text = show(&project, Secrets::Shown);
        prop_assert_eq!(read(&text).map_err(|errors| format!("{errors:?}\n{text}")), Ok(project));
    }

    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,80}") {
        let _ = read(&text);
    }

    #[test]
    fn any_text_of_our_signs_is_read_without_panic(
        words in vec(prop::sample::select(WORDS), 0..40),
    ) {
        if let Err(errors) = read(&words.concat()) {
            prop_assert!(!errors.is_empty());
            for error in errors {
                prop_assert!(error.render().starts_with(&error.to_string()));
            }
        }
    }
}

const WORDS: &[&str] = &[
    "[service.a]\n",
    "[service.b]\n",
    "[project]\n",
    "[service.a.mode.m]\n",
    "\n",
    "name = ",
    "command = ",
    "\"x\"\n",
    "['y', 'z']\n",
    "5\n",
    "{ ",
    " }",
    ", ",
    "= ",
    "a ",
    "\"${",
    "}\"",
    "$$",
    "'",
    "\"",
    "ready = ",
    "tcp = 'a:1'",
    "after = { b = 'ready' }\n",
    "after = { a = 'done' }\n",
    "env = { A = '${B}' }\n",
    "env_file = '.env'\n",
    "ä",
    "restart = 'always'\n",
    "shell = true\n",
    "ports = [80]\n",
    "\u{0}",
    "\r\n",
    "[[",
    "#",
    "every = '0'",
    "1e999\n",
];

/// R12.4: what looks secret is masked, and only in what is shown.
#[test]
fn secrets_are_masked() {
    let project = good(
        "[service.a]\ncommand = ['x']\nenv = { DB_PASSWORD = 'hunter2', api_key = 'k1', LOG = 'info', \
         URL = 'http://u:hunter2@h/', HOME_URL = 'http://h/@x:y' }\nmode.m.env = { GITHUB_TOKEN = 'k2' }",
    );
    let shown = show(&project, Secrets::Masked);
    for secret in ["hunter2", "k1", "k2"] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(show(&project, Secrets::Shown).contains(secret));
    }
    assert!(shown.contains("LOG = \"info\"") && shown.contains("HOME_URL = \"http://h/@x:y\""), "{shown}");
}
