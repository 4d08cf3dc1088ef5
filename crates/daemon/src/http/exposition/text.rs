//! The text formats of Prometheus (0.0.4) and OpenMetrics (1.0.0), written family by family.

use std::fmt::{Display, Write as _};

/// The two formats. They differ in how counters are announced, and in how a text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// What is preferred by a header `Accept`. Quality is not weighed: whoever names OpenMetrics reads it.
    pub(super) fn of_accept(accept: &str) -> Self {
        let named = accept.split(',').any(|one| one.trim().starts_with("application/openmetrics-text"));
        if named { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The content type.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows. Its name ends with `_total`.
    Counter,
    /// It is what it is now.
    Gauge,
}

/// The text.
pub(super) struct Text {
    format: Format,
    text: String,
}

/// One family: every sample of it stands together.
pub(super) struct Family<'a> {
    text: &'a mut Text,
    name: &'static str,
    /// Name, kind and help; written with the first sample, since a family of none says nothing.
    head: Option<(Kind, &'static str)>,
}

impl Text {
    pub(super) fn new(format: Format) -> Self {
        Self { format, text: String::new() }
    }

    /// Begins a family.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) -> Family<'_> {
        Family { text: self, name, head: Some((kind, help)) }
    }

    /// A family of one sample without labels.
    pub(super) fn one(&mut self, name: &'static str, kind: Kind, help: &'static str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.family(name, kind, help).sample(&[], value);
        }
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Family<'_> {
    /// Adds a sample. Labels without a value are left out, as an empty one means the same.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.announce();
        let text = &mut self.text.text;
        text.push_str(self.name);
        let mut open = '{';
        for (name, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
            text.push(open);
            open = ',';
            let _ = write!(text, "{name}=\"");
            escape(text, value);
            text.push('"');
        }
        if open == ',' {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }

    fn announce(&mut self) {
        let Some((kind, help)) = self.head.take() else { return };
        let open_metrics = self.text.format == Format::OpenMetrics;
        let (name, kind) = match kind {
            // OpenMetrics names the family, and the sample has the suffix.
            Kind::Counter if open_metrics => (self.name.strip_suffix("_total").unwrap_or(self.name), "counter"),
            Kind::Counter => (self.name, "counter"),
            Kind::Gauge => (self.name, "gauge"),
        };
        let text = &mut self.text.text;
        let _ = writeln!(text, "# HELP {name} {help}");
        let _ = writeln!(text, "# TYPE {name} {kind}");
        let unit = ["bytes", "seconds", "ratio"].into_iter().find(|unit| name.ends_with(&format!("_{unit}")));
        if let Some(unit) = unit.filter(|_| open_metrics) {
            let _ = writeln!(text, "# UNIT {name} {unit}");
        }
    }
}

/// A value between quotes.
fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}
