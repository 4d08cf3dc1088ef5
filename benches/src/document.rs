//! `docs/benchmarks.md`: the last result of every measurement, and what there is to say about it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};
use crate::machine;
use crate::measures;
use crate::page::{Budget, Page};
use crate::site::Site;

/// A result with its circumstances.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    machine: String,
    /// When, at which commit, how thoroughly.
    measured: String,
    page: Page,
}

fn folder(site: &Site) -> PathBuf {
    site.root.join("target/bench/results")
}

/// When, at which commit, how thoroughly, and what else the machine had to do.
pub(crate) fn measured(site: &Site) -> String {
    let commit = machine::commit(&site.root).map_or(String::new(), |commit| format!(" at {commit}"));
    let quick = if site.quick { ", quick: few repetitions" } else { "" };
    format!("Measured on {}{commit}{quick}; load average at its end {}.", machine::date(), machine::load())
}

/// Keeps a result.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn keep(site: &Site, name: &str, measured: &str, page: &Page) -> Result<()> {
    let record = Record { machine: machine::describe(), measured: measured.to_owned(), page: page.clone() };
    let text = serde_json::to_string_pretty(&record).map_err(|error| Failure::new(error.to_string()))?;
    write(&folder(site).join(format!("{name}.json")), &text)
}

/// Writes the document from all results that are kept.
///
/// # Errors
/// When a result cannot be read or the document not be written.
pub(crate) fn publish(site: &Site, missing: &[String]) -> Result<PathBuf> {
    let mut records = Vec::new();
    for (name, ..) in measures::ALL {
        let path = folder(site).join(format!("{name}.json"));
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let record: Record =
            serde_json::from_str(&text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        records.push(record);
    }
    let path = site.root.join("docs/benchmarks.md");
    write(&path, &text(&records, missing))?;
    Ok(path)
}

fn text(records: &[Record], missing: &[String]) -> String {
    let mut text = String::from(
        "# Benchmarks\n\n\
         `cargo xtask bench` measures vigie against bare floors (a loop that spawns, `cat` into a file) and beside its \
         peers, in one run, and writes this page. `cargo xtask bench --install-peers` fetches the peers into \
         `target/peers` first. Absolute times belong to the machine; the ratios are what to compare.\n\n\
         As root, vigie's runtime folder lies on a tmpfs here, as `/run` and `$XDG_RUNTIME_DIR` do, and so do the \
         folders of the peers; vigie's journal and its logs lie on the disk.\n\n",
    );
    let mut machines: Vec<&str> = records.iter().map(|record| record.machine.as_str()).collect();
    machines.dedup();
    for machine in machines {
        text.push_str(&format!("Machine: {machine}.\n\n"));
    }
    text.push_str("## The budgets\n\n");
    let budgets: Vec<&Budget> = records.iter().flat_map(|record| &record.page.budgets).collect();
    text.push_str(&format!("{}\n", Budget::table(budgets).markdown()));
    let remarks = include_str!("../remarks.md").trim();
    if !remarks.is_empty() {
        text.push_str(&format!("{remarks}\n\n"));
    }
    for record in records {
        text.push_str(&format!("{}\n", record.page.markdown(&record.measured)));
    }
    text.push_str("## Peers that were not measured\n\n");
    for reason in missing {
        text.push_str(&format!("- {reason}\n"));
    }
    text
}

fn write(path: &Path, text: &str) -> Result<()> {
    let failed = |error| Failure::io(format!("cannot write {}", path.display()))(error);
    path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
    std::fs::write(path, text).map_err(failed)
}
