//! Walks every operation of the served OpenAPI document with every kind of key, and asks for the
//! names and ids of another tenant.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use egression_tests::rest::{Answer, Rest};
use reqwest::Method;
use serde_json::Value;

use super::operations::{Body, Name, Needs, OPERATIONS, Operation};
use super::world::{Tenant, World};

/// An operation with its place in the served document.
struct Route {
    operation: &'static Operation,
    method: Method,
    /// With `{…}`.
    path: String,
    described: Value,
}

/// An API key.
struct Key {
    role: Needs,
    /// To the subscription `other`.
    bound: bool,
    rest: Rest,
}

/// A part of a request that names something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Path(usize),
    Query(&'static str),
    Body(&'static str),
}

type Slot = (Place, Name);

#[tokio::test]
async fn tenant_learns_nothing_of_another_by_any_operation() -> Result<()> {
    let world = World::start().await?;
    let served: Value = world.operator.get("/v1/openapi.json").await?;
    let routes = routes(&served)?;
    let keys = keys(&world).await?;
    for route in &routes {
        every_part_is_stated(&served, route)?;
        needs_are_met(&world, &keys, route).await?;
    }
    for tenant in keys.iter().filter(|key| key.bound) {
        for route in &routes {
            foreign_is_absent(&world, &tenant.rest, route).await?;
            own_shows_nothing_foreign(&world, &tenant.rest, route).await?;
        }
    }
    // The comparisons above mean something only if the names exist for those who may see them.
    for method in ["GET", "POST", "PUT", "DELETE"] {
        for route in routes.iter().filter(|route| route.method == method) {
            foreign_exists_for_the_operator(&world, route).await?;
        }
    }
    Ok(())
}

/// Every role, for all subscriptions and bound to `other`.
async fn keys(world: &World) -> Result<Vec<Key>> {
    let mut keys = Vec::new();
    for (name, role) in [
        ("read", Needs::Read),
        ("submit", Needs::Submit),
        ("admin", Needs::Admin),
    ] {
        for subscription in [None, Some("other")] {
            keys.push(Key {
                role,
                bound: subscription.is_some(),
                rest: world.key(name, subscription).await?,
            });
        }
    }
    Ok(keys)
}

/// The operations of the document, which are those of the table.
fn routes(served: &Value) -> Result<Vec<Route>> {
    let mut table: BTreeMap<&str, &'static Operation> =
        OPERATIONS.iter().map(|known| (known.id, known)).collect();
    let mut routes = Vec::new();
    let mut missing = Vec::new();
    for (path, item) in served["paths"].as_object().context("paths")? {
        for (method, described) in item.as_object().context("operations")? {
            let id = described["operationId"].as_str().context("an id")?;
            let Some(operation) = table.remove(id) else {
                missing.push(id);
                continue;
            };
            routes.push(Route {
                operation,
                method: Method::from_bytes(method.to_uppercase().as_bytes())?,
                path: path.clone(),
                described: described.clone(),
            });
        }
    }
    ensure!(
        missing.is_empty() && table.is_empty(),
        "state in tests/tests/api/tenants/operations.rs what these operations need and name: \
         {missing:?}; the API no longer has these: {:?}",
        table.keys()
    );
    Ok(routes)
}

/// Every parameter and every field of the body either names something or is listed as plain. An
/// operator may name everything, so the bodies of its operations need no list.
fn every_part_is_stated(served: &Value, route: &Route) -> Result<()> {
    let Route { operation, .. } = route;
    let parameters = route.described["parameters"].as_array();
    let in_place = |place: &str| -> BTreeSet<&str> {
        let all = parameters.into_iter().flatten();
        all.filter(|parameter| parameter["in"] == place)
            .filter_map(|parameter| parameter["name"].as_str())
            .collect()
    };
    ensure!(
        in_place("path").len() == operation.path.len(),
        "{}: the table names {:?} in the path",
        operation.id,
        operation.path
    );
    let names = operation.query.iter().map(|(name, _)| *name);
    let stated: BTreeSet<&str> = names.chain(operation.plain.iter().copied()).collect();
    ensure!(
        in_place("query") == stated,
        "{}: the query has {:?}, the table {stated:?}",
        operation.id,
        in_place("query")
    );
    let schema = &route.described["requestBody"]["content"]["application/json"]["schema"];
    if let Some(reference) = schema["$ref"].as_str()
        && operation.needs != Needs::Operator
    {
        let schema = served
            .pointer(reference.trim_start_matches('#'))
            .context("a schema")?;
        let fields = schema["properties"].as_object().context("fields")?;
        let fields: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
        let Body::Json { names, plain, .. } = operation.body else {
            anyhow::bail!("{}: the table has no body", operation.id);
        };
        let named = names
            .iter()
            .filter_map(|(pointer, _)| pointer.split('/').nth(1));
        let stated: BTreeSet<&str> = named.chain(plain.iter().copied()).collect();
        ensure!(
            fields == stated,
            "{}: the body has {fields:?}, the table {stated:?}",
            operation.id
        );
    }
    Ok(())
}

/// No key: 401. An insufficient key: 403. Names that nobody has keep the request harmless.
async fn needs_are_met(world: &World, keys: &[Key], route: &Route) -> Result<()> {
    let needs = route.operation.needs;
    let id = route.operation.id;
    let absent = |slot: Slot| world.owner.absent(slot.1, id);
    let answer = send(&world.operator.with_key(None), route, absent).await?;
    let open = needs == Needs::Nothing;
    ensure!(
        (answer.status == 401) != open,
        "{id} without a key: {} {}",
        answer.status,
        answer.text
    );
    for Key { role, bound, rest } in keys {
        let enough = match needs {
            Needs::Nothing => true,
            Needs::Unbound => !bound,
            Needs::Operator => !bound && *role == Needs::Admin,
            least => *role >= least,
        };
        let answer = send(rest, route, absent).await?;
        ensure!(
            answer.status != 401 && (answer.status == 403) != enough,
            "{id} with the role {role:?}, bound: {bound}: {} {}",
            answer.status,
            answer.text
        );
    }
    Ok(())
}

/// A foreign name gets the answer of an absent one, in each part and in all of them at once.
async fn foreign_is_absent(world: &World, tenant: &Rest, route: &Route) -> Result<()> {
    let slots = slots(route.operation);
    let singly = slots.iter().map(|slot| vec![*slot]);
    for asked in singly
        .chain([slots.clone()])
        .filter(|asked| !asked.is_empty())
    {
        let with = |of: &dyn Fn(Name) -> String| {
            let sent = slots.iter().filter(|slot| is_sent(route, slot, &asked));
            let values = sent.map(|slot| {
                let value = if asked.contains(slot) {
                    of(slot.1)
                } else {
                    world.other.value(slot.1)
                };
                (*slot, value)
            });
            values.collect::<Vec<_>>()
        };
        let foreign = with(&|name| world.owner.value(name));
        let absent = with(&|name| world.owner.absent(name, route.operation.id));
        let answers = [
            ask(tenant, route, &foreign).await?,
            ask(tenant, route, &absent).await?,
        ];
        let [as_foreign, as_absent] = [
            comparable(&answers[0], &foreign, &asked),
            comparable(&answers[1], &absent, &asked),
        ];
        ensure!(
            as_foreign == as_absent,
            "{} with foreign {asked:?}: {as_foreign:?}, with absent: {as_absent:?}",
            route.operation.id
        );
        // Only a filter that matches nothing is no error.
        let filters = asked
            .iter()
            .all(|(place, _)| matches!(place, Place::Query(_)));
        ensure!(
            answers[0].status >= 400
                || (filters && answers[0].json["items"] == Value::Array(vec![])),
            "{} with foreign {asked:?}: {} {}",
            route.operation.id,
            answers[0].status,
            answers[0].text
        );
        let asked_for: Vec<&str> = foreign
            .iter()
            .filter(|(slot, _)| asked.contains(slot))
            .map(|(_, value)| value.as_str())
            .collect();
        shows_no_mark(world, route, &answers[0], &asked_for)?;
    }
    Ok(())
}

/// What a tenant reads with its own names, also from the place of a foreign cursor.
async fn own_shows_nothing_foreign(world: &World, tenant: &Rest, route: &Route) -> Result<()> {
    if route.method != Method::GET {
        return Ok(());
    }
    let mut own = values(route.operation, &world.other);
    own.retain(|(slot, _)| is_sent(route, slot, &[]));
    let answer = ask(tenant, route, &own).await?;
    let allowed = answer.status != 403;
    ensure!(
        !allowed || answer.status == 200,
        "{} with own names: {} {}",
        route.operation.id,
        answer.status,
        answer.text
    );
    shows_no_mark(world, route, &answer, &[])?;
    if !allowed || !route.operation.plain.contains(&"cursor") {
        return Ok(());
    }
    let theirs = values(route.operation, &world.owner);
    let page = send_more(&world.operator, route, &theirs, "limit=1").await?;
    let next = page.json["next"].as_str().context("a full page")?;
    let cursor = next.rsplit_once("cursor=").context("a cursor")?.1;
    let answer = send_more(tenant, route, &own, &format!("cursor={cursor}"))
        .await?
        .expect(200)?;
    shows_no_mark(world, route, &answer, &[])
}

async fn foreign_exists_for_the_operator(world: &World, route: &Route) -> Result<()> {
    let all = values(route.operation, &world.owner);
    for asked in slots(route.operation) {
        let mut foreign = all.clone();
        foreign.retain(|(slot, _)| is_sent(route, slot, &[asked]));
        let mut absent = foreign.clone();
        for (slot, value) in &mut absent {
            if *slot == asked {
                *value = world.owner.absent(slot.1, "operator");
            }
        }
        let answers = [
            ask(&world.operator, route, &foreign).await?,
            ask(&world.operator, route, &absent).await?,
        ];
        ensure!(
            comparable(&answers[0], &foreign, &[asked])
                != comparable(&answers[1], &absent, &[asked]),
            "{}: the foreign {asked:?} is as unknown as an absent one: {}",
            route.operation.id,
            answers[0].text
        );
    }
    Ok(())
}

/// Whether a request that asks for these parts contains a part.
fn is_sent(route: &Route, slot: &Slot, asked: &[Slot]) -> bool {
    !(route.operation.apart && matches!(slot.0, Place::Query(_))) || asked.contains(slot)
}

fn slots(operation: &Operation) -> Vec<Slot> {
    let path = operation.path.iter().enumerate();
    let path = path.map(|(index, name)| (Place::Path(index), *name));
    let query = operation.query.iter();
    let query = query.map(|(parameter, name)| (Place::Query(parameter), *name));
    let body = match operation.body {
        Body::Json { names, .. } => names,
        Body::None | Body::Other(_) => &[],
    };
    let body = body
        .iter()
        .map(|(pointer, name)| (Place::Body(pointer), *name));
    path.chain(query).chain(body).collect()
}

fn values(operation: &Operation, tenant: &Tenant) -> Vec<(Slot, String)> {
    let slots = slots(operation).into_iter();
    slots.map(|slot| (slot, tenant.value(slot.1))).collect()
}

async fn send(rest: &Rest, route: &Route, value: impl Fn(Slot) -> String) -> Result<Answer> {
    let slots = slots(route.operation).into_iter();
    let values: Vec<_> = slots.map(|slot| (slot, value(slot))).collect();
    ask(rest, route, &values).await
}

async fn ask(rest: &Rest, route: &Route, values: &[(Slot, String)]) -> Result<Answer> {
    send_more(rest, route, values, "").await
}

async fn send_more(
    rest: &Rest,
    route: &Route,
    values: &[(Slot, String)],
    more: &str,
) -> Result<Answer> {
    let mut path = String::new();
    for (index, piece) in route.path.split('{').enumerate() {
        let Some((_, after)) = piece.split_once('}') else {
            path.push_str(piece);
            continue;
        };
        let in_path = |(place, _): &Slot| *place == Place::Path(index - 1);
        let value = values.iter().find(|(slot, _)| in_path(slot));
        path.push_str(&value.context("a value for the path")?.1);
        path.push_str(after);
    }
    let mut query: Vec<String> = [route.operation.always, more]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .collect();
    let mut body = match route.operation.body {
        Body::Json { template, .. } => Some(template()),
        Body::None | Body::Other(_) => None,
    };
    for ((place, _), value) in values {
        match place {
            Place::Path(_) => {}
            Place::Query(name) => query.push(format!("{name}={value}")),
            Place::Body(pointer) => {
                let field = body.as_mut().and_then(|body| body.pointer_mut(pointer));
                *field.context("a field of the template")? = Value::from(value.as_str());
            }
        }
    }
    let request = rest
        .request(route.method.clone(), &format!("{path}?{}", query.join("&")))
        // A bulk then names its errors, and nothing waits for a result.
        .header("prefer", "handling=strict, respond-async");
    let request = match (route.operation.body, body) {
        (_, Some(body)) => request.json(&body),
        (Body::Other(content_type), _) => request.header("content-type", content_type).body("?"),
        _ => request,
    };
    rest.send(request).await
}

/// An answer without the names that were asked for, and without its trace.
fn comparable(answer: &Answer, values: &[(Slot, String)], asked: &[Slot]) -> (u16, String) {
    let mut text = answer.text.clone();
    let mut hide = |value: &str, with: &str| {
        if !value.is_empty() {
            text = text.replace(value, with);
        }
    };
    hide(answer.header("trace-id"), "<trace>");
    for (slot, value) in values.iter().filter(|(slot, _)| asked.contains(slot)) {
        hide(value, &format!("<{:?}>", slot.1));
    }
    (answer.status, text)
}

fn shows_no_mark(world: &World, route: &Route, answer: &Answer, asked: &[&str]) -> Result<()> {
    let mut shown = answer.text.clone();
    for name in asked {
        shown = shown.replace(name, "");
    }
    for mark in world.marks() {
        ensure!(
            !shown.contains(&mark),
            "{} shows {mark}: {shown}",
            route.operation.id
        );
    }
    Ok(())
}
