//! `vigie notify deliver`: what the daemon starts for each message. A job on standard input, what came of it on standard
//! output.

use std::io::{Read as _, Write as _};

use vigie_core::outbox::Verdict as Came;
use vigie_notify::book::Book;
use vigie_notify::job::Job;
use vigie_notify::{About, deliver};

use crate::context;
use crate::failure::{Failure, Verdict};

pub(super) fn run() -> Verdict {
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text).map_err(|error| Failure::io("cannot read the job", &error))?;
    let job: Job = serde_json::from_str(&text).map_err(|error| Failure::usage(format!("this is no job: {error}")))?;
    let came = send(&job);
    let said = serde_json::to_string(&came).map_err(|error| Failure::from(std::io::Error::from(error)))?;
    writeln!(std::io::stdout(), "{said}")?;
    Ok(0)
}

fn send(job: &Job) -> Came {
    let book = match context::place().map(|place| Book::read(&place.config)) {
        Ok(Ok(book)) => book,
        Ok(Err(error)) => return Came::Later { why: error.to_string(), after_seconds: None },
        Err(_) => return Came::Refused { why: "nobody knows where the channels are kept".to_owned() },
    };
    let Some(entry) = book.get(&job.channel) else {
        return Came::Refused { why: "the channel was removed".to_owned() };
    };
    match entry.channel() {
        Ok(channel) => {
            deliver(&channel, &job.message, &About { host: job.host.clone() }, vigie_os::clock::mono).verdict
        }
        Err(error) => Came::Refused { why: error.to_string() },
    }
}
