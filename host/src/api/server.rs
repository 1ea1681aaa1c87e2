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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::allowance::Network;
use super::caller::Peer;
use super::socket::Socket;
use super::token_file::{Token, TokenError};
use crate::access::{Place, Places};
use crate::config::{Http, Listen};
use crate::metrics::{HttpRefusal, Metrics};
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
    /// Connections by where they come from.
    places: Places<Network>,
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
        let places = Places::new(http.max_connections_per_address.get());
        Ok(Self { listener, limits: http.clone(), places, token })
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
    pub(super) async fn serve(self, router: Router, metrics: Arc<Metrics>, shutdown: CancellationToken) -> bool {
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
                    Ok(Some(connection)) => drop(connections.spawn(connection)),
                    Ok(None) => metrics.http_refused(HttpRefusal::Connections),
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

    /// The next connection; none if its address has too many.
    async fn accept(
        &self,
        router: &Router,
        watcher: Watcher,
        slot: OwnedSemaphorePermit,
    ) -> io::Result<Option<Connection>> {
        let router = router.clone();
        Ok(Some(match &self.listener {
            Listener::Unix(socket) => {
                let (stream, _) = socket.listener.accept().await?;
                let peer = Peer::Unix { uid: stream.peer_cred()?.uid() };
                Box::pin(connection(stream, peer, router, self.http1(), watcher, (slot, None)))
            }
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let network = Network::from(address.ip());
                let Some(place) = self.places.enter(network) else {
                    turn_away(&stream);
                    return Ok(None);
                };
                let peer = Peer::Tcp { network };
                Box::pin(connection(stream, peer, router, self.http1(), watcher, (slot, Some(place))))
            }
        }))
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
    places: (OwnedSemaphorePermit, Option<Place<Network>>),
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    if let Err(error) = watcher.watch(http1.serve_connection(TokioIo::new(stream), service)).await {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(places);
}
/// Says why, if that can be said without waiting.
fn turn_away(stream: &TcpStream) {
    const BODY: &str = r#"{"type":"about:blank","title":"Too Many Requests","status":429,"code":"too_many_requests","detail":"too many connections from this address; http.max_connections_per_address is the most"}"#;
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    // Whoever has so many can do without.
    let _ = stream.try_write(answer.as_bytes());
}
