//! What lines are searched for.

use std::str::FromStr;

use memchr::memmem::Finder;

/// What means something else than itself in a regular expression.
const OPERATORS: &str = r"\.+*?()|[]{}^$";

/// A regular expression. One without operators is a plain text, which is found many times faster.
#[derive(Debug, Clone)]
pub(crate) enum Pattern {
    Plain(Box<Finder<'static>>),
    Regex(regex_lite::Regex),
}

impl Pattern {
    /// Whether it occurs in the line. Bytes that are no text match only what stands for any character.
    pub(crate) fn is_in(&self, line: &[u8]) -> bool {
        match self {
            Self::Plain(finder) => finder.find(line).is_some(),
            Self::Regex(regex) => regex.is_match(&String::from_utf8_lossy(line)),
        }
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let regex = regex_lite::Regex::new(text).map_err(|error| error.to_string())?;
        // U+FFFD is what a regular expression sees in the place of bytes that are no text.
        let is_plain = !text.contains(|letter| OPERATORS.contains(letter) || letter == '\u{fffd}');
        Ok(if is_plain { Self::Plain(Box::new(Finder::new(text).into_owned())) } else { Self::Regex(regex) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().expect("a pattern")
    }

    #[test]
    fn a_text_without_operators_is_searched_as_it_is() {
        assert!(matches!(pattern("GET /health-check 200 #1"), Pattern::Plain(_)));
        for operators in ["error|panic", "^a", "a.c", "a+", "[ab]", "\\d", "\u{fffd}"] {
            assert!(matches!(pattern(operators), Pattern::Regex(_)), "{operators}");
        }
        assert!("a(".parse::<Pattern>().is_err());
    }

    #[test]
    fn both_find_the_same() {
        for (text, line, found) in [
            ("naïve", "a naïve one".as_bytes(), true),
            ("b", b"\xffb\xfe", true),
            ("B", b"b", false),
            ("a c", b"a c\n", true),
            ("", b"anything", true),
        ] {
            assert_eq!(pattern(text).is_in(line), found, "{text}");
            assert_eq!(pattern(&format!("(?:{text})")).is_in(line), found, "{text}");
        }
    }
}
