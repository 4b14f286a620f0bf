//! The one binary.

mod flags;
mod log;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let _ = flags::Flags::parse("narthex", &args);
}
