//! Compares the descriptions of two versions of a connector, for the person who activates the new
//! one.

use std::collections::BTreeSet;

use serde_json::Value;

use super::connector_description::{Description, HostNeed, TypeSupport};

/// How the needs and features of `new` differ from those of `old`, one sentence each. New needs
/// come first.
pub fn diff(old: &Description, new: &Description) -> Vec<String> {
    let compared: [Comparison; 6] = [
        ("it needs the host", "it no longer needs the host", hosts),
        (
            "it requires the setting",
            "it no longer requires the setting",
            required,
        ),
        (
            "it has the setting",
            "it no longer has the setting",
            settings,
        ),
        (
            "it supports the auth scheme",
            "it no longer supports the auth scheme",
            auth,
        ),
        ("it supports", "it no longer supports", work),
        ("it has the limit", "it no longer has the limit", limits),
    ];
    let mut found = Vec::new();
    for (more, less, names) in compared {
        let (old, new) = (names(old), names(new));
        found.extend(new.difference(&old).map(|name| format!("{more} `{name}`")));
        found.extend(old.difference(&new).map(|name| format!("{less} `{name}`")));
    }
    found
}

type Names = BTreeSet<String>;
/// The words for a gain and for a loss, and the names that are compared.
type Comparison = (&'static str, &'static str, fn(&Description) -> Names);

fn hosts(description: &Description) -> Names {
    let name = |need: &HostNeed| match need {
        HostNeed::Name(name) => name.clone(),
        HostNeed::Setting(setting) => format!("of the setting {setting}"),
    };
    description.hosts.iter().map(name).collect()
}

fn required(description: &Description) -> Names {
    let required = description
        .settings_schema
        .get("required")
        .and_then(Value::as_array);
    required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn settings(description: &Description) -> Names {
    let properties = description
        .settings_schema
        .get("properties")
        .and_then(Value::as_object);
    properties
        .into_iter()
        .flat_map(|properties| properties.keys().cloned())
        .collect()
}

fn auth(description: &Description) -> Names {
    description
        .auth_schemes
        .iter()
        .map(|auth| auth.scheme.clone())
        .collect()
}

fn work(description: &Description) -> Names {
    let of_type = |support: &TypeSupport| {
        let name = support.object_type.clone();
        support
            .actions
            .iter()
            .map(move |action| format!("{} {name}", action.as_str()))
            .collect::<Vec<_>>()
    };
    description.object_types.iter().flat_map(of_type).collect()
}

fn limits(description: &Description) -> Names {
    description
        .buckets
        .iter()
        .map(|bucket| bucket.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn diff_lists_needs_first_and_skips_equal_parts() {
        let old = Description {
            name: "shop".to_owned(),
            version: "1.0.0".to_owned(),
            title: "Shop".to_owned(),
            contract: "0.1".to_owned(),
            object_types: Vec::new(),
            buckets: Vec::new(),
            auth_schemes: Vec::new(),
            settings_schema: json!({ "properties": { "market": {}, "old": {} } }),
            hosts: Vec::new(),
            reusable: false,
            optional_exports: Vec::new(),
        };
        assert_eq!(diff(&old, &old), Vec::<String>::new());
        let new = Description {
            settings_schema: json!({ "required": ["market"], "properties": { "market": {} } }),
            hosts: vec![HostNeed::Name("api.example.com".to_owned())],
            ..old.clone()
        };
        let expected = [
            "it needs the host `api.example.com`",
            "it requires the setting `market`",
            "it no longer has the setting `old`",
        ];
        assert_eq!(diff(&old, &new), expected);
    }
}
