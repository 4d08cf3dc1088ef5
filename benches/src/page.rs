//! What a measurement says: a section of `docs/benchmarks.md`.

use serde::{Deserialize, Serialize};

/// A section.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Page {
    /// The title.
    pub(crate) title: String,
    /// How it was measured: paragraphs.
    pub(crate) method: Vec<String>,
    pub(crate) tables: Vec<Table>,
    pub(crate) budgets: Vec<Budget>,
    /// What else was seen.
    pub(crate) notes: Vec<String>,
}

/// A table.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// A promise, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Budget {
    pub(crate) what: String,
    pub(crate) limit: String,
    pub(crate) measured: String,
    pub(crate) met: bool,
}

impl Table {
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { head: head.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// As Markdown, its columns aligned, so that it can be read as it is.
    pub(crate) fn markdown(&self) -> String {
        let width = |column: usize| {
            let cells = std::iter::once(&self.head).chain(&self.rows);
            cells.filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |cells: &[String]| {
            let padded = cells.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |"));
            format!("|{}\n", padded.collect::<String>())
        };
        let rule: String = widths.iter().map(|width| format!("{}|", "-".repeat(width + 2))).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}|{rule}\n{rows}", line(&self.head))
    }
}

impl Budget {
    pub(crate) fn new(what: &str, limit: &str, measured: String, met: bool) -> Self {
        Self { what: what.to_owned(), limit: limit.to_owned(), measured, met }
    }

    /// The budgets of several sections as one table.
    pub(crate) fn table<'a>(budgets: impl IntoIterator<Item = &'a Budget>) -> Table {
        let mut table = Table::new(["what", "budget", "measured", ""]);
        for budget in budgets {
            let verdict = if budget.met { "met" } else { "**not met**" };
            table.row([budget.what.clone(), budget.limit.clone(), budget.measured.clone(), verdict.to_owned()]);
        }
        table
    }
}

impl Page {
    pub(crate) fn new(title: &str, method: &[&str]) -> Self {
        let method = method.iter().map(|&paragraph| paragraph.to_owned()).collect();
        Self { title: title.to_owned(), method, ..Self::default() }
    }

    /// The section as Markdown.
    pub(crate) fn markdown(&self, measured: &str) -> String {
        let mut text = format!("## {}\n\n", self.title);
        for paragraph in &self.method {
            text.push_str(&format!("{paragraph}\n\n"));
        }
        for table in &self.tables {
            text.push_str(&format!("{}\n", table.markdown()));
        }
        if !self.budgets.is_empty() {
            text.push_str(&format!("{}\n", Budget::table(&self.budgets).markdown()));
        }
        for note in &self.notes {
            text.push_str(&format!("- {note}\n"));
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("_{measured}_\n"));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned() {
        let mut table = Table::new(["a", "what"]);
        table.row(["1.2 µs".to_owned(), "x".to_owned()]);
        assert_eq!(table.markdown(), "| a      | what |\n|--------|------|\n| 1.2 µs | x    |\n");
    }
}
