//! Checks a connector's description, and lists all of its faults at once, one sentence each.

use std::collections::HashSet;

use egression_core::domain::action::Action;
use semver::Version;
use serde_json::Value;

use super::connector_description::{
    BodyFormat, Bucket, BucketKind, Description, HostNeed, TypeSupport,
};
use super::excess;
use crate::runtime::DescriptionBounds;
use crate::schemas::{Schema, SchemaBounds, SchemaFault, Verdict};

const MAX_NAME_CHARS: usize = 64;
/// The shortest window with an anchor, because clocks only agree to some milliseconds.
const MIN_FIXED_WINDOW_MS: u64 = 1000;
const STANDARD_BODIES: [&str; 1] = ["standard@0.1"];

/// The faults of the description, one sentence each. One that exceeds its bounds is not looked at
/// in detail.
pub fn faults(
    description: &Description,
    bounds: &DescriptionBounds,
    schemas: &SchemaBounds,
) -> Vec<String> {
    let mut faults = excess::faults(description, bounds);
    if !faults.is_empty() {
        return faults;
    }
    if !is_name(&description.name, |c| c == '-') {
        faults.push(format!(
            "the name `{}` must have at most {MAX_NAME_CHARS} lower-case letters, digits and \
             hyphens",
            description.name
        ));
    }
    if let Err(error) = Version::parse(&description.version) {
        faults.push(format!(
            "the version `{}` is not a semantic version such as `1.4.0`: {error}",
            description.version
        ));
    }
    let settings_ok = match Schema::read(&description.settings_schema, schemas) {
        Ok(_) => true,
        Err(fault) => {
            faults.push(refused("the settings schema", &fault));
            false
        }
    };
    if description.object_types.is_empty() {
        faults.push("it delivers no object type".to_owned());
    }
    repeated(
        "object type",
        description
            .object_types
            .iter()
            .map(|t| t.object_type.as_str()),
        &mut faults,
    );
    repeated(
        "bucket",
        description.buckets.iter().map(|b| b.name.as_str()),
        &mut faults,
    );
    repeated(
        "auth scheme",
        description.auth_schemes.iter().map(|a| a.scheme.as_str()),
        &mut faults,
    );
    for support in &description.object_types {
        type_support(support, schemas, &mut faults);
    }
    let settings = settings_ok
        .then(|| properties(&description.settings_schema))
        .flatten();
    for limit in &description.buckets {
        bucket(limit, settings.as_ref(), &mut faults);
    }
    for need in &description.hosts {
        host_need(need, settings.as_ref(), &mut faults);
    }
    faults
}

fn type_support(support: &TypeSupport, schemas: &SchemaBounds, faults: &mut Vec<String>) {
    let name = &support.object_type;
    if !is_name(name, |c| c == '-' || c == '_') {
        faults.push(format!(
            "the object type `{name}` must be lower-case letters, digits, hyphens and underscores"
        ));
    }
    if support.actions.is_empty() {
        faults.push(format!("`{name}` has no action"));
    }
    repeated(
        &format!("action of `{name}`"),
        support.actions.iter().map(|action| action.as_str()),
        faults,
    );
    for action in support
        .idempotent_actions
        .iter()
        .filter(|action: &&Action| !support.actions.contains(action))
    {
        faults.push(format!(
            "`{name}` declares `{}` as idempotent, but not as an action",
            action.as_str()
        ));
    }
    for (bound, value) in [
        ("max-items", u64::from(support.max_items)),
        ("max-bytes", support.max_bytes),
    ] {
        if value == 0 {
            faults.push(format!("`{bound}` of `{name}` is 0; it must be at least 1"));
        }
    }
    for reference in &support.references {
        if !is_pointer(&reference.pointer) {
            faults.push(format!(
                "the reference `{}` of `{name}` is not a JSON pointer (RFC 6901)",
                reference.pointer
            ));
        }
    }
    body(support, schemas, faults);
}

fn body(support: &TypeSupport, schemas: &SchemaBounds, faults: &mut Vec<String>) {
    let name = &support.object_type;
    let example = serde_json::from_str::<Value>(&support.example);
    // The standard bodies come with examples.
    let may_lack = matches!(support.body, BodyFormat::Standard(_)) && support.example.is_empty();
    if let (Err(error), false) = (&example, may_lack) {
        faults.push(format!("the example of `{name}` is not JSON: {error}"));
    }
    match &support.body {
        BodyFormat::Standard(standard) if !STANDARD_BODIES.contains(&standard.as_str()) => {
            faults.push(format!(
                "`{name}` has the standard body `{standard}`, which this host does not support"
            ));
        }
        BodyFormat::Standard(_) => {}
        BodyFormat::JsonSchema(body) => match (Schema::read(body, schemas), example) {
            (Err(fault), _) => {
                faults.push(refused(&format!("the body schema of `{name}`"), &fault));
            }
            (Ok(schema), Ok(example)) => match schema.judge(&example, 1) {
                Verdict::Valid => {}
                Verdict::Invalid(violations) => {
                    let text = violations.first().map_or("", |violation| &violation.text);
                    faults.push(format!(
                        "the example of `{name}` is not valid against its own schema: {text}"
                    ));
                }
                Verdict::TooCostly { max_steps } => faults.push(format!(
                    "the schema of `{name}` takes more than {max_steps} steps to evaluate its own \
                     example (see `runtime.schemas.max_steps`)"
                )),
            },
            (Ok(_), Err(_)) => {}
        },
    }
}

fn refused(what: &str, fault: &SchemaFault) -> String {
    format!("{what} is not a JSON Schema (draft 2020-12) that the host evaluates, {fault}")
}

fn bucket(bucket: &Bucket, settings: Option<&HashSet<String>>, faults: &mut Vec<String>) {
    let name = &bucket.name;
    match bucket.scope.split_once(':') {
        Some(("setting", setting)) => {
            known_setting(&format!("the bucket `{name}`"), setting, settings, faults);
        }
        None if ["connection", "channel", "connector"].contains(&bucket.scope.as_str()) => {}
        _ => faults.push(format!(
            "the scope `{}` of the bucket `{name}` must be `connection`, `channel`, `connector` or \
             `setting:NAME`",
            bucket.scope
        )),
    }
    let admits_nothing = match bucket.kind {
        BucketKind::TokenBucket {
            rate,
            per_ms,
            burst,
        } => rate == 0 || per_ms == 0 || burst == 0,
        BucketKind::Window { max, window_ms, .. } => max == 0 || window_ms == 0,
        BucketKind::Concurrency { max } => max == 0,
        BucketKind::MinInterval { interval_ms } => interval_ms == 0,
    };
    if let BucketKind::Window {
        window_ms,
        anchor: Some(_),
        ..
    } = bucket.kind
        && window_ms < MIN_FIXED_WINDOW_MS
    {
        faults.push(format!(
            "the bucket `{name}` has an anchor, but a window of less than {MIN_FIXED_WINDOW_MS} ms"
        ));
    }
    match &bucket.counts {
        Some(_)
            if matches!(
                bucket.kind,
                BucketKind::Concurrency { .. } | BucketKind::MinInterval { .. }
            ) =>
        {
            faults.push(format!(
                "the bucket `{name}` counts a cost, which only a token bucket and a window can do"
            ));
        }
        Some(cost) if !is_name(cost, |c| matches!(c, '_' | '-' | '.')) => {
            faults.push(format!(
                "the cost `{cost}` of the bucket `{name}` is not a name of lower-case letters, \
                 digits, `_`, `-` and `.`"
            ));
        }
        _ => {}
    }
    if admits_nothing {
        faults.push(format!("a number of the bucket `{name}` is 0"));
    }
}

fn host_need(need: &HostNeed, settings: Option<&HashSet<String>>, faults: &mut Vec<String>) {
    match need {
        HostNeed::Setting(setting) => known_setting("a host", setting, settings, faults),
        HostNeed::Name(name) => {
            let suffix = name.strip_prefix("*.");
            let labels: Vec<&str> = suffix.unwrap_or(name).split('.').collect();
            let spelled = labels.iter().all(|label| {
                !label.is_empty()
                    && label
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            });
            if !spelled || (suffix.is_some() && labels.len() < 2) {
                faults.push(format!(
                    "the host `{name}` must be a lower-case name, or `*.` and a suffix of two \
                     labels or more"
                ));
            }
        }
    }
}

fn known_setting(
    what: &str,
    setting: &str,
    settings: Option<&HashSet<String>>,
    faults: &mut Vec<String>,
) {
    if settings.is_some_and(|settings| !settings.contains(setting)) {
        faults.push(format!(
            "{what} refers to the setting `{setting}`, which is not in the settings schema"
        ));
    }
}

/// The names of the settings; none if the schema does not list them.
fn properties(schema: &Value) -> Option<HashSet<String>> {
    schema
        .get("properties")?
        .as_object()
        .map(|properties| properties.keys().cloned().collect())
}

fn repeated<'a>(what: &str, names: impl Iterator<Item = &'a str>, faults: &mut Vec<String>) {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            faults.push(format!("the {what} `{name}` is declared twice"));
        }
    }
}

fn is_name(name: &str, extra: impl Fn(char) -> bool) -> bool {
    name.chars().count() <= MAX_NAME_CHARS
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || extra(c))
}

fn is_pointer(text: &str) -> bool {
    let escapes_ok = text
        .split('~')
        .skip(1)
        .all(|after| after.starts_with(['0', '1']));
    text.starts_with('/') && escapes_ok
}

#[cfg(test)]
pub(super) mod tests {
    use egression_core::time::Wall;
    use serde_json::json;

    use super::{
        Action, BodyFormat, Bucket, BucketKind, Description, DescriptionBounds, HostNeed,
        SchemaBounds, TypeSupport, faults,
    };
    use crate::runtime::registry::connector_description::{AuthScheme, ReferencePointer};

    pub(in crate::runtime::registry) fn good() -> Description {
        Description {
            name: "a-shop".to_owned(),
            version: "1.0.0".to_owned(),
            title: "A shop".to_owned(),
            contract: "0.1".to_owned(),
            object_types: vec![TypeSupport {
                object_type: "product".to_owned(),
                actions: vec![Action::Upsert],
                idempotent_actions: vec![Action::Upsert],
                max_items: 1,
                max_bytes: 1,
                max_in_flight: 0,
                max_wait_ms: 0,
                mixed_actions: false,
                in_order: false,
                atomic: false,
                replaces: true,
                requests_per_call: 1,
                body: BodyFormat::JsonSchema(json!({ "type": "object" })),
                example: "{}".to_owned(),
                references: vec![ReferencePointer {
                    pointer: "/categories/*".to_owned(),
                    object_type: "category".to_owned(),
                }],
            }],
            buckets: vec![Bucket {
                name: "api".to_owned(),
                scope: "setting:base_url".to_owned(),
                kind: BucketKind::Concurrency { max: 2 },
                counts: None,
                operations: Vec::new(),
            }],
            auth_schemes: vec![AuthScheme {
                scheme: "none".to_owned(),
                secrets: Vec::new(),
            }],
            settings_schema: json!({
                "type": "object",
                "properties": { "base_url": { "type": "string" } }
            }),
            hosts: vec![
                HostNeed::Setting("base_url".to_owned()),
                HostNeed::Name("*.example.com".to_owned()),
            ],
            reusable: false,
            optional_exports: Vec::new(),
        }
    }

    fn check(description: &Description) -> Vec<String> {
        faults(
            description,
            &DescriptionBounds::default(),
            &SchemaBounds::default(),
        )
    }

    #[track_caller]
    fn refused(spoil: impl FnOnce(&mut Description), word: &str) {
        let mut description = good();
        spoil(&mut description);
        let found = check(&description);
        assert!(found.len() == 1 && found[0].contains(word), "{found:?}");
    }

    #[test]
    fn description_without_faults_passes() {
        assert_eq!(check(&good()), Vec::<String>::new());
    }

    #[test]
    fn description_faults_are_named() {
        refused(|d| d.name = "A_Shop".to_owned(), "name `A_Shop`");
        refused(|d| d.version = "1".to_owned(), "semantic version");
        refused(|d| d.object_types.clear(), "no object type");
        refused(
            |d| d.object_types.push(d.object_types[0].clone()),
            "`product` is declared twice",
        );
        refused(|d| d.object_types[0].max_items = 0, "max-items");
        refused(
            |d| d.object_types[0].idempotent_actions = vec![Action::Delete],
            "idempotent",
        );
        refused(|d| d.object_types[0].example = "{".to_owned(), "not JSON");
        refused(|d| d.object_types[0].example = String::new(), "not JSON");
        refused(
            |d| d.object_types[0].example = "1".to_owned(),
            "its own schema",
        );
        refused(
            |d| d.object_types[0].body = BodyFormat::JsonSchema(json!({ "type": 5 })),
            "body schema",
        );
        refused(
            |d| d.object_types[0].body = BodyFormat::Standard("standard@9".to_owned()),
            "standard@9",
        );
        refused(
            |d| d.object_types[0].references[0].pointer = "categories".to_owned(),
            "JSON pointer",
        );
        refused(
            |d| d.settings_schema = json!({ "type": "objekt" }),
            "settings schema",
        );
        refused(
            |d| d.settings_schema = json!({ "anyOf": [{ "$ref": "#" }] }),
            "at `#`: the subschema refers to itself",
        );
        refused(|d| d.buckets[0].scope = "planet".to_owned(), "planet");
        refused(|d| d.buckets[0].scope = "setting:shop".to_owned(), "`shop`");
        refused(
            |d| d.buckets[0].kind = BucketKind::Concurrency { max: 0 },
            "is 0",
        );
        refused(
            |d| d.buckets[0].counts = Some("points".to_owned()),
            "only a token bucket and a window",
        );
        let window = |window_ms| BucketKind::Window {
            max: 9,
            window_ms,
            anchor: Some(Wall(0)),
        };
        refused(|d| d.buckets[0].kind = window(999), "less than 1000 ms");
        refused(
            |d| {
                (d.buckets[0].kind, d.buckets[0].counts) = (window(1000), Some("Points".to_owned()))
            },
            "is not a name",
        );
        refused(
            |d| d.hosts[0] = HostNeed::Setting("nowhere".to_owned()),
            "`nowhere`",
        );
        refused(
            |d| d.hosts[1] = HostNeed::Name("*.com".to_owned()),
            "`*.com`",
        );
    }
}
