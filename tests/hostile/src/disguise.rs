//! A program that does not want to be printed.

use std::ffi::OsString;

use crate::{Outcome, raw, ready};

/// What it calls itself: a newline, an escape sequence that clears the screen, invalid UTF-8, a quote, a parenthesis and
/// a space as in `/proc/PID/stat`.
pub(crate) const NAME: &std::ffi::CStr = c"a\nb\x1b[2J\xff\") Z";

pub(crate) fn rename(_: &[OsString]) -> Outcome {
    raw::rename(NAME)?;
    ready("rename")?;
    raw::wait_for_ever()
}
