//! With the feature `page`: bundles `../web` (or takes the bundle that a packaged crate carries in
//! `dist/`) and embeds it.

#[path = "build/page.rs"]
mod page;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
    time::SystemTime,
};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/page.rs");
    if env::var_os("CARGO_FEATURE_PAGE").is_none() {
        return;
    }
    if let Err(reason) = embed() {
        println!("cargo::error={reason}");
        process::exit(1);
    }
}

fn embed() -> Result<(), String> {
    let crate_folder = folder("CARGO_MANIFEST_DIR")?;
    let out = folder("OUT_DIR")?;
    let web = crate_folder.join("../web");
    let dist = if web.join("package.json").exists() {
        bundle(&web)?;
        web.join("dist")
    } else {
        println!("cargo::rerun-if-changed=dist");
        crate_folder.join("dist")
    };
    let copied = out.join("page");
    // Files of an earlier build that are gone from the page must not stay.
    if copied.exists() {
        fs::remove_dir_all(&copied).map_err(|error| format!("{}: {error}", copied.display()))?;
    }
    let cannot_read = |error| format!("cannot read the page from {}: {error}", dist.display());
    for file in page::collect(&dist).map_err(cannot_read)? {
        let target = copied.join(&file.path[1..]);
        let parent = target.parent().expect("it is below the page's folder");
        fs::create_dir_all(parent)
            .and_then(|()| fs::copy(&file.source, &target))
            .map_err(|error| format!("cannot copy to {}: {error}", target.display()))?;
    }
    let files = page::collect(&copied).map_err(|error| error.to_string())?;
    fs::write(out.join("assets.rs"), page::table(&files)?).map_err(|error| error.to_string())
}

/// Runs the page's own build, after installing what it needs if that is not there.
fn bundle(web: &Path) -> Result<(), String> {
    // Everything but tests and what builds write.
    for entry in fs::read_dir(web)
        .map_err(|error| format!("{}: {error}", web.display()))?
        .flatten()
    {
        let name = entry.file_name();
        if !["node_modules", "dist", "build", "test"]
            .iter()
            .any(|other| name == *other)
        {
            println!("cargo::rerun-if-changed={}", entry.path().display());
        }
    }
    let installed = modified(&web.join("node_modules/.package-lock.json"));
    if installed < modified(&web.join("package-lock.json")) || installed.is_none() {
        npm(web, &["ci", "--no-audit", "--no-fund"])?;
    }
    npm(web, &["run", "build"])
}

fn npm(web: &Path, arguments: &[&str]) -> Result<(), String> {
    let program = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let what = format!("`npm {}` in {}", arguments.join(" "), web.display());
    let output = Command::new(program)
        .args(arguments)
        .current_dir(web)
        .output()
        .map_err(|error| {
            format!(
                "{what} did not start ({error}): install Node.js 20 or later with npm, or build \
             without the page (`--no-default-features`)"
            )
        })?;
    if output.status.success() {
        return Ok(());
    }
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    Err(format!(
        "{what} failed ({}); its output is above",
        output.status
    ))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
}

fn folder(variable: &str) -> Result<PathBuf, String> {
    env::var_os(variable)
        .map(PathBuf::from)
        .ok_or(format!("cargo did not set {variable}"))
}
