//! A registry in this process that lies as it is told to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// What it answers at a path.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) manner: Manner,
}

/// How it sends a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Whole,
    /// In pieces, without its length.
    Chunked,
    /// With this length, whatever it has.
    Announced(u64),
    /// Until the end of the connection.
    Unmeasured,
    /// Again and again, without end.
    Endless,
    /// A byte now and then, without end.
    Trickling,
    /// The connection ends after so many bytes of everything, head included.
    Broken(usize),
    /// Without any head.
    NoHttp,
}

impl Answer {
    pub(super) fn of(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into(), manner: Manner::Whole }
    }

    pub(super) fn refusing(status: u16) -> Self {
        Self { status, ..Self::of("{\"errors\":[{\"code\":\"NAME_UNKNOWN\"}]}") }
    }
}

pub(super) struct Liar {
    pub(super) address: String,
    /// The most bytes of one answer that were taken off its hands.
    pub(super) sent: Arc<AtomicU64>,
    _accepting: AbortOnDropHandle<()>,
}

impl Liar {
    /// Answers at each path as it is told for it, and with 404 at any other. `at` is given the registry's address.
    pub(super) async fn start(at: impl FnOnce(&str) -> BTreeMap<String, Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (answers, sent) = (Arc::new(at(&address)), Arc::<AtomicU64>::default());
        let counting = sent.clone();
        let accepting = tokio::spawn(async move {
            // Whoever is still being answered goes when the registry goes.
            let mut answering = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (answers, counting) = (answers.clone(), counting.clone());
                answering.spawn(async move {
                    let count = AtomicU64::new(0);
                    serve(client, &answers, &count).await;
                    counting.fetch_max(count.load(Ordering::Relaxed), Ordering::Relaxed);
                });
            }
        });
        Self { address, sent, _accepting: AbortOnDropHandle::new(accepting) }
    }
}

async fn serve(mut client: TcpStream, answers: &BTreeMap<String, Answer>, count: &AtomicU64) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(client.read_u8().await.ok()?);
    }
    let request = String::from_utf8(request).ok()?;
    let path = request.split([' ', '?']).nth(1)?;
    let absent = Answer::refusing(404);
    let answer = answers.get(path).unwrap_or(&absent);
    let mut head = format!("HTTP/1.1 {} said\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match answer.manner {
        Manner::Whole | Manner::Broken(_) => head.push_str(&format!("Content-Length: {}\r\n", answer.body.len())),
        Manner::Announced(length) => head.push_str(&format!("Content-Length: {length}\r\n")),
        Manner::Chunked | Manner::Endless => head.push_str("Transfer-Encoding: chunked\r\n"),
        Manner::Unmeasured | Manner::Trickling | Manner::NoHttp => {}
    }
    head.push_str("\r\n");
    let mut to = Counted { client, count };
    match answer.manner {
        Manner::NoHttp => to.send(&answer.body).await,
        Manner::Broken(after) => {
            let all = [head.as_bytes(), &answer.body].concat();
            to.send(&all[..after.min(all.len())]).await
        }
        Manner::Whole | Manner::Announced(_) | Manner::Unmeasured => {
            to.send(head.as_bytes()).await?;
            to.send(&answer.body).await
        }
        Manner::Chunked => {
            to.send(head.as_bytes()).await?;
            for piece in answer.body.chunks(1_000) {
                to.chunk(piece).await?;
            }
            to.send(b"0\r\n\r\n").await
        }
        Manner::Endless => {
            to.send(head.as_bytes()).await?;
            let body = if answer.body.is_empty() { b"[" } else { answer.body.as_slice() };
            let piece = body.repeat((64 << 10) / body.len() + 1);
            loop {
                to.chunk(&piece).await?;
            }
        }
        Manner::Trickling => {
            to.send(head.as_bytes()).await?;
            loop {
                to.send(b" ").await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

struct Counted<'c> {
    client: TcpStream,
    count: &'c AtomicU64,
}

impl Counted<'_> {
    /// None once nobody takes it.
    async fn send(&mut self, bytes: &[u8]) -> Option<()> {
        self.client.write_all(bytes).await.ok()?;
        self.count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Some(())
    }

    async fn chunk(&mut self, piece: &[u8]) -> Option<()> {
        self.send(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
        self.send(piece).await?;
        self.send(b"\r\n").await
    }
}
