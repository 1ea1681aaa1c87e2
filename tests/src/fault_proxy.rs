//! A proxy that spoils connections: slow, refused, silent, cut at any moment or at a chosen one. It stands before a real
//! server, so that what is tested is what a client makes of a real network's faults.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "test code")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Where the server behind listens.
#[derive(Debug, Clone)]
pub enum Behind {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What is wrong with the connections just now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Every piece, in either direction, comes so much later.
    pub delay: Duration,
    /// Nothing gets through, in either direction, and no connection ends.
    pub silent: bool,
    /// New connections are closed at once.
    pub refused: bool,
}

/// Listens on a loopback port until it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    faults: watch::Sender<Faults>,
    /// Counts the cuts: a connection ends when it sees another number than it began with.
    cuts: watch::Sender<u64>,
    chosen: Arc<Chosen>,
    _accepting: AbortOnDropHandle<()>,
}

/// Cuts to come.
#[derive(Default)]
struct Chosen {
    requests: AtomicU32,
    answers: AtomicU32,
}

/// What the two directions of one connection share.
struct Line {
    faults: watch::Receiver<Faults>,
    chosen: Arc<Chosen>,
    /// Whether its first request has come, which greets. That and its answer are not cut at a chosen moment.
    has_greeted: AtomicBool,
    is_past_greeting: AtomicBool,
}

#[derive(Clone, Copy)]
enum Direction {
    Requests,
    Answers,
}

impl Line {
    /// Whether the piece that has come is one to be cut instead of passed on.
    fn cuts(&self, direction: Direction) -> bool {
        let to_come = match direction {
            Direction::Requests => {
                let is_past = self.has_greeted.swap(true, Ordering::SeqCst);
                self.is_past_greeting.fetch_or(is_past, Ordering::SeqCst);
                &self.chosen.requests
            }
            Direction::Answers => &self.chosen.answers,
        };
        self.is_past_greeting.load(Ordering::SeqCst)
            && to_come.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

impl FaultProxy {
    pub async fn before(behind: Behind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (faults, seen) = watch::channel(Faults::default());
        let (cuts, cut) = watch::channel(0);
        let chosen = Arc::<Chosen>::default();
        let accepting = tokio::spawn(accept_for_ever(listener, Arc::new(behind), seen, cut, chosen.clone()));
        Self { address, faults, cuts, chosen, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// Where clients are to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub fn set(&self, faults: Faults) {
        self.faults.send_replace(faults);
    }

    /// From now on all is well.
    pub fn mend(&self) {
        self.set(Faults::default());
    }

    /// Cuts every connection, in the middle of whatever it carries.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts when the next `count` requests come, before the server sees them; never a connection's first.
    pub fn cut_requests(&self, count: u32) {
        self.chosen.requests.store(count, Ordering::SeqCst);
    }

    /// Cuts when the next `count` answers come, so that the server has done what its client does not hear of; never a
    /// connection's first.
    pub fn cut_answers(&self, count: u32) {
        self.chosen.answers.store(count, Ordering::SeqCst);
    }

    /// Whether it has cut at every chosen moment.
    pub fn has_cut(&self) -> bool {
        self.chosen.requests.load(Ordering::SeqCst) + self.chosen.answers.load(Ordering::SeqCst) == 0
    }
}

async fn accept_for_ever(
    listener: TcpListener,
    behind: Arc<Behind>,
    faults: watch::Receiver<Faults>,
    cuts: watch::Receiver<u64>,
    chosen: Arc<Chosen>,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if faults.borrow().refused {
            continue;
        }
        let (behind, mut cuts) = (behind.clone(), cuts.clone());
        let (has_greeted, is_past_greeting) = Default::default();
        let line = Line { faults: faults.clone(), chosen: chosen.clone(), has_greeted, is_past_greeting };
        cuts.mark_unchanged();
        tokio::spawn(async move {
            tokio::select! {
                () = carry(client, &behind, &line) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

async fn carry(client: TcpStream, behind: &Behind, line: &Line) {
    let (from_client, to_client) = client.into_split();
    match behind {
        Behind::Tcp(address) => {
            let Ok(server) = TcpStream::connect(address).await else { return };
            let (from_server, to_server) = server.into_split();
            both_ways(from_client, to_server, from_server, to_client, line).await;
        }
        Behind::Unix(path) => {
            let Ok(server) = UnixStream::connect(path).await else { return };
            let (from_server, to_server) = server.into_split();
            both_ways(from_client, to_server, from_server, to_client, line).await;
        }
    }
}

/// Until either side has closed; the other is then closed as well.
async fn both_ways(
    from_client: impl AsyncRead + Unpin,
    to_server: impl AsyncWrite + Unpin,
    from_server: impl AsyncRead + Unpin,
    to_client: impl AsyncWrite + Unpin,
    line: &Line,
) {
    tokio::select! {
        () = one_way(from_client, to_server, line, Direction::Requests) => {}
        () = one_way(from_server, to_client, line, Direction::Answers) => {}
    }
}

async fn one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, line: &Line, direction: Direction) {
    let (mut piece, mut faults) = (vec![0; 64 << 10], line.faults.clone());
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if line.cuts(direction) {
            return;
        }
        let delay = faults.borrow_and_update().delay;
        tokio::time::sleep(delay).await;
        if faults.wait_for(|faults| !faults.silent).await.is_err() {
            return;
        }
        let Some(read) = piece.get(..length) else { return };
        if to.write_all(read).await.is_err() {
            return;
        }
    }
}
