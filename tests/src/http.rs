//! A client of the REST interface that writes its bytes itself, so that it can also send what no decent client would.

#![allow(missing_docs, clippy::indexing_slicing, reason = "a client like any other, which fails its test")]

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use rtmanager::config::Listen;

/// Far beyond any limit that the tests set: a test that hangs fails, and says so.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// Status and code, of a problem.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status, "{self:?}");
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
        (self.status, body["code"].as_str().unwrap().to_owned())
    }
}

#[derive(Clone)]
pub enum Client {
    Unix(PathBuf),
    Tcp(std::net::SocketAddr),
}

impl Client {
    pub fn of(listen: Listen) -> Self {
        match listen {
            Listen::Unix(path) => Self::Unix(path),
            Listen::Tcp(address) => Self::Tcp(address),
        }
    }

    pub async fn connect(&self) -> Box<dyn Wire> {
        match self {
            Self::Unix(path) => Box::new(UnixStream::connect(path).await.unwrap()),
            Self::Tcp(address) => Box::new(TcpStream::connect(address).await.unwrap()),
        }
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let mut wire = self.connect().await;
        wire.write_all(request(method, path, headers, body).as_bytes()).await.unwrap();
        answer(&mut wire).await
    }

    /// Sends a body of another type than JSON.
    pub async fn upload(&self, path: &str, media_type: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let length = body.len().to_string();
        let mut all = vec![("Content-Type", media_type), ("Content-Length", &length)];
        all.extend(headers);
        let mut wire = self.connect().await;
        wire.write_all(request("POST", path, &all, None).as_bytes()).await.unwrap();
        // A server that refuses may close before it has read all.
        wire.write_all(body).await.ok();
        answer(&mut wire).await
    }

    /// The bytes of an answer's body.
    pub async fn fetch(&self, path: &str) -> Vec<u8> {
        let mut wire = self.connect().await;
        wire.write_all(request("GET", path, &[], None).as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        tokio::time::timeout(PATIENCE, wire.read_to_end(&mut bytes)).await.unwrap().unwrap();
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        bytes.split_off(head + 4)
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[], Some(&body.to_string())).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &[], Some(&body.to_string())).await
    }
}

pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text.push_str("Host: localhost\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let Some(body) = body else { return text + "\r\n" };
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        text.push_str("Content-Type: application/json\r\n");
    }
    format!("{text}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Reads until the server closes the connection.
pub async fn answer(wire: &mut (impl AsyncRead + Unpin)) -> Answer {
    let text = rest_of(wire).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    Answer { status, headers, body: body.to_owned() }
}

pub async fn rest_of(wire: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, wire.read_to_end(&mut bytes)).await.expect("the server never closed");
    // A connection that the server resets has still said what it said.
    drop(read);
    // A component is no text.
    String::from_utf8_lossy(&bytes).into_owned()
}
