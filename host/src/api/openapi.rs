//! The description of the API: what the handlers do not say about themselves — title, tags, key, verbs, common refusals.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi as _};

use super::problem::{FieldError, ProblemDocument};
use super::{channels, connection_check, connections, connectors, executions, jobs};

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

/// The whole description: every operation under `/v1` also names the refusals that any of them can meet.
pub fn finished(mut openapi: OpenApi) -> OpenApi {
    for (path, item) in &mut openapi.paths.paths {
        if path.starts_with("/v1/") {
            let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
            operations.into_iter().flatten().for_each(add_refusals);
        }
    }
    openapi
}

fn add_refusals(operation: &mut Operation) {
    const COMMON: [(&str, &str); 4] = [
        ("401", "No key, or one that is not known."),
        ("403", "The key's role or subscription does not allow it."),
        ("429", "Too many requests of this API key, at once or over time: `Retry-After` says when to come back."),
        ("default", "Any other refusal: the problem says which."),
    ];
    for (status, description) in COMMON {
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemDocument"))).build();
        let response = ResponseBuilder::new().description(description).content("application/problem+json", problem).build();
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| response.into());
    }
}
