//! What an interpreter runs, read from its arguments.

use crate::text::OsText;

/// Programs that run other programs' text. Two of one family run the same script the same way, whichever version or
/// virtual environment they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Python,
    Node,
    Java,
    Ruby,
    Perl,
    Php,
    Shell,
}

/// What it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs<'a> {
    /// A file, with the arguments behind it.
    Script(&'a OsText, &'a [OsText]),
    /// A module, a class, an entry point: a name that the interpreter looks up, with the arguments behind it.
    Module(&'a OsText, &'a [OsText]),
    /// A text on the command line, standard input, or nothing that could be told.
    Other,
}

impl Family {
    /// By the base name of a program: `python3.11`, `nodejs`, `bash`.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        Some(match stem(name) {
            b"python" | b"pypy" => Self::Python,
            b"node" | b"nodejs" => Self::Node,
            b"java" => Self::Java,
            b"ruby" | b"jruby" | b"truffleruby" => Self::Ruby,
            b"perl" => Self::Perl,
            b"php" => Self::Php,
            b"sh" | b"bash" | b"dash" | b"ash" | b"zsh" | b"ksh" | b"mksh" | b"fish" => Self::Shell,
            _ => return None,
        })
    }

    /// What these arguments (without the program's own name) make it run.
    pub(super) fn runs(self, arguments: &[OsText]) -> Runs<'_> {
        match self {
            Self::Java => java(arguments),
            other => other.grammar().runs(arguments),
        }
    }

    fn grammar(self) -> Grammar {
        match self {
            Self::Python => {
                Grammar { inline: b"c", module: b"m", valued: b"WXQ", words: &["--check-hash-based-pycs"], ..NONE }
            }
            Self::Node => Grammar {
                inline: b"epi",
                valued: b"rC",
                words: &[
                    "--require",
                    "--import",
                    "--loader",
                    "--experimental-loader",
                    "--conditions",
                    "--icu-data-dir",
                    "--openssl-config",
                    "--watch-path",
                ],
                stops: &["--eval", "--print", "--interactive", "--run", "--test"],
                ..NONE
            },
            Self::Ruby => Grammar { inline: b"e", valued: b"rIEC", rest: b"WTFKx0i", ..NONE },
            Self::Perl => Grammar { inline: b"eE", valued: b"I", rest: b"MmCDFVdix0l", ..NONE },
            Self::Php => Grammar { inline: b"rBREia", script: b"f", valued: b"cdtz", stops: &["-S"], ..NONE },
            Self::Shell => Grammar {
                inline: b"cs",
                valued: b"oO",
                words: &["--rcfile", "--init-file"],
                stops: &["--command"],
                ..NONE
            },
            Self::Java => NONE,
        }
    }
}

/// Without a version: `python3.11` is `python`, `php8.2-cgi` is itself.
fn stem(name: &[u8]) -> &[u8] {
    let name = name.strip_suffix(b"-dbg").unwrap_or(name);
    // `python3.13t` is built without the lock, `python3.11d` with checks.
    let name = match name {
        [before @ .., digit, b't' | b'd' | b'm'] if digit.is_ascii_digit() => &name[..=before.len()],
        _ => name,
    };
    let length = name.iter().rposition(|byte| !byte.is_ascii_digit() && !matches!(byte, b'.' | b'-'));
    length.map_or(&[], |last| &name[..=last])
}

/// How an interpreter reads its own options, up to the script.
struct Grammar {
    /// Letters behind which a program text stands, or after which nothing is a script.
    inline: &'static [u8],
    /// The letter behind which a module stands.
    module: &'static [u8],
    /// The letter behind which the script stands.
    script: &'static [u8],
    /// Letters with a value: the rest of the word, or the next word.
    valued: &'static [u8],
    /// Letters whose value is the rest of the word.
    rest: &'static [u8],
    /// Long options whose value is the next word.
    words: &'static [&'static str],
    /// Long options with which there is no script.
    stops: &'static [&'static str],
}

const NONE: Grammar = Grammar { inline: b"", module: b"", script: b"", valued: b"", rest: b"", words: &[], stops: &[] };

impl Grammar {
    fn runs<'a>(&self, arguments: &'a [OsText]) -> Runs<'a> {
        let mut place = 0;
        while let Some(word) = arguments.get(place) {
            let behind = arguments.get(place + 1..).unwrap_or_default();
            let is = |list: &[&str]| list.iter().any(|option| option.as_bytes() == word.0);
            let letters = match &word.0[..] {
                b"--" => return script(behind),
                b"-" => return Runs::Other,
                _ if is(self.stops) => return Runs::Other,
                [b'-', b'-', ..] => {
                    place += if is(self.words) { 2 } else { 1 };
                    continue;
                }
                [b'-' | b'+', letters @ ..] => letters,
                _ => return script(&arguments[place..]),
            };
            place += 1;
            for (at, letter) in letters.iter().enumerate() {
                let is_last = at + 1 == letters.len();
                if self.inline.contains(letter) {
                    return Runs::Other;
                } else if self.module.contains(letter) {
                    // `-mhttp.server` is allowed, but no word of the arguments is the name then.
                    return if is_last { module(behind) } else { Runs::Other };
                } else if self.script.contains(letter) {
                    return if is_last { script(behind) } else { Runs::Other };
                } else if self.valued.contains(letter) {
                    place += usize::from(is_last);
                    break;
                } else if self.rest.contains(letter) {
                    break;
                }
            }
        }
        Runs::Other
    }
}

fn script(words: &[OsText]) -> Runs<'_> {
    words.split_first().map_or(Runs::Other, |(file, arguments)| Runs::Script(file, arguments))
}

fn module(words: &[OsText]) -> Runs<'_> {
    words.split_first().map_or(Runs::Other, |(name, arguments)| Runs::Module(name, arguments))
}

/// Java has no letters to be grouped: options are words.
fn java(arguments: &[OsText]) -> Runs<'_> {
    const WORDS: &[&str] = &[
        "-cp",
        "-classpath",
        "--class-path",
        "-p",
        "--module-path",
        "--upgrade-module-path",
        "--add-modules",
        "--add-opens",
        "--add-exports",
        "--add-reads",
        "--limit-modules",
        "--source",
        "--enable-native-access",
    ];
    let mut place = 0;
    while let Some(word) = arguments.get(place) {
        let behind = arguments.get(place + 1..).unwrap_or_default();
        match &word.0[..] {
            b"-jar" => return script(behind),
            b"-m" | b"--module" => return module(behind),
            option if WORDS.iter().any(|known| known.as_bytes() == option) => place += 2,
            [b'-' | b'@', ..] => place += 1,
            file if file.ends_with(b".java") => return script(&arguments[place..]),
            _ => return module(&arguments[place..]),
        }
    }
    Runs::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_by_name() {
        for (name, family) in [
            ("python", Some(Family::Python)),
            ("python3", Some(Family::Python)),
            ("python3.11", Some(Family::Python)),
            ("python3.13t", Some(Family::Python)),
            ("pypy3.10", Some(Family::Python)),
            ("node", Some(Family::Node)),
            ("node-22", Some(Family::Node)),
            ("nodejs", Some(Family::Node)),
            ("ruby3.1", Some(Family::Ruby)),
            ("php8.2", Some(Family::Php)),
            ("perl5.36.0", Some(Family::Perl)),
            ("bash", Some(Family::Shell)),
            ("java", Some(Family::Java)),
            ("javac", None),
            ("vim", None),
            ("grep", None),
            ("node_exporter", None),
            ("3.11", None),
            ("", None),
        ] {
            assert_eq!(Family::of(name.as_bytes()), family, "{name}");
        }
    }

    /// `file` and `module:name` with the arguments behind it, or nothing.
    fn told(program: &str, line: &str) -> String {
        let words: Vec<OsText> = line.split_whitespace().map(OsText::from).collect();
        let shown = |words: &[OsText]| words.iter().map(|word| format!(" {word}")).collect::<String>();
        match Family::of(program.as_bytes()).expect("a family").runs(&words) {
            Runs::Script(file, rest) => format!("{file}{}", shown(rest)),
            Runs::Module(name, rest) => format!("module:{name}{}", shown(rest)),
            Runs::Other => String::new(),
        }
    }

    #[test]
    fn what_is_run() {
        for (program, line, wanted) in [
            ("python3", "server.py", "server.py"),
            ("python3", "-u server.py --verbose", "server.py --verbose"),
            ("python3", "-W ignore -X dev server.py", "server.py"),
            ("python3", "-Wignore -Xdev server.py", "server.py"),
            ("python3", "-uW ignore server.py", "server.py"),
            ("python3", "-BOO -- -odd.py", "-odd.py"),
            ("python3", "-m http.server 8000", "module:http.server 8000"),
            ("python3", "-um http.server", "module:http.server"),
            ("python3", "-c print(1) server.py", ""),
            ("python3", "-", ""),
            ("python3", "", ""),
            ("python3", "-i", ""),
            ("node", "server.js", "server.js"),
            ("node", "--inspect=9229 -r dotenv/config server.js", "server.js"),
            ("node", "--require x --enable-source-maps dist/main.js a", "dist/main.js a"),
            ("node", "-e 1 server.js", ""),
            ("node", "--test server.js", ""),
            ("java", "-Xmx1g -jar app.jar --port 1", "app.jar --port 1"),
            ("java", "-cp a:b -Dx=y com.x.Main arg", "module:com.x.Main arg"),
            ("java", "-p mods -m a/b.Main", "module:a/b.Main"),
            ("java", "@opts Hello.java", "Hello.java"),
            ("ruby", "-W0 -Ilib -r set app.rb", "app.rb"),
            ("ruby", "-e puts app.rb", ""),
            ("perl", "-w -I lib -MFoo app.pl x", "app.pl x"),
            ("perl", "-ne print app.pl", ""),
            ("php", "-d a=b -f index.php", "index.php"),
            ("php", "artisan serve", "artisan serve"),
            ("php", "-S localhost:8000 router.php", ""),
            ("bash", "run.sh a", "run.sh a"),
            ("bash", "-eu -o pipefail run.sh", "run.sh"),
            ("bash", "-euo pipefail run.sh", "run.sh"),
            ("sh", "-c run.sh", ""),
            ("bash", "-lc run.sh", ""),
            ("bash", "--norc -i", ""),
        ] {
            assert_eq!(told(program, line), wanted, "{program} {line}");
        }
    }
}
