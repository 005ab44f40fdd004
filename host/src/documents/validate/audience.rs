//! Lists of the subscriptions that may use a document.

use super::Issue;
use super::name::name;
use crate::documents::audience::{ALL, Audience};
use crate::documents::model::{ChannelDocument, ConnectionDocument};

/// The problems of the list at `/subscriptions`. `may`: what the subscriptions may do.
pub(super) fn audience(audience: &Audience, may: &str) -> Vec<Issue> {
    let Audience::Named(names) = audience else {
        return Vec::new();
    };
    if names.is_empty() {
        let detail = format!(
            "list the subscriptions that may {may}: `subscriptions = [\"acme\"]`, or \
             `subscriptions = [\"*\"]` for all"
        );
        return vec![Issue::new("/subscriptions", "field.missing", detail)];
    }
    let issue = |(index, text): (usize, &String)| {
        let pointer = format!("/subscriptions/{index}");
        if text == ALL {
            let detail = "`*` stands for all subscriptions; it must be the only entry";
            return Some(Issue::new(pointer, "value.conflict", detail));
        }
        name(&pointer, text)
    };
    names.iter().enumerate().filter_map(issue).collect()
}

/// The problem of a connection whose channel does not list its subscription.
pub fn unlisted(channel: &ChannelDocument, connection: &ConnectionDocument) -> Option<Issue> {
    let subscription = &connection.subscription;
    (!channel.subscriptions.contains(subscription)).then(|| {
        let detail = format!(
            "channel `{}` does not list the subscription `{subscription}` in `subscriptions`",
            channel.name
        );
        Issue::new("/channel", "connection.unlisted", detail)
    })
}

/// The listed subscriptions that are not `known`.
pub fn unknown_members(audience: &Audience, known: impl Fn(&str) -> bool) -> Vec<Issue> {
    let unknown = audience
        .names()
        .iter()
        .enumerate()
        .filter(|(_, name)| !known(name));
    unknown
        .map(|(index, name)| {
            Issue::new(
                format!("/subscriptions/{index}"),
                "reference.missing",
                format!("unknown subscription `{name}`"),
            )
        })
        .collect()
}
