//! How many files and sockets this process may have open.

/// As many as it may have without asking anybody: each connection is one, and shells start programs with 1024.
#[cfg(unix)]
pub(crate) fn raise() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of descriptors stays as it is");
    }
}

#[cfg(not(unix))]
pub(crate) fn raise() {}
