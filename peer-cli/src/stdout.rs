//! stdout as the end of a stream, which can be closed while the program goes on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::fs::File;
use tokio::io::AsyncWrite;

/// The data of a command. After its end whoever reads it sees that, although stdin may still be open.
pub(crate) struct Stdout {
    /// Unlike the standard library's, it keeps no half of a line to itself.
    file: Option<File>,
}

impl Stdout {
    pub(crate) fn new() -> io::Result<Self> {
        let file = duplicate()?;
        Ok(Self {
            file: Some(File::from_std(file)),
        })
    }

    fn file(&mut self) -> io::Result<Pin<&mut File>> {
        let file = self.file.as_mut().map(Pin::new);
        file.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncWrite for Stdout {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.file()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.file.as_mut() {
            Some(file) => Pin::new(file).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        if self.file.take().is_some() {
            close()?;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(unix)]
fn duplicate() -> io::Result<std::fs::File> {
    use std::os::fd::AsFd as _;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn duplicate() -> io::Result<std::fs::File> {
    use std::os::windows::io::AsHandle as _;
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

/// What reads stdout sees its end only when no descriptor is left. The number stays in use, so that no file that is
/// opened later gets it.
#[cfg(unix)]
fn close() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(null)?)
}

#[cfg(not(unix))]
fn close() -> io::Result<()> {
    Ok(())
}
