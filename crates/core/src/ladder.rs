//! The ladder of a stop (R5.1): a list of rungs, each a deed, whom it addresses and how long to wait for it.
//!
//! Written `"TERM 10s"`, `"INT group 2s"`, `"close-stdin 1s"`, `"KILL 5s"`. [`Climb`] is the machine that the keeper
//! drives: it says what to do now and until when to wait; it never touches a process.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Mono;
use crate::units::{format_duration, parse_duration};

/// A signal that a rung may send. The numbers are those of Linux on every architecture but alpha, mips and sparc.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
#[allow(missing_docs, reason = "the names are those of signal(7)")]
pub enum Signal {
    Hup,
    Int,
    Quit,
    Abrt,
    Kill,
    Usr1,
    Usr2,
    Alrm,
    Term,
    Cont,
    Winch,
}

impl Signal {
    const NAMES: &[(Signal, &str, i32)] = &[
        (Signal::Hup, "HUP", 1),
        (Signal::Int, "INT", 2),
        (Signal::Quit, "QUIT", 3),
        (Signal::Abrt, "ABRT", 6),
        (Signal::Kill, "KILL", 9),
        (Signal::Usr1, "USR1", 10),
        (Signal::Usr2, "USR2", 12),
        (Signal::Alrm, "ALRM", 14),
        (Signal::Term, "TERM", 15),
        (Signal::Cont, "CONT", 18),
        (Signal::Winch, "WINCH", 28),
    ];

    /// Reads `TERM` or `SIGTERM`, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        Self::NAMES.iter().find(|(_, known, _)| *known == name).map(|(signal, ..)| *signal)
    }

    /// The signal with this number, when it is one that rungs use.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::NAMES.iter().find(|(.., known)| *known == number).map(|(signal, ..)| *signal)
    }

    /// Its number.
    pub fn number(self) -> i32 {
        Self::NAMES.iter().find(|(signal, ..)| *signal == self).map_or(0, |(.., number)| *number)
    }

    /// Its name without `SIG`.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(signal, ..)| *signal == self).map_or("?", |(_, name, _)| name)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl TryFrom<String> for Signal {
    type Error = LadderError;

    fn try_from(text: String) -> Result<Self, LadderError> {
        Self::parse(&text).ok_or(LadderError { rung: text, why: "no such signal" })
    }
}

impl From<Signal> for String {
    fn from(signal: Signal) -> String {
        signal.name().to_owned()
    }
}

/// Whom a signal rung addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// The main process. When it is gone and others are left: the tree.
    Main,
    /// The process group that the main process led when it was spawned.
    Group,
    /// Every process of the run.
    Tree,
}

/// What a rung does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Send a signal, then CONT to whoever is stopped.
    Signal(Signal, Audience),
    /// Close the write end of the service's standard input.
    CloseStdin,
}

/// One rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Rung {
    /// What is done.
    pub deed: Deed,
    /// How long to wait for an empty tree before the next rung.
    pub wait: Duration,
}

/// Why a text is not a rung or a list of rungs not a ladder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rung:?} is not a rung: {why}")]
pub struct LadderError {
    rung: String,
    why: &'static str,
}

impl std::str::FromStr for Rung {
    type Err = LadderError;

    fn from_str(text: &str) -> Result<Self, LadderError> {
        let error = |why| LadderError { rung: text.to_owned(), why };
        let words: Vec<&str> = text.split_whitespace().collect();
        let (deed, audience, wait) = match words[..] {
            [deed, wait] => (deed, None, wait),
            [deed, audience, wait] => (deed, Some(audience), wait),
            _ => return Err(error("write \"SIGNAL [main|group|tree] DURATION\" or \"close-stdin DURATION\"")),
        };
        let wait = parse_duration(wait).map_err(|_| error("its last word must be a duration such as 10s"))?;
        let audience = match audience {
            None => None,
            Some("main") => Some(Audience::Main),
            Some("group") => Some(Audience::Group),
            Some("tree") => Some(Audience::Tree),
            Some(_) => return Err(error("it addresses main, group or tree")),
        };
        if deed == "close-stdin" {
            return match audience {
                None => Ok(Self { deed: Deed::CloseStdin, wait }),
                Some(_) => Err(error("close-stdin addresses nobody")),
            };
        }
        match (Signal::parse(deed), audience) {
            (Some(Signal::Kill), None | Some(Audience::Tree)) => {
                Ok(Self { deed: Deed::Signal(Signal::Kill, Audience::Tree), wait })
            }
            (Some(Signal::Kill), Some(_)) => Err(error("KILL is always for the tree")),
            (Some(signal), audience) => {
                Ok(Self { deed: Deed::Signal(signal, audience.unwrap_or(Audience::Main)), wait })
            }
            (None, _) => Err(error("it starts with a signal (TERM, INT, QUIT, HUP, KILL, …) or close-stdin")),
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.deed {
            Deed::Signal(signal, Audience::Group) => write!(f, "{signal} group")?,
            Deed::Signal(signal, Audience::Tree) if signal != Signal::Kill => write!(f, "{signal} tree")?,
            Deed::Signal(signal, _) => write!(f, "{signal}")?,
            Deed::CloseStdin => f.write_str("close-stdin")?,
        }
        write!(f, " {}", format_duration(self.wait))
    }
}

impl TryFrom<String> for Rung {
    type Error = LadderError;

    fn try_from(text: String) -> Result<Self, LadderError> {
        text.parse()
    }
}

impl From<Rung> for String {
    fn from(rung: Rung) -> String {
        rung.to_string()
    }
}

/// A ladder: at least one rung. What comes after the last one is nothing: then the run is named as still alive.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Vec<Rung>", into = "Vec<Rung>")]
pub struct Ladder(Vec<Rung>);

impl Ladder {
    /// Checks that there is a rung.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(rungs: Vec<Rung>) -> Result<Self, LadderError> {
        if rungs.is_empty() {
            return Err(LadderError { rung: String::new(), why: "a ladder needs at least one rung" });
        }
        Ok(Self(rungs))
    }

    /// `["KILL 5s"]`: for what has no claim to a gentle end.
    pub fn kill() -> Self {
        Self(vec![Rung { deed: Deed::Signal(Signal::Kill, Audience::Tree), wait: Duration::from_secs(5) }])
    }

    /// The rungs, lowest first.
    pub fn rungs(&self) -> &[Rung] {
        &self.0
    }

    /// The longest that a climb can take.
    pub fn total(&self) -> Duration {
        self.0.iter().map(|rung| rung.wait).fold(Duration::ZERO, Duration::saturating_add)
    }

    /// Whether a rung closes the standard input, so that the service needs a pipe there.
    pub fn closes_stdin(&self) -> bool {
        self.0.iter().any(|rung| rung.deed == Deed::CloseStdin)
    }
}

/// `["TERM 10s", "KILL 5s"]`
impl Default for Ladder {
    fn default() -> Self {
        Self(vec![
            Rung { deed: Deed::Signal(Signal::Term, Audience::Main), wait: Duration::from_secs(10) },
            Rung { deed: Deed::Signal(Signal::Kill, Audience::Tree), wait: Duration::from_secs(5) },
        ])
    }
}

impl TryFrom<Vec<Rung>> for Ladder {
    type Error = LadderError;

    fn try_from(rungs: Vec<Rung>) -> Result<Self, LadderError> {
        Self::new(rungs)
    }
}

impl From<Ladder> for Vec<Rung> {
    fn from(ladder: Ladder) -> Vec<Rung> {
        ladder.0
    }
}

/// Someone on the way up a ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Climb {
    ladder: Ladder,
    index: usize,
    deadline: Mono,
}

impl Climb {
    /// Steps onto the first rung. Do its [`Climb::deed`] now.
    pub fn start(ladder: Ladder, now: Mono) -> Self {
        let deadline = now + ladder.0[0].wait;
        Self { ladder, index: 0, deadline }
    }

    /// The rung that it stands on.
    pub fn rung(&self) -> Rung {
        self.ladder.0[self.index]
    }

    /// The rung's number, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// When to call [`Climb::up`], if the tree is not empty by then.
    pub fn deadline(&self) -> Mono {
        self.deadline
    }

    /// What to do on this rung, given whether the main process still is there: without it, what was meant for it goes
    /// to the tree.
    pub fn deed(&self, main_alive: bool) -> Deed {
        match self.rung().deed {
            Deed::Signal(signal, Audience::Main) if !main_alive => Deed::Signal(signal, Audience::Tree),
            deed => deed,
        }
    }

    /// The wait is over, or somebody skipped it: the next rung. Do its deed now. `None` when there is none; the climb
    /// then stays on its last rung.
    #[must_use]
    pub fn up(&mut self, now: Mono) -> Option<Rung> {
        let next = *self.ladder.0.get(self.index + 1)?;
        self.index += 1;
        self.deadline = now + next.wait;
        Some(next)
    }

    /// Whether this is the last rung.
    pub fn at_top(&self) -> bool {
        self.index + 1 == self.ladder.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(rungs: &[&str]) -> Result<Ladder, LadderError> {
        Ladder::new(rungs.iter().map(|rung| rung.parse()).collect::<Result<_, _>>()?)
    }

    /// R5.1
    #[test]
    fn rungs_as_written() {
        for text in ["TERM 10s", "INT 2s", "QUIT group 1s", "HUP tree 250ms", "close-stdin 1s", "KILL 5s"] {
            assert_eq!(text.parse::<Rung>().map(|rung| rung.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("sigterm main 1s".parse::<Rung>().map(|rung| rung.to_string()), Ok("TERM 1s".to_owned()));
        for bad in [
            "",
            "TERM",
            "10s",
            "TERM 10",
            "NOPE 1s",
            "KILL main 1s",
            "close-stdin main 1s",
            "TERM all 1s",
            "TERM 1s 1s 1s",
        ] {
            assert!(bad.parse::<Rung>().is_err(), "{bad}");
        }
        assert!(Ladder::new(Vec::new()).is_err());
    }

    #[test]
    fn climbing() {
        let mut climb = Climb::start(ladder(&["TERM 10s", "KILL 5s"]).expect("ladder"), Mono(0));
        assert_eq!(climb.deadline(), Mono(10_000_000_000));
        assert_eq!(climb.deed(true), Deed::Signal(Signal::Term, Audience::Main));
        assert_eq!(
            climb.deed(false),
            Deed::Signal(Signal::Term, Audience::Tree),
            "orphans hear what the main process heard"
        );
        assert!(!climb.at_top());
        assert_eq!(climb.up(Mono(3)).map(|rung| rung.to_string()), Some("KILL 5s".to_owned()));
        assert_eq!(climb.deadline(), Mono(5_000_000_003));
        assert!(climb.at_top());
        assert_eq!(climb.up(Mono(4)), None);
        assert_eq!(climb.deadline(), Mono(5_000_000_003), "a skip beyond the top changes nothing");
    }
}
