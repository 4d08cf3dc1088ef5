//! Tables without lines: a header, rows, two spaces between columns. On a terminal they fit its width: columns that
//! may shrink are wrapped at words, so that nothing is hidden; a column of remarks goes below its row when there is no
//! room beside it; and where even that is too wide, columns that may be missed are left out.

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Screen, style};

/// The least to which a column is shrunk.
const NARROWEST: usize = 10;

/// Words up to this long are only cut when there is no other way.
const WORD: usize = 24;
const GAP: usize = 2;

/// On which side of its column a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// What becomes of a column in a table that is wider than the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Narrow {
    /// It stays as it is.
    Stays,
    /// It is wrapped.
    Wraps,
    /// Its cells go below their rows.
    Below,
    /// It is left out; the highest number first.
    Goes(u8),
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    head: &'static str,
    align: Align,
    narrow: Narrow,
}

impl Column {
    /// One that keeps its width.
    pub(crate) const fn new(head: &'static str, align: Align) -> Self {
        Self { head, align, narrow: Narrow::Stays }
    }

    /// One that keeps its width, or is left out where there is no room: the one with the highest `rank` first.
    pub(crate) const fn spare(head: &'static str, align: Align, rank: u8) -> Self {
        Self { head, align, narrow: Narrow::Goes(rank) }
    }

    /// One of remarks: below its row where there is no room beside it. The last column.
    pub(crate) const fn remark(head: &'static str) -> Self {
        Self { head, align: Align::Left, narrow: Narrow::Below }
    }

    /// One that is wrapped when the table is wider than the screen.
    pub(crate) const fn text(head: &'static str) -> Self {
        Self { head, align: Align::Left, narrow: Narrow::Wraps }
    }
}

/// Rows of styled cells.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<(Style, String)>>,
}

impl Table {
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; as many cells as there are columns. Their texts are made safe for a terminal here.
    pub(crate) fn row(&mut self, cells: Vec<(Style, String)>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "a row has as many cells as the table has columns");
        self.rows.push(cells.into_iter().map(|(style, text)| (style, super::safe(&text))).collect());
    }

    /// Leaves out a column that holds nothing but `empty`: room for the others.
    pub(crate) fn drop_if_all(&mut self, head: &str, empty: &str) {
        let Some(index) = self.columns.iter().position(|column| column.head == head) else { return };
        if self.rows.iter().all(|row| row[index].1 == empty) {
            self.take_out(index);
        }
    }

    /// The whole table, each line with its newline.
    pub(crate) fn render(&self, screen: Screen) -> String {
        let Some(limit) = screen.width else { return self.render_wide(screen, &[]) };
        let mut table = Self { columns: self.columns.clone(), rows: self.rows.clone() };
        let mut remarks = Vec::new();
        if !table.fits(limit)
            && let Some(index) = table.columns.iter().position(|column| column.narrow == Narrow::Below)
        {
            remarks = table.take_out(index);
        }
        let rank = |column: &Column| if let Narrow::Goes(rank) = column.narrow { Some(rank) } else { None };
        while !table.fits(limit) {
            let ranks = table.columns.iter().enumerate().filter_map(|(index, column)| Some((rank(column)?, index)));
            let Some((_, index)) = ranks.max() else { break };
            table.take_out(index);
        }
        table.render_wide(screen, &remarks)
    }

    /// Removes a column and gives back its cells.
    fn take_out(&mut self, index: usize) -> Vec<(Style, String)> {
        self.columns.remove(index);
        self.rows.iter_mut().map(|row| row.remove(index)).collect()
    }

    /// `remarks`: what is said below each row, where there is something.
    fn render_wide(&self, screen: Screen, remarks: &[(Style, String)]) -> String {
        let widths = self.widths(screen.width);
        let head: Vec<(Style, String)> =
            self.columns.iter().map(|column| (style::DIM, column.head.to_owned())).collect();
        let mut text = String::new();
        self.render_row(&head, &widths, screen, &mut text);
        for (index, row) in self.rows.iter().enumerate() {
            self.render_row(row, &widths, screen, &mut text);
            let Some((style, remark)) = remarks.get(index).filter(|(_, remark)| !remark.is_empty()) else { continue };
            let width = screen.width.map_or(usize::MAX, |width| width.saturating_sub(GAP).max(NARROWEST));
            for line in wrap(remark, width) {
                text.extend(std::iter::repeat_n(' ', GAP));
                text.push_str(&screen.paint(*style, line).to_string());
                text.push('\n');
            }
        }
        text
    }

    /// Whether it is no wider than this, with columns wrapped that may be, between words.
    fn fits(&self, limit: usize) -> bool {
        let narrowest = |index: usize, natural: usize| match self.columns[index].narrow {
            Narrow::Wraps => {
                let words = self.rows.iter().flat_map(|row| row[index].1.split(' '));
                let longest = words.map(UnicodeWidthStr::width).max().unwrap_or(0);
                natural.min(longest.clamp(NARROWEST, WORD))
            }
            _ => natural,
        };
        let widths = self.widths(None).into_iter().enumerate().map(|(index, natural)| narrowest(index, natural));
        widths.sum::<usize>() + GAP * self.columns.len().saturating_sub(1) <= limit
    }

    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let cells = self.rows.iter().map(|row| row[index].1.width());
                cells.max().unwrap_or(0).max(column.head.width())
            })
            .collect();
        let Some(limit) = limit else { return widths };
        let gaps = GAP * widths.len().saturating_sub(1);
        loop {
            let total: usize = widths.iter().sum::<usize>() + gaps;
            if total <= limit {
                return widths;
            }
            // The widest gives first, down to the next widest, so that short texts stay whole.
            let widest = (0..widths.len())
                .filter(|index| self.columns[*index].narrow == Narrow::Wraps && widths[*index] > NARROWEST)
                .max_by_key(|index| widths[*index]);
            let Some(widest) = widest else { return widths };
            widths[widest] -= 1;
        }
    }

    fn render_row(&self, row: &[(Style, String)], widths: &[usize], screen: Screen, text: &mut String) {
        let cells: Vec<Vec<String>> = row.iter().zip(widths).map(|((_, cell), width)| wrap(cell, *width)).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..height {
            let mut pending = 0;
            for (index, cell) in cells.iter().enumerate() {
                let part = cell.get(line).map_or("", String::as_str);
                let fill = widths[index].saturating_sub(part.width());
                let (before, after) = match self.columns[index].align {
                    Align::Left => (0, fill),
                    Align::Right => (fill, 0),
                };
                if !part.is_empty() {
                    text.extend(std::iter::repeat_n(' ', pending + before));
                    text.push_str(&screen.paint(row[index].0, part).to_string());
                    pending = after + GAP;
                } else {
                    pending += widths[index] + GAP;
                }
            }
            text.push('\n');
        }
    }
}

/// Cuts `text` into lines of at most `width` columns: at spaces where there are some, else behind the last `/` of a path.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.width() + 1 + word.width() <= width {
            line.push(' ');
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            if line.width() + c.width().unwrap_or(0) > width && !line.is_empty() {
                // The first `/` of a path, and what it would leave alone in a line, are no place to cut at.
                let cut = line.rfind('/').map(|place| place + 1).filter(|cut| *cut > width / 3).unwrap_or(line.len());
                let rest = line.split_off(cut);
                lines.push(std::mem::replace(&mut line, rest));
            }
            line.push(c);
        }
    }
    lines.push(line);
    lines
}

impl Screen {
    /// A sentence outside of tables, in lines that fit the screen: below the first one each is indented by so many
    /// columns. `before`: how many stand before it already. Pipes get it as it is.
    pub(crate) fn folded(self, text: &str, before: usize, indent: usize) -> String {
        // What stands before the first line is one more word of it, of which nothing is shown here.
        let first = before.saturating_sub(indent);
        // Where there is so little room, words are cut in any case.
        let room = self.width.and_then(|width| width.checked_sub(indent)).filter(|room| *room > first.max(WORD));
        let Some(room) = room else { return text.to_owned() };
        let filled = format!("{}{text}", "x".repeat(first));
        let lines = wrap(&filled, room).join(&format!("\n{}", " ".repeat(indent)));
        lines.chars().skip(first).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(note: &str) -> Table {
        let mut table =
            Table::new(&[Column::new("NAME", Align::Left), Column::new("PID", Align::Right), Column::text("NOTE")]);
        table.row(vec![
            (Style::new(), "api".to_owned()),
            (Style::new(), "7".to_owned()),
            (style::BAD, note.to_owned()),
        ]);
        table
    }

    const PLAIN: Screen = Screen { terminal: false, colour: false, width: None };

    #[test]
    fn columns_are_aligned_and_lines_end_without_spaces() {
        assert_eq!(table("").render(PLAIN), "NAME  PID  NOTE\napi     7\n");
        assert_eq!(table("x").render(PLAIN), "NAME  PID  NOTE\napi     7  x\n");
    }

    #[test]
    fn a_terminal_is_never_overrun_and_loses_nothing() {
        let note = "restart 3 of 10 in 2s, because it exited with code 7";
        for width in 22..90 {
            let text = table(note).render(Screen { width: Some(width), ..PLAIN });
            assert!(text.lines().all(|line| line.width() <= width), "{width}:\n{text}");
            for word in note.split(' ') {
                assert!(text.contains(word), "{word} at {width}");
            }
        }
        assert_eq!(table(note).render(PLAIN).lines().count(), 2, "pipes get whole lines");
    }

    #[test]
    fn remarks_go_below_and_spare_columns_go_away() {
        let mut table = Table::new(&[
            Column::new("NAME", Align::Left),
            Column::spare("CPU", Align::Right, 1),
            Column::spare("PROC", Align::Right, 2),
            Column::remark("NOTE"),
        ]);
        let cell = |text: &str| (Style::new(), text.to_owned());
        table.row(vec![cell("database"), cell("0.5%"), cell("2"), cell("exit code 7, 3s ago")]);
        table.row(vec![cell("web"), cell("1.0%"), cell("1"), cell("")]);
        let at = |width| table.render(Screen { width: Some(width), ..PLAIN });
        assert_eq!(
            at(41),
            "NAME       CPU  PROC  NOTE\ndatabase  0.5%     2  exit code 7, 3s ago\nweb       1.0%     1\n"
        );
        assert_eq!(at(40), "NAME       CPU  PROC\ndatabase  0.5%     2\n  exit code 7, 3s ago\nweb       1.0%     1\n");
        assert_eq!(at(19), "NAME       CPU\ndatabase  0.5%\n  exit code 7, 3s\n  ago\nweb       1.0%\n");
        assert_eq!(at(12), "NAME\ndatabase\n  exit code\n  7, 3s ago\nweb\n");
    }

    #[test]
    fn sentences_break_between_words() {
        let screen = Screen { width: Some(30), ..PLAIN };
        let text = "a sentence that is longer than the screen is wide";
        assert_eq!(screen.folded(text, 0, 2), "a sentence that is longer\n  than the screen is wide");
        assert_eq!(screen.folded(text, 10, 2), "a sentence that is\n  longer than the screen is\n  wide");
        assert_eq!(screen.folded("short", 10, 2), "short");
        assert_eq!(PLAIN.folded(text, 10, 2), text, "pipes get whole lines");
        assert_eq!(Screen { width: Some(12), ..PLAIN }.folded(text, 0, 2), text);
    }

    #[test]
    fn hostile_cells_are_harmless() {
        assert_eq!(table("a\x1b[2J\nb").render(PLAIN).lines().count(), 2);
    }

    #[test]
    fn empty_columns_can_go() {
        let mut table = table("–");
        table.drop_if_all("NOTE", "–");
        assert_eq!(table.render(PLAIN), "NAME  PID\napi     7\n");
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(wrap("日本語", 4), ["日本", "語"]);
        assert_eq!(wrap("aaaa bb cc", 5), ["aaaa", "bb cc"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn paths_break_behind_a_slash() {
        assert_eq!(wrap("/usr/lib/jvm/bin/java -jar", 15), ["/usr/lib/jvm/", "bin/java -jar"]);
        assert_eq!(wrap("/aaaaaaaaaaaa/b", 6), ["/aaaaa", "aaaaaa", "a/b"]);
        assert_eq!(wrap("a///////////", 4), ["a///", "////", "////"]);
    }
}
