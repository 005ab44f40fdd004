//! The parts of the API's description that the handlers do not contain: title, tags, key, verbs,
//! common parameters and problems.

use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{AdditionalProperties, ArrayItems, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Required, ResponseBuilder, Schema,
};
use utoipa::{Modify, OpenApi as _};

use super::acts::act_request::ActPreview;
use super::acts::{cancel, pause, pause_document, reopen_limit};
use super::admin::{connection_check, connectors};
use super::http::problem::{FieldError, ProblemDocument};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Egression",
        description = "Ships commerce data to sales channels. It delivers jobs in order and within \
                       limits, and reports the state of each.\n\n\
            Times are RFC 3339 in UTC. Ids have a prefix and sort by time. Every error is a \
            problem document (RFC 9457) with a stable `code`. \
            Unknown fields and parameters are refused. Responses state the remaining quota of the \
            key in `RateLimit-Policy` and `RateLimit`.",
    ),
    tags(
        (name = "submit", description = "Submit jobs."),
        (name = "follow", description = "Follow executions, jobs, objects and limits."),
        (name = "act", description = "Cancel, pause, resume, reopen and check."),
        (name = "configure", description =
            "Subscriptions, sources, channels, connections, connectors and keys."),
        (name = "operate", description = "Health, without a key, and metrics."),
    ),
    paths(
        cancel::cancel_execution,
        pause::pause_execution,
        pause::resume_execution,
        cancel::cancel_job,
        pause_document::pause_channel,
        pause_document::resume_channel,
        connection_check::check_connection,
        pause_document::pause_connection,
        pause_document::resume_connection,
        reopen_limit::reopen_limit,
        connectors::activate_connector,
    ),
    components(schemas(ProblemDocument, FieldError, ActPreview)),
    security(("key" = [])),
    modifiers(&Key),
)]
struct Frame;

struct Key;

impl Modify for Key {
    fn modify(&self, openapi: &mut OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some("An API key: `egk_` and 32 hexadecimal digits.".to_owned());
        let components = openapi.components.get_or_insert_with(Default::default);
        components.add_security_scheme("key", SecurityScheme::Http(scheme));
    }
}

/// The description without the routes.
pub fn frame() -> OpenApi {
    Frame::openapi()
}

/// Completes the description: every operation with a key gets the common problems, operations on a
/// document get their preconditions, every problem gets its body, and `limit` its bounds.
pub fn finished(mut openapi: OpenApi, page_limit: u32) -> OpenApi {
    if let Some(components) = &mut openapi.components {
        for (name, schema) in &mut components.schemas {
            finish_schema(name, schema);
        }
    }
    for (path, item) in &mut openapi.paths.paths {
        if is_document(path) {
            of_document(item);
        }
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            let needs_key = operation.security.is_none();
            if needs_key {
                add_common_problems(operation);
            }
            add_problem_bodies(operation);
            bound_limit(operation, page_limit);
            describe_component(operation);
        }
    }
    openapi
}

/// The fields of a document that its path states already, so that its body need not repeat them.
const STATED_BY_PATH: [(&str, &[&str]); 4] = [
    ("SubscriptionDocument", &["name"]),
    ("SourceDocument", &["name"]),
    ("ChannelDocument", &["name"]),
    ("ConnectionDocument", &["subscription", "channel"]),
];

/// Corrects what the schema of a document cannot derive from its type.
fn finish_schema(name: &str, schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    let stated = STATED_BY_PATH
        .iter()
        .find(|(document, _)| *document == name);
    if let (Some((_, fields)), Schema::Object(document)) = (stated, &mut *schema) {
        document
            .required
            .retain(|field| !fields.contains(&field.as_str()));
    }
    if name.starts_with("DocumentView_") {
        merge_parts(schema);
    }
    // A page contains its documents without a reference.
    if name.starts_with("Page_DocumentView_")
        && let Schema::Object(page) = schema
        && let Some(RefOr::T(Schema::Array(list))) = page.properties.get_mut("items")
        && let ArrayItems::RefOrSchema(item) = &mut list.items
        && let RefOr::T(document) = &mut **item
    {
        merge_parts(document);
    }
}

/// Makes one object of a document and its state. As two, each would refuse the other's fields.
fn merge_parts(schema: &mut Schema) {
    let Schema::AllOf(parts) = schema else { return };
    let mut merged = ObjectBuilder::new()
        .description(parts.description.take())
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .build();
    for part in &mut parts.items {
        if let RefOr::T(Schema::Object(part)) = part {
            merged
                .properties
                .extend(std::mem::take(&mut part.properties));
            merged.required.append(&mut part.required);
        }
    }
    *schema = Schema::Object(merged);
}

/// A component is a file, not a list of numbers.
fn describe_component(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else {
        return;
    };
    if let Some(RefOr::T(content)) = body.content.get_mut("application/wasm") {
        let file = ObjectBuilder::new()
            .schema_type(Type::String)
            .content_media_type("application/wasm");
        content.schema = Some(file.into());
    }
}

/// The length of a page is bounded by a setting.
fn bound_limit(operation: &mut Operation, page_limit: u32) {
    let limits =
        operation
            .parameters
            .iter_mut()
            .flatten()
            .filter_map(|parameter| match parameter {
                RefOr::T(parameter) if parameter.name == "limit" => Some(parameter),
                _ => None,
            });
    for limit in limits {
        if let Some(RefOr::T(Schema::Object(number))) = &mut limit.schema {
            number.minimum = Some(1_u32.into());
            number.maximum = Some(page_limit.into());
        }
    }
}

/// Whether a path is that of a subscription, source, channel or connection.
fn is_document(path: &str) -> bool {
    let of_documents = ["/v1/subscriptions/", "/v1/sources/", "/v1/channels/"];
    of_documents.iter().any(|prefix| path.starts_with(prefix)) && path.ends_with('}')
}

/// Adds the parameters and responses that all documents have in common.
fn of_document(item: &mut PathItem) {
    if let Some(get) = &mut item.get {
        header(get, "If-None-Match", "The `ETag` that the client knows.");
        add(get, "304", "Unchanged.");
        add(get, "404", "Unknown name.");
    }
    if let Some(put) = &mut item.put {
        header(
            put,
            "If-Match",
            "The `ETag` that the document must have, or `*`.",
        );
        header(put, "If-None-Match", "`*`: the document must be new.");
        add(put, "400", "Invalid document.");
        add(put, "409", "The configuration file manages the document.");
        add(put, "412", "Precondition failed.");
    }
    if let Some(delete) = &mut item.delete {
        header(
            delete,
            "If-Match",
            "The `ETag` that the document must have.",
        );
        add(delete, "412", "Precondition failed.");
    }
}

fn header(operation: &mut Operation, name: &str, description: &str) {
    let text = ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::String, Type::Null]));
    let header = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(text));
    operation
        .parameters
        .get_or_insert_default()
        .push(header.build().into());
}

fn add_common_problems(operation: &mut Operation) {
    const COMMON: [(&str, &str); 4] = [
        ("401", "Missing, unknown or revoked API key."),
        ("403", "The key's role or subscription does not allow this."),
        (
            "429",
            "Too many requests of this API key, concurrently or over time: try again after \
             `Retry-After`.",
        ),
        ("default", "Any other problem; its `code` identifies it."),
    ];
    for (status, description) in COMMON {
        add(operation, status, description);
    }
}

/// Every error response is a problem document.
fn add_problem_bodies(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let is_error = status.starts_with(['4', '5']) || status == "default";
        if let (true, RefOr::T(response)) = (is_error, response) {
            let problem = Ref::from_schema_name("ProblemDocument");
            let problem = ContentBuilder::new().schema(Some(problem)).build();
            let problem = ("application/problem+json".to_owned(), problem.into());
            response.content.extend([problem]);
        }
    }
}

/// Adds a response, unless the operation describes it itself.
fn add(operation: &mut Operation, status: &str, description: &str) {
    let response = ResponseBuilder::new().description(description).build();
    let responses = &mut operation.responses.responses;
    let entry = responses.entry(status.to_owned());
    entry.or_insert_with(|| response.into());
}
