//! A gate before a registry, which makes it one of another kind: of those that want tokens, or know referrers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use rtmanager_tests::oci_registry::{OciRegistry, PASSWORD, USER};
use sha2::Digest as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// What the registry behind it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Lets requests through only with a token, which it gives for the user's password.
    Tokens,
    /// Lists by itself what refers to a manifest.
    Referrers,
}

/// A registry of that kind, until it is dropped.
pub(super) struct Gate {
    address: String,
    seen: Arc<Mutex<Seen>>,
    _accepting: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// The paths of the requests that had the password with them.
    told: Vec<String>,
    /// Manifests that came by, with what they refer to.
    referrers: Vec<(String, serde_json::Value)>,
}

impl Gate {
    pub(super) async fn before(registry: &OciRegistry, kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (behind, seen) = (registry.address().parse().unwrap(), Arc::<Mutex<Seen>>::default());
        let (own, seeing) = (address.clone(), seen.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (own, seeing) = (own.clone(), seeing.clone());
                tokio::spawn(async move { serve(client, kind, behind, &own, &seeing).await });
            }
        });
        Self { address, seen, _accepting: AbortOnDropHandle::new(accepting) }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Where the password was sent, each place once.
    pub(super) fn places_told_the_password(&self) -> Vec<String> {
        let mut places = self.seen.lock().unwrap().told.clone();
        places.sort();
        places.dedup();
        places
    }
}

/// One request.
struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    async fn read(client: &mut TcpStream) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.ok()?);
        }
        let mut this = Self { head: String::from_utf8(head).unwrap(), body: Vec::new() };
        this.body.resize(this.header("content-length").parse().unwrap_or(0), 0);
        client.read_exact(&mut this.body).await.ok()?;
        Some(this)
    }

    fn header(&self, wanted: &str) -> &str {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map_or("", |(_, value)| value)
    }

    fn path(&self) -> &str {
        self.head.split([' ', '?']).nth(1).unwrap()
    }
}

/// One request, and the end of the connection.
async fn serve(mut client: TcpStream, kind: Kind, behind: SocketAddr, own: &str, seen: &Mutex<Seen>) {
    let Some(request) = Request::read(&mut client).await else { return };
    let answered = match kind {
        Kind::Tokens => asked_for_a_token(&request, own, seen),
        Kind::Referrers => listed(&request, seen),
    };
    let answer = match answered {
        Some(answer) => answer,
        None => forwarded(&request, behind).await,
    };
    client.write_all(&answer).await.ok();
}

fn asked_for_a_token(request: &Request, own: &str, seen: &Mutex<Seen>) -> Option<Vec<u8>> {
    let password = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let has_password = request.header("authorization") == format!("Basic {password}");
    if has_password {
        seen.lock().unwrap().told.push(request.path().to_owned());
    }
    match request.path() {
        "/token" if has_password => Some(answer("200 OK", "", r#"{"token":"a-token"}"#)),
        "/token" => Some(answer("401 Unauthorized", "", "{}")),
        _ if request.header("authorization") == "Bearer a-token" => None,
        _ => {
            let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{own}/token\",service=\"tests\"\r\n");
            Some(answer("401 Unauthorized", &challenge, "{}"))
        }
    }
}

fn listed(request: &Request, seen: &Mutex<Seen>) -> Option<Vec<u8>> {
    let referrers = &mut seen.lock().unwrap().referrers;
    if let Some((_, subject)) = request.path().split_once("/referrers/") {
        let entries: Vec<_> = referrers.iter().filter(|(to, _)| to == subject).map(|(_, entry)| entry).collect();
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = serde_json::json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
        return Some(answer("200 OK", &format!("Content-Type: {media_type}\r\n"), &index.to_string()));
    }
    let manifest: serde_json::Value = serde_json::from_slice(&request.body).ok()?;
    let digest = format!("sha256:{}", hex::encode(sha2::Sha256::digest(&request.body)));
    let entry = serde_json::json!({
        "mediaType": manifest["mediaType"], "artifactType": manifest["artifactType"],
        "digest": digest, "size": request.body.len(),
    });
    referrers.push((manifest["subject"]["digest"].as_str()?.to_owned(), entry));
    None
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

async fn forwarded(request: &Request, behind: SocketAddr) -> Vec<u8> {
    let mut registry = TcpStream::connect(behind).await.unwrap();
    let head = request.head.trim_end().to_owned() + "\r\nConnection: close\r\n\r\n";
    registry.write_all(&[head.as_bytes(), &request.body].concat()).await.unwrap();
    let mut answer = Vec::new();
    registry.read_to_end(&mut answer).await.unwrap();
    answer
}
