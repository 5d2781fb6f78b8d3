//! Turns a folder of finished files into Rust code that embeds them. Included by the build script,
//! and by its test.

use sha2::{Digest, Sha256};
use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

/// One file to embed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// Path on the server, with a leading slash.
    pub(crate) path: String,
    /// Where it is now.
    pub(crate) source: PathBuf,
    /// Hex of the first half of its SHA-256.
    pub(crate) digest: String,
}

/// All files below `folder` that a browser loads, sorted: source maps and type declarations, which
/// only developers need, stay out.
pub(crate) fn collect(folder: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(&current)? {
            let source = entry?.path();
            if source.is_dir() {
                folders.push(source);
                continue;
            }
            if source
                .extension()
                .is_some_and(|kind| kind == "map" || kind == "ts")
            {
                continue;
            }
            let relative = source.strip_prefix(folder).map_err(io::Error::other)?;
            let mut path = String::new();
            for part in relative.components() {
                let part = part.as_os_str().to_str().ok_or_else(|| {
                    io::Error::other(format!("{} is not UTF-8", source.display()))
                })?;
                path.push('/');
                path.push_str(part);
            }
            let digest = Sha256::digest(fs::read(&source)?);
            let digest = digest[..16].iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            files.push(File {
                path,
                source,
                digest,
            });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    if !files.iter().any(|file| file.path == "/index.html") {
        return Err(io::Error::other(format!(
            "{} has no index.html",
            folder.display()
        )));
    }
    Ok(files)
}

/// The definition of `ASSETS`.
pub(crate) fn table(files: &[File]) -> Result<String, String> {
    let mut code = "static ASSETS: &[Asset] = &[\n".to_owned();
    for File {
        path,
        source,
        digest,
    } in files
    {
        let content_type = content_type(path).ok_or_else(|| {
            format!("no content type is known for {path}: add it to build/page.rs")
        })?;
        let immutable = is_named_by_content(path);
        let source = source
            .to_str()
            .ok_or("the build folder's path is not UTF-8")?;
        let _ = writeln!(
            code,
            "    Asset {{ path: {path:?}, content_type: {content_type:?}, etag: {:?}, \
             immutable: {immutable}, bytes: include_bytes!({source:?}) }},",
            format!("\"{digest}\"")
        );
    }
    code.push_str("];\n");
    Ok(code)
}

fn content_type(path: &str) -> Option<&'static str> {
    Some(match path.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        _ => return None,
    })
}

/// Whether a name ends as the bundler writes it, `name-ABCD1234.js`: other content, other name.
fn is_named_by_content(path: &str) -> bool {
    let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    stem.rsplit_once('-').is_some_and(|(_, hash)| {
        hash.len() == 8
            && hash
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    })
}
