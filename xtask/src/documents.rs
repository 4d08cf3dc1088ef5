//! Documents that repeat what the code knows are compared with it: they cannot drift.
//!
//! What stands between `<!-- generated: NAME -->` and `<!-- end -->` is made here. `VIGIE_BLESS=1 cargo test -p xtask
//! documents` writes it.

mod keys;

use std::path::Path;

use vigie_core::exit_code::ExitCode;
use vigie_core::stuck::TaskVerdict;

#[test]
fn the_manual_names_every_key_of_the_manifest() {
    compare("docs/manifest.md", "keys", &keys::tables(&vigie_core::manifest::schema()));
}

#[test]
fn the_manual_names_every_exit_code() {
    let mut table = "| code | meaning |\n|---|---|\n".to_owned();
    for (code, meaning) in ExitCode::TABLE {
        table.push_str(&format!("| {} | {meaning} |\n", code.number()));
    }
    compare("docs/exit-codes.md", "exit codes", &table);
}

/// Every verdict about a process has its section in the chapter about stuck things, in the order of the code; and no
/// section is about something else.
#[test]
fn the_manual_explains_every_verdict() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/stuck.md");
    let text = std::fs::read_to_string(path).expect("document");
    let sections: Vec<&str> = text.split("\n### ").skip(1).collect();
    let titles: Vec<&str> = sections.iter().filter_map(|section| section.lines().next()).collect();
    let wanted: Vec<String> = TaskVerdict::ALL.iter().map(|verdict| format!("`{}`", verdict.name())).collect();
    assert_eq!(titles, wanted);
    for section in &sections {
        let title = section.lines().next().unwrap_or_default();
        // Lines are broken anywhere.
        let words: Vec<&str> = section.split_whitespace().collect();
        assert!(words.join(" ").contains("**What helps**:"), "{title} does not say what helps");
    }
}

/// Every link from one document to another leads somewhere.
#[test]
fn links_between_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = std::fs::read_dir(root.join("docs")).expect("docs").flatten().map(|entry| entry.path());
    let roots = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root.join(name));
    let mut seen = 0;
    for path in docs.chain(roots).filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = std::fs::read_to_string(&path).expect("document");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(link, _)| link)) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            seen += 1;
            let target = path.parent().expect("folder").join(file);
            assert!(target.exists(), "{} links to {link}, which is not there", path.display());
        }
    }
    assert!(seen > 10, "only {seen} links found");
}

fn compare(document: &str, name: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(document);
    let text = std::fs::read_to_string(&path).expect(document);
    let start = format!("<!-- generated: {name} -->\n");
    let (head, rest) = text.split_once(&start).expect("the mark where it starts");
    let (written, tail) = rest.split_once("<!-- end -->").expect("the mark where it ends");
    let wanted = format!("\n{generated}\n");
    if std::env::var_os("VIGIE_BLESS").is_some() {
        std::fs::write(&path, format!("{head}{start}{wanted}<!-- end -->{tail}")).expect(document);
        return;
    }
    assert!(written == wanted, "{document} is old: run this test with VIGIE_BLESS=1");
}
