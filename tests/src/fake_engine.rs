//! A Docker Engine that answers what a test tells it to, over a unix socket.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test harness: a failure here is a failed test"
)]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rtmanager::adapters::docker::{DockerEngine, DockerOptions, Endpoint, RemovalOptions};
use rtmanager::model::{ContainerId, Labels};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// What can be asked of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Which API versions it speaks.
    Version,
    /// Whether it is there.
    Ping,
    /// A container.
    Inspect,
    /// To remove a container.
    Delete,
    /// The containers.
    List,
    /// An image.
    Image,
    /// What happens.
    Events,
}

/// What it answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A status and a JSON body.
    Json(u16, Value),
    /// Status 404 by something other than the engine, such as a proxy that has lost it.
    ProxyNotFound,
    /// Nothing, while the connection stays open.
    Hang,
    /// Nothing: the connection is cut.
    Cut,
    /// A success whose body is cut half way.
    CutBody,
    /// A success with these lines, after which the connection stays open.
    Lines(String),
    /// The reply after a while.
    After(Duration, Box<Reply>),
}

impl Reply {
    /// A failure as the engine words it.
    pub fn failure(status: u16, message: &str) -> Self {
        Self::Json(status, json!({ "message": message }))
    }

    /// The container in a state.
    pub fn container(state: &str) -> Self {
        Self::Json(200, container(&container_id(), state, &Labels::new()))
    }

    /// No such thing.
    pub fn absent() -> Self {
        Self::failure(404, "No such container")
    }

    /// The removal is done.
    pub fn done() -> Self {
        Self::Json(204, Value::Null)
    }
}

/// The container that scripts are about.
pub fn container_id() -> ContainerId {
    "c".repeat(64).parse().unwrap()
}

/// The image of scripted containers.
pub fn image_id() -> String {
    format!("sha256:{}", "d".repeat(64))
}

/// A container as the engine describes it.
pub fn container(id: &ContainerId, state: &str, labels: &Labels) -> Value {
    json!({
        "Id": id.as_str(), "Name": "/fixture", "Created": "2026-01-01T00:00:00Z", "Image": image_id(),
        "State": {
            "Status": state, "ExitCode": 0,
            "StartedAt": "2026-01-01T00:00:01Z", "FinishedAt": "2026-01-01T00:00:02Z",
        },
        "Config": { "Image": "fixture:1", "Labels": labels },
    })
}

/// A container as the engine lists it.
pub fn listed(id: &ContainerId, labels: &Labels) -> Value {
    json!({ "Id": id.as_str(), "ImageID": image_id(), "State": "exited", "Labels": labels })
}

/// The scripted engine. It ends with the value.
#[derive(Debug)]
pub struct FakeEngine {
    dir: tempfile::TempDir,
    script: Arc<Script>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Script {
    replies: Mutex<HashMap<Call, VecDeque<Reply>>>,
    requests: Mutex<Vec<String>>,
}

impl FakeEngine {
    /// An engine that speaks API 1.12 to 1.41, and answers 500 to whatever is not scripted.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = Arc::new(Script::default());
        let server = serve(&dir, &script);
        let fake = Self { dir, script, server };
        fake.on(Call::Version, [Reply::Json(200, json!({ "ApiVersion": "1.41", "MinAPIVersion": "1.12" }))]);
        fake.on(Call::Ping, [Reply::Json(200, json!("OK"))]);
        fake
    }

    /// Sets the replies to a call, in order; the last stays.
    pub fn on(&self, call: Call, replies: impl IntoIterator<Item = Reply>) {
        self.script.replies.lock().unwrap().insert(call, replies.into_iter().collect());
    }

    /// All requests so far, such as `GET /v1.41/containers/…/json`.
    pub fn requests(&self) -> Vec<String> {
        self.script.requests.lock().unwrap().clone()
    }

    /// How many removals were asked for.
    pub fn deletes(&self) -> usize {
        self.requests().iter().filter(|request| request.starts_with("DELETE ")).count()
    }

    /// Stops listening: connecting is refused.
    pub fn stop(&self) {
        self.server.abort();
        std::fs::remove_file(self.dir.path().join("socket")).unwrap();
    }

    /// The adapter, with limits of some hundred milliseconds.
    pub fn engine(&self) -> DockerEngine {
        DockerEngine::connect(&self.options()).unwrap()
    }

    /// Options with limits of some hundred milliseconds.
    pub fn options(&self) -> DockerOptions {
        DockerOptions {
            endpoint: Endpoint::Unix(self.dir.path().join("socket")),
            request_timeout: Duration::from_millis(300),
            removal: RemovalOptions {
                poll: Duration::from_millis(5),
                deadline: Duration::from_millis(600),
                anonymous_volumes: false,
            },
        }
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn serve(dir: &tempfile::TempDir, script: &Arc<Script>) -> JoinHandle<()> {
    let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
    let script = Arc::clone(script);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let script = Arc::clone(&script);
            // A client that hangs up in the middle is part of the play.
            tokio::spawn(async move { answer(stream, &script).await.ok() });
        }
    })
}

async fn answer(mut stream: UnixStream, script: &Script) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let request = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let mut reply = script.next(&request);
    script.requests.lock().unwrap().push(request);
    while let Reply::After(pause, later) = reply {
        tokio::time::sleep(pause).await;
        reply = *later;
    }
    match reply {
        Reply::Json(status, body) => write(&mut stream, status, &body).await,
        Reply::ProxyNotFound => stream.write_all(b"HTTP/1.1 404 x\r\nContent-Length: 2\r\n\r\n{}").await,
        Reply::CutBody => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{\"Id\":").await,
        Reply::Lines(lines) => {
            let head = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(format!("{head}{:x}\r\n{lines}\r\n", lines.len()).as_bytes()).await?;
            std::future::pending().await
        }
        Reply::Hang => std::future::pending().await,
        Reply::Cut | Reply::After(..) => Ok(()),
    }
}

async fn write(stream: &mut UnixStream, status: u16, body: &Value) -> std::io::Result<()> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = if status == 204 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("HTTP/1.1 {status} x\r\nApi-Version: 1.41\r\n{length}Connection: close\r\n\r\n");
    stream.write_all((head + &body).as_bytes()).await?;
    stream.shutdown().await
}

impl Script {
    fn next(&self, request: &str) -> Reply {
        let call = match request {
            _ if request.starts_with("DELETE ") => Call::Delete,
            _ if request.ends_with("/version") => Call::Version,
            _ if request.ends_with("/_ping") => Call::Ping,
            _ if request.contains("/containers/json") => Call::List,
            _ if request.contains("/images/") => Call::Image,
            _ if request.contains("/events") => Call::Events,
            _ => Call::Inspect,
        };
        let mut replies = self.replies.lock().unwrap();
        match replies.get_mut(&call) {
            Some(queue) if queue.len() > 1 => queue.pop_front().unwrap(),
            Some(queue) => queue.front().cloned().unwrap_or_else(|| Reply::failure(500, "not scripted")),
            None => Reply::failure(500, "not scripted"),
        }
    }
}
