//! When there is colour, and which.

use std::ffi::OsString;
use std::fmt;

use anstyle::Style;

/// The styles in use. They are the terminal's own colours: dark and light themes keep their contrast.
pub(crate) mod style {
    use anstyle::{AnsiColor, Style};

    pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
    pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
    pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
    pub(crate) const DIM: Style = Style::new().dimmed();
    pub(crate) const HEAD: Style = Style::new().bold();
    /// For the names of services in merged logs, in this order, again from the start.
    pub(crate) const SERVICES: [Style; 6] = [
        AnsiColor::Cyan.on_default(),
        AnsiColor::Yellow.on_default(),
        AnsiColor::Green.on_default(),
        AnsiColor::Magenta.on_default(),
        AnsiColor::Blue.on_default(),
        AnsiColor::Red.on_default(),
    ];
}

/// Whether there is colour: `NO_COLOR` (no-color.org: set and not empty) forbids it, `CLICOLOR_FORCE` (set and not
/// `0`) demands it, else a terminal that is not dumb gets it.
pub(crate) fn wanted(terminal: bool, env: impl Fn(&str) -> Option<OsString>) -> bool {
    if env("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return false;
    }
    if env("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0") {
        return true;
    }
    terminal && env("TERM").is_none_or(|term| term != "dumb")
}

/// A text in a style.
#[derive(Debug)]
pub(crate) struct Paint<T> {
    style: Style,
    text: T,
}

impl<T> Paint<T> {
    pub(super) fn new(style: Style, text: T) -> Self {
        Self { style, text }
    }
}

impl<T: fmt::Display> fmt::Display for Paint<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.style.render(), self.text, self.style.render_reset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R3.5
    #[test]
    fn the_policy() {
        let with = |terminal, vars: &[(&str, &str)]| {
            wanted(terminal, |name| {
                vars.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
            })
        };
        assert!(with(true, &[]));
        assert!(!with(false, &[]), "no colour in pipes");
        assert!(!with(true, &[("NO_COLOR", "1")]));
        assert!(with(true, &[("NO_COLOR", "")]), "empty does not count");
        assert!(with(false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!with(false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!with(true, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]), "who asks for none gets none");
        assert!(!with(true, &[("TERM", "dumb")]));
    }

    #[test]
    fn plain_style_adds_nothing() {
        assert_eq!(Paint::new(Style::new(), "x").to_string(), "x");
        assert_eq!(Paint::new(style::HEAD, "x").to_string(), "\u{1b}[1mx\u{1b}[0m");
    }
}
