//! Changes of a machine's dynamic metadata (`api.md` 6.2, `spec/README.md` 3).

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

entity! {
    /// One operation of a PATCH of `machines`; its members are as sent, nothing is checked.
    pub struct MetadataOp or null {
        /// `add`, `remove` or `replace`.
        pub op: String = "op",
        /// `/<machine>/metadata/<key>`.
        pub path: String = "path",
        /// What to set the key to: plain, or wrapped into an object as the original took it.
        pub value: MetadataValue = "value",
    }

    /// The original's wrapping of a value.
    struct Wrapped or null {
        /// The value inside.
        value: String = "value",
    }
}

/// The value of a [`MetadataOp`]: `"text"` and `{"value": "text"}` mean the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MetadataValue(pub String);

impl crate::entity::Absent for MetadataValue {
    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for MetadataValue {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = MetadataValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or an object with a string called value")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<MetadataValue, E> {
                Ok(MetadataValue(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MetadataValue, A::Error> {
                let wrapped = Wrapped::deserialize(MapAccessDeserializer::new(map))?;
                Ok(MetadataValue(wrapped.value))
            }
        }

        input.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::from_json;

    #[test]
    fn both_forms_of_a_value_are_read_with_keys_in_any_case() {
        for value in [r#""us""#, r#"{"value":"us"}"#, r#"{"Value":"us","x":1}"#] {
            let text = format!(r#"[{{"Op":"add","path":"/m/metadata/region","VALUE":{value}}}]"#);
            let ops: Vec<MetadataOp> = from_json(text.as_bytes()).unwrap();
            assert_eq!((&*ops[0].op, &*ops[0].value.0), ("add", "us"), "{value}");
        }
    }

    #[test]
    fn an_absent_value_is_empty_and_any_other_is_refused() {
        for value in ["", r#","value":null"#, r#","value":{}"#, r#","value":{"value":null}"#] {
            let ops: Vec<MetadataOp> =
                from_json(format!(r#"[{{"op":"remove"{value}}}]"#).as_bytes()).unwrap();
            assert_eq!(ops[0].value.0, "", "{value}");
        }
        for value in ["5", "[]", r#"{"value":5}"#] {
            let text = format!(r#"[{{"value":{value}}}]"#);
            assert!(from_json::<Vec<MetadataOp>>(text.as_bytes()).is_err(), "{value}");
        }
    }

    #[test]
    fn no_operations_are_fine() {
        for text in ["null", "[]"] {
            assert_eq!(from_json::<Vec<MetadataOp>>(text.as_bytes()).unwrap(), []);
        }
    }
}
