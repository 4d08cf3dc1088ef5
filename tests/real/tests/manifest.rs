//! The manifest (R2.1): all errors at once, with line and column, and nothing is started.

use vigie_real_tests::World;

const WRONG: &str = "[project]\nname = \"demo\"\n\n[service.a]\ncommand = \"@hostile wait\"\nenvv = { A = \"1\" }\n\
    stop = [\"TERM\"]\nrestart = { delay = 5, factor = 0.5 }\n\n[service.b]\ncommand = [\"@hostile\", \"wait\"]\n\
    after = { nobody = \"ready\", a = \"soon\" }\nports = [70000]\ncwd = \"${NOT_SET}\"\n";

/// Where each error of [`WRONG`] is.
const PLACES: [&str; 8] = ["6:1", "7:9", "8:21", "8:33", "12:11", "12:33", "13:10", "14:8"];

#[test]
fn every_error_is_told_at_once_and_nothing_is_started() {
    let world = World::new();
    let text = WRONG.to_owned();
    world.write_manifest(&world.project(), &text);
    for line in [&["up", "-d"][..], &["up"], &["start", "a"], &["config", "check"], &["config", "show"]] {
        let done = world.vigie(line).run().code(2);
        let missing: Vec<&str> =
            PLACES.into_iter().filter(|place| !done.errors().contains(&format!("vigie.toml:{place}"))).collect();
        assert!(missing.is_empty(), "{missing:?} are missing: {done}");
        assert!(done.errors().contains("env"), "the nearest known key: {done}");
    }
    world.vigie(&["daemon", "status"]).run().code(8);
    assert!(!world.home().join("run/services").exists() || world.service_dir("a").is_none());
}

#[test]
fn syntax_errors_have_their_place_too() {
    let world = World::new();
    world.write_manifest(&world.project(), "[service.a]\ncommand = \"x\n[service.b\ncommand = [\"y\"]\n");
    let done = world.vigie(&["config", "check"]).run().code(2);
    assert!(done.errors().contains("vigie.toml:2:") && done.errors().contains("vigie.toml:3:"), "{done}");
}

#[test]
fn a_cycle_is_an_error() {
    let world = World::new();
    world.manifest(
        "[service.a]\ncommand = [\"x\"]\nafter = { b = \"ready\" }\n[service.b]\ncommand = [\"x\"]\nafter = { a = \"ready\" }\n",
    );
    world.vigie(&["up", "-d"]).run().code(2).says("vigie.toml:");
}

#[test]
fn no_manifest() {
    let world = World::new();
    world.vigie(&["up", "-d"]).run().code(2).says("vigie.toml");
    world.vigie(&["config", "check"]).run().code(2);
    world.vigie(&["up", "-d", "-f", "nope.toml"]).run().code(2).says("nope.toml");
}

/// The nearest one upwards, or the one that is named; paths start at its folder.
#[test]
fn the_nearest_manifest_is_meant() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = \"@hostile print\"\nkind = \"task\"\ncwd = \"deep/er\"\n");
    let deep = world.project().join("deep/er");
    std::fs::create_dir_all(&deep).expect("folders");
    world.vigie(&["up", "-d"]).within(&deep).run().code(0);
    let output = String::from_utf8_lossy(&world.raw("a")).into_owned();
    assert!(output.contains(&format!("cwd {}\n", deep.display())), "{output}");
    let manifest = world.project().join("vigie.toml");
    let other = world.path("elsewhere");
    std::fs::create_dir(&other).expect("a folder");
    let manifest = manifest.to_string_lossy();
    world.vigie(&["config", "check", "-f", &manifest]).within(&other).run().code(0);
}

/// R2.2: variables, env files, words as a shell splits them.
#[test]
fn variables_and_words() {
    let world = World::new();
    std::fs::write(world.project().join(".env"), "FROM_FILE='a b'\nBOTH=file\n").expect("written");
    world.manifest(
        "[service.a]\nkind = \"task\"\ncommand = \"@hostile print ${GIVEN} ${MISSING:-'by default'} \\\"two words\\\" ${FROM_FILE}\"\n\
         env_file = [\".env\", \"?.env.local\"]\nenv = { BOTH = \"manifest\" }\n",
    );
    world.vigie(&["up", "-d"]).env("GIVEN", "x y").run().code(0);
    let output = String::from_utf8_lossy(&world.raw("a")).into_owned();
    let args: Vec<&str> = output.lines().filter_map(|line| line.strip_prefix("arg ")).collect();
    assert!(args.contains(&"two words"), "{args:?}");
    assert!(output.contains("env BOTH=manifest\n") && output.contains("env FROM_FILE=a b\n"), "{output}");
    assert!(output.contains("env VIGIE_RUN="), "{output}");
}

#[test]
fn shown_and_described() {
    let world = World::new();
    world.manifest("[service.a]\ncommand = [\"@hostile\", \"wait\"]\nenv = { API_TOKEN = \"hunter2\" }\n");
    let shown = world.vigie(&["config", "show"]).run().code(0);
    assert!(shown.text().contains("[service.a]") && shown.text().contains("TERM 10s"), "{shown}");
    assert!(!shown.text().contains("hunter2"), "a secret is not shown: {shown}");
    let schema = world.vigie(&["config", "schema"]).run().code(0);
    let schema: serde_json::Value = serde_json::from_slice(&schema.out).expect("JSON");
    assert!(schema["properties"]["service"].is_object(), "{schema:#}");
    // What is shown is a manifest itself.
    let again = world.path("again");
    world.write_manifest(&again, &shown.text());
    world.vigie(&["config", "check"]).within(&again).run().code(0);
}
