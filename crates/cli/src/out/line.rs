//! Lines of output that services wrote, for a terminal or for a pipe.

use std::fmt::Write as _;

use super::Screen;

/// The line as it may be shown. A pipe gets its bytes; a terminal gets its text and its colours, and nothing that moves
/// the cursor, changes the title or otherwise draws outside of the line.
pub(crate) fn shown(bytes: &[u8], screen: Screen, out: &mut Vec<u8>) {
    // A progress bar rewrites its line with carriage returns; what stood there last is what a person would have seen.
    if screen.terminal {
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let last = bytes.iter().rposition(|byte| *byte == b'\r').map_or(bytes, |place| &bytes[place + 1..]);
        out.extend(harmless(last, screen.colour).into_bytes());
    } else {
        out.extend_from_slice(bytes);
    }
}

/// The text with colours (SGR, ECMA-48 8.3.117) kept or taken out, tabs kept, other control characters escaped.
fn harmless(bytes: &[u8], colour: bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut coloured = false;
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Some(length) = sgr(rest) {
            if colour {
                text.push_str(&String::from_utf8_lossy(&rest[..length]));
                coloured = true;
            }
            rest = &rest[length..];
            continue;
        }
        let end = rest[1..].iter().position(|byte| matches!(byte, 0x1b | b'\t')).map_or(rest.len(), |place| place + 1);
        let (part, behind) = rest.split_at(end);
        match part {
            [b'\t', part @ ..] => {
                text.push('\t');
                // Writing into a `String` cannot fail.
                let _ = vigie_core::text::escape(part, &mut text);
            }
            part => {
                let _ = vigie_core::text::escape(part, &mut text);
            }
        }
        rest = behind;
    }
    if coloured {
        let _ = write!(text, "\x1b[0m");
    }
    text
}

/// The length of a colour sequence at the beginning.
fn sgr(bytes: &[u8]) -> Option<usize> {
    let inner = bytes.strip_prefix(b"\x1b[")?;
    let end = inner.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';' | b':'))?;
    (inner[end] == b'm').then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(screen: Screen, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        shown(bytes, screen, &mut out);
        out
    }

    const TERMINAL: Screen = Screen { terminal: true, colour: true, width: Some(80) };

    #[test]
    fn pipes_get_every_byte() {
        let pipe = Screen { terminal: false, colour: false, width: None };
        for bytes in [b"a\x1b[2Jb\xff\r".as_slice(), b"", b"\t"] {
            assert_eq!(on(pipe, bytes), bytes);
        }
    }

    #[test]
    fn terminals_get_colours_and_nothing_else() {
        assert_eq!(on(TERMINAL, b"\x1b[1;31mred\x1b[0m"), b"\x1b[1;31mred\x1b[0m\x1b[0m");
        assert_eq!(on(TERMINAL, b"a\tb"), b"a\tb");
        assert_eq!(on(TERMINAL, b"a\x1b[2Jb"), b"a\\u{1b}[2Jb", "it cannot clear the screen");
        assert_eq!(on(TERMINAL, b"\x1b]0;title\x07"), b"\\u{1b}]0;title\\u{7}");
        assert_eq!(on(TERMINAL, b"\x1b"), b"\\u{1b}");
        assert_eq!(on(TERMINAL, b"\xff"), b"\\xff");
        let plain = Screen { colour: false, ..TERMINAL };
        assert_eq!(on(plain, b"\x1b[31mred\x1b[0m"), b"red");
    }

    #[test]
    fn progress_shows_its_last_state() {
        assert_eq!(on(TERMINAL, b"10%\r50%\r100%"), b"100%");
        assert_eq!(on(TERMINAL, b"windows line\r"), b"windows line");
    }
}
