//! `vigie notify ls`

use std::io::Write as _;

use anstyle::Style;

use vigie_api::incidents::{Channel as Shown, Channels};
use vigie_api::time::Millis;
use vigie_core::outbox::{Health, Item};
use vigie_notify::book::Book;
use vigie_os::place::Place;

use super::json;
use crate::failure::{Failure, Verdict};
use crate::out::{ABSENT, Align, Column, Screen, Table, style, time};
use crate::{context, settings};

/// List the channels
#[derive(Debug, clap::Args)]
#[command(
    long_about = "List the channels with what was delivered to each, what waits, and why the last attempt failed, if it did. \
        URLs are shown without what is secret in them. It needs no daemon.",
    after_help = "Examples:\n  vigie notify ls\n  vigie notify ls --json"
)]
pub(crate) struct Args {
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Verdict {
    let place = context::place()?;
    let channels = read(&place)?;
    if args.json {
        json(&Channels { schema: vigie_api::SCHEMA, channels })?;
        return Ok(0);
    }
    let mut table = Table::new(&[
        Column::new("NAME", Align::Left),
        Column::new("KIND", Align::Left),
        Column::text("URL"),
        Column::new("DELIVERED", Align::Right),
        Column::new("WAITING", Align::Right),
        Column::new("DROPPED", Align::Right),
        Column::spare("LAST", Align::Right, 1),
        Column::remark("NOTE"),
    ]);
    let now = vigie_os::clock::now().wall;
    let plain = Style::new();
    for one in &channels {
        let last = one.delivered_at.map_or_else(|| ABSENT.to_owned(), |at| format!("{} ago", time::age(at.0, now)));
        let note = match (&one.why, &one.kind) {
            (Some(why), _) => why.clone(),
            (None, None) => "this version does not understand its URL".to_owned(),
            (None, Some(_)) => String::new(),
        };
        table.row(vec![
            (style::HEAD, one.name.to_string()),
            (plain, one.kind.clone().unwrap_or_else(|| ABSENT.to_owned())),
            (plain, one.url.clone().unwrap_or_else(|| ABSENT.to_owned())),
            (plain, one.delivered.to_string()),
            (if one.waiting > 0 { style::WARN } else { plain }, one.waiting.to_string()),
            (if one.dropped > 0 { style::BAD } else { plain }, one.dropped.to_string()),
            (plain, last),
            (style::BAD, note),
        ]);
    }
    let text = if channels.is_empty() {
        "there is no channel; 'vigie notify add' adds one\n".to_owned()
    } else {
        table.render(Screen::stdout())
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(0)
}

fn read(place: &Place) -> Result<Vec<Shown>, Failure> {
    let book = Book::read(&place.config)?;
    let waiting = settings::documents::<Item>(place, vigie_daemon::OUTBOX)?;
    let health = settings::documents::<Health>(place, vigie_daemon::HEALTH)?;
    let shown = book.channels.iter().map(|entry| {
        let channel = entry.channel().ok();
        let health = health.iter().find(|(name, _)| name == entry.name.as_str());
        let health = health.map(|(_, health)| health.clone()).unwrap_or_default();
        Shown {
            name: entry.name.clone(),
            kind: channel.as_ref().map(|channel| channel.kind().to_owned()),
            url: channel.as_ref().map(|channel| channel.masked().to_owned()),
            private: entry.private,
            since: Millis(entry.since),
            waiting: waiting.iter().filter(|(_, item)| item.channel == entry.name).count() as u64,
            delivered: health.delivered,
            dropped: health.dropped,
            delivered_at: health.delivered_at.map(Millis),
            failed_at: health.failed_at.map(Millis),
            why: health.why,
        }
    });
    Ok(shown.collect())
}
