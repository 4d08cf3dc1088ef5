//! How things are shown (R3.5): colour and symbols only on a terminal, tables that fit the width, values that were
//! not observed as `–`, and nothing that a hostile name could do to the screen.

mod colour;
pub(crate) mod line;
mod number;
mod table;
pub(crate) mod time;

use std::io::IsTerminal;

use anstyle::Style;

pub(crate) use colour::{Paint, style};
pub(crate) use number::{ABSENT, bytes, or_absent, percent};
pub(crate) use table::{Align, Column, Table, wrap};

/// A place where text is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Screen {
    /// A person looks at it.
    pub(crate) terminal: bool,
    /// Colours are shown.
    pub(crate) colour: bool,
    /// Columns; absent when it is not a terminal, so that nothing is cut in pipes.
    pub(crate) width: Option<usize>,
}

impl Screen {
    /// Standard output.
    pub(crate) fn stdout() -> Self {
        Self::of(&std::io::stdout())
    }

    /// Standard error.
    pub(crate) fn stderr() -> Self {
        Self::of(&std::io::stderr())
    }

    fn of(stream: &(impl IsTerminal + std::os::fd::AsFd)) -> Self {
        let terminal = stream.is_terminal();
        let width = terminal.then(|| {
            rustix::termios::tcgetwinsize(stream).map_or(80, |size| if size.ws_col == 0 { 80 } else { size.ws_col })
        });
        Self {
            terminal,
            colour: colour::wanted(terminal, |name| std::env::var_os(name)),
            width: width.map(usize::from),
        }
    }

    /// `text` in `style`, or plain.
    pub(crate) fn paint<T: std::fmt::Display>(self, style: Style, text: T) -> Paint<T> {
        Paint::new(if self.colour { style } else { Style::new() }, text)
    }
}

/// The text that programs print for what nobody may misread: names, commands, paths, made safe for a terminal.
pub(crate) fn safe(text: &str) -> String {
    vigie_core::text::escaped(text.as_bytes())
}

/// Of a longer command line the middle is left out: class paths of a hundred thousand characters would push everything
/// else off the screen.
const LINE: usize = 2_000;

/// So much of its end is kept: there often stands what is run.
const TAIL: usize = 400;

/// A command line for people: words that a shell would split are quoted, control characters escaped, the middle left out
/// of what is too long to be read.
pub(crate) fn command<'a>(argv: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut line = String::new();
    for word in argv {
        if !line.is_empty() {
            line.push(' ');
        }
        let text = vigie_core::text::escaped(word);
        let plain = |c: char| c.is_alphanumeric() || "-_./:=@,+%~[]{}#^".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            line.push_str(&text);
        } else {
            line.push('\'');
            line.push_str(&text.replace('\'', "'\\''"));
            line.push('\'');
        }
    }
    without_middle(line)
}

fn without_middle(line: String) -> String {
    let count = line.chars().count();
    if count <= LINE {
        return line;
    }
    let place = |nth: usize| line.char_indices().nth(nth).map_or(line.len(), |(place, _)| place);
    let (head, tail) = (&line[..place(LINE - TAIL)], &line[place(count - TAIL)..]);
    format!("{head} …({} characters)… {tail}", count - LINE)
}

/// How the line of a journal entry of this kind is coloured.
pub(crate) fn event_style(kind: &str) -> Style {
    match kind {
        "ready" | "healthy" | "incident_resolved" => style::GOOD,
        "restart_scheduled" | "degraded" | "orphans" | "survivors_ended" | "not_ready" | "log_lost" | "gap"
        | "samples_stopped" => style::WARN,
        "gave_up" | "spawn_failed" | "stuck" | "conflict" | "keeper_lost" | "dependency_failed" | "journal_damaged"
        | "samples_damaged" | "answered_by_other" | "adopt_failed" | "claim_held" | "incident_opened"
        | "notify_failed" => style::BAD,
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_long_command_line_is_left_out() {
        let path = "ä".repeat(100_000);
        let line = command([b"java".as_slice(), b"-cp", path.as_bytes(), b"org.example.Main"]);
        assert!(line.starts_with("java -cp ää") && line.ends_with("ää org.example.Main"), "{line}");
        assert!(line.chars().count() < LINE + 50 && line.contains(" …(98026 characters)… "), "{line}");
        let short = "x".repeat(LINE);
        assert_eq!(command([short.as_bytes()]), short);
    }

    #[test]
    fn command_lines_can_be_read_and_cannot_draw() {
        let words: [&[u8]; 5] = [b"sh", b"-c", b"echo it's; ls", b"", b"\x1b[2J"];
        assert_eq!(command(words), r"sh -c 'echo it'\''s; ls' '' '\u{1b}[2J'");
        assert_eq!(safe("a\nb"), "a\\nb");
    }
}
