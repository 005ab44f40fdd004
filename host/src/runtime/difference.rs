//! What a new version of a connector needs and offers that the last one did not, for the person who
//! activates it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::description::{Description, HostNeed};

/// The differences from `old` to `new`, one sentence each; what needs attention comes first.
pub(super) fn differences(old: &Description, new: &Description) -> Vec<String> {
    let mut found = Vec::new();
    compare(
        "it needs the host",
        "it no longer needs the host",
        &hosts(old),
        &hosts(new),
        &mut found,
    );
    compare(
        "it requires the setting",
        "it no longer requires the setting",
        &required(old),
        &required(new),
        &mut found,
    );
    compare(
        "it has the setting",
        "it no longer has the setting",
        &settings(old),
        &settings(new),
        &mut found,
    );
    compare(
        "it takes the auth scheme",
        "it no longer takes the auth scheme",
        &auth(old),
        &auth(new),
        &mut found,
    );
    compare(
        "it does",
        "it no longer does",
        &work(old),
        &work(new),
        &mut found,
    );
    compare(
        "it names the limit",
        "it no longer names the limit",
        &limits(old),
        &limits(new),
        &mut found,
    );
    found
}

type Names = BTreeSet<String>;

fn compare(more: &str, less: &str, old: &Names, new: &Names, found: &mut Vec<String>) {
    found.extend(new.difference(old).map(|name| format!("{more} `{name}`")));
    found.extend(old.difference(new).map(|name| format!("{less} `{name}`")));
}

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
    let of_type = |support: &super::description::TypeSupport| {
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
    fn needs_come_first_and_sameness_is_silent() {
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
        assert_eq!(differences(&old, &old), Vec::<String>::new());
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
        assert_eq!(differences(&old, &new), expected);
    }
}
