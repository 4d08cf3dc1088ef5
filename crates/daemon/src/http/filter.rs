//! Which entries somebody wants to hear of: as `vigie events` has it.

use vigie_api::journal::JournalLine;
use vigie_core::journal::KINDS;
use vigie_core::target::Target;
use vigie_store::journal::{Called, SubjectFilter};

use super::answer::Refusal;
use super::query::Query;

/// So many targets or kinds may be asked for at once.
const MOST: usize = 64;

/// Subjects and kinds. Of each: any when there is none.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    pub(super) subjects: Vec<SubjectFilter>,
    pub(super) kinds: Vec<String>,
}

impl Filter {
    /// From `target=…` and `kind=…`, each as often as one likes.
    ///
    /// # Errors
    /// When one is none.
    pub(super) fn of(query: &Query) -> Result<Self, Refusal> {
        if query.all("target").count().max(query.all("kind").count()) > MOST {
            return Err(Refusal::not_understood(format!("more than {MOST} targets or kinds")));
        }
        let subject = |text: &str| {
            let target = text.parse::<Target>().map_err(Refusal::not_understood)?;
            SubjectFilter::of(&target)
                .ok_or_else(|| Refusal::not_understood(format!("the journal knows no {target}; name the service")))
        };
        let kind = |text: &str| match KINDS.contains(&text) {
            true => Ok(text.to_owned()),
            false => Err(Refusal::not_understood(format!("there is no kind {text:?}: {}", KINDS.join(", ")))),
        };
        Ok(Self {
            subjects: query.all("target").map(subject).collect::<Result<_, _>>()?,
            kinds: query.all("kind").map(kind).collect::<Result<_, _>>()?,
        })
    }

    /// Whether it is wanted: what the journal finds for the same filter.
    pub(super) fn lets(&self, line: &JournalLine) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&line.kind))
            && (self.subjects.is_empty() || {
                let subject = line.subject();
                let text = |field| line.detail.get(field).and_then(serde_json::Value::as_str);
                let is_event = line.kind == "container_event";
                let called = Called { id: text("id"), old_name: text("old_name") };
                let called = if is_event { called } else { Called::default() };
                self.subjects.iter().any(|filter| filter.matches(&subject, called))
            })
    }
}
