//! `vigie api`: where the API is served, and to whom.

mod token;

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use vigie_api::access::{Access, Change, Request};
use vigie_api::{Client, path};
use vigie_os::place::Place;
use vigie_store::journal::Reader;

use crate::failure::{Failure, Verdict};
use crate::out::{Screen, style};
use crate::{context, daemon, settings};

/// Show and change where the API is served, and who may ask
#[derive(Debug, clap::Args)]
#[command(
    long_about = concat!(
        "Show and change where the daemon serves its HTTP API (docs/api.md). It always does at a Unix socket that only \
        its user can open. On request it also does at a loopback port, where every request needs a token: others of this \
        machine, and pages in a browser, can connect there. Without a verb: show where, and the tokens.\n\n",
        settings::needs_no_daemon!("Showing", "something")
    ),
    after_help = "Examples:\n  \
        vigie api\n  \
        vigie api listen 127.0.0.1:7777\n  \
        vigie api token add grafana --read\n  \
        vigie api listen off\n  \
        vigie api openapi > openapi.json"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Serve it at a loopback port too, or no longer
    ///
    /// From now on and after every restart of the daemon. Port 0 takes one that is free, the same ever after. Any other
    /// address than a loopback one is refused: it would need TLS, which is not there.
    ///
    /// Exit code 1: somebody else has the port, 2: no loopback address.
    #[command(after_help = "Examples:\n  \
        vigie api listen 127.0.0.1:7777\n  \
        vigie api listen 127.0.0.1:0\n  \
        vigie api listen '[::1]:7777'\n  \
        vigie api listen off")]
    Listen {
        /// `127.0.0.1:PORT`, `[::1]:PORT`, or off
        #[arg(value_name = "ADDRESS", value_parser = address, help = "127.0.0.1:PORT, [::1]:PORT, or off")]
        address: Listen,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    Token(token::Args),
    /// Print the description of the API: OpenAPI 3.1, as JSON
    #[command(after_help = "Examples:\n  vigie api openapi > openapi.json")]
    Openapi,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listen {
    At(SocketAddr),
    Off,
}

fn address(text: &str) -> Result<Listen, String> {
    if text == "off" {
        return Ok(Listen::Off);
    }
    let text = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    let address: SocketAddr = text.parse().map_err(|_| "write it as 127.0.0.1:PORT, [::1]:PORT or off".to_owned())?;
    if !is_loopback(address.ip()) {
        return Err(format!(
            "{} can be reached from other machines, and the API has no TLS: only loopback addresses are served, as \
             127.0.0.1:{}; a tunnel such as 'ssh -L' or a proxy with TLS brings it elsewhere",
            address.ip(),
            address.port()
        ));
    }
    Ok(Listen::At(address))
}

/// Not one that only looks like it, as `::ffff:127.0.0.1` does.
fn is_loopback(ip: IpAddr) -> bool {
    ip.is_loopback()
}

pub(crate) fn run(args: &Args) -> Verdict {
    match &args.verb {
        None => show(args.json),
        Some(Verb::Listen { address, json }) => {
            let change = match address {
                Listen::At(address) => Change::Listen(*address),
                Listen::Off => Change::Off,
            };
            let access = change_it(change)?;
            if *json || args.json {
                return print_json(&access);
            }
            let text = match access.listen {
                Some(address) => format!("listens at http://{address}{}", needs_token(&access)),
                None => "listens at no port".to_owned(),
            };
            writeln!(std::io::stdout(), "{text}")?;
            Ok(0)
        }
        Some(Verb::Token(args)) => token::run(args),
        Some(Verb::Openapi) => {
            std::io::stdout().write_all(vigie_daemon::OPENAPI.as_bytes())?;
            Ok(0)
        }
    }
}

fn needs_token(access: &Access) -> &'static str {
    if access.tokens.is_empty() { "; 'vigie api token add NAME' makes the token that is needed there" } else { "" }
}

fn show(json: bool) -> Verdict {
    let place = context::place()?;
    let access = look(&place)?;
    if json {
        return print_json(&access);
    }
    let screen = Screen::stdout();
    let mut out = std::io::stdout().lock();
    writeln!(out, "socket  {}", place.daemon_socket().display())?;
    let (colour, port) = match (access.listen, access.listening, &access.why) {
        (None, ..) => (style::DIM, "none; 'vigie api listen 127.0.0.1:PORT' opens one".to_owned()),
        (Some(address), Some(true), _) => (style::GOOD, format!("http://{address}")),
        (Some(address), _, Some(why)) => {
            (style::BAD, format!("http://{address}, but {}; it is tried again", crate::out::safe(why)))
        }
        (Some(address), ..) => (style::WARN, format!("http://{address}, once the daemon runs")),
    };
    writeln!(out, "port    {}", screen.paint(colour, port))?;
    drop(out);
    token::list(&access, screen)?;
    Ok(0)
}

/// From the daemon, and without one as it is kept.
fn look(place: &Place) -> Result<Access, Failure> {
    let client = Client::new(place.daemon_socket());
    let asked = daemon::runtime()?
        .block_on(async { tokio::time::timeout(daemon::PATIENCE, client.get_json::<Access>(path::ACCESS)).await });
    match asked {
        Ok(Ok(access)) => Ok(access),
        Ok(Err(error)) if error.is_unreachable() => match Reader::open(&place.state) {
            Ok(reader) => Ok(vigie_daemon::kept_access(&reader)?),
            Err(vigie_store::Error::Absent { .. }) => {
                Ok(Access { schema: vigie_api::SCHEMA, listen: None, listening: None, why: None, tokens: Vec::new() })
            }
            Err(error) => Err(error.into()),
        },
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(daemon::silent(place)),
    }
}

/// Has the daemon change something; it is started when it is not there. As it is then.
fn change_it(change: Change) -> Result<Access, Failure> {
    let place = context::place()?;
    let request = Request { change, origin: context::origin(&context::proc()?)? };
    daemon::runtime()?.block_on(async {
        let client = daemon::connect(&place).await?;
        Ok(daemon::patiently(&place, &client, client.post_json(path::ACCESS, &request)).await??)
    })
}

fn print_json(value: &impl serde::Serialize) -> Verdict {
    let text = serde_json::to_string(value).map_err(|error| Failure::from(std::io::Error::from(error)))?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_at() {
        let at = |text: &str| address(text).map_err(|_| ());
        let good = |text: &str| Ok(Listen::At(text.parse().expect("an address")));
        assert_eq!(at("127.0.0.1:7777"), good("127.0.0.1:7777"));
        assert_eq!(at("127.8.9.10:0"), good("127.8.9.10:0"));
        assert_eq!(at("localhost:7777"), good("127.0.0.1:7777"));
        assert_eq!(at("[::1]:7777"), good("[::1]:7777"));
        assert_eq!(at("off"), Ok(Listen::Off));
        for refused in ["0.0.0.0:1", "[::]:1", "192.168.1.2:1", "[fe80::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(address(refused).is_err_and(|why| why.contains("TLS")), "{refused}");
        }
        for no_address in ["", "7777", "127.0.0.1", "example.com:1", "127.0.0.1:70000", "::1:1", "on"] {
            assert!(address(no_address).is_err_and(|why| why.contains("PORT")), "{no_address}");
        }
    }
}
