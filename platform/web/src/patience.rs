//! A stream with limits that hyper does not have: the first bytes must come soon (hyper waits without an end for
//! those that tell HTTP/2 from HTTP/1), and what is written must be taken in the end.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use base::World;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What an HTTP/2 client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(crate) struct Patient<S> {
    stream: S,
    world: World,
    limit: Duration,
    /// Until it is plain which protocol the client speaks.
    first: Option<Timer>,
    seen: usize,
    /// Since a write could not go on.
    stalled: Option<Timer>,
}

impl<S> Patient<S> {
    /// Silence before the first request, and a write that does not go on, end after `limit`.
    pub(crate) fn new(stream: S, world: World, limit: Duration) -> Patient<S> {
        let first = Some(timer(&world, limit));
        Patient { stream, world, limit, first, seen: 0, stalled: None }
    }

    /// Passes a write on, or its end when it stood still for too long.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        write: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stalled = None;
            return write;
        }
        let (world, limit) = (&self.world, self.limit);
        let stalled = self.stalled.get_or_insert_with(|| timer(world, limit));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

fn timer(world: &World, limit: Duration) -> Timer {
    let world = world.clone();
    Box::pin(async move { world.sleep(limit).await })
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_none() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            let fresh = buffer.filled().get(before..).unwrap_or_default();
            let expected = PREFACE.get(self.seen..).unwrap_or_default();
            self.seen += fresh.len();
            if fresh.is_empty() || self.seen >= PREFACE.len() || !expected.starts_with(fresh) {
                self.first = None;
            }
            return Poll::Ready(read);
        }
        match self.first.as_mut().map(|first| first.as_mut().poll(context)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            _ => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.watch(context, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shutdown = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, shutdown)
    }
}
