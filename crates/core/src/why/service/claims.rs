//! A port that it claims is another's.

use super::{Claim, ServiceFacts, ServiceVerdict};
use crate::why::port;
use crate::why::{Explanation, Times, Verdict};

pub(super) fn explain(facts: &ServiceFacts, times: Times<'_>) -> Option<Explanation> {
    let busy: Vec<&Claim> = busy(facts).collect();
    let (first, rest) = busy.split_first()?;
    let mut told = port::explain(&first.facts, times);
    told.verdict = Verdict::Service(ServiceVerdict::PortBusy);
    told.answer = format!("{} claims a port that another has: {}", facts.label, told.answer);
    for claim in rest {
        let other = port::explain(&claim.facts, times);
        told.because.push(other.answer);
        told.because.extend(other.because);
        told.evidence.extend(other.evidence);
        told.remedies.extend(other.remedies);
        told.blind |= other.blind;
    }
    Some(told)
}

/// The claims that another has. What is only left of old connections keeps no server out that sets `SO_REUSEADDR`.
pub(super) fn busy(facts: &ServiceFacts) -> impl Iterator<Item = &Claim> {
    facts.claims.iter().filter(|claim| {
        !claim.ours && !claim.facts.verdict.is_free() && claim.facts.verdict != crate::ports::Verdict::Reserved
    })
}
