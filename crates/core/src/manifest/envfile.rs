//! Env files: one `KEY=VALUE` a line.
//!
//! Blank lines and lines that start with `#` are skipped; `export ` before a key is allowed. A value without quotes
//! ends at the end of the line or before ` #`; blanks around it are dropped. In single quotes everything stands for
//! itself. In double quotes `\n`, `\r`, `\t`, `\"`, `\\` and `\$` are escapes. Quoted values may go over several
//! lines. Nothing is replaced in values: a password with a dollar in it stays what it is.

/// A line that is not understood, from 1, and why.
pub(super) type Fault = (u32, String);

/// Reads a whole file. Later lines win. Every fault is reported; values are not part of any message.
pub(super) fn parse(text: &str) -> (Vec<(String, String)>, Vec<Fault>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut pairs = Vec::new();
    let mut faults = Vec::new();
    let mut lines = Lines { rest: text, number: 0 };
    while let Some(line) = lines.next() {
        let number = lines.number;
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = match line.strip_prefix("export") {
            Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
            _ => line,
        };
        let Some((key, value)) = line.split_once('=') else {
            faults.push((number, "this line has no `=`; write KEY=VALUE".to_owned()));
            continue;
        };
        let key = key.trim_end();
        if !is_key(key) {
            faults.push((number, "this is not a key: use letters, digits and `_`, and no digit first".to_owned()));
            continue;
        }
        let value = value.trim_start();
        let value = match value.chars().next() {
            Some(quote @ ('\'' | '"')) => quoted(&value[1..], quote, &mut lines),
            _ => Ok(bare(value).to_owned()),
        };
        match value {
            Ok(value) if value.contains('\0') => faults.push((number, format!("the value of `{key}` holds a NUL"))),
            Ok(value) => pairs.push((key.to_owned(), value)),
            Err(why) => faults.push((number, format!("the value of `{key}` {why}"))),
        }
    }
    (pairs, faults)
}

/// Whether a text can be the name of a variable that `${…}` reaches.
pub(super) fn is_key(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn bare(value: &str) -> &str {
    if value.starts_with('#') {
        return "";
    }
    let comment = [" #", "\t#"].iter().filter_map(|start| value.find(start)).min().unwrap_or(value.len());
    value[..comment].trim_end()
}

/// What follows the opening quote; takes further lines as long as the quote is open.
fn quoted<'a>(first: &'a str, quote: char, lines: &mut Lines<'a>) -> Result<String, &'static str> {
    let mut value = String::new();
    let mut line = first;
    loop {
        let mut chars = line.char_indices();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                let tail = line[at + 1..].trim_start();
                return match tail.is_empty() || tail.starts_with('#') {
                    true => Ok(value),
                    false => Err("goes on after its closing quote"),
                };
            }
            if c != '\\' || quote == '\'' {
                value.push(c);
                continue;
            }
            match chars.next().map(|(_, c)| c) {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some(c @ ('"' | '\\' | '$')) => value.push(c),
                Some(c) => value.extend(['\\', c]),
                None => value.push('\\'),
            }
        }
        value.push('\n');
        line = lines.next().ok_or("opens a quote that is not closed")?;
    }
}

struct Lines<'a> {
    rest: &'a str,
    /// Of the line that was returned last, from 1.
    number: u32,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        self.number = self.number.saturating_add(1);
        Some(line.strip_suffix('\r').unwrap_or(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let text = "\u{feff}# comment\n\nA=1\nexport B = two words # comment\r\nC='$A # \\n'\nD=\"a\\tb\\\"\\$\\x\" # c\n\
            E=\nF=a#b\nG='l1\nl2' \nexportH=x\nI==\nA=2\nJ= # only a comment";
        let (pairs, faults) = parse(text);
        assert_eq!(faults, []);
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("A", "1"),
                ("B", "two words"),
                ("C", "$A # \\n"),
                ("D", "a\tb\"$\\x"),
                ("E", ""),
                ("F", "a#b"),
                ("G", "l1\nl2"),
                ("exportH", "x"),
                ("I", "="),
                ("A", "2"),
                ("J", ""),
            ]
        );
    }

    #[test]
    fn faults_name_the_line_and_not_the_value() {
        let (pairs, faults) = parse("A=1\nsecret\n1B=2\nC='x' secret\nB B=1\nD=\"secret\nE=1");
        assert_eq!(pairs.len(), 1);
        assert_eq!(faults.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
        assert!(faults.iter().all(|(_, message)| !message.contains("secret")), "{faults:?}");
    }
}
