use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};

/// The page itself; what stands behind `/console/` is its own business.
pub(super) async fn page() -> Response {
    if salus_console::is_built() {
        return file(salus_console::PAGE);
    }
    let text = "the console was not built into this program: build it where Node 20 and npm are. \
                Everything else of the node works all the same.\n";
    (StatusCode::NOT_FOUND, text).into_response()
}

pub(super) async fn asset(Path(name): Path<String>) -> Response {
    file(&format!("assets/{name}"))
}

pub(super) async fn icon() -> Response {
    file("icon.svg")
}

fn file(path: &str) -> Response {
    let Some(file) = salus_console::file(path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let kept = if salus_console::is_immutable(file.path) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    ([(CONTENT_TYPE, file.content_type), (CACHE_CONTROL, kept)], file.bytes).into_response()
}
