//! Checks a body against the standard bodies and finds the objects that it refers to.
//!
//! The checks are written by hand, so that the shop judges independently of the schemas that its
//! clients use. They cover the required fields and the types of the optional ones. Unknown members
//! are allowed; `null` counts as absent.

use serde_json::{Map, Value};

use crate::{
    object::{ObjectKey, ObjectType},
    refusal::Refusal,
};

#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) value: Value,
    /// The canonical digest of the value.
    pub(crate) digest: String,
    /// The objects that must exist, each once.
    pub(crate) references: Vec<ObjectKey>,
}

impl Body {
    /// Checks the body of an object; `digest` is the canonical digest of the value. Errors: the
    /// body does not match the standard; the refusal points at the first invalid value.
    pub(crate) fn check(target: &ObjectKey, value: Value, digest: String) -> Result<Self, Refusal> {
        let mut references = References::default();
        let members = Members::of(&value, "")?;
        match target.object_type {
            ObjectType::Category => category(target, &members, &mut references)?,
            ObjectType::Brand => brand(&members)?,
            ObjectType::Product => product(&members, &mut references)?,
            ObjectType::Offer => offer(&members, &mut references)?,
        }
        Ok(Self {
            value,
            digest,
            references: references.0,
        })
    }
}

fn category(
    target: &ObjectKey,
    members: &Members<'_>,
    references: &mut References,
) -> Result<(), Refusal> {
    localized(members.required("name")?)?;
    if let Some(parent) = members.optional("parent") {
        let parent = references.take(parent, ObjectType::Category)?;
        if parent == *target {
            return Err(Refusal::body_invalid(
                "/parent",
                "a category cannot be its own parent",
            ));
        }
    }
    members.optional("position").map_or(Ok(()), integer)
}

fn brand(members: &Members<'_>) -> Result<(), Refusal> {
    text_or_localized(members.required("name")?)?;
    members.optional("url").map_or(Ok(()), text)
}

fn product(members: &Members<'_>, references: &mut References) -> Result<(), Refusal> {
    localized(members.required("name")?)?;
    if let Some(brand) = members.optional("brand") {
        references.take(brand, ObjectType::Brand)?;
    }
    for category in members.list("categories")? {
        references.take(category, ObjectType::Category)?;
    }
    members
        .optional("description")
        .map_or(Ok(()), text_or_localized)?;
    members.optional("attributes").map_or(Ok(()), object)?;
    members.optional("sku").map_or(Ok(()), text)?;
    members.optional("gtin").map_or(Ok(()), text)?;
    media(members)?;
    let mut ids = Vec::new();
    for place in members.list("variants")? {
        let variant = Members::of(place.value, &place.pointer)?;
        let id = variant.required("id")?;
        text(id.clone())?;
        if ids.contains(&id.value) {
            return Err(id.invalid("is already the id of another variant"));
        }
        ids.push(id.value);
        variant.optional("sku").map_or(Ok(()), text)?;
        variant.optional("attributes").map_or(Ok(()), object)?;
        media(&variant)?;
    }
    Ok(())
}

fn offer(members: &Members<'_>, references: &mut References) -> Result<(), Refusal> {
    references.take(members.required("product")?, ObjectType::Product)?;
    let place = members.required("price")?;
    let price = Members::of(place.value, &place.pointer)?;
    let currency = price.required("currency")?;
    let code = currency.value.as_str().unwrap_or_default();
    if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(currency.invalid("must be three uppercase letters (ISO 4217)"));
    }
    let amount = price.required("minor_units")?;
    if amount.value.as_u64().is_none() {
        return Err(amount.invalid("must be an integer, 0 or more"));
    }
    members.optional("stock").map_or(Ok(()), integer)?;
    for name in ["sku", "valid_from", "valid_to"] {
        members.optional(name).map_or(Ok(()), text)?;
    }
    Ok(())
}

fn media(members: &Members<'_>) -> Result<(), Refusal> {
    for place in members.list("media")? {
        let medium = Members::of(place.value, &place.pointer)?;
        text(medium.required("url")?)?;
        medium.optional("alt").map_or(Ok(()), text_or_localized)?;
    }
    Ok(())
}

/// The references found so far.
#[derive(Default)]
struct References(Vec<ObjectKey>);

impl References {
    fn take(&mut self, place: Place<'_>, expected: ObjectType) -> Result<ObjectKey, Refusal> {
        let members = Members::of(place.value, &place.pointer)?;
        let named = members.required("type")?;
        if named.value.as_str() != Some(expected.as_str()) {
            return Err(named.invalid(format!("must be \"{expected}\"")));
        }
        let id = members.required("id")?;
        text(id.clone())?;
        let target = ObjectKey::new(expected, id.value.as_str().unwrap_or_default());
        if !self.0.contains(&target) {
            self.0.push(target.clone());
        }
        Ok(target)
    }
}

/// A value with its JSON pointer.
#[derive(Clone)]
struct Place<'a> {
    value: &'a Value,
    pointer: String,
}

impl Place<'_> {
    fn invalid(&self, message: impl Into<String>) -> Refusal {
        Refusal::body_invalid(&self.pointer, message)
    }
}

/// The members of a JSON object, with its JSON pointer.
struct Members<'a> {
    members: &'a Map<String, Value>,
    pointer: String,
}

impl<'a> Members<'a> {
    fn of(value: &'a Value, pointer: &str) -> Result<Self, Refusal> {
        let members = value
            .as_object()
            .ok_or_else(|| Refusal::body_invalid(pointer, "must be an object"))?;
        Ok(Self {
            members,
            pointer: pointer.to_owned(),
        })
    }

    fn optional(&self, name: &str) -> Option<Place<'a>> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        Some(Place {
            value,
            pointer: format!("{}/{}", self.pointer, escaped(name)),
        })
    }

    fn required(&self, name: &str) -> Result<Place<'a>, Refusal> {
        self.optional(name).ok_or_else(|| {
            Refusal::body_invalid(format!("{}/{}", self.pointer, escaped(name)), "is required")
        })
    }

    fn list(&self, name: &str) -> Result<Vec<Place<'a>>, Refusal> {
        let Some(place) = self.optional(name) else {
            return Ok(Vec::new());
        };
        let elements = place
            .value
            .as_array()
            .ok_or_else(|| place.invalid("must be an array"))?;
        let places = elements.iter().enumerate().map(|(position, value)| Place {
            value,
            pointer: format!("{}/{position}", place.pointer),
        });
        Ok(places.collect())
    }
}

/// A member's name as one step of a JSON pointer (RFC 6901, section 3).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn text(place: Place<'_>) -> Result<(), Refusal> {
    match place.value.as_str() {
        Some(text) if !text.is_empty() => Ok(()),
        _ => Err(place.invalid("must be a non-empty string")),
    }
}

fn integer(place: Place<'_>) -> Result<(), Refusal> {
    match place.value.as_i64() {
        Some(_) => Ok(()),
        None => Err(place.invalid("must be an integer")),
    }
}

fn object(place: Place<'_>) -> Result<(), Refusal> {
    Members::of(place.value, &place.pointer).map(|_| ())
}

/// `{locale: text}`, with at least one locale.
fn localized(place: Place<'_>) -> Result<(), Refusal> {
    let members = Members::of(place.value, &place.pointer)?;
    if members.members.is_empty() {
        return Err(place.invalid("must have a string for at least one locale"));
    }
    members
        .members
        .keys()
        .try_for_each(|locale| text(members.required(locale)?))
}

fn text_or_localized(place: Place<'_>) -> Result<(), Refusal> {
    if place.value.is_string() {
        text(place)
    } else {
        localized(place)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
