//! `vigie notify ls`

use std::io::Write as _;

use anstyle::Style;

use super::json;
use crate::context;
use crate::failure::Verdict;
use crate::out::{ABSENT, Align, Column, Screen, Table, style, time};

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
    let shown = vigie_daemon::views::channels(&place.config, &place.state)?;
    if args.json {
        json(&shown)?;
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
    for one in &shown.channels {
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
    let text = if shown.channels.is_empty() {
        "there is no channel; 'vigie notify add' adds one\n".to_owned()
    } else {
        table.render(Screen::stdout())
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(0)
}
