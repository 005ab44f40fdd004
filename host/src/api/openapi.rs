//! The description of the API: what the handlers do not say about themselves — title, tags, key,
//! verbs, common refusals.

use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, OpenApi, Ref, Required, Response, ResponseBuilder,
};
use utoipa::{Modify, OpenApi as _};

use crate::api::http::problem::{FieldError, ProblemDocument};
use crate::api::admin::channels;
use crate::api::admin::connection_check;
use crate::api::admin::connections;
use crate::api::admin::connectors;
use crate::api::tracking::executions;
use crate::api::tracking::jobs;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Egression",
        description = "Ships commerce data to sales channels: jobs in, delivered in order, within limits, with every state known.\n\n\
            Times are RFC 3339 in UTC, ids are prefixed and sort by time, every error is a problem document (RFC 9457) with a stable `code`. \
            Unknown fields and parameters are refused. Answers to a key say what is left of its quota: `RateLimit-Policy` and `RateLimit`.",
    ),
    tags(
        (name = "submit", description = "Hand over work."),
        (name = "follow", description = "See where it stands."),
        (name = "act", description = "Cancel, pause, resume, check."),
        (name = "configure", description = "Subscriptions, sources, channels, connections, connectors, keys."),
        (name = "operate", description = "Health and metrics; no key."),
    ),
    paths(
        executions::cancel_execution,
        executions::pause_execution,
        executions::resume_execution,
        jobs::cancel_job,
        channels::pause_channel,
        channels::resume_channel,
        connection_check::check_connection,
        connections::pause_connection,
        connections::resume_connection,
        connectors::activate_connector,
    ),
    components(schemas(ProblemDocument, FieldError)),
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

/// The description before the routes add themselves.
pub fn frame() -> OpenApi {
    Frame::openapi()
}

/// The whole description: every operation under `/v1` also names the refusals that any of them can
/// meet, and those on a document its preconditions.
pub fn finished(mut openapi: OpenApi) -> OpenApi {
    for (path, item) in &mut openapi.paths.paths {
        if is_document(path) {
            of_document(item);
        }
        if path.starts_with("/v1/") {
            let operations = [
                &mut item.get,
                &mut item.put,
                &mut item.post,
                &mut item.delete,
            ];
            operations.into_iter().flatten().for_each(add_refusals);
        }
    }
    openapi
}

/// Whether a path leads to a subscription, a source, a channel or a connection.
fn is_document(path: &str) -> bool {
    let of_documents = ["/v1/subscriptions/", "/v1/sources/", "/v1/channels/"];
    of_documents.iter().any(|prefix| path.starts_with(prefix)) && path.ends_with('}')
}

/// What reading, changing and removing have in common for every document.
fn of_document(item: &mut PathItem) {
    if let Some(get) = &mut item.get {
        header(get, "If-None-Match", "The `ETag` known.");
        add(
            get,
            "304",
            ResponseBuilder::new().description("As known.").build(),
        );
        add(get, "404", refusal("Not known, or another tenant's."));
    }
    if let Some(put) = &mut item.put {
        header(put, "If-Match", "The `ETag` that it must have, or `*`.");
        header(put, "If-None-Match", "`*`: it must be new.");
        add(put, "400", refusal("Not valid."));
        add(
            put,
            "409",
            refusal("The configuration file looks after it."),
        );
        add(put, "412", refusal("A precondition does not hold."));
    }
    if let Some(delete) = &mut item.delete {
        header(delete, "If-Match", "The `ETag` that it must have.");
        add(delete, "412", refusal("A precondition does not hold."));
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

fn add_refusals(operation: &mut Operation) {
    const COMMON: [(&str, &str); 4] = [
        ("401", "No key, or one that is not known."),
        ("403", "The key's role or subscription does not allow it."),
        (
            "429",
            "Too many requests of this API key, at once or over time: `Retry-After` says when to come back.",
        ),
        ("default", "Any other refusal: the problem says which."),
    ];
    for (status, description) in COMMON {
        add(operation, status, refusal(description));
    }
}

fn refusal(description: &str) -> Response {
    let problem = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("ProblemDocument")))
        .build();
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", problem)
        .build()
}

/// What an operation says of itself stays.
fn add(operation: &mut Operation, status: &str, response: Response) {
    operation
        .responses
        .responses
        .entry(status.to_owned())
        .or_insert_with(|| response.into());
}
