//! What a journal does not show.

use super::{BoundaryAnswer, BoundaryCall, SeenContainer, SeenRecord, WrittenEntry};
use crate::model::{ErrorCode, bounded_text};

/// A shorter value of a setting, such as a number of days, is no secret, and would be found everywhere.
const SECRET_BYTES: usize = 6;
const HIDDEN: &str = "***";

/// Keeps the values of settings, and passwords in URLs, out of a journal: where a policy passes one on, in a log line,
/// an entry or a reason, `***` stands in its place.
///
/// It knows a value as it stands, not what a policy has made of it.
#[derive(Debug, Clone, Default)]
pub struct Veil {
    /// The longest first, so that one that contains another goes as a whole.
    secrets: Vec<String>,
}

impl Veil {
    /// Hides these settings' values.
    pub fn over<'v>(values: impl Iterator<Item = &'v str>) -> Self {
        let secret = |value: &&str| value.len() >= SECRET_BYTES;
        let mut secrets: Vec<_> = values.filter(secret).map(str::to_owned).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets }
    }

    /// A text of the policy's.
    ///
    /// What is secret is looked for before the text is cut, or else its beginning would stay.
    pub fn text(&self, text: &str, max: usize) -> String {
        let bare = self.secrets.iter().fold(without_passwords(text), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), HIDDEN) } else { text }
        });
        bounded_text(&bare, max)
    }

    /// The same of a text that there may be.
    pub fn maybe(&self, text: Option<&str>, max: usize) -> Option<String> {
        text.map(|text| self.text(text, max))
    }

    /// A policy's own code.
    pub fn code(&self, code: &ErrorCode) -> ErrorCode {
        let told = self.secrets.iter().any(|secret| code.as_str().contains(secret.as_str()));
        let hidden = || ErrorCode::parse("hidden").unwrap_or(ErrorCode::INTERNAL_ERROR);
        if told { hidden() } else { code.clone() }
    }

    /// A call's arguments.
    pub fn call(&self, call: BoundaryCall) -> BoundaryCall {
        const BYTES: usize = 1024;
        const CONTEXT_BYTES: usize = 64;
        let text = |text: String| self.text(&text, BYTES);
        match call {
            BoundaryCall::UpdateStatus { expected_status, expected_container_id, new_status } => {
                BoundaryCall::UpdateStatus {
                    expected_status: text(expected_status),
                    expected_container_id: expected_container_id.map(text),
                    new_status: text(new_status),
                }
            }
            BoundaryCall::Inspect { container_id } => BoundaryCall::Inspect { container_id: text(container_id) },
            BoundaryCall::Remove { container_id } => BoundaryCall::Remove { container_id: text(container_id) },
            BoundaryCall::Append(entry) => BoundaryCall::Append(WrittenEntry {
                outcome: entry.outcome,
                error_code: entry.error_code.map(text),
                message: entry.message.map(text),
                container_id: entry.container_id.map(text),
                image_ref: entry.image_ref.map(text),
            }),
            BoundaryCall::Setting { name } => BoundaryCall::Setting { name: text(name) },
            BoundaryCall::Log { level, context, message } => {
                BoundaryCall::Log { level, context: self.text(&context, CONTEXT_BYTES), message: text(message) }
            }
            plain => plain,
        }
    }

    /// An answer's labels and images, which are not the policy's: only passwords are taken out.
    pub fn answer(&self, answer: BoundaryAnswer) -> BoundaryAnswer {
        match answer {
            BoundaryAnswer::Record(record) => BoundaryAnswer::Record(Box::new(record.without_passwords())),
            BoundaryAnswer::Container(container) => BoundaryAnswer::Container(Box::new(container.without_passwords())),
            plain => plain,
        }
    }
}

impl SeenRecord {
    /// The same without passwords in URLs.
    #[must_use]
    pub fn without_passwords(mut self) -> Self {
        self.image_ref = self.image_ref.map(|image| without_passwords(&image));
        self.labels.values_mut().for_each(|value| *value = without_passwords(value));
        self
    }
}

impl SeenContainer {
    /// The same without passwords in URLs.
    #[must_use]
    pub fn without_passwords(mut self) -> Self {
        self.image = without_passwords(&self.image);
        self.labels.values_mut().for_each(|value| *value = without_passwords(value));
        self
    }
}

/// The user part of every `scheme://user:password@host` goes.
fn without_passwords(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority);
    let host = authority.rsplit_once('@').map(|(_, host)| format!("{HIDDEN}@{host}"));
    format!("{scheme}://{}{}", host.as_deref().unwrap_or(authority), without_passwords(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_settings_are_hidden_as_a_whole_and_wherever_the_text_is_cut() {
        let veil = Veil::over(["hunter2-x", "hunter2-x-long", "3"].into_iter());
        assert_eq!(veil.text("token hunter2-x-long, then hunter2-x; 3 days", 100), "token ***, then ***; 3 days");
        assert_eq!(veil.text("0123456789 hunter2-x", 14), "0123456789 ***");
        let code = |text: &str| ErrorCode::parse(text).unwrap();
        assert_eq!(Veil::over(["abcdef"].into_iter()).code(&code("leak_abcdef")).as_str(), "hidden");
        assert_eq!(veil.code(&ErrorCode::CONFLICT), ErrorCode::CONFLICT);
    }

    #[test]
    fn passwords_in_urls_are_hidden_and_the_rest_stays() {
        for (text, shown) in [
            ("https://joe:pw@host/p?x=a@b", "https://***@host/p?x=a@b"),
            ("see a://u:p@h and b://k:q@i/", "see a://***@h and b://***@i/"),
            ("registry.example/game@sha256:00", "registry.example/game@sha256:00"),
            ("http://h/x", "http://h/x"),
            ("://", "://"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }
}
