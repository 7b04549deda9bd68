//! A TCP stream that can be cut: from that instant nothing more is sent, and the peer sees a reset.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
};

/// Cuts the connection it belongs to.
#[derive(Clone, Default)]
pub(crate) struct Cut(Arc<Inner>);

#[derive(Default)]
struct Inner {
    done: AtomicBool,
    signal: Notify,
}

impl Cut {
    /// Lets the connection end with a reset.
    pub(crate) fn now(&self) {
        self.0.done.store(true, Ordering::SeqCst);
        self.0.signal.notify_one();
    }

    /// Waits for the cut.
    pub(crate) async fn done(&self) {
        self.0.signal.notified().await;
    }

    fn is_done(&self) -> bool {
        self.0.done.load(Ordering::SeqCst)
    }
}

/// The stream.
pub(crate) struct Wire {
    stream: TcpStream,
    cut: Cut,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, cut: Cut) -> Self {
        Self { stream, cut }
    }

    fn check(&self) -> io::Result<()> {
        if self.cut.is_done() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.cut.is_done() {
            // Closing with a linger of zero sends RST; where that fails, the peer still sees the end.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
