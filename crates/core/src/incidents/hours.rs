//! Quiet hours: a stretch of each day, in the local time of the machine.

use std::time::Duration;

use crate::clock::Now;

/// The minutes of a day.
const DAY: u32 = 24 * 60;

/// A moment with all that is needed to judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// Both clocks.
    pub now: Now,
    /// How far local time is ahead of UTC, in seconds.
    pub offset: i32,
}

impl Moment {
    /// Seconds of the local day.
    fn of_day(self) -> u32 {
        let seconds = i64::try_from(self.now.wall.0 / 1_000_000_000).unwrap_or(0) + i64::from(self.offset);
        u32::try_from(seconds.rem_euclid(86_400)).unwrap_or(0)
    }
}

/// From one minute of the day until another one, perhaps of the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    from: u32,
    to: u32,
}

impl Hours {
    /// How long they go on from this moment; absent when it lies outside.
    pub fn left(self, at: Moment) -> Option<Duration> {
        let second = at.of_day();
        let (from, to) = (self.from * 60, self.to * 60);
        let length = (to + DAY * 60 - from) % (DAY * 60);
        let passed = (second + DAY * 60 - from) % (DAY * 60);
        (passed < length).then(|| Duration::from_secs(u64::from(length - passed)))
    }
}

impl std::fmt::Display for Hours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl std::str::FromStr for Hours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hint = || "write for example 22:00-07:00".to_owned();
        let minute = |text: &str| -> Option<u32> {
            let (hour, minute) = text.split_once(':')?;
            let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
            (hour < 24 && minute < 60).then_some(hour * 60 + minute)
        };
        let (from, to) = text.split_once('-').ok_or_else(hint)?;
        match (minute(from), minute(to)) {
            (Some(from), Some(to)) if from != to => Ok(Self { from, to }),
            _ => Err(hint()),
        }
    }
}
