//! What is to be done about each port, before anybody is asked.

use vigie_core::exit_code::ExitCode;
use vigie_core::ports::Verdict;

use super::obstacle::{Obstacle, Port, Way};
use super::survey::Survey;

/// What is to be done about a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// Nothing; with the code that says how things stand.
    Nothing(ExitCode),
    /// It cannot be done.
    Refused(ExitCode),
    /// It takes a consent of its own: what has it belongs elsewhere.
    NeedsOthers,
    /// Everything in its way can be ended.
    Act,
}

/// A port with what is to be done about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned<'a> {
    pub(super) port: &'a Port,
    pub(super) course: Course,
    /// Holders in other network namespaces are meant, too.
    pub(super) beside: bool,
    /// Somebody was asked about it alone, and said yes.
    pub(super) agreed: bool,
}

impl<'a> Planned<'a> {
    pub(super) fn new(port: &'a Port, others: bool) -> Self {
        Self { port, course: course(port, others), beside: others, agreed: false }
    }

    /// The exit code, where nothing can or need be done.
    pub(super) fn verdict(&self) -> Option<ExitCode> {
        match self.course {
            Course::Nothing(code) | Course::Refused(code) => Some(code),
            Course::NeedsOthers | Course::Act => None,
        }
    }
}

/// A port is freed as a whole or not at all: to end one of two that share it helps nobody. `others`: what belongs elsewhere
/// was agreed to.
fn course(port: &Port, others: bool) -> Course {
    if let Some(refusal) = port.refusal() {
        return Course::Refused(refusal.code);
    }
    if port.here.iter().any(belongs_elsewhere) && !others {
        return Course::NeedsOthers;
    }
    let reachable = |obstacle: &Obstacle| !matches!(obstacle.way, Way::Refused(_));
    if !port.here.is_empty() || port.is_held() || others && port.beside.iter().any(reachable) {
        return Course::Act;
    }
    Course::Nothing(match port.judgement.verdict {
        Verdict::Ephemeral => ExitCode::No,
        Verdict::Unknown => ExitCode::NotPermitted,
        _ => ExitCode::Done,
    })
}

/// A run of another project, or a holder in another network namespace.
pub(super) fn belongs_elsewhere(obstacle: &Obstacle) -> bool {
    obstacle.namespace.is_some() || matches!(obstacle.way, Way::StopOther(_))
}

/// What is acted on for a port; `beside`: in other network namespaces, too.
pub(super) fn acted_on(port: &Port, beside: bool) -> impl Iterator<Item = &Obstacle> {
    let far = if beside { port.beside.as_slice() } else { &[] };
    port.here.iter().chain(far).filter(|obstacle| !matches!(obstacle.way, Way::Refused(_)))
}

/// The processes that end for these ports: first those that would start another one again.
pub(super) fn ending(survey: &Survey, plan: &[&Planned<'_>]) -> Vec<usize> {
    let holders = places(plan, |way| if let Way::End(place) = way { Some(*place) } else { None });
    let mut order: Vec<usize> = Vec::new();
    // The outermost first: it would start the next one again.
    let watchers = holders.iter().flat_map(|place| survey.suspects[*place].watchers.iter().rev());
    for place in watchers.chain(&holders) {
        if !order.contains(place) {
            order.push(*place);
        }
    }
    order
}

pub(super) fn stopped(way: &Way) -> Option<usize> {
    match way {
        Way::Stop(place) | Way::StopOther(place) => Some(*place),
        _ => None,
    }
}

pub(super) fn contained(way: &Way) -> Option<usize> {
    if let Way::StopContainer(place) = way { Some(*place) } else { None }
}

/// What the ways of these ports name, each once.
pub(super) fn places(plan: &[&Planned<'_>], place: impl Fn(&Way) -> Option<usize>) -> Vec<usize> {
    let mut places = Vec::new();
    for obstacle in plan.iter().flat_map(|one| acted_on(one.port, one.beside)) {
        places.extend(place(&obstacle.way).filter(|place| !places.contains(place)));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::ports::Judgement;

    use crate::verbs::free::obstacle::Refusal;

    fn obstacle(way: Way, namespace: Option<u64>) -> Obstacle {
        Obstacle {
            socket: "127.0.0.1:8000/tcp".to_owned(),
            holds: "listens on",
            pid: Some(9),
            tid: None,
            who: "x (PID 9)".to_owned(),
            namespace,
            way,
        }
    }

    fn port(verdict: Verdict, here: Vec<Way>, beside: Vec<Way>) -> Port {
        Port {
            claim: "8000".parse().expect("a claim"),
            judgement: Judgement { verdict, by: Vec::new(), ends_in: None },
            here: here.into_iter().map(|way| obstacle(way, None)).collect(),
            beside: beside.into_iter().map(|way| obstacle(way, Some(7))).collect(),
            notes: Vec::new(),
        }
    }

    fn refused() -> Way {
        Way::Refused(Refusal { code: ExitCode::NotPermitted, why: String::new() })
    }

    #[test]
    fn whole_or_not_at_all() {
        let twins = port(Verdict::Shared, vec![Way::End(0), refused()], vec![]);
        assert_eq!(course(&twins, true), Course::Refused(ExitCode::NotPermitted));
        assert_eq!(course(&port(Verdict::Used, vec![Way::End(0)], vec![]), false), Course::Act);
        let mixed = port(Verdict::Shared, vec![Way::End(0), Way::StopOther(0)], vec![]);
        assert_eq!(course(&mixed, false), Course::NeedsOthers);
        assert_eq!(course(&mixed, true), Course::Act);
        // Its holder ended while it was looked at: it is looked again.
        assert_eq!(course(&port(Verdict::Used, vec![], vec![]), false), Course::Act);
    }

    #[test]
    fn what_is_in_nobodys_way() {
        for (verdict, code) in [
            (Verdict::Free, ExitCode::Done),
            (Verdict::TimeWait, ExitCode::Done),
            (Verdict::Reserved, ExitCode::Done),
            (Verdict::Ephemeral, ExitCode::No),
            (Verdict::Unknown, ExitCode::NotPermitted),
        ] {
            assert_eq!(course(&port(verdict, vec![], vec![]), false), Course::Nothing(code), "{verdict}");
        }
        let far = port(Verdict::Free, vec![], vec![Way::End(0)]);
        assert_eq!(course(&far, false), Course::Nothing(ExitCode::Done), "another namespace is another machine");
        assert_eq!((course(&far, true), acted_on(&far, true).count()), (Course::Act, 1));
        assert_eq!(acted_on(&far, false).count(), 0);
        assert_eq!(course(&port(Verdict::Free, vec![], vec![refused()]), true), Course::Nothing(ExitCode::Done));
    }
}
