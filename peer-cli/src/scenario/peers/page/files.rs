//! The directory of a page over HTTP, if the page is a file: `localhost` is a secure context with an origin, which
//! `file:` is not.

use std::net::Ipv4Addr;
use std::path::{Component, Path, PathBuf};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::exit::io_reason;

/// Largest file that is served.
const LARGEST: u64 = 64 << 20;

/// Serves one directory, on this host only, for as long as it lives.
pub(in super::super::super) struct Files {
    url: String,
    _task: AbortOnDropHandle<()>,
}

impl Files {
    /// Serves the directory of a page; what follows a `?` or `#` stays in its address.
    pub(in super::super::super) fn serve(directory: &Path, page: &str) -> Result<Self, String> {
        let end = page.find(['?', '#']).unwrap_or(page.len());
        let (path, rest) = page.split_at(end);
        let found = directory.join(path).canonicalize();
        let found = found.map_err(|error| format!("'{path}': {}", io_reason(&error)))?;
        let name = found
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let (Some(root), Some(name)) = (found.parent().map(Path::to_owned), name) else {
            return Err(format!("'{path}' is no file"));
        };
        let listening =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| {
                listener.set_nonblocking(true)?;
                let port = listener.local_addr()?.port();
                Ok((TcpListener::from_std(listener)?, port))
            });
        let (listener, port) =
            listening.map_err(|error| format!("cannot serve '{path}': {}", io_reason(&error)))?;
        let router = Router::new().fallback(file).with_state(root);
        let serving = tokio::spawn(async move {
            // It ends with its task.
            let _ = axum::serve(listener, router).await;
        });
        let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        Ok(Self {
            url: format!("http://localhost:{port}/{}{rest}", name.replace('+', "%20")),
            _task: AbortOnDropHandle::new(serving),
        })
    }

    /// The address of the page.
    pub(in super::super::super) fn url(&self) -> &str {
        &self.url
    }
}

async fn file(State(root): State<PathBuf>, uri: Uri) -> Response {
    let Some(path) = below(&root, uri.path()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let found = tokio::fs::metadata(&path).await;
    match found {
        Ok(found) if found.is_file() && found.len() <= LARGEST => {}
        _ => return StatusCode::NOT_FOUND.into_response(),
    }
    match tokio::fs::read(&path).await {
        Ok(content) => {
            let headers = [
                (header::CONTENT_TYPE, kind(&path)),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (headers, content).into_response()
        }
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A path that leads nowhere but below `root`.
fn below(root: &Path, path: &str) -> Option<PathBuf> {
    // Read as the part of a URL that a query is.
    let decoded = url::form_urlencoded::parse(format!("p={}", path.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, path)| path.into_owned())?;
    let relative = Path::new(decoded.trim_start_matches('/'));
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    relative
        .components()
        .all(plain)
        .then(|| root.join(relative))
}

fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("wasm") => "application/wasm",
        Some("webm") => "video/webm",
        Some("mp4") => "video/mp4",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_above_the_directory_is_served() {
        let root = Path::new("/home/someone/flows");
        assert_eq!(below(root, "/a/b.html"), Some(root.join("a/b.html")));
        assert_eq!(below(root, "/a%20b+c&d.html"), Some(root.join("a b+c")));
        for path in ["/../x", "/a/../../x", "/%2e%2e/x", "/a/%2E%2E/x", "//../x"] {
            assert_eq!(below(root, path), None, "{path}");
        }
    }
}
