//! The one HTTP client: what a http_config section of the configuration says, as connections.
