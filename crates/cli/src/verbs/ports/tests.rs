use super::*;

fn asked(claim: &str, by: &str) -> Asked {
    Asked { claim: claim.parse().expect("claim"), by: Some(by.to_owned()) }
}

fn judged(verdict: PortVerdict) -> Port {
    Port { verdict, ..unknown(&asked("8000", "demo/api"), "because") }
}

#[test]
fn ports_are_written_as_in_targets() {
    for (text, shown) in [
        ("8000", "8000/tcp"),
        ("port:8000", "8000/tcp"),
        ("5004/udp", "5004/udp"),
        ("[::1]:9000/tcp", "[::1]:9000/tcp"),
    ] {
        assert_eq!(port(text).map(|claim| claim.to_string()), Ok(shown.to_owned()));
    }
    assert!(port("api").is_err_and(|error| error.contains("is not a port")));
}

/// R3.2: 0 all free, 1 some used; what could not be seen is neither.
#[test]
fn exit_codes() {
    let (free, waits) = (judged(PortVerdict::Free), judged(PortVerdict::TimeWait));
    let (used, unknown) = (judged(PortVerdict::Used), judged(PortVerdict::Unknown));
    for (ports, code) in [
        (vec![], ExitCode::Done),
        (vec![&free, &waits], ExitCode::Done),
        (vec![&free, &used], ExitCode::No),
        (vec![&unknown, &used], ExitCode::No),
        (vec![&unknown, &free], ExitCode::NotPermitted),
    ] {
        assert_eq!(exit_code(&ports), code, "{ports:?}");
    }
}

#[test]
fn a_port_that_is_named_is_known_by_its_claim() {
    let claims = [asked("8000", "demo/api"), asked("[::1]:9000", "demo/web"), asked("5004/udp", "demo/audio")];
    let by = |text: &str| named(text.parse().expect("claim"), &claims).by;
    assert_eq!(by("127.0.0.1:8000").as_deref(), Some("demo/api"));
    assert_eq!(by("9000").as_deref(), Some("demo/web"));
    assert_eq!(by("127.0.0.1:9000"), None);
    assert_eq!(by("5004/tcp"), None);
}
