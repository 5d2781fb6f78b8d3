//! What the server says over plain HTTP, and how the page gets into the program.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "../build/page.rs"]
mod page;

use common::{TestServer, exchange, status};
use std::fs;

async fn get(server: &TestServer, path: &str) -> (u16, String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = exchange(&mut server.raw().await, request.as_bytes()).await;
    let code = status(&answer).unwrap();
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (code, head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn health() {
    let server = TestServer::start().await;
    let (code, head, body) = get(&server, "/healthz").await;
    assert_eq!(code, 200);
    assert!(head.contains("content-type: application/json"));
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["service"], "peerline");
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn everything_of_the_page_comes_with_its_headers() {
    let server = TestServer::start().await;
    let (code, head, body) = get(&server, "/").await;
    assert_eq!(code, 200);
    assert!(!body.is_empty());
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; \
         connect-src 'self' ws: wss: http: https:; img-src 'self' data: blob:; media-src blob:; \
         worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
    ] {
        assert!(head.contains(header), "{header} is missing in\n{head}");
    }
    assert!(!head.contains("set-cookie"));
    assert!(!head.contains("access-control-allow-origin"));
    let (_, head, _) = get(&server, "/peerline.js").await;
    assert!(head.contains("access-control-allow-origin: *"), "{head}");
    assert_eq!(get(&server, "/nothing/here").await.0, 404);
}

#[tokio::test]
async fn pages_of_other_origins_may_import_the_sdk_and_nothing_else() {
    let server = TestServer::start().await;
    let (_, head, _) = get(&server, "/peerline.js").await;
    assert!(
        head.contains("\r\naccess-control-allow-origin: *\r\n"),
        "{head}"
    );
    for path in ["/", "/app.js", "/healthz"] {
        let (_, head, _) = get(&server, path).await;
        assert!(!head.contains("access-control"), "{path}: {head}");
    }
}

#[test]
fn a_folder_becomes_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    assert!(
        page::collect(folder.path()).is_err(),
        "a page has an index.html"
    );
    write("index.html", "<!doctype html>");
    write("app.js", "1");
    write("app.js.map", "{}");
    write("types/app.d.ts", "");
    write("assets/style-ABCD1234.css", "a{}");
    let files = page::collect(folder.path()).unwrap();
    let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        paths,
        ["/app.js", "/assets/style-ABCD1234.css", "/index.html"]
    );
    assert_eq!(
        files[0].digest, "6b86b273ff34fce19d6b804eff5a3f57",
        "SHA-256 of 1, first half"
    );

    let code = page::table(&files).unwrap();
    assert!(code.contains(r#"path: "/app.js", content_type: "text/javascript; charset=utf-8""#));
    assert!(code.contains(r#"etag: "\"6b86b273ff34fce19d6b804eff5a3f57\"", immutable: false"#));
    assert_eq!(code.matches("immutable: true").count(), 1);
    assert_eq!(code.matches("include_bytes!").count(), 3);

    write("movie.avi", "");
    let error = page::table(&page::collect(folder.path()).unwrap()).unwrap_err();
    assert!(error.contains("/movie.avi"), "{error}");
}
