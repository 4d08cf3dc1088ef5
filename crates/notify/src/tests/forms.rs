//! URLs: what is understood, what is shown, what is said about the rest.

use super::*;
use crate::FORMS;

#[test]
fn what_is_shown_hides_what_is_secret() {
    for (url, kind, shown) in [
        ("https://h/hook/hunter2?k=hunter2", "webhook", "https://h/***"),
        ("http://u:hunter2@h:8080/", "webhook", "http://h:8080/"),
        ("webhook://h/hunter2", "webhook", "https://h/***"),
        ("command:/usr/bin/alert?arg=hunter2", "command", "command:/usr/bin/alert?arg=***"),
        ("smtp://anna:hunter2@h/?to=a@b,c@d&from=x@y", "smtp", "smtp://anna:***@h:587/?to=a@b,c@d"),
        ("smtps://h/?to=a@b", "smtp", "smtps://h:465/?to=a@b"),
        ("ntfy://ntfy.sh/hunter2", "ntfy", "ntfy://ntfy.sh/***"),
        ("ntfy://:hunter2@h:81/a/b?tls=off", "ntfy", "ntfy://h:81/***"),
        ("gotify://h/sub/hunter2", "gotify", "gotify://h/***"),
        ("slack://T/B/hunter2", "slack", "slack://***"),
        ("https://hooks.slack.com/services/T/B/hunter2", "slack", "slack://***"),
        ("discord://1/hunter2", "discord", "discord://***"),
        ("https://discord.com/api/webhooks/1/hunter2", "discord", "discord://***"),
        ("telegram://1:hunter2@-100/?thread=5", "telegram", "telegram://***@-100"),
        ("teams://h/workflows/hunter2?sig=hunter2", "teams", "teams://h/***"),
        ("mattermost://h/hooks/hunter2", "mattermost", "mattermost://h/***"),
        ("pushover://hunter2/hunter2", "pushover", "pushover://***"),
        ("apprise://h/hunter2?tag=x", "apprise", "apprise://h/***"),
        ("desktop:", "desktop", "desktop:"),
        ("syslog:", "syslog", "syslog:"),
        ("syslog://h", "syslog", "syslog://h:514"),
        ("journald:?socket=/x", "journald", "journald:?socket=/x"),
    ] {
        let channel = Channel::parse(url, false).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!((channel.kind(), channel.masked()), (kind, shown), "{url}");
        assert!(!format!("{channel:?}").contains("hunter2"));
    }
}

#[test]
fn what_is_wrong_is_said_with_the_form_and_without_the_secret() {
    for (url, word) in [
        ("hunter2", "no scheme"),
        ("nfty://h/hunter2", "write ntfy://"),
        ("gopher://hunter2/", "there is no kind \"gopher\""),
        ("ntfy://h", "the topic is missing"),
        ("ntfy:///hunter2", "the host is missing"),
        ("ntfy://h/hunter2?tsl=off", "no parameter \"tsl\""),
        ("ntfy://h/hunter2?tls=maybe", "tls is on or off"),
        ("ntfy://h/hunter2?private=yes", "allow or deny"),
        ("ntfy://h/hunter2?ca=x.pem", "whole path"),
        ("ntfy://h:99999/hunter2", "port"),
        ("gotify://h/", "token is missing"),
        ("slack://hunter2/", "three parts"),
        ("discord://hunter2", "token of the webhook"),
        ("telegram://hunter2", "token of the bot"),
        ("telegram://1:hunter2@c/?thread=x", "thread is a number"),
        ("teams://h", "path of the workflow"),
        ("mattermost://h", "key of the webhook"),
        ("pushover://hunter2", "key of the user"),
        ("apprise://h", "key of the configuration"),
        ("smtp://h/", "to= is missing"),
        ("smtp://h/?to=nobody", "\"nobody\" is no address"),
        ("smtp://u:hunter2@h/?to=a@b&tls=off", "not sent without TLS"),
        ("smtp://u@h/?to=a@b", "a user needs a password"),
        ("smtps://h/?to=a@b&tls=off", "smtps is always with TLS"),
        ("command:alert", "whole path"),
        ("syslog:?socket=log", "whole path"),
        ("slack://T/B/hunter2?api=ftp://x", "api is http"),
    ] {
        let error = Channel::parse(url, false).expect_err(url).to_string();
        assert!(error.contains(word), "{url}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

/// Every scheme of the list is one that is understood, and says its own form when it is not.
#[test]
fn every_form_is_listed() {
    for form in FORMS {
        let error = Channel::parse(&format!("{}://%zz/%zz?private=x", form.scheme), false).expect_err(form.scheme);
        assert!(error.form.is_none() || error.form == Some(form.form), "{}", form.scheme);
        let error = Channel::parse(&format!("{}://h/a/b/c?private=x", form.scheme), false).expect_err(form.scheme);
        assert_eq!(error.form, Some(form.form));
    }
}

#[test]
fn what_receivers_say_is_scrubbed() {
    let channel =
        Channel::parse("https://anna:hunter2pass@h/hook/hunter2path?sig=hunter2sig", false).expect("a channel");
    let basic = crate::text::base64(b"anna:hunter2pass");
    let said = format!("cannot POST /hook/hunter2path?sig=hunter2sig for anna hunter2pass ({basic})");
    let clean = channel.scrub(&said);
    assert_eq!(clean, "cannot POST /hook/***?sig=*** for anna *** (***)");
}

/// What cannot arrive is known before anything is sent, where the URL names an address; a name is judged when it is dialled.
#[test]
fn addresses_that_are_refused_are_known_before() {
    for (url, private, word) in [
        ("http://127.0.0.1:9000/x", false, Some("127.0.0.1 is this machine")),
        ("http://[::ffff:10.0.0.1]/x", false, Some("a private network")),
        ("ntfy://192.168.1.5/topic", false, Some("a private network")),
        ("smtp://LocalHost/?to=a@b", false, Some("this machine")),
        ("slack://T/B/K?api=http://mock.localhost:81", false, Some("this machine")),
        ("syslog://10.0.0.9", false, Some("a private network")),
        ("http://169.254.169.254/latest", false, Some("metadata")),
        ("http://127.0.0.1:9000/x", true, None),
        ("http://127.0.0.1/x?private=allow", false, None),
        ("http://1.1.1.1/x", false, None),
        ("http://localhost.example/x", false, None),
        ("command:/usr/bin/alert", false, None),
        ("syslog:", false, None),
    ] {
        let refused = Channel::parse(url, private).expect(url).refused();
        assert_eq!(refused.is_some(), word.is_some(), "{url}: {refused:?}");
        assert!(refused.unwrap_or_default().contains(word.unwrap_or_default()), "{url}");
    }
}
