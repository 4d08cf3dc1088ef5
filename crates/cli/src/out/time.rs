//! Points in time as people write and read them.

use std::time::Duration;

use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, SpanRelativeTo, Timestamp, ToSpan, Zoned};

use vigie_core::clock::Wall;
use vigie_core::units::{format_rounded, parse_duration};

const FORMS: &str =
    "write for example 5m, \"10 min ago\", 12:00, yesterday, 2026-01-31, \"2026-01-31 12:00\" or 2026-01-31T12:00:00Z";

/// Reads a point in time for `--since` and `--until`: how long ago, a time of today (of yesterday, when it is still to
/// come), a day, a day with time, all local; or RFC 3339.
///
/// # Errors
/// When it is none of them.
pub(crate) fn when(text: &str) -> Result<Wall, String> {
    when_at(text, &Zoned::now())
}

fn when_at(text: &str, now: &Zoned) -> Result<Wall, String> {
    let text = text.trim();
    let wrong = || format!("{text:?} is not a point in time: {FORMS}");
    let zone = now.time_zone();
    let midnight = |date: Date| date.to_zoned(zone.clone()).map_err(|_| wrong());
    let moment = match text {
        "now" => now.clone(),
        "today" => midnight(now.date())?,
        "yesterday" => midnight(now.date().saturating_sub(1.day()))?,
        _ => {
            if let Ok(ago) = parse_duration(text) {
                now.checked_sub(ago).map_err(|_| wrong())?
            } else if let Ok(timestamp) = text.parse::<Timestamp>() {
                timestamp.to_zoned(zone.clone())
            } else if let Some(ago) = text.strip_suffix("ago") {
                let span: Span = ago.trim().parse().map_err(|_| wrong())?;
                let ago = span.to_duration(SpanRelativeTo::from(now)).map_err(|_| wrong())?;
                now.checked_sub(ago).map_err(|_| wrong())?
            } else if !text.contains('-')
                && let Ok(time) = text.parse::<Time>()
            {
                let today = now.date().to_datetime(time).to_zoned(zone.clone()).map_err(|_| wrong())?;
                if today > *now { today.checked_sub(1.day()).map_err(|_| wrong())? } else { today }
            } else if let Ok(moment) = text.parse::<DateTime>() {
                moment.to_zoned(zone.clone()).map_err(|_| wrong())?
            } else {
                return Err(wrong());
            }
        }
    };
    u64::try_from(moment.timestamp().as_nanosecond()).map(Wall).map_err(|_| wrong())
}

fn timestamp(wall: Wall) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(wall.0)).unwrap_or(Timestamp::MAX)
}

/// `12:03:05` in the local time zone; with the day when that is another one.
pub(crate) fn local(wall: Wall) -> String {
    local_at(wall, &Zoned::now())
}

fn local_at(wall: Wall, now: &Zoned) -> String {
    let moment = timestamp(wall).to_zoned(now.time_zone().clone());
    let form = if moment.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    moment.strftime(form).to_string()
}

/// `12:03:05 to 12:18:05` in the local time zone; with the days when either is another one.
pub(crate) fn range(from: Wall, until: Wall) -> String {
    range_at(from, until, &Zoned::now())
}

fn range_at(from: Wall, until: Wall, now: &Zoned) -> String {
    let [from, until] = [from, until].map(|wall| timestamp(wall).to_zoned(now.time_zone().clone()));
    let today = from.date() == now.date() && until.date() == now.date();
    let form = if today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    format!("{} to {}", from.strftime(form), until.strftime(form))
}

/// `2026-01-31 12:03:05.123` in the local time zone: for lists of events, where every line has the same length.
pub(crate) fn local_millis(wall: Wall) -> String {
    timestamp(wall).to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// How long ago that was, for people.
pub(crate) fn age(since: Wall, now: Wall) -> String {
    format_rounded(Duration::from_nanos(now.0.saturating_sub(since.0) / 1_000_000_000 * 1_000_000_000))
}

/// How long ago that was, in one unit: `40 s`, `3 min`, `5 h`, `12 d`.
pub(crate) fn age_in_words(since: Wall, now: Wall) -> String {
    let seconds = now.0.saturating_sub(since.0) / 1_000_000_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        "2026-03-10T12:30:00+01:00[Europe/Paris]".parse().expect("a moment")
    }

    #[test]
    fn points_in_time_as_people_write_them() {
        for (text, expected) in [
            ("5m", "2026-03-10T12:25:00+01:00"),
            ("10 min ago", "2026-03-10T12:20:00+01:00"),
            ("2 hours ago", "2026-03-10T10:30:00+01:00"),
            ("1 day ago", "2026-03-09T12:30:00+01:00"),
            ("12:00", "2026-03-10T12:00:00+01:00"),
            ("12:00:30", "2026-03-10T12:00:30+01:00"),
            ("13:00", "2026-03-09T13:00:00+01:00"),
            ("today", "2026-03-10T00:00:00+01:00"),
            ("yesterday", "2026-03-09T00:00:00+01:00"),
            ("2026-03-01", "2026-03-01T00:00:00+01:00"),
            ("2026-03-01 08:15", "2026-03-01T08:15:00+01:00"),
            ("2026-03-10T11:00:00Z", "2026-03-10T12:00:00+01:00"),
            ("now", "2026-03-10T12:30:00+01:00"),
        ] {
            let expected: Timestamp = expected.parse().expect("a moment");
            assert_eq!(when_at(text, &now()).map(timestamp), Ok(expected), "{text}");
        }
        for bad in ["", "soon", "25:00", "5", "-5m", "ago"] {
            assert!(when_at(bad, &now()).is_err(), "{bad}");
        }
    }

    #[test]
    fn shown_times() {
        let wall = when_at("2026-03-10T11:03:05.123456789Z", &now()).expect("a moment");
        assert_eq!(local_at(wall, &now()), "12:03:05");
        let yesterday = when_at("yesterday", &now()).expect("a moment");
        assert_eq!(local_at(yesterday, &now()), "2026-03-09 00:00:00");
        assert_eq!(range_at(wall, wall, &now()), "12:03:05 to 12:03:05");
        assert_eq!(range_at(yesterday, wall, &now()), "2026-03-09 00:00:00 to 2026-03-10 12:03:05");
    }

    #[test]
    fn ages_are_whole_seconds() {
        assert_eq!(age(Wall(0), Wall(63_900_000_000)), "1m3s");
        assert_eq!(age(Wall(5), Wall(3)), "0s", "a clock that jumped back");
        assert_eq!(age(Wall(0), Wall(2_900_000_000)), "2s");
    }
    #[test]
    fn ages_in_one_unit() {
        let second = 1_000_000_000;
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (86_399, "23 h"),
            (200_000, "2 d"),
        ] {
            assert_eq!(age_in_words(Wall(5), Wall(5 + seconds * second)), text);
        }
    }
}
