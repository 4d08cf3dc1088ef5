//! What stands in the way of a port, and what may be done about it. Decided without I/O.

use vigie_core::claim::PortClaim;
use vigie_core::exit_code::ExitCode;
use vigie_core::ports::{Judgement, Verdict};
use vigie_core::protect::Protection;
use vigie_docker::holder::Role;

/// A port that is to be free.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) claim: PortClaim,
    pub(super) judgement: Judgement,
    /// What holds it here, one for each process or container and socket.
    pub(super) here: Vec<Obstacle>,
    /// What holds the same number in other network namespaces: in nobody's way here.
    pub(super) beside: Vec<Obstacle>,
    /// What else is to be said.
    pub(super) notes: Vec<String>,
}

impl Port {
    /// A socket holds it.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.judgement.verdict, Verdict::Used | Verdict::Shared | Verdict::Bound)
    }

    /// Why it will not be touched: it is freed as a whole, or not at all.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        self.here.iter().find_map(|obstacle| match &obstacle.way {
            Way::Refused(refusal) => Some(refusal),
            _ => None,
        })
    }
}

/// A process, a run or a container that holds a port.
#[derive(Debug)]
pub(super) struct Obstacle {
    /// What it holds: `127.0.0.1:8000/tcp`.
    pub(super) socket: String,
    /// `listens on`, `is bound to`
    pub(super) holds: &'static str,
    /// The process; absent when it cannot be seen.
    pub(super) pid: Option<u32>,
    /// The thread through which it was seen, where the main thread has ended.
    pub(super) tid: Option<u32>,
    /// For people: `python3 (PID 9)`.
    pub(super) who: String,
    /// The number of its network namespace, when that is another one.
    pub(super) namespace: Option<u64>,
    pub(super) way: Way,
}

/// What may be done about it. The numbers are places in the survey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// End this process.
    End(usize),
    /// Stop this run, of the project here.
    Stop(usize),
    /// Stop this run, of another project.
    StopOther(usize),
    /// Let its engine stop this container.
    StopContainer(usize),
    /// Nothing.
    Refused(Refusal),
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: ExitCode,
    pub(super) why: String,
}

/// What is known of a process that holds a port.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// What it is to containers.
    pub(super) role: Option<Role>,
    /// Why an engine that could tell more did not: with the exit code.
    pub(super) silence: Option<Refusal>,
    /// It is a process of this run of ours, as its place in the report.
    pub(super) run: Option<(usize, Membership)>,
    /// It is below a keeper that is not ours.
    pub(super) foreign_keeper: Option<u32>,
    pub(super) protection: Option<Protection>,
}

/// Whose run it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Membership {
    Here,
    Elsewhere,
}

/// What may be done about a process behind which no container was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    End,
    Stop(usize),
    StopOther(usize),
    Refused(Refusal),
}

/// The first of these that applies, in the order of what would go wrong otherwise: a proxy that is ended leaves a container
/// that nobody reaches, a run that is ended is started again.
pub(super) fn choose(known: &Known) -> Choice {
    let refused = |code, why: &str| Choice::Refused(Refusal { code, why: why.to_owned() });
    match known.role {
        Some(Role::Proxy | Role::Inside) if let Some(silence) = &known.silence => {
            return Choice::Refused(silence.clone());
        }
        // No container publishes what it holds: it was left behind when its engine crashed.
        Some(Role::Proxy) if known.protection == Some(Protection::Containers) => return Choice::End,
        Some(Role::Proxy | Role::Inside | Role::Engine) | None => {}
    }
    match known.run {
        Some((run, Membership::Here)) => return Choice::Stop(run),
        Some((run, Membership::Elsewhere)) => return Choice::StopOther(run),
        None => {}
    }
    if let Some(keeper) = known.foreign_keeper {
        let why =
            format!("it is a run of another vigie (keeper PID {keeper}), which would start it again: stop it there");
        return refused(ExitCode::NotPermitted, &why);
    }
    match known.protection {
        Some(Protection::OtherUser) => refused(ExitCode::NotPermitted, "it belongs to another user: this needs root"),
        // It has the port: that is proof enough.
        Some(protection) if !protection.yields_to_proof() => {
            refused(ExitCode::NotPermitted, &format!("it is protected: {protection}"))
        }
        _ => Choice::End,
    }
}

/// Of several codes the one that says most.
pub(super) fn worst(codes: impl IntoIterator<Item = ExitCode>) -> ExitCode {
    const ORDER: [ExitCode; 8] = [
        ExitCode::Done,
        ExitCode::No,
        ExitCode::NotFound,
        ExitCode::NeedsConfirmation,
        ExitCode::NotPermitted,
        ExitCode::Unreachable,
        ExitCode::StillAlive,
        ExitCode::Stuck,
    ];
    // What is not in the order is an error of its own.
    let rank = |code: &ExitCode| ORDER.iter().position(|known| known == code).unwrap_or(ORDER.len());
    codes.into_iter().max_by_key(rank).unwrap_or(ExitCode::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(known: &Known) -> Option<ExitCode> {
        match choose(known) {
            Choice::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }

    #[test]
    fn what_may_be_done() {
        let plain = Known::default();
        assert_eq!(choose(&plain), Choice::End);
        assert_eq!(choose(&Known { run: Some((5, Membership::Here)), ..plain.clone() }), Choice::Stop(5));
        assert_eq!(choose(&Known { run: Some((5, Membership::Elsewhere)), ..plain.clone() }), Choice::StopOther(5));
        assert_eq!(code(&Known { foreign_keeper: Some(7), ..plain.clone() }), Some(ExitCode::NotPermitted));
        let protected = |protection| Known { protection: Some(protection), ..Known::default() };
        for protection in [Protection::OtherUser, Protection::System, Protection::Ancestor, Protection::Vigie] {
            assert_eq!(code(&protected(protection)), Some(ExitCode::NotPermitted), "{protection}");
        }
        for looks_only in [Protection::Bystander, Protection::Shell] {
            assert_eq!(choose(&protected(looks_only)), Choice::End, "{looks_only}: it has the port");
        }
    }

    /// R7.3: a proxy is never ended while there may be a container behind it.
    #[test]
    fn proxies() {
        let proxy = Known { role: Some(Role::Proxy), protection: Some(Protection::Containers), ..Known::default() };
        let silence = Some(Refusal { code: ExitCode::Unreachable, why: String::new() });
        assert_eq!(code(&Known { silence: silence.clone(), ..proxy.clone() }), Some(ExitCode::Unreachable));
        assert_eq!(choose(&proxy), Choice::End, "of no container at all");
        let engine = Known { role: Some(Role::Engine), ..proxy };
        assert_eq!(code(&engine), Some(ExitCode::NotPermitted));
        let inside = Known { role: Some(Role::Inside), silence, ..Known::default() };
        assert_eq!(code(&inside), Some(ExitCode::Unreachable));
        // A run of ours in a container of ours is a run.
        let run = Known { role: Some(Role::Inside), run: Some((5, Membership::Here)), ..Known::default() };
        assert_eq!(choose(&run), Choice::Stop(5));
    }

    #[test]
    fn the_worst_code() {
        use ExitCode::*;
        assert_eq!(worst([]), Done);
        assert_eq!(worst([Done, No, Stuck, StillAlive]), Stuck);
        assert_eq!(worst([NotPermitted, NeedsConfirmation]), NotPermitted);
        assert_eq!(worst([Stuck, Internal]), Internal);
    }
}
