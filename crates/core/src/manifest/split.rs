//! Command strings, split into words as a shell splits them (R2.2), but run by no shell.
//!
//! Quotes and backslashes mean what they mean in POSIX `sh`. Variables are replaced while splitting, inside of every
//! kind of quotes, and their values are never split again: a value with a blank or a quote in it stays one word. What
//! only a shell can do (`|`, `>`, `$(…)`, `$NAME`) is an error instead of an argument that surprises.

use super::expand::{Fault, Lookup, replace};

const SHELL_HINT: &str = "set `shell = true` to run it in a shell, or quote it to pass it on as it is";

/// Splits `text`. The result counts only when no fault was added.
pub(super) fn split(text: &str, lookup: &Lookup<'_>, faults: &mut Vec<Fault>) -> Vec<String> {
    let mut words = Vec::new();
    // `None`: between words. An unquoted variable that is empty makes no word, as in a shell.
    let mut word: Option<String> = None;
    let mut quote: Option<(char, usize)> = None;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let next = at + c.len_utf8();
        match (quote.map(|(quote, _)| quote), c) {
            (Some(open), c) if c == open => quote = None,
            (_, '$') => {
                at = dollar(text, at, quote.is_some_and(|(quote, _)| quote == '\''), lookup, faults, &mut word);
                if quote.is_some() {
                    word.get_or_insert_default();
                }
                continue;
            }
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (quoted, '\\') => {
                let Some(escaped) = text[next..].chars().next() else {
                    faults.push(Fault::new(at..next, "the command ends with a lone backslash", None));
                    return words;
                };
                match (quoted, escaped) {
                    (_, '\n') => {}
                    (None, c) | (Some(_), c @ ('"' | '\\' | '$' | '`')) => word.get_or_insert_default().push(c),
                    (Some(_), c) => word.get_or_insert_default().extend(['\\', c]),
                }
                at = next + escaped.len_utf8();
                continue;
            }
            (_, '`') => faults.push(Fault::new(at..next, "a command in backquotes needs a shell", Some(SHELL_HINT))),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some((c, at));
                word.get_or_insert_default();
            }
            (None, '|' | '&' | ';' | '<' | '>' | '(' | ')') => {
                faults.push(Fault::new(at..next, format!("`{c}` needs a shell"), Some(SHELL_HINT)));
            }
            (None, c) if c.is_ascii_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
        at = next;
    }
    if let Some((quote, opened)) = quote {
        faults.push(Fault::new(opened..opened + 1, format!("this quote ({quote}) is not closed"), None));
    }
    words.extend(word);
    words
}

/// What starts with the dollar at `at`; says where the text goes on.
fn dollar(
    text: &str,
    at: usize,
    literal: bool,
    lookup: &Lookup<'_>,
    faults: &mut Vec<Fault>,
    word: &mut Option<String>,
) -> usize {
    let rest = &text[at + 1..];
    if !literal && rest.starts_with('(') {
        faults.push(Fault::new(at..at + 2, "`$(` needs a shell", Some(SHELL_HINT)));
        return at + 2;
    }
    let name = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    if !literal && name > 0 {
        let name = &rest[..name];
        let hint = format!("write ${{{name}}} for the variable, $${name} for a dollar");
        faults.push(Fault::new(at..at + 1 + name.len(), format!("`${name}` needs a shell"), Some(&hint)));
        return at + 1 + name.len();
    }
    let mut value = String::new();
    let next = replace(text, at, lookup, faults, &mut value);
    if !value.is_empty() {
        word.get_or_insert_default().push_str(&value);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::super::expand::What;
    use super::*;

    fn run(text: &str) -> Result<Vec<String>, Vec<(usize, String)>> {
        let lookup = |name: &str| (name == "V").then(|| "a 'b".to_owned());
        let mut faults = Vec::new();
        let words = split(text, &lookup, &mut faults);
        if faults.is_empty() {
            return Ok(words);
        }
        Err(faults
            .into_iter()
            .map(|fault| match fault.what {
                What::Unset(name) => (fault.at.start, format!("unset {name}")),
                What::Other(message, _) => (fault.at.start, message),
            })
            .collect())
    }

    #[test]
    fn words_as_a_shell_splits_them() {
        for (text, words) in [
            ("", vec![]),
            ("  a  b\tc\n", vec!["a", "b", "c"]),
            ("a 'b  c' \"d e\"", vec!["a", "b  c", "d e"]),
            ("a'b'\"c\"d", vec!["abcd"]),
            ("'' \"\"", vec!["", ""]),
            (r#"a\ b \" "\"\\\n" '\n'"#, vec!["a b", "\"", "\"\\\\n", "\\n"]),
            ("a\\\nb", vec!["ab"]),
            ("--x=${V} '${V}' \"${V}\"", vec!["--x=a 'b", "a 'b", "a 'b"]),
            ("a ${N:-} ${N:-x y} \"${N:-}\"", vec!["a", "x y", ""]),
            ("$$HOME '$HOME' \\$HOME \"\\$X\" end$", vec!["$HOME", "$HOME", "$HOME", "$X", "end$"]),
            ("a#b # *.c", vec!["a#b", "#", "*.c"]),
            ("'a|b' \"c>d\" e\\;", vec!["a|b", "c>d", "e;"]),
        ] {
            assert_eq!(run(text), Ok(words.into_iter().map(str::to_owned).collect()), "{text}");
        }
    }

    #[test]
    fn what_needs_a_shell_or_an_end() {
        for (text, at, message) in [
            ("a 'b", 2, "this quote (') is not closed"),
            ("a \"b", 2, "this quote (\") is not closed"),
            ("a \\", 2, "the command ends with a lone backslash"),
            ("a | b", 2, "`|` needs a shell"),
            ("a >b", 2, "`>` needs a shell"),
            ("a `b", 2, "a command in backquotes needs a shell"),
            ("a \"$(b\"", 3, "`$(` needs a shell"),
            ("a $HOME/b", 2, "`$HOME` needs a shell"),
            ("a ${N}", 2, "unset N"),
        ] {
            assert_eq!(run(text), Err(vec![(at, message.to_owned())]), "{text}");
        }
    }
}
