//! Faults and deeds as lines of text.
//!
//! ```text
//! # An engine of 2024 that cuts its events anywhere.
//! fault api 1.45
//! fault split 7
//! create web
//! start web
//! wait 200ms
//! kill web signal=15
//! die web exitCode=137
//! answer /containers/json status 500 times 3
//! restart
//! ```
//!
//! | line | what |
//! |---|---|
//! | `fault NAME VALUE` | a field of [`Faults`]: `api`, `kind`, `slow`, `split`, `doubles`, `reorders`, `babbles`, `deaf`, `skew`, `bloat`, `counters`, `vanishing`, `vanished` |
//! | `answer PATH status N`, `answer PATH bytes N`, `answer PATH text …`, `answer PATH silence` | what is answered there; `status` and `bytes` may be followed by `times N`, `after TIME`, `claims N`, `flood N`, `chunk N` |
//! | `answer PATH itself` | no more |
//! | `wait TIME` | lets time pass: `20ms`, `3s` |
//! | `silently ID STATE`, `silently ID gone` | a container changes without an event |
//! | `event TYPE ACTION ID` | of something that is no container |
//! | `burst COUNT ACTION ID [NAME=VALUE…]` | so many at once |
//! | `break`, `forget`, `restart`, `gone`, `back`, `freeze`, `thaw` | what happens to the engine itself |
//! | `repeat N` … `end` | so often; not within another |
//! | `ACTION ID [NAME=VALUE…]` | anything else happens to a container |
//!
//! An underscore in an action stands for a space: `health_status:_unhealthy` keeps its own.

use std::fmt;
use std::time::Duration;

use crate::answer::Answer;
use crate::engine::FakeEngine;
use crate::faults::{Faults, Kind, Wrong};

/// What cannot be understood, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

type Change = Box<dyn Fn(&mut Faults) + Send>;

enum Step {
    Fault(Change),
    Answer(String, Option<Answer>),
    Wait(Duration),
    Silently(String, Option<&'static str>),
    Event(String, String, String),
    Engine(fn(&FakeEngine)),
    Happen(usize, String, String, Vec<(String, String)>),
}

/// A script that was understood.
pub struct Script(Vec<Step>);

impl Script {
    /// Reads one.
    ///
    /// # Errors
    /// [`Mistake`]: the first.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let mut steps = Vec::new();
        let mut repeated: Option<(usize, usize)> = None;
        let mut lines: Vec<(usize, &str)> =
            text.lines().enumerate().map(|(number, line)| (number + 1, line.trim())).collect();
        lines.retain(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let mut at = 0;
        while let Some((number, line)) = lines.get(at).copied() {
            at += 1;
            let mistake = |why: String| Mistake { line: number, why };
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["repeat", count] if repeated.is_none() => {
                    let count: usize = number_of(count).map_err(mistake)?;
                    if count == 0 {
                        return Err(mistake("nothing is repeated so often".to_owned()));
                    }
                    repeated = Some((at, count));
                }
                ["end"] => match repeated.take() {
                    Some((begin, count)) if count > 1 => {
                        repeated = Some((begin, count - 1));
                        at = begin;
                    }
                    Some(_) => {}
                    None => return Err(mistake("nothing is repeated here".to_owned())),
                },
                _ => steps.push(step(&words, line).map_err(mistake)?),
            }
        }
        match repeated {
            Some(_) => Err(Mistake { line: lines.last().map_or(0, |(number, _)| *number), why: "no end".to_owned() }),
            None => Ok(Self(steps)),
        }
    }

    /// Does it, with the engine. `wait` lets time pass.
    pub fn run(&self, engine: &FakeEngine, mut wait: impl FnMut(Duration)) {
        for step in &self.0 {
            match step {
                Step::Fault(change) => engine.set(change),
                Step::Answer(path, Some(answer)) => engine.answer(path, answer.clone()),
                Step::Answer(path, None) => engine.answer_by_itself(path),
                Step::Wait(time) => wait(*time),
                Step::Silently(id, to) => engine.change_silently(id, *to),
                Step::Event(kind, action, id) => engine.happen_elsewhere(kind, action, id),
                Step::Engine(deed) => deed(engine),
                Step::Happen(count, action, id, attributes) => {
                    let attributes: Vec<(&str, &str)> =
                        attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                    engine.burst(*count, action, id, &attributes);
                }
            }
        }
    }
}

fn step(words: &[&str], line: &str) -> Result<Step, String> {
    let action = |text: &str| text.replace(":_", ": ");
    Ok(match *words {
        ["fault", name, value] => Step::Fault(fault(name, value)?),
        ["answer", path, "itself"] => Step::Answer(path.to_owned(), None),
        ["answer", path, "silence"] => Step::Answer(path.to_owned(), Some(Answer::silence())),
        ["answer", path, "text", ..] => {
            let text = line.split_once(" text ").map_or("", |(_, text)| text);
            Step::Answer(path.to_owned(), Some(Answer::bytes(text)))
        }
        ["answer", path, "status", status, ref rest @ ..] => {
            Step::Answer(path.to_owned(), Some(refined(Answer::status(number_of(status)?), rest)?))
        }
        ["answer", path, "bytes", count, ref rest @ ..] => {
            Step::Answer(path.to_owned(), Some(refined(Answer::repeated("x", number_of(count)?), rest)?))
        }
        ["wait", time] => Step::Wait(duration(time)?),
        ["silently", id, "gone"] => Step::Silently(id.to_owned(), None),
        ["silently", id, state] => Step::Silently(id.to_owned(), Some(state_of(state)?)),
        ["event", kind, what, id] => Step::Event(kind.to_owned(), action(what), id.to_owned()),
        ["burst", count, what, id, ref rest @ ..] => {
            Step::Happen(number_of(count)?, action(what), id.to_owned(), attributes(rest)?)
        }
        ["break"] => Step::Engine(FakeEngine::break_streams),
        ["forget"] => Step::Engine(FakeEngine::forget),
        ["restart"] => Step::Engine(FakeEngine::restart),
        ["gone"] => Step::Engine(|engine| engine.be_gone(true)),
        ["back"] => Step::Engine(|engine| engine.be_gone(false)),
        ["freeze"] => Step::Engine(|engine| engine.freeze(true)),
        ["thaw"] => Step::Engine(|engine| engine.freeze(false)),
        ["fault" | "answer" | "wait" | "silently" | "event" | "burst" | "repeat", ..] => {
            return Err(format!("{line:?} lacks something, or has too much"));
        }
        [what, id, ref rest @ ..] => Step::Happen(1, action(what), id.to_owned(), attributes(rest)?),
        _ => return Err(format!("{line:?} says nothing")),
    })
}

fn attributes(words: &[&str]) -> Result<Vec<(String, String)>, String> {
    let pair = |text: &&str| {
        let (name, value) = text.split_once('=').ok_or(format!("{text:?} is no NAME=VALUE"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    words.iter().map(pair).collect()
}

fn refined(mut answer: Answer, mut words: &[&str]) -> Result<Answer, String> {
    while let [name, value, rest @ ..] = words {
        answer = match *name {
            "times" => answer.times(number_of(value)?),
            "after" => answer.after(duration(value)?),
            "claims" => answer.claims(number_of(value)?),
            "flood" => answer.flood(number_of(value)?),
            "chunk" => answer.chunked(number_of(value)?),
            other => return Err(format!("{other:?} says nothing of an answer")),
        };
        words = rest;
    }
    if words.is_empty() { Ok(answer) } else { Err(format!("{:?} lacks a value", words[0])) }
}

fn fault(name: &str, value: &str) -> Result<Change, String> {
    fn change(change: impl Fn(&mut Faults) + Send + 'static) -> Change {
        Box::new(change)
    }
    Ok(match name {
        "api" => {
            let faults = Faults::of(value);
            change(move |now| (now.api, now.repeats_fields) = (faults.api.clone(), faults.repeats_fields))
        }
        "kind" => {
            let kind = match value {
                "docker-v1" => Kind::DockerV1,
                "docker-v2" => Kind::DockerV2,
                "windows" => Kind::Windows,
                "podman" => Kind::Podman,
                "old-podman" => Kind::OldPodman,
                _ => return Err(format!("{value:?} is none of docker-v1, docker-v2, windows, podman, old-podman")),
            };
            change(move |faults| faults.kind = kind)
        }
        "counters" => {
            let wrong = match value {
                "right" => Wrong::Nothing,
                "backwards" => Wrong::Backwards,
                "reset" => Wrong::Reset,
                "no-system" => Wrong::NoSystem,
                "no-memory" => Wrong::NoMemory,
                _ => return Err(format!("{value:?} is none of right, backwards, reset, no-system, no-memory")),
            };
            change(move |faults| faults.counters = wrong)
        }
        "slow" => {
            let slow = duration(value)?;
            change(move |faults| faults.slow = slow)
        }
        "split" => number_of(value).map(|split| change(move |faults| faults.split = split))?,
        "reorders" => number_of(value).map(|count| change(move |faults| faults.reorders = count))?,
        "bloat" => number_of(value).map(|bloat| change(move |faults| faults.bloat = bloat))?,
        "skew" => number_of(value).map(|skew| change(move |faults| faults.skew = skew))?,
        "vanishing" => number_of(value).map(|count| change(move |faults| faults.vanishing = count))?,
        "vanished" => number_of(value).map(|status| change(move |faults| faults.vanished = status))?,
        "doubles" => yes_or_no(value).map(|doubles| change(move |faults| faults.doubles = doubles))?,
        "babbles" => yes_or_no(value).map(|babbles| change(move |faults| faults.babbles = babbles))?,
        "deaf" => yes_or_no(value).map(|deaf| change(move |faults| faults.is_deaf = deaf))?,
        _ => return Err(format!("there is no fault {name:?}")),
    })
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("{text:?} is neither yes nor no")),
    }
}

fn number_of<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number that fits here"))
}

fn duration(text: &str) -> Result<Duration, String> {
    if let Some(millis) = text.strip_suffix("ms") {
        return number_of(millis).map(Duration::from_millis);
    }
    let seconds = text.strip_suffix('s').ok_or(format!("{text:?} is no time, such as 20ms or 3s"))?;
    number_of(seconds).map(Duration::from_secs)
}

fn state_of(text: &str) -> Result<&'static str, String> {
    let known = ["created", "running", "paused", "exited"];
    known.into_iter().find(|state| *state == text).ok_or(format!("{text:?} is none of {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_does_what_it_says() {
        let text = "# of a day\nfault api 1.53\nfault kind podman\nrepeat 2\ncreate web name=shop\nstart web\nend\n\
                    health_status:_unhealthy web\nevent network create bridge\nburst 3 kill web\nsilently db running\n\
                    answer /info status 500 times 2\nwait 20ms\n";
        let engine = FakeEngine::start(Faults::default());
        let mut waited = Vec::new();
        Script::parse(text).expect("understood").run(&engine, |time| waited.push(time));
        assert_eq!(waited, [Duration::from_millis(20)]);
        engine.change(|state| {
            assert_eq!((state.faults.api.as_str(), state.faults.repeats_fields), ("1.53", false));
            assert_eq!(state.ring.len(), 9);
            assert_eq!((state.containers["web"].name.as_str(), state.containers["db"].state), ("shop", "running"));
            assert_eq!(state.containers["web"].health.as_deref(), Some("unhealthy"));
            assert_eq!(state.answers["/info"].left, Some(2));
        });
    }

    #[test]
    fn what_lies_beside_is_understood() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");
        for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
            let text = std::fs::read_to_string(entry.path()).expect("readable");
            if let Err(mistake) = Script::parse(&text) {
                panic!("{}: {mistake}", entry.path().display());
            }
        }
    }

    #[test]
    fn mistakes_have_a_line() {
        for (text, line, why) in [
            ("\n\nfault api\n", 3, "lacks"),
            ("fault colour red", 1, "no fault"),
            ("start", 1, "says nothing"),
            ("start web x", 1, "NAME=VALUE"),
            ("wait 3", 1, "20ms"),
            ("repeat 2\nstart a", 2, "no end"),
            ("end", 1, "nothing is repeated"),
            ("answer / status 500 times", 1, "lacks a value"),
            ("silently a teleported", 1, "none of"),
        ] {
            let mistake = Script::parse(text).err().unwrap_or_else(|| panic!("{text:?} is understood"));
            assert!(mistake.line == line && mistake.why.contains(why), "{text:?}: {mistake}");
        }
    }
}
