//! The page, as the build script embedded it.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// Nothing but our own scripts, styles and workers; connections to this server and, for a page that
/// is used with another server, to any other; no frames, no forms.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self' ws: wss: http: https:; img-src 'self' data: blob:; media-src blob:; worker-src 'self'; \
     manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The SDK for other people's pages. Browsers import a module from another origin only if that origin
/// agrees; it is public and the same for everybody.
const SDK: &str = "/peerline.js";

const NO_PAGE: &str = "This is a Peerline signaling server that was built without its page \
     (cargo feature `page`).\nUse `peer-cli`, or build the server with the page.\n";

/// One file of the page.
struct Asset {
    /// Path on the server, with a leading slash.
    path: &'static str,
    content_type: &'static str,
    /// The digest of the content, in quotes.
    etag: &'static str,
    /// Whether the name changes with the content.
    immutable: bool,
    bytes: &'static [u8],
}

#[cfg(feature = "page")]
include!(concat!(env!("OUT_DIR"), "/assets.rs"));

#[cfg(not(feature = "page"))]
static ASSETS: &[Asset] = &[];

/// The response to `GET path`.
pub(crate) fn respond(path: &str, request: &HeaderMap) -> Response {
    let mut response = guarded(find(ASSETS, path, request));
    if path == SDK {
        let anybody = HeaderValue::from_static("*");
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anybody);
    }
    response
}

/// Adds what every page of ours forbids itself.
pub(super) fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn find(assets: &[Asset], path: &str, request: &HeaderMap) -> Response {
    let path = if path == "/" { "/index.html" } else { path };
    match assets.iter().find(|asset| asset.path == path) {
        Some(asset) => asset.response(request),
        None if assets.is_empty() && path == "/index.html" => NO_PAGE.into_response(),
        None => (StatusCode::NOT_FOUND, "Nothing is here.\n").into_response(),
    }
}

impl Asset {
    fn response(&self, request: &HeaderMap) -> Response {
        let caching = if self.immutable {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        let headers = [(header::ETAG, self.etag), (header::CACHE_CONTROL, caching)];
        let known = request.get_all(header::IF_NONE_MATCH).iter().any(|value| {
            value.to_str().is_ok_and(|tags| {
                tags.split(',')
                    .any(|tag| tag.trim().trim_start_matches("W/") == self.etag)
            })
        });
        if known {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (
            headers,
            [(header::CONTENT_TYPE, self.content_type)],
            self.bytes,
        )
            .into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &[Asset] = &[
        Asset {
            path: "/index.html",
            content_type: "text/html; charset=utf-8",
            etag: "\"1\"",
            immutable: false,
            bytes: b"<!doctype html>",
        },
        Asset {
            path: "/app-ABCDEFGH.js",
            content_type: "text/javascript; charset=utf-8",
            etag: "\"2\"",
            immutable: true,
            bytes: b"",
        },
    ];

    #[test]
    fn paths_and_caching() {
        let rows = [
            ("/", None, 200, Some("no-cache")),
            ("/index.html", Some("\"1\""), 304, Some("no-cache")),
            ("/", Some("\"0\", W/\"1\""), 304, Some("no-cache")),
            ("/", Some("\"2\""), 200, Some("no-cache")),
            (
                "/app-ABCDEFGH.js",
                None,
                200,
                Some("public, max-age=31536000, immutable"),
            ),
            ("/../Cargo.toml", None, 404, None),
            ("/%2e%2e/", None, 404, None),
            ("/nope", None, 404, None),
        ];
        for (path, tag, status, caching) in rows {
            let mut request = HeaderMap::new();
            if let Some(tag) = tag {
                request.insert(header::IF_NONE_MATCH, HeaderValue::from_static(tag));
            }
            let response = find(PAGE, path, &request);
            let got = response
                .headers()
                .get(header::CACHE_CONTROL)
                .map(|v| v.to_str().unwrap());
            assert_eq!(
                (response.status().as_u16(), got),
                (status, caching),
                "{path} {tag:?}"
            );
        }
    }

    #[test]
    fn a_server_without_a_page_says_so() {
        let response = find(&[], "/", &HeaderMap::new());
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/plain; charset=utf-8"
        );
    }

    #[cfg(feature = "page")]
    #[test]
    fn the_embedded_page_is_whole() {
        let index = ASSETS
            .iter()
            .find(|asset| asset.path == "/index.html")
            .unwrap();
        let html = std::str::from_utf8(index.bytes).unwrap();
        for link in html
            .split(['"', '\''])
            .filter(|text| text.ends_with(".js") || text.ends_with(".css"))
        {
            let path = format!("/{}", link.trim_start_matches("./").trim_start_matches('/'));
            assert!(
                ASSETS.iter().any(|asset| asset.path == path),
                "{path} is missing"
            );
        }
    }
}
