//! URLs apart, as far as channels need it (RFC 3986).

/// The parts of a URL, decoded.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Url {
    pub(crate) scheme: String,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// As it was written, from its slash on.
    pub(crate) path: String,
    /// In their order.
    pub(crate) query: Vec<(String, String)>,
}

impl Url {
    /// Takes a URL apart. `what:` stands for `what://`.
    ///
    /// # Errors
    /// What is wrong with it, without repeating any of it: it may hold a secret.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("it holds a space or a control character; write %20 for a space".to_owned());
        }
        let scheme_end = text.find(':').ok_or("it has no scheme, as in ntfy://…")?;
        let (scheme, rest) = (text[..scheme_end].to_ascii_lowercase(), &text[scheme_end + 1..]);
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        let mut url = Self { scheme, path: path.to_owned(), ..Self::default() };
        let (userinfo, place) = match authority.rsplit_once('@') {
            Some((userinfo, place)) => (Some(userinfo), place),
            None => (None, authority),
        };
        if let Some(userinfo) = userinfo {
            let (user, password) = userinfo.split_once(':').map_or((userinfo, None), |(user, rest)| (user, Some(rest)));
            url.user = Some(decode(user)?);
            url.password = password.map(decode).transpose()?;
        }
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or("an IPv6 address ends with ]")?;
                (host, rest.strip_prefix(':'))
            }
            None => place.rsplit_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        url.host = decode(host)?;
        url.port = match port.filter(|port| !port.is_empty()) {
            Some(port) => Some(port.parse().map_err(|_| "after the host comes a port, a number up to 65535")?),
            None => None,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            url.query.push((decode(key)?, decode(value)?));
        }
        Ok(url)
    }

    /// The parts of the path, decoded, without empty ones.
    ///
    /// # Errors
    /// When an escape is wrong.
    pub(crate) fn segments(&self) -> Result<Vec<String>, String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(decode).collect()
    }

    /// Takes a parameter out of the query.
    pub(crate) fn take(&mut self, key: &str) -> Option<String> {
        let place = self.query.iter().position(|(name, _)| name == key)?;
        Some(self.query.remove(place).1)
    }

    /// The query as it is written behind `?`; empty when there is none.
    pub(crate) fn written_query(&self) -> String {
        let pairs = self.query.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value)));
        pairs.collect::<Vec<_>>().join("&")
    }
}

/// Reads `%20` and the like.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(value.ok_or("after % come two hexadecimal digits; write %25 for the sign itself")?);
        rest = &behind[2..];
    }
    String::from_utf8(bytes).map_err(|_| "its escapes are not UTF-8".to_owned())
}

/// Writes what may not stand in a URL as `%20` and the like.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part() {
        let url = Url::parse("SMTP://an%40a:p%3Ass@mail.example:587/x/%2Fy?to=a%20b&to=c&flag#end").expect("a URL");
        assert_eq!((url.scheme.as_str(), url.host.as_str(), url.port), ("smtp", "mail.example", Some(587)));
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("an@a"), Some("p:ss")));
        assert_eq!(url.segments().expect("decoded"), ["x", "/y"]);
        assert_eq!(url.written_query(), "to=a%20b&to=c&flag=");
        let mut url = url;
        assert_eq!((url.take("to"), url.take("to"), url.take("to")), (Some("a b".into()), Some("c".into()), None));
        let url = Url::parse("http://[::1]:80").expect("a URL");
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("::1", Some(80), ""));
        assert_eq!(Url::parse("desktop:").map(|url| url.scheme), Ok("desktop".to_owned()));
        assert_eq!(Url::parse("command:/bin/x?arg=1").map(|url| url.path), Ok("/bin/x".to_owned()));
    }

    #[test]
    fn errors_repeat_nothing() {
        for bad in
            ["", "hunter2", "ntfy://h:hunter2/x", "ntfy://h/%zz-hunter2", "http://[::1/hunter2", "x://a b/hunter2"]
        {
            let error = Url::parse(bad).and_then(|url| url.segments()).expect_err(bad);
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
