//! A stream whose first bytes must come soon. hyper waits without an end for those that tell HTTP/2 from
//! HTTP/1, so that silence would hold a connection for ever.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What an HTTP/2 client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) struct Prompt<S> {
    stream: S,
    /// Ends the wait; none as soon as the protocol is plain.
    deadline: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    seen: usize,
}

impl<S> Prompt<S> {
    /// Until `deadline` ends, the stream must have said which protocol it speaks.
    pub(crate) fn new(stream: S, deadline: impl Future<Output = ()> + Send + 'static) -> Prompt<S> {
        Prompt { stream, deadline: Some(Box::pin(deadline)), seen: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prompt<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.deadline.is_none() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            let fresh = buffer.filled().get(before..).unwrap_or_default();
            let expected = PREFACE.get(self.seen..).unwrap_or_default();
            self.seen += fresh.len();
            let plain = fresh.is_empty()
                || self.seen >= PREFACE.len()
                || !expected
                    .starts_with(fresh.get(..expected.len().min(fresh.len())).unwrap_or(fresh));
            if plain {
                self.deadline = None;
            }
            return Poll::Ready(read);
        }
        match self.deadline.as_mut().map(|deadline| deadline.as_mut().poll(context)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            _ => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prompt<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
