//! The ladder: how fine samples are kept for how long.

use std::time::Duration;

use super::{Moment, millis};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A rung of the ladder: raw for an hour, then a row a minute for a day, one for ten minutes for a week, one for two
/// hours for 90 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// As they were measured.
    Raw,
    /// A minute.
    Minute,
    /// Ten minutes.
    TenMinutes,
    /// Two hours.
    TwoHours,
}

impl Level {
    /// All, the finest first.
    pub const ALL: [Self; 4] = [Self::Raw, Self::Minute, Self::TenMinutes, Self::TwoHours];

    /// Those that are made of a finer one.
    pub const ROLLED: [Self; 3] = [Self::Minute, Self::TenMinutes, Self::TwoHours];

    /// Its number in what is stored; its place in [`Level::ALL`].
    pub const fn number(self) -> usize {
        self as usize
    }

    /// Its name: `raw`, `1m`, `10m`, `2h`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Minute => "1m",
            Self::TenMinutes => "10m",
            Self::TwoHours => "2h",
        }
    }

    /// How long a bucket is, in milliseconds. A sample is a point: 0.
    pub const fn span(self) -> u64 {
        millis(match self {
            Self::Raw => Duration::ZERO,
            Self::Minute => MINUTE,
            Self::TenMinutes => Duration::from_secs(600),
            Self::TwoHours => Duration::from_secs(7_200),
        })
    }

    /// How long it can be asked for, in milliseconds.
    pub const fn age(self) -> u64 {
        millis(match self {
            Self::Raw => HOUR,
            Self::Minute => DAY,
            Self::TenMinutes => Duration::from_secs(7 * 86_400),
            Self::TwoHours => Duration::from_secs(90 * 86_400),
        })
    }

    /// How long it is kept, in milliseconds: somewhat longer, so that who asks for the whole age gets it.
    pub const fn kept(self) -> u64 {
        self.age() + self.age() / 20
    }

    /// The next coarser one.
    pub const fn coarser(self) -> Option<Self> {
        match self {
            Self::Raw => Some(Self::Minute),
            Self::Minute => Some(Self::TenMinutes),
            Self::TenMinutes => Some(Self::TwoHours),
            Self::TwoHours => None,
        }
    }

    /// The next finer one: that of which it is made.
    pub const fn finer(self) -> Option<Self> {
        match self {
            Self::Raw => None,
            Self::Minute => Some(Self::Raw),
            Self::TenMinutes => Some(Self::Minute),
            Self::TwoHours => Some(Self::TenMinutes),
        }
    }

    /// Where the bucket of a moment begins. A sample is its own.
    pub const fn bucket(self, at: Moment) -> Moment {
        match self.span() {
            0 => at,
            span => Moment(at.0 - at.0 % span),
        }
    }

    /// Whether the bucket that begins at `bucket` is over: nothing is to be expected in it any more, or its time lies ahead
    /// because the clock was set back.
    pub const fn is_over(self, bucket: Moment, now: Moment) -> bool {
        now.0 >= bucket.0 + self.span() || now.0 < bucket.0
    }
}
