//! The listener: takes connections, bounds them in number, header size and time, and drains at the end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::caller::Peer;
use super::socket::Socket;
use super::token_file::{Token, TokenError};
use crate::config::{Http, Listen};
use crate::ports::Randomness;

/// After a failed accept (out of file descriptors, say): long enough not to spin, short enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The interface cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing can listen there.
    #[error("cannot listen on {listen}: {source}")]
    Bind {
        /// Where.
        listen: Listen,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no token for the TCP interface.
    #[error(transparent)]
    Token(#[from] TokenError),
}

type Connection = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Debug)]
enum Listener {
    Unix(Socket),
    Tcp(TcpListener),
}

/// A bound listener that does not take connections yet.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    limits: Http,
    pub(super) token: Option<Token>,
}

impl Server {
    /// Binds the listener; on TCP, reads or makes the token first.
    pub async fn bind(http: &Http, randomness: &dyn Randomness) -> Result<Self, Error> {
        let failed = |source| Error::Bind { listen: http.listen.clone(), source };
        let (listener, token) = match &http.listen {
            Listen::Unix(path) => (Listener::Unix(Socket::bind(path).map_err(failed)?), None),
            Listen::Tcp(address) => {
                let token = Token::load_or_make(&http.token_file, randomness)?;
                (Listener::Tcp(TcpListener::bind(address).await.map_err(failed)?), Some(token))
            }
        };
        Ok(Self { listener, limits: http.clone(), token })
    }

    /// Where it listens; with the port that was chosen if port 0 was asked for.
    pub fn listen(&self) -> Listen {
        match &self.listener {
            Listener::Unix(_) => self.limits.listen.clone(),
            Listener::Tcp(listener) => listener.local_addr().map_or_else(|_| self.limits.listen.clone(), Listen::Tcp),
        }
    }

    /// Serves until `shutdown`, then lets requests under way finish for as long as the drain time allows.
    /// Answers whether all did.
    pub(super) async fn serve(self, router: Router, shutdown: CancellationToken) -> bool {
        let slots = Arc::new(Semaphore::new(self.limits.max_connections.get()));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        while let Some(slot) = tokio::select! {
            () = shutdown.cancelled() => None,
            slot = slots.clone().acquire_owned() => slot.ok(),
        } {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = self.accept(&router, graceful.watcher(), slot) => match accepted {
                    Ok(connection) => drop(connections.spawn(connection)),
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not taken");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        let drain_time = self.limits.drain_time;
        // New callers are refused at once rather than left waiting in a queue that nobody serves.
        drop(self);
        tokio::time::timeout(drain_time, graceful.shutdown()).await.is_ok()
    }

    async fn accept(&self, router: &Router, watcher: Watcher, slot: OwnedSemaphorePermit) -> io::Result<Connection> {
        let router = router.clone();
        Ok(match &self.listener {
            Listener::Unix(socket) => {
                let (stream, _) = socket.listener.accept().await?;
                let peer = Peer::Unix { uid: stream.peer_cred()?.uid() };
                Box::pin(connection(stream, peer, router, self.http1(), watcher, slot))
            }
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Box::pin(connection(stream, Peer::Tcp, router, self.http1(), watcher, slot))
            }
        })
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        // Without a timer hyper's header time-out does nothing.
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_time)
            .max_header_size(self.limits.max_header_bytes)
            .max_buf_size(self.limits.max_header_bytes.max(64 << 10));
        builder
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    router: Router,
    http1: http1::Builder,
    watcher: Watcher,
    slot: OwnedSemaphorePermit,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    if let Err(error) = watcher.watch(http1.serve_connection(TokioIo::new(stream), service)).await {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(slot);
}
