//! An answer that keeps its caller's place until it is written: who reads slowly holds no more places than who asks.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};

/// The answer, which holds this for as long as it is under way.
pub(super) fn held<T: Send + Unpin + 'static>(response: Response, place: Option<T>) -> Response {
    match place {
        None => response,
        Some(place) => response.map(|body| Body::new(Held { body, _place: place })),
    }
}

struct Held<T> {
    body: Body,
    _place: T,
}

impl<T: Unpin> HttpBody for Held<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
