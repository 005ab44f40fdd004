//! Deserializes a struct only from an object (a table in TOML), never from a list.
//!
//! Serde's derived implementations also accept a list in place of a struct, with its items as the
//! fields in order, at any depth. This wrapper asks for a map wherever a struct is expected, so
//! each format refuses a list itself, at its exact place. Nothing is buffered.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};

/// The first letter of the names under which formats ask for their own types (raw JSON, TOML
/// dates). None of our types has such a name.
const FORMAT_OWN: char = '$';
/// The beginning of serde's text for an expected internally tagged enum. Its visitor accepts any
/// value, lists included, and only this text identifies it. A test checks the text.
const TAGGED: &str = "internally tagged enum";

/// Deserializes `T`; refuses lists in place of objects.
pub fn by_name<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    T::deserialize(plain(from))
}

/// A deserializer, seed, visitor or access that forwards everything, but asks for a map instead of
/// a struct. `FOR`: the kind of value that a visitor was created for.
struct ByName<T, const FOR: u8 = SHAPE>(T);

/// The format knows the kind of the value.
const SHAPE: u8 = 0;
/// Any kind of value.
const ANY: u8 = 1;
/// An object. Some formats ignore this and pass the value that is there.
const OBJECT: u8 = 2;

const fn plain<T>(inner: T) -> ByName<T> {
    ByName(inner)
}

/// A seed that deserializes a struct as a map, for variants with fields.
struct AsMap<V>(V);

macro_rules! passed_on {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(plain(visitor))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ByName<D> {
    type Error = D::Error;

    passed_on! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_option
        deserialize_unit deserialize_seq deserialize_map deserialize_identifier
        deserialize_ignored_any
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(ByName::<_, ANY>(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        if name.starts_with(FORMAT_OWN) {
            return self.0.deserialize_struct(name, fields, visitor);
        }
        self.0.deserialize_map(ByName::<_, OBJECT>(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        if name.starts_with(FORMAT_OWN) {
            return self.0.deserialize_newtype_struct(name, visitor);
        }
        self.0.deserialize_newtype_struct(name, plain(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, plain(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, plain(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, plain(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, plain(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! value_passed_on {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            if self.is_tagged() { Err(self.plain_value()) } else { self.0.$method(value) }
        })*
    };
}

impl<'de, V: Visitor<'de>, const FOR: u8> ByName<V, FOR> {
    /// Whether the visitor is that of an internally tagged enum.
    fn is_tagged(&self) -> bool {
        FOR == ANY && Expected(&self.0).to_string().starts_with(TAGGED)
    }

    /// A plain value in place of an object. The error does not repeat it, for it may be a secret.
    fn plain_value<E: Error>(&self) -> E {
        E::invalid_type(Unexpected::Other("plain value"), &self.0)
    }
}

impl<'de, V: Visitor<'de>, const FOR: u8> Visitor<'de> for ByName<V, FOR> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    value_passed_on! {
        visit_bool: bool, visit_i8: i8, visit_i16: i16, visit_i32: i32, visit_i64: i64,
        visit_i128: i128, visit_u8: u8, visit_u16: u16, visit_u32: u32, visit_u64: u64,
        visit_u128: u128, visit_f32: f32, visit_f64: f64, visit_char: char, visit_str: &str,
        visit_borrowed_str: &'de str, visit_string: String, visit_bytes: &[u8],
        visit_borrowed_bytes: &'de [u8], visit_byte_buf: Vec<u8>,
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, some: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(plain(some))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(plain(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        if FOR == OBJECT || self.is_tagged() {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self.0));
        }
        self.0.visit_seq(plain(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(plain(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(plain(variant))
    }
}

/// Displays the text of a visitor's expectation.
struct Expected<'a, V>(&'a V);

impl<'de, V: Visitor<'de>> fmt::Display for Expected<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for ByName<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(plain(from))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for ByName<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(plain(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for ByName<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(plain(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(plain(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for ByName<A> {
    type Error = A::Error;
    type Variant = ByName<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.0.variant_seed(plain(seed))?;
        Ok((value, plain(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for ByName<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(plain(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, plain(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.newtype_variant_seed(AsMap(visitor))
    }
}

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for AsMap<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        from.deserialize_map(ByName::<_, OBJECT>(self.0))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Inner {
        a: u32,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    enum Choice {
        Plain,
        Fields { inner: Inner },
        Holds(Inner),
        Pair(u32, u32),
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        One { a: u32 },
    }

    fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
        by_name(&mut serde_json::Deserializer::from_str(text))
    }

    #[test]
    fn struct_is_an_object_at_any_depth() {
        assert_eq!(read::<Inner>(r#"{"a":1}"#).unwrap(), Inner { a: 1 });
        assert_eq!(
            read::<Vec<Option<Inner>>>(r#"[{"a":1},null]"#).unwrap(),
            [Some(Inner { a: 1 }), None]
        );
        for text in ["[1]", r#"[[1]]"#] {
            assert!(
                read::<Inner>(text).is_err() && read::<Vec<Inner>>(text).is_err(),
                "{text}"
            );
        }
        assert!(read::<Option<Inner>>("[1]").is_err());
        assert!(read::<BTreeMap<String, Inner>>(r#"{"x":[1]}"#).is_err());
        assert!(read::<(u32, Inner)>("[1,[1]]").is_err());
        assert_eq!(
            read::<(u32, Inner)>(r#"[1,{"a":1}]"#).unwrap().1,
            Inner { a: 1 }
        );
    }

    #[test]
    fn variant_is_read_from_an_object_too() {
        assert_eq!(read::<Choice>("\"Plain\"").unwrap(), Choice::Plain);
        assert_eq!(
            read::<Choice>(r#"{"Pair":[1,2]}"#).unwrap(),
            Choice::Pair(1, 2)
        );
        assert_eq!(
            read::<Choice>(r#"{"Fields":{"inner":{"a":1}}}"#).unwrap(),
            Choice::Fields {
                inner: Inner { a: 1 }
            }
        );
        assert_eq!(
            read::<Choice>(r#"{"Holds":{"a":1}}"#).unwrap(),
            Choice::Holds(Inner { a: 1 })
        );
        for text in [
            r#"{"Fields":[{"a":1}]}"#,
            r#"{"Fields":{"inner":[1]}}"#,
            r#"{"Holds":[1]}"#,
        ] {
            assert!(read::<Choice>(text).is_err(), "{text}");
        }
        assert_eq!(
            read::<Tagged>(r#"{"a":1,"kind":"One"}"#).unwrap(),
            Tagged::One { a: 1 }
        );
        // Serde alone accepts the list; if the error lacks the text, serde changed it.
        assert!(serde_json::from_str::<Tagged>(r#"["One",1]"#).is_ok());
        let error = read::<Tagged>(r#"["One",1]"#).unwrap_err().to_string();
        assert!(error.contains(TAGGED), "{error}");
    }

    #[test]
    fn untyped_value_may_be_anything() {
        let value: serde_json::Value = read(r#"{"a":[1,{"b":[]}]}"#).unwrap();
        assert_eq!(value, serde_json::json!({"a": [1, {"b": []}]}));
        let raw: BTreeMap<String, Box<RawValue>> = read(r#"{"a":[ 1, 2 ]}"#).unwrap();
        assert_eq!(raw["a"].get(), "[ 1, 2 ]");
    }

    #[test]
    fn toml_table_is_read_the_same_way() {
        #[derive(Debug, serde::Deserialize)]
        struct Outer {
            inner: Inner,
            tagged: Option<Tagged>,
            table: Option<toml::Table>,
        }
        let read = |text| by_name::<Outer, _>(toml::Deserializer::parse(text).unwrap());
        let outer = read(
            "inner = {a = 1}\ntagged = {kind = \"One\", a = 2}\n\
             table = {at = 2026-11-21T00:00:00Z}",
        )
        .unwrap();
        assert_eq!(
            (outer.inner.a, outer.tagged),
            (1, Some(Tagged::One { a: 2 }))
        );
        assert!(outer.table.unwrap()["at"].is_datetime());
        assert!(read("inner = [1]").is_err());
        assert!(read("inner = {a = 1}\ntagged = [\"One\", 2]").is_err());
    }
}
