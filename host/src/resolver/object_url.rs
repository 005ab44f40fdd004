//! The address of an object: a source's template with type and id as segments of its path.

use egression_core::domain::object::ObjectKey;
use egression_core::domain::problem::Problem;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::read::ResolveError;

/// Everything but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

pub fn object_url(template: &str, object: &ObjectKey) -> Result<String, ResolveError> {
    let segments = [&object.object_type, &object.id]
        .map(|text| utf8_percent_encode(text, RESERVED).to_string());
    // A URL's path does not keep these segments: they name its folder or the one above (RFC 3986,
    // section 5.2.4).
    if segments
        .iter()
        .any(|segment| matches!(segment.as_str(), "." | ".."))
    {
        let message =
            format!("{object} cannot be a segment of a URL's path; use a batch read instead");
        return Err(ResolveError::rejected(Problem::new(
            "source.id_unaddressable",
            message,
        )));
    }
    let [object_type, id] = segments;
    // Braces in type and id are encoded, so a value that was filled in is not a template again.
    Ok(template
        .replace("{type}", &object_type)
        .replace("{id}", &id))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn url(id: &str) -> Result<String, ResolveError> {
        let object = ObjectKey::new("product", id);
        object_url("https://pim.example/o/{type}/{id}", &object)
    }

    #[test]
    fn object_url_has_type_and_id_as_two_segments_whatever_the_id() {
        for (id, segment) in [
            ("10de:1c82/ä?", "10de%3A1c82%2F%C3%A4%3F"),
            ("a-b.c_d~e", "a-b.c_d~e"),
            ("../x", "..%2Fx"),
            ("{type}", "%7Btype%7D"),
        ] {
            let expected = format!("https://pim.example/o/product/{segment}");
            assert_eq!(url(id).unwrap(), expected);
        }
        for dots in [".", ".."] {
            let Err(ResolveError::Rejected(problem)) = url(dots) else {
                panic!("{dots} would leave its folder");
            };
            assert_eq!(problem.code, "source.id_unaddressable");
        }
    }
}
