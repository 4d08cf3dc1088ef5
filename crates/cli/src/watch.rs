//! Showing a picture once, or again and again (`--watch`).

use std::io::Write as _;
use std::time::Duration;

use vigie_os::poll::PollSet;

use crate::failure::Failure;
use crate::out::Screen;

/// Between two pictures.
const EVERY: Duration = Duration::from_secs(1);

/// Writes what `picture` gives: once, or with `watch` every second until somebody ends it or `picture` fails. On a terminal
/// it is redrawn in place; `lines` is for programs, which get one picture behind the other.
pub(crate) fn show(
    watch: bool,
    lines: bool,
    mut picture: impl FnMut(Screen) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let in_place = watch && !lines && Screen::stdout().terminal;
    if in_place {
        write!(out, "\x1b[2J")?;
    }
    loop {
        let text = picture(Screen::stdout())?;
        if in_place {
            let height = rustix::termios::tcgetwinsize(&out).map_or(24, |size| usize::from(size.ws_row)).max(4);
            out.write_all(frame(&text, height).as_bytes())?;
        } else {
            out.write_all(text.as_bytes())?;
        }
        out.flush()?;
        if !watch {
            return Ok(());
        }
        pause()?;
    }
}

/// From the top left, each line cleared behind its text, and what is below it.
fn frame(text: &str, height: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let shown = if lines.len() < height { lines.len() } else { height - 2 };
    let mut frame = String::from("\x1b[H");
    for line in &lines[..shown] {
        frame.push_str(line);
        frame.push_str("\x1b[K\n");
    }
    if shown < lines.len() {
        frame.push_str(&format!("… {} more lines\x1b[K\n", lines.len() - shown));
    }
    frame.push_str("\x1b[J");
    frame
}

fn pause() -> Result<(), Failure> {
    PollSet::default().wait(Some(EVERY)).map_err(|errno| Failure::io("cannot wait", &std::io::Error::from(errno)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_and_says_what_is_left_out() {
        assert_eq!(frame("a\nb\n", 4), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(frame("a\nb\nc\nd\n", 4), "\x1b[Ha\x1b[K\nb\x1b[K\n… 2 more lines\x1b[K\n\x1b[J");
    }
}
