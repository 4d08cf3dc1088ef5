//! One event after the other: what is kept of it, what it changes, what is told.

use super::{Follower, Output, PROGRESS};
use crate::docker::event::Happened;
use crate::docker::filter::Filters;
use crate::docker::known::{self, Change, Difference};
use crate::docker::told::{ContainerEvent, Cursor, Saying, Told};

impl Follower {
    /// One event, in order. First it is filtered, then it is looked up whether it came before, then it is told.
    pub(super) fn take(&mut self, event: &Happened, out: &mut Vec<Output>) {
        self.advance(event);
        let is_history = self.resume.standing.floor.is_some_and(|floor| event.key.at <= floor);
        if is_history || !event.is_of_container() || !self.matters(event) || !self.window.is_new(&event.key) {
            return self.progress(out);
        }
        let before = self.resume.containers.get(&event.key.id).cloned();
        let change = known::after(&self.resume.containers, event);
        if let Some(change) = &change {
            change.apply(&mut self.resume.containers);
        }
        let change: Vec<Change> = change.into_iter().collect();
        let told = self.describe(event, before.as_ref());
        let kept = self.filters.keeps_action(&told.action) && self.filters.keeps_container(&told.name, &told.image);
        // Podman tells after each check how it went: only what differs is worth a word.
        let repeats = told.action == "health_status"
            && before.as_ref().is_some_and(|before| before.health.is_some() && before.health == told.health);
        if kept && !repeats {
            let told = self.told(Saying::Event(Box::new(told)), change);
            self.untold = 0;
            out.push(Output::Tell(told));
        } else if change.is_empty() {
            self.progress(out);
        } else {
            let told = self.told(Saying::Nothing, change);
            self.untold = 0;
            out.push(Output::Tell(told));
        }
    }

    /// Whether an event can be kept, or changes what is known.
    pub(super) fn matters(&self, event: &Happened) -> bool {
        let action = event.action();
        self.filters.keeps_action(action) || Filters::known_actions().contains(&action)
    }

    pub(super) fn describe(&self, event: &Happened, before: Option<&known::Container>) -> ContainerEvent {
        let text = |name| event.attribute(name).map(|text: &str| text.trim_start_matches('/').to_owned());
        let number = |name| event.attribute(name).and_then(|text| text.parse().ok());
        let action = event.action();
        let known_name = || before.map(|before| before.name.clone());
        ContainerEvent {
            id: event.key.id.clone(),
            name: text("name").or_else(known_name).unwrap_or_else(|| event.key.id.chars().take(12).collect()),
            image: text("image").or_else(|| before.map(|before| before.image.clone())).unwrap_or_default(),
            at: Some(event.key.at),
            exit_code: number("exitCode").or_else(|| number("containerExitCode")).filter(|_| action == "die"),
            signal: number("signal").filter(|_| action == "kill"),
            oom: before.filter(|_| action == "die").map(|before| before.oom),
            health: event
                .detail()
                .map(str::to_owned)
                .or_else(|| text("health_status"))
                .filter(|_| action == "health_status"),
            old_name: text("oldName").filter(|_| action == "rename"),
            action: action.to_owned(),
            inferred: false,
        }
    }

    /// The cursor never goes back: what comes late is still before it.
    pub(super) fn advance(&mut self, event: &Happened) {
        if self.resume.cursor.as_ref().is_none_or(|cursor| cursor.at <= event.key.at) {
            self.resume.cursor = Some(Cursor { at: event.key.at, event: Some(event.key.clone()) });
            self.untold += 1;
        }
    }

    pub(super) fn progress(&mut self, out: &mut Vec<Output>) {
        if self.untold >= PROGRESS {
            self.untold = 0;
            out.push(Output::Tell(self.told(Saying::Nothing, Vec::new())));
        }
    }

    pub(super) fn told(&self, saying: Saying, changes: Vec<Change>) -> Told {
        Told { saying, cursor: self.resume.cursor.clone(), changes, standing: None }
    }

    /// What a list shows and no event explains.
    pub(super) fn infer(&mut self, differences: Vec<Difference>, silent: bool, out: &mut Vec<Output>) {
        for difference in differences {
            let change = Change { id: difference.id.clone(), now: difference.now.clone() };
            change.apply(&mut self.resume.containers);
            let action = difference.action().to_owned();
            let Some(shown) = difference.now.as_ref().or(difference.before.as_ref()) else { continue };
            let kept = self.filters.keeps_action(&action) && self.filters.keeps_container(&shown.name, &shown.image);
            let event = ContainerEvent {
                id: difference.id,
                name: shown.name.clone(),
                image: shown.image.clone(),
                at: None,
                exit_code: difference.exit_code.filter(|_| action == "die"),
                signal: None,
                oom: None,
                health: shown.health.clone().filter(|_| action == "health_status"),
                old_name: difference.before.map(|before| before.name).filter(|_| action == "rename"),
                action,
                inferred: true,
            };
            let saying = if kept && !silent { Saying::Event(Box::new(event)) } else { Saying::Nothing };
            out.push(Output::Tell(self.told(saying, vec![change])));
        }
    }
}
