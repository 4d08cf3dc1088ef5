//! A message as text, and small encodings.

use vigie_core::clock::Wall;
use vigie_core::incidents::{Message, Occasion, Severity};

/// The first line: `[web1] demo/api: crash loop …`.
pub(crate) fn title(message: &Message, host: &str) -> String {
    format!("[{host}] {}", message.title())
}

/// Everything below the first line.
pub(crate) fn details(message: &Message, host: &str) -> String {
    let mut text = String::new();
    let mut facts = vec![format!("on {host}")];
    if message.occasion != Occasion::Test {
        facts.push(message.severity.name().to_owned());
    }
    if let (Some(rule), Some(incident)) = (&message.rule, message.incident) {
        facts.push(format!("incident {incident} (rule {rule})"));
    }
    if let Some(opened) = message.opened {
        facts.push(format!("open since {}", time(opened)));
    }
    text.push_str(&facts.join(", "));
    if !message.lines.is_empty() {
        if message.occasion != Occasion::Digest {
            text.push_str("\nlast output:");
        }
        for line in &message.lines {
            text.push_str("\n  ");
            text.push_str(line);
        }
    }
    text
}

/// `2026-01-31T12:00:00Z`
pub(crate) fn time(wall: Wall) -> String {
    timestamp(wall).map_or_else(String::new, |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

pub(crate) fn timestamp(wall: Wall) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_nanosecond(i128::from(wall.0)).ok()
}

/// A number of urgency: for what is critical, for a warning, for what is only worth knowing, for what is over.
pub(crate) fn urgency<T>(message: &Message, [critical, warning, notice, over]: [T; 4]) -> T {
    match (message.occasion, message.severity) {
        (Occasion::Resolved, _) => over,
        (Occasion::Test, _) | (_, Severity::Notice) => notice,
        (_, Severity::Critical) => critical,
        (_, Severity::Warning) => warning,
    }
}

/// At most so many characters; what is cut says so.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// RFC 4648.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let value = chunk.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(value >> (18 - 6 * place)) as usize & 63];
            text.push(if place > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_encodings() {
        for (plain, encoded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(time(Wall(1_767_225_600_012_000_000)), "2026-01-01T00:00:00Z");
    }
}
