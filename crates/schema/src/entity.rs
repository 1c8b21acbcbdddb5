//! How an entity is declared: one macro writes the struct and both directions of its JSON.
//!
//! Derived deserialisation can do neither keys in any case nor repeated keys.

use std::collections::BTreeMap;

/// A value that is left out of the JSON when there is nothing in it.
pub(crate) trait Absent {
    /// Whether it is left out.
    fn is_absent(&self) -> bool;
}

impl Absent for String {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl<T> Absent for Vec<T> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Absent for BTreeMap<K, V> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl Absent for bool {
    fn is_absent(&self) -> bool {
        !self
    }
}

impl Absent for i64 {
    fn is_absent(&self) -> bool {
        *self == 0
    }
}

/// Declares entities: fields in the order in which they are emitted, each with its JSON key.
///
/// `or null` after the name says that `null` in the entity's place is read as the empty entity.
macro_rules! entity {
    ($(
        $(#[$doc:meta])*
        $vis:vis struct $name:ident $(or $null:ident)? {
            $($(#[$field_doc:meta])* $field_vis:vis $field:ident: $type:ty = $key:literal,)*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
        $vis struct $name {
            $(
                $(#[$field_doc])*
                #[serde(rename = $key, skip_serializing_if = "crate::entity::Absent::is_absent")]
                $field_vis $field: $type,
            )*
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl<'de> serde::de::Visitor<'de> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("a ", stringify!($name), " object"))
                    }

                    $(
                        entity!(@$null);
                        fn visit_unit<E: serde::de::Error>(self) -> Result<$name, E> {
                            Ok($name::default())
                        }
                    )?

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<$name, A::Error> {
                        let mut entity = $name::default();
                        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
                            match &*key {
                                $(key if key.eq_ignore_ascii_case($key) => {
                                    entity.$field =
                                        map.next_value::<Option<$type>>()?.unwrap_or_default();
                                })*
                                _ => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(entity)
                    }
                }

                input.deserialize_any(Visitor)
            }
        }

        impl crate::Entity for $name {}
        impl crate::json::Sealed for $name {}
    )*};
    (@null) => {};
}
