//! HTTP for whoever connects: a router on any listener, where no client holds a connection for longer than it is worth.
//!
//! A handler may take as long as it likes. What has a limit is the client: how long it takes to ask, and to take its
//! answer.

mod body;
mod stream;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use body::Timed;
use stream::Patient;

/// How long nothing is accepted after it failed: 100 milliseconds. A client that went away again, or no descriptor for
/// it: neither is helped by haste.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// The smallest buffer that HTTP can be spoken with, in bytes; hyper takes no smaller one.
const SMALLEST_BUFFER: usize = 8 * 1024;

/// Where clients connect.
pub trait Listen: Send {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Who is at its other end; handlers extract it as `ConnectInfo`.
    type Peer: Clone + Send + Sync + 'static;

    /// The next connection. It must be safe to drop this while it waits.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, Self::Peer)>> + Send;
}

impl Listen for TcpListener {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        TcpListener::accept(self).await
    }
}

/// What becomes of a connection whose request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// It is closed.
    Close,
    /// It waits for another request, as long as it may take to say one.
    Keep,
}

/// What clients may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many connections are served at once. Others wait to be accepted.
    pub connections: usize,
    /// How long a client may take to say the head of a request, counted from when the connection is there, or the answer
    /// before is gone.
    pub head: Duration,
    /// How long the head of a request may be, in bytes.
    pub head_size: usize,
    /// How long a client may take to say the body of a request, counted from the end of its head.
    pub body: Duration,
    /// How long the body of a request may be, in bytes.
    pub body_size: usize,
    /// How long a client may take to take an answer, counted from when it first has the agent wait.
    pub answer: Duration,
    /// What becomes of its connection after that.
    pub answered: Answered,
}

/// Serves for ever. A connection that is being served outlives this, so that who gave the last order has an answer.
pub async fn serve<L: Listen>(mut listener: L, router: Router, limits: Limits) {
    let router = router.layer(DefaultBodyLimit::max(limits.body_size));
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    // A client that is too slow, or goes away, has what it deserves.
                    let _ = answer(stream, peer, router, limits).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}

/// Answers what one client asks.
async fn answer<S, P>(stream: S, peer: P, router: Router, limits: Limits) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    P: Clone + Send + Sync + 'static,
{
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(|body| Body::new(Timed::new(body, limits.body)));
        request.extensions_mut().insert(ConnectInfo(peer.clone()));
        router.call(request)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_header_size(limits.head_size)
        .max_buf_size(limits.head_size.max(SMALLEST_BUFFER))
        .keep_alive(limits.answered == Answered::Keep)
        .serve_connection(TokioIo::new(Patient::new(stream, limits.answer)), service)
        .await
}

#[cfg(test)]
mod tests;
