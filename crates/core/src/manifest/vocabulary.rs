//! The words of the manifest.

use super::resolved::{Condition, Kind, When};
use super::values::Word;
use crate::launch::{Orphans, Overflow, Scope, Tie};

macro_rules! words {
    ($type:ident: $($variant:ident = $word:literal, $doc:literal;)*) => {
        impl Word for $type {
            const WORDS: &'static [(Self, &'static str, &'static str)] = &[$(($type::$variant, $word, $doc)),*];
        }
    };
}

words! { Kind:
    Service = "service", "It stays.";
    Task = "task", "It runs to completion once.";
}

words! { Condition:
    Started = "started", "Its process was spawned.";
    Ready = "ready", "It is ready.";
    Done = "done", "It ended with a clean exit code.";
}

words! { When:
    Never = "never", "No end leads to a new start.";
    Failure = "failure", "Ends that are not clean lead to a new start.";
    Always = "always", "Every end leads to a new start.";
}

words! { Overflow:
    Block = "block", "The service waits; nothing is lost.";
    Drop = "drop", "What does not fit is dropped and counted; the service never waits.";
}

words! { Tie:
    Terminal = "terminal", "With the command that started it.";
    Daemon = "daemon", "With an orderly stop of the daemon.";
    None = "none", "With nothing.";
}

words! { Scope:
    Project = "project", "Once per project folder.";
    User = "user", "Once per user.";
    Machine = "machine", "Once per machine, whoever starts it.";
}

words! { Orphans:
    End = "end", "They are ended by the ladder.";
    Keep = "keep", "They stay until they end by themselves or are stopped.";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words here are those of the JSON output.
    #[test]
    fn words_agree_with_json() {
        fn check<T: Word + serde::Serialize>() {
            for (value, word, _) in T::WORDS {
                assert_eq!(serde_json::to_value(value).expect("serializes"), serde_json::json!(word));
            }
        }
        check::<Kind>();
        check::<Condition>();
        check::<When>();
        check::<Overflow>();
        check::<Tie>();
        check::<Scope>();
        check::<Orphans>();
    }
}
