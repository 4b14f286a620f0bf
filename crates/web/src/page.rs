//! The page: one document for all its routes, with what it must know written into it.

use crate::api::App;
use crate::server::Reply;
use http::StatusCode;

const PAGE: &str = include_str!("page.html");

pub fn page(app: &App) -> Reply {
    let escape = |s: &str| s.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let html = PAGE
        .replace("{{title}}", &escape(&app.options.page_title))
        .replace("{{prefix}}", &escape(&app.options.route_prefix))
        .replace("{{agent}}", if app.options.agent { "true" } else { "false" });
    Reply::new(StatusCode::OK, "text/html; charset=utf-8", html)
}
