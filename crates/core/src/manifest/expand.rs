//! Variables in strings (R2.2): `${VAR}`, `${VAR:-default}`, `$$` for a dollar.
//!
//! A dollar before anything else stands for itself: regular expressions and shell commands are full of them. As in a
//! shell, the default counts when the variable is unset or empty.

use std::ops::Range;

/// Looks a variable up.
pub(super) type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Defaults within defaults go no deeper: the parser must not run out of stack.
const MAX_DEPTH: usize = 16;

/// Something wrong in a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The bytes of the string that are meant.
    pub(super) at: Range<usize>,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// This variable is unset and has no default.
    Unset(String),
    /// Something else: what, and what to do.
    Other(String, Option<String>),
}

impl Fault {
    pub(super) fn new(at: Range<usize>, message: impl Into<String>, hint: Option<&str>) -> Self {
        Self { at, what: What::Other(message.into(), hint.map(str::to_owned)) }
    }
}

/// Replaces every variable in `text`. The result counts only when no fault was added.
pub(super) fn expand(text: &str, lookup: &Lookup<'_>, faults: &mut Vec<Fault>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(dollar) = text[at..].find('$') {
        out.push_str(&text[at..at + dollar]);
        at += dollar;
        at = replace(text, at, lookup, faults, &mut out);
    }
    out.push_str(&text[at..]);
    out
}

/// Replaces what starts with the dollar at `at`, and says where the text goes on.
pub(super) fn replace(text: &str, at: usize, lookup: &Lookup<'_>, faults: &mut Vec<Fault>, out: &mut String) -> usize {
    nested(text, at, lookup, faults, out, 0)
}

fn nested(
    text: &str,
    at: usize,
    lookup: &Lookup<'_>,
    faults: &mut Vec<Fault>,
    out: &mut String,
    depth: usize,
) -> usize {
    let rest = &text[at + 1..];
    if rest.starts_with('$') {
        out.push('$');
        return at + 2;
    }
    let Some(inner) = rest.strip_prefix('{') else {
        out.push('$');
        return at + 1;
    };
    let how = Some("write ${NAME} or ${NAME:-default}, and $$ for a dollar");
    if depth == MAX_DEPTH {
        faults.push(Fault::new(at..text.len(), "variables are nested too deeply", None));
        return text.len();
    }
    let name = &inner[..inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len())];
    let after = at + 2 + name.len();
    let named = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
    if !named || !(text[after..].is_empty() || text[after..].starts_with(['}', ':'])) {
        let end = text[at..].find('}').map_or(text.len(), |end| at + end + 1);
        faults.push(Fault::new(at..end, format!("`{}` is not a variable", &text[at..end]), how));
        return end;
    }
    let value = lookup(name);
    if text[after..].starts_with('}') {
        match value {
            Some(value) => out.push_str(&value),
            None => faults.push(Fault { at: at..after + 1, what: What::Unset(name.to_owned()) }),
        }
        return after + 1;
    }
    if !text[after..].starts_with(":-") {
        let unclosed = !text[at..].contains('}');
        let end = text[at..].find('}').map_or(text.len(), |end| at + end + 1);
        let message = if unclosed {
            format!("`${{{name}` is not closed")
        } else {
            format!("`{}` is not a variable", &text[at..end])
        };
        faults.push(Fault::new(at..end, message, how));
        return end;
    }
    // What is wrong in a default that is not needed does not matter, except that it must end.
    let mut default = String::new();
    let mut inside = Vec::new();
    let mut next = after + 2;
    loop {
        match text[next..].chars().next() {
            None => {
                faults.push(Fault::new(at..text.len(), format!("`${{{name}:-` is not closed"), how));
                return text.len();
            }
            Some('}') => break,
            Some('$') => next = nested(text, next, lookup, &mut inside, &mut default, depth + 1),
            Some(c) => {
                default.push(c);
                next += c.len_utf8();
            }
        }
    }
    match value.filter(|value| !value.is_empty()) {
        Some(value) => out.push_str(&value),
        None => {
            out.push_str(&default);
            faults.append(&mut inside);
        }
    }
    next + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<String, Vec<(Range<usize>, String)>> {
        let mut faults = Vec::new();
        let lookup = |name: &str| match name {
            "A" => Some("one".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let out = expand(text, &lookup, &mut faults);
        if faults.is_empty() {
            return Ok(out);
        }
        Err(faults
            .into_iter()
            .map(|fault| match fault.what {
                What::Unset(name) => (fault.at, format!("unset {name}")),
                What::Other(message, _) => (fault.at, message),
            })
            .collect())
    }

    #[test]
    fn variables_and_defaults() {
        for (text, expanded) in [
            ("", ""),
            ("plain ä", "plain ä"),
            ("${A}-${A}", "one-one"),
            ("$$A $${A} $A 5$ ^a$", "$A ${A} $A 5$ ^a$"),
            ("${B:-two}", "two"),
            ("${EMPTY}|${EMPTY:-x}", "|x"),
            ("${B:-}", ""),
            ("${B:-${A}!}", "one!"),
            ("${A:-${B}}", "one"),
            ("${B:-a$$b}", "a$b"),
        ] {
            assert_eq!(run(text), Ok(expanded.to_owned()), "{text}");
        }
    }

    #[test]
    fn faults_have_places() {
        for (text, at, message) in [
            ("x${B}", 1..5, "unset B"),
            ("${B:-${C}}", 5..9, "unset C"),
            ("${", 0..2, "`${` is not a variable"),
            ("${A", 0..3, "`${A` is not closed"),
            ("${A:-x", 0..6, "`${A:-` is not closed"),
            ("${A:?x}", 0..7, "`${A:?x}` is not a variable"),
            ("${1}", 0..4, "`${1}` is not a variable"),
            ("${A-x}", 0..6, "`${A-x}` is not a variable"),
            ("${ä}", 0..5, "`${ä}` is not a variable"),
        ] {
            assert_eq!(run(text), Err(vec![(at, message.to_owned())]), "{text}");
        }
        assert_eq!(run("${B} ${C}").map_err(|faults| faults.len()), Err(2), "all at once");
        assert!(run(&"${B:-".repeat(100_000)).is_err());
    }
}
