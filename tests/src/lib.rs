//! End-to-end tests: they start the built binary, speak HTTP to it, and put real peers beside it.
