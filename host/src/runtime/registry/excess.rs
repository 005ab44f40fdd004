//! What a description has too much of.

use super::connector_description::{Description, HostNeed};
use crate::runtime::DescriptionBounds;

/// The bounds that the description exceeds, one sentence each.
pub fn faults(description: &Description, bounds: &DescriptionBounds) -> Vec<String> {
    let mut faults = Vec::new();
    let mut bound = |what: &str, found: usize, most: usize, setting: &str| {
        if found > most {
            faults.push(format!(
                "{what}: {found}; the limit is {most} (see `runtime.description.{setting}`)"
            ));
        }
    };
    let types = &description.object_types;
    bound(
        "the characters of the title",
        description.title.chars().count(),
        bounds.max_title_chars,
        "max_title_chars",
    );
    bound(
        "the number of object types",
        types.len(),
        bounds.max_object_types,
        "max_object_types",
    );
    bound(
        "the number of references of one object type",
        longest(types.iter().map(|t| t.references.len())),
        bounds.max_references,
        "max_references",
    );
    bound(
        "the number of buckets",
        description.buckets.len(),
        bounds.max_buckets,
        "max_buckets",
    );
    bound(
        "the number of operations of one bucket",
        longest(description.buckets.iter().map(|b| b.operations.len())),
        bounds.max_buckets,
        "max_buckets",
    );
    bound(
        "the number of auth schemes",
        description.auth_schemes.len(),
        bounds.max_auth_schemes,
        "max_auth_schemes",
    );
    bound(
        "the number of secrets of one auth scheme",
        longest(description.auth_schemes.iter().map(|a| a.secrets.len())),
        bounds.max_auth_schemes,
        "max_auth_schemes",
    );
    bound(
        "the number of hosts",
        description.hosts.len(),
        bounds.max_hosts,
        "max_hosts",
    );
    bound(
        "the bytes of the longest text",
        longest(texts(description).map(str::len)),
        bounds.max_text_bytes,
        "max_text_bytes",
    );
    // Only if the parts are within their bounds, because it writes the whole description.
    if faults.is_empty() {
        let bytes = serde_json::to_vec(description).map_or(usize::MAX, |json| json.len());
        if bytes > bounds.max_bytes {
            faults.push(format!(
                "it has {bytes} bytes; the limit is {} (see `runtime.description.max_bytes`)",
                bounds.max_bytes
            ));
        }
    }
    faults
}

/// All texts except the title, schemas and examples.
fn texts(description: &Description) -> impl Iterator<Item = &str> {
    let types = description.object_types.iter().flat_map(|support| {
        let references = support.references.iter();
        let references = references.flat_map(|r| [&r.pointer, &r.object_type]);
        references.chain([&support.object_type])
    });
    let buckets = description.buckets.iter().flat_map(|bucket| {
        let named = [&bucket.name, &bucket.scope].into_iter();
        named.chain(&bucket.counts).chain(&bucket.operations)
    });
    let schemes = description.auth_schemes.iter();
    let schemes = schemes.flat_map(|auth| auth.secrets.iter().chain([&auth.scheme]));
    let hosts = description.hosts.iter().map(|need| match need {
        HostNeed::Name(text) | HostNeed::Setting(text) => text,
    });
    [&description.name, &description.version]
        .into_iter()
        .chain(types)
        .chain(buckets)
        .chain(schemes)
        .chain(hosts)
        .map(String::as_str)
}

fn longest(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::runtime::registry::check_description::tests::good;

    #[track_caller]
    fn refused(spoil: impl FnOnce(&mut Description), setting: &str) {
        let mut description = good();
        spoil(&mut description);
        let found = faults(&description, &DescriptionBounds::default());
        assert!(found.len() == 1 && found[0].contains(setting), "{found:?}");
    }

    fn repeat<T: Clone>(list: &mut Vec<T>, count: usize) {
        *list = vec![list[0].clone(); count];
    }

    #[test]
    fn excess_is_refused_with_its_setting() {
        assert_eq!(faults(&good(), &DescriptionBounds::default()), [""; 0]);
        refused(|d| d.title = "x".repeat(30_000_000), "max_title_chars");
        refused(|d| repeat(&mut d.object_types, 50_000), "max_object_types");
        refused(
            |d| repeat(&mut d.object_types[0].references, 201),
            "max_references",
        );
        refused(|d| repeat(&mut d.buckets, 201), "max_buckets");
        refused(
            |d| d.buckets[0].operations = vec![String::new(); 201],
            "max_buckets",
        );
        refused(|d| repeat(&mut d.auth_schemes, 51), "max_auth_schemes");
        refused(|d| repeat(&mut d.hosts, 201), "max_hosts");
        refused(
            |d| d.version = format!("1.0.0-{}", "1".repeat(1000)),
            "max_text_bytes",
        );
        refused(
            |d| d.settings_schema = json!({ "title": "x".repeat(1024 * 1024) }),
            "max_bytes",
        );
    }
}
