//! Licence expressions: SPDX 2.3, annex D, and the old `MIT/Apache-2.0`.

/// Whether what is allowed is enough to use something under this expression.
///
/// # Errors
/// Says what is wrong with the expression.
pub(super) fn allows(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = Words { words: spaced.split_whitespace().collect(), at: 0, allowed };
    let result = words.any()?;
    match words.peek() {
        None => Ok(result),
        Some(word) => Err(format!("`{word}` is not expected")),
    }
}

struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
    allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    /// Takes the next word if it is this one.
    fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.at += usize::from(found);
        found
    }

    /// `all OR all …`
    fn any(&mut self) -> Result<bool, String> {
        let mut result = self.all()?;
        while self.take("OR") {
            result |= self.all()?;
        }
        Ok(result)
    }

    /// `one AND one …`: it binds closer.
    fn all(&mut self) -> Result<bool, String> {
        let mut result = self.one()?;
        while self.take("AND") {
            result &= self.one()?;
        }
        Ok(result)
    }

    /// A licence, one with an exception, or brackets.
    fn one(&mut self) -> Result<bool, String> {
        if self.take("(") {
            let result = self.any()?;
            return if self.take(")") { Ok(result) } else { Err("a bracket is not closed".to_owned()) };
        }
        let name = self.peek().filter(|word| !matches!(*word, ")" | "OR" | "AND" | "WITH"));
        let name = name.ok_or("a licence is missing")?;
        self.at += 1;
        if !self.take("WITH") {
            return Ok((self.allowed)(name));
        }
        let exception = self.peek().ok_or("an exception is missing")?;
        self.at += 1;
        Ok((self.allowed)(&format!("{name} WITH {exception}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let allowed = |name: &str| ["MIT", "Apache-2.0", "Unicode-3.0"].contains(&name);
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0 AND MIT", false),
            ("MIT/Apache-2.0", true),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
            ("MIT OR GPL-3.0 AND LGPL-3.0", true),
            ("(MIT OR GPL-3.0) AND LGPL-3.0", false),
            ("Apache-2.0 WITH LLVM-exception", false),
            ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ] {
            assert_eq!(allows(expression, &allowed), Ok(expected), "{expression}");
        }
        for expression in ["", "MIT OR", "(MIT", "MIT Apache-2.0", "MIT WITH", ") MIT"] {
            assert!(allows(expression, &allowed).is_err(), "{expression}");
        }
    }
}
