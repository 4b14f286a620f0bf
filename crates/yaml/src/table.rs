//! A struct declared as its table of fields: reading, strictness, defaults and writing back follow from one list.

use crate::decode::{Cx, FromYaml};
use crate::node::Node;
use crate::write::MapWriter;
use std::collections::HashSet;

/// What [`table!`](crate::table) writes for a struct. Implemented by hand only for a struct whose keys are not fixed.
pub trait Fields: Sized + Default {
    /// The name in "field x not found in type NAME".
    const TYPE: &'static str;

    /// Takes the value of a key; false when the key is not one of this struct's.
    fn set(&mut self, key: &str, node: &Node, cx: &mut Cx) -> bool;

    /// What must hold of the whole, after all fields and when none of them was at fault.
    fn finish(&mut self, node: &Node, cx: &mut Cx);

    fn write(&self, out: &mut MapWriter);

    /// Whether every field has its zero value.
    fn all_empty(&self) -> bool;
}

/// Reads a map into a table: unknown and doubled keys are refused. Null is refused too: whoever has a default for it looks first.
#[doc(hidden)]
pub fn decode_table<T: Fields>(node: &Node, cx: &mut Cx) -> Option<T> {
    if node.is_null() {
        return cx.invalid(node, "empty or null section");
    }
    let Some(entries) = node.entries() else {
        return cx.wrong_type(node, T::TYPE);
    };
    let mut out = T::default();
    let before = cx.issue_count();
    let mut seen = HashSet::with_capacity(entries.len());
    for (k, v) in entries {
        let Some(key) = String::from_yaml(k, cx) else { continue };
        if !seen.insert(key.clone()) {
            cx.mismatch::<()>(k, format!("field {key} already set in type {}", T::TYPE));
        } else if !out.set(&key, v, cx) && !cx.ignores_unknown_fields() {
            cx.mismatch::<()>(k, format!("field {key} not found in type {}", T::TYPE));
        }
    }
    if cx.issue_count() == before {
        out.finish(node, cx);
    }
    (cx.issue_count() == before).then_some(out)
}

#[doc(hidden)]
pub fn finish_table(result: Result<(), String>, node: &Node, cx: &mut Cx) {
    if let Err(message) = result {
        cx.invalid::<()>(node, message);
    }
}

/// Declares a struct by its fields: `name [as "key"]: Type [= default] [=> flags];`. Writes the struct, `Default`, [`FromYaml`],
/// [`ToYaml`](crate::ToYaml) and [`Fields`]. See the head of the crate for an example.
///
/// Flags, separated by blanks: `inline` (the keys of the field's own table stand among this one's), `always` (written back even when it has
/// its zero value), `required("text")` (refused with the text when it has its zero value at the end), `with(f)` (read by
/// `f(&Node, &mut Cx) -> Option<T>`; null keeps the default), `hidden` (never written back). After the name may stand `check(f)`, a `fn(&mut Self) -> Result<(), String>`.
#[macro_export]
macro_rules! table {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident as $type_name:literal $(check($check:expr))? {
            $(
                $(#[$fmeta:meta])*
                $fvis:vis $field:ident $(as $key:literal)? : $fty:ty $(= $default:expr)? $(=> $($flag:ident $(($arg:expr))?)+)? ;
            )*
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $( $(#[$fmeta])* $fvis $field: $fty, )*
        }

        impl ::std::default::Default for $name {
            fn default() -> Self {
                $name { $( $field: $crate::__table_default!($($default)?), )* }
            }
        }

        impl $crate::Fields for $name {
            const TYPE: &'static str = $type_name;

            #[allow(unused_variables, reason = "an empty table needs none of them")]
            fn set(&mut self, key: &str, node: &$crate::Node, cx: &mut $crate::Cx) -> bool {
                $( $crate::__table_set!([$($([$flag $(($arg))?])+)?] [$($key)?] self key node cx $field); )*
                false
            }

            #[allow(unused_variables, reason = "an empty table needs none of them")]
            fn finish(&mut self, node: &$crate::Node, cx: &mut $crate::Cx) {
                $( $crate::__table_finish!([$($([$flag $(($arg))?])+)?] self node cx $field); )*
                $( $crate::finish_table(($check)(self), node, cx); )?
            }

            #[allow(unused_variables, reason = "an empty table needs none of them")]
            fn write(&self, out: &mut $crate::MapWriter) {
                $( $crate::__table_write!([$($([$flag $(($arg))?])+)?] [$($key)?] self out $field); )*
            }

            fn all_empty(&self) -> bool {
                true $( && $crate::ToYaml::is_empty(&self.$field) )*
            }
        }

        impl $crate::FromYaml for $name {
            fn from_yaml(node: &$crate::Node, cx: &mut $crate::Cx) -> Option<Self> {
                $crate::decode_table(node, cx)
            }

            fn type_name() -> String {
                <Self as $crate::Fields>::TYPE.into()
            }
        }

        impl $crate::ToYaml for $name {
            fn to_value(&self) -> $crate::Value {
                $crate::MapWriter::table(self)
            }

            fn is_empty(&self) -> bool {
                $crate::Fields::all_empty(self)
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __table_default {
    () => {
        ::std::default::Default::default()
    };
    ($default:expr) => {
        $default
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __table_key {
    ([] $field:ident) => {
        ::std::stringify!($field)
    };
    ([$key:literal] $field:ident) => {
        $key
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __table_set {
    ([[inline] $($rest:tt)*] $k:tt $self:ident $key:ident $node:ident $cx:ident $field:ident) => {
        if $crate::Fields::set(&mut $self.$field, $key, $node, $cx) {
            return true;
        }
    };
    ([[with($f:expr)] $($rest:tt)*] $k:tt $self:ident $key:ident $node:ident $cx:ident $field:ident) => {
        if $key == $crate::__table_key!($k $field) {
            let read: fn(&$crate::Node, &mut $crate::Cx) -> Option<_> = $f;
            if !$node.is_null() && let Some(v) = read($node, $cx) {
                $self.$field = v;
            }
            return true;
        }
    };
    ([[$($skip:tt)*] $($rest:tt)*] $k:tt $self:ident $key:ident $node:ident $cx:ident $field:ident) => {
        $crate::__table_set!([$($rest)*] $k $self $key $node $cx $field)
    };
    ([] $k:tt $self:ident $key:ident $node:ident $cx:ident $field:ident) => {
        if $key == $crate::__table_key!($k $field) {
            let read = if $node.is_null() { $crate::FromYaml::null() } else { $crate::FromYaml::from_yaml($node, $cx) };
            if let Some(v) = read {
                $self.$field = v;
            }
            return true;
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __table_finish {
    ([[inline] $($rest:tt)*] $self:ident $node:ident $cx:ident $field:ident) => {
        $crate::Fields::finish(&mut $self.$field, $node, $cx)
    };
    ([[required($text:expr)] $($rest:tt)*] $self:ident $node:ident $cx:ident $field:ident) => {
        if $crate::ToYaml::is_empty(&$self.$field) {
            $crate::finish_table(Err(::std::string::String::from($text)), $node, $cx);
        }
    };
    ([[$($skip:tt)*] $($rest:tt)*] $self:ident $node:ident $cx:ident $field:ident) => {
        $crate::__table_finish!([$($rest)*] $self $node $cx $field)
    };
    ([] $self:ident $node:ident $cx:ident $field:ident) => {};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __table_write {
    ([[inline] $($rest:tt)*] $k:tt $self:ident $out:ident $field:ident) => {
        $crate::Fields::write(&$self.$field, $out)
    };
    ([[always] $($rest:tt)*] $k:tt $self:ident $out:ident $field:ident) => {
        $out.push($crate::__table_key!($k $field), &$self.$field)
    };
    ([[hidden] $($rest:tt)*] $k:tt $self:ident $out:ident $field:ident) => {};
    ([[$($skip:tt)*] $($rest:tt)*] $k:tt $self:ident $out:ident $field:ident) => {
        $crate::__table_write!([$($rest)*] $k $self $out $field)
    };
    ([] $k:tt $self:ident $out:ident $field:ident) => {
        $out.push_unless_empty($crate::__table_key!($k $field), &$self.$field)
    };
}

/// [`FromYaml`] and [`ToYaml`](crate::ToYaml) for a type that is a string in the file: `text_type!(Type, "go.Name", parse, print)`, where
/// `parse: fn(&str) -> Result<Type, impl Display>` and `print: fn(&Type) -> String`; an empty text is the zero value.
#[macro_export]
macro_rules! text_type {
    ($ty:ty, $type_name:literal, $parse:expr, $print:expr) => {
        impl $crate::FromYaml for $ty {
            fn from_yaml(node: &$crate::Node, cx: &mut $crate::Cx) -> Option<Self> {
                let text = <String as $crate::FromYaml>::from_yaml(node, cx)?;
                match ($parse)(text.as_str()) {
                    Ok(v) => Some(v),
                    Err(e) => cx.invalid(node, ::std::string::ToString::to_string(&e)),
                }
            }

            fn type_name() -> String {
                $type_name.into()
            }
        }

        impl $crate::ToYaml for $ty {
            fn to_value(&self) -> $crate::Value {
                $crate::Value::Str(($print)(self))
            }

            fn is_empty(&self) -> bool {
                ($print)(self).is_empty()
            }
        }
    };
}

/// An enum whose values are words: `choice! { pub enum Scheme = Http { Http = "http", Https = "https" } unknown "unknown scheme {}" }`.
/// The first name is the default; in the text of `unknown`, `{}` stands for what was written, in quotes.
#[macro_export]
macro_rules! choice {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident = $default:ident {
            $( $(#[$vmeta:meta])* $variant:ident = $word:literal ),+ $(,)?
        } unknown $unknown:literal
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $name {
            $( $(#[$vmeta])* $variant ),+
        }

        impl $name {
            $vis fn as_str(self) -> &'static str {
                match self {
                    $( $name::$variant => $word ),+
                }
            }

            $vis fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $( $word => Ok($name::$variant), )+
                    other => Err(format!($unknown, format_args!("{other:?}"))),
                }
            }
        }

        impl ::std::default::Default for $name {
            fn default() -> Self {
                $name::$default
            }
        }

        $crate::text_type!($name, "string", $name::parse, |v: &$name| v.as_str().to_string());
    };
}
