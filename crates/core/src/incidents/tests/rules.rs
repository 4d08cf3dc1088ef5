//! The rules as they are edited, and quiet hours.

use super::*;

#[test]
fn settings_are_read_back_as_they_are_shown() {
    for name in RuleName::ALL {
        let (rule, id) = (Rule::default_of(name), RuleId::from(name));
        let shown: Vec<(String, String)> =
            rule.shown(&id).into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut rules = Rules::default();
        rules.set(&id, &shown).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(rules.get(&id).shown(&id), rule.shown(&id), "{name}");
        assert_eq!(RuleName::ALL[name as usize], name);
        assert_eq!(name.name().parse(), Ok(name));
        assert_eq!(shown.iter().any(|(key, _)| key == "exits"), name == RuleName::CrashLoop);
    }
}

#[test]
fn a_change_that_does_not_fit_changes_nothing() {
    let mut rules = Rules::default();
    rules.set(&RuleName::CrashLoop.into(), &pairs("exits=3 within=10s quiet=22:00-07:00")).expect("it fits");
    let before = rules.clone();
    for (rule, change, word) in [
        (RuleName::CrashLoop, "exits=4 within=0s", "within=0s: between 1s and 1d"),
        (RuleName::CrashLoop, "exits=1", "from 2 to 1000"),
        (RuleName::GaveUp, "exits=3", "gave-up has no setting \"exits\""),
        (RuleName::Ghost, "severty=critical", "did you mean \"severity\"?"),
        (RuleName::Ghost, "severity=bad", "notice, warning or critical"),
        (RuleName::Ghost, "renotify=1s", "between 1m and 30d"),
        (RuleName::Ghost, "for=5", "write for example"),
        (RuleName::Ghost, "quiet=22:00", "22:00-07:00"),
        (RuleName::Ghost, "quiet=7:00-7:00", "22:00-07:00"),
        (RuleName::Ghost, "on=maybe", "yes or no"),
    ] {
        let error = rules.set(&rule.into(), &pairs(change)).expect_err(change).to_string();
        assert!(error.contains(word), "{change}: {error}");
        assert_eq!(rules, before);
    }
    let error = "crashloop".parse::<RuleName>().expect_err("no rule").to_string();
    assert_eq!(error, "there is no rule \"crashloop\"; did you mean \"crash-loop\"?");
    rules.reset(RuleName::CrashLoop);
    assert_eq!(rules, Rules::default());
}

/// A newer version has settings that this one does not know: they are kept, and do nothing.
#[test]
fn what_is_not_understood_is_kept() {
    let edits: Edits = pairs("exits=3 colour=red").into_iter().collect();
    let mut rules = Rules::new([(RuleName::CrashLoop.into(), edits)]);
    assert_eq!(rules.known(RuleName::CrashLoop).exits, 3);
    rules.set(&RuleName::CrashLoop.into(), &pairs("exits=4")).expect("it fits");
    assert_eq!(
        rules.edits(&RuleName::CrashLoop.into()).and_then(|edits| edits.get("colour")).map(String::as_str),
        Some("red")
    );
}

#[test]
fn quiet_hours() {
    // Hours, seconds of the day, offset, seconds that are left.
    for (hours, second, offset, left) in [
        ("22:00-07:00", 0, 0, Some(7 * 3600)),
        ("22:00-07:00", 7 * 3600 - 1, 0, Some(1)),
        ("22:00-07:00", 7 * 3600, 0, None),
        ("22:00-07:00", 22 * 3600 - 1, 0, None),
        ("22:00-07:00", 22 * 3600, 0, Some(9 * 3600)),
        ("22:00-07:00", 21 * 3600, 3600, Some(9 * 3600)),
        ("22:00-07:00", 3600, -7200, Some(8 * 3600)),
        ("09:30-10:00", 9 * 3600 + 1800, 0, Some(1800)),
        ("09:30-10:00", 36_000, 0, None),
    ] {
        let day = 1_800_000_000 / 86_400 * 86_400;
        let now = Now { mono: Mono(0), wall: Wall((day + second) * SECOND) };
        let hours: Hours = hours.parse().expect("hours");
        assert_eq!(hours.left(Moment { now, offset }), left.map(Duration::from_secs), "{hours} {second} {offset}");
        assert_eq!(hours.to_string().parse(), Ok(hours));
    }
}

#[test]
fn silences_cover_what_they_name() {
    let service = |project, service| Subject::Service { project: name(project), service: name(service), mode: None };
    let container = |source: &str, container: &str| Subject::Container {
        source: name(source),
        name: container.to_owned(),
        id: "c0ffee".to_owned(),
    };
    let of_project = |project: Option<&str>, service: Option<&str>| Scope {
        project: project.map(name),
        service: service.map(name),
        ..Scope::default()
    };
    let of_source = |source: Option<&str>, container: Option<&str>| Scope {
        source: source.map(name),
        container: container.map(str::to_owned),
        ..Scope::default()
    };
    let nas = || Subject::Source(name("nas"));
    for (silence, subject, covered) in [
        (Scope::default(), service("demo", "api"), true),
        (Scope::default(), Subject::Daemon, true),
        (Scope::default(), container("nas", "web"), true),
        (of_project(Some("demo"), None), service("demo", "api"), true),
        (of_project(Some("demo"), None), Subject::Daemon, false),
        (of_project(Some("demo"), None), container("demo", "demo"), false),
        (of_project(Some("demo"), Some("api")), service("demo", "api"), true),
        (of_project(Some("demo"), Some("api")), service("demo", "db"), false),
        (of_project(Some("demo"), Some("api")), service("shop", "api"), false),
        (of_project(Some("demo"), Some("api")), Subject::Project(name("demo")), false),
        (of_source(Some("nas"), None), nas(), true),
        (of_source(Some("nas"), None), container("nas", "web"), true),
        (of_source(Some("nas"), None), container("pi", "web"), false),
        (of_source(Some("nas"), None), service("nas", "web"), false),
        (of_source(None, Some("web")), container("nas", "web"), true),
        (of_source(None, Some("web")), container("nas", "web2"), false),
        (of_source(None, Some("web")), nas(), false),
        (of_source(None, Some("web")), service("demo", "web"), false),
        (of_source(Some("pi"), Some("web")), container("pi", "web"), true),
        (of_source(Some("pi"), Some("web")), container("nas", "web"), false),
        (of_source(Some("pi"), Some("web")), Subject::Daemon, false),
    ] {
        assert_eq!(silence.covers(&subject), covered, "{silence} {subject}");
        assert!(silence.is_possible());
    }
    let texts = [of_source(Some("nas"), None), of_source(None, Some("web")), of_source(Some("nas"), Some("web"))];
    assert_eq!(
        texts.map(|scope| scope.to_string()),
        ["source:nas", "container:web", "container:nas/web"],
        "as targets are written"
    );
    let both = Scope { service: Some(name("api")), ..of_source(Some("nas"), None) };
    assert!(!both.is_possible() && !both.covers(&nas()) && !both.covers(&service("demo", "api")));
}

/// As they were stored when there were only services.
#[test]
fn an_old_silence_is_read() {
    let text =
        r#"{"id":3,"scope":{"project":"demo","service":null},"until":5,"ends":6,"since":1,"by":"anna","reason":null}"#;
    let silence: Silence = serde_json::from_str(text).expect("a silence");
    assert_eq!(silence.scope, Scope { project: Some(name("demo")), ..Scope::default() });
}
