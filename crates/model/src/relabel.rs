//! Relabelling: rules that rewrite, keep or drop a set of labels.
