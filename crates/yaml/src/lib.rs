//! Spanned YAML: a tree with places, strict decoding with Go-like scalars, and writing back.
