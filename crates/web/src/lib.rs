//! Everything that speaks HTTP in: the API, the receiver's route, federation, own metrics, the page.

pub mod server;
