//! As an ordinary user: what can be made is made, and what `why` says then is no less than what that user may see.

use vigie_real_tests::World;
use vigie_stuck::STATES;

use crate::bed::{Stuck, Verdict};

/// State, verdict, whether KILL ends it, and what frees it, as far as it goes without root.
const EXPECTED: &[(&str, &str, Option<bool>, &[&str])] = &[
    ("zombie", "zombie", Some(false), &["tell-parent", "end-parent"]),
    ("leader-exited", "leader-exited", Some(true), &["end"]),
    ("term-ignored", "signal-ignored", Some(true), &["kill"]),
    ("term-blocked", "sleeping", Some(true), &["end"]),
    ("term-swallowed", "sleeping", Some(true), &["end"]),
    ("stopped", "stopped", Some(true), &["continue", "end"]),
    ("traced", "traced", Some(true), &["end-tracer", "end"]),
    ("traced-at-exit", "traced", Some(false), &["end-tracer"]),
    ("namespace-init", "namespace-init", Some(true), &["kill"]),
    ("vfork", "vfork-wait", Some(true), &["end", "end-child"]),
    ("userfault", "userfault", Some(true), &["end", "end-supplier"]),
    ("pipe-full", "pipe-full", Some(true), &["drain", "end", "end-reader"]),
    ("flock", "file-lock", Some(true), &["end", "end-holder"]),
    ("posix-lock", "file-lock", Some(true), &["end", "end-holder"]),
    ("ofd-lock", "file-lock", Some(true), &["end", "end-holder"]),
    ("daemon", "sleeping", Some(true), &["end"]),
];

#[test]
fn verdicts_for_an_ordinary_user() {
    let world = World::unprivileged();
    for (state, verdict, killable, offers) in EXPECTED {
        let Some(stuck) = Stuck::unprivileged("verdicts_for_an_ordinary_user", state) else { continue };
        Verdict::of(&world, &stuck).is(verdict, *killable).offers_just(offers);
    }
}

/// What frees it is carried out by the user, too.
#[test]
fn remedies_for_an_ordinary_user() {
    let world = World::unprivileged();
    let test = "remedies_for_an_ordinary_user";
    let deeds = [
        ("zombie", "end-parent"),
        ("leader-exited", "end"),
        ("term-ignored", "kill"),
        ("traced-at-exit", "end-tracer"),
        ("namespace-init", "kill"),
        ("vfork", "end"),
        ("daemon", "end"),
    ];
    for (state, deed) in deeds {
        let Some(stuck) = Stuck::unprivileged(test, state) else { continue };
        Verdict::of(&world, &stuck).carry_out(&world, deed);
        stuck.gone();
    }
    for (state, deed) in [("stopped", "continue"), ("traced", "end-tracer"), ("flock", "end-holder")] {
        let Some(stuck) = Stuck::unprivileged(test, state) else { continue };
        Verdict::of(&world, &stuck).carry_out(&world, deed);
        stuck.goes_on();
    }
}

/// What belongs to root: the verdict is what can be seen, and what cannot is said.
#[test]
fn an_ordinary_user_looks_at_what_is_of_root() {
    if !vigie_real_tests::is_root() {
        return vigie_real_tests::skip("an_ordinary_user_looks_at_what_is_of_root", "nothing of root's can be made");
    }
    let world = World::unprivileged();
    for state in ["stopped", "traced", "frozen-v1", "zombie", "term-ignored"] {
        let Some(stuck) = Stuck::new("an_ordinary_user_looks_at_what_is_of_root", state) else { continue };
        let name = match state {
            "frozen-v1" => "frozen",
            "term-ignored" => "signal-ignored",
            other => other,
        };
        let verdict = Verdict::of(&world, &stuck);
        verdict.is(name, verdict.0["killable"].as_bool());
    }
    let Some(stuck) = Stuck::new("an_ordinary_user_looks_at_what_is_of_root", "fuse-getattr") else { return };
    let verdict = Verdict::of(&world, &stuck);
    // Where it sleeps is not for others to see: not certain, and said so.
    assert_eq!(verdict.0["blind"], true, "{:#}", verdict.0);
}

/// All that needs no root is in the list above.
#[test]
fn every_state_without_root_is_expected() {
    let without: Vec<&str> = STATES.iter().filter(|state| !state.root).map(|state| state.name).collect();
    let mut expected: Vec<&str> = EXPECTED.iter().map(|one| one.0).collect();
    expected.sort_by_key(|name| without.iter().position(|other| other == name));
    assert_eq!(expected, without);
}
