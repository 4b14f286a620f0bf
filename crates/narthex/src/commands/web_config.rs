//! `check web-config`: are files for --web.config.file right? The certificates that they name are opened.

use super::{Context, FAILURE, complain};
use std::path::Path;
use stdx::fs::RealFs;

pub fn run(cx: &Context) -> u8 {
    let mut code = 0;
    for file in cx.values.args("web-config-files") {
        match web::config::check(&RealFs, Path::new(file)) {
            Ok(_) => complain(&format!("{file} SUCCESS")),
            Err(e) => {
                complain(&format!("{file} FAILED: {e}"));
                code = FAILURE;
            }
        }
    }
    code
}
