//! Messages until they are delivered, or given up with a word about it.
//!
//! One [`Lane`] a channel: what one receiver makes of it holds up no other. Within a lane messages keep their order, and one
//! is under way at a time. A receiver that does not answer gets the same message again, after pauses that grow, [`ATTEMPTS`]
//! times; then it is dropped, and the journal says so. One that refuses is not asked twice.
//!
//! A channel gets [`BURST`] messages at once and one more every [`EVERY`]. What waits beyond that goes out together, as one
//! digest: so a bad night is a few messages, whatever happens.
//!
//! Delivery is *at least once*: a message is stored before it is sent and removed after the receiver took it, and a daemon
//! that dies between sends it again, under the same key.

mod bucket;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Mono, Now, Wall};
use crate::incidents::{Message, Occasion, Severity};
use crate::journal::{Entry, Subject, What};
use crate::name::Name;
use bucket::Bucket;

pub use bucket::{BURST, EVERY};

/// So often a message is tried.
pub const ATTEMPTS: u32 = 12;

/// The pause after the first attempt; then twice that, and so on.
const PAUSE: Duration = Duration::from_secs(5);

/// The longest pause, unless the receiver asks for more.
const LONGEST: Duration = Duration::from_secs(600);

/// More than this no receiver may ask for.
const PATIENCE: Duration = Duration::from_secs(3600);

/// How much pauses differ by chance, so that many do not come back at once.
const JITTER: f64 = 0.2;

/// So many wait for one channel; then the oldest is dropped.
pub const WAITING: usize = 200;

/// So many lines a digest has; it says how many more there are.
const LINES: usize = 40;

/// A message that waits for a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its number: larger than that of all before.
    pub id: u64,
    /// Where it goes.
    pub channel: Name,
    /// It.
    pub message: Message,
    /// How often it was tried.
    pub attempts: u32,
    /// What came of the last attempt.
    pub why: Option<String>,
}

/// How a channel does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// How many messages it took.
    pub delivered: u64,
    /// How many were given up.
    pub dropped: u64,
    /// When it last took one.
    pub delivered_at: Option<Wall>,
    /// When an attempt last failed.
    pub failed_at: Option<Wall>,
    /// Why that failed; absent when the last attempt did not.
    pub why: Option<String>,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The receiver took it.
    Delivered {
        /// What it said.
        answer: String,
    },
    /// It may work later.
    Later {
        /// What is wrong.
        why: String,
        /// Not before this many seconds, says the receiver.
        after_seconds: Option<u64>,
    },
    /// It will not work.
    Refused {
        /// What is wrong.
        why: String,
    },
}

/// Something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// Where to.
    pub channel: Name,
    /// What: one message, or several in one.
    pub message: Message,
}

/// What is to be stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Changes {
    /// New, or changed.
    pub put: Vec<Item>,
    /// Delivered, or dropped.
    pub gone: Vec<u64>,
    /// How these channels do.
    pub health: Vec<(Name, Health)>,
    /// For the journal.
    pub entries: Vec<Entry>,
}

/// What waits for one channel.
#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Item>,
    /// So many of the first belong together: they were sent in one, and go together until something came of it.
    head: usize,
    flying: bool,
    next_at: Mono,
    bucket: Bucket,
    health: Health,
}

/// Everything that waits.
#[derive(Debug, Default)]
pub struct Outbox {
    lanes: BTreeMap<Name, Lane>,
    last: u64,
}

impl Outbox {
    /// From what was stored.
    pub fn restore(items: Vec<Item>, health: Vec<(Name, Health)>) -> Self {
        let mut outbox = Self::default();
        for item in items {
            outbox.last = outbox.last.max(item.id);
            outbox.lane(&item.channel).queue.push_back(item);
        }
        for lane in outbox.lanes.values_mut() {
            lane.queue.make_contiguous().sort_by_key(|item| item.id);
        }
        for (channel, health) in health {
            outbox.lane(&channel).health = health;
        }
        outbox
    }

    fn lane(&mut self, channel: &Name) -> &mut Lane {
        self.lanes.entry(channel.clone()).or_default()
    }

    /// Everything that waits, in no order.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.lanes.values().flat_map(|lane| &lane.queue)
    }

    /// How every channel does.
    pub fn health(&self) -> impl Iterator<Item = (&Name, &Health)> {
        self.lanes.iter().map(|(name, lane)| (name, &lane.health))
    }

    /// A message for these channels.
    pub fn push(&mut self, now: Now, message: &Message, channels: &[Name]) -> Changes {
        let mut changes = Changes::default();
        for channel in channels {
            self.last += 1;
            let (id, message) = (self.last, message.clone());
            let item = Item { id, channel: channel.clone(), message, attempts: 0, why: None };
            let lane = self.lane(channel);
            // Not one of those that are under way.
            if lane.queue.len() >= WAITING
                && let Some(dropped) = lane.queue.remove(lane.head)
            {
                lane.drop_them(
                    now,
                    channel,
                    vec![dropped.id],
                    format!("{WAITING} messages wait already"),
                    &mut changes,
                );
            }
            lane.queue.push_back(item.clone());
            changes.put.push(item);
        }
        changes
    }

    /// What is to be sent now. The outcome of each comes back by [`Outbox::done`].
    pub fn pump(&mut self, now: Mono) -> Vec<Parcel> {
        self.lanes.iter_mut().filter_map(|(channel, lane)| lane.next(channel, now)).collect()
    }

    /// What came of an attempt. `draw`: a random number in 0..1.
    pub fn done(&mut self, now: Now, channel: &Name, verdict: Verdict, draw: f64) -> Changes {
        let mut changes = Changes::default();
        let Some(lane) = self.lanes.get_mut(channel).filter(|lane| lane.flying) else { return changes };
        lane.flying = false;
        match verdict {
            Verdict::Delivered { .. } => {
                let gone: Vec<u64> = lane.queue.drain(..lane.head).map(|item| item.id).collect();
                lane.health.delivered += gone.len() as u64;
                (lane.health.delivered_at, lane.health.why) = (Some(now.wall), None);
                (lane.head, lane.next_at) = (0, now.mono);
                changes.gone = gone;
            }
            Verdict::Refused { why } => lane.give_up(now, channel, why, &mut changes),
            Verdict::Later { why, after_seconds } => {
                let attempts = lane.queue.front().map_or(0, |item| item.attempts) + 1;
                if attempts >= ATTEMPTS {
                    lane.give_up(now, channel, format!("{why}; tried {attempts} times"), &mut changes);
                } else {
                    let asked = after_seconds.map_or(Duration::ZERO, Duration::from_secs).min(PATIENCE);
                    lane.next_at = now.mono + pause(attempts, draw).max(asked);
                    (lane.health.failed_at, lane.health.why) = (Some(now.wall), Some(why.clone()));
                    for item in lane.queue.iter_mut().take(lane.head) {
                        (item.attempts, item.why) = (attempts, Some(why.clone()));
                        changes.put.push(item.clone());
                    }
                }
            }
        }
        changes.health.push((channel.clone(), lane.health.clone()));
        changes
    }

    /// When [`Outbox::pump`] has something to send, if nothing else happens.
    pub fn deadline(&self) -> Option<Mono> {
        let waiting = self.lanes.values().filter(|lane| !lane.flying && !lane.queue.is_empty());
        waiting.map(|lane| lane.next_at.max(if lane.is_repeated() { Mono(0) } else { lane.bucket.next() })).min()
    }
}

impl Lane {
    /// What is first was tried before.
    fn is_repeated(&self) -> bool {
        self.head > 0
    }

    fn next(&mut self, channel: &Name, now: Mono) -> Option<Parcel> {
        if self.flying || self.queue.is_empty() || self.next_at > now {
            return None;
        }
        if !self.is_repeated() {
            let free = self.bucket.free(now);
            if free == 0 {
                return None;
            }
            self.bucket.take(now);
            self.head = if self.queue.len() > free as usize { self.queue.len() } else { 1 };
        }
        self.flying = true;
        let items: Vec<&Item> = self.queue.iter().take(self.head).collect();
        let message = match items[..] {
            [one] => one.message.clone(),
            _ => digest(&items),
        };
        Some(Parcel { channel: channel.clone(), message })
    }

    /// No further attempt is made for what was tried.
    fn give_up(&mut self, now: Now, channel: &Name, why: String, changes: &mut Changes) {
        let ids: Vec<u64> = self.queue.drain(..self.head).map(|item| item.id).collect();
        (self.head, self.next_at) = (0, now.mono);
        (self.health.failed_at, self.health.why) = (Some(now.wall), Some(why.clone()));
        self.drop_them(now, channel, ids, why, changes);
    }

    fn drop_them(&mut self, now: Now, channel: &Name, ids: Vec<u64>, why: String, changes: &mut Changes) {
        let messages = ids.len() as u64;
        self.health.dropped += messages;
        changes.gone.extend(ids);
        let what = What::NotifyFailed { channel: channel.to_string(), messages, why };
        changes.entries.push(Entry::new(now.wall, Subject::Daemon, None, what));
    }
}

fn pause(attempts: u32, draw: f64) -> Duration {
    let grown = PAUSE.saturating_mul(1 << (attempts - 1).min(16)).min(LONGEST);
    grown.mul_f64(1.0 + JITTER * (2.0 * draw - 1.0))
}

/// Several messages in one.
fn digest(items: &[&Item]) -> Message {
    let messages = || items.iter().map(|item| &item.message);
    let ends = [items.first(), items.last()].map(|item| item.map_or("", |item| item.message.key.as_str()));
    let opened = messages().filter(|message| message.occasion == Occasion::Opened).count();
    let resolved = messages().filter(|message| message.occasion == Occasion::Resolved).count();
    let mut lines: Vec<String> = messages().take(LINES).map(Message::title).collect();
    if items.len() > LINES {
        lines.push(format!("and {} more", items.len() - LINES));
    }
    Message {
        key: format!("{}..{}", ends[0], ends[1]),
        occasion: Occasion::Digest,
        severity: messages().map(|message| message.severity).max().unwrap_or(Severity::Notice),
        subject: None,
        incident: None,
        rule: None,
        text: format!("{} messages: {opened} opened, {resolved} resolved", items.len()),
        count: items.len() as u64,
        opened: messages().filter_map(|message| message.opened).min(),
        at: messages().map(|message| message.at).max().unwrap_or_default(),
        run: None,
        wants_lines: 0,
        lines,
    }
}

#[cfg(test)]
mod tests;
