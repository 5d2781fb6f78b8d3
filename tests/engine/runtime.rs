//! The engine's Tokio runtime with other sockets and another resolver.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
    TokioRuntime,
};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is different.
pub(super) trait Changes: Debug + Send + Sync + 'static {
    fn socket(&self, socket: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket>;

    /// `None` is for Tokio.
    fn resolve(&self, _host: &str) -> Option<Vec<SocketAddr>> {
        None
    }
}

#[derive(Debug)]
pub(super) struct Changed<C>(pub(super) C);

impl<C: Changes> Runtime for Changed<C> {
    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(self.0.socket(TokioRuntime.wrap_udp_socket(socket)?))
    }
    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }
    fn spawn_reactor(&self, pool: usize, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn_reactor(pool, future)
    }
    fn wrap_tcp_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }
    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        Box::pin(async move { TokioRuntime.connect_tcp(remote).await })
    }
    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            match self.0.resolve(host) {
                Some(found) => Ok(found),
                None => TokioRuntime.resolve_host(host).await,
            }
        })
    }
    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        TokioRuntime.sleep(duration)
    }
    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }
    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }
}
