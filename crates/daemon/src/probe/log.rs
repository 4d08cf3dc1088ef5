//! Whether a line of the run's output matches. The lines are read as they are written: in between, the task waits for
//! the kernel to tell that the folder changed.

use regex_lite::Regex;

use vigie_core::launch::{Launch, Output};
use vigie_core::supervisor::ProbeOutcome;
use vigie_os::clock;
use vigie_os::place::private_dir;
use vigie_os::watch::Watch;
use vigie_store::logs::{Filter, Item, Lines, LogDir};

use super::bad;
use crate::aside::off_thread;
use crate::readable::Readable;

/// Returns with the first line that matches, or with a reason why none can be looked for.
pub(super) async fn matched(launch: &Launch, pattern: &str) -> ProbeOutcome {
    match wait(launch, pattern).await {
        Ok(()) => ProbeOutcome::Good,
        Err(why) => bad(why),
    }
}

async fn wait(launch: &Launch, pattern: &str) -> Result<(), String> {
    let regex = Regex::new(pattern).map_err(|error| format!("{pattern:?} is no regular expression: {error}"))?;
    let Output::Segments { dir, .. } = &launch.output else {
        return Err("its output is not stored, so that no line of it can be looked for".to_owned());
    };
    // The keeper makes the folder with the first byte of output.
    private_dir(dir.as_path()).map_err(|error| error.to_string())?;
    // Watched before the first look, so that no line falls between.
    let watch = Watch::new().map_err(|error| error.to_string())?;
    watch.folder(dir.as_path()).map_err(|error| error.to_string())?;
    let watch = Readable::new(watch).map_err(|error| error.to_string())?;
    let filter = Filter { run: Some(launch.run), ..Filter::default() };
    let mut lines = LogDir::new(dir.as_path()).lines(filter).map_err(|error| error.to_string())?;
    loop {
        let pattern = regex.clone();
        let look = move || look(&mut lines, &pattern).map(|found| (lines, found));
        let (behind, found) =
            off_thread(look).await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        if found {
            return Ok(());
        }
        lines = behind;
        watch.wait().await;
        watch.get().wait(clock::mono()).map_err(|error| error.to_string())?;
    }
}

fn look(lines: &mut Lines, pattern: &Regex) -> Result<bool, vigie_store::Error> {
    while lines.advance()? {
        if let Some(Item::Line(line)) = lines.item()
            && pattern.is_match(&String::from_utf8_lossy(line.bytes))
        {
            return Ok(true);
        }
    }
    Ok(false)
}
