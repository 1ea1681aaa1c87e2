//! A proxy that counts round trips: how often a client speaks up after the server has answered; and of these, how often
//! it says nothing but "are you there?".

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rtmanager_tests::fault_proxy::Behind;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_util::task::AbortOnDropHandle;

/// PostgreSQL's Sync by itself. The pool of connections sends it when one is given back: nobody waits for its answer.
const PROBE: &[u8] = b"S\0\0\0\x04";

/// How often a client has asked.
#[derive(Debug, Default)]
struct Tally {
    asked: AtomicU64,
    probed: AtomicU64,
}

impl Tally {
    fn note(&self, piece: &[u8]) {
        let counter = if piece == PROBE { &self.probed } else { &self.asked };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Listens on a loopback port until it is dropped. Right for clients that do not send before they have their answer,
/// as those of PostgreSQL and Docker.
pub(crate) struct Counted {
    address: std::net::SocketAddr,
    tally: Arc<Tally>,
    _accepting: AbortOnDropHandle<()>,
}

impl Counted {
    pub(crate) async fn before(behind: Behind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, tally) = (listener.local_addr().unwrap(), Arc::<Tally>::default());
        let accepting = tokio::spawn(accept_for_ever(listener, behind, tally.clone()));
        Self { address, tally, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// Where clients are to connect.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    /// Round trips so far that somebody waited for.
    pub(crate) fn trips(&self) -> u64 {
        self.tally.asked.load(Ordering::Relaxed)
    }

    /// The others.
    pub(crate) fn probes(&self) -> u64 {
        self.tally.probed.load(Ordering::Relaxed)
    }
}

async fn accept_for_ever(listener: TcpListener, behind: Behind, tally: Arc<Tally>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        client.set_nodelay(true).unwrap();
        match &behind {
            Behind::Tcp(address) => {
                let server = TcpStream::connect(address).await.unwrap();
                server.set_nodelay(true).unwrap();
                tokio::spawn(carry(client, server, tally.clone()));
            }
            Behind::Unix(path) => {
                let server = UnixStream::connect(path).await.unwrap();
                tokio::spawn(carry(client, server, tally.clone()));
            }
        }
    }
}

/// Until either side closes or fails, which ends the other as well.
async fn carry(mut client: TcpStream, mut server: impl AsyncRead + AsyncWrite + Unpin, tally: Arc<Tally>) {
    let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut is_asking = false;
    loop {
        let carried = tokio::select! {
            Ok(length @ 1..) = client.read(&mut asked) => {
                if !std::mem::replace(&mut is_asking, true) {
                    tally.note(&asked[..length]);
                }
                server.write_all(&asked[..length]).await
            }
            Ok(length @ 1..) = server.read(&mut answered) => {
                is_asking = false;
                client.write_all(&answered[..length]).await
            }
            else => return,
        };
        if carried.is_err() {
            return;
        }
    }
}
