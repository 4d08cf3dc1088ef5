//! E-mail: a letter, and the conversation that hands it over (RFC 5321, RFC 5322).
//!
//! Not by a library: `lettre` believes after STARTTLS what it had read before (ARCHITECTURE.md, where channels are told of).

use std::io::{BufRead as _, BufReader, Write as _};

use vigie_core::incidents::Message;

use crate::dial::{Failed, Place, Reach, Stream};
use crate::text::{base64, details, timestamp, title};
use crate::until::Until;
use crate::url::Url;

/// When the connection becomes secure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    /// From the beginning.
    Always,
    /// After STARTTLS, or nothing is sent.
    Upgraded,
    /// Never.
    Off,
}

/// A mail server, and to whom.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Mail {
    place: Place,
    security: Security,
    login: Option<(String, String)>,
    from: String,
    to: Vec<String>,
}

/// More of an answer is not read, in bytes: no server says so much in one line.
const LINE: usize = 4096;

impl Mail {
    /// Where the server is.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn parse(url: &mut Url, reach: &Reach) -> Result<(Self, String), String> {
        if url.host.is_empty() {
            return Err("the host is missing".to_owned());
        }
        let tls = url.take("tls");
        let security = match (url.scheme.as_str(), tls.as_deref()) {
            ("smtps", None | Some("on")) => Security::Always,
            ("smtp", None | Some("on")) => Security::Upgraded,
            ("smtp", Some("off")) => Security::Off,
            _ => return Err("tls is on or off, and smtps is always with TLS".to_owned()),
        };
        let usual = if security == Security::Always { 465 } else { 587 };
        let to: Vec<String> = url.take("to").unwrap_or_default().split(',').map(|one| one.trim().to_owned()).collect();
        let from = url.take("from").or_else(|| url.user.clone().filter(|user| user.contains('@')));
        let from = from.unwrap_or_else(|| to[0].clone());
        if let Some(bad) = to.iter().chain([&from]).find(|address| !is_address(address)) {
            return Err(if bad.is_empty() {
                "to= is missing: whom it is for".to_owned()
            } else {
                format!("{bad:?} is no address")
            });
        }
        let login = match (url.user.clone(), url.password.clone()) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            _ => return Err("a user needs a password".to_owned()),
        };
        if login.is_some() && security == Security::Off && !reach.private {
            return Err("a password is not sent without TLS over the internet; leave out tls=off".to_owned());
        }
        let place = Place { host: url.host.clone(), port: url.port.unwrap_or(usual), reach: reach.clone() };
        let who = login.as_ref().map(|(user, _)| format!("{user}:***@")).unwrap_or_default();
        let shown = format!("{}://{who}{place}/?to={}", url.scheme, to.join(","));
        Ok((Self { place, security, login, from, to }, shown))
    }

    /// Hands the letter over. What the server said at last.
    pub(crate) fn send(&self, message: &Message, host: &str, until: Until) -> Result<String, Failed> {
        let mut stream = Stream::connect(&self.place, until)?;
        if self.security == Security::Always {
            stream = stream.secure(&self.place)?;
        }
        let mut talk = Talk { stream: BufReader::new(stream), name: self.place.to_string() };
        talk.expect("", "220")?;
        let mut offers = talk.hello()?;
        if self.security == Security::Upgraded {
            if !offers.iter().any(|offer| offer == "STARTTLS") {
                let why = "does not offer STARTTLS, and nothing is sent without TLS; tls=off sends all the same";
                return Err(Failed::Never(format!("{} {why}", self.place)));
            }
            talk.expect("STARTTLS", "220")?;
            // What was read ahead came before there was TLS: nobody's word is taken for it.
            let stream = talk.stream.into_inner().secure(&self.place)?;
            talk = Talk { stream: BufReader::new(stream), name: talk.name };
            offers = talk.hello()?;
        }
        if let Some((user, password)) = &self.login {
            talk.login(&offers, user, password)?;
        }
        talk.expect(&format!("MAIL FROM:<{}>", self.from), "250")?;
        for to in &self.to {
            talk.expect(&format!("RCPT TO:<{to}>"), "25")?;
        }
        talk.expect("DATA", "354")?;
        let answer = talk.expect(&format!("{}\r\n.", stuffed(&self.letter(message, host))), "250")?;
        // It has the letter; how it says goodbye does not matter.
        let _ = talk.expect("QUIT", "221");
        Ok(answer)
    }

    fn letter(&self, message: &Message, host: &str) -> String {
        let date = timestamp(message.at)
            .and_then(|at| jiff::fmt::rfc2822::to_string(&at.to_zoned(jiff::tz::TimeZone::UTC)).ok());
        let domain = self.from.rsplit('@').next().unwrap_or("localhost");
        let title = title(message, host);
        let mut letter = String::new();
        let mut header = |name: &str, value: &str| letter.push_str(&format!("{name}: {value}\r\n"));
        header("Date", &date.unwrap_or_default());
        header("From", &format!("vigie <{}>", self.from));
        header("To", &self.to.join(", "));
        header("Subject", &encoded_words(&title));
        header("Message-ID", &format!("<{}@{domain}>", message.key));
        // No answering machine answers.
        header("Auto-Submitted", "auto-generated");
        header("MIME-Version", "1.0");
        header("Content-Type", "text/plain; charset=utf-8");
        header("Content-Transfer-Encoding", "base64");
        letter.push_str("\r\n");
        let body = base64(format!("{title}\n\n{}\n", details(message, host)).as_bytes());
        for line in body.as_bytes().chunks(76) {
            letter.push_str(&String::from_utf8_lossy(line));
            letter.push_str("\r\n");
        }
        letter.truncate(letter.len() - 2);
        letter
    }
}

/// Enough of one to be no command of its own.
fn is_address(text: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"<>,;\"\\".contains(c);
    text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty()) && text.chars().all(plain)
}

/// A line that begins with a dot gets another one (RFC 5321, 4.5.2).
fn stuffed(letter: &str) -> String {
    letter
        .split("\r\n")
        .map(|line| if line.starts_with('.') { format!(".{line}") } else { line.to_owned() })
        .collect::<Vec<_>>()
        .join("\r\n")
}

/// A header that may hold any text (RFC 2047). Each word has at most 75 characters.
fn encoded_words(text: &str) -> String {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if word.len() + c.len_utf8() > 45 {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    words.iter().map(|word| format!("=?utf-8?B?{}?=", base64(word.as_bytes()))).collect::<Vec<_>>().join("\r\n ")
}

/// The conversation.
struct Talk {
    stream: BufReader<Stream>,
    name: String,
}

impl Talk {
    /// Says a line, unless it is empty, and reads the answer, which must begin so.
    fn expect(&mut self, say: &str, begin: &str) -> Result<String, Failed> {
        let answer = self.ask(say)?;
        if answer.starts_with(begin) {
            return Ok(answer);
        }
        // What was said may be a password: only commands are repeated.
        let known = ["STARTTLS", "AUTH", "MAIL", "RCPT", "DATA"].into_iter().find(|verb| say.starts_with(verb));
        let what = known.unwrap_or("what it was told");
        let why = format!("{} answered {what} with {answer}", self.name);
        Err(if answer.starts_with('5') { Failed::Never(why) } else { Failed::Later(why) })
    }

    fn ask(&mut self, say: &str) -> Result<String, Failed> {
        let failed = |error| Failed::io(&self.name)(error);
        if !say.is_empty() {
            let stream = self.stream.get_mut();
            stream.write_all(format!("{say}\r\n").as_bytes()).and_then(|()| stream.flush()).map_err(failed)?;
        }
        Ok(self.answer()?.join(" / "))
    }

    /// All lines of an answer: `250-…` until `250 …`.
    fn answer(&mut self) -> Result<Vec<String>, Failed> {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let mut line = Vec::new();
            let mut limited = std::io::Read::take(&mut self.stream, LINE as u64);
            limited.read_until(b'\n', &mut line).map_err(Failed::io(&self.name))?;
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if !text.as_bytes().get(..3).is_some_and(|code| code.iter().all(u8::is_ascii_digit)) {
                return Err(Failed::Later(format!("{} is no mail server, or closed the connection", self.name)));
            }
            let last = text.as_bytes().get(3) != Some(&b'-');
            lines.push(if lines.is_empty() { text } else { text.get(4..).unwrap_or_default().to_owned() });
            if last {
                return Ok(lines);
            }
            if lines.len() > 100 {
                return Err(Failed::Later(format!("{} talks without end", self.name)));
            }
        }
    }

    /// What the server offers, in capital letters.
    fn hello(&mut self) -> Result<Vec<String>, Failed> {
        let stream = self.stream.get_mut();
        // Our own name is nobody's business, and need not be one that others can resolve.
        let said = stream.write_all(b"EHLO [127.0.0.1]\r\n").and_then(|()| stream.flush());
        said.map_err(Failed::io(&self.name))?;
        let lines = self.answer()?;
        if !lines[0].starts_with("250") {
            return Err(Failed::Never(format!("{} answered EHLO with {}", self.name, lines[0])));
        }
        Ok(lines.into_iter().skip(1).map(|line| line.to_ascii_uppercase()).collect())
    }

    fn login(&mut self, offers: &[String], user: &str, password: &str) -> Result<(), Failed> {
        let ways = offers.iter().find_map(|offer| offer.strip_prefix("AUTH ")).unwrap_or_default();
        if ways.split(' ').any(|way| way == "PLAIN") {
            self.expect(&format!("AUTH PLAIN {}", base64(format!("\0{user}\0{password}").as_bytes())), "235")?;
        } else if ways.split(' ').any(|way| way == "LOGIN") {
            self.expect("AUTH LOGIN", "334")?;
            self.expect(&base64(user.as_bytes()), "334")?;
            self.expect(&base64(password.as_bytes()), "235")?;
        } else {
            return Err(Failed::Never(format!("{} takes no password (it offers: AUTH {ways})", self.name)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_can_hold_anything() {
        assert_eq!(stuffed(".a\r\nb\r\n..c"), "..a\r\nb\r\n...c");
        assert_eq!(encoded_words("ä\r\nBcc: x"), format!("=?utf-8?B?{}?=", base64("äBcc: x".as_bytes())));
        let long = encoded_words(&"ü".repeat(100));
        assert!(long.lines().all(|line| line.trim().len() <= 75), "{long}");
    }

    #[test]
    fn who_it_is_for_is_no_command() {
        for (address, good) in
            [("a@b", true), ("a+x@b.c", true), ("a", false), ("a@b>\r\nDATA", false), ("<a@b>", false), ("@b", false)]
        {
            assert_eq!(is_address(address), good, "{address:?}");
        }
    }
}
