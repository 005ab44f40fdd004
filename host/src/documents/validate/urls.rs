//! URLs in documents: absolute, HTTP, without a password.

use url::Url;

use super::Issue;

/// Refuses a text that is not an absolute HTTP URL.
pub(super) fn url(pointer: &str, text: &str) -> Option<Issue> {
    let wrong = |detail: String| Some(Issue::new(pointer, "url.invalid", detail));
    let parsed = match Url::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => return wrong(format!("`{text}` is not an absolute URL: {error}")),
    };
    if !matches!(parsed.scheme(), "http" | "https") {
        return wrong(format!("`{text}` must begin with https:// or http://"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return wrong("a URL must not contain a user name or password; use `auth`".to_owned());
    }
    if parsed.fragment().is_some() {
        return wrong(format!("`{text}` must not have a fragment (`#…`)"));
    }
    None
}

/// Refuses a text that is not an absolute HTTP URL with exactly these placeholders after its host.
pub(super) fn template(pointer: &str, text: &str, placeholders: &[&str]) -> Option<Issue> {
    if let Some(issue) = url(pointer, text) {
        return Some(issue);
    }
    let wrong = |detail: String| Some(Issue::new(pointer, "url.invalid", detail));
    let behind_scheme = text.find("://").map_or(0, |at| at + 3);
    let path_at = text[behind_scheme..]
        .find(['/', '?'])
        .map_or(text.len(), |at| behind_scheme + at);
    if text[..path_at].contains(['{', '}']) {
        return wrong(format!("`{text}` must not have a placeholder in the host"));
    }
    for placeholder in placeholders {
        if !text.contains(placeholder) {
            return wrong(format!("`{text}` must contain {placeholder}"));
        }
    }
    let rest = placeholders
        .iter()
        .fold(text.to_owned(), |rest, placeholder| {
            rest.replace(placeholder, "")
        });
    if rest.contains(['{', '}']) {
        let known = if placeholders.is_empty() {
            "no placeholder is allowed here".to_owned()
        } else {
            format!("allowed are {}", placeholders.join(" and "))
        };
        return wrong(format!("`{text}` contains an unknown placeholder; {known}"));
    }
    None
}
